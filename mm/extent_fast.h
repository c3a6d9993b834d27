/* SPDX-License-Identifier: MIT */
/* mm/extent_fast.h - the bits of extents, and the way of a medium block that rests: inline for mm/extent.c and mm/heap.c */
#ifndef MM_EXTENT_FAST_H
#define MM_EXTENT_FAST_H

#include "mm/heap_core.h"

#define REST_MIN 3   /* grains: the first, the second and the last are three */
#define REST_MAX 512 /* 16 KiB                                               */

static inline bool bit_get(const uint64_t w[2], uint32_t g) { return w[g >> 6 & 1] >> (g & 63) & 1; }

static inline struct heap_grains *page_of(const struct heap_map *m, uint32_t g) { return &m->grains[g / GRAINS_PER_PAGE]; }

static inline bool is_start(const struct heap_map *m, uint32_t g) { return bit_get(page_of(m, g)->start, g); }
static inline bool is_mark(const struct heap_map *m, uint32_t g) { return bit_get(page_of(m, g)->free, g); }

/* extent_used - does a used extent start at g? (a slab's memory is one, too) */
static inline bool extent_used(const struct heap *h, uint32_t g)
{
    const struct heap_map *m = h->map;

    return is_start(m, g) && !is_mark(m, g) && (!is_mark(m, g + 1) || is_start(m, g + 1));
}

static inline uint32_t grains_of(size_t size) { return (uint32_t)((size + GRAIN_BYTES - 1) >> GRAIN_SHIFT); }

/* extent_at - the medium block that starts at p; 0: none does; lock held */
static inline uint32_t extent_at(const struct heap *h, const void *p)
{
    const struct slab *s = map_slab_at(h->map, p);

    if (s != map_slab(h->map, h->tag) || ((uintptr_t)p & (GRAIN_BYTES - 1)) != 0)
        return 0;

    uint32_t g = grain_of(h->map, p);

    return extent_used(h, g) ? g : 0;
}

/* extent_wake - the extent that rests in r stops doing so, and is used; returns it */
static inline uint32_t extent_wake(struct heap *h, struct extent_resting *r)
{
    uint32_t g = r->g;

    page_of(h->map, g + 1)->free[(g + 1) >> 6 & 1] &= ~((uint64_t)1 << ((g + 1) & 63));
    *r = (struct extent_resting){ 0 };
    return g;
}

/* extent_take - extent_alloc without alignment; lock held */
static inline uint32_t extent_take(struct heap *h, uint32_t n)
{
    struct extent_resting *r = &h->bins.resting[n % EXTENT_RESTING];

    return LIKELY(r->n == n) ? extent_wake(h, r) : extent_alloc(h, n, 1);
}

#endif
