/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_cell.c - page tables entry by entry
 *
 * Promise     what mm/pt.c keeps true, counts and empty tables, stays true when one entry is changed by
 *             somebody who looked at it first and decides what it becomes.
 *
 * Picture     pt_spot(v)    root --> table --> table --> 0         a place of level 2: nothing further down
 *             pt_deepen()                             --> table --> 0            the same, of level 1
 *             pt_put()                                 count 1      page
 *
 * Invariants  those of mm/pt.c; between pt_deepen() and pt_put() a table is empty
 *
 * Locks       the caller's, for the process's part of a space. The CPU may set A and D at any moment.
 *
 * Failure     tables are taken before the first is linked.
 */
#include "mm/pt_cell.h"

#include "mm/pt_inside.h"

struct pt_spot pt_spot(const struct pt *pt, va_t v)
{
    unsigned  level = pt->levels, shift = slot_shift(level);
    pte_cell *cell = (pte_cell *)port_ptr(pfn_to_pa(pt->root)) + (v.raw >> shift) % TABLE_ENTRIES, *above = NULL;

    for (; level > LEVEL_4K; level--) {
        uint64_t e = pte_load(cell).raw;

        if ((e & (PTE_P | PTE_PS)) != PTE_P)
            break;
        shift -= 9;
        above = cell;
        cell = (pte_cell *)port_ptr(pa(e & PTE_ADDRESS)) + (v.raw >> shift) % TABLE_ENTRIES;
    }
    return (struct pt_spot){ cell, above, level };
}

err_t pt_deepen(struct pt *pt, va_t v, unsigned level, struct pt_spot *p)
{
    struct stock stock = { .n = 0 };
    err_t        err = stock_fill(&stock, p->level - level);

    if (err != ERR_OK)
        return err;
    while (p->level > level) {
        pfn_t     table = stock_take(pt, &stock);
        pte_cell *cells = port_ptr(pfn_to_pa(table));

        __builtin_memset(cells, 0, PAGE_SIZE);
        pt_put(p, pte_table(table, true, 0));
        p->above = p->cell;
        p->level--;
        p->cell = &cells[pt_index(v.raw >> PAGE_SHIFT, p->level)];
    }
    return ERR_OK;
}

pte_t pt_swap(const struct pt *pt, const struct pt_spot *p, va_t v, pte_t e, struct tlb_batch *b)
{
    pte_t    old = pte_swap(p->cell, e);
    uint64_t page = align_down(v.raw >> PAGE_SHIFT, level_pages(p->level));

    note_page(pt, b, page, p->level, old, e);
    tlb_changed(b, page_va(pt, page));
    return old;
}

err_t pt_cut_large(struct pt *pt, va_t v, struct tlb_batch *b)
{
    struct stock stock = { .n = 0 };
    uint64_t     page = va_page(pt, v);
    err_t        err = stock_fill(&stock, pt_cut_cost(pt, page));

    if (err == ERR_OK)
        pt_cut(pt, page, &stock, b);
    return err;
}

pfn_t pt_unlink(struct pt *pt, va_t v, struct pt_spot *p, struct tlb_batch *b)
{
    uint64_t  page = align_down(v.raw >> PAGE_SHIFT, level_pages(LEVEL_2M));
    pte_cell *below;
    pfn_t     table;

    *p = pt_spot(pt, v);
    ASSERT(p->level == LEVEL_4K);
    p->cell = p->above;
    p->above = NULL;
    p->level = LEVEL_2M;
    table = pte_frame(pte_swap(p->cell, (pte_t){ 0 }), LEVEL_2M);
    below = port_ptr(pfn_to_pa(table));
    for (unsigned i = 0; UNLIKELY(tlb_shadow_on) && i < TABLE_ENTRIES; i++)
        note_page(pt, b, page + i, LEVEL_4K, pte_load(&below[i]), (pte_t){ 0 });
    note_table(pt, b, page, LEVEL_2M);
    pt_alias_changed(pt, page, LEVEL_4K, b);
    tlb_changed_many(b);
    pt->n_tables--;
    return table;
}

void pt_link(struct pt *pt, const struct pt_spot *p, pte_t e)
{
    if (!pte_is_leaf(e, p->level))
        pt->n_tables++;
    pte_publish(p->cell, e);
}

/* ---- every entry of a range ----------------------------------------------------------------------- */

static bool each(const struct pt *pt, pte_cell *cells, unsigned level, struct span s,
                 bool (*fn)(void *arg, const struct pt_run *run), void *arg)
{
    struct pt_run run = { &cells[pt_index(s.page, level)], (unsigned)(s.end - s.page), level, page_va(pt, s.page) };

    if (level == LEVEL_4K)
        return fn(arg, &run);
    for (struct span below = s; below.page < s.end; below.page = below.end) {
        pte_t e;

        run.cells = &cells[pt_index(below.page, level)];
        e = pte_load(run.cells);
        below.end = next_page(below.page, s.end, level);
        if (!pte_present(e))
            continue;
        run.n = 1;
        run.start = page_va(pt, align_down(below.page, level_pages(level)));
        if (pte_is_leaf(e, level) ? !fn(arg, &run)
                                  : !each(pt, port_ptr(pfn_to_pa(pte_frame(e, level))), level - 1, below, fn, arg))
            return false;
    }
    return true;
}

bool pt_each_run(const struct pt *pt, va_t start, uint64_t n_pages, bool (*fn)(void *arg, const struct pt_run *run),
                 void *arg)
{
    struct span s = { va_page(pt, start), va_page(pt, start) + n_pages };

    return each(pt, port_ptr(pfn_to_pa(pt->root)), pt->levels, s, fn, arg);
}
