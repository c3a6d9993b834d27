/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_move.c - page tables: the same memory at another address
 *
 * Promise     pt_move() takes every mapping of a range to another place; frames, rights, A and D go with
 *             it, and not a byte behind them is copied.
 *
 * Picture     from  [ table 0 ][ table 1 ][ table 2 ]          a range of 1200 pages, from its page 100 on
 *               to  [ table 0'][ table 1 ][ table 2']          100 pages behind a border, too: table 1 moves
 *                                                              as a whole, by one store in each directory
 *
 * How         What fits moves whole: an entry of any level below the top, with all that hangs on it, if
 *             the distance is a multiple of what the entry spans. Else, the pages of a table move one
 *             by one, and a large page is laid out anew in the sizes that fit there.
 *
 * Failure     Tables are taken beforehand, at most as many as the new place can need; then nothing fails.
 *
 * Locks, sources as in mm/pt.c.
 */
#include "mm/pt_inside.h"

struct move {
    struct pt        *pt;
    struct tlb_batch *batch;
    struct stock      stock;
    uint64_t          from, to; /* first pages */
};

static uint64_t target(const struct move *m, uint64_t page) { return m->to + (page - m->from); }

/* Does an entry of this level stay one entry there? */
static bool keeps_shape(const struct move *m, unsigned level)
{
    return level < m->pt->levels && is_aligned(m->to - m->from, level_pages(level));
}

/* The entries of `level` around `page`, tables made where there are none; *parent leads to them */
static pte_cell *reach(struct move *m, uint64_t page, unsigned level, pte_cell **parent)
{
    struct pt *pt = m->pt;
    pte_cell  *cells = pt_cells(pt, pt->root, page, pt->levels);

    *parent = NULL;
    for (unsigned l = pt->levels; l > level; l--) {
        pte_cell *cell = &cells[pt_index(page, l)];
        pte_t     e = pte_load(cell);

        if (e.raw == 0) {
            pfn_t table = stock_take(pt, &m->stock);

            __builtin_memset(port_ptr(pfn_to_pa(table)), 0, PAGE_SIZE);
            e = pte_table(table, pt_index(page, pt->levels) < SLOT_KERNEL_HALF, 0);
            pte_publish(cell, e);
            if (*parent != NULL)
                atomic_fetch_add_explicit(&(*parent)->raw, PTE_COUNT_ONE, memory_order_relaxed);
            else
                pt_tell_followers(pt, pt_index(page, l));
        }
        *parent = cell;
        cells = pt_cells(pt, pte_frame(e, l), page, l - 1);
    }
    return cells;
}

/* One entry with all that hangs on it; returns 1: the entry here became 0 */
static unsigned move_whole(struct move *m, pte_cell *cell, unsigned level, uint64_t page)
{
    uint64_t  there = target(m, page);
    pte_cell *parent, *cells = reach(m, there, level, &parent);
    pte_t     e = pte_swap(cell, (pte_t){ 0 });

    if (pte_is_leaf(e, level))
        note_page(m->pt, m->batch, page, level, e, (pte_t){ 0 });
    else if (UNLIKELY(tlb_shadow_on))
        tlb_shadow_moved(m->batch->space, page_va(m->pt, page), level_pages(level) << PAGE_SHIFT);
    pte_publish(&cells[pt_index(there, level)], e);
    atomic_fetch_add_explicit(&parent->raw, PTE_COUNT_ONE, memory_order_relaxed);
    if (pte_present(e) && pte_is_leaf(e, level)) {
        tlb_changed(m->batch, page_va(m->pt, page));
    } else {
        tlb_changed_many(m->batch); /* and the aliases of all tables below */
        pt_alias_changed(m->pt, page, level - 1, m->batch);
    }
    return 1;
}

