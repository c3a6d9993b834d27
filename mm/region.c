/* SPDX-License-Identifier: MIT */
/*
 * mm/region.c - the regions of a space: finding, adding, removing
 *
 * Promise     What a process has mapped is known exactly, region by region; what holds a page, and where there is
 *             room, is one walk down a tree.
 *
 * Picture     top table's slots 1 .. 255
 *
 *               | text | data | heap ->|   free   | mappings, newest lowest | free | guard : <- stack |
 *
 *             A mapping without an address goes to the highest gap that has room: so heap and mappings grow towards
 *             each other, and a mapping often continues the one before: then both are one region.
 *
 * Regions     are nodes of a span tree (mm/span_tree.c), with equal neighbours joined. Neighbours are equal when
 *             kind, rights, flags and promise are, and the second goes on in the object where the first ends.
 *
 * Changing    is done between as_begin() and as_end(), in which the space is `busy`: no lock is held, interrupts are
 *             on, other CPUs can answer flushes; who else wants to change it waits, and page faults are told to try
 *             again. So addresses can't be given out again before every CPU has flushed, and nobody faults
 *             on what is half changed. A fault that is quick keeps as->lock instead.
 *
 * Cutting     Most operations first cut the regions at the ends of their range, and the 2 MiB pages there. What can
 *             fail about it (nodes, frames) is done before the first thing is changed.
 *
 * Promises    Private pages that may be written are promised (mm/commit.c) when they first may be; they stay
 *             so until the region goes, whatever its rights. A stack is promised as far as it has grown.
 *
 * Invariants  G1  regions don't overlap, and lie in the process's part
 *             G2  what is mapped there lies in a region, with its rights; W only if the frame is not shared
 *             G3  as->owned counts the frames behind entries with AS_OWNED
 *             G4  as->promised is the sum over the regions
 *             G5  no two neighbours could be one
 *
 * Locks       as->lock, rank 28: `busy`, and faults. Under it those of frames, records, shared objects.
 *
 * Failure     errors are found before the first change.
 *
 * Sources     BSD and SunOS knew regions as map entries and segments: Gingell, Moran, Shannon, "Virtual Memory
 *             Architecture in SunOS", USENIX 1987
 */
#include "mm/region.h"

#include "mm/region_in.h"
#include "mm/shared.h"

/* ---- busy ------------------------------------------------------------------------------------------- */

void as_begin(struct as *as)
{
    for (;;) {
        uint64_t irq = irqlock_take(&as->lock);
        bool     mine = !as->busy;

        as->busy = true;
        irqlock_drop(&as->lock, irq);
        if (mine)
            break;
        port_relax();
    }
    as->near_table = 0;
}

void as_end(struct as *as)
{
    uint64_t irq = irqlock_take(&as->lock);

    as->near_table = 0; /* it may be gone */
    as->busy = false;
    irqlock_drop(&as->lock, irq);
}

/* ---- ranges ------------------------------------------------------------------------------------------ */

err_t pages_of(const struct as *as, va_t start, uint64_t n_pages, struct pages *out)
{
    uint64_t first = start.raw >> PAGE_SHIFT, end = as->regions.bound.page;

    if (!is_aligned(start.raw, PAGE_SIZE) || n_pages == 0 || first < as->regions.first || first >= end ||
        n_pages > end - first)
        return ERR_INVAL;
    *out = (struct pages){ first, first + n_pages };
    return ERR_OK;
}

err_t pages_covered(struct as *as, struct pages p)
{
    while (p.first < p.end) {
        const struct region *r = region_at(as, p.first);

        if (r == NULL)
            return ERR_NOENT;
        p.first = r->span.end;
    }
    return ERR_OK;
}

/* ---- promises ---------------------------------------------------------------------------------------- */

err_t as_promise(struct as *as, uint64_t n_pages)
{
    err_t err = commit_take(n_pages);

    if (err == ERR_OK)
        as->promised += n_pages;
    return err;
}

void as_unpromise(struct as *as, uint64_t n_pages)
{
    commit_give(n_pages);
    as->promised -= n_pages;
}

err_t region_grow(struct as *as, struct region *r, uint64_t page)
{
    err_t err = ERR_OK;

    if (r->kind != REGION_STACK || page >= r->low)
        return ERR_OK;
    if (r->promised)
        err = as_promise(as, r->low - page);
    if (err == ERR_OK)
        r->low = page;
    return err;
}

