/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_check.c - the heap walked, counted, and held against its invariants
 *
 * Promise     heap_check finds any disagreement between cells, bits, bins, slabs and counts, and says
 *             where. The figures of heap_stats come from the same walk, not from counters that the fast
 *             paths would have to keep.
 *
 * Picture     for each page of the window that is ours
 *               for each extent in it    is it free? then listed and merged
 *                                        a slab? then its descriptor, cells and bits must agree
 *                                        else a medium block
 *
 * Invariants  those of mm/heap.c, slab.c, extent.c, heap_large.c
 * Locks       heap->lock while walking. Slab bits change without it: other CPUs should be quiet.
 * Failure     ERR_CORRUPT, after the first finding was logged
 */
#include "mm/heap_core.h"

/* One extent, as the walk meets it */
struct met {
    uint32_t     grain, end;
    bool         is_free, rests; /* rests: free, and not merged yet */
    struct slab *slab;           /* NULL: a medium block or free */
};

static bool each_extent(struct heap *h, bool (*fn)(struct heap *h, void *arg, const struct met *e), void *arg)
{
    struct heap_map *m = h->map;
    uint32_t         end = (uint32_t)heap_page_end(h) * GRAINS_PER_PAGE;

    for (uint32_t g = (uint32_t)h->page_low * GRAINS_PER_PAGE; (g = extent_next(h, g, end)) < end;) {
        struct met   e = { .grain = g, .end = extent_end(h, g), .is_free = extent_is_free(h, g), .rests = extent_rests(h, g) };
        struct slab *s = map_slab(m, m->cells[g / GRAINS_PER_CELL]);

        if (s->class != CLASS_EXTENT)
            e.slab = s;
        if (!fn(h, arg, &e))
            return false;
        g = e.end;
    }
    return true;
}

/* ---- check ----------------------------------------------------------------------------------- */

#define FIND(cond, ...)                                                                                            \
    do {                                                                                                              \
        if (!(cond)) {                                                                                                \
            port_log(PORT_ERROR, "heap", "check: " __VA_ARGS__);                                                      \
            return false;                                                                                             \
        }                                                                                                             \
    } while (0)

struct tally {
    uint64_t free_extents, free_grains, resting;
    uint64_t slabs;
    uint32_t last_free_end;        /* of the free extent met last */
};

static bool slab_good(struct heap *h, const struct met *e)
{
    const struct heap_map *m = h->map;
    const struct slab     *s = e->slab;
    uint32_t               id = (uint32_t)(s - m->slabs);
    uint64_t               free = atomic_load_explicit(&s->free, memory_order_relaxed);
    uint64_t               remote = atomic_load_explicit(&s->remote, memory_order_relaxed);
    uint64_t               bytes = (uint64_t)s->n_slots * s->size;
    uint64_t               all = slab_all(s);

    FIND(!e->is_free, "slab %u lies in a free extent", id);
    FIND(s->heap == h, "slab %u belongs to another heap", id);
    FIND(h->class_size[s->class] == s->size, "slab %u has class %u", id, s->class);
    FIND(align_up(bytes, CELL_BYTES) == (uint64_t)(e->end - e->grain) << GRAIN_SHIFT,
         "slab %u has %llu bytes of slots in an extent of %llu", id, ULL(bytes), ULL((uint64_t)(e->end - e->grain) << GRAIN_SHIFT));
    FIND((free & remote) == 0, "slab %u: slots freed twice: %llx", id, ULL(free & remote));
    FIND((free & ~all) == 0 && (remote | all) == ~(uint64_t)0, "slab %u: bits behind its %u slots: %llx", id, s->n_slots, ULL(free | remote));
    FIND(free == 0 || slab_listed(s), "slab %u has free slots and is on no list", id);
    for (uint32_t cell = e->grain / GRAINS_PER_CELL; cell <= (e->end - 1) / GRAINS_PER_CELL; cell++)
        FIND(m->cells[cell] == id, "cell %u of slab %u names %u", cell, id, m->cells[cell]);
    return true;
}

static bool extent_good(struct heap *h, void *arg, const struct met *e)
{
    struct tally *t = arg;

    FIND(e->end > e->grain && e->end <= h->page_end * GRAINS_PER_PAGE, "extent %p has no end", grain_ptr(h->map, e->grain));
    if (e->slab != NULL) {
        t->slabs++;
        return slab_good(h, e);
    }
    if (e->rests) {
        t->resting++;
    } else if (e->is_free) {
        FIND(t->last_free_end != e->grain, "free extents meet at %p", grain_ptr(h->map, e->grain));
        t->last_free_end = e->end;
        t->free_extents++;
        t->free_grains += e->end - e->grain;
    }
    return true;
}

