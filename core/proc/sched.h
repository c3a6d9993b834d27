/* SPDX-License-Identifier: MIT */
/* core/proc/sched.h - whose turn it is on a CPU; for core/proc/ and the trap handlers */
#ifndef CORE_PROC_SCHED_H
#define CORE_PROC_SCHED_H

#include "core/proc/thread.h"

#define SCHED_SLICE_NS ((uint64_t)4 * 1000 * 1000)

/* sched_start - this CPU has a queue; `idle` runs when it is empty. The timer is on. */
err_t sched_start(struct thread *idle) MUST_USE;

/* sched_begin - a new thread's first act: the queue's lock was taken by the thread before */
void sched_begin(void);

/* sched_ready - a thread that waits, or is new, is in the queue; any other stays as it is. For interrupt handlers, too */
void sched_ready(struct thread *t);

/* sched_waiting - the thread that runs is going to wait, and is woken at `deadline` of the TSC (0: not by time) */
void sched_waiting(uint64_t deadline);

/* sched_next - the next one's turn, unless this thread was made ready again. Interrupts are off. */
void sched_next(void);

/* sched_end - the next one's turn, and never again this thread's */
NORETURN void sched_end(void);

/* sched_has_left - has the thread ended, and does no CPU use its stack any more? */
bool sched_has_left(struct thread *t);

/* sched_anyone - is somebody in this CPU's queue? */
bool sched_anyone(void);

#endif
