/* SPDX-License-Identifier: MIT */
/* core/x86/apic.h - interrupts by the local APIC and the I/O APICs */
#ifndef CORE_X86_APIC_H
#define CORE_X86_APIC_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * apic_start - the PIC masked, this CPU's local APIC on (x2APIC where it can), every I/O APIC pin masked
 *
 *   Errors  ERR_NOSYS  no local APIC      and those of kva_map_device()
 *   Source  SDM 3A "Advanced Programmable Interrupt Controller (APIC)"
 */
err_t apic_start(void) MUST_USE;

/* apic_mode - "x2APIC", "xAPIC" or "none" */
const char *apic_mode(void);

/* apic_id - of the CPU that asks */
uint32_t apic_id(void);

/* apic_eoi - the interrupt is done; harmless before apic_start() */
void apic_eoi(void);

/* Registers of this CPU's local APIC, as offsets of the xAPIC; x2APIC has the same order, 16 bytes to an MSR */
enum {
    APIC_ID = 0x20, APIC_TPR = 0x80, APIC_EOI = 0xB0, APIC_SVR = 0xF0, APIC_ESR = 0x280,
    APIC_LVT_TIMER = 0x320, APIC_LVT_LINT0 = 0x350, APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370,
    APIC_TIMER_COUNT = 0x380, APIC_TIMER_NOW = 0x390, APIC_TIMER_DIVIDE = 0x3E0,
};
#define APIC_LVT_MASKED 0x10000u

uint32_t apic_read(unsigned reg);
void     apic_write(unsigned reg, uint32_t value);

#endif