static bool cpu_good(struct heap *h, unsigned cpu, uint64_t *n_slabs)
{
    const struct heap_map *m = h->map;
    const struct heap_cpu *c = h->cpu[cpu];

    for (unsigned class = 0; class < HEAP_CLASSES; class++) {
        const struct slab *before = NULL;

        *n_slabs += c->n_slabs[class];
        for (const struct slab *s = c->head[class]; s->n_slots != 0; s = map_slab(m, s->next)) {
            FIND(s->heap == h && s->class == class && slab_owner(s) == c && slab_listed(s), "cpu %u class %u lists slab %u", cpu,
                 class, (uint32_t)(s - m->slabs));
            FIND((s->prev == SLAB_NONE ? NULL : map_slab(m, s->prev)) == before, "cpu %u class %u: links of slab %u", cpu,
                 class, (uint32_t)(s - m->slabs));
            before = s;
        }
    }
    return true;
}

static bool pages_good(struct heap *h)
{
    const struct heap_map *m = h->map;
    uint64_t               pages = h->larges.bytes >> PAGE_SHIFT;

    for (uint64_t page = h->page_low; page < heap_page_end(h); page++) {
        bool     mine = map_slab(m, m->cells[page * CELLS_PER_PAGE])->heap == h;
        uint64_t inner = *map_inner(m, page >> 6) >> (page & 63) & 1;

        pages += mine;
        if (mine)
            FIND(inner == 0 || (m->grains[page].start[0] | m->grains[page].start[1]) == 0, "page %llu is inner with starts", ULL(page));
        else if (m->cells[page * CELLS_PER_PAGE] == SLAB_NONE)
            FIND(inner == 0 && (m->grains[page].start[0] | m->grains[page].start[1]) == 0, "page %llu is nobody's and has extents", ULL(page));
    }
    FIND(pages == h->pages, "%llu pages counted, %llu held", ULL(pages), ULL(h->pages));
    return true;
}

static bool all_good(struct heap *h)
{
    struct tally t = { 0 };

    if (!pages_good(h) || !each_extent(h, extent_good, &t))
        return false;
    FIND(t.free_extents == h->bins.n_free && t.free_grains == h->bins.free_grains,
         "%llu free extents of %llu grains counted, %llu of %llu known", ULL(t.free_extents), ULL(t.free_grains),
         ULL(h->bins.n_free), ULL(h->bins.free_grains));
    for (unsigned i = 0; i < EXTENT_RESTING; i++)
        t.resting -= h->bins.resting[i].g != 0;
    FIND(t.resting == 0, "%lld more extents rest than are known to", (long long)t.resting);
    if (extent_check(h) != ERR_OK)
        return false;

    uint64_t n_slabs = 0;

    for (unsigned cpu = 0; cpu < PORT_CPUS_MAX; cpu++)
        if (!cpu_good(h, cpu, &n_slabs))
            return false;
    FIND(n_slabs == t.slabs, "the CPUs count %llu slabs, the walk %llu", ULL(n_slabs), ULL(t.slabs));
    return true;
}

err_t heap_core_check(struct heap *h)
{
    uint64_t flags = heap_lock(h);
    bool     good = all_good(h);

    heap_unlock(h, flags);
    return good ? ERR_OK : ERR_CORRUPT;
}

/* ---- figures --------------------------------------------------------------------------------- */

static bool count_extent(struct heap *h, void *arg, const struct met *e)
{
    struct heap_stats *s = arg;
    uint64_t           bytes = (uint64_t)(e->end - e->grain) << GRAIN_SHIFT;

    (void)h;
    if (e->slab != NULL) {
        s->slab_bytes += bytes;
    } else if (e->is_free) {
        s->extent_free++;
        s->extent_free_bytes += bytes;
        s->largest_free = max_u64(s->largest_free, bytes);
    } else {
        s->extent_used++;
        s->extent_used_bytes += bytes;
    }
    return true;
}

