/* SPDX-License-Identifier: MIT */
/*
 * mm/region_change.c - regions: other rights, another size, another place; the heap; what a process advises
 *
 * Promise     what the pages hold stays; what is behind mm/region.h's other promises is told in mm/region.c.
 *
 * Rights      The region gets them, and what is mapped already gets them, too: but W only where the frame is the space's
 *             alone; where it is shared (a fork, the zeroes, a file) the next write still faults.
 *             A page without any right stays mapped, for the kernel.
 *
 * Moving      Tables move (mm/pt_move.c). For 2 MiB and more the new place has the old one's offset within 2 MiB: so
 *             page tables and 2 MiB pages move as they are.
 *
 * Heap        [heap, brk) in bytes; its pages are regions of their own kind, however many a program made of them.
 *
 * Locks, failure as in mm/region.c.
 */
#include "mm/region_in.h"

#include "mm/shared.h"

/* ---- attributes ----------------------------------------------------------------------------------------- */

/* What every region of a range gets */
struct change {
    bool     rights;
    unsigned prot;         /* if `rights`                    */
    unsigned clear, set;   /* flags                          */
};

/* Pages that would be promised because they may be written now */
static uint64_t more_promised(const struct as *as, struct pages p, const struct change *c)
{
    uint64_t n = 0;

    for (const struct region *r = region_from(as, p.first); r != NULL && r->span.page < p.end;
         r = region_from(as, r->span.end)) {
        uint64_t first = max_u64(p.first, r->kind == REGION_STACK ? r->low : r->span.page);
        uint64_t end = min_u64(p.end, r->span.end);

        if (c->rights && (c->prot & REGION_W) != 0 && region_private(r) && !r->promised && first < end)
            n += end - first;
    }
    return n;
}

static void change_one(struct as *as, struct region *r, const struct change *c, struct tlb_batch *b)
{
    err_t err = ERR_OK;

    r->flags = (r->flags & ~c->clear) | c->set;
    if (!c->rights)
        return;
    r->promised |= region_private(r) && (c->prot & REGION_W) != 0;
    if (r->prot == c->prot)
        return;
    r->prot = c->prot;
    if (region_private(r))
        err = pt_protect_marked(&as->pt, region_start(r), region_pages(r), region_flags(r), AS_OWNED | AS_COUNTED,
                                AS_OWNED, b);
    else
        err = pt_protect(&as->pt, region_start(r), region_pages(r), region_flags(r), b);
    ASSERT(err == ERR_OK); /* no large page is cut */
}

static void join_all(struct as *as, struct pages p)
{
    region_join(as, p.end);
    for (const struct region *r = region_at(as, p.first); r != NULL && r->span.page < p.end; r = region_at(as, p.first)) {
        p.first = r->span.end;
        region_join(as, r->span.page);
    }
}

static err_t change(struct as *as, struct pages p, const struct change *c)
{
    struct tlb_batch batch;
    struct cuts      cuts;
    err_t            err = pages_covered(as, p);

    if (err != ERR_OK)
        return err;
    err = cuts_ready(as, p, &cuts);
    if (err != ERR_OK)
        return err;
    err = as_promise(as, more_promised(as, p, c));
    if (err != ERR_OK) {
        cuts_drop(as, &cuts);
        return err;
    }
    cuts_make(as, p, &cuts);
    tlb_batch_open(&batch, &as->tlb);
    for (struct region *r = region_at(as, p.first); r != NULL && r->span.page < p.end; r = region_at(as, r->span.end))
        change_one(as, r, c, &batch);
    tlb_batch_close(&batch);
    join_all(as, p);
    cuts_done(as, &cuts);
    return ERR_OK;
}

err_t as_region_protect(struct as *as, va_t start, uint64_t n_pages, unsigned prot)
{
    const struct change c = { .rights = true, .prot = prot };
    struct pages        p;
    err_t               err = pages_of(as, start, n_pages, &p);

    if (err == ERR_OK && (prot & ~(REGION_R | REGION_W | REGION_X)) != 0)
        err = ERR_INVAL;
    if (err == ERR_OK && (prot & (REGION_W | REGION_X)) == (REGION_W | REGION_X))
        err = ERR_PERM;
    if (err != ERR_OK)
        return err;
    as_begin(as);
    err = change(as, p, &c);
    as_end(as);
    return err;
}

