/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_change.c - page tables: unmapping, releasing, protecting
 *
 * Promise     What is in the range is removed or gets its new flags; holes are passed over. Nothing
 *             outside the range changes, whatever page sizes are in use.
 *
 * How         First the two ends are cut (mm/pt_split.c): afterwards no large page reaches across them,
 *             so every entry on the way is wholly inside or a table. The frames for the cuts are the
 *             only thing that can be missing, and are taken first.
 *
 * Cheap       A page table wholly inside a range to be unmapped is unlinked as it is; nobody reads or
 *             clears its entries. It stays valid for CPUs that still know it, until the flush. Not so where its
 *             entry says that cache types are counted in it (mm/memtype.c).
 *
 * Races       The CPU may set A and D in an entry while we change it. Removing swaps the entry out;
 *             protecting compares and exchanges; so no bit the CPU set is lost.
 *
 * Locks, failure, sources as in mm/pt.c.
 */
#include "mm/pt_inside.h"

/* ---- unmap ------------------------------------------------------------------------------------ */

/* The frames behind this entry are to be freed, and the batch can take no more */
static bool no_room(struct unmap *u, pte_t e, unsigned level, uint64_t page)
{
    struct pt_marks *m = u->release;

    if (m == NULL || !pte_present(e) || (e.raw & m->owned) != m->owned)
        return false;
    if (tlb_free_block(u->batch, pte_frame(e, level), 9 * (level - 1), (e.raw & m->counted) != 0)) {
        m->n_frames += level_pages(level);
        return false;
    }
    u->full = true;
    u->next = page;
    return true;
}

/* Page by page: each is listed, or its frame kept for release. Returns entries that became 0. */
static unsigned clear_listed(struct unmap *u, pte_cell *c, unsigned n, uint64_t page)
{
    unsigned removed = 0;

    for (unsigned i = 0; i < n; i++) {
        pte_t e = pte_load(&c[i]);

        if (e.raw == 0)
            continue;
        if (no_room(u, e, LEVEL_4K, page + i))
            break;
        e = pte_swap(&c[i], (pte_t){ 0 });
        note_page(u->pt, u->batch, page + i, LEVEL_4K, e, (pte_t){ 0 });
        removed++;
        if (!pte_present(e))
            continue;
        type_given(e, LEVEL_4K);
        if (!u->batch->all)
            tlb_changed(u->batch, page_va(u->pt, page + i));
    }
    return removed;
}

/* Too many to list, frames not ours */
static unsigned clear_many(struct unmap *u, pte_cell *c, unsigned n)
{
    unsigned removed = 0;

    for (unsigned i = 0; i < n; i++) {
        pte_t e = pte_swap(&c[i], (pte_t){ 0 });

        type_given(e, LEVEL_4K);
        removed += e.raw != 0;
    }
    if (removed > 0)
        tlb_changed_many(u->batch);
    return removed;
}

static unsigned clear_leaf(struct unmap *u, pte_cell *c, unsigned level, uint64_t page)
{
    pte_t e = pte_load(c);

    if (no_room(u, e, level, page))
        return 0;
    e = pte_swap(c, (pte_t){ 0 });
    note_page(u->pt, u->batch, page, level, e, (pte_t){ 0 });
    type_given(e, level);
    if (pte_present(e))
        tlb_changed(u->batch, page_va(u->pt, page));
    return 1;
}

/* A top entry of the kernel's that others share stays, with its empty table. */
static bool may_unlink(const struct pt *pt, unsigned level) { return level < pt->levels || pt->followers == NULL; }

unsigned pt_less_below(struct pt *pt, pte_cell *cell, unsigned level, uint64_t page, unsigned removed,
                       struct tlb_batch *b)
{
    pte_t old = { atomic_fetch_sub_explicit(&cell->raw, removed * PTE_COUNT_ONE, memory_order_relaxed) };

    if (removed < pte_count(old) || !may_unlink(pt, level))
        return 0;
    (void)pte_swap(cell, (pte_t){ 0 });
    note_table(pt, b, page, level);
    pt_alias_changed(pt, page, level - 1, b);
    tlb_free_table(b, pte_frame(old, level));
    pt->n_tables--;
    return 1;
}

/* The table below this entry, [page, next) of it; returns 1 if the entry became 0 */
static unsigned unmap_below(struct unmap *u, pte_cell *cell, pte_t e, unsigned level, uint64_t page, uint64_t next)
{
    unsigned n = pte_count(e);
    bool     whole = next - page == level_pages(level), plain = (e.raw & PTE_TYPED_BELOW) == 0;

    if (level == LEVEL_2M && whole && plain && u->release == NULL && n > tlb_room(u->batch) && !tlb_shadow_on)
        tlb_changed_many(u->batch); /* as it is: see "Cheap" above */
    else
        n = pt_unmap_span(u, pt_cells(u->pt, pte_frame(e, level), page, level - 1), level - 1, page, next);
    return pt_less_below(u->pt, cell, level, page, n, u->batch);
}

