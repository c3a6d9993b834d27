/* SPDX-License-Identifier: MIT */
/*
 * mm/framedb.c - records of frames that need one
 *
 * Promise     the record of a frame is found in four steps; memory of which no frame has a record costs
 *             nothing; each table goes with the last record under it.
 *
 * Picture     a frame number, 43 bits of it, cut into indices
 *
 *               | 9 bits | 9 bits | 9 bits | 9 bits |  7 bits  |
 *                  root     table    table    table    record in a leaf of 128
 *
 *             An entry is the physical address of the table or leaf below, and in its low 12 bits, which
 *             are 0 in an address, how many entries (records) that has in use: so a table that became empty
 *             is noticed without looking at it.
 *
 * Invariants  I1  an entry is 0, or what is below has at least one entry in use and the entry counts them
 *             I2  a record is in use exactly if its refs are not 0
 * Locks       fdb.lock, rank 36, guards the tables; frames for them are taken and given back under it
 * Failure     ERR_NOMEM leaves everything as it was: tables made on the way that stay empty are given back
 */
#include "mm/framedb.h"

#include "mm/frame.h"
#include "mm/port.h"
#include "mm/zero.h"

#define LEVELS     4 /* of tables, the root among them */
#define INDEX_BITS 9
#define LEAF_BITS  7
#define COUNT_MASK (PAGE_SIZE - 1)

_Static_assert(sizeof(struct frame_record) << LEAF_BITS == PAGE_SIZE, "a leaf is a frame");
_Static_assert(1 << LEAF_BITS == FRAMEDB_LEAF, "a leaf has as many records as users step over");

#define NO_LEAF    UINT64_MAX

/* The way to a record: the entry of each level, and the record */
struct path {
    uint64_t            *entry[LEVELS];
    struct frame_record *record;
};

static struct {
    struct irqlock lock;
    uint64_t       root[1 << INDEX_BITS]; /* [lock] */
    uint64_t       n_frames;              /* [lock] tables and leaves, the root not among them */
    uint64_t       last;                  /* [lock] number of the leaf that was found last; NO_LEAF */
    struct path    way;                   /* [lock] to its first record                        */
} fdb = { .lock = IRQLOCK("framedb", 36), .last = NO_LEAF };

static uint64_t *entry_in(uint64_t *table, pfn_t f, unsigned level)
{
    return &table[f.idx >> (LEAF_BITS + INDEX_BITS * (LEVELS - 1 - level)) & ((1 << INDEX_BITS) - 1)];
}

static void *below(uint64_t entry) { return port_ptr(pa(entry & ~COUNT_MASK)); }

/* Follow the path as far as there are tables: true if to the end. The last one's neighbours are found at once. */
static bool walk(pfn_t f, struct path *p)
{
    uint64_t *table = fdb.root;

    if (f.idx >> LEAF_BITS == fdb.last) {
        *p = fdb.way;
        p->record += f.idx & ((1 << LEAF_BITS) - 1);
        return true;
    }
    for (unsigned level = 0; level < LEVELS; level++) {
        p->entry[level] = entry_in(table, f, level);
        if (*p->entry[level] == 0)
            return false;
        table = below(*p->entry[level]);
    }
    p->record = (struct frame_record *)(void *)table;
    fdb.way = *p;
    fdb.last = f.idx >> LEAF_BITS;
    p->record += f.idx & ((1 << LEAF_BITS) - 1);
    return true;
}

/* From the end of the path upward: what has nothing in use goes, and is one less for the entry above */
static void prune(struct path *p, unsigned levels)
{
    for (unsigned level = levels; level-- > 0 && (*p->entry[level] & COUNT_MASK) == 0;) {
        if (frame_free_order(pa_to_pfn(pa(*p->entry[level])), 0) != ERR_OK)
            PANIC("a table of frame records is no block of one frame");
        fdb.last = NO_LEAF;
        *p->entry[level] = 0;
        fdb.n_frames--;
        if (level > 0)
            --*p->entry[level - 1];
    }
}

/* A record for f at the end of the path; it did not exist */
static err_t build(pfn_t f, struct path *p)
{
    uint64_t *table = fdb.root;

    for (unsigned level = 0; level < LEVELS; level++) {
        p->entry[level] = entry_in(table, f, level);
        if (*p->entry[level] == 0) {
            pfn_t frame;
            err_t err = frame_alloc_zeroed(&frame);

            if (err != ERR_OK) {
                prune(p, level);
                return err;
            }
            *p->entry[level] = pfn_to_pa(frame).raw;
            fdb.n_frames++;
            if (level > 0)
                ++*p->entry[level - 1];
        }
        table = below(*p->entry[level]);
    }
    ++*p->entry[LEVELS - 1];
    p->record = (struct frame_record *)(void *)table + (f.idx & ((1 << LEAF_BITS) - 1));
    *p->record = (struct frame_record){ .refs = 1 };
    return ERR_OK;
}

static err_t find_or_build(pfn_t f, struct path *p)
{
    if (f.idx >> (LEAF_BITS + INDEX_BITS * LEVELS) != 0)
        return ERR_INVAL;
    return walk(f, p) && p->record->refs != 0 ? ERR_OK : build(f, p);
}

static bool find(pfn_t f, struct path *p)
{
    return f.idx >> (LEAF_BITS + INDEX_BITS * LEVELS) == 0 && walk(f, p) && p->record->refs != 0;
}

