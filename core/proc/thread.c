/* SPDX-License-Identifier: MIT */
/*
 * core/proc/thread.c - threads: their life, and how they wait
 *
 * A thread that waits is first put into the queue of what it waits for, then marked as waiting, and only then
 * are the locks dropped and the CPU given away: whoever wakes it in between finds it ready, and it goes on at
 * once. So no wake-up is lost, and a lock is never held across a switch but the run queue's own.
 */
#include "core/proc/thread.h"

#include "core/fmt.h"
#include "core/proc/sched.h"
#include "core/x86/irq.h"
#include "core/x86/switch.h"
#include "core/x86/time.h"
#include "mm/heap_kernel.h"
#include "mm/kva.h"
#include "mm/zero.h"

#define STACK_PAGES 4

static struct waitq  ends = WAITQ("threads"); /* who joins waits here */
static struct thread boot = { .state = THREAD_RUNNING, .name = "console" };

struct thread *thread_boot(void) { return &boot; }

/* ---- life -------------------------------------------------------------------------------------- */

static NORETURN void begin(void)
{
    struct thread *me = thread_this();

    sched_begin();
    me->fn(me->arg);
    thread_exit();
}

/* Everything but putting it into a queue */
static err_t make(const char *name, struct process *process, void (*fn)(void *arg), void *arg, struct thread **out)
{
    struct thread *t = heap_alloc(kernel_heap, sizeof *t);
    va_t           top;
    err_t          err = t == NULL ? ERR_NOMEM : kva_alloc_stack(STACK_PAGES, &top);

    if (err != ERR_OK) {
        if (t != NULL && heap_free(kernel_heap, t) != ERR_OK)
            PANIC("a thread's memory is not the heap's");
        return err;
    }
    struct switch_frame *f = (struct switch_frame *)top.raw - 1;

    *f = (struct switch_frame){ .rip = (uintptr_t)begin };
    *t = (struct thread){ .rsp = (uintptr_t)f, .stack_top = top.raw, .process = process, .cpu = port_cpu(),
                          .state = THREAD_WAITING, .fn = fn, .arg = arg };
    fmt_string(t->name, sizeof t->name, "%s", name);
    *out = t;
    return ERR_OK;
}

err_t thread_create(const char *name, struct process *process, void (*fn)(void *arg), void *arg, struct thread **out)
{
    err_t err = make(name, process, fn, arg, out);

    if (err == ERR_OK)
        sched_ready(*out);
    return err;
}

/* The lock is not dropped: from here to the end nothing must come between. */
void thread_exit(void) NO_LOCK_ANALYSIS
{
    uint64_t irq = irqlock_take(&ends.lock);

    thread_this()->ending = true;
    waitq_wake(&ends);
    irqlock_drop_off(&ends.lock);
    (void)irq; /* interrupts stay off: the next thread has its own */
    sched_end();
}

bool thread_overran(uint64_t address)
{
    uint64_t low = thread_this()->stack_top - (STACK_PAGES << PAGE_SHIFT);

    return thread_this()->stack_top != 0 && address < low && address >= low - PAGE_SIZE;
}

void thread_free(struct thread *t)
{
    while (!sched_has_left(t))
        port_relax(); /* another CPU is about to leave its stack */
    if (kva_free(va(t->stack_top)) != ERR_OK || heap_free(kernel_heap, t) != ERR_OK)
        PANIC("thread %s has lost its stack", t->name);
}

void thread_join(struct thread *t)
{
    uint64_t irq = irqlock_take(&ends.lock);

    ASSERT(thread_this()->process == NULL); /* nobody kills it: it need not stop waiting */
    while (!t->ending && waitq_wait(&ends, 0) == ERR_OK)
        ;
    irqlock_drop(&ends.lock, irq);
    thread_free(t);
}

void thread_kill(struct thread *t)
{
    atomic_store_explicit(&t->killed, true, memory_order_release);
    if (t == thread_this())
        atomic_fetch_or_explicit(&cpu_this()->attention, ATTENTION_KILLED, memory_order_relaxed);
    sched_ready(t);
}

/* ---- idle ---------------------------------------------------------------------------------------- */

/* Frames of zeroes are made one by one, with a look at the queue in between; then the CPU halts. Interrupts are off
 * from that look to the halt: a thread that one makes ready would not be seen. */
static NORETURN void idle(void *arg)
{
    (void)arg;
    for (;;) {
        cpu_cli();
        if (sched_anyone())
            thread_yield();
        else if (!frame_zero_idle())
            cpu_idle_wait();
        cpu_sti();
    }
}

err_t thread_start(void)
{
    struct thread *t;
    err_t          err = make("idle", NULL, idle, NULL, &t);

    return err == ERR_OK ? sched_start(t) : err;
}

/* ---- waiting ------------------------------------------------------------------------------------- */

static err_t sleep(uint64_t deadline)
{
    struct thread *me = thread_this();

    sched_waiting(deadline);
    if (atomic_load_explicit(&me->killed, memory_order_acquire))
        sched_ready(me); /* whoever kills it sets the mark first, and wakes it then: one of us is in time */
    sched_next();
    return atomic_load_explicit(&me->killed, memory_order_acquire) ? ERR_BUSY : ERR_NOENT;
}

err_t thread_sleep_ns(uint64_t ns)
{
    uint64_t irq = port_irq_save();
    err_t    err = sleep(cpu_rdtsc() + time_ticks(ns));

    port_irq_restore(irq);
    return err == ERR_NOENT ? ERR_OK : err;
}

static void join_queue(struct waitq *q, struct thread *t)
{
    t->waitq = q;
    t->wait_next = NULL;
    if (q->first == NULL)
        q->first = t;
    else
        q->last->wait_next = t;
    q->last = t;
}

static void leave_queue(struct waitq *q, struct thread *t)
{
    struct thread *before = NULL;

    for (struct thread *at = q->first; at != t; at = at->wait_next)
        before = at;
    *(before == NULL ? &q->first : &before->wait_next) = t->wait_next;
    if (q->last == t)
        q->last = before;
    t->waitq = NULL;
}

err_t waitq_wait(struct waitq *q, uint64_t deadline) NO_LOCK_ANALYSIS
{
    struct thread *me = thread_this();
    err_t          err;

    join_queue(q, me);
    sched_waiting(deadline);
    irqlock_drop_off(&q->lock);
    if (atomic_load_explicit(&me->killed, memory_order_acquire))
        sched_ready(me);
    sched_next();
    irqlock_take_off(&q->lock);
    if (me->waitq == NULL)
        return ERR_OK;
    leave_queue(q, me);
    err = atomic_load_explicit(&me->killed, memory_order_acquire) ? ERR_BUSY : ERR_NOENT;
    return err;
}

void waitq_wake(struct waitq *q)
{
    struct thread *t = q->first;

    q->first = q->last = NULL;
    while (t != NULL) {
        struct thread *next = t->wait_next;

        t->waitq = NULL;
        sched_ready(t);
        t = next;
    }
}
