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

#endif
