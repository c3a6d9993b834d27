/* SPDX-License-Identifier: MIT */
/*
 * mm/heap.c - the heap: which size goes where
 *
 * Promise     heap_alloc gives a block that overlaps no other; heap_free takes back exactly such blocks
 *             and refuses, in words, whatever else it is given.
 *
 * Picture
 *               size           1 .. 512        .. 128 KiB               above
 *               lives in       slab.c          extent.c                 heap_large.c
 *               found by       cells[address]  cells[address], bits     hash of the address
 *               placed         lowest slot     good fit, merged at once source's choice
 *
 *             All memory of slabs and extents lies in the window of one page source (heap_map.c). A
 *             slab is itself an extent, so empty slabs feed medium blocks and the other way round.
 *
 *             The short way of a call is for small blocks of slabs this CPU has at hand: a bit is taken or given
 *             (slab_fast.h). Everything else, and every call while heap_gates are shut, takes the long one.
 *
 * Locks       heap->lock, rank 10; small blocks touch only their CPU's state, with interrupts off
 * Failure     NULL. Before giving up, a heap gives back what it holds for nothing and tries again.
 */
#include "mm/heap.h"

#include "mm/extent_fast.h"
#include "mm/slab_fast.h"

/* ---- allocation ------------------------------------------------------------------------------ */

static inline void *slot_alloc(struct heap *h, unsigned class)
{
    uint64_t flags = port_irq_save();
    void    *p = slab_next(h, class);

    port_irq_restore(flags);
    return p;
}

static inline void *extent_block(struct heap *h, size_t size, size_t align)
{
    uint64_t flags = heap_lock(h);
    uint32_t g = align <= GRAIN_BYTES ? extent_take(h, grains_of(size)) :
                                        extent_alloc(h, grains_of(size), (uint32_t)(align >> GRAIN_SHIFT));

    heap_unlock(h, flags);
    return LIKELY(g != 0) ? grain_ptr(h->map, g) : NULL;
}

static void *place_block(struct heap *h, size_t size, size_t align, bool *zeroed)
{
    if (align_up(size, align) <= (align > 16 ? SLAB_SURE : h->small_max)) /* a class that is a multiple of align */
        return slot_alloc(h, slab_class_of[(align_up(size, align) - 1) / 16]);
    if (size <= LARGE_MIN && align <= PAGE_SIZE)
        return extent_block(h, size, align);
    return large_alloc(h, size, align, zeroed);
}

static uint64_t core_trim(struct heap *h);

/* When there is no memory, all that is held for nothing is given back, and it is tried again. */
static void *core_alloc(struct heap *h, size_t size, size_t align, bool *zeroed)
{
    void *p = place_block(h, size, align, zeroed);

    return LIKELY(p != NULL) || core_trim(h) == 0 ? p : place_block(h, size, align, zeroed);
}

static NOINLINE void *alloc_long(struct heap *h, size_t size, size_t align, bool zero, const void *caller)
{
    bool zeroed = false;

    if (size > HEAP_SIZE_MAX || align > HEAP_SIZE_MAX)
        return NULL;
    size = size != 0 ? size : 1;

    void *p = h->ways == NULL ? core_alloc(h, size, align, &zeroed) : h->ways->ops->alloc(h->ways, h, size, align, caller);

    if (p != NULL && zero && !zeroed)
        __builtin_memset(p, 0, size);
    return p;
}

static NOINLINE void *alloc_medium(struct heap *h, size_t size, bool zero, const void *caller)
{
    void *p = size - 1 < LARGE_MIN && h->ways == NULL ? extent_block(h, size, 16) : NULL;

    if (UNLIKELY(p == NULL))
        return alloc_long(h, size, 16, zero, caller);
    return zero ? __builtin_memset(p, 0, size) : p;
}

/* The short way ended: the next slab of the class. */
static NOINLINE void *alloc_next(struct heap *h, size_t size, bool zero, const void *caller)
{
    void *p = slot_alloc(h, slab_class_of[(size - 1) / 16]);

    if (UNLIKELY(p == NULL))
        return alloc_long(h, size, 16, zero, caller);
    return zero ? __builtin_memset(p, 0, size) : p;
}

static inline void *alloc_any(struct heap *h, size_t size, bool zero, const void *caller)
{
    if (UNLIKELY(size - 1 >= atomic_load_explicit(&h->fast_max, memory_order_relaxed)))
        return alloc_medium(h, size, zero, caller);

    uint64_t flags = port_irq_save();
    void    *p = slab_take(slab_cpu(h)->head[slab_class_of[(size - 1) / 16]]);

    if (UNLIKELY(p == NULL)) {
        port_irq_restore(flags);
        return alloc_next(h, size, zero, caller);
    }
    port_irq_restore(flags);
    return zero ? __builtin_memset(p, 0, size) : p;
}

void *heap_alloc(struct heap *h, size_t size) { return alloc_any(h, size, false, __builtin_return_address(0)); }
void *heap_zalloc(struct heap *h, size_t size) { return alloc_any(h, size, true, __builtin_return_address(0)); }
void *heap_alloc_for(struct heap *h, size_t size, const void *caller) { return alloc_any(h, size, false, caller); }

void *heap_alloc_aligned(struct heap *h, size_t size, size_t align)
{
    if (align == 0 || (align & (align - 1)) != 0)
        return NULL;
    return alloc_long(h, size, align > 16 ? align : 16, false, __builtin_return_address(0));
}

