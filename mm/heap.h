/* SPDX-License-Identifier: MIT */
/*
 * mm/heap.h - memory in bytes: allocate, resize, free
 *
 * A heap serves one user of memory from one page source (mm/heap_pages.h). The kernel has one,
 * kernel_heap; a process on Linux has one under malloc; tests make as many as they like.
 *
 * Every wrong free (an address that is not the start of a block, lies in nobody's memory, or was
 * freed before) is recognised, reported in words, and changes nothing.
 */
#ifndef MM_HEAP_H
#define MM_HEAP_H

#include "mm/err.h"
#include "mm/types.h"

struct heap;
struct heap_cache;
struct heap_map;

/* The kernel's heap, from stage 3 on (mm/heap_kernel.h) */
extern struct heap *kernel_heap;

/* ---- life cycle ---------------------------------------------------------------------------- */

enum heap_policy {
    HEAP_DEFAULT, /* slabs for small sizes, indexed extents for medium, page runs for large */
    HEAP_LIST,    /* plain first fit over a linked list of free extents                     */
    HEAP_BITMAP,  /* plain first fit over one bitmap                                        */
    HEAP_POLICIES
};

struct heap_config {
    const char      *name;        /* kept, not copied; NULL: "heap"                         */
    enum heap_policy policy;
    uint64_t         limit_bytes; /* pages it may hold, metadata not counted; 0 = no limit  */
    bool             debug;       /* red zones, fill, quarantine, callers (docs/heap-safety.md) */
};

/* heap_policy - the one it was made with */
enum heap_policy heap_policy(const struct heap *h);

/* heap_policy_name - "default", "list", "bitmap"; never NULL */
const char *heap_policy_name(enum heap_policy policy);

/*
 * heap_create - make an empty heap over `map`
 *
 *   map      names the page source; several heaps may share one
 *   config   copied; NULL means all zero
 *   out      written only on ERR_OK
 *
 *   Errors  ERR_NOMEM  not even the first page      ERR_INVAL  no such policy
 */
err_t heap_create(struct heap_map *map, const struct heap_config *config, struct heap **out) MUST_USE;

/*
 * heap_destroy - give every page of the heap back to its source, live blocks included
 *
 *   Nobody may use the heap or its blocks any more.   Cost  proportional to its pages
 */
void heap_destroy(struct heap *h);

/* ---- blocks -------------------------------------------------------------------------------- */

/*
 * heap_alloc - a block of at least `size` bytes, aligned to 16
 *
 *   size    0 gives a block of its own, too            [bytes]
 *
 *   Returns NULL when there is no memory, or size is absurd (near 2^64)
 *   Locks   small sizes: none in the common case; else takes the heap's lock. Interrupts may be off
 *   Cost    small: constant; contents undefined
 */
void *heap_alloc(struct heap *h, size_t size) MUST_USE;

/* heap_zalloc - heap_alloc, filled with zeroes */
void *heap_zalloc(struct heap *h, size_t size) MUST_USE;

/* heap_alloc_aligned - heap_alloc at a multiple of `align`, a power of two; NULL if it is none */
void *heap_alloc_aligned(struct heap *h, size_t size, size_t align) MUST_USE;

/*
 * heap_realloc - make the block at p `size` bytes long, moving it if need be
 *
 *   p       NULL: same as heap_alloc. Large blocks move by remapping where the source can
 *
 *   Returns NULL when there is no memory or p is no block; the old block is then untouched
 */
void *heap_realloc(struct heap *h, void *p, size_t size) MUST_USE;

/*
 * heap_free - give a block back; NULL is allowed and nothing
 *
 *   Errors  ERR_OUTSIDE    no memory of this heap     ERR_INSIDE  not the start of a block
 *           ERR_NOT_ALLOC  freed already, or never allocated
 *   A refused free has been logged with what the address is, so the result may be ignored.
 */
err_t heap_free(struct heap *h, void *p);

/*
 * heap_free_sized - heap_free by a caller who knows the size it asked for
 *
 *   Errors  as heap_free, and ERR_ORDER: the block is not of that size; nothing is freed
 */
err_t heap_free_sized(struct heap *h, void *p, size_t size);

/* heap_usable - bytes that may be used at p (>= what was asked for); 0 if p is no block of h */
size_t heap_usable(struct heap *h, const void *p);

/* ---- caches of objects --------------------------------------------------------------------- */

/*
 * heap_cache_create - a named supply of objects of one size
 *
 *   size, align   of an object: align is a power of two <= 1024, size <= 4096     [bytes]
 *   ctor, dtor    may be NULL. An object is constructed when its memory enters the cache and
 *                 destructed when it leaves: in between, free objects stay constructed. In debug mode
 *                 memory enters with each alloc and leaves with each free
 *
 *   Errors  ERR_NOMEM    ERR_INVAL  size or alignment out of range    ERR_BUSY  too many caches
 */
