/* SPDX-License-Identifier: MIT */
/* core/cpu.h - what each CPU keeps for itself, found through GS */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include "core/x86/insn.h"
#include "mm/port.h"

struct trap_frame;

struct cpu {
    struct cpu *self;      /* [c] at GS:0, so that one load finds the struct  */
    uint64_t    number;    /* [c] at GS:8, 0 = the one that booted            */
    uint32_t    apic_id;   /* [c]                                             */

    /* trap_try: where an exception goes, 0 = to the panic. [p] */
    uint64_t try_rsp;
    struct trap_caught *try_caught;

#ifdef OCTAVO_DEBUG
    unsigned lock_depth; /* [p] */
    const struct irqlock *locks[16]; /* [p] held, in the order they were taken */
#endif
};

_Static_assert(offsetof(struct cpu, number) == GS_CPU_NUMBER, "port_cpu() would read something else");

static inline struct cpu *cpu_this(void) { return (struct cpu *)GS_READ_U64(offsetof(struct cpu, self)); }

#endif