void heap_stats(struct heap *h, struct heap_stats *out)
{
    uint64_t          flags = heap_lock(h);
    struct heap_stats s = { .pages = h->pages,
                            .pages_peak = h->pages_peak,
                            .large = h->larges.n,
                            .large_bytes = h->larges.bytes,
                            .wrong_frees = atomic_load_explicit(&h->wrong_frees, memory_order_relaxed) };

    (void)each_extent(h, count_extent, &s);
    for (unsigned i = 0; i < PORT_CPUS_MAX; i++)
        s.remote_frees += h->cpu[i]->remote_frees;
    heap_unlock(h, flags);
    *out = s;
}

static bool count_class(struct heap *h, void *arg, const struct met *e)
{
    struct heap_class_stats *c = arg;

    if (e->slab != NULL) {
        unsigned n_free = (unsigned)__builtin_popcountll(slab_idle(e->slab) & slab_all(e->slab));

        c += e->slab->class;
        c->size = e->slab->size;
        c->cache = heap_cache_name(h, e->slab->class);
        c->runs++;
        c->free += n_free;
        c->used += e->slab->n_slots - n_free;
        c->bytes += (uint64_t)(e->end - e->grain) << GRAIN_SHIFT;
    }
    return true;
}

size_t heap_class_stats(struct heap *h, struct heap_class_stats out[HEAP_CLASSES])
{
    uint64_t flags = heap_lock(h);
    size_t   n = 0;

    __builtin_memset(out, 0, HEAP_CLASSES * sizeof *out);
    (void)each_extent(h, count_class, out);
    heap_unlock(h, flags);
    for (size_t i = 0; i < HEAP_CLASSES; i++)
        if (out[i].runs != 0)
            out[n++] = out[i];
    return n;
}

/* ---- the picture ----------------------------------------------------------------------------- */

static char picture_of(struct heap *h, uint32_t cell)
{
    const struct heap_map *m = h->map;
    const struct slab     *s = map_slab(m, m->cells[cell]);
    uint32_t               g = cell * GRAINS_PER_CELL;

    if (s->heap != h)
        return ' ';
    if (s->class != CLASS_EXTENT) {
        uint64_t idle = slab_idle(s) & slab_all(s);

        return idle == 0 ? '#' : idle == slab_all(s) ? '.' : 'o';
    }
    uint32_t start = extent_around(h, g + GRAINS_PER_CELL / 2); /* what the middle of the cell lies in */

    return start == 0 ? '*' : extent_is_free(h, start) ? '-' : '=';
}

size_t heap_picture(struct heap *h, uint64_t from, char out[], size_t n)
{
    uint64_t flags = heap_lock(h);
    uint64_t cell = h->page_low * CELLS_PER_PAGE + from;
    uint64_t end = heap_page_end(h) * CELLS_PER_PAGE;
    size_t   i = 0;

    for (; i < n && cell < end; i++, cell++)
        out[i] = picture_of(h, (uint32_t)cell);
    heap_unlock(h, flags);
    return i;
}

/* ---- blocks in use --------------------------------------------------------------------------- */

struct walk {
    bool (*fn)(void *arg, const struct heap_place *block);
    void *arg;
};

static bool walk_extent(struct heap *h, void *arg, const struct met *e)
{
    const struct walk *w = arg;
    struct heap_place  place = { HEAP_EXTENT, (uintptr_t)grain_ptr(h->map, e->grain), (size_t)(e->end - e->grain) << GRAIN_SHIFT };

    if (e->is_free)
        return true;
    if (e->slab == NULL)
        return w->fn(w->arg, &place);
    place.what = HEAP_SLOT;
    place.size = e->slab->size;
    for (unsigned i = 0; i < e->slab->n_slots; i++, place.start += place.size)
        if (slab_used(e->slab, i) && !w->fn(w->arg, &place))
            return false;
    return true;
}

void heap_walk(struct heap *h, bool (*fn)(void *arg, const struct heap_place *block), void *arg)
{
    struct walk w = { .fn = fn, .arg = arg };
    uint64_t    flags = heap_lock(h);

    if (each_extent(h, walk_extent, &w))
        for (uint64_t i = 0; h->larges.table != NULL && i < (uint64_t)1 << (64 - h->larges.shift); i++) {
            const struct heap_large *l = &h->larges.table[i];
            struct heap_place        place = { HEAP_LARGE, l->start, l->n_pages << PAGE_SHIFT };

            if (l->start != 0 && !fn(arg, &place))
                break;
        }
    heap_unlock(h, flags);
}
