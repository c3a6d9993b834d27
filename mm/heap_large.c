/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_large.c - large blocks: runs of pages, each straight from the source
 *
 * Promise     A large block costs its pages and 16 to 32 bytes in a table; freed, its pages are back at
 *             once. It grows by getting its pages moved, where the source can do that, not by copying.
 *
 * Picture     a hash table with open addressing, at most half full, in pages of its own:
 *
 *               hash(start)  -> | 0 | 0 | start n | start n | 0 | ...    equal hashes stand in a row;
 *                                                                        a removal closes the gap
 *
 * Invariants  I1  between an entry and the place its hash names, no place is free
 *             I2  larges.n <= half of the places; larges.bytes is the sum of all runs
 *             I3  a block that is being made, resized or freed is not in the table, but counted in `n`: so
 *                 there is always a place for it
 * Locks       heap->lock for table and counts, dropped while the source works: it may flush TLBs
 * Failure     no table, no run: NULL, nothing has changed
 * Sources     Knuth, TAOCP 3, 6.4, algorithm R (deletion with linear probing)
 */
#include "mm/heap_core.h"

static uint64_t places(const struct heap_larges *t) { return t->table != NULL ? (uint64_t)1 << (64 - t->shift) : 0; }

static uint64_t place_of(const struct heap_larges *t, uintptr_t start)
{
    return (start >> PAGE_SHIFT) * 0x9e3779b97f4a7c15u >> t->shift; /* 2^64 / golden ratio */
}

static struct heap_large *lookup(const struct heap_larges *t, uintptr_t start)
{
    uint64_t mask = places(t) - 1;

    for (uint64_t i = place_of(t, start);; i++) {
        struct heap_large *l = &t->table[i & mask];

        if (l->start == 0 || l->start == start)
            return l;
    }
}

static bool count_pages(struct heap *h, uint64_t n_pages)
{
    if (h->limit_pages != 0 && h->pages + n_pages > h->limit_pages)
        return false;
    h->pages += n_pages;
    h->pages_peak = max_u64(h->pages_peak, h->pages);
    return true;
}

/* A table twice as large; called without the lock, which it takes to move the entries. */
static bool grow_table(struct heap *h)
{
    struct heap_pages  *source = h->map->source;
    struct heap_larges *t = &h->larges;
    uint32_t            had = t->n_pages;
    struct heap_larges  old = { 0 }, wider = { .n_pages = had != 0 ? 2 * had : 1 };
    bool                zeroed;
    void               *p;

    _Static_assert(PAGE_SIZE / sizeof(struct heap_large) == 1 << 8, "the first table has 2^8 places");
    wider.shift = 56 - (uint32_t)__builtin_ctz(wider.n_pages);
    if (source->ops->run_take(source, wider.n_pages, 1, &p, &zeroed) != ERR_OK)
        return false;
    if (!zeroed)
        __builtin_memset(p, 0, wider.n_pages * PAGE_SIZE);
    wider.table = p;

    uint64_t flags = heap_lock(h);

    if (t->n_pages == had) { /* else somebody was faster */
        old = *t;
        for (uint64_t i = 0; i < places(&old); i++)
            if (old.table[i].start != 0)
                *lookup(&wider, old.table[i].start) = old.table[i];
        t->table = wider.table;
        t->n_pages = wider.n_pages;
        t->shift = wider.shift;
    } else {
        old = wider;
    }
    heap_unlock(h, flags);
    if (old.table != NULL)
        source->ops->run_give(source, old.table, old.n_pages);
    return true;
}

/* Pages and a place in the table are promised to a block to come (`n` counts it already). */
static bool reserve(struct heap *h, uint64_t n_pages)
{
    for (;;) {
        uint64_t flags = heap_lock(h);
        bool     room = 2 * (h->larges.n + 1) <= places(&h->larges);
        bool     good = room && count_pages(h, n_pages);

        h->larges.n += good;
        heap_unlock(h, flags);
        if (room)
            return good;
        if (!grow_table(h))
            return false;
    }
}

static void enter(struct heap *h, void *p, uint64_t n_pages)
{
    uint64_t flags = heap_lock(h);

    *lookup(&h->larges, (uintptr_t)p) = (struct heap_large){ .start = (uintptr_t)p, .n_pages = n_pages };
    h->larges.bytes += n_pages << PAGE_SHIFT;
    heap_unlock(h, flags);
}

/* What was promised, or was, is no longer needed. */
static void release(struct heap *h, uint64_t n_pages, uint64_t n_blocks)
{
    uint64_t flags = heap_lock(h);

    h->pages -= n_pages;
    h->larges.n -= n_blocks;
    heap_unlock(h, flags);
}

