/* SPDX-License-Identifier: MIT */
/*
 * core/x86/apic.c - interrupts by the local APIC and the I/O APICs; the old PIC is masked for good
 *
 * A local APIC has its registers in memory (xAPIC) or in MSRs (x2APIC). Firmware may have switched to
 * x2APIC already: then the memory is dead, and there is no way back but a reset. So: x2APIC where the
 * CPU has it, else memory. Sources: SDM 3A chapter "APIC"; Intel 82093AA data sheet (I/O APIC).
 */
#include "core/x86/apic.h"

#include "core/dev/acpi.h"
#include "core/x86/cpuid.h"
#include "core/x86/insn.h"
#include "core/x86/irq.h"
#include "core/x86/mmio.h"
#include "core/x86/trap.h"
#include "mm/kva.h"
#include "mm/port.h"
#include "mm/pte.h"

#define MSR_APIC_BASE   0x1Bu
#define APIC_BASE_X2    ((uint64_t)1 << 10)
#define APIC_BASE_ON    ((uint64_t)1 << 11)
#define MSR_X2APIC      0x800u
#define VECTOR_SPURIOUS 255u
#define VECTOR_ISA      0x30u
#define VECTOR_MESSAGE  0x40u /* the first of 64 for devices that signal by message */
#define MESSAGE_ADDRESS 0xFEE00000u
#define SVR_ON          0x100u

/* The PIC's two halves */
enum { PIC1 = 0x20, PIC2 = 0xA0, PIC_DATA = 1, PIC_ICW1_INIT = 0x11, PIC_ICW4_8086 = 1 };

/* An I/O APIC's two registers, through which the others are reached */
enum { IOAPIC_SELECT = 0x00, IOAPIC_WINDOW = 0x10, IOAPIC_VERSION = 1, IOAPIC_PINS = 0x10 };

static struct {
    enum { APIC_NONE, APIC_X1, APIC_X2 } mode;
    volatile uint8_t *registers; /* xAPIC */
    struct {
        volatile uint8_t *registers;
        unsigned n_pins;
    } io[ACPI_IOAPICS_MAX];
    _Atomic uint64_t messages; /* [a] bit n: vector VECTOR_MESSAGE + n is taken */
} ap;

uint32_t apic_read(unsigned reg)
{
    return ap.mode == APIC_X2 ? (uint32_t)rdmsr(MSR_X2APIC + reg / 16) : mmio_read32(ap.registers + reg);
}

void apic_write(unsigned reg, uint32_t value)
{
    if (ap.mode == APIC_X2)
        wrmsr(MSR_X2APIC + reg / 16, value);
    else
        mmio_write32(ap.registers + reg, value);
}

static uint32_t io_read(unsigned io, unsigned reg)
{
    mmio_write32(ap.io[io].registers + IOAPIC_SELECT, reg);
    return mmio_read32(ap.io[io].registers + IOAPIC_WINDOW);
}

static void io_write(unsigned io, unsigned reg, uint32_t value)
{
    mmio_write32(ap.io[io].registers + IOAPIC_SELECT, reg);
    mmio_write32(ap.io[io].registers + IOAPIC_WINDOW, value);
}

/* pic_mask - move it off the exceptions' vectors first: a spurious interrupt 7 comes even when masked */
static void pic_mask(void)
{
    for (unsigned i = 0; i < 2; i++) {
        uint16_t pic = i == 0 ? PIC1 : PIC2;

        outb(pic, PIC_ICW1_INIT);
        outb(pic + PIC_DATA, (uint8_t)(0x20 + 8 * i));
        outb(pic + PIC_DATA, i == 0 ? 4 : 2); /* the second hangs on line 2 of the first */
        outb(pic + PIC_DATA, PIC_ICW4_8086);
        outb(pic + PIC_DATA, 0xFF);
    }
}

