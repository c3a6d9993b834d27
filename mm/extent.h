/* SPDX-License-Identifier: MIT */
/* mm/extent.h - medium blocks, and the memory of slabs: address ranges cut from pages, neighbours merged */
#ifndef MM_EXTENT_H
#define MM_EXTENT_H

#include "mm/err.h"
#include "mm/types.h"

struct heap;

#define EXTENT_BINS 224

/* Extents freed lately, unmerged: one in each place, found by its size */
#define EXTENT_RESTING 16

struct extent_resting {
    uint32_t g, n; /* g 0: none */
};

/* Free extents by size; a list per bin. Guarded by the heap's lock. */
struct extent_bins {
    struct extent_resting resting[EXTENT_RESTING];
    uint64_t map[(EXTENT_BINS + 63) / 64]; /* bin holds something                    */
    uint32_t head[EXTENT_BINS];            /* first grain of a free extent, 0: none   */
    uint64_t n_free, free_grains;          /* resting ones not counted               */
};

/* Sizes and places are in grains of 32 bytes; 0 is no place. All need the heap's lock. */

/* extent_alloc - n grains at a multiple of `align` grains (a power of two), taking pages if need be; 0: no memory */
uint32_t extent_alloc(struct heap *h, uint32_t n, uint32_t align) MUST_USE;

/* extent_free - the used extent that starts at g; false: it is free already, at rest */
bool extent_free(struct heap *h, uint32_t g) MUST_USE;

/* extent_resize - to n grains where it stands; false: something is in the way */
bool extent_resize(struct heap *h, uint32_t g, uint32_t n) MUST_USE;

/* extent_end - first grain behind the extent that starts at g */
uint32_t extent_end(const struct heap *h, uint32_t g);

/* extent_around - start of the extent, used or free, that g lies in; 0: in none */
uint32_t extent_around(const struct heap *h, uint32_t g);

bool extent_is_free(const struct heap *h, uint32_t g); /* of one that starts at g, resting or not */
bool extent_rests(const struct heap *h, uint32_t g);

/* extent_settle - merge all that rests; true if there was anything */
bool extent_settle(struct heap *h);

/* extent_trim - give back every page without a block; returns pages */
uint64_t extent_trim(struct heap *h);

/* extent_next - first extent start at or after g and before `end`; returns `end` if there is none */
uint32_t extent_next(const struct heap *h, uint32_t g, uint32_t end);

/* extent_check - every free extent in its bin, merged, its links mutual */
err_t extent_check(struct heap *h) MUST_USE;

#endif