static void erase(struct path *p)
{
    *p->record = (struct frame_record){ 0 };
    --*p->entry[LEVELS - 1];
    prune(p, LEVELS);
}

err_t framedb_open(pfn_t f, struct frame_record **out)
{
    struct path p;
    uint64_t    flags = irqlock_take(&fdb.lock);
    err_t       err = find_or_build(f, &p);

    if (err == ERR_OK)
        *out = p.record;
    irqlock_drop(&fdb.lock, flags);
    return err;
}

struct frame_record *framedb_find(pfn_t f)
{
    struct path p;
    uint64_t    flags = irqlock_take(&fdb.lock);
    bool        found = find(f, &p);

    irqlock_drop(&fdb.lock, flags);
    return found ? p.record : NULL;
}

err_t framedb_close(pfn_t f)
{
    struct path p;
    uint64_t    flags = irqlock_take(&fdb.lock);
    bool        found = find(f, &p);

    if (found)
        erase(&p);
    irqlock_drop(&fdb.lock, flags);
    return found ? ERR_OK : ERR_NOENT;
}

err_t framedb_share(pfn_t f)
{
    struct path p;
    uint64_t    flags = irqlock_take(&fdb.lock);
    err_t       err = find_or_build(f, &p);

    if (err == ERR_OK)
        p.record->refs++;
    irqlock_drop(&fdb.lock, flags);
    return err;
}

static bool says_nothing(const struct frame_record *r)
{
    return r->refs == 1 && r->flags == 0 && r->owner == 0 && r->where == 0 && r->mappings == NULL;
}

unsigned framedb_unshare(pfn_t f)
{
    struct path p;
    uint64_t    flags = irqlock_take(&fdb.lock);
    unsigned    left = 0;

    if (find(f, &p)) {
        left = --p.record->refs;
        if (left == 0 || says_nothing(p.record))
            erase(&p);
    }
    irqlock_drop(&fdb.lock, flags);
    return left;
}

uint64_t framedb_enter(struct framedb_cursor *c) NO_LOCK_ANALYSIS
{
    c->first = UINT64_MAX - FRAMEDB_LEAF; /* of no frame */
    return irqlock_take(&fdb.lock);
}

void framedb_leave(struct framedb_cursor *c, uint64_t irq) NO_LOCK_ANALYSIS
{
    c->leaf = NULL;
    irqlock_drop(&fdb.lock, irq);
}

err_t framedb_share_at(struct framedb_cursor *c, pfn_t f)
{
    struct path p;
    err_t       err = find_or_build(f, &p);

    if (err != ERR_OK)
        return err;
    p.record->refs++;
    c->first = align_down(f.idx, FRAMEDB_LEAF);
    c->leaf = p.record - (f.idx - c->first);
    c->entry = p.entry[LEVELS - 1];
    return ERR_OK;
}

#define DROP 64

/* One less shares each of n neighbours; those that nobody shares any more go to out[]. Returns how many. */
static size_t drop_many(pfn_t start, size_t n, pfn_t out[DROP])
{
    struct path          p;
    struct frame_record *leaf = NULL;
    size_t               n_out = 0;

    for (size_t i = 0; i < n; i++) {
        pfn_t                f = pfn_add(start, i);
        struct frame_record *r;

        if (i == 0 || f.idx % FRAMEDB_LEAF == 0)
            leaf = walk(f, &p) ? p.record - f.idx % FRAMEDB_LEAF : NULL;
        r = leaf != NULL ? leaf + f.idx % FRAMEDB_LEAF : NULL;
        if (r == NULL || r->refs <= 1)
            out[n_out++] = f;
        if (r == NULL || r->refs == 0)
            continue;
        r->refs--;
        if (r->refs == 0 || says_nothing(r)) {
            if ((*p.entry[LEVELS - 1] & COUNT_MASK) == 1)
                leaf = NULL; /* it goes with its last record */
            p.record = r;
            erase(&p);
        }
    }
    return n_out;
}

static err_t drop_frames(pfn_t start, uint64_t n)
{
    err_t err = ERR_OK;

    for (uint64_t done = 0, some; done < n && err == ERR_OK; done += some) {
        pfn_t    out[DROP];
        uint64_t flags = irqlock_take(&fdb.lock);
        size_t   n_out;

        some = min_u64(n - done, DROP);
        n_out = drop_many(pfn_add(start, done), some, out);
        irqlock_drop(&fdb.lock, flags);
        err = frames_free(n_out, out);
    }
    return err;
}

err_t framedb_drop_run(pfn_t start, uint64_t n_blocks, unsigned order)
{
    err_t err = ERR_OK;

    if (order == 0 && n_blocks > 1)
        return drop_frames(start, n_blocks);
    for (uint64_t i = 0; i < n_blocks && err == ERR_OK; i++) {
        pfn_t f = pfn_add(start, i << order);

        if (framedb_unshare(f) == 0)
            err = frame_free_order(f, order);
    }
    return err;
}

unsigned framedb_refs(pfn_t f)
{
    struct path p;
    uint64_t    flags = irqlock_take(&fdb.lock);
    unsigned    refs = find(f, &p) ? p.record->refs : 1;

    irqlock_drop(&fdb.lock, flags);
    return refs;
}

uint64_t framedb_frames(void)
{
    uint64_t flags = irqlock_take(&fdb.lock), n = fdb.n_frames;

    irqlock_drop(&fdb.lock, flags);
    return n;
}
