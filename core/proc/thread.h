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

#include "core/cpu.h"

struct process;
struct trap_caught;
struct waitq;

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_WAITING, THREAD_ENDED };

#define THREAD_NAME_BYTES 24

struct thread {
    uint64_t            rsp;        /* [q] while it doesn't run: its registers lie there (core/x86/switch.h) */
    uint64_t            stack_top;  /* [c] where traps and system calls from ring 3 begin; 0: the boot stack */
    struct process     *process;    /* [c] NULL: a kernel thread                                             */
    unsigned            cpu;        /* [c] whose queue it is on                                              */
    enum thread_state   state;      /* [q]                                                                   */
    _Atomic bool        killed;     /* [a] ends on its way to ring 3; waits return at once                   */
    struct thread      *next;       /* [q] in the run queue                                                  */
    uint64_t            deadline;   /* [q] of the TSC: when to wake it; 0: it is not among the sleepers      */
    struct thread      *sleep_next; /* [q] sleepers, earliest first                                          */
    uint64_t            cpu_ticks;  /* [q] of the TSC, that it ran, up to when it last began to              */
    struct waitq       *waitq;      /* [w] where it waits, NULL: nowhere                                     */
    struct thread      *wait_next;  /* [w]                                                                   */
    bool                ending;     /* thread_join() need not wait any more; guarded by its queue            */
    uint64_t            try_rsp;    /* trap_try: where an exception goes, 0: to the panic. Own               */
    struct trap_caught *try_caught; /* own                                                                   */
    void (*fn)(void *arg);          /* [c] what it runs                                                      */
    void *arg;                      /* [c]                                                                   */
    char  name[THREAD_NAME_BYTES];  /* [c]                                                                   */
};

/* thread_boot - the code that runs becomes the thread "console" */
struct thread *thread_boot(void);

/*
 * thread_start - the idle thread and the timer begin; the heap and the APIC are there
 *
 *   Errors  ERR_NOMEM      ERR_NOSYS  no timer
 */
err_t thread_start(void) MUST_USE;

/*
 * thread_create - a thread that runs fn(arg) in ring 0 and ends when fn returns
 *
 *   process  its, NULL: a kernel thread
 *   Errors  ERR_NOMEM  no room for it or for its stack
 */
err_t thread_create(const char *name, struct process *process, void (*fn)(void *arg), void *arg,
                    struct thread **out) MUST_USE;

/* thread_this - who runs */
static inline struct thread *thread_this(void) { return cpu_this()->thread; }

/* thread_yield - let the others on this CPU's queue go first */
void thread_yield(void);

/* thread_sleep_ns - wait so long; ERR_BUSY: the thread is killed */
err_t thread_sleep_ns(uint64_t ns) MUST_USE;

/* thread_exit - the thread that calls ends; thread_join() frees what is left of it */
NORETURN void thread_exit(void);

/* thread_join - wait for a thread's end, then free it and its stack; once for each, by a kernel thread */
void thread_join(struct thread *t);

/* thread_free - the same, for a thread that is known to be on its last few instructions */
void thread_free(struct thread *t);

/* thread_overran - does this address lie in the guard page below the stack of the thread that runs? */
bool thread_overran(uint64_t address);

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
    struct irqlock lock;         /* of rank 56: only a run queue's is taken under it       */
    struct thread *first, *last; /* [lock] who waits, in the order in which they came      */
};

#define WAITQ(waitq_name) { .lock = IRQLOCK(waitq_name, 56) }

/*
 * waitq_wait - sleep until waitq_wake(), with the queue's lock dropped while asleep
 *
 *   deadline  of the TSC, 0: none
 *
 *   Errors  ERR_BUSY   the thread is killed      ERR_NOENT  the deadline has passed
 *   Locks   q->lock is held, before and after; no other
 */
err_t waitq_wait(struct waitq *q, uint64_t deadline) REQUIRES(&q->lock) MUST_USE;

/* waitq_wake - all who wait are ready again; q->lock is held. For interrupt handlers too. */
void waitq_wake(struct waitq *q) REQUIRES(&q->lock);

#endif