unsigned pt_unmap_span(struct unmap *u, pte_cell *cells, unsigned level, uint64_t page, uint64_t end)
{
    unsigned removed = 0;

    if (level == LEVEL_4K) {
        unsigned n = (unsigned)(end - page);
        pte_cell *c = &cells[pt_index(page, level)];

        return u->release != NULL || n <= tlb_room(u->batch) || tlb_shadow_on ? clear_listed(u, c, n, page)
                                                                       : clear_many(u, c, n);
    }
    for (uint64_t next; page < end && !u->full; page = next) {
        pte_cell *cell = &cells[pt_index(page, level)];
        pte_t     e = pte_load(cell);

        next = next_page(page, end, level);
        if (e.raw == 0)
            continue;
        if (!pte_present(e) || pte_is_leaf(e, level))
            removed += clear_leaf(u, cell, level, page);
        else
            removed += unmap_below(u, cell, e, level, page, next);
    }
    return removed;
}

/* Make both ends of the span ends of pages, too. ERR_NOMEM: nothing was cut. */
static err_t cut_ends(struct pt *pt, struct span s, struct tlb_batch *b)
{
    struct stock stock = { .n = 0 };
    unsigned     cost = pt_ends_cost(pt, s);
    err_t        err = stock_fill(&stock, cost);

    if (cost == 0 || err != ERR_OK)
        return err;
    pt_cut(pt, s.page, &stock, b);
    pt_cut(pt, s.end, &stock, b);
    stock_drain(&stock);
    return ERR_OK;
}

/* Where to begin, with both ends cut if a large page may reach across them */
static err_t find_place(struct pt *pt, struct span s, struct pt_place *p, struct tlb_batch *b)
{
    err_t err = ERR_OK;

    pt_narrow(pt, s, p);
    if (!is_aligned(s.page | s.end, level_pages(p->level))) { /* else entries of this level are wholly in or out */
        err = cut_ends(pt, s, b);
        pt_narrow(pt, s, p);
    }
    return err;
}

/* One locked pass; u says how far it got. */
static err_t unmap(struct unmap *u, va_t start, uint64_t n_pages)
{
    struct pt      *pt = u->pt;
    struct span     s;
    struct pt_place p;
    uint64_t        irq = irqlock_take(&pt->lock);
    err_t           err = pt_span(pt, start, n_pages, &s);

    if (err == ERR_OK)
        err = find_place(pt, s, &p, u->batch);
    if (err == ERR_OK) {
        unsigned removed = pt_unmap_span(u, p.cells, p.level, s.page, s.end);

        for (unsigned level = p.level + 1; level <= pt->levels && removed > 0; level++)
            removed = pt_less_below(pt, p.path[level], level, s.page, removed, u->batch);
    }
    irqlock_drop(&pt->lock, irq);
    return err;
}

err_t pt_unmap(struct pt *pt, va_t start, uint64_t n_pages, struct tlb_batch *b)
{
    struct unmap u = { .pt = pt, .batch = b };

    return unmap(&u, start, n_pages);
}

err_t pt_release(struct pt *pt, va_t start, uint64_t n_pages, struct tlb_space *space)
{
    struct pt_marks all = { .owned = 0 };

    return pt_release_marked(pt, start, n_pages, &all, space);
}

err_t pt_release_marked(struct pt *pt, va_t start, uint64_t n_pages, struct pt_marks *marks, struct tlb_space *space)
{
    struct tlb_batch b;
    struct unmap     u = { .pt = pt, .batch = &b, .release = marks };
    va_t             end = va_add(start, n_pages << PAGE_SHIFT); /* wraps to 0 at the very top */
    err_t            err;

    marks->n_frames = 0;
    tlb_batch_open(&b, space);
    for (;;) {
        u.full = false;
        err = unmap(&u, start, n_pages);
        tlb_batch_close(&b);
        if (err != ERR_OK || !u.full)
            return err;
        start = page_va(pt, u.next);
        n_pages = (end.raw - start.raw) >> PAGE_SHIFT;
    }
}

/* ---- protect ---------------------------------------------------------------------------------- */

#define PROTECT_BITS (PTE_W | PTE_U | PTE_G | PTE_NX | PTE_KEY)

struct protect {
    struct pt        *pt;
    struct tlb_batch *batch;
    uint64_t          flags;
    uint64_t          mark, match;  /* W only where the entry's bits of `mark` are these */
    uint64_t          lost, gained; /* bits that some entry of the run had before, or has now, and not both */
};

/* What an entry becomes */
static uint64_t protected(const struct protect *p, uint64_t old)
{
    return (old & ~PROTECT_BITS) | ((old & p->mark) == p->match ? p->flags : p->flags & ~PTE_W);
}