static void node_drop(struct as *as, struct region *r)
{
    if (as->last == r)
        as->last = NULL;
    node_free(&as->nodes, r);
    as->n_regions--;
}

/* ---- joining ----------------------------------------------------------------------------------------- */

/* b goes on where a ends, in what is behind them, too */
bool region_could_join(const struct region *a, const struct region *b)
{
    uint64_t n = region_pages(a);

    if (a->span.end != b->span.page || a->kind != b->kind || a->prot != b->prot || a->flags != b->flags ||
        a->promised != b->promised || a->kind == REGION_STACK)
        return false;
    if (region_anonymous(a))
        return true;
    return a->offset + n == b->offset && a->file == b->file && a->shared == b->shared && a->cache == b->cache &&
           (a->file_bytes == n << PAGE_SHIFT || b->file_bytes == 0);
}

void region_join(struct as *as, uint64_t page)
{
    struct region *b = region_at(as, page), *a = page > 0 ? region_at(as, page - 1) : NULL;
    err_t          err;

    if (a == NULL || b == NULL || a == b || !region_could_join(a, b))
        return;
    span_remove(&as->regions, &b->span);
    a->file_bytes += b->file_bytes;
    err = span_resize(&as->regions, &a->span, a->span.page, b->span.end);
    ASSERT(err == ERR_OK);
    if (b->shared != NULL)
        shared_put(b->shared); /* the other holds one, too */
    node_drop(as, b);
}

/* ---- cutting ----------------------------------------------------------------------------------------- */

static bool must_cut(struct as *as, uint64_t page)
{
    const struct region *r = region_at(as, page);

    return r != NULL && r->span.page < page;
}

/* Both halves can be made at `page`: the stack has grown so far, no 2 MiB page is in the way, there is a node. */
static err_t ready_at(struct as *as, uint64_t page, struct cuts *c)
{
    void *node;
    err_t err = ERR_OK;

    if (!must_cut(as, page))
        return ERR_OK;
    if (as->n_regions + c->n >= REGIONS_MAX)
        return ERR_NOMEM;
    err = region_grow(as, region_at(as, page), page);
    if (err == ERR_OK)
        err = huge_split(as, page);
    if (err == ERR_OK)
        err = node_new(&as->nodes, &node);
    if (err == ERR_OK)
        c->node[c->n++] = node;
    return err;
}

err_t cuts_ready(struct as *as, struct pages p, struct cuts *c)
{
    err_t err;

    *c = (struct cuts){ .n = 0 };
    err = ready_at(as, p.first, c);
    if (err == ERR_OK)
        err = ready_at(as, p.end, c);
    if (err != ERR_OK)
        cuts_drop(as, c);
    return err;
}

void cuts_drop(struct as *as, struct cuts *c)
{
    while (c->n > 0)
        node_free(&as->nodes, c->node[--c->n]);
}

/* What is above `page` becomes a region of its own; above a cut, a stack is anonymous memory */
static void cut(struct as *as, uint64_t page, struct cuts *c)
{
    struct region *low = region_at(as, page), *high;
    uint64_t       n, bytes;
    err_t          err;

    if (!must_cut(as, page))
        return;
    ASSERT(c->n > 0);
    high = c->node[--c->n];
    *high = *low;
    n = page - low->span.page;
    bytes = min_u64(low->file_bytes, n << PAGE_SHIFT);
    high->span.page = page;
    high->offset += n;
    high->file_bytes -= bytes;
    if (high->kind == REGION_STACK) {
        high->kind = REGION_ANON;
        c->stack_end = high->span.end;
    }
    if (high->shared != NULL)
        shared_hold(high->shared);
    low->file_bytes = bytes;
    err = span_resize(&as->regions, &low->span, low->span.page, page);
    if (err == ERR_OK)
        err = span_insert(&as->regions, &high->span);
    ASSERT(err == ERR_OK);
    as->n_regions++;
}

void cuts_make(struct as *as, struct pages p, struct cuts *c)
{
    cut(as, p.first, c);
    cut(as, p.end, c);
}

void cuts_done(struct as *as, const struct cuts *c)
{
    if (c->stack_end != 0)
        region_join(as, c->stack_end);
}

