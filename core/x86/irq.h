/* SPDX-License-Identifier: MIT */
/* core/x86/irq.h - interrupts, as a driver sees them */
#ifndef CORE_X86_IRQ_H
#define CORE_X86_IRQ_H

#include "core/x86/insn.h"
#include "mm/err.h"

/*
 * irq_attach_isa - call fn(arg), with interrupts off, whenever ISA interrupt 0..15 comes, on this CPU
 *
 *   Errors  ERR_INVAL  no such interrupt      ERR_NOENT  no I/O APIC serves it
 */
err_t irq_attach_isa(unsigned isa_irq, void (*fn)(void *arg), void *arg) MUST_USE;

/* What a device writes, and where to, to signal by message */
struct irq_message {
    uint64_t address;
    uint32_t data;
};

/*
 * irq_attach_message - call fn(arg), with interrupts off, whenever this message comes, on this CPU
 *
 *   Errors  ERR_NOMEM  no vector is left
 *   Source  SDM 3A "Message Signalled Interrupts"
 */
err_t irq_attach_message(void (*fn)(void *arg), void *arg, struct irq_message *out) MUST_USE;

/* irq_detach_message - nobody sends it any more */
void irq_detach_message(const struct irq_message *m);

/* cpu_idle_wait - called with interrupts off: halts until one came; they are on afterwards */
static inline void cpu_idle_wait(void) { cpu_sti_hlt(); }

#endif
