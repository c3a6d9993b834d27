/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_bitmap.c - the notes' heap with a bitmap: plain first fit, to be compared with
 *
 * Promise     A complete heap as simple as can be: a bit for each 16 bytes says whether they are used, a second one
 *             where blocks begin. The first run of free bits that is long enough is taken.
 *
 * Picture     a region of pages, its bitmaps at its beginning
 *
 *               used   | 1 1 1 0 0 1 1 1 1 0 0 0 ...
 *               start  | 1 0 0 0 0 1 0 1 0 0 0 0 ...      blocks of 3, 2 and 2 units
 *
 * Invariants  I1  start is set only where used is; a block ends at the next start or at the first unused unit
 *             I2  regions are listed in the order they were taken; nothing below region->low is free
 * Locks       way->lock, rank 9
 * Failure     NULL. A wrong free is refused exactly: no start bit, no block
 */
#include "mm/heap_core.h"

#define UNIT   ((size_t)16)
#define REGION ((size_t)64) /* pages: the least a region has */

struct region {
    struct region *next;
    size_t         n_pages;
    uint32_t       first, end; /* units that may be used: the region's own come before */
    uint32_t       low;        /* no unit below is free                                */
    uint32_t       n_used;     /* units                                                */
    uint64_t      *used, *start; /* bit per unit of the region                         */
};

struct bitmap {
    struct heap_way way; /* first */
    struct irqlock  lock;
    struct region  *regions;
};

static struct bitmap *bitmap_of(struct heap_way *w) { return (struct bitmap *)(void *)w; }

static bool get(const uint64_t *bits, uint32_t i) { return bits[i >> 6] >> (i & 63) & 1; }

static void fill(uint64_t *bits, uint32_t i, uint32_t n, bool value)
{
    for (uint32_t end = i + n; i < end;) {
        uint32_t n_bits = (uint32_t)min_u64(64 - (i & 63), end - i);
        uint64_t mask = ~(uint64_t)0 >> (64 - n_bits) << (i & 63);

        bits[i >> 6] = value ? bits[i >> 6] | mask : bits[i >> 6] & ~mask;
        i += n_bits;
    }
}

/* First unit in [i, end) whose bit is `value`, else end. */
static uint32_t find(const uint64_t *bits, uint32_t i, uint32_t end, bool value)
{
    while (i < end) {
        uint64_t word = (value ? bits[i >> 6] : ~bits[i >> 6]) >> (i & 63);

        if (word != 0)
            return (uint32_t)min_u64(i + (uint32_t)__builtin_ctzll(word), end);
        i = (i | 63) + 1;
    }
    return end;
}

static void *unit_ptr(struct region *r, uint32_t i) { return (char *)r + i * UNIT; }

/* ---- regions ------------------------------------------------------------------------------------- */

static struct region *grow(struct bitmap *b, struct heap *h, size_t bytes)
{
    size_t n = (size_t)max_u64(REGION, align_up(bytes + bytes / 32 + PAGE_SIZE, PAGE_SIZE) >> PAGE_SHIFT);
    void  *p;

    if (heap_run_take(h, n, &p) != ERR_OK)
        return NULL;

    struct region *r = p;
    uint32_t       units = (uint32_t)(n * PAGE_SIZE / UNIT);

    *r = (struct region){ .n_pages = n, .end = units };
    r->used = (uint64_t *)(void *)(r + 1);
    r->start = r->used + units / 64;
    r->first = r->low = (uint32_t)(((uintptr_t)(r->start + units / 64) - (uintptr_t)r + UNIT - 1) / UNIT);
    __builtin_memset(r->used, 0, 2 * (units / 8));
    fill(r->used, 0, r->first, true);

    struct region **link = &b->regions;

    while (*link != NULL)
        link = &(*link)->next;
    *link = r;
    return r;
}

static struct region *region_at(const struct bitmap *b, const void *p)
{
    struct region *r = b->regions;

    while (r != NULL && (uintptr_t)p - (uintptr_t)r >= r->n_pages << PAGE_SHIFT)
        r = r->next;
    return r;
}

/* ---- calls --------------------------------------------------------------------------------------- */

static void *first_fit(struct region *r, uint32_t n, size_t align)
{
    uint32_t i = r->low = find(r->used, r->low, r->end, false);

    while (i < r->end) {
        uintptr_t p = (uintptr_t)unit_ptr(r, i);
        uint32_t  from = i + (uint32_t)((align_up(p, align) - p) / UNIT);
        uint32_t  end = from < r->end && r->end - from >= n ? find(r->used, i, from + n, true) : 0;

        if (end == 0)
            return NULL;
        if (end == from + n) {
            fill(r->used, from, n, true);
            fill(r->start, from, 1, true);
            r->n_used += n;
            return unit_ptr(r, from);
        }
        i = find(r->used, end, r->end, false);
    }
    return NULL;
}

