/* SPDX-License-Identifier: MIT */
/*
 * mm/slab_fast.h - the few instructions that most calls consist of
 *
 * Inline for the heap's calls; what is rare is a call into mm/slab.c.
 */
#ifndef MM_SLAB_FAST_H
#define MM_SLAB_FAST_H

#include "mm/heap_core.h"

static inline struct heap_cpu *slab_cpu(const struct heap *h)
{
    return atomic_load_explicit(&h->cpu[port_cpu()], memory_order_relaxed);
}

/* slab_take - the lowest free slot of this CPU's slab; interrupts off; NULL: it has none, see slab_next */
static inline void *slab_take(struct slab *s)
{
    uint64_t free = atomic_load_explicit(&s->free, memory_order_relaxed);

    if (UNLIKELY(free == 0))
        return NULL;
    atomic_store_explicit(&s->free, free & (free - 1), memory_order_relaxed);
    return (void *)(s->start + (uint32_t)__builtin_ctzll(free) * s->size);
}

/*
 * slab_exact - does a slot start at p, which lies in one of the slab's cells? Its number is below 64, but there may
 * be fewer slots. A tag has none.
 *
 *   offset * recip = slot * 2^32 + rest, and rest < recip only for multiples of the size. The cells hold 64 slots
 *   and no more, or less than one more than there are.
 *   Source  Lemire, Kaser, Kurz, Faster remainder by direct computation (2019)
 */
static inline bool slab_exact(const struct slab *s, const void *p, unsigned *slot)
{
    uint64_t product = ((uintptr_t)p - s->start) * s->recip;

    *slot = (unsigned)(product >> 32);
    return (uint32_t)product < s->recip;
}

/* slab_give - the slot at p of this CPU's slab becomes free; returns slab_idle; 0: none starts there, or it was free */
static inline uint64_t slab_give(struct slab *s, const void *p)
{
    unsigned slot;

    if (!slab_exact(s, p, &slot))
        return 0;

    uint64_t bit = (uint64_t)1 << slot;
    uint64_t free = atomic_load_explicit(&s->free, memory_order_relaxed);
    uint64_t idle = free | atomic_load_explicit(&s->remote, memory_order_relaxed);

    if ((idle & bit) != 0)
        return 0;
    atomic_store_explicit(&s->free, free | bit, memory_order_relaxed);
    return idle | bit;
}

/* slab_free_here - slab_give, if the slab is on this CPU's lists; interrupts off */
static inline uint64_t slab_free_here(const struct heap *h, struct slab *s, const void *p)
{
    if (atomic_load_explicit(&s->home, memory_order_relaxed) != (uintptr_t)slab_cpu(h))
        return 0;
    return slab_give(s, p);
}

#endif