/* One entry, whatever it holds and whoever changes it meanwhile */
static NOINLINE void protect_any(struct protect *p, pte_cell *c)
{
    uint64_t old = atomic_load_explicit(&c->raw, memory_order_relaxed);

    while ((old & PTE_P) != 0) { /* once more if the CPU sets A or D at this very moment */
        uint64_t new = protected(p, old);

        if (atomic_compare_exchange_weak_explicit(&c->raw, &old, new, memory_order_acq_rel, memory_order_relaxed)) {
            p->lost |= old & ~new;
            p->gained |= new & ~old;
            return;
        }
    }
}

/* The same without marks, as it is nearly always; `changed` collects the bits that are not what they were. */
static inline uint64_t protect_plain(struct protect *p, pte_cell *c, uint64_t set, uint64_t changed)
{
    uint64_t old = atomic_load_explicit(&c->raw, memory_order_relaxed), new = (old & ~PROTECT_BITS) | set;

    if ((old & PTE_P) == 0)
        return changed;
    if (LIKELY(atomic_compare_exchange_strong_explicit(&c->raw, &old, new, memory_order_acq_rel, memory_order_relaxed)))
        return changed | (old ^ new);
    protect_any(p, c);
    return changed;
}

/* The shadow TLB wants to see each entry as it was and as it is. */
static void protect_noted(struct protect *p, pte_cell *c, unsigned n, uint64_t page, unsigned level)
{
    for (unsigned i = 0; i < n; i++) {
        pte_t old = pte_load(&c[i]);

        if (pte_present(old))
            note_page(p->pt, p->batch, page + i * level_pages(level), level, old, (pte_t){ protected(p, old.raw) });
    }
}

/* n neighbouring entries; lists what a CPU may hold wrongly afterwards. */
static void protect_run(struct protect *p, pte_cell *c, unsigned n, uint64_t page, unsigned level)
{
    const uint64_t set = p->flags;
    const bool     plain = p->mark == 0;
    uint64_t       changed = 0;
    pte_cell      *at = c;

    if (UNLIKELY(tlb_shadow_on))
        protect_noted(p, c, n, page, level);
    p->lost = p->gained = 0;
    for (; plain && at + 3 < c + n; at += 4) { /* by fours: of one entry's work a fifth would be the loop */
        changed = protect_plain(p, at + 1, set, protect_plain(p, at, set, changed));
        changed = protect_plain(p, at + 3, set, protect_plain(p, at + 2, set, changed));
    }
    p->lost |= changed & ~set;
    p->gained |= changed & set;
    for (; at < c + n; at++)
        protect_any(p, at);
    if (!tlb_must_flush(p->lost, p->gained))
        return;
    if (n > tlb_room(p->batch))
        tlb_changed_many(p->batch);
    else
        for (unsigned i = 0; i < n; i++)
            if (pte_present(pte_load(&c[i])))
                tlb_changed(p->batch, page_va(p->pt, page + i * level_pages(level)));
}

static void protect_span(struct protect *p, pte_cell *cells, unsigned level, uint64_t page, uint64_t end)
{
    if (level == LEVEL_4K) {
        protect_run(p, &cells[pt_index(page, level)], (unsigned)(end - page), page, level);
        return;
    }
    for (uint64_t next; page < end; page = next) {
        pte_cell *cell = &cells[pt_index(page, level)];
        pte_t     e = pte_load(cell);

        next = next_page(page, end, level);
        if (!pte_present(e))
            continue;
        if (pte_is_leaf(e, level))
            protect_run(p, cell, 1, page, level);
        else
            protect_span(p, pt_cells(p->pt, pte_frame(e, level), page, level - 1), level - 1, page, next);
    }
}

err_t pt_protect(struct pt *pt, va_t start, uint64_t n_pages, uint64_t flags, struct tlb_batch *b)
{
    return pt_protect_marked(pt, start, n_pages, flags, 0, 0, b);
}

err_t pt_protect_marked(struct pt *pt, va_t start, uint64_t n_pages, uint64_t flags, uint64_t mark, uint64_t match,
                        struct tlb_batch *b)
{
    struct protect  p = { .pt = pt, .batch = b, .flags = flags & PROTECT_BITS, .mark = mark, .match = match };
    struct span     s;
    struct pt_place at;
    uint64_t        irq = irqlock_take(&pt->lock);
    err_t           err = pt_span(pt, start, n_pages, &s);

    if (err == ERR_OK)
        err = (flags & PTE_CACHE) != 0 ? ERR_INVAL : pt_flags_ok(pt, s, flags);
    if (err == ERR_OK)
        err = find_place(pt, s, &at, b);
    if (err == ERR_OK)
        protect_span(&p, at.cells, at.level, s.page, s.end);
    irqlock_drop(&pt->lock, irq);
    return err;
}
