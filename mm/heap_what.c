/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_what.c - what an address is, seen from the heap; and the words for a call that is refused
 *
 * Promise     Any address, however wrong, is told apart: nobody's, inside of a block, of a free one, behind the last
 *             slot of a slab. Looking changes nothing.
 *
 * Picture       address -> large blocks (by range) -> cell: whose? -> slab: which slot, in use?
 *                                                               \-> tag: the extent around it, from the bits
 *
 * Locks       heap->lock for the moment of looking
 */
#include "mm/heap_core.h"

void heap_place(struct heap *h, const void *at, struct heap_place *out)
{
    uint64_t          flags = heap_lock(h);
    struct heap_map  *m = h->map;
    struct heap_large *l = large_around(h, at);
    const struct slab *s = heap_slab_at(h, at);
    struct heap_place place = { .what = HEAP_NOTHING, .start = (uintptr_t)at };

    if (l != NULL) {
        place = (struct heap_place){ HEAP_LARGE, l->start, l->n_pages << PAGE_SHIFT };
    } else if (s != NULL) {
        uint32_t g = extent_around(h, grain_of(m, at));

        if (s->class != CLASS_EXTENT) {
            unsigned slot = (unsigned)(((uintptr_t)at - s->start) / s->size);

            place = (struct heap_place){ HEAP_SLAB_EDGE, s->start + (uintptr_t)s->n_slots * s->size, 0 };
            if (slot < s->n_slots)
                place = (struct heap_place){ slab_used(s, slot) ? HEAP_SLOT : HEAP_SLOT_FREE, s->start + slot * s->size, s->size };
        } else if (g != 0) {
            place = (struct heap_place){ extent_is_free(h, g) ? HEAP_EXTENT_FREE : HEAP_EXTENT, (uintptr_t)grain_ptr(m, g),
                                         (size_t)(extent_end(h, g) - g) << GRAIN_SHIFT };
        }
    }
    heap_unlock(h, flags);
    *out = place;
}

NOINLINE err_t heap_refuse(struct heap *h, const void *p, const char *call, err_t err)
{
    static const char *const words[] = {
        [HEAP_NOTHING] = "no memory of this heap",    [HEAP_SLOT] = "inside a block",
        [HEAP_SLOT_FREE] = "in a block that is free", [HEAP_EXTENT] = "inside a block",
        [HEAP_EXTENT_FREE] = "in free memory",        [HEAP_LARGE] = "inside a block",
        [HEAP_SLAB_EDGE] = "behind the last block of a slab",
    };
    struct heap_place place;

    atomic_fetch_add_explicit(&h->wrong_frees, 1, memory_order_relaxed);
    if (h->ways != NULL) {
        port_log(PORT_ERROR, "heap", "%s: %s of %p refused: %s", h->name, call, p, err_str(err));
        return err;
    }
    heap_place(h, p, &place);
    port_log(PORT_ERROR, "heap", "%s: %s of %p refused: %s; %zu bytes at %p", h->name, call, p, words[place.what], place.size,
             (void *)place.start);
    switch (place.what) {
    case HEAP_SLOT_FREE:
    case HEAP_EXTENT_FREE:
        return ERR_NOT_ALLOC;
    case HEAP_SLOT:
    case HEAP_EXTENT:
    case HEAP_LARGE:
    case HEAP_SLAB_EDGE:
        return ERR_INSIDE;
    default:
        return ERR_OUTSIDE;
    }
}