/* ---- adding ------------------------------------------------------------------------------------------ */

static err_t object_ok(const struct region_want *w)
{
    uint64_t bytes = w->n_pages << PAGE_SHIFT;
    bool     ok = true;

    if (w->kind == REGION_IMAGE)
        ok = w->file != NULL && w->file_bytes <= bytes && w->offset <= w->file->n_bytes &&
             w->file_bytes <= w->file->n_bytes - w->offset;
    else if (w->kind == REGION_SHARED)
        ok = w->shared != NULL && w->offset >> PAGE_SHIFT <= shared_pages(w->shared) &&
             w->n_pages <= shared_pages(w->shared) - (w->offset >> PAGE_SHIFT);
    else if (w->kind == REGION_PHYS)
        ok = w->frame.idx < pte_frame_limit() && w->n_pages <= pte_frame_limit() - w->frame.idx &&
             (w->cache & ~PTE_CACHE) == 0;
    return ok && is_aligned(w->offset, PAGE_SIZE) ? ERR_OK : ERR_INVAL;
}

/* Where it goes */
static err_t place(const struct as *as, const struct region_want *w, struct pages *out)
{
    uint64_t first;
    err_t    err;

    if (w->start.raw != 0)
        return pages_of(as, w->start, w->n_pages, out);
    if (w->n_pages >= as->regions.bound.page)
        return ERR_NOMEM;
    err = span_room_high(&as->regions, w->n_pages, w->n_pages >= HUGE_PAGES ? HUGE_PAGES : 1, &first);
    if (err == ERR_OK)
        *out = (struct pages){ first, first + w->n_pages };
    return err;
}

static err_t want_ok(const struct as *as, const struct region_want *w)
{
    if ((unsigned)w->kind >= REGION_KINDS || (w->prot & ~(REGION_R | REGION_W | REGION_X)) != 0 ||
        (w->flags & ~(REGION_HUGE | REGION_NO_HUGE | REGION_LOCKED)) != 0 || w->n_pages == 0)
        return ERR_INVAL;
    if ((w->prot & (REGION_W | REGION_X)) == (REGION_W | REGION_X))
        return ERR_PERM;
    if (as->n_regions >= REGIONS_MAX)
        return ERR_NOMEM;
    return object_ok(w);
}

static struct region made(const struct region_want *w, struct pages p)
{
    bool own = w->kind != REGION_SHARED && w->kind != REGION_PHYS && (w->prot & REGION_W) != 0;

    return (struct region){ .span = { .page = p.first, .end = p.end },
                            .kind = w->kind,
                            .prot = w->prot,
                            .flags = w->flags,
                            .promised = own,
                            .low = p.end,
                            .offset = w->kind == REGION_PHYS ? w->frame.idx : w->offset >> PAGE_SHIFT,
                            .file_bytes = w->kind == REGION_IMAGE ? w->file_bytes : 0,
                            .file = w->kind == REGION_IMAGE ? w->file : NULL,
                            .shared = w->kind == REGION_SHARED ? w->shared : NULL,
                            .cache = w->kind == REGION_PHYS ? w->cache : PTE_CACHE_WB };
}

/* A node of its own */
static err_t enter(struct as *as, const struct region *r)
{
    void *node;
    err_t err = node_new(&as->nodes, &node);

    if (err != ERR_OK)
        return err;
    *(struct region *)node = *r;
    err = span_insert(&as->regions, &((struct region *)node)->span);
    ASSERT(err == ERR_OK);
    as->n_regions++;
    if (r->shared != NULL)
        shared_hold(r->shared);
    return ERR_OK;
}

/* r is what comes before `next`, or after what is below: then that is longer now. False: neither is */
static bool extend(struct as *as, const struct region *r, struct region *next)
{
    struct region *old = next, *low = region_at(as, r->span.page - 1);
    err_t          err;

    if (next != NULL && region_could_join(r, next)) {
        err = span_resize(&as->regions, &next->span, r->span.page, next->span.end);
        next->offset = r->offset;
    } else if (low != NULL && region_could_join(low, r)) {
        err = span_resize(&as->regions, &low->span, low->span.page, r->span.end);
        old = low;
    } else {
        return false;
    }
    ASSERT(err == ERR_OK);
    old->file_bytes += r->file_bytes;
    return true;
}

