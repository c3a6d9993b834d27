/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_way.h - the long way: what stands between a call and the heap's core when the short one is closed
 *
 * A heap with a plain policy, in debug mode or under trace has a chain of ways. A call enters at the first; each
 * does its part and calls the next; the last one serves the call.
 */
#ifndef MM_HEAP_WAY_H
#define MM_HEAP_WAY_H

#include "mm/heap.h"
#include "mm/port.h"

struct heap_way;

struct heap_way_ops {
    void *(*alloc)(struct heap_way *w, struct heap *h, size_t size, size_t align, const void *caller);
    err_t (*free)(struct heap_way *w, struct heap *h, void *p, const void *caller);
    size_t (*usable)(struct heap_way *w, struct heap *h, const void *p); /* 0: no block starts at p */
    uint64_t (*trim)(struct heap_way *w, struct heap *h);
    err_t (*check)(struct heap_way *w, struct heap *h);
    void (*close)(struct heap_way *w, struct heap *h); /* the heap is destroyed */
};

struct heap_way {
    const struct heap_way_ops *ops;
    struct heap_way           *next; /* NULL for the last                    */
    struct irqlock            *lock; /* its own, below the heap's; may be NULL */
};

/* heap_way_core - slabs, extents and large blocks as the last way of a chain */
extern struct heap_way heap_way_core;

/* Ways to put in; each is made of the heap's private memory. NULL: no memory */
struct heap_way *heap_way_debug(struct heap *h) MUST_USE;
struct heap_way *heap_way_list(struct heap *h) MUST_USE;
struct heap_way *heap_way_bitmap(struct heap *h) MUST_USE;

/* Debug mode: the block at p becomes an object of `owner`; is there one of `owner` at p, in use? */
void heap_debug_own(struct heap *h, const void *p, const void *owner);
bool heap_debug_owned(struct heap *h, const void *p, const void *owner);

#endif