static void *bitmap_alloc(struct heap_way *w, struct heap *h, size_t size, size_t align, const void *caller)
{
    struct bitmap *b = bitmap_of(w);
    uint32_t       n = (uint32_t)((size + UNIT - 1) / UNIT);
    void          *p = NULL;
    bool           zeroed;

    (void)caller;
    if (size > LARGE_MIN || align > PAGE_SIZE)
        return large_alloc(h, size, align, &zeroed);

    uint64_t flags = irqlock_take(&b->lock);

    for (struct region *r = b->regions; r != NULL && p == NULL; r = r->next)
        p = first_fit(r, n, align);
    if (p == NULL) {
        struct region *r = grow(b, h, size + align);

        p = r != NULL ? first_fit(r, n, align) : NULL;
    }
    irqlock_drop(&b->lock, flags);
    return p;
}

/* Units of the block that starts at p, in *region from *first; 0: none does. */
static uint32_t block_at(const struct bitmap *b, const void *p, struct region **region, uint32_t *first)
{
    struct region *r = region_at(b, p);
    uint32_t       i = r != NULL ? (uint32_t)(((uintptr_t)p - (uintptr_t)r) / UNIT) : 0;

    if (r == NULL || !is_aligned((uintptr_t)p, UNIT) || i < r->first || !get(r->start, i))
        return 0;
    *region = r;
    *first = i;
    return find(r->used, i, find(r->start, i + 1, r->end, true), false) - i;
}

static err_t bitmap_free(struct heap_way *w, struct heap *h, void *p, const void *caller)
{
    struct bitmap *b = bitmap_of(w);
    uint64_t       flags = irqlock_take(&b->lock);
    struct region *r;
    uint32_t       first, n = block_at(b, p, &r, &first);

    (void)caller;
    if (n != 0) {
        fill(r->used, first, n, false);
        fill(r->start, first, 1, false);
        r->low = (uint32_t)min_u64(r->low, first);
        r->n_used -= n;
    }
    irqlock_drop(&b->lock, flags);
    return n != 0 || large_free(h, p) ? ERR_OK : ERR_NOT_ALLOC;
}

static size_t bitmap_usable(struct heap_way *w, struct heap *h, const void *p)
{
    struct bitmap *b = bitmap_of(w);
    uint64_t       flags = irqlock_take(&b->lock);
    struct region *r;
    uint32_t       first, n = block_at(b, p, &r, &first);

    irqlock_drop(&b->lock, flags);
    return n != 0 ? n * UNIT : large_size(h, p);
}

static void give_all(struct heap *h, struct region *r)
{
    for (struct region *next; r != NULL; r = next) {
        next = r->next;
        heap_run_give(h, r, r->n_pages);
    }
}

static uint64_t bitmap_trim(struct heap_way *w, struct heap *h)
{
    struct bitmap *b = bitmap_of(w);
    uint64_t       flags = irqlock_take(&b->lock);
    struct region *gone = NULL;
    uint64_t       n = 0;

    for (struct region **link = &b->regions, *r; (r = *link) != NULL;) {
        if (r->n_used != 0) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        n += r->n_pages;
        r->next = gone;
        gone = r;
    }
    irqlock_drop(&b->lock, flags);
    give_all(h, gone);
    h->map->source->ops->settle(h->map->source, true);
    return n;
}

static err_t bitmap_check(struct heap_way *w, struct heap *h)
{
    struct bitmap *b = bitmap_of(w);
    uint64_t       flags = irqlock_take(&b->lock);
    bool           good = true;

    (void)h;
    for (struct region *r = b->regions; r != NULL; r = r->next) {
        uint32_t used = 0;

        for (uint32_t i = r->first; i < r->end; i++) {
            used += get(r->used, i);
            good = good && (get(r->used, i) || (!get(r->start, i) && i >= r->low));
        }
        good = good && used == r->n_used;
    }
    irqlock_drop(&b->lock, flags);
    return good ? ERR_OK : ERR_CORRUPT;
}

static void bitmap_close(struct heap_way *w, struct heap *h) { give_all(h, bitmap_of(w)->regions); }

struct heap_way *heap_way_bitmap(struct heap *h)
{
    static const struct heap_way_ops ops = { .alloc = bitmap_alloc, .free = bitmap_free, .usable = bitmap_usable,
                                             .trim = bitmap_trim,   .check = bitmap_check, .close = bitmap_close };
    uint64_t       flags = heap_lock(h);
    struct bitmap *b = heap_private(h, sizeof *b);

    heap_unlock(h, flags);
    if (b == NULL)
        return NULL;
    b->way.ops = &ops;
    b->lock = (struct irqlock)IRQLOCK("heap_bitmap", 9);
    b->way.lock = &b->lock;
    return &b->way;
}
