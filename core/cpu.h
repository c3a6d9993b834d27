/* SPDX-License-Identifier: MIT */
/* core/cpu.h - what each CPU keeps for itself, found through GS */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include "core/x86/insn.h"
#include "core/x86/offsets.h"
#include "mm/port.h"

struct runq;
struct thread;

/* What to see to before this CPU goes to ring 3 */
#define ATTENTION_RESCHED 1u /* somebody else's turn      */
#define ATTENTION_KILLED  2u /* the thread has to end     */

struct cpu {
    struct cpu      *self;       /* [c] at GS:0, so that one load finds the struct             */
    uint64_t         number;     /* [c] at GS:8, 0 = the one that booted                       */
    struct thread   *thread;     /* [p] at GS:16, who runs                                     */
    uint64_t         user_rsp;   /* [p] ring 3's RSP, while a system call changes stacks       */
    uint64_t         kernel_rsp; /* [p] where a system call's stack begins                     */
    _Atomic uint32_t attention;  /* [a] ATTENTION_*                                            */
    uint32_t         smap;       /* [c] 1: entries into the kernel clear AC                    */
    struct runq     *queue;      /* [c] core/proc/sched.c                                      */

#ifdef OCTAVO_DEBUG
    unsigned lock_depth; /* [p] */
    const struct irqlock *locks[16]; /* [p] held, in the order they were taken */
#endif
};

_Static_assert(offsetof(struct cpu, number) == GS_CPU_NUMBER, "port_cpu() would read something else");
_Static_assert(offsetof(struct cpu, user_rsp) == CPU_USER_RSP && offsetof(struct cpu, kernel_rsp) == CPU_KERNEL_RSP &&
               offsetof(struct cpu, attention) == CPU_ATTENTION && offsetof(struct cpu, smap) == CPU_SMAP,
               "core/x86/offsets.h");

static inline struct cpu *cpu_this(void) { return (struct cpu *)GS_READ_U64(offsetof(struct cpu, self)); }

#endif
