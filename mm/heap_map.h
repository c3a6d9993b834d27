/* SPDX-License-Identifier: MIT */
/* mm/heap_map.h - what lies where in a window of pages: the metadata of heaps, outside all blocks */
#ifndef MM_HEAP_MAP_H
#define MM_HEAP_MAP_H

#include "mm/heap_pages.h"
#include "mm/port.h"

#define GRAIN_SHIFT     5 /* extents are multiples of 32 bytes                        */
#define GRAIN_BYTES     ((size_t)1 << GRAIN_SHIFT)
#define CELL_SHIFT      10 /* a slab starts at a multiple of 1 KiB, one slab at most   */
#define CELL_BYTES      ((size_t)1 << CELL_SHIFT)
#define GRAINS_PER_PAGE ((uint32_t)(PAGE_SIZE / GRAIN_BYTES))
#define CELLS_PER_PAGE  ((uint32_t)(PAGE_SIZE / CELL_BYTES))
#define GRAINS_PER_CELL ((uint32_t)(CELL_BYTES / GRAIN_BYTES))

/*
 * Two numberings run through the window: grains of 32 bytes and cells of 1 KiB. The window's first
 * page has number 1, so that grain 0, cell 0 and page 0 do not exist and can mean "none".
 */

/* Where extents begin and which are free, for the 128 grains of a page */
struct heap_grains {
    uint64_t start[2]; /* grain is the first of an extent, used or free      */
    uint64_t free[2];  /* grain is the first or the last of a free extent    */
};

#define SLAB_NONE    0u
#define CLASS_EXTENT 63 /* slab.class of a heap's tag: "this cell belongs to the heap's extents"; it has no slots */

/*
 * One run of slots of equal size; or a heap's tag, which marks the cells its extents own and has no slots.
 * A cache line: a call touches no other metadata, but for the cell that leads here.
 *   [o] the owning CPU with interrupts off    [c] constant while the slab lives    [a] atomic
 */
struct slab {
    _Alignas(64) _Atomic uint64_t free; /* [o] bit set: slot is free; others may only look        */
    _Atomic uint64_t  remote;           /* [a] freed by other CPUs, not yet seen by the owner; and all bits behind the last slot */
    uintptr_t         start;            /* [c] address of slot 0                                  */
    _Atomic uintptr_t home;             /* [o] the owner's struct heap_cpu, + SLAB_ASIDE while on none of its lists */
    struct heap      *heap;             /* [c] NULL: the descriptor is unused                     */
    uint32_t          next, prev;       /* [o] list of slabs with a free slot; next: unused ones  */
    _Atomic uint32_t  inbox_next;       /* [a] by whoever holds it: see mm/slab.c                 */
    uint32_t          recip;            /* [c] ceil(2^32 / size), 0 for a tag: see slab_exact     */
    uint16_t          size;             /* [c] of a slot                                  [bytes] */
    uint8_t           class;            /* [c] size class or cache, or CLASS_EXTENT               */
    uint8_t           n_slots;          /* [c]                                                    */
};

#define SLAB_ASIDE ((uintptr_t)1)

_Static_assert(sizeof(struct slab) == 64, "a slab's descriptor is a cache line");

/* One array of the metadata, of which only the beginning has memory */
struct heap_part {
    char    *at;     /* where it begins, on a page boundary         */
    uint64_t usable; /* so many bytes of it have memory: whole pages */
};

enum heap_part_name { PART_CELLS, PART_GRAINS, PART_INNER, PART_SLABS, HEAP_PARTS };

/*
 * The metadata of a window. What is behind the pointers is usable only as far as `cells_known`
 * and `n_slabs` descriptors reach.
 */
struct heap_map {
    struct heap_pages  *source;     /* [c]                                                    */
    uintptr_t           base;       /* [c] address of page 0, one page below the window       */
    uint32_t           *cells;      /* slab or tag that owns each cell, SLAB_NONE: nobody. Before it: see map_inner */
    struct heap_grains *grains;     /* per page                                               */
    struct slab        *slabs;
    _Atomic uint64_t    cells_known; /* [a] cells below, of whole pages, have metadata; falls only by trim */
    struct irqlock      lock;       /* guards what follows and growth of the arrays           */
    uint32_t            n_slabs;    /* descriptors ever made                                  */
    uint32_t            n_used;     /* descriptors in use                                     */
    uint32_t            unused;     /* list through next                                      */
    struct heap_part    parts[HEAP_PARTS];
    uint64_t            meta_pages; /* usable metadata                                        */
};

/* The map of nothing: no address has metadata */
extern struct heap_map heap_map_shut;

/*
 * heap_map_open - empty metadata over a source; the source must stay
 *
 *   Errors  ERR_INVAL  window too large or not page-aligned     ERR_NOMEM
 */
err_t heap_map_open(struct heap_map *m, struct heap_pages *source) MUST_USE;

/* heap_map_close - all metadata goes back to the source; no heap may be left on it */
void heap_map_close(struct heap_map *m);

/* heap_map_trim - drop metadata behind the last page in use; returns pages */
uint64_t heap_map_trim(struct heap_map *m);

/* heap_map_know - metadata for pages up to (not including) `end` becomes usable */
err_t heap_map_know(struct heap_map *m, uint64_t end) MUST_USE;

/* heap_map_slab_new, heap_map_slab_put - a descriptor, zeroed, and its return */
err_t heap_map_slab_new(struct heap_map *m, uint32_t *out) MUST_USE;
void  heap_map_slab_put(struct heap_map *m, uint32_t id);

static inline struct slab *map_slab(const struct heap_map *m, uint32_t id) { return &m->slabs[id]; }

static inline void *grain_ptr(const struct heap_map *m, uint32_t grain)
{
    return (void *)(m->base + ((uintptr_t)grain << GRAIN_SHIFT)); /* the one way from numbers to pointers */
}

/*
 * map_inner - word i of the bits of pages, 64 in a word: owned by extents, and none begins in it. They grow downwards
 * from the first cell, so that in a small heap both arrays share a page.
 */
static inline uint64_t *map_inner(const struct heap_map *m, uint64_t i) { return (uint64_t *)(void *)m->cells - 1 - i; }

/* map_pages - pages [0, this) have metadata */
static inline uint64_t map_pages(const struct heap_map *m)
{
    return atomic_load_explicit(&m->cells_known, memory_order_acquire) / CELLS_PER_PAGE;
}

/* map_slab_at - the slab or tag that owns the cell p lies in; slabs[0], which is nobody's, if the address has no metadata */
static inline struct slab *map_slab_at(const struct heap_map *m, const void *p)
{
    uintptr_t    cell = ((uintptr_t)p - m->base) >> CELL_SHIFT;
    struct slab *s = m->slabs;

    if (LIKELY(cell < atomic_load_explicit(&m->cells_known, memory_order_acquire)))
        s += m->cells[cell];
    return s;
}

static inline uint32_t grain_of(const struct heap_map *m, const void *p)
{
    return (uint32_t)(((uintptr_t)p - m->base) >> GRAIN_SHIFT);
}

/* map_owner - heap that owns a grain, NULL for none */
static inline struct heap *map_owner(const struct heap_map *m, uint32_t grain)
{
    return map_slab(m, m->cells[grain / GRAINS_PER_CELL])->heap;
}

#endif
