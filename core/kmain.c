/* SPDX-License-Identifier: MIT */
/*
 * core/kmain.c - the table of contents of the whole system
 *
 *   firmware's mapping   serial line, descriptor tables, ACPI, clock
 *   stage 1              frame distributor: single frames from a reserved block
 *   stage 2              virtual memory mapper: our own page tables; from here on nothing of the
 *                        firmware's is used, and its memory may be given away
 *   stage 3              heap
 *   stage 4              full physical memory: the buddy manager owns it all
 *   then                 interrupts, threads, screen, keyboard, console
 */
#include "core/boot_info.h"
#include "core/console/input.h"
#include "core/console/shell.h"
#include "core/cpu.h"
#include "core/dev/acpi.h"
#include "core/dev/edu.h"
#include "core/dev/fb.h"
#include "core/dev/iommu.h"
#include "core/dev/kbd.h"
#include "core/dev/nvme.h"
#include "core/dev/pci.h"
#include "core/dev/serial.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/panic.h"
#include "core/port.h"
#include "core/power.h"
#include "core/proc/proc.h"
#include "core/proc/program.h"
#include "core/x86/apic.h"
#include "core/x86/cpuid.h"
#include "core/x86/gdt.h"
#include "core/x86/image.h"
#include "core/x86/la57.h"
#include "core/x86/paging.h"
#include "core/x86/pcid.h"
#include "core/x86/time.h"
#include "core/x86/timer.h"
#include "core/x86/trap.h"
#include "mm/as.h"
#include "mm/early.h"
#include "mm/frame.h"
#include "mm/heap_kernel.h"
#include "mm/kva.h"
#include "mm/range.h"
#include "mm/tlb_shadow.h"

#define MSR_GS_BASE 0xC0000101u
#define TAG         "kmain"

static struct cpu     boot_cpu;

/* must - start-up has no caller to hand an error to: one clear line, and the end */
static void must(err_t err, const char *what)
{
    if (err != ERR_OK)
        PANIC("%s: %s", what, err_str(err));
}

/* stage - log what a stage did and how long it took */
static void stage(unsigned number, const char *what, uint64_t ticks)
{
    machine.stage_ticks[number - 1] = ticks;
    log_info(TAG, "stage %u: %s, %llu us (%llu ticks)", number, what, ULL(time_ns(ticks) / 1000), ULL(ticks));
}