/* Take an entry out, and move up what stands behind it only because it was there (I1). */
static void drop(struct heap_larges *t, struct heap_large *l)
{
    uint64_t mask = places(t) - 1;
    uint64_t hole = (uint64_t)(l - t->table);

    for (uint64_t i = (hole + 1) & mask; t->table[i].start != 0; i = (i + 1) & mask) {
        uint64_t home = place_of(t, t->table[i].start);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->table[hole] = t->table[i];
            hole = i;
        }
    }
    t->table[hole] = (struct heap_large){ 0 };
}

/* The block leaves the table, but its pages and place stay promised to it; 0: no block starts at p. */
static uint64_t leave(struct heap *h, void *p)
{
    uint64_t           flags = heap_lock(h);
    struct heap_large *l = large_find(h, p);
    uint64_t           n_pages = l != NULL ? l->n_pages : 0;

    if (l != NULL) {
        drop(&h->larges, l);
        h->larges.bytes -= n_pages << PAGE_SHIFT;
    }
    heap_unlock(h, flags);
    return n_pages;
}

/* Pages are counted before they are taken. */
static bool promise(struct heap *h, uint64_t n_pages)
{
    uint64_t flags = heap_lock(h);
    bool     good = count_pages(h, n_pages);

    heap_unlock(h, flags);
    return good;
}

err_t heap_run_take(struct heap *h, size_t n_pages, void **out)
{
    bool zeroed;

    if (!promise(h, n_pages))
        return ERR_NOMEM;

    err_t err = h->map->source->ops->run_take(h->map->source, n_pages, 1, out, &zeroed);
    if (err != ERR_OK)
        release(h, n_pages, 0);
    return err;
}

void heap_run_give(struct heap *h, void *start, size_t n_pages)
{
    h->map->source->ops->run_give(h->map->source, start, n_pages);
    release(h, n_pages, 0);
}

size_t large_size(struct heap *h, const void *p)
{
    uint64_t           flags = heap_lock(h);
    struct heap_large *l = large_find(h, p);
    size_t             size = l != NULL ? l->n_pages << PAGE_SHIFT : 0;

    heap_unlock(h, flags);
    return size;
}

void *large_alloc(struct heap *h, size_t size, size_t align, bool *zeroed)
{
    uint64_t n_pages = align_up(size, PAGE_SIZE) >> PAGE_SHIFT;
    uint64_t align_pages = max_u64(align, PAGE_SIZE) >> PAGE_SHIFT;
    void    *p;

    if (!reserve(h, n_pages))
        return NULL;
    if (h->map->source->ops->run_take(h->map->source, n_pages, align_pages, &p, zeroed) != ERR_OK) {
        release(h, n_pages, 1);
        return NULL;
    }
    enter(h, p, n_pages);
    return p;
}

struct heap_large *large_find(struct heap *h, const void *p)
{
    if (h->larges.table == NULL || p == NULL)
        return NULL;

    struct heap_large *l = lookup(&h->larges, (uintptr_t)p);

    return l->start != 0 ? l : NULL;
}

struct heap_large *large_around(struct heap *h, const void *p)
{
    for (uint64_t i = 0; i < places(&h->larges); i++) {
        struct heap_large *l = &h->larges.table[i];

        if (l->start != 0 && (uintptr_t)p - l->start < l->n_pages << PAGE_SHIFT)
            return l;
    }
    return NULL;
}

bool large_free(struct heap *h, void *p)
{
    uint64_t n_pages = leave(h, p);

    if (n_pages == 0)
        return false;
    h->map->source->ops->run_give(h->map->source, p, n_pages);
    release(h, n_pages, 1);
    return true;
}

void *large_resize(struct heap *h, void *p, size_t size)
{
    struct heap_pages *source = h->map->source;
    uint64_t           n_new = align_up(size, PAGE_SIZE) >> PAGE_SHIFT;
    uint64_t           n_old = leave(h, p);
    uint64_t           more = n_new > n_old ? n_new - n_old : 0;
    void              *q;

    if (n_old == 0)
        return NULL;
    if (n_new == n_old) {
        enter(h, p, n_old);
        return p;
    }
    if (!promise(h, more)) {
        enter(h, p, n_old);
        return NULL;
    }
    if (source->ops->run_resize(source, p, n_old, n_new, &q) != ERR_OK) {
        enter(h, p, n_old);
        release(h, more, 0);
        return NULL;
    }
    enter(h, q, n_new);
    release(h, n_old + more - n_new, 0);
    return q;
}

void large_free_all(struct heap *h)
{
    struct heap_larges *t = &h->larges;
    struct heap_pages  *source = h->map->source;

    for (uint64_t i = 0; i < places(t); i++)
        if (t->table[i].start != 0)
            source->ops->run_give(source, (void *)t->table[i].start, t->table[i].n_pages);
    if (t->table != NULL)
        source->ops->run_give(source, t->table, t->n_pages);
    *t = (struct heap_larges){ 0 };
}
