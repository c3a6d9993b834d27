/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_cache.c - caches: named supplies of constructed objects of one size
 *
 * Promise     An object leaves the cache as its constructor, or its last user, left it. Construction is
 *             paid once per slot, not once per use.
 *
 * Picture     a cache is a size class of its own: same slabs, same fast path, and a constructor that runs
 *             over all slots when a slab is made, a destructor when it is unmade
 *
 *             In debug mode an object is a block like all others, with red zones and quarantine, constructed when it
 *             is taken and destructed when it is given back: as good to who keeps to the contract.
 *
 * Invariants  I1  class_size[c->class] != 0 and caches[c->class] == c from create to destroy
 *             I2  every free slot of a cache's slab is constructed
 * Locks       heap->lock for create and destroy
 * Failure     ERR_BUSY when all class numbers are taken, or when objects are in use at destroy
 * Sources     Bonwick, The Slab Allocator (1994)
 */
#include "mm/heap_core.h"
#include "mm/slab_fast.h"

struct heap_cache {
    struct heap *heap;
    const char  *name;
    void (*ctor)(void *);
    void (*dtor)(void *);
    size_t   size, align;
    unsigned class;
    _Atomic uint64_t n_used; /* debug mode: objects in use */
};

static void each_slot(const struct slab *s, void (*fn)(void *))
{
    for (unsigned i = 0; i < s->n_slots; i++)
        fn((void *)(s->start + i * s->size));
}

void heap_cache_enter(struct heap *h, const struct slab *s)
{
    const struct heap_cache *c = h->caches[s->class];

    if (c != NULL && c->ctor != NULL)
        each_slot(s, c->ctor);
}

void heap_cache_leave(struct heap *h, const struct slab *s)
{
    const struct heap_cache *c = h->caches[s->class];

    if (c != NULL && c->dtor != NULL)
        each_slot(s, c->dtor);
}

const char *heap_cache_name(const struct heap *h, unsigned class)
{
    return h->caches[class] != NULL ? h->caches[class]->name : NULL;
}

static unsigned unused_class(const struct heap *h)
{
    unsigned class = SLAB_CLASSES;

    while (class < CLASS_EXTENT && h->class_size[class] != 0)
        class++;
    return class;
}

err_t heap_cache_create(struct heap *h, const char *name, size_t size, size_t align, void (*ctor)(void *), void (*dtor)(void *),
                        struct heap_cache **out)
{
    if (align == 0 || (align & (align - 1)) != 0 || align > CELL_BYTES || size > SLAB_CACHE_MAX || size == 0)
        return ERR_INVAL;

    struct heap_cache *c = heap_alloc(h, sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;

    uint64_t flags = heap_lock(h);
    unsigned class = unused_class(h);
    uint32_t slot = (uint32_t)align_up(size, max_u64(align, 16));

    if (class < CLASS_EXTENT) {
        *c = (struct heap_cache){ .heap = h, .name = name, .ctor = ctor, .dtor = dtor, .size = size, .align = align, .class = class };
        h->class_size[class] = slot;
        h->caches[class] = c;
    }
    heap_unlock(h, flags);
    if (class == CLASS_EXTENT) {
        (void)heap_free(h, c);
        return ERR_BUSY;
    }
    *out = c;
    return ERR_OK;
}

/* ---- debug mode ------------------------------------------------------------------------------ */

static void *debug_alloc(struct heap_cache *c, const void *caller)
{
    struct heap *h = c->heap;
    void        *p = h->ways->ops->alloc(h->ways, h, c->size, max_u64(c->align, 16), caller);

    if (p == NULL)
        return NULL;
    heap_debug_own(h, p, c);
    atomic_fetch_add_explicit(&c->n_used, 1, memory_order_relaxed);
    if (c->ctor != NULL)
        c->ctor(p);
    return p;
}

static err_t debug_free(struct heap_cache *c, void *object, const void *caller)
{
    struct heap *h = c->heap;
    err_t        err = ERR_OUTSIDE;

    if (object == NULL)
        return ERR_OK;
    if (heap_debug_owned(h, object, c)) {
        if (c->dtor != NULL)
            c->dtor(object);
        atomic_fetch_sub_explicit(&c->n_used, 1, memory_order_relaxed);
        err = h->ways->ops->free(h->ways, h, object, caller);
    } else if (heap_usable(h, object) == 0) {
        err = h->ways->ops->free(h->ways, h, object, caller); /* says by whom it was freed before */
    }
    if (err != ERR_OK)
        port_log(PORT_ERROR, "heap", "cache %s: free of %p refused: %s", c->name, object, err_str(err));
    return err;
}

/* ---- calls ----------------------------------------------------------------------------------- */

void *heap_cache_alloc(struct heap_cache *c)
{
    struct heap *h = c->heap;

    if (UNLIKELY(h->is_debug))
        return debug_alloc(c, __builtin_return_address(0));

    uint64_t flags = port_irq_save();
    void    *p = slab_take(slab_cpu(h)->head[c->class]);

    if (UNLIKELY(p == NULL))
        p = slab_next(h, c->class);
    port_irq_restore(flags);
    return p;
}

/* Not the short way: the object is none of this cache's, or the slab not one of this CPU's lists. */
static NOINLINE err_t free_next(struct heap_cache *c, void *object, struct slab *s)
{
    err_t err = ERR_OUTSIDE;

    if (object == NULL)
        return ERR_OK;
    if (s->heap == c->heap && s->class == c->class)
        err = slab_free(c->heap, s, object);
    if (err != ERR_OK)
        port_log(PORT_ERROR, "heap", "cache %s: free of %p refused: %s", c->name, object, err_str(err));
    return err;
}

err_t heap_cache_free(struct heap_cache *c, void *object)
{
    struct heap *h = c->heap;

    if (UNLIKELY(h->is_debug))
        return debug_free(c, object, __builtin_return_address(0));

    struct slab *s = map_slab_at(h->map, object);
    uint64_t     flags = port_irq_save();
    uint64_t     idle = s->class == c->class ? slab_free_here(h, s, object) : 0;

    port_irq_restore(flags);
    if (UNLIKELY(idle == 0))
        return free_next(c, object, s);
    return idle == ~(uint64_t)0 ? slab_emptied(h, s) : ERR_OK;
}

err_t heap_cache_destroy(struct heap_cache *c)
{
    struct heap *h = c->heap;
    bool         empty = atomic_load_explicit(&c->n_used, memory_order_relaxed) == 0;

    (void)heap_trim(h);
    for (unsigned i = 0; i < PORT_CPUS_MAX; i++)
        empty = empty && h->cpu[i]->n_slabs[c->class] == 0;
    if (!empty)
        return ERR_BUSY;

    uint64_t flags = heap_lock(h);

    h->class_size[c->class] = 0;
    h->caches[c->class] = NULL;
    heap_unlock(h, flags);
    return heap_free(h, c);
}
