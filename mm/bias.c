/* SPDX-License-Identifier: MIT */
/* mm/bias.c - the slow half of biased locks; mm/bias.h explains them */
#include "mm/bias.h"

#include "mm/types.h"

struct biased_place biased_places[PORT_CPUS_MAX];

/* Take the ownership from another CPU; the lock is held */
static void take_away(struct biased *b, unsigned owner)
{
    atomic_store_explicit(&b->owner, 0, memory_order_relaxed);
    port_fence_cpus();
    while (atomic_load_explicit(&biased_places[owner].inside, memory_order_acquire) == b) /* pairs with biased_drop */
        port_relax();
    b->wanted = (uint32_t)min_u64((uint64_t)b->wanted * 2, BIAS_STREAK_MAX);
}

void biased_wait(struct biased *b, unsigned cpu)
{
    uint32_t owner;

    atomic_store_explicit(&biased_places[cpu].inside, NULL, memory_order_release);
    if (atomic_exchange_explicit(&b->lock.held, 1, memory_order_acquire) != 0)
        irqlock_wait(&b->lock);
    owner = atomic_load_explicit(&b->owner, memory_order_relaxed);
    if (owner != 0)
        take_away(b, owner - 1);

    b->streak = b->last == cpu + 1 ? b->streak + 1 : 1;
    b->last = cpu + 1;
    if (b->streak >= b->wanted) {
        b->streak = 0;
        atomic_store_explicit(&b->owner, cpu + 1, memory_order_relaxed);
    }
}
