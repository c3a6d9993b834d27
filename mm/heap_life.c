/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_life.c - a heap begins, takes pages, gives them back, and ends
 *
 * Promise     Every page a heap holds is counted, within its limit, and back at its source when the heap is destroyed.
 *
 * Picture     cells of the window    | S S a a | a a T T | T T T T |   S the source's, free
 *                                                                      T the heap's tag, a its slab
 *             The heap's own state fills private pages: held, but with no extent in them, so that
 *             nobody can free them by accident. The first one starts with struct heap.
 *
 * Invariants  I1  h->pages is the number of pages held, runs and private pages included
 *             I2  all pages of the window that the heap holds lie in [page_low, page_end)
 * Locks       heap->lock; the source takes its own under it
 * Failure     ERR_NOMEM; nothing has changed
 */
#include "mm/heap.h"
#include "mm/heap_core.h"

#define SMALL_PAGES 192 /* a heap of so many pages keeps 1 KiB in slabs ... */
#define SMALL_STEP  96  /* ... of so many more 2 KiB, then 4 KiB                */

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
    h->small_max = 2 * h->small_max;
    h->pages_small += SMALL_STEP;
    if (h->ways == NULL)
        h->fast_max = h->small_max;
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
    heap_gates(h);
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
    h->small_max = SLAB_SURE;
    h->map = map;
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
        *map_inner(m, page >> 6) &= ~((uint64_t)1 << (page & 63));
        m->source->ops->give(m->source, (void *)(m->base + (page << PAGE_SHIFT)), 1);
    }
    heap_map_slab_put(m, tag);
    m->source->ops->settle(m->source, true);
}

/* ---- policies -------------------------------------------------------------------------------- */

enum heap_policy heap_policy(const struct heap *h) { return h->policy; }

const char *heap_policy_name(enum heap_policy policy)
{
    static const char *const names[HEAP_POLICIES] = { "default", "list", "bitmap" };

    return policy < HEAP_POLICIES ? names[policy] : "unknown";
}
