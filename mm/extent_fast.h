/* SPDX-License-Identifier: MIT */
/* mm/extent_fast.h - the bits of extents, and the way of a medium block that rests: inline for mm/extent.c and mm/heap.c */
#ifndef MM_EXTENT_FAST_H
#define MM_EXTENT_FAST_H

#include "mm/heap_core.h"

#define REST_MAX 512 /* grains: 16 KiB */

static inline bool bit_get(const uint64_t w[2], uint32_t g) { return w[g >> 6 & 1] >> (g & 63) & 1; }

static inline struct heap_grains *page_of(const struct heap_map *m, uint32_t g) { return &m->grains[g / GRAINS_PER_PAGE]; }

static inline bool is_start(const struct heap_map *m, uint32_t g) { return bit_get(page_of(m, g)->start, g); }
static inline bool is_mark(const struct heap_map *m, uint32_t g) { return bit_get(page_of(m, g)->free, g); }

static inline uint32_t grains_of(size_t size) { return (uint32_t)((size + GRAIN_BYTES - 1) >> GRAIN_SHIFT); }

/* extent_place - where an extent of n grains would rest */
static inline struct extent_resting *extent_place(struct heap *h, uint32_t n)
{
    return &h->bins.resting[n % EXTENT_RESTING];
}

/* extent_at - the used or resting extent that starts at p, in a cell that bears the heap's tag; 0: none; lock held */
static inline uint32_t extent_at(const struct heap *h, const void *p)
{
    uint32_t                  g = grain_of(h->map, p);
    const struct heap_grains *page = page_of(h->map, g);

    if (((uintptr_t)p & (GRAIN_BYTES - 1)) != 0)
        return 0;
    return bit_get(page->start, g) && !bit_get(page->free, g) ? g : 0;
}

/* extent_used - the medium block that starts at p, any address; 0: none does; lock held */
static inline uint32_t extent_used(const struct heap *h, const void *p)
{
    uint32_t g = map_slab_at(h->map, p) == map_slab(h->map, h->tag) ? extent_at(h, p) : 0;

    return g != 0 && !extent_rests(h, g) ? g : 0;
}

/* extent_take - extent_alloc without alignment; lock held */
static inline uint32_t extent_take(struct heap *h, uint32_t n)
{
    struct extent_resting *r = extent_place(h, n);
    uint32_t               g = r->g;

    if (UNLIKELY(r->n != n))
        return extent_alloc(h, n, 1);
    *r = (struct extent_resting){ 0 };
    return g;
}

#endif
