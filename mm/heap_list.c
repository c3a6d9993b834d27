/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_list.c - the notes' heap with a linked list: plain first fit, to be compared with
 *
 * Promise     A complete heap as simple as can be: blocks with headers, free ones on a list in address order,
 *             the first that fits is taken, neighbours merge.
 *
 * Picture     a region of pages; sizes count the header
 *
 *               | region | hdr  used block | hdr  free block  next prev | hdr  used | end |
 *                          size                ^                          prev_size
 *                                              +-- on the list
 *
 * Invariants  I1  headers follow one another without gaps from a region's first block to its end mark
 *             I2  prev_size is the size of the block before, 0 for the first; two free blocks never touch
 *             I3  the list holds the free blocks of all regions, each region's in address order
 * Locks       way->lock, rank 9
 * Failure     NULL. A wrong free is recognised by the header's seal, which depends on its address; an
 *             overrun destroys headers, though: what this heap trusts lies between the blocks
 * Sources     Knuth, TAOCP 1, 2.5, algorithms A and C
 */
#include "mm/heap_core.h"

#define UNIT      ((size_t)16)
#define SEAL_USED 0x75736564u
#define SEAL_FREE 0x66726565u
#define GROW      4 /* a new region is at least so many pages, and an eighth of what there is */

struct header {
    uint32_t size, prev_size; /* units, header included         */
    uint64_t seal;            /* of state and address           */
    struct header *next, *prev; /* free blocks only: the list   */
};

#define HEADER_UNITS 1u /* next and prev lie in the block */
#define LEAST_UNITS  2u

struct list {
    struct heap_way way; /* first */
    struct irqlock  lock;
    struct header   free; /* the list's ends */
    struct region  *regions;
    uint64_t        n_pages;
};

/* At the start of a region; the first block follows, an end mark of one unit closes it */
struct region {
    struct region *next;
    size_t         n_pages;
};

static struct list   *list_of(struct heap_way *w) { return (struct list *)(void *)w; }
static struct header *at(struct header *b, int64_t units) { return (struct header *)(void *)((char *)b + units * (int64_t)UNIT); }
static struct header *after(struct header *b) { return at(b, b->size); }
static struct header *before(struct header *b) { return at(b, -(int64_t)b->prev_size); }
static void          *payload(struct header *b) { return at(b, HEADER_UNITS); }

static uint64_t seal(const struct header *b, uint32_t state) { return ((uint64_t)state << 32 | state) ^ (uintptr_t)b * 0x9e3779b97f4a7c15u; }
static bool     is(const struct header *b, uint32_t state) { return b->seal == seal(b, state); }

static void link_after(struct header *place, struct header *b)
{
    b->prev = place;
    b->next = place->next;
    place->next->prev = b;
    place->next = b;
}

static void unlink(struct header *b)
{
    b->prev->next = b->next;
    b->next->prev = b->prev;
}

/* Its place by address: walked from the beginning, as the notes would. */
static void put(struct list *l, struct header *b)
{
    struct header *place = &l->free;

    while (place->next != &l->free && place->next < b)
        place = place->next;
    link_after(place, b);
}

/* Block b keeps n units; what follows becomes a block of its own, in the state given. */
static struct header *cut(struct header *b, uint32_t n, uint32_t state)
{
    struct header *rest = at(b, n);

    rest->size = b->size - n;
    rest->prev_size = n;
    rest->seal = seal(rest, state);
    after(rest)->prev_size = rest->size;
    b->size = n;
    return rest;
}

/* ---- regions ------------------------------------------------------------------------------------- */

static struct header *first_of(struct region *r) { return (struct header *)(void *)(r + 1); }

static bool grow(struct list *l, struct heap *h, size_t units)
{
    size_t need = (size_t)align_up((units + 2) * UNIT + sizeof(struct region), PAGE_SIZE) >> PAGE_SHIFT;
    size_t n = (size_t)max_u64(need, max_u64(GROW, l->n_pages / 8));
    void  *p;

    if (heap_run_take(h, n, &p) != ERR_OK && (n = need, heap_run_take(h, n, &p) != ERR_OK))
        return false;

    struct region *r = p;
    struct header *b = first_of(r);

    *r = (struct region){ .next = l->regions, .n_pages = n };
    l->regions = r;
    b->size = (uint32_t)((n * PAGE_SIZE - sizeof *r) / UNIT) - 1;
    b->prev_size = 0;
    b->seal = seal(b, SEAL_FREE);
    after(b)->size = 0; /* the end mark has no more than the first unit of a header */
    after(b)->prev_size = b->size;
    after(b)->seal = seal(after(b), SEAL_USED);
    put(l, b);
    l->n_pages += n;
    return true;
}

static bool in_regions(const struct list *l, const void *p)
{
    const struct region *r = l->regions;

    while (r != NULL && (uintptr_t)p - (uintptr_t)r >= r->n_pages << PAGE_SHIFT)
        r = r->next;
    return r != NULL;
}

/* ---- calls --------------------------------------------------------------------------------------- */

/* Units to leave at the beginning of b so that n behind them are aligned; UINT32_MAX: b is too short. */
static uint32_t lead(struct header *b, uint32_t n, size_t align)
{
    uintptr_t p = (uintptr_t)payload(b);
    uint64_t  units = (align_up(p, align) - p) / UNIT;

    while (units != 0 && units < LEAST_UNITS)
        units += align / UNIT;
    return units + n <= b->size ? (uint32_t)units : UINT32_MAX;
}

