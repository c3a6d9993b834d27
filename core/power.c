/* SPDX-License-Identifier: MIT */
/*
 * core/power.c - the end of a run
 *
 * Tried in this order, each until it is seen to have failed:
 *
 *   off      QEMU's exit port (if configured)   firmware   ACPI S5
 *   reboot   firmware   ACPI reset register   port 0xCF9   keyboard controller   triple fault
 *
 * The firmware's runtime services want their regions mapped as they are, writable and executable: that
 * mapping comes to exist here, as the machine's last act, and at no other time. Some firmware crashes
 * in ResetSystem; trap_try brings us back to the next way.
 */
#include "core/power.h"

#include "core/cpu.h"
#include "core/dev/acpi.h"
#include "core/dev/serial.h"
#include "core/log.h"
#include "core/x86/mmio.h"
#include "core/x86/paging.h"
#include "core/x86/time.h"
#include "core/x86/trap.h"
#include "mm/kva.h"

#define DEBUG_EXIT_OK     0x10
#define DEBUG_EXIT_FAILED 0x11
#define PM1_SLP_EN        (1u << 13)
#define PORT_RESET        0xCF9
#define PORT_KBD_COMMAND  0x64
#define KBD_PULSE_RESET   0xFE
#define PATIENCE_NS       ((uint64_t)100 * 1000 * 1000)

static struct {
    const struct boot_info *boot;
    const struct mem_map   *map;
} pw;

void power_start(const struct boot_info *b, const struct mem_map *map)
{
    pw.boot = b;
    pw.map = map;
}

/* map_runtime - every runtime region at its own address; what cannot be mapped shows as a fault */
static void map_runtime(void)
{
    for (size_t i = 0; i < pw.map->n; i++) {
        const struct mem_range *r = &pw.map->ranges[i];
        struct tlb_batch        batch;

        if (r->kind != MEM_RUNTIME && !(r->attr & MEM_ATTR_RUNTIME))
            continue;
        tlb_batch_open(&batch, NULL);
        err_t err = pt_map(&kernel_pt, va(pfn_to_pa(r->start).raw), r->start, r->end.idx - r->start.idx,
                           PTE_W | PT_REPLACE | (r->kind == MEM_MMIO ? PTE_CACHE_UC : 0), &batch);
        tlb_batch_close(&batch);
        if (err != ERR_OK)
            log_warn("power", "runtime region at " PA_FMT " not mapped: %s", PA_ARG(pfn_to_pa(r->start)), err_str(err));
    }
}

static void firmware_reset(void *arg) { pw.boot->reset(*(const enum boot_reset *)arg); }

static void try_firmware(enum boot_reset how)
{
    struct trap_caught caught;

    if (pw.boot == NULL || pw.boot->reset == NULL)
        return;
    map_runtime();
    write_cr0(read_cr0() & ~CR0_TS); /* it may use SSE; nothing of ours runs afterwards */
    if (!trap_try(firmware_reset, &how, &caught))
        log_warn("power", "the firmware's ResetSystem crashed: %s at %#llx", trap_name((unsigned)caught.vector),
                 ULL(caught.rip));
}

/* patience - time for the machine to act on what it was told */
static void patience(void)
{
    for (uint64_t begin = time_now_ns(); time_now_ns() - begin < PATIENCE_NS;)
        cpu_pause();
}

static void acpi_off(void)
{
    const struct acpi_info *a = acpi_info();

    if (!a->s5 || a->pm1a_control == 0)
        return;
    outw(a->pm1a_control, (uint16_t)((unsigned)a->s5_type_a << 10 | PM1_SLP_EN));
    if (a->pm1b_control != 0)
        outw(a->pm1b_control, (uint16_t)((unsigned)a->s5_type_b << 10 | PM1_SLP_EN));
    patience();
}

static void acpi_reset(void)
{
    const struct acpi_info *a = acpi_info();
    volatile void          *at;

    if (a->reset.address == 0)
        return;
    if (!a->reset.in_memory)
        outb((uint16_t)a->reset.address, a->reset_value);
    else if (kva_map_device(pa(a->reset.address), 1, PTE_CACHE_UC, &at) == ERR_OK)
        mmio_write8(at, a->reset_value);
    patience();
}

static NORETURN void halt(void)
{
    kprintf("octavo: nothing ends this machine; switch it off\n");
    for (;;)
        cpu_hlt();
}

void power_off(int status)
{
    cpu_cli();
    kprintf("octavo: exit status %d\n", status);
    serial_drain();
    if (pw.boot != NULL && pw.boot->config.debug_exit_port != 0)
        outb((uint16_t)pw.boot->config.debug_exit_port, status == 0 ? DEBUG_EXIT_OK : DEBUG_EXIT_FAILED);
    try_firmware(BOOT_RESET_POWER_OFF);
    acpi_off();
    halt();
}

void power_reboot(void)
{
    static const struct table_register no_idt = { 0, 0 };

    cpu_cli();
    kprintf("octavo: reboot\n");
    serial_drain();
    try_firmware(BOOT_RESET_COLD);
    acpi_reset();
    outb(PORT_RESET, 0x06);
    patience();
    outb(PORT_KBD_COMMAND, KBD_PULSE_RESET);
    patience();
    cpu_lidt(&no_idt);
    cpu_ud2();
    halt();
}
