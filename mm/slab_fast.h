/* SPDX-License-Identifier: MIT */
/*
 * mm/slab_fast.h - the few instructions that most calls consist of
 *
 * Inline for mm/heap.c and mm/heap_cache.c; what is rare is a call into mm/slab.c.
 */
#ifndef MM_SLAB_FAST_H
#define MM_SLAB_FAST_H

#include "mm/heap_core.h"

/* slab_take - the lowest free slot of the head slab; interrupts off; NULL: it has none, see slab_refill */
static inline void *slab_take(struct heap *h, unsigned class)
{
    struct slab *s = atomic_load_explicit(&h->cpu[port_cpu()], memory_order_relaxed)->head[class];
    uint64_t     free = atomic_load_explicit(&s->free, memory_order_relaxed);

    if (UNLIKELY(free == 0))
        return NULL;
    atomic_store_explicit(&s->free, free & (free - 1), memory_order_relaxed);
    return (void *)(h->base + ((uintptr_t)s->grain << GRAIN_SHIFT) + (uint32_t)__builtin_ctzll(free) * s->size);
}

/*
 * slab_find - the bit of the slot that starts at offset bytes of the window; 0: none does
 *
 *   offset * recip = slot * 2^32 + rest, and rest < recip only for multiples of the size. A tag has no slots.
 *   Source  Lemire, Kaser, Kurz, Faster remainder by direct computation (2019)
 */
static inline uint64_t slab_find(const struct slab *s, uintptr_t offset)
{
    uint64_t product = (offset - ((uintptr_t)s->grain << GRAIN_SHIFT)) * s->recip;

    return product >> 32 < s->n_slots && (uint32_t)product < s->recip ? (uint64_t)1 << (product >> 32) : 0;
}

/* slab_free - free a slot; interrupts off. Errors  ERR_NOT_ALLOC  it is free already */
static inline err_t slab_free(struct heap *h, struct slab *s, uint64_t bit)
{
    uint64_t free = atomic_load_explicit(&s->free, memory_order_relaxed);

    if (UNLIKELY(((free | atomic_load_explicit(&s->remote, memory_order_relaxed)) & bit) != 0))
        return ERR_NOT_ALLOC;
    if (UNLIKELY(s->owner != port_cpu()))
        return slab_free_remote(h, s, bit);

    atomic_store_explicit(&s->free, free | bit, memory_order_relaxed);
    if (UNLIKELY(free == 0 || (free | bit) == s->all))
        slab_changed(h, s);
    return ERR_OK;
}

#endif
