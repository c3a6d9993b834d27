/* SPDX-License-Identifier: MIT */
/*
 * core/proc/sched.c - whose turn it is on a CPU
 *
 * Promise     Round robin: each thread in a CPU's queue gets 4 ms at a time. A thread that sleeps is woken by
 *             the first timer interrupt after its deadline.
 *
 * Picture     queue     first -> B -> C -> D <- last        A runs; it goes to the end when its time is up
 *             sleepers  E (12 ms) -> F (40 ms)              by deadline
 *
 *             The timer is set for the nearer of the end of A's slice, if somebody is in the queue, and E's
 *             deadline. So a thread that is alone is never interrupted.
 *
 * Switching   The lock of a queue is held from before a thread's state changes until the next one runs: A takes it,
 *             the thread that goes on drops it. So nobody who holds it sees a thread half switched.
 *
 * Preemption  An interrupt sets ATTENTION_RESCHED; core/x86/trap.c yields when it returns to where interrupts
 *             were on. Locks keep them off.
 *
 * Locks       runq.lock (rank 58) of the CPU the thread belongs to; threads don't move. Nothing is taken under it
 *             but what as_switch() takes.
 */
#include "core/proc/sched.h"

#include "core/proc/proc.h"
#include "core/proc/segments.h"
#include "core/x86/gdt.h"
#include "core/x86/switch.h"
#include "core/x86/time.h"
#include "core/x86/timer.h"

struct runq {
    struct irqlock lock;
    struct thread *first, *last; /* [lock] ready, in the order of their turns                 */
    struct thread *sleepers;     /* [lock] with a deadline, the earliest first                */
    struct thread *idle;         /* [c] when nobody is ready; never in the queue              */
    uint64_t       began;        /* [lock] TSC: since when the thread runs                    */
    uint64_t       slice_end;    /* [lock] TSC                                                */
    uint64_t       armed;        /* [lock] TSC: what the timer is set for, 0: nothing         */
};

static struct {
    uint64_t    slice; /* [c] in ticks of the TSC */
    struct runq queue[PORT_CPUS_MAX];
} sc;

static struct runq *own_queue(void) { return cpu_this()->queue; }

/* ---- the queue, its lock held --------------------------------------------------------------- */

static void enqueue(struct runq *q, struct thread *t)
{
    t->state = THREAD_READY;
    t->next = NULL;
    if (q->first == NULL)
        q->first = t;
    else
        q->last->next = t;
    q->last = t;
}

static struct thread *dequeue(struct runq *q)
{
    struct thread *t = q->first;

    if (t == NULL)
        return q->idle;
    q->first = t->next;
    return t;
}

static void sleeper_add(struct runq *q, struct thread *t)
{
    struct thread **at = &q->sleepers;

    while (*at != NULL && (*at)->deadline <= t->deadline)
        at = &(*at)->sleep_next;
    t->sleep_next = *at;
    *at = t;
}

static void sleeper_remove(struct runq *q, struct thread *t)
{
    struct thread **at = &q->sleepers;

    if (t->deadline == 0)
        return;
    while (*at != t)
        at = &(*at)->sleep_next;
    *at = t->sleep_next;
    t->deadline = 0;
}

static void arm(struct runq *q, uint64_t deadline)
{
    if (q->armed != 0 && q->armed <= deadline)
        return; /* it comes earlier, and looks again then */
    q->armed = deadline;
    timer_set(deadline);
}

static void make_ready(struct runq *q, struct thread *t)
{
    struct cpu *cpu = cpu_this();

    if (q->first == NULL && cpu->thread != q->idle) { /* until now it was alone, without a slice */
        q->slice_end = cpu_rdtsc() + sc.slice;
        arm(q, q->slice_end);
    }
    sleeper_remove(q, t);
    enqueue(q, t);
    if (cpu->thread == q->idle)
        atomic_fetch_or_explicit(&cpu->attention, ATTENTION_RESCHED, memory_order_relaxed);
}

/* ---- switching ------------------------------------------------------------------------------- */