/* ---- free ------------------------------------------------------------------------------------ */

/* A medium block, if one starts at p, which lies in a cell with the heap's tag. */
static inline err_t medium_free(struct heap *h, void *p)
{
    uint64_t flags = heap_lock(h);
    uint32_t g = extent_at(h, p);
    bool     done = g != 0 && extent_free(h, g);

    heap_unlock(h, flags);
    return done ? ERR_OK : ERR_NOT_ALLOC;
}

err_t heap_core_free(struct heap *h, void *p)
{
    struct slab *s = map_slab_at(h->map, p);

    if (s->heap == h)
        return s->n_slots != 0 ? slab_free(h, s, p) : medium_free(h, p);
    if (!large_free(h, p))
        return ERR_NOT_ALLOC;
    h->map->source->ops->settle(h->map->source, false);
    return ERR_OK;
}

static NOINLINE err_t free_long(struct heap *h, void *p, const void *caller)
{
    err_t err = ERR_OK;

    if (p != NULL)
        err = h->ways == NULL ? heap_core_free(h, p) : h->ways->ops->free(h->ways, h, p, caller);
    return LIKELY(err == ERR_OK) ? ERR_OK : heap_refuse(h, p, "free", err);
}

/* The short way ended at s: a slab that is not on this CPU's lists, or a medium block. */
static NOINLINE err_t free_next(struct heap *h, void *p, const void *caller, struct slab *s)
{
    err_t err = ERR_NOT_ALLOC;

    if (s->heap == h)
        err = s->n_slots != 0 ? slab_free(h, s, p) : medium_free(h, p);
    return LIKELY(err == ERR_OK) ? ERR_OK : free_long(h, p, caller);
}

err_t heap_free(struct heap *h, void *p)
{
    struct slab *s = map_slab_at(h->open_map, p);
    uint64_t     flags = port_irq_save();
    uint64_t     idle = slab_free_here(h, s, p);

    if (UNLIKELY(idle == 0)) {
        port_irq_restore(flags);
        return free_next(h, p, __builtin_return_address(0), s);
    }
    port_irq_restore(flags);
    return UNLIKELY(idle == ~(uint64_t)0) && (s->next | s->prev) != SLAB_NONE ? slab_emptied(h, s) : ERR_OK;
}

/* ---- upkeep ------------------------------------------------------------------------------------ */

static uint64_t core_trim(struct heap *h)
{
    uint64_t flags = port_irq_save();

    (void)slab_trim(h);
    for (unsigned i = 0; i < port_cpus(); i++)
        if (i != port_cpu() && h->cpu[i] != &cpu_none)
            atomic_store_explicit(&h->cpu[i]->trim, 1, memory_order_relaxed);
    port_irq_restore(flags);

    flags = heap_lock(h);
    uint64_t n = extent_trim(h);

    h->page_end = heap_page_end(h);
    heap_unlock(h, flags);
    h->map->source->ops->settle(h->map->source, true);
    if (port_cpus() == 1) /* dropping metadata flushes TLBs under a lock that others may wait for */
        n += heap_map_trim(h->map);
    return n;
}

/* Caches are slabs on every policy, so the core is trimmed in any case. */
uint64_t heap_trim(struct heap *h)
{
    uint64_t n = h->ways != NULL ? h->ways->ops->trim(h->ways, h) : 0;

    return n + core_trim(h);
}

/* ---- the core as the last of several ways ------------------------------------------------------- */

static void *way_alloc(struct heap_way *w, struct heap *h, size_t size, size_t align, const void *caller)
{
    bool zeroed;

    (void)w;
    (void)caller;
    return core_alloc(h, size, align, &zeroed);
}

static err_t way_free(struct heap_way *w, struct heap *h, void *p, const void *caller)
{
    (void)w;
    (void)caller;
    return heap_core_free(h, p);
}

static size_t   way_usable(struct heap_way *w, struct heap *h, const void *p) { return (void)w, heap_core_usable(h, p); }
static uint64_t way_trim(struct heap_way *w, struct heap *h) { return (void)w, (void)h, 0; } /* heap_trim does it */
static err_t    way_check(struct heap_way *w, struct heap *h) { return (void)w, heap_core_check(h); }
static void     way_close(struct heap_way *w, struct heap *h) { (void)w, (void)h; }

struct heap_way heap_way_core = { .ops = &(const struct heap_way_ops){
    .alloc = way_alloc, .free = way_free, .usable = way_usable, .trim = way_trim, .check = way_check, .close = way_close } };

err_t heap_check(struct heap *h) { return h->ways == NULL ? heap_core_check(h) : h->ways->ops->check(h->ways, h); }

/* ---- around fork() -------------------------------------------------------------------------------- */

/* Interrupts stay off between the two: fork() has no use for them, and the machine does not fork. */
void heap_freeze(struct heap *h) NO_LOCK_ANALYSIS
{
    for (struct heap_way *w = h->ways; w != NULL; w = w->next)
        if (w->lock != NULL)
            (void)irqlock_take(w->lock);
    (void)heap_lock(h);
}

void heap_thaw(struct heap *h) NO_LOCK_ANALYSIS
{
    heap_unlock(h, 0);
    for (struct heap_way *w = h->ways; w != NULL; w = w->next)
        if (w->lock != NULL)
            irqlock_drop(w->lock, 0);
}