static void *first_fit(struct list *l, uint32_t n, size_t align)
{
    for (struct header *b = l->free.next; b != &l->free; b = b->next) {
        uint32_t skip = b->size >= n ? lead(b, n, align) : UINT32_MAX;

        if (skip == UINT32_MAX)
            continue;
        if (skip != 0)
            b = cut(b, skip, SEAL_USED);
        else
            unlink(b);
        if (b->size >= n + LEAST_UNITS)
            put(l, cut(b, n, SEAL_FREE));
        b->seal = seal(b, SEAL_USED);
        return payload(b);
    }
    return NULL;
}

static void *list_alloc(struct heap_way *w, struct heap *h, size_t size, size_t align, const void *caller)
{
    struct list *l = list_of(w);
    uint32_t     n = (uint32_t)max_u64(LEAST_UNITS, (size + UNIT - 1) / UNIT + HEADER_UNITS);
    bool         zeroed;

    (void)caller;
    if (size > LARGE_MIN || align > PAGE_SIZE)
        return large_alloc(h, size, align, &zeroed);

    uint64_t flags = irqlock_take(&l->lock);
    void    *p = first_fit(l, n, align);

    if (p == NULL && grow(l, h, n + align / UNIT + LEAST_UNITS))
        p = first_fit(l, n, align);
    irqlock_drop(&l->lock, flags);
    return p;
}

/* Header of the used block at p; NULL: there is none. Only memory of this heap is looked at. */
static struct header *used_at(const struct list *l, const void *p)
{
    struct header *b = (struct header *)((uintptr_t)p - UNIT);

    return is_aligned((uintptr_t)p, UNIT) && in_regions(l, b) && is(b, SEAL_USED) && b->size != 0 ? b : NULL;
}

static err_t list_free(struct heap_way *w, struct heap *h, void *p, const void *caller)
{
    struct list   *l = list_of(w);
    uint64_t       flags = irqlock_take(&l->lock);
    struct header *b = used_at(l, p);

    (void)caller;
    if (b != NULL) {
        bool joined = false;

        if (is(after(b), SEAL_FREE)) {
            unlink(after(b));
            b->size += after(b)->size;
        }
        if (b->prev_size != 0 && is(before(b), SEAL_FREE)) {
            b->seal = 0;
            before(b)->size += b->size;
            b = before(b);
            joined = true;
        }
        after(b)->prev_size = b->size;
        b->seal = seal(b, SEAL_FREE);
        if (!joined)
            put(l, b);
    }
    irqlock_drop(&l->lock, flags);
    return b != NULL || large_free(h, p) ? ERR_OK : ERR_NOT_ALLOC;
}

static size_t list_usable(struct heap_way *w, struct heap *h, const void *p)
{
    struct list   *l = list_of(w);
    uint64_t       flags = irqlock_take(&l->lock);
    struct header *b = used_at(l, p);
    size_t         size = b != NULL ? (b->size - HEADER_UNITS) * UNIT : 0;

    irqlock_drop(&l->lock, flags);
    return b != NULL ? size : large_size(h, p);
}

static void give_all(struct heap *h, struct region *r)
{
    for (struct region *next; r != NULL; r = next) {
        next = r->next;
        heap_run_give(h, r, r->n_pages);
    }
}

static uint64_t list_trim(struct heap_way *w, struct heap *h)
{
    struct list *l = list_of(w);
    uint64_t     flags = irqlock_take(&l->lock);
    struct region *gone = NULL;
    uint64_t     n = 0;

    for (struct region **link = &l->regions, *r; (r = *link) != NULL;) {
        struct header *b = first_of(r);

        if (!is(b, SEAL_FREE) || after(b)->size != 0) {
            link = &r->next;
            continue;
        }
        unlink(b);
        *link = r->next;
        l->n_pages -= r->n_pages;
        n += r->n_pages;
        r->next = gone;
        gone = r;
    }
    irqlock_drop(&l->lock, flags);
    give_all(h, gone);
    h->map->source->ops->settle(h->map->source, true);
    return n;
}

static err_t list_check(struct heap_way *w, struct heap *h)
{
    struct list *l = list_of(w);
    uint64_t     flags = irqlock_take(&l->lock);
    bool         good = true;

    (void)h;
    for (struct header *b = l->free.next; b != &l->free && good; b = b->next)
        good = is(b, SEAL_FREE) && b->next->prev == b && after(b)->prev_size == b->size && is(after(b), SEAL_USED) &&
               (b->prev_size == 0 || (is(before(b), SEAL_USED) && before(b)->size == b->prev_size));
    irqlock_drop(&l->lock, flags);
    return good ? ERR_OK : ERR_CORRUPT;
}

static void list_close(struct heap_way *w, struct heap *h) { give_all(h, list_of(w)->regions); }

struct heap_way *heap_way_list(struct heap *h)
{
    static const struct heap_way_ops ops = {
        .alloc = list_alloc, .free = list_free, .usable = list_usable, .trim = list_trim, .check = list_check, .close = list_close };
    uint64_t     flags = heap_lock(h);
    struct list *l = heap_private(h, sizeof *l);

    heap_unlock(h, flags);
    if (l == NULL)
        return NULL;
    l->way.ops = &ops;
    l->lock = (struct irqlock)IRQLOCK("heap_list", 9);
    l->way.lock = &l->lock;
    l->free.next = l->free.prev = &l->free;
    return &l->way;
}
