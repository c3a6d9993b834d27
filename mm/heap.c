/* SPDX-License-Identifier: MIT */
/*
 * mm/heap.c - the heap: which size goes where, and what an address is
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
 *             The heap's own state fills private pages: held, but with no extent in them, so that
 *             nobody can free them by accident.
 *
 * Invariants  I1  h->self == h and h->fast_max == h->small_max unless every call has to take the long way
 *             I2  h->pages is the number of pages held, runs and private pages included
 * Locks       heap->lock, rank 10; small blocks touch only their CPU's state, with interrupts off
 * Failure     NULL. Before giving up, a heap gives back what it holds for nothing and tries again.
 */
#include "mm/heap.h"

#include "mm/extent_fast.h"
#include "mm/slab_fast.h"

#define SMALL_PAGES 256 /* a heap of so many pages keeps 1 KiB in slabs, of twice as many 2 KiB, ... */

/* ---- pages ----------------------------------------------------------------------------------- */

/*
 * A slab costs on average half of its slots; a heap can afford slabs of larger sizes the larger it is itself.
 * Below, these sizes are extents, which are slower and waste nothing.
 */
static void widen_small(struct heap *h)
{
    if (h->small_max == SLAB_MAX) {
        h->pages_small = UINT64_MAX;
        return;
    }
    if (h->fast_max == h->small_max)
        h->fast_max = 2 * h->small_max;
    h->small_max = 2 * h->small_max;
    h->pages_small *= 2;
}

err_t heap_pages_take(struct heap *h, size_t n_pages, uint64_t *first_page)
{
    struct heap_map   *m = h->map;
    struct heap_pages *source = m->source;
    void              *p;

    if (h->limit_pages != 0 && h->pages + n_pages > h->limit_pages)
        return ERR_NOMEM;

    err_t err = source->ops->take(source, n_pages, &p);
    if (err != ERR_OK)
        return err;

    uint64_t page = ((uintptr_t)p - m->base) >> PAGE_SHIFT;

    err = heap_map_know(m, page + n_pages);
    if (err != ERR_OK) {
        source->ops->give(source, p, n_pages);
        return err;
    }
    for (uint64_t cell = page * CELLS_PER_PAGE; cell < (page + n_pages) * CELLS_PER_PAGE; cell++)
        m->cells[cell] = h->tag;
    h->pages += n_pages;
    h->pages_peak = max_u64(h->pages_peak, h->pages);
    if (h->pages >= h->pages_small)
        widen_small(h);
    h->page_low = h->page_end == 0 ? page : min_u64(h->page_low, page);
    h->page_end = max_u64(h->page_end, page + n_pages);
    *first_page = page;
    return ERR_OK;
}

void heap_pages_give(struct heap *h, uint64_t first_page, size_t n_pages)
{
    struct heap_map *m = h->map;

    for (uint64_t cell = first_page * CELLS_PER_PAGE; cell < (first_page + n_pages) * CELLS_PER_PAGE; cell++)
        m->cells[cell] = SLAB_NONE;
    h->pages -= n_pages;
    m->source->ops->give(m->source, (void *)(m->base + (first_page << PAGE_SHIFT)), n_pages);
}