/* The machine as the firmware left it, until we know our way around */
static void find_bearings(const struct boot_info *b)
{
    boot_cpu.self = &boot_cpu;
    boot_cpu.thread = thread_boot();
    boot_cpu.smap = cpu_features()->smap;
    wrmsr(MSR_GS_BASE, (uintptr_t)&boot_cpu);
    gdt_start();
    idt_start();
    panic_exit_port(b->config.debug_exit_port);
    log_threshold((enum port_level)b->config.log_level);
    err_t serial = b->config.console & BOOT_CONSOLE_SERIAL ? serial_start() : ERR_OK;
    err_t acpi = acpi_start(b->rsdp);
    time_start();
    log_clock(time_now_ns);

    log_info(TAG, "Octavo at %#llx, %llu KiB; firmware %s %x.%x", ULL(b->image.raw), ULL(b->image_bytes / KIB),
             b->firmware, b->firmware_revision >> 16, b->firmware_revision & 0xFFFF);
    log_info(TAG, "left the firmware after %u call%s of ExitBootServices", b->exit_tries, b->exit_tries == 1 ? "" : "s");
    if (b->map_desc_version != 1)
        log_warn(TAG, "memory descriptors of version %u, 1 was expected", b->map_desc_version);
    if (serial != ERR_OK)
        log_info(TAG, "no serial port");
    if (acpi != ERR_OK)
        log_warn(TAG, "ACPI tables: %s", err_str(acpi));
    log_info(TAG, "clock: TSC at %u kHz by %s", time_tsc_khz(), time_source());
    for (const char *line = b->config.unknown; *line != '\0';) {
        size_t n = 0;

        while (line[n] != '\n' && line[n] != '\0')
            n++;
        log_warn(TAG, "octavo.conf: \"%.*s\" is not understood", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

/* Stage 1. Nothing outside the reserved block is touched: the firmware's stack, tables and
 * descriptors, which we still run on, may lie anywhere else. */
static void start_frame_distributor(const struct boot_info *b)
{
    uint64_t began = cpu_rdtsc();
    char     size[FMT_SIZE_BYTES], what[96];

    must(mem_map_read(&machine.map, port_ptr(b->ranges), b->ranges_bytes / sizeof(struct mem_range), port_ptr(b->map),
                      b->map_bytes, b->map_desc_bytes), "memory map");
    mem_map_limit(&machine.map, paging_reach());
    early_start(pa_to_pfn(b->early), b->early_frames);

    uint64_t ticks = cpu_rdtsc() - began;

    fmt_string(what, sizeof what, "frame distributor holds %s of %llu descriptors' memory",
               fmt_size(size, b->early_frames * PAGE_SIZE), ULL(machine.map.n_descriptors));
    stage(1, what, ticks);
}

/* Stage 2. The three buffers that firmware gave us move with us: their addresses change here. */
static void start_mapper(const struct boot_info *b)
{
    uint64_t began = cpu_rdtsc();
    char     size[FMT_SIZE_BYTES], what[96];

    must(paging_start(b, &machine.map), "page tables");
    machine.map.ranges = port_ptr(b->ranges);
    kva_start(&kernel_pt);
    as_start(&kernel_pt);
    power_start(b, &machine.map);

    uint64_t ticks = cpu_rdtsc() - began;

    fmt_string(what, sizeof what, "virtual memory mapper, %u levels, %s mapped directly, %llu tables", kernel_pt.levels,
               fmt_size(size, paging_direct_bytes()), ULL(kernel_pt.n_tables));
    stage(2, what, ticks);
}

/* Stage 3. */
static void start_heap(const struct boot_info *b)
{
    uint64_t                 began = cpu_rdtsc();
    const struct heap_config config = { .name = "kernel",
                                         .policy = (enum heap_policy)b->config.heap_policy,
                                         .debug = b->config.heap_debug };

    must(heap_kernel_start(&kernel_pt, &config), "heap");
    stage(3, "heap", cpu_rdtsc() - began);
}

/* boot_services_pages - memory that was the firmware's until ExitBootServices */
static uint64_t boot_services_pages(const struct boot_info *b)
{
    enum { BOOT_SERVICES_CODE = 3, BOOT_SERVICES_DATA = 4 }; /* UEFI 2.10, "EFI_MEMORY_TYPE" */
    uint64_t pages = 0;

    for (size_t i = 0; i < b->map_bytes / b->map_desc_bytes; i++) {
        struct mem_desc d = mem_desc_get(port_ptr(b->map), b->map_desc_bytes, i);

        if ((d.type == BOOT_SERVICES_CODE || d.type == BOOT_SERVICES_DATA) && mem_kind_of(d.type, d.attr) == MEM_FREE)
            pages += d.pages;
    }
    return pages;
}

/* Stage 4. What must stay as it is, is kept out: the image, and what the map's ranges stand in. */
static void start_frames(const struct boot_info *b)
{
    struct frame_span keep[3 + BOOT_PROGRAMS_MAX] = {
        { pa_to_pfn(b->image), b->image_bytes >> PAGE_SHIFT },
        { pa_to_pfn(b->map), b->map_room >> PAGE_SHIFT },
        { pa_to_pfn(b->ranges), b->ranges_bytes >> PAGE_SHIFT },
    };
    uint64_t began = cpu_rdtsc();
    char     size[FMT_SIZE_BYTES], what[128];
    size_t   n = frame_state_bytes(&machine.map);
    void    *state = heap_alloc_aligned(kernel_heap, n, 64);

    must(state != NULL ? ERR_OK : ERR_NOMEM, "frame manager's state");
    for (unsigned i = 0; i < b->n_programs; i++)
        keep[3 + i] = (struct frame_span){ pa_to_pfn(b->programs[i].at),
                                           align_up(b->programs[i].n_bytes, PAGE_SIZE) >> PAGE_SHIFT };
    must(frame_start(&machine.map, keep, 3 + b->n_programs, state, n), "frame manager");

    uint64_t now = cpu_rdtsc(), ticks = now - began;

    machine.exit_ticks = now - b->tsc_exit;
    machine.boot_services_bytes = boot_services_pages(b) << PAGE_SHIFT;
    fmt_string(what, sizeof what, "full physical memory, %s free, %llu KiB of them were boot services'",
               fmt_size(size, frame_totals().free << PAGE_SHIFT), ULL(machine.boot_services_bytes / KIB));
    stage(4, what, ticks);
}

/* Where there is one, no device reaches memory from here on but what it is handed. */
static void start_iommu(void)
{
    err_t err = iommu_start();

    if (err == ERR_OK)
        log_info(TAG, "IOMMU: each device reaches what it is handed");
    else if (err != ERR_NOENT)
        log_warn(TAG, "IOMMU: %s; devices reach all memory", err_str(err));
}

/* A device that only emulated machines have: nothing is said where there is none. */
static void start_edu(void)
{
    err_t err = edu_start();

    if (err != ERR_NOENT)
        log_info(TAG, "edu device, a DMA engine: %s", err == ERR_OK ? "listening" : err_str(err));
}

/* Interrupts come on here for the first time. */
static void start_devices(const struct boot_info *b)
{
    must(apic_start(), "APIC");
    if (b->config.console & BOOT_CONSOLE_SCREEN) {
        err_t err = fb_start(&b->fb);

        if (err == ERR_OK)
            log_info(TAG, "screen of %ux%u pixels", b->fb.width, b->fb.height);
        else
            log_info(TAG, "no screen: %s", err_str(err));
    }
    must(thread_start(), "threads");
    log_info(TAG, "interrupts by %s, time slices by %s", apic_mode(), timer_source());
    pci_start();
    start_iommu();
    start_edu();
    commit_policy((enum overcommit)b->config.overcommit);
    must(proc_start(), "processes");
    input_start();
    cpu_sti();
    nvme_start();
}

/* Four or five levels, as octavo.conf says: else as the firmware left it, the kernel's half needs no fifth. */
static void choose_paging(const struct boot_config *c)
{
    err_t err = c->paging == 0 ? ERR_OK : la57_switch(c->paging);

    if (err != ERR_OK)
        log_warn(TAG, "paging=%u: %s; it stays at %u levels", c->paging, err_str(err), kernel_pt.levels);
    pcid_start();
    if (c->tables_check)
        kernel_pt.way = PT_BOTH;
    if (c->tlb_check)
        tlb_shadow_start(true);
}

static NORETURN void kmain(void *arg)
{
    struct boot_info *b = arg;

    find_bearings(b);
    start_frame_distributor(b);
    start_mapper(b);
    start_heap(b);
    start_frames(b);
    choose_paging(&b->config);
    program_start(b);
    start_devices(b);
    shell_start(b->config.exec);
}

void kmain_enter(struct boot_info *b)
{
    b->tsc_exit = cpu_rdtsc();
    cpu_cli(); /* the firmware's handlers and stack are not for us */
    machine.boot = b;
    b->image = pa(image_base());
    b->image_bytes = image_bytes();
    stack_switch(b, kmain, &image_stacks[STACK_BOOT + 1]);
}