/* ---- advice, locking -------------------------------------------------------------------------------------- */

static err_t drop(struct as *as, struct pages p)
{
    err_t err = pages_covered(as, p);

    for (const struct region *r = region_at(as, p.first); r != NULL && r->span.page < p.end && err == ERR_OK;
         r = region_at(as, r->span.end))
        err = (r->flags & REGION_LOCKED) != 0 ? ERR_PERM : ERR_OK;
    if (err == ERR_OK)
        err = huge_split(as, p.first);
    if (err == ERR_OK)
        err = huge_split(as, p.end);
    if (err == ERR_OK)
        as_drop_pages(as, p);
    return err;
}

static err_t advise(struct as *as, struct pages p, enum as_advice advice)
{
    static const struct change huge[] = {
        [AS_NORMAL] = { .clear = REGION_HUGE | REGION_NO_HUGE },
        [AS_HUGE] = { .clear = REGION_NO_HUGE, .set = REGION_HUGE },
        [AS_NO_HUGE] = { .clear = REGION_HUGE, .set = REGION_NO_HUGE },
    };
    err_t err;

    switch (advice) {
    case AS_WILL_NEED:
        err = pages_covered(as, p);
        return err == ERR_OK ? as_populate(as, p) : err;
    case AS_DONT_NEED:
        return drop(as, p);
    default:
        return (unsigned)advice < ARRAY_LEN(huge) ? change(as, p, &huge[advice]) : ERR_INVAL;
    }
}

err_t as_advise(struct as *as, va_t start, uint64_t n_pages, enum as_advice advice)
{
    struct pages p;
    err_t        err = pages_of(as, start, n_pages, &p);

    if (err != ERR_OK)
        return err;
    as_begin(as);
    err = advise(as, p, advice);
    as_end(as);
    return err;
}

err_t as_lock(struct as *as, va_t start, uint64_t n_pages, bool locked)
{
    const struct change c = { .clear = locked ? 0 : REGION_LOCKED, .set = locked ? REGION_LOCKED : 0 };
    struct pages        p;
    err_t               err = pages_of(as, start, n_pages, &p);

    if (err != ERR_OK)
        return err;
    as_begin(as);
    err = pages_covered(as, p);
    if (err == ERR_OK && locked)
        err = as_populate(as, p);
    if (err == ERR_OK)
        err = change(as, p, &c);
    as_end(as);
    return err;
}

/* ---- size and place --------------------------------------------------------------------------------------- */

/* May the pages become n_more, kept by what is behind them? */
static err_t may_grow(const struct region *r, struct pages old, uint64_t n_more)
{
    if (r == NULL || r->span.end < old.end)
        return r == NULL ? ERR_NOENT : ERR_INVAL;
    if (r->kind == REGION_STACK || r->kind == REGION_HEAP || r->kind == REGION_PHYS)
        return ERR_INVAL;
    if (r->kind == REGION_SHARED &&
        r->offset + (old.end - r->span.page) + n_more > shared_pages(r->shared))
        return ERR_INVAL;
    return ERR_OK;
}

static err_t grow_here(struct as *as, struct region *r, struct pages old, uint64_t n_more)
{
    err_t err;

    if (r->span.end != old.end || old.end + n_more > as->regions.bound.page)
        return ERR_EXISTS;
    err = span_resize(&as->regions, &r->span, r->span.page, old.end + n_more);
    if (err == ERR_OK)
        region_join(as, old.end + n_more);
    return err;
}

/* Room for n pages with the offset within 2 MiB that `first` has, if that matters */
static err_t room_like(const struct as *as, uint64_t first, uint64_t n, uint64_t *out)
{
    uint64_t offset = n >= HUGE_PAGES ? first % HUGE_PAGES : 0;
    err_t    err = n >= as->regions.bound.page ? ERR_NOMEM : ERR_OK;

    if (err == ERR_OK)
        err = span_room_high(&as->regions, n + offset, n >= HUGE_PAGES ? HUGE_PAGES : 1, out);
    if (err == ERR_OK)
        *out += offset;
    return err;
}

