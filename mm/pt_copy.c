/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_copy.c - page tables: the same mappings in other tables
 *
 * Promise     pt_copy() gives `to` what `from` maps in a range, table by table, less some flags; or nothing.
 *
 * How         A first walk counts the tables, which are taken at once; the second copies them, 512
 *             entries at a time. Nothing that was there is looked at: the range is empty in `to`, and
 *             both have the same number of levels. Pages whose cache type is counted (mm/memtype.c), a device's
 *             say, stay behind: who wants them in the copy maps them there.
 *
 * Locks       both tables' (rank 30), the one that is read inside: nobody else knows `to` yet.
 */
#include "mm/pt_inside.h"

static uint64_t count_tables(const struct pt *from, const pte_cell *cells, unsigned level, uint64_t page, uint64_t end)
{
    uint64_t n = 0;

    for (uint64_t next; page < end; page = next) {
        pte_t e = pte_load(&cells[pt_index(page, level)]);

        next = next_page(page, end, level);
        if (!pte_present(e) || pte_is_leaf(e, level))
            continue;
        n++;
        if (level > LEVEL_2M)
            n += count_tables(from, pt_cells(from, pte_frame(e, level), page, level - 1), level - 1, page, next);
    }
    return n;
}

struct copy {
    struct pt       *to;
    const struct pt *from;
    struct stock     stock;
    uint64_t         without;
};

/* A page table of plain RAM. What is not present is what its owner noted there, and stays that. */
static void copy_plain(const struct copy *c, pte_cell *to, const pte_cell *from)
{
    const uint64_t keep = ~(c->without | PTE_A | PTE_D);

    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        pte_t e = pte_load(&from[i]);

        e.raw &= (e.raw & PTE_P) != 0 ? keep : e.raw;
        pte_store(&to[i], e);
    }
}

static unsigned copy_table(struct copy *c, pte_cell *to, const pte_cell *from, unsigned level);

/* What stands for an entry in the copy */
static pte_t copied(struct copy *c, pte_t e, unsigned level)
{
    const pte_cell *from;
    pte_cell       *to;
    pfn_t           frame;
    unsigned        n;

    if (!pte_present(e))
        return e;
    if (pte_is_leaf(e, level))
        return (pte_t){ (e.raw & PTE_TYPED) != 0 ? 0 : e.raw & ~(c->without | PTE_A | PTE_D) };
    frame = stock_take(c->to, &c->stock);
    from = port_ptr(pfn_to_pa(pte_frame(e, level)));
    to = port_ptr(pfn_to_pa(frame));
    if (level == LEVEL_2M && (e.raw & PTE_TYPED_BELOW) == 0) {
        copy_plain(c, to, from);
        n = pte_count(e);
    } else {
        n = copy_table(c, to, from, level - 1);
    }
    if (n > 0)
        return pte_table(frame, (e.raw & PTE_U) != 0, n);
    stock_put(c->to, &c->stock, frame);
    return (pte_t){ 0 };
}

/* Returns how many entries are not 0 */
static unsigned copy_table(struct copy *c, pte_cell *to, const pte_cell *from, unsigned level)
{
    unsigned n = 0;

    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        pte_t e = copied(c, pte_load(&from[i]), level);

        pte_store(&to[i], e);
        n += e.raw != 0;
    }
    return n;
}

/* Whole top entries only: what lies below them is copied, none of it is there yet */
static err_t copy_slots(struct copy *c, struct span s)
{
    pte_cell       *to = port_ptr(pfn_to_pa(c->to->root));
    const pte_cell *from = port_ptr(pfn_to_pa(c->from->root));
    unsigned        level = c->to->levels;
    err_t           err = stock_fill(&c->stock, count_tables(c->from, from, level, s.page, s.end));

    for (uint64_t page = s.page; page < s.end && err == ERR_OK; page = next_page(page, s.end, level)) {
        unsigned i = pt_index(page, level);

        pte_publish(&to[i], copied(c, pte_load(&from[i]), level));
    }
    stock_drain(&c->stock);
    return err;
}

err_t pt_copy(struct pt *to, struct pt *from, va_t start, uint64_t n_pages, uint64_t without)
{
    struct copy c = { .to = to, .from = from, .without = without };
    struct span s;
    uint64_t    irq = irqlock_take(&from->lock);
    err_t       err = pt_span(to, start, n_pages, &s);

    if (err == ERR_OK && (to->levels != from->levels || !is_aligned(s.page | s.end, level_pages(to->levels))))
        err = ERR_INVAL;
    if (err == ERR_OK)
        err = pt_nothing_in(to, s);
    if (err == ERR_OK)
        err = copy_slots(&c, s);
    irqlock_drop(&from->lock, irq);
    return err;
}