static err_t lapic_start(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);
    volatile void *registers;

    if (cpu_features()->x2apic || (base & APIC_BASE_X2)) {
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_ON);
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_ON | APIC_BASE_X2);
        ap.mode = APIC_X2;
    } else {
        err_t err = kva_map_device(pa(base & PTE_ADDRESS), PAGE_SIZE, PTE_CACHE_UC, &registers);

        if (err != ERR_OK)
            return err;
        ap.registers = registers;
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_ON);
        ap.mode = APIC_X1;
    }
    static const uint16_t lvts[] = { APIC_LVT_TIMER, APIC_LVT_LINT0, APIC_LVT_LINT1, APIC_LVT_ERROR };

    for (unsigned i = 0; i < ARRAY_LEN(lvts); i++)
        apic_write(lvts[i], APIC_LVT_MASKED);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_SVR, SVR_ON | VECTOR_SPURIOUS);
    apic_write(APIC_ESR, 0);
    return ERR_OK;
}

static err_t ioapics_start(void)
{
    const struct acpi_info *a = acpi_info();

    for (unsigned i = 0; i < a->n_ioapics; i++) {
        volatile void *registers;
        err_t          err = kva_map_device(a->ioapic[i].base, 0x20, PTE_CACHE_UC, &registers);

        if (err != ERR_OK)
            return err;
        ap.io[i].registers = registers;
        uint32_t version = io_read(i, IOAPIC_VERSION);

        ap.io[i].n_pins = version == UINT32_MAX ? 0 : (version >> 16 & 0xFF) + 1; /* all ones: nobody there */
        for (unsigned pin = 0; pin < ap.io[i].n_pins; pin++)
            io_write(i, IOAPIC_PINS + 2 * pin, APIC_LVT_MASKED);
    }
    return ERR_OK;
}

err_t apic_start(void)
{
    if (!(cpu_id(1, 0).edx >> 9 & 1))
        return ERR_NOSYS;
    pic_mask();
    err_t err = lapic_start();

    return err == ERR_OK ? ioapics_start() : err;
}

const char *apic_mode(void) { return ap.mode == APIC_X2 ? "x2APIC" : ap.mode == APIC_X1 ? "xAPIC" : "none"; }

uint32_t apic_id(void)
{
    if (ap.mode == APIC_NONE)
        return 0;
    return ap.mode == APIC_X2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
    if (ap.mode != APIC_NONE)
        apic_write(APIC_EOI, 0);
}

err_t irq_attach_isa(unsigned isa_irq, void (*fn)(void *arg), void *arg)
{
    const struct acpi_info *a = acpi_info();

    if (isa_irq >= ISA_IRQS)
        return ERR_INVAL;
    const struct acpi_isa_irq *to = &a->isa[isa_irq];

    for (unsigned i = 0; i < a->n_ioapics; i++) {
        uint32_t pin = to->gsi - a->ioapic[i].first_gsi;

        if (pin >= ap.io[i].n_pins)
            continue;
        trap_handler_set(VECTOR_ISA + isa_irq, fn, arg);
        io_write(i, IOAPIC_PINS + 2 * pin + 1, apic_id() << 24);
        io_write(i, IOAPIC_PINS + 2 * pin,
                 (VECTOR_ISA + isa_irq) | (to->active_low ? 1u << 13 : 0) | (to->level ? 1u << 15 : 0));
        return ERR_OK;
    }
    return ERR_NOENT;
}

err_t irq_attach_message(void (*fn)(void *arg), void *arg, struct irq_message *out)
{
    uint64_t taken = atomic_load_explicit(&ap.messages, memory_order_relaxed);

    do {
        if (~taken == 0)
            return ERR_NOMEM;
    } while (!atomic_compare_exchange_weak_explicit(&ap.messages, &taken, taken | (taken + 1), memory_order_relaxed,
                                                    memory_order_relaxed));
    uint32_t vector = VECTOR_MESSAGE + (uint32_t)__builtin_ctzll(~taken);

    trap_handler_set(vector, fn, arg);
    *out = (struct irq_message){ MESSAGE_ADDRESS | apic_id() << 12, vector }; /* fixed, edge-triggered */
    return ERR_OK;
}

void irq_detach_message(const struct irq_message *m)
{
    trap_handler_set(m->data, NULL, NULL);
    atomic_fetch_and_explicit(&ap.messages, ~((uint64_t)1 << (m->data - VECTOR_MESSAGE)), memory_order_relaxed);
}
