/* SPDX-License-Identifier: MIT */
/*
 * core/proc/thread.h - threads: what a CPU runs, and how they wait
 *
 * A thread is a kernel stack and the registers on it. One that belongs to a process leaves the kernel for
 * ring 3 and comes back by a trap or a system call; the others stay in ring 0. Interrupts are on in a
 * thread but where a lock is held, and where they are on, the thread may be preempted.
 */
#ifndef CORE_PROC_THREAD_H
#define CORE_PROC_THREAD_H

#include "mm/port.h"

struct cpu;
struct process;
struct trap_caught;
struct waitq;

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_WAITING, THREAD_ENDED };

#define THREAD_NAME_BYTES 24

struct thread {
    uint64_t          rsp;         /* [q] while it doesn't run: its registers lie there (core/x86/switch.S) */
    uint64_t          stack_top;   /* [c] where traps and system calls from ring 3 begin                   */
    struct process   *process;     /* [c] NULL: a kernel thread                                            */
    struct cpu       *cpu;         /* [c] whose queue it is on                                             */
    enum thread_state state;       /* [q]                                                                  */
    _Atomic bool      killed;      /* [a] ends on its way to ring 3; waits return at once                  */
    struct thread    *next;        /* [q] in the run queue                                                 */
    struct waitq     *waitq;       /* [w] where it waits, NULL: nowhere                                    */
    struct thread    *wait_next;   /* [w]                                                                  */
    uint64_t          deadline_ns; /* [q] when to wake it, 0: never                                        */
    struct thread    *sleep_next;  /* [q] sleepers, earliest first                                         */
    uint64_t          try_rsp;     /* trap_try: where an exception goes, 0: to the panic. Own              */
    struct trap_caught *try_caught; /* own                                                                 */
    uint64_t          cpu_ticks;   /* [q] TSC ticks it ran, up to when it last began to                    */
    char              name[THREAD_NAME_BYTES]; /* [c] */
};

/* thread_start - the code that runs becomes the thread "console"; the idle thread and the timer begin */
err_t thread_start(void) MUST_USE;

/*
 * thread_create - a kernel thread that runs fn(arg) and ends when fn returns
 *
 *   Errors  ERR_NOMEM  no room for it or for its stack
 */
err_t thread_create(const char *name, void (*fn)(void *arg), void *arg, struct thread **out) MUST_USE;

/* thread_this - who runs; good to be asked by itself only */
struct thread *thread_this(void);

/* thread_yield - let the others on this CPU's queue go first */
void thread_yield(void);

/* thread_sleep_ns - wait so long, or until killed */
void thread_sleep_ns(uint64_t ns);

/* thread_exit - the thread that calls ends; thread_join() frees what is left of it */
NORETURN void thread_exit(void);

/* thread_join - wait for a thread's end, then free it and its stack; once for each thread */
void thread_join(struct thread *t);

/* thread_kill - it ends when it next would go to ring 3, and waits no more before that */
void thread_kill(struct thread *t);

/* ---- waiting ------------------------------------------------------------------------------- */

/*
 * A queue of threads that wait for the same thing, under the lock that guards it:
 *
 *     uint64_t irq = irqlock_take(&q->lock);
 *
 *     while (!there && waitq_wait(q, 0) == ERR_OK)
 *         ;
 *     irqlock_drop(&q->lock, irq);
 */
struct waitq {
    struct irqlock lock;         /* of rank 65: only a run queue's is taken under it       */
    struct thread *first, *last; /* [lock] who waits, in the order in which they came      */
};

#define WAITQ(waitq_name) { .lock = IRQLOCK(waitq_name, 65) }

/*
 * waitq_wait - sleep until waitq_wake(), with the queue's lock dropped while asleep
 *
 *   deadline_ns  by time_now_ns(), 0: none
 *
 *   Errors  ERR_BUSY   the thread is killed      ERR_NOENT  the deadline has passed
 *   Locks   q->lock is held, before and after; no other
 */
err_t waitq_wait(struct waitq *q, uint64_t deadline_ns) REQUIRES(&q->lock) MUST_USE;

/* waitq_wake - all who wait are ready again; q->lock is held. For interrupt handlers too. */
void waitq_wake(struct waitq *q) REQUIRES(&q->lock);

#endif