err_t heap_cache_create(struct heap *h, const char *name, size_t size, size_t align, void (*ctor)(void *),
                        void (*dtor)(void *), struct heap_cache **out) MUST_USE;

void *heap_cache_alloc(struct heap_cache *c) MUST_USE;
err_t heap_cache_free(struct heap_cache *c, void *object); /* errors as heap_free; ERR_OUTSIDE for another cache's, too */

/* heap_cache_destroy - ERR_BUSY while objects are in use (all must be free, on every CPU) */
err_t heap_cache_destroy(struct heap_cache *c) MUST_USE;

/* ---- upkeep -------------------------------------------------------------------------------- */

/*
 * heap_trim - give back every page that holds no block
 *
 *   Slabs that other CPUs hold are given back by them, at their next visit to the slow path.
 *   Returns pages given back.
 */
uint64_t heap_trim(struct heap *h);

/* heap_freeze, heap_thaw - hold every lock of the heap, those of its policy and of debug mode too, as around fork() */
void heap_freeze(struct heap *h);
void heap_thaw(struct heap *h);

/* ---- inspection ---------------------------------------------------------------------------- */

/*
 * heap_check - walk everything, compare everything
 *
 *   Other CPUs should be quiet.   Errors  ERR_CORRUPT  (the first finding has been logged)
 */
err_t heap_check(struct heap *h) MUST_USE;

struct heap_class_stats {
    uint32_t    size;  /* of a slot [bytes]             */
    uint64_t    runs;  /* slabs                         */
    uint64_t    used, free; /* slots                    */
    uint64_t    bytes; /* in slabs                      */
    const char *cache; /* name, or NULL: general class  */
};

struct heap_stats {
    uint64_t pages;        /* held now: slabs, extents and large blocks        */
    uint64_t pages_peak;
    uint64_t slab_bytes;   /* in slabs                                         */
    uint64_t extent_used, extent_used_bytes; /* medium blocks (slabs excluded) */
    uint64_t extent_free, extent_free_bytes; /* free extents                   */
    uint64_t largest_free; /* [bytes]                                          */
    uint64_t large, large_bytes;
    uint64_t wrong_frees;  /* refused so far                                   */
    uint64_t remote_frees; /* that came home from other CPUs                   */
};

#define HEAP_CLASSES 64

void heap_stats(struct heap *h, struct heap_stats *out);

/* heap_class_stats - returns how many of out[] were filled; classes that hold no slab are left out */
size_t heap_class_stats(struct heap *h, struct heap_class_stats out[HEAP_CLASSES]);

/* Blocks in use by the address that asked for them; debug mode only */
struct heap_leak {
    const void *caller;
    uint64_t    blocks, bytes;
};

/* heap_leaks - returns how many lines of out[room] were filled; with more callers than room, the largest */
size_t heap_leaks(struct heap *h, struct heap_leak out[], size_t room);

/* A block came (size > 0) or is about to go (size 0) */
struct heap_event {
    void  *block;
    size_t size, align;
};
typedef void (*heap_listener_t)(const struct heap_event *event);

/*
 * heap_trace_on - tell `listener` of every call from now on; heap_trace_off - no longer
 *
 *   No other CPU may be in the heap at that moment. The listener must not use the heap.
 *   Errors  ERR_NOMEM
 */
err_t heap_trace_on(struct heap *h, heap_listener_t listener) MUST_USE;
void  heap_trace_off(struct heap *h);

/*
 * heap_picture - a character for each KiB from the heap's first page on
 *
 *   out     out[n]: '#' slab, full  'o' slab, partly used  '.' slab, empty  '=' extents in use  '-' free
 *           '*' the heap's own  ' ' not this heap's
 *   from    first KiB wanted, counted from the heap's first page
 *
 *   Returns how many characters were written: fewer than n at the end.
 */
size_t heap_picture(struct heap *h, uint64_t from, char out[], size_t n);

/* What an address is, seen from the heap */
enum heap_what {
    HEAP_NOTHING,      /* no memory of this heap          */
    HEAP_SLOT,         /* a slot of a slab, used          */
    HEAP_SLOT_FREE,
    HEAP_EXTENT,       /* a medium block                  */
    HEAP_EXTENT_FREE,
    HEAP_LARGE,        /* a run of pages                  */
    HEAP_SLAB_EDGE     /* in a slab, behind its last slot */
};

struct heap_place {
    enum heap_what what;
    uintptr_t      start; /* of the block, slot or extent around the address */
    size_t         size;
};

/* heap_place - what lies at address `at`; locks the heap for a moment */
void heap_place(struct heap *h, const void *at, struct heap_place *out);

/* heap_walk - call fn for every block in use, in address order by kind; stops early when it returns false */
void heap_walk(struct heap *h, bool (*fn)(void *arg, const struct heap_place *block), void *arg);

#endif
