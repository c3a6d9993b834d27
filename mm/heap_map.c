/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_map.c - what lies where in a window of pages
 *
 * Promise     From any address, one load leads to the slab or heap that owns it. Nothing that a block's
 *             user can overwrite by running over its end is believed.
 *
 * Picture     four flat arrays over the window; of each only the beginning exists as memory:
 *
 *               window   | page 1          | page 2          | ...  pages handed out by the source
 *               cells    |  a  a  a  T     |  T  T  b  b     |      u32 per KiB: slab a, slab b, heap tag T
 *               grains   | start, free bits| start, free bits|      32 bytes per page: where extents begin
 *               inner    | 0               | 1               |      bit per page: an extent passes through
 *               slabs    | 64 bytes per slab: bitmap of free slots, owner, class
 *
 *             That is 0.4 % + 0.8 % of the window's used part and 64 bytes per slab (1 to 64 slots).
 *
 * Invariants  I1  cells[c] == SLAB_NONE for every cell of a page that no heap holds; then its grains'
 *                 start and free bits and its inner bit are 0
 *             I2  slabs[0] is never used: its heap is NULL, so "nobody" needs no test of its own. It
 *                 ends the lists of slabs, too: no slots, no next one, and a start above all others
 *             I3  cells [0, cells_known) with their pages, and descriptors [0, n_slabs) have memory behind all their metadata
 *
 * Locks       map->lock (rank 15) for growth and for descriptors; readers go by `cells_known` and by cells[],
 *             which only the heap that holds the page writes; trim lets it fall, never below a page in use.
 * Failure     a source without memory for metadata makes the request fail; nothing has changed.
 */
#include "mm/heap_map.h"

#define MAP_PAGES_MAX ((uint64_t)1 << 25)

static struct slab nobody;
struct heap_map    heap_map_shut = { .slabs = &nobody };

/* A slab starts in a cell of its own, so there are never more slabs than cells, plus tags. */
static uint64_t slabs_max(uint64_t n_pages) { return n_pages * CELLS_PER_PAGE + PAGE_SIZE; }

static uint64_t cells_bytes(uint64_t n) { return align_up(n * CELLS_PER_PAGE * sizeof(uint32_t), PAGE_SIZE); }
static uint64_t grains_bytes(uint64_t n) { return align_up(n * sizeof(struct heap_grains), PAGE_SIZE); }
static uint64_t inner_bytes(uint64_t n) { return align_up(n / 8 + 8, PAGE_SIZE); }
static uint64_t slabs_bytes(uint64_t n) { return align_up(slabs_max(n) * sizeof(struct slab), PAGE_SIZE); }

/* Pages are numbered from 1, and scans look one page past the end. */
static uint64_t numbers(uint64_t n_pages) { return n_pages + 2; }

uint64_t heap_map_bytes(uint64_t n_pages)
{
    uint64_t n = numbers(n_pages);

    return cells_bytes(n) + grains_bytes(n) + inner_bytes(n) + slabs_bytes(n);
}

/* Make the part of an array that [from, to) bytes of it need usable; from is already. */
static err_t reach(struct heap_map *m, void *array, uint64_t from, uint64_t to)
{
    uint64_t first = align_up(from, PAGE_SIZE);
    uint64_t end = align_up(to, PAGE_SIZE);

    if (first >= end)
        return ERR_OK;
    err_t err = m->source->ops->meta(m->source, (char *)array + first, end - first);
    if (err == ERR_OK)
        m->meta_pages += (end - first) >> PAGE_SHIFT;
    return err;
}

err_t heap_map_know(struct heap_map *m, uint64_t end)
{
    if (end + 1 <= map_pages(m))
        return ERR_OK;

    uint64_t flags = irqlock_take(&m->lock);
    uint64_t known = map_pages(m);
    err_t    err = ERR_OK;

    if (end + 1 > known) {
        end++; /* scans may look at the page behind */
        err = reach(m, m->cells, known * CELLS_PER_PAGE * sizeof *m->cells, end * CELLS_PER_PAGE * sizeof *m->cells);
        if (err == ERR_OK)
            err = reach(m, m->grains, known * sizeof *m->grains, end * sizeof *m->grains);
        if (err == ERR_OK)
            err = reach(m, m->inner, align_up(known, 64) / 8, align_up(end, 64) / 8);
        if (err == ERR_OK)
            atomic_store_explicit(&m->cells_known, end * CELLS_PER_PAGE, memory_order_release); /* pairs with map_slab_at */
    }
    irqlock_drop(&m->lock, flags);
    return err;
}