void *heap_private(struct heap *h, size_t bytes)
{
    uint64_t page;
    char    *p = h->spare;

    bytes = align_up(bytes, 64);
    if (bytes > h->spare_bytes) {
        if (bytes > PAGE_SIZE || heap_pages_take(h, 1, &page) != ERR_OK)
            return NULL;
        p = (char *)(h->map->base + (page << PAGE_SHIFT));
        h->spare_bytes = PAGE_SIZE;
    }
    h->spare = p + bytes;
    h->spare_bytes -= bytes;
    return __builtin_memset(p, 0, bytes);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* The chain of ways that the configuration asks for, from its end to its beginning; none for the plain heap. */
static bool open_ways(struct heap *h, const struct heap_config *config)
{
    struct heap_way *last = config->policy == HEAP_LIST     ? heap_way_list(h) :
                            config->policy == HEAP_BITMAP   ? heap_way_bitmap(h) :
                                                              &heap_way_core;
    struct heap_way *debug = config->debug ? heap_way_debug(h) : NULL;

    if (last == NULL || (config->debug && debug == NULL))
        return false;
    if (debug != NULL)
        debug->next = last;
    h->is_debug = config->debug;
    h->policy = config->policy;
    h->ways = debug != NULL ? debug : last != &heap_way_core ? last : NULL;
    if (h->ways != NULL) {
        h->self = NULL;
        h->fast_max = 0;
    }
    return true;
}

err_t heap_create(struct heap_map *map, const struct heap_config *config, struct heap **out)
{
    static const struct heap_config plain;
    struct heap                     first = { .map = map, .pages_small = UINT64_MAX };
    struct heap                    *h;
    uint32_t                        tag;
    uint64_t                        page;

    if (config == NULL)
        config = &plain;
    if (config->policy >= HEAP_POLICIES)
        return ERR_INVAL;

    err_t err = heap_map_slab_new(map, &tag);
    if (err != ERR_OK)
        return err;
    first.tag = tag;
    err = heap_pages_take(&first, 1, &page);
    if (err != ERR_OK) {
        heap_map_slab_put(map, tag);
        return err;
    }

    h = (struct heap *)(map->base + (page << PAGE_SHIFT));
    _Static_assert(sizeof(struct heap) + sizeof(struct heap_cpu) <= PAGE_SIZE, "a heap starts in one page");
    __builtin_memset(h, 0, sizeof *h);
    h->self = h;
    h->fast_max = SLAB_SURE;
    h->small_max = SLAB_SURE;
    h->map = map;
    h->base = map->base;
    h->cells = map->cells;
    h->slabs = map->slabs;
    h->tag = tag;
    h->name = config->name != NULL ? config->name : "heap";
    h->lock = (struct irqlock)IRQLOCK("heap", 10);
    h->limit_pages = config->limit_bytes >> PAGE_SHIFT;
    h->pages = h->pages_peak = 1;
    h->pages_small = SMALL_PAGES;
    h->page_low = page;
    h->page_end = page + 1;
    h->spare = (char *)h + align_up(sizeof *h, 64);
    h->spare_bytes = PAGE_SIZE - align_up(sizeof *h, 64);
    for (unsigned i = 0; i < SLAB_CLASSES; i++)
        h->class_size[i] = slab_class_size(i);
    for (unsigned i = 0; i < PORT_CPUS_MAX; i++)
        h->cpu[i] = &cpu_none;
    *map_slab(map, tag) = (struct slab){ .heap = h, .class = CLASS_EXTENT };
    if (!open_ways(h, config)) {
        heap_destroy(h);
        return ERR_NOMEM;
    }
    *out = h;
    return ERR_OK;
}

void heap_destroy(struct heap *h)
{
    struct heap_map *m = h->map;
    uint64_t         end = heap_page_end(h);
    uint32_t         tag = h->tag;

    if (h->ways != NULL)
        h->ways->ops->close(h->ways, h);
    large_free_all(h);
    slab_forget_all(h);
    for (uint64_t page = h->page_low; page < end; page++) { /* one of them is the heap's own */
        if (m->cells[page * CELLS_PER_PAGE] != tag)
            continue;
        for (uint64_t cell = page * CELLS_PER_PAGE; cell < (page + 1) * CELLS_PER_PAGE; cell++)
            m->cells[cell] = SLAB_NONE;
        m->grains[page] = (struct heap_grains){ 0 };
        m->inner[page >> 6] &= ~((uint64_t)1 << (page & 63));
        m->source->ops->give(m->source, (void *)(m->base + (page << PAGE_SHIFT)), 1);
    }
    heap_map_slab_put(m, tag);
    m->source->ops->settle(m->source, true);
}

/* ---- allocation ------------------------------------------------------------------------------ */

static void *slot_alloc(struct heap *h, unsigned class)
{
    uint64_t flags = port_irq_save();
    void    *p = slab_take(h, class);

    if (p == NULL)
        p = slab_refill(h, class);
    port_irq_restore(flags);
    return p;
}

static uint32_t grains_of(size_t size) { return (uint32_t)((size + GRAIN_BYTES - 1) >> GRAIN_SHIFT); }

static inline void *extent_block(struct heap *h, size_t size, size_t align)
{
    uint64_t flags = heap_lock(h);
    uint32_t g = align <= GRAIN_BYTES ? extent_take(h, grains_of(size)) :
                                        extent_alloc(h, grains_of(size), (uint32_t)(align >> GRAIN_SHIFT));

    heap_unlock(h, flags);
    return g != 0 ? grain_ptr(h->map, g) : NULL;
}

static void *place_block(struct heap *h, size_t size, size_t align, bool *zeroed)
{
    if (align_up(size, align) <= (align > 16 ? SLAB_SURE : h->small_max)) /* a class that is a multiple of align */
        return slot_alloc(h, slab_class_of[(align_up(size, align) + 15) / 16]);
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

/* A small block, if that takes no more than a bit; or a medium one. */
static inline void *alloc_fast(struct heap *h, size_t size)
{
    if (UNLIKELY(size - 1 >= h->fast_max))
        return h->fast_max != 0 && size - 1 < LARGE_MIN ? extent_block(h, size, 16) : NULL;

    uint64_t flags = port_irq_save();
    void    *p = slab_take(h, slab_class_of[(size + 15) / 16]);

    port_irq_restore(flags);
    return p;
}

void *heap_alloc(struct heap *h, size_t size)
{
    void *p = alloc_fast(h, size);

    return LIKELY(p != NULL) ? p : alloc_long(h, size, 16, false, __builtin_return_address(0));
}

void *heap_zalloc(struct heap *h, size_t size)
{
    void *p = alloc_fast(h, size);

    return LIKELY(p != NULL) ? __builtin_memset(p, 0, size) : alloc_long(h, size, 16, true, __builtin_return_address(0));
}

void *heap_alloc_aligned(struct heap *h, size_t size, size_t align)
{
    if (align == 0 || (align & (align - 1)) != 0)
        return NULL;
    return alloc_long(h, size, align > 16 ? align : 16, false, __builtin_return_address(0));
}

/* ---- free ------------------------------------------------------------------------------------ */

static struct slab *slab_at(const struct heap *h, const void *p)
{
    return &h->slabs[h->cells[((uintptr_t)p - h->base) >> CELL_SHIFT]];
}

void heap_place(struct heap *h, const void *at, struct heap_place *out)
{
    uint64_t          flags = heap_lock(h);
    struct heap_map  *m = h->map;
    struct heap_large *l = large_around(h, at);
    struct heap_place place = { .what = HEAP_NOTHING, .start = (uintptr_t)at };

    if (l != NULL) {
        place = (struct heap_place){ HEAP_LARGE, l->start, l->n_pages << PAGE_SHIFT };
    } else if (map_holds(m, at) && slab_at(h, at)->heap == h) {
        const struct slab *s = slab_at(h, at);
        uint32_t           g = extent_around(h, grain_of(m, at));

        if (s->class != CLASS_EXTENT) {
            uintptr_t first = (uintptr_t)grain_ptr(m, s->grain);
            unsigned  slot = (unsigned)(((uintptr_t)at - first) / s->size);

            place = (struct heap_place){ HEAP_SLAB_EDGE, first + (uintptr_t)s->n_slots * s->size, 0 };
            if (slot < s->n_slots)
                place = (struct heap_place){ slab_used(s, (uint64_t)1 << slot) ? HEAP_SLOT : HEAP_SLOT_FREE, first + slot * s->size, s->size };
        } else if (g != 0) {
            place = (struct heap_place){ extent_is_free(h, g) ? HEAP_EXTENT_FREE : HEAP_EXTENT, (uintptr_t)grain_ptr(m, g),
                                         (size_t)(extent_end(h, g) - g) << GRAIN_SHIFT };
        }
    }
    heap_unlock(h, flags);
    *out = place;
}

/* Say what the address is; the answer is also the error, unless a way has one of its own. */
static NOINLINE err_t refuse(struct heap *h, const void *p, const char *call, err_t err)
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

/* The heap's lock is held: grain of the medium block that starts at p; 0: none does */
static inline uint32_t medium_at(struct heap *h, const void *p)
{
    if (!map_holds(h->map, p) || ((uintptr_t)p & (GRAIN_BYTES - 1)) != 0)
        return 0;

    uint32_t g = (uint32_t)(((uintptr_t)p - h->base) >> GRAIN_SHIFT);

    return h->cells[g / GRAINS_PER_CELL] == h->tag && extent_used(h, g) ? g : 0;
}

/* The slab and the bit of the small block that starts at p; 0: none does, of this heap. */
static inline uint64_t find_slot(const struct heap *h, const struct heap *owner, const void *p, struct slab **s)
{
    if (UNLIKELY(!map_holds(h->map, p)))
        return 0;
    *s = slab_at(h, p);
    return LIKELY((*s)->heap == owner) ? slab_find(*s, (uintptr_t)p - h->base) : 0;
}

static err_t slot_free(struct heap *h, struct slab *s, uint64_t bit)
{
    uint64_t flags = port_irq_save();
    err_t    err = slab_free(h, s, bit);

    port_irq_restore(flags);
    return err;
}

/* A medium or large block. */
static err_t block_free(struct heap *h, void *p)
{
    uint64_t flags = heap_lock(h);
    uint32_t g = medium_at(h, p);

    if (g != 0)
        extent_free(h, g);
    heap_unlock(h, flags);
    if (g != 0)
        return ERR_OK;
    if (!large_free(h, p))
        return ERR_NOT_ALLOC;
    h->map->source->ops->settle(h->map->source, false);
    return ERR_OK;
}

err_t heap_core_free(struct heap *h, void *p)
{
    struct slab *s;
    uint64_t     bit = find_slot(h, h, p, &s);

    return bit != 0 ? slot_free(h, s, bit) : block_free(h, p);
}

static NOINLINE err_t free_long(struct heap *h, void *p, const void *caller)
{
    err_t err = ERR_OK;

    if (p != NULL)
        err = h->ways == NULL ? block_free(h, p) : h->ways->ops->free(h->ways, h, p, caller);
    return err == ERR_OK ? ERR_OK : refuse(h, p, "free", err);
}

err_t heap_free(struct heap *h, void *p)
{
    struct slab *s;
    uint64_t     bit = find_slot(h, h->self, p, &s);

    if (UNLIKELY(bit == 0))
        return free_long(h, p, __builtin_return_address(0));

    err_t err = slot_free(h, s, bit);

    return LIKELY(err == ERR_OK) ? ERR_OK : refuse(h, p, "free", err);
}

/* ---- sizes ------------------------------------------------------------------------------------- */

static size_t core_usable(struct heap *h, const void *p)
{
    struct slab *s;
    uint64_t     bit = find_slot(h, h, p, &s);

    if (bit != 0)
        return slab_used(s, bit) ? s->size : 0;

    uint64_t           flags = heap_lock(h);
    uint32_t           g = medium_at(h, p);
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
    return h->ways == NULL ? core_usable(h, p) : h->ways->ops->usable(h->ways, h, p);
}

/*
 * Could a block of `usable` bytes stand for a request of `size`? Up to half of it may be slack: realloc leaves
 * a block where it is that long. Alignment makes small blocks larger still.
 */
static bool size_fits(size_t size, size_t usable)
{
    if (size > usable || size > usable / 2)
        return size <= usable;
    for (size_t align = 16; align <= SLAB_SURE && size <= SLAB_SURE; align *= 2)
        if (align_up(size, align) <= SLAB_SURE && slab_class_size(slab_class_of[align_up(size, align) / 16]) == usable)
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

/* Resize a medium or large block where it stands, or by remapping; NULL: it must be copied. *usable: 0 for no block */
static void *resize(struct heap *h, void *p, size_t size, size_t *usable)
{
    uint64_t flags = heap_lock(h);
    uint32_t g = medium_at(h, p);
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
    void *q = alloc_fast(h, size);

    if (q == NULL)
        q = alloc_long(h, size, 16, false, caller);
    if (q == NULL)
        return NULL;
    __builtin_memcpy(q, p, size < usable ? size : usable);
    (void)heap_free(h, p);
    return q;
}

void *heap_realloc(struct heap *h, void *p, size_t size)
{
    const void  *caller = __builtin_return_address(0);
    struct slab *s;
    size_t       usable;

    if (p == NULL)
        return alloc_long(h, size, 16, false, caller);
    if (size > HEAP_SIZE_MAX)
        return NULL;
    if (h->ways != NULL) {
        usable = h->ways->ops->usable(h->ways, h, p);
        if (usable == 0)
            (void)refuse(h, p, "realloc", ERR_NOT_ALLOC);
        return usable != 0 ? move(h, p, size, usable, caller) : NULL;
    }

    uint64_t bit = find_slot(h, h, p, &s);

    if (bit != 0 && slab_used(s, bit)) {
        usable = s->size;
        return size <= usable && size > usable / 2 ? p : move(h, p, size, usable, caller);
    }

    void *q = resize(h, p, size != 0 ? size : 1, &usable);

    if (q != NULL)
        return q;
    if (usable != 0)
        return move(h, p, size, usable, caller);
    (void)refuse(h, p, "realloc", ERR_NOT_ALLOC);
    return NULL;
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

static size_t   way_usable(struct heap_way *w, struct heap *h, const void *p) { return (void)w, core_usable(h, p); }
static uint64_t way_trim(struct heap_way *w, struct heap *h) { return (void)w, (void)h, 0; } /* heap_trim does it */
static err_t    way_check(struct heap_way *w, struct heap *h) { return (void)w, heap_core_check(h); }
static void     way_close(struct heap_way *w, struct heap *h) { (void)w, (void)h; }

struct heap_way heap_way_core = { .ops = &(const struct heap_way_ops){
    .alloc = way_alloc, .free = way_free, .usable = way_usable, .trim = way_trim, .check = way_check, .close = way_close } };

err_t heap_check(struct heap *h) { return h->ways == NULL ? heap_core_check(h) : h->ways->ops->check(h->ways, h); }

/* Interrupts stay off between the two: fork() has no use for them, and the machine does not fork. */
void heap_freeze(struct heap *h) NO_LOCK_ANALYSIS { (void)heap_lock(h); }
void heap_thaw(struct heap *h) NO_LOCK_ANALYSIS { heap_unlock(h, 0); }

enum heap_policy heap_policy(const struct heap *h) { return h->policy; }

const char *heap_policy_name(enum heap_policy policy)
{
    static const char *const names[HEAP_POLICIES] = { "default", "list", "bitmap" };

    return policy < HEAP_POLICIES ? names[policy] : "unknown";
}
