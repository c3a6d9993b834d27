/* SPDX-License-Identifier: MIT */
/* mm/heap_core.h - struct heap and what the heap's own files share; nobody else includes it */
#ifndef MM_HEAP_CORE_H
#define MM_HEAP_CORE_H

#include "mm/extent.h"
#include "mm/heap.h"
#include "mm/heap_way.h"
#include "mm/heap_map.h"
#include "mm/slab.h"

/* Above this, a block is a run of pages of its own. */
#define LARGE_MIN ((size_t)(128 * KIB))

/* No request is larger: sums with it never wrap. */
#define HEAP_SIZE_MAX ((size_t)1 << 46)

struct heap_large {
    uintptr_t start; /* 0: entry is free */
    uint64_t  n_pages;
};

/* Large blocks by address: open addressing, at most half full */
struct heap_larges {
    struct heap_large *table;
    uint32_t           n_pages; /* of the table                    */
    uint32_t           shift;   /* 64 - log2 of its entries        */
    uint64_t           n;       /* blocks in it                    */
    uint64_t           bytes;   /* pages of those blocks, in bytes */
};

/*
 *   [h] heap->lock    [c] constant after heap_create    [a] atomic    [q] changed only while quiet
 */
struct heap {
    /* Read by every call; see heap_gates */
    const struct heap_map *open_map;     /* [q] map, or heap_map_shut                          */
    _Atomic size_t    fast_max;          /* [a] small_max, or 0; written under the lock        */
    struct heap_map  *map;               /* [c]                                             */
    struct heap_cpu *_Atomic cpu[PORT_CPUS_MAX]; /* [a] set once by their own CPU                 */

    struct heap_way     *ways;           /* [q] the long way; NULL: only the core           */
    struct heap_way     *trace;          /* [h] once made, kept                             */
    struct irqlock       lock;
    const char          *name;           /* [c]                                             */
    enum heap_policy     policy;         /* [c]                                             */
    bool                 is_debug;       /* [c]                                             */
    uint32_t             tag;            /* [c] owner of cells that belong to extents       */
    uint32_t             class_size[HEAP_CLASSES]; /* [h] bytes of a slot, 0: unused. Caches come and go */
    struct extent_bins   bins;           /* [h]                                             */
    struct heap_larges   larges;         /* [h]                                             */
    struct heap_cache   *caches[HEAP_CLASSES]; /* [h] by class                              */
    _Atomic size_t       small_max;      /* [a] largest size that gets a slot               */
    uint64_t             pages_small;    /* [h] with so many pages, small_max doubles       */
    uint64_t             limit_pages;    /* [c]                                             */
    uint64_t             pages, pages_peak; /* [h] held, of the window and in runs          */
    uint64_t             page_low, page_end; /* [h] pages of the window it ever held lie in here */
    _Atomic uint64_t     wrong_frees;    /* [a]                                             */
    char                *spare;          /* [h] rest of the newest private page             */
    size_t               spare_bytes;    /* [h]                                             */
};

/*
 * heap_lock, heap_unlock - heap->lock; while there is one CPU, interrupts off are lock enough, and
 * an atomic exchange would be a third of a medium block's cost. The number of CPUs rises only while the
 * first one is outside of any heap.
 */
static inline uint64_t heap_lock(struct heap *h) ACQUIRES(&h->lock) NO_LOCK_ANALYSIS
{
    if (port_cpus() > 1)
        return irqlock_take(&h->lock);

    uint64_t flags = port_irq_save();

    irqlock_taken(&h->lock);
    return flags;
}

static inline void heap_unlock(struct heap *h, uint64_t flags) RELEASES(&h->lock) NO_LOCK_ANALYSIS
{
    irqlock_drop(&h->lock, flags); /* a lock that was not taken may be dropped, too */
}

/* heap_page_end - no page of the heap's lies at or above this one, and all below have metadata */
static inline uint64_t heap_page_end(const struct heap *h)
{
    return min_u64(h->page_end, map_pages(h->map));
}

/*
 * heap_gates - open the short ways of alloc and free, or shut them when every call must take the long one: then no
 * size is small, and no address is known; lock held, no other CPU in the heap
 */
static inline void heap_gates(struct heap *h)
{
    bool open = h->ways == NULL;

    h->open_map = open ? h->map : &heap_map_shut;
    atomic_store_explicit(&h->fast_max, open ? h->small_max : 0, memory_order_relaxed);
}

/* heap_slab_at - the slab or tag of this heap that p lies in; NULL: not in its part of the window */
static inline struct slab *heap_slab_at(const struct heap *h, const void *p)
{
    struct slab *s = map_slab_at(h->map, p);

    return s->heap == h ? s : NULL;
}

/* heap_pages_take - pages of the window for this heap, counted and within its limit; lock held */
err_t heap_pages_take(struct heap *h, size_t n_pages, uint64_t *first_page) MUST_USE;
void  heap_pages_give(struct heap *h, uint64_t first_page, size_t n_pages);

/* heap_private - memory for the heap's own use, zeroed, never freed before the heap; lock held */
void *heap_private(struct heap *h, size_t bytes) MUST_USE;

/* Large blocks, found by start or (slowly) by any address in them; lock held for these two */
struct heap_large *large_find(struct heap *h, const void *p);
struct heap_large *large_around(struct heap *h, const void *p);

/*
 * large_alloc, large_free, large_resize - called without the lock, since the source may have to wait
 * for other CPUs. free and resize return false and NULL if no large block starts at p.
 */
void *large_alloc(struct heap *h, size_t size, size_t align, bool *zeroed) MUST_USE;
bool  large_free(struct heap *h, void *p) MUST_USE;
void *large_resize(struct heap *h, void *p, size_t size) MUST_USE;
void  large_free_all(struct heap *h);
size_t large_size(struct heap *h, const void *p); /* 0: none starts there */

/* heap_run_take, heap_run_give - pages in a row for a way's own use, counted and within the limit; no lock of rank >= 10 held */
err_t heap_run_take(struct heap *h, size_t n_pages, void **out) MUST_USE;
void  heap_run_give(struct heap *h, void *start, size_t n_pages);

/* Past all ways: slabs, extents, large blocks */
err_t  heap_core_free(struct heap *h, void *p);
size_t heap_core_usable(struct heap *h, const void *p);
err_t  heap_core_check(struct heap *h) MUST_USE;

/* heap_alloc_for - heap_alloc on behalf of `caller` */
void *heap_alloc_for(struct heap *h, size_t size, const void *caller) MUST_USE;

/* heap_refuse - log what p is that `call` was given; the answer is also the error, unless a way has `err` of its own */
err_t heap_refuse(struct heap *h, const void *p, const char *call, err_t err);

/* Caches: their slots are constructed when a slab is made, destructed when it goes */
void        heap_cache_enter(struct heap *h, const struct slab *s);
void        heap_cache_leave(struct heap *h, const struct slab *s);
const char *heap_cache_name(const struct heap *h, unsigned class); /* NULL: a general class */

#endif