/* Entries of a page table; returns how many became 0 here */
static unsigned move_small(struct move *m, pte_cell *cells, uint64_t page, uint64_t end)
{
    unsigned moved_all = 0;

    for (uint64_t next; page < end; page = next) {
        uint64_t  there = target(m, page), n = min_u64(end - page, TABLE_ENTRIES - pt_index(there, LEVEL_4K));
        pte_cell *c = &cells[pt_index(page, LEVEL_4K)], *parent, *to = NULL;
        unsigned  moved = 0;
        uint64_t  flags = 0;
        pte_t     e;

        next = page + n;
        for (uint64_t i = 0; i < n; i++) {
            if (pte_load(&c[i]).raw == 0)
                continue;
            if (to == NULL)
                to = reach(m, there, LEVEL_4K, &parent) + pt_index(there, LEVEL_4K);
            e = pte_swap(&c[i], (pte_t){ 0 });
            note_page(m->pt, m->batch, page + i, LEVEL_4K, e, (pte_t){ 0 });
            pte_store(&to[i], e);
            flags |= e.raw;
            moved++;
            if (pte_present(e))
                tlb_changed(m->batch, page_va(m->pt, page + i));
        }
        if (moved > 0)
            pt_more_below(parent, LEVEL_2M, moved, flags);
        moved_all += moved;
    }
    return moved_all;
}

static unsigned move_span(struct move *m, pte_cell *cells, unsigned level, uint64_t page, uint64_t end)
{
    unsigned removed = 0;

    if (level == LEVEL_4K)
        return move_small(m, cells, page, end);
    for (uint64_t next; page < end; page = next) {
        pte_cell *cell = &cells[pt_index(page, level)];
        pte_t     e = pte_load(cell);

        next = next_page(page, end, level);
        if (e.raw == 0)
            continue;
        if (next - page == level_pages(level) && keeps_shape(m, level)) {
            removed += move_whole(m, cell, level, page);
        } else if (pte_is_leaf(e, level)) {
            struct span there = { target(m, page), target(m, page) + level_pages(level) };

            e = pte_swap(cell, (pte_t){ 0 });
            note_page(m->pt, m->batch, page, level, e, (pte_t){ 0 });
            pt_fill_span(m->pt, there, pte_frame(e, level), pte_flags(e, level), &m->stock);
            tlb_changed(m->batch, page_va(m->pt, page));
            removed++;
        } else {
            unsigned n = move_span(m, pt_cells(m->pt, pte_frame(e, level), page, level - 1), level - 1, page, next);

            removed += pt_less_below(m->pt, cell, level, page, n, m->batch);
        }
    }
    return removed;
}

static err_t plan(struct move *m, struct span from, struct span to)
{
    bool     apart = from.end <= to.page || to.end <= from.page;
    bool     one_half = ((from.page ^ to.page) >> (9 * m->pt->levels - 1)) == 0;
    uint64_t n = pt_ends_cost(m->pt, from);
    err_t    err = apart && one_half ? pt_nothing_in(m->pt, to) : ERR_INVAL;

    if (err != ERR_OK)
        return err;
    /* Page tables move as they are, but for those at the ends, if the distance is a multiple of theirs. */
    n += keeps_shape(m, LEVEL_2M) ? 2 + pt_tables_for(m->pt, to, LEVEL_2M) : pt_tables_for(m->pt, to, LEVEL_4K);
    return stock_fill(&m->stock, n);
}

err_t pt_move(struct pt *pt, va_t from, va_t to, uint64_t n_pages, struct tlb_batch *b)
{
    struct move m = { .pt = pt, .batch = b };
    struct span here, there;
    uint64_t    irq = irqlock_take(&pt->lock);
    err_t       err = pt_span(pt, from, n_pages, &here);

    if (err == ERR_OK)
        err = pt_span(pt, to, n_pages, &there);
    if (err == ERR_OK) {
        m.from = here.page;
        m.to = there.page;
        err = plan(&m, here, there);
    }
    if (err == ERR_OK) {
        pt_cut(pt, here.page, &m.stock, b);
        pt_cut(pt, here.end, &m.stock, b);
        (void)move_span(&m, pt_cells(pt, pt->root, here.page, pt->levels), pt->levels, here.page, here.end);
        stock_drain(&m.stock);
    }
    irqlock_drop(&pt->lock, irq);
    return err;
}
