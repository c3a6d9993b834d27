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
 *               inner    | 0               | 1               |      bit per page: an extent passes through; grows
 *                                                                    downwards from the first cell, in its page at first
 *               slabs    | 64 bytes per slab: bitmap of free slots, owner, class
 *
 *             That is 0.4 % + 0.8 % of the window's used part and 64 bytes per slab (1 to 64 slots).
 *
 * Invariants  I1  cells[c] == SLAB_NONE for every cell of a page that no heap holds; then its grains'
 *                 start and free bits and its inner bit are 0
 *             I2  slabs[0] is never used: its heap is NULL, so "nobody" needs no test of its own. It
 *                 ends the lists of slabs, too: no slots, no next one, and a start above all others
 *             I3  cells [0, cells_known) with their pages, and descriptors [0, n_slabs) have memory behind all their
 *                 metadata; what has memory beyond that is known by parts[], and zero
 *
 * Locks       map->lock (rank 15) for growth and for descriptors; readers go by `cells_known` and by cells[],
 *             which only the heap that holds the page writes; trim lets it fall, never below a page in use.
 * Failure     a source without memory for metadata makes the request fail; nothing has changed.
 */
#include "mm/heap_map.h"

#define MAP_PAGES_MAX ((uint64_t)1 << 25)

static struct slab nobody;
struct heap_map    heap_map_shut = { .slabs = &nobody };

#define INNER_SHARED 64 /* bytes of the first words of bits, in the page where the cells begin */

/* A slab starts in a cell of its own, so there are never more slabs than cells, plus tags. */
static uint64_t slabs_max(uint64_t n_pages) { return n_pages * CELLS_PER_PAGE + PAGE_SIZE; }

/* Bytes of each array that n pages, or slabs, need; for the bits of pages those that do not share a page. */
static uint64_t cells_bytes(uint64_t n) { return INNER_SHARED + n * CELLS_PER_PAGE * sizeof(uint32_t); }
static uint64_t grains_bytes(uint64_t n) { return n * sizeof(struct heap_grains); }
static uint64_t inner_bytes(uint64_t n) { return max_u64(align_up(n, 64) / 8, INNER_SHARED) - INNER_SHARED; }
static uint64_t slabs_bytes(uint64_t n) { return n * sizeof(struct slab); }
static uint64_t whole_pages(uint64_t bytes) { return align_up(bytes, PAGE_SIZE); }

/* Pages are numbered from 1, and scans look one page past the end. */
static uint64_t numbers(uint64_t n_pages) { return n_pages + 2; }

uint64_t heap_map_bytes(uint64_t n_pages)
{
    uint64_t n = numbers(n_pages);

    return whole_pages(cells_bytes(n)) + whole_pages(grains_bytes(n)) + whole_pages(inner_bytes(n)) +
           whole_pages(slabs_bytes(slabs_max(n)));
}

/* Memory for the first `bytes` of an array; what there is of it stays, also when there is no more. */
static err_t reach(struct heap_map *m, enum heap_part_name name, uint64_t bytes)
{
    struct heap_part *part = &m->parts[name];
    err_t             err = ERR_OK;

    while (part->usable < bytes && err == ERR_OK) {
        char *page = name == PART_INNER ? part->at - part->usable - PAGE_SIZE : part->at + part->usable;

        err = m->source->ops->meta(m->source, page);
        if (err == ERR_OK) {
            part->usable += PAGE_SIZE;
            m->meta_pages++;
        }
    }
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
        err = reach(m, PART_CELLS, cells_bytes(end));
        if (err == ERR_OK)
            err = reach(m, PART_GRAINS, grains_bytes(end));
        if (err == ERR_OK)
            err = reach(m, PART_INNER, inner_bytes(end));
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
        err = reach(m, PART_SLABS, slabs_bytes(m->n_slabs + 1));
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
    m->parts[PART_CELLS].at = m->parts[PART_INNER].at = at += whole_pages(inner_bytes(n));
    m->parts[PART_GRAINS].at = at += whole_pages(cells_bytes(n));
    m->parts[PART_SLABS].at = at + whole_pages(grains_bytes(n));
    m->cells = (uint32_t *)(void *)(m->parts[PART_CELLS].at + INNER_SHARED);
    m->grains = (struct heap_grains *)(void *)m->parts[PART_GRAINS].at;
    m->slabs = (struct slab *)(void *)m->parts[PART_SLABS].at;

    err_t err = reach(m, PART_SLABS, slabs_bytes(1)); /* I2 */
    if (err == ERR_OK) {
        m->slabs[0].start = UINTPTR_MAX;
        m->n_slabs = 1;
        err = heap_map_know(m, 1);
    }
    return err;
}

/* Give back the pages of an array behind its first `bytes`. */
static uint64_t drop(struct heap_map *m, enum heap_part_name name, uint64_t bytes)
{
    struct heap_part *part = &m->parts[name];
    uint64_t          keep = whole_pages(bytes);
    uint64_t          n = part->usable > keep ? part->usable - keep : 0;

    if (n == 0)
        return 0;
    m->source->ops->meta_drop(m->source, name == PART_INNER ? part->at - part->usable : part->at + keep, n);
    part->usable = keep;
    m->meta_pages -= n >> PAGE_SHIFT;
    return n >> PAGE_SHIFT;
}

static uint64_t drop_pages(struct heap_map *m, uint64_t keep)
{
    return drop(m, PART_CELLS, keep != 0 ? cells_bytes(keep) : 0) + drop(m, PART_GRAINS, grains_bytes(keep)) +
           drop(m, PART_INNER, inner_bytes(keep));
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
    m->n_slabs = n;
    return drop(m, PART_SLABS, slabs_bytes(n));
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

    uint64_t n = drop_pages(m, keep) + drop_slabs(m);

    irqlock_drop(&m->lock, flags);
    return n;
}

void heap_map_close(struct heap_map *m)
{
    (void)drop_pages(m, 0);
    (void)drop(m, PART_SLABS, 0);
}
