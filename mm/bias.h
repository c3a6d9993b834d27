/* SPDX-License-Identifier: MIT */
/*
 * mm/bias.h - a lock that costs nothing while one CPU alone uses it
 *
 * Promise     as an irqlock; but a CPU that has taken it many times in a row without another one coming
 *             between is its owner, and from then on takes and drops it with plain stores and loads. The
 *             atomic exchange of a lock costs as much as all the rest of freeing a frame.
 *
 * Idea        The owner says where it is (`biased_inside`) and then looks whether it is still the owner; who
 *             wants the lock from it takes the ownership away and then looks where it is. Each needs a full
 *             fence in between. The owner's is the one that would cost, so the other one has it run by every
 *             CPU (port_fence_cpus): that takes microseconds, and becomes rare by itself, since each time
 *             the lock is taken away twice as many uses in a row are needed to own it again.
 *
 * Invariants  I1  who is neither owner nor has taken the ownership away is not inside
 *             I2  owner, last, streak and wanted change under `lock` only
 * Locks       interrupts are off; the rank is that of `lock`
 * Sources     Dice, Huang, Yang, "Asymmetric Dekker Synchronization" (2001); Kawachiya, Koseki, Onodera,
 *             "Lock Reservation" (OOPSLA 2002)
 */
#ifndef MM_BIAS_H
#define MM_BIAS_H

#include "mm/port.h"

#define BIAS_STREAK_MIN 16
#define BIAS_STREAK_MAX ((uint32_t)1 << 20)

struct CAPABILITY("biased") biased {
    struct irqlock   lock;
    _Atomic uint32_t owner;  /* number of the CPU + 1; 0: nobody     */
    uint32_t         last;   /* CPU + 1 that took it last            */
    uint32_t         streak; /* how often in a row                   */
    uint32_t         wanted; /* so long a streak makes an owner      */
};

#define BIASED(name, rank) { .lock = IRQLOCK(name, rank), .wanted = BIAS_STREAK_MIN }

/* The lock that a CPU holds as its owner; NULL most of the time. One at a time. */
struct biased_place {
    struct biased *_Atomic inside;
} __attribute__((aligned(64)));

extern struct biased_place biased_places[PORT_CPUS_MAX];

/* biased_wait - biased_take for all who are not the owner */
void biased_wait(struct biased *b, unsigned cpu);

/* biased_take, biased_drop - interrupts are off, `cpu` is the CPU that runs this */
static inline void biased_take(struct biased *b, unsigned cpu) ACQUIRES(b) NO_LOCK_ANALYSIS
{
    struct biased_place *me = &biased_places[cpu];

    atomic_store_explicit(&me->inside, b, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* the CPU's part of it: port_fence_cpus in biased_wait */
    if (UNLIKELY(atomic_load_explicit(&b->owner, memory_order_relaxed) != cpu + 1))
        biased_wait(b, cpu);
    irqlock_taken(&b->lock);
}

static inline void biased_drop(struct biased *b, unsigned cpu) RELEASES(b) NO_LOCK_ANALYSIS
{
    struct biased_place *me = &biased_places[cpu];

    irqlock_dropped(&b->lock);
    if (LIKELY(atomic_load_explicit(&me->inside, memory_order_relaxed) == b))
        atomic_store_explicit(&me->inside, NULL, memory_order_release); /* pairs with biased_wait's loop */
    else
        atomic_store_explicit(&b->lock.held, 0, memory_order_release); /* pairs with its exchange */
}

#endif
