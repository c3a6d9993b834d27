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
 *   then                 interrupts, screen, keyboard, console
 */
#include "core/boot_info.h"
#include "core/console/input.h"
#include "core/console/shell.h"
#include "core/cpu.h"
#include "core/dev/acpi.h"
#include "core/dev/fb.h"
#include "core/dev/kbd.h"
#include "core/dev/serial.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/panic.h"
#include "core/port.h"
#include "core/power.h"
#include "core/x86/apic.h"
#include "core/x86/cpuid.h"
#include "core/x86/gdt.h"
#include "core/x86/image.h"
#include "core/x86/paging.h"
#include "core/x86/time.h"
#include "core/x86/trap.h"
#include "mm/early.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/kva.h"
#include "mm/range.h"

#define MSR_GS_BASE 0xC0000101u
#define TAG         "kmain"

static struct machine machine;
static struct cpu     boot_cpu;

const struct machine *machine_info(void) { return &machine; }

/* must - start-up has no caller to hand an error to: one clear line, and the end */
static void must(err_t err, const char *what)
{
    if (err != ERR_OK)
        PANIC("%s: %s", what, err_str(err));
}

/* stage - log what a stage did and how long it took */
static void stage(unsigned number, const char *what, uint64_t began)
{
    uint64_t ticks = cpu_rdtsc() - began;

    machine.stage_ticks[number - 1] = ticks;
    log_info(TAG, "stage %u: %s, %llu us (%llu ticks)", number, what, ULL(time_ns(ticks) / 1000), ULL(ticks));
}

/* The machine as the firmware left it, until we know our way around */
static void find_bearings(const struct boot_info *b)
{
    boot_cpu.self = &boot_cpu;
    wrmsr(MSR_GS_BASE, (uintptr_t)&boot_cpu);
    gdt_start();
    idt_start();
    panic_exit_port(b->config.debug_exit_port);
    log_threshold((enum port_level)b->config.log_level);
    if (b->config.console & BOOT_CONSOLE_SERIAL)
        serial_start();
    err_t acpi = acpi_start(b->rsdp);
    time_start();
    log_clock(time_now_ns);

    log_info(TAG, "Octavo at %#llx, %llu KiB; firmware %s %x.%x", ULL(b->image.raw), ULL(b->image_bytes / KIB),
             b->firmware, b->firmware_revision >> 16, b->firmware_revision & 0xFFFF);
    log_info(TAG, "left the firmware after %u call%s of ExitBootServices", b->exit_tries, b->exit_tries == 1 ? "" : "s");
    if (b->map_desc_version != 1)
        log_warn(TAG, "memory descriptors of version %u, 1 was expected", b->map_desc_version);
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
    early_start(pa_to_pfn(b->early), b->early_frames);
    fmt_string(what, sizeof what, "frame distributor holds %s of %llu descriptors' memory",
               fmt_size(size, b->early_frames * PAGE_SIZE), ULL(machine.map.n_descriptors));
    stage(1, what, began);
}

/* Stage 2. The three buffers that firmware gave us move with us: their addresses change here. */
static void start_mapper(const struct boot_info *b)
{
    uint64_t began = cpu_rdtsc();
    char     size[FMT_SIZE_BYTES], what[96];

    must(paging_start(b, &machine.map), "page tables");
    machine.map.ranges = port_ptr(b->ranges);
    must(kva_start(&kernel_pt), "kernel address ranges");
    power_start(b, &machine.map);
    fmt_string(what, sizeof what, "virtual memory mapper, %u levels, %s mapped directly, %llu tables", kernel_pt.levels,
               fmt_size(size, paging_direct_bytes()), ULL(kernel_pt.n_tables));
    stage(2, what, began);
}

/* Stage 3. */
static void start_heap(const struct boot_info *b)
{
    uint64_t began = cpu_rdtsc();

    must(machine_heap_start(b->config.heap_debug), "heap");
    stage(3, "heap", began);
}

/* Stage 4. What must stay as it is gets reserved before anything is handed out. */
static void start_frames(const struct boot_info *b)
{
    uint64_t began = cpu_rdtsc();
    char     free[FMT_SIZE_BYTES], boot[FMT_SIZE_BYTES], what[128];
    size_t   n = frame_state_bytes(&machine.map);
    void    *state = heap_alloc_aligned(kernel_heap, n, 64);

    if (state == NULL)
        must(ERR_NOMEM, "frame manager");
    must(frame_start(&machine.map, state, n), "frame manager");
    must(frame_reserve(pa_to_pfn(b->image), b->image_bytes >> PAGE_SHIFT), "the image's frames");
    must(frame_reserve(pa_to_pfn(b->map), align_up(b->map_room, PAGE_SIZE) >> PAGE_SHIFT), "the map's frames");
    must(frame_reserve(pa_to_pfn(b->ranges), b->ranges_bytes >> PAGE_SHIFT), "the ranges' frames");
    must(frame_take_over(), "early frames");

    struct frame_stats s;

    frame_stats(&s);
    machine.boot_services_bytes = boot_services_bytes(b);
    fmt_string(what, sizeof what, "full physical memory, %s free; %llu KiB of boot services came back (%s of metadata)",
               fmt_size(free, s.free * PAGE_SIZE), ULL(machine.boot_services_bytes / KIB), fmt_size(boot, s.metadata_bytes));
    stage(4, what, began);
}

static NORETURN void kmain(void *arg)
{
    struct boot_info *b = arg;

    find_bearings(b);
    start_frame_distributor(b);
    start_mapper(b);
    start_heap(b);
    start_frames(b);

    must(apic_start(), "APIC");
    if (b->config.console & BOOT_CONSOLE_SCREEN)
        fb_start(&b->fb);
    input_start();
    cpu_sti();
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