static err_t move_away(struct as *as, struct pages old, uint64_t new_n, uint64_t *out)
{
    struct tlb_batch batch;
    struct region   *r;
    struct cuts      cuts;
    uint64_t         to;
    err_t            err = room_like(as, old.first, new_n, &to);

    if (err != ERR_OK)
        return err;
    err = cuts_ready(as, old, &cuts);
    if (err != ERR_OK)
        return err;
    tlb_batch_open(&batch, &as->tlb);
    err = pt_move(&as->pt, page_address(old.first), page_address(to), old.end - old.first, &batch);
    tlb_batch_close(&batch);
    if (err != ERR_OK) {
        cuts_drop(as, &cuts);
        return err;
    }
    cuts_make(as, old, &cuts);
    r = region_at(as, old.first);
    span_remove(&as->regions, &r->span);
    r->span.page = to;
    r->span.end = to + new_n;
    err = span_insert(&as->regions, &r->span);
    ASSERT(err == ERR_OK);
    region_join(as, to + new_n);
    region_join(as, to);
    *out = to;
    return ERR_OK;
}

static err_t grow(struct as *as, struct pages old, uint64_t n_more, bool may_move, uint64_t *out)
{
    struct region *r = region_at(as, old.first);
    err_t          err = may_grow(r, old, n_more);
    uint64_t       promise;
    bool           locked;

    if (err != ERR_OK)
        return err;
    locked = (r->flags & REGION_LOCKED) != 0;
    promise = r->promised ? n_more : 0;
    err = as_promise(as, promise);
    if (err != ERR_OK)
        return err;
    *out = old.first;
    err = grow_here(as, r, old, n_more);
    if (err == ERR_EXISTS)
        err = may_move ? move_away(as, old, old.end - old.first + n_more, out) : ERR_NOMEM;
    if (err != ERR_OK) {
        as_unpromise(as, promise);
    } else if (locked) {
        err_t short_of = as_populate(as, (struct pages){ *out, *out + (old.end - old.first) + n_more });

        (void)short_of; /* what could not be had now comes with its first touch */
    }
    return err;
}

static err_t remap(struct as *as, struct pages old, uint64_t new_n, bool may_move, uint64_t *out)
{
    uint64_t old_n = old.end - old.first;
    err_t    err = may_grow(region_at(as, old.first), old, 0);

    if (err != ERR_OK)
        return err;
    if (new_n > old_n)
        return grow(as, old, new_n - old_n, may_move, out);
    *out = old.first;
    return new_n < old_n ? region_remove(as, (struct pages){ old.first + new_n, old.end }) : ERR_OK;
}

err_t as_region_remap(struct as *as, va_t old, uint64_t old_n, uint64_t new_n, bool may_move, va_t *out)
{
    struct pages p;
    uint64_t     page;
    err_t        err = pages_of(as, old, old_n, &p);

    if (err == ERR_OK && new_n == 0)
        err = ERR_INVAL;
    if (err == ERR_OK && new_n >= as->regions.bound.page)
        err = ERR_NOMEM;
    if (err != ERR_OK)
        return err;
    as_begin(as);
    err = remap(as, p, new_n, may_move, &page);
    as_end(as);
    if (err == ERR_OK)
        *out = page_address(page);
    return err;
}

/* ---- the heap --------------------------------------------------------------------------------------------- */

void as_heap_at(struct as *as, va_t start) { as->heap = as->brk = start; }

static err_t brk_to(struct as *as, va_t end)
{
    struct pages      p;
    uint64_t          now = align_up(as->brk.raw, PAGE_SIZE), then = align_up(end.raw, PAGE_SIZE);
    struct region_want want = { .start = va(now), .kind = REGION_HEAP, .prot = REGION_R | REGION_W };
    va_t              at;
    err_t             err;

    if (end.raw < as->heap.raw || end.raw > page_address(as->regions.bound.page).raw)
        return ERR_INVAL;
    if (then > now) {
        want.n_pages = (then - now) >> PAGE_SHIFT;
        return region_add(as, &want, &at);
    }
    if (then == now)
        return ERR_OK;
    err = pages_of(as, va(then), (now - then) >> PAGE_SHIFT, &p);
    return err == ERR_OK ? region_remove(as, p) : err;
}

err_t as_brk(struct as *as, va_t end, va_t *out)
{
    err_t err = ERR_OK;

    as_begin(as);
    if (end.raw != 0)
        err = brk_to(as, end);
    if (err == ERR_OK && end.raw != 0)
        as->brk = end;
    if (err == ERR_OK)
        *out = as->brk;
    as_end(as);
    return err;
}
