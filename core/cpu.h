/* SPDX-License-Identifier: MIT */
/* core/cpu.h - what each CPU keeps for itself, found through GS */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include "core/x86/insn.h"
#include "mm/types.h"

struct trap_frame;

struct cpu {
    struct cpu *self;      /* [c] at GS:0, so that one load finds the struct  */
    uint64_t    number;    /* [c] at GS:8, 0 = the one that booted            */
    uint32_t    apic_id;   /* [c]                                             */

    /* trap_try: where an exception goes, 0 = to the panic. [p] */
    uint64_t try_rsp;
    struct trap_caught *try_caught;

    unsigned lock_depth;   /* [p] ranks of the locks held, debug builds        */
    uint32_t lock_ranks[16];
};

static inline struct cpu *cpu_this(void) { return (struct cpu *)GS_READ_U64(offsetof(struct cpu, self)); }

#endif