/* The region is there: in a neighbour, or by itself */
static err_t settle(struct as *as, const struct region *r)
{
    struct region *next = region_from(as, r->span.page);
    err_t          err = ERR_OK;

    if (next != NULL && next->span.page < r->span.end)
        return ERR_EXISTS;
    if (r->promised)
        err = as_promise(as, region_promise(r));
    if (err != ERR_OK || ((r->flags & REGION_LOCKED) == 0 && extend(as, r, next)))
        return err;
    err = enter(as, r);
    if (err != ERR_OK && r->promised)
        as_unpromise(as, region_promise(r));
    return err;
}

err_t region_add(struct as *as, const struct region_want *want, va_t *out)
{
    struct region r;
    struct pages  p;
    err_t         err = want_ok(as, want);

    if (err == ERR_OK)
        err = place(as, want, &p);
    if (err != ERR_OK)
        return err;
    r = made(want, p);
    err = settle(as, &r);
    if (err != ERR_OK)
        return err;
    if ((r.flags & REGION_LOCKED) != 0) {
        err = as_populate(as, p);
        if (err != ERR_OK) {
            as_drop_pages(as, p);
            region_forget(as, region_at(as, p.first));
            return err;
        }
        region_join(as, p.end);
    }
    region_join(as, p.first);
    *out = page_address(p.first);
    return ERR_OK;
}

err_t as_region_add(struct as *as, const struct region_want *want, va_t *out)
{
    err_t err;

    as_begin(as);
    err = region_add(as, want, out);
    as_end(as);
    return err;
}

/* ---- removing ---------------------------------------------------------------------------------------- */

void region_forget(struct as *as, struct region *r)
{
    span_remove(&as->regions, &r->span);
    if (r->promised)
        as_unpromise(as, region_promise(r));
    if (r->shared != NULL)
        shared_put(r->shared);
    node_drop(as, r);
}

void as_drop_pages(struct as *as, struct pages p)
{
    struct pt_marks marks = { .owned = AS_OWNED, .counted = AS_COUNTED };
    err_t           err = pt_release_marked(&as->pt, page_address(p.first), p.end - p.first, &marks, &as->tlb);

    ASSERT(err == ERR_OK); /* no large page is cut */
    as->owned -= marks.n_frames;
}

/* All in one region, and at one of its ends: it just becomes shorter */
static bool at_an_end(const struct region *r, struct pages p)
{
    return r != NULL && r->kind != REGION_STACK && p.end <= r->span.end &&
           (p.first == r->span.page) != (p.end == r->span.end);
}

static err_t trim(struct as *as, struct region *r, struct pages p)
{
    bool     front = p.first == r->span.page;
    uint64_t bytes = min_u64(r->file_bytes, ((front ? p.end : p.first) - r->span.page) << PAGE_SHIFT);
    err_t    err = huge_split(as, front ? p.end : p.first);

    if (err != ERR_OK)
        return err;
    as_drop_pages(as, p);
    if (r->promised)
        as_unpromise(as, p.end - p.first);
    r->offset += front ? p.end - p.first : 0;
    r->file_bytes = front ? r->file_bytes - bytes : bytes;
    err = span_resize(&as->regions, &r->span, front ? p.end : r->span.page, front ? r->span.end : p.first);
    ASSERT(err == ERR_OK);
    return ERR_OK;
}

err_t region_remove(struct as *as, struct pages p)
{
    struct region *only = region_at(as, p.first);
    struct cuts    c;
    err_t          err;

    if (at_an_end(only, p))
        return trim(as, only, p);
    err = cuts_ready(as, p, &c);
    if (err != ERR_OK)
        return err;
    cuts_make(as, p, &c);
    as_drop_pages(as, p);
    for (struct region *r; (r = region_from(as, p.first)) != NULL && r->span.page < p.end;)
        region_forget(as, r);
    cuts_done(as, &c);
    return ERR_OK;
}

err_t as_region_remove(struct as *as, va_t start, uint64_t n_pages)
{
    struct pages p;
    err_t        err = pages_of(as, start, n_pages, &p);

    if (err != ERR_OK)
        return err;
    as_begin(as);
    err = region_remove(as, p);
    as_end(as);
    return err;
}
