/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_size.c - how large a block is, and making it larger or smaller
 *
 * Promise     realloc leaves a block where it is when it can: a slot that is neither too small nor twice too large,
 *             a medium block with free memory behind it, a large one whose pages can move. Else it copies.
 *
 * Locks       heap->lock for medium and large blocks
 * Failure     NULL, or the error; the block is as it was
 */
#include "mm/heap.h"

#include "mm/extent_fast.h"
#include "mm/slab_fast.h"

size_t heap_core_usable(struct heap *h, const void *p)
{
    const struct slab *s = heap_slab_at(h, p);
    unsigned           slot;

    if (s != NULL && slab_exact(s, p, &slot))
        return slab_used(s, slot) ? s->size : 0;

    uint64_t           flags = heap_lock(h);
    uint32_t           g = extent_used(h, p);
    struct heap_large *l = g == 0 ? large_find(h, p) : NULL;
    size_t             size = 0;

    if (g != 0)
        size = (size_t)(extent_end(h, g) - g) << GRAIN_SHIFT;
    else if (l != NULL)
        size = l->n_pages << PAGE_SHIFT;
    heap_unlock(h, flags);
    return size;
}

size_t heap_usable(struct heap *h, const void *p)
{
    return h->ways == NULL ? heap_core_usable(h, p) : h->ways->ops->usable(h->ways, h, p);
}

/* ---- sized free ------------------------------------------------------------------------------ */

/*
 * Could a block of `usable` bytes stand for a request of `size`? Up to half of it may be slack: realloc leaves
 * a block where it is that long. Alignment makes small blocks larger still.
 */
static bool size_fits(size_t size, size_t usable)
{
    if (size > usable || size > usable / 2)
        return size <= usable;
    for (size_t align = 16; align <= SLAB_SURE && size <= SLAB_SURE; align *= 2)
        if (align_up(size, align) <= SLAB_SURE && slab_class_size(slab_class_of[(align_up(size, align) - 1) / 16]) == usable)
            return true;
    return align_up(size, GRAIN_BYTES) == usable || align_up(size, PAGE_SIZE) == usable;
}

/* Debug mode knows the size to the byte, the plain policies only what a block has room for. */
static bool block_fits(const struct heap *h, size_t size, size_t usable)
{
    if (h->is_debug)
        return size == usable;
    return h->ways != NULL ? size <= usable : size_fits(size, usable);
}

err_t heap_free_sized(struct heap *h, void *p, size_t size)
{
    if (p == NULL)
        return ERR_OK;

    size_t usable = heap_usable(h, p);

    if (usable != 0 && !block_fits(h, size != 0 ? size : 1, usable)) {
        atomic_fetch_add_explicit(&h->wrong_frees, 1, memory_order_relaxed);
        port_log(PORT_ERROR, "heap", "%s: free of %p refused: it has %zu bytes, not %zu", h->name, p, usable, size);
        return ERR_ORDER;
    }
    return heap_free(h, p);
}

/* ---- realloc --------------------------------------------------------------------------------- */

/* Resize a medium or large block where it stands, or by remapping; NULL: it must be copied. *usable: 0 for no block */
static void *resize(struct heap *h, void *p, size_t size, size_t *usable)
{
    uint64_t flags = heap_lock(h);
    uint32_t g = extent_used(h, p);
    bool     done = false;

    if (g != 0) {
        *usable = (size_t)(extent_end(h, g) - g) << GRAIN_SHIFT;
        done = size > SLAB_SURE && size <= LARGE_MIN && extent_resize(h, g, grains_of(size));
    } else {
        struct heap_large *l = large_find(h, p);

        *usable = l != NULL ? l->n_pages << PAGE_SHIFT : 0;
    }
    heap_unlock(h, flags);
    if (done)
        return p;
    return g == 0 && *usable != 0 && size > LARGE_MIN ? large_resize(h, p, size) : NULL;
}

static void *move(struct heap *h, void *p, size_t size, size_t usable, const void *caller)
{
    void *q = heap_alloc_for(h, size, caller);

    if (q == NULL)
        return NULL;
    __builtin_memcpy(q, p, size < usable ? size : usable);
    (void)heap_free(h, p);
    return q;
}

static void *realloc_long(struct heap *h, void *p, size_t size, const void *caller)
{
    void  *q = NULL;
    size_t usable;

    if (size > HEAP_SIZE_MAX)
        return NULL;
    if (h->ways != NULL)
        usable = h->ways->ops->usable(h->ways, h, p);
    else
        q = resize(h, p, size != 0 ? size : 1, &usable);
    if (q != NULL)
        return q;
    if (usable != 0)
        return move(h, p, size, usable, caller);
    (void)heap_refuse(h, p, "realloc", ERR_NOT_ALLOC);
    return NULL;
}

void *heap_realloc(struct heap *h, void *p, size_t size)
{
    const struct slab *s = map_slab_at(h->open_map, p);
    const void        *caller = __builtin_return_address(0);
    unsigned           slot;

    if (p == NULL)
        return heap_alloc_for(h, size, caller);
    if (s->heap != h || !slab_exact(s, p, &slot) || !slab_used(s, slot))
        return realloc_long(h, p, size, caller);
    if (size <= s->size && size > s->size / 2u)
        return p;
    return move(h, p, size, s->size, caller);
}