/* The state of the thread that calls is set, and it is in the queue if it is ready. */
static inline ALWAYS_INLINE void switch_to_next(struct runq *q)
{
    struct cpu    *cpu = cpu_this();
    struct thread *me = cpu->thread, *next = dequeue(q);
    uint64_t       now = cpu_rdtsc();

    next->state = THREAD_RUNNING;
    me->cpu_ticks += now - q->began;
    q->began = now;
    q->slice_end = now + sc.slice;
    if (q->first != NULL)
        arm(q, q->slice_end);
    atomic_store_explicit(&cpu->attention, next->killed ? ATTENTION_KILLED : 0, memory_order_relaxed);
    if (next == me)
        return;
    cpu->thread = next;
    gdt_ring0_stack((void *)next->stack_top);
    if (UNLIKELY(me->process != NULL && me->process->segments != NULL))
        segments_leave(me->process->segments);
    as_switch(next->process != NULL ? &next->process->as : NULL);
    if (UNLIKELY(next->process != NULL && next->process->segments != NULL))
        segments_enter(next->process->segments);
    thread_switch(&me->rsp, next->rsp);
}

void sched_begin(void) NO_LOCK_ANALYSIS
{
    irqlock_drop_off(&own_queue()->lock);
    cpu_sti();
}

void sched_next(void)
{
    struct runq *q = own_queue();

    irqlock_take_off(&q->lock);
    switch_to_next(q);
    irqlock_drop_off(&q->lock);
}

void thread_yield(void)
{
    struct runq   *q = own_queue();
    struct thread *me = thread_this();
    uint64_t       irq = irqlock_take(&q->lock);

    if (me != q->idle)
        enqueue(q, me);
    switch_to_next(q);
    irqlock_drop(&q->lock, irq);
}

void sched_end(void)
{
    cpu_cli();
    irqlock_take_off(&own_queue()->lock);
    thread_this()->state = THREAD_ENDED;
    switch_to_next(own_queue());
    PANIC("a thread that ended runs");
}

/* ---- sleeping and waking --------------------------------------------------------------------- */

void sched_waiting(uint64_t deadline)
{
    struct runq   *q = own_queue();
    struct thread *me = thread_this();
    uint64_t       irq = irqlock_take(&q->lock);

    me->state = THREAD_WAITING;
    me->deadline = deadline;
    if (deadline != 0) {
        sleeper_add(q, me);
        arm(q, deadline);
    }
    irqlock_drop(&q->lock, irq);
}

void sched_ready(struct thread *t)
{
    struct runq *q = &sc.queue[t->cpu];
    uint64_t     irq = irqlock_take(&q->lock);

    if (t->state == THREAD_WAITING)
        make_ready(q, t);
    irqlock_drop(&q->lock, irq);
}

bool sched_has_left(struct thread *t)
{
    struct runq *q = &sc.queue[t->cpu];
    uint64_t     irq = irqlock_take(&q->lock);
    bool         left = t->state == THREAD_ENDED;

    irqlock_drop(&q->lock, irq);
    return left;
}

bool sched_anyone(void)
{
    struct runq *q = own_queue();
    uint64_t     irq = irqlock_take(&q->lock);
    bool         anyone = q->first != NULL;

    irqlock_drop(&q->lock, irq);
    return anyone;
}

/* The timer. It may come early: what is not due yet is waited for again. */
static void tick(void *arg)
{
    struct runq *q = arg;
    struct cpu  *cpu = cpu_this();
    uint64_t     now = cpu_rdtsc();

    irqlock_take_off(&q->lock);
    q->armed = 0;
    while (q->sleepers != NULL && q->sleepers->deadline <= now)
        make_ready(q, q->sleepers);
    if (q->first != NULL && now >= q->slice_end)
        atomic_fetch_or_explicit(&cpu->attention, ATTENTION_RESCHED, memory_order_relaxed);
    else if (q->first != NULL)
        arm(q, q->slice_end);
    if (q->sleepers != NULL)
        arm(q, q->sleepers->deadline);
    irqlock_drop_off(&q->lock);
}

err_t sched_start(struct thread *idle)
{
    struct runq *q = cpu_this()->queue = &sc.queue[port_cpu()];

    *q = (struct runq){ .lock = IRQLOCK("runq", 58), .idle = idle, .began = cpu_rdtsc() };
    sc.slice = time_ticks(SCHED_SLICE_NS);
    return timer_start(tick, q);
}