err_t heap_map_slab_new(struct heap_map *m, uint32_t *out)
{
    uint64_t flags = irqlock_take(&m->lock);
    uint32_t id = m->unused;
    err_t    err = ERR_OK;

    if (id != SLAB_NONE) {
        m->unused = m->slabs[id].next;
    } else {
        err = reach(m, m->slabs, m->n_slabs * sizeof(struct slab), (m->n_slabs + 1) * sizeof(struct slab));
        if (err == ERR_OK)
            id = m->n_slabs++;
    }
    if (err == ERR_OK) {
        m->n_used++;
        m->slabs[id].next = SLAB_NONE;
        *out = id;
    }
    irqlock_drop(&m->lock, flags);
    return err;
}

void heap_map_slab_put(struct heap_map *m, uint32_t id)
{
    uint64_t     flags = irqlock_take(&m->lock);
    struct slab *s = map_slab(m, id);

    s->heap = NULL;
    atomic_store_explicit(&s->home, 0, memory_order_relaxed);
    s->next = m->unused;
    m->unused = id;
    m->n_used--;
    irqlock_drop(&m->lock, flags);
}

err_t heap_map_open(struct heap_map *m, struct heap_pages *source)
{
    uint64_t n = numbers(source->n_pages);
    char    *at = source->meta;

    if (source->n_pages == 0 || source->n_pages > MAP_PAGES_MAX || !is_aligned(source->base, PAGE_SIZE) ||
        !is_aligned((uintptr_t)at, PAGE_SIZE))
        return ERR_INVAL;

    *m = (struct heap_map){ .source = source,
                            .base = source->base - PAGE_SIZE,
                            .lock = IRQLOCK("heap_map", 15) };
    m->cells = (uint32_t *)(void *)at;
    m->grains = (struct heap_grains *)(void *)(at += cells_bytes(n));
    m->inner = (uint64_t *)(void *)(at += grains_bytes(n));
    m->slabs = (struct slab *)(void *)(at + inner_bytes(n));

    err_t err = reach(m, m->slabs, 0, sizeof(struct slab)); /* I2 */
    if (err == ERR_OK) {
        m->slabs[0].start = UINTPTR_MAX;
        m->n_slabs = 1;
        err = heap_map_know(m, 1);
    }
    return err;
}

/* Give back the pages of an array that only bytes [keep, to) of it need. */
static uint64_t drop(struct heap_map *m, void *array, uint64_t keep, uint64_t to)
{
    uint64_t first = align_up(keep, PAGE_SIZE);
    uint64_t end = align_up(to, PAGE_SIZE);

    if (first >= end)
        return 0;
    m->source->ops->meta_drop(m->source, (char *)array + first, end - first);
    m->meta_pages -= (end - first) >> PAGE_SHIFT;
    return (end - first) >> PAGE_SHIFT;
}

static uint64_t drop_pages(struct heap_map *m, uint64_t keep, uint64_t known)
{
    uint64_t n = drop(m, m->cells, keep * CELLS_PER_PAGE * sizeof *m->cells, known * CELLS_PER_PAGE * sizeof *m->cells);

    n += drop(m, m->grains, keep * sizeof *m->grains, known * sizeof *m->grains);
    return n + drop(m, m->inner, align_up(keep, 64) / 8, align_up(known, 64) / 8);
}

/* Descriptors behind the last one in use leave the list of unused ones, then their memory goes. */
static uint64_t drop_slabs(struct heap_map *m)
{
    uint32_t n = m->n_slabs;

    while (n > 1 && m->slabs[n - 1].heap == NULL)
        n--;
    for (uint32_t *link = &m->unused; *link != SLAB_NONE;) {
        if (*link >= n)
            *link = m->slabs[*link].next;
        else
            link = &m->slabs[*link].next;
    }
    uint64_t pages = drop(m, m->slabs, n * sizeof(struct slab), m->n_slabs * sizeof(struct slab));

    m->n_slabs = n;
    return pages;
}

uint64_t heap_map_trim(struct heap_map *m)
{
    uint64_t flags = irqlock_take(&m->lock);
    uint64_t known = map_pages(m);
    uint64_t keep = known * CELLS_PER_PAGE;

    while (keep > CELLS_PER_PAGE && m->cells[keep - 1] == SLAB_NONE)
        keep--;
    keep = min_u64((keep - 1) / CELLS_PER_PAGE + 2, known);
    atomic_store_explicit(&m->cells_known, keep * CELLS_PER_PAGE, memory_order_release);

    uint64_t n = drop_pages(m, keep, known) + drop_slabs(m);

    irqlock_drop(&m->lock, flags);
    return n;
}

void heap_map_close(struct heap_map *m)
{
    (void)drop_pages(m, 0, map_pages(m));
    (void)drop(m, m->slabs, 0, m->n_slabs * sizeof(struct slab));
}
