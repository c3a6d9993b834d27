/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_split.c - page tables: one large page into 512 smaller ones, and back
 *
 * Promise     Splitting and joining change how a range is expressed, never what it means: every address
 *             keeps its frame, its rights and its cache type.
 *
 * Picture     cut at X:    [              1 GiB page               ]
 *                          [2M][2M][2M][ table ][2M] ...       [2M]      1 GiB entry -> table of 512
 *                                       4K 4K|4K ...                     2 MiB entry -> table of 512
 *                                            X
 *
 * Splitting   The new table is filled first, then one compare-and-exchange puts it where the page was;
 *             if the CPU sets A or D meanwhile, all 512 get it. The manual's recipe for a change of page
 *             size (clear P, flush, set) would pull away memory that a kernel stands on. What it avoids
 *             is that a CPU holds both sizes at once: it may use either, and here both say the same.
 *             The batch forgets the large one before the operation that wanted the cut is over.
 *
 * Joining     512 entries, all pages, neighbouring frames that begin at a multiple of 512, and equal in
 *             all but A and D. A is set in the large page; D if any had it. Here the rights of the old
 *             and the new are the same, too. The table is freed after the flush. First 4 KiB to 2 MiB,
 *             then 2 MiB to 1 GiB.
 *
 * Aliases     In the recursive slot, the page that shows the lower table shows, before a cut, the first
 *             frame of the large page. A CPU may have looked: so whenever a table comes in a page's place or
 *             goes, its alias is flushed, too. On this CPU at once, since the mapper may go on through it.
 *
 * Locks, sources as in mm/pt.c. SDM 3A "Details of TLB Use", "Recommended Invalidation".
 */
#include "mm/pt_inside.h"

/* The entry that ends the walk to `page`, whatever it is, and its level */
static pte_cell *last_cell(const struct pt *pt, uint64_t page, unsigned *level)
{
    pte_cell *cells = pt_cells(pt, pt->root, page, pt->levels);

    for (*level = pt->levels;; --*level) {
        pte_cell *cell = &cells[pt_index(page, *level)];
        pte_t     e = pte_load(cell);

        if (!pte_present(e) || pte_is_leaf(e, *level))
            return cell;
        cells = pt_cells(pt, pte_frame(e, *level), page, *level - 1);
    }
}

static bool beyond(const struct pt *pt, uint64_t page) { return page >> (9 * pt->levels) != 0; }

unsigned pt_cut_cost(const struct pt *pt, uint64_t page)
{
    unsigned level, n = 0;

    if (beyond(pt, page) || !pte_present(pte_load(last_cell(pt, page, &level))))
        return 0;
    for (; !is_aligned(page, level_pages(level)); level--)
        n++;
    return n;
}

unsigned pt_ends_cost(const struct pt *pt, struct span s)
{
    unsigned cost = pt_cut_cost(pt, s.page);

    /* A large page around the end is around the start, too, if both lie between two of its possible borders. */
    if (cost == 0 && (s.page ^ s.end) < level_pages(LEVEL_2M) && !is_aligned(s.page, level_pages(LEVEL_2M)))
        return 0;
    return cost + pt_cut_cost(pt, s.end);
}

void pt_alias_changed(const struct pt *pt, uint64_t page, unsigned level, struct tlb_batch *b)
{
    va_t alias = pt_table_va(pt, page, level);

    if (pt->way != PT_DIRECT)
        port_tlb_page(alias);
    if (UNLIKELY(tlb_shadow_on))
        tlb_shadow_page(b->space, alias, PAGE_SIZE, PTE_P, 0);
    tlb_changed(b, alias);
}

/* One large page into 512 of the next smaller size */
static void split(struct pt *pt, pte_cell *cell, unsigned level, uint64_t page, struct stock *stock,
                  struct tlb_batch *b)
{
    pfn_t     table = stock_take(pt, stock);
    pte_cell *cells = port_ptr(pfn_to_pa(table));
    uint64_t  old = pte_load(cell).raw, new;
    uint64_t  step = level_pages(level - 1);

    do {
        pte_t e = { old };

        for (unsigned i = 0; i < TABLE_ENTRIES; i++)
            pte_store(&cells[i], pte_leaf(pfn_add(pte_frame(e, level), i * step), pte_flags(e, level), level - 1));
        new = pte_table(table, pt_index(page, pt->levels) < SLOT_KERNEL_HALF, TABLE_ENTRIES).raw | typed_below(old, level);
    } while (!atomic_compare_exchange_weak_explicit(&cell->raw, &old, new, memory_order_acq_rel, memory_order_relaxed));
    page = align_down(page, level_pages(level));
    note_page(pt, b, page, level, (pte_t){ old }, (pte_t){ 0 });
    tlb_changed(b, page_va(pt, page));
    pt_alias_changed(pt, page, level - 1, b);
}

void pt_cut(struct pt *pt, uint64_t page, struct stock *stock, struct tlb_batch *b)
{
    unsigned n = pt_cut_cost(pt, page);

    for (; n > 0; n--) {
        unsigned  level;
        pte_cell *cell = last_cell(pt, page, &level);

        split(pt, cell, level, page, stock, b);
    }
}

/* ---- joining ---------------------------------------------------------------------------------- */

struct join {
    struct pt        *pt;
    struct tlb_batch *batch;
    uint64_t          joined;
};

/* The page of `level` that the table's entries add up to, or an entry that isn't present */
static pte_t sum(const pte_cell *cells, unsigned level)
{
    const pte_t    none = { 0 };
    const uint64_t step = level_pages(level - 1), touched = PTE_A | PTE_D;
    pte_t          first = pte_load(&cells[0]);
    uint64_t       seen = 0;

    if (level > LEVEL_1G || (level == LEVEL_1G && !pte_cpu.gib_pages) || !pte_present(first) ||
        !pte_is_leaf(first, level - 1) || !is_aligned(pte_frame(first, level - 1).idx, level_pages(level)))
        return none;
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        pte_t e = pte_load(&cells[i]);

        if (((e.raw ^ (first.raw + ((i * step) << PAGE_SHIFT))) & ~touched) != 0)
            return none;
        seen |= e.raw & touched;
    }
    return pte_leaf(pte_frame(first, level - 1), pte_flags(first, level - 1) | seen, level);
}

/* The small pages, and the table that held them, are not what is cached any more */
static void note_joined(struct join *j, const pte_cell *below, unsigned level, uint64_t page)
{
    for (unsigned i = 0; tlb_shadow_on && i < TABLE_ENTRIES; i++)
        note_page(j->pt, j->batch, page + i * level_pages(level - 1), level - 1, pte_load(&below[i]), (pte_t){ 0 });
    note_table(j->pt, j->batch, page, level);
}

static void join_span(struct join *j, pte_cell *cells, unsigned level, uint64_t page, uint64_t end)
{
    for (uint64_t next; page < end; page = next) {
        pte_cell *cell = &cells[pt_index(page, level)], *below;
        pte_t     e = pte_load(cell), large;

        next = next_page(page, end, level);
        if (!pte_present(e) || pte_is_leaf(e, level))
            continue;
        below = pt_cells(j->pt, pte_frame(e, level), page, level - 1);
        if (level > LEVEL_2M)
            join_span(j, below, level - 1, page, next);
        if (next - page != level_pages(level) || pte_count(pte_load(cell)) != TABLE_ENTRIES)
            continue;
        large = sum(below, level);
        if (!pte_present(large))
            continue;
        (void)pte_swap(cell, large);
        note_joined(j, below, level, page);
        tlb_changed_many(j->batch); /* 512 small pages */
        pt_alias_changed(j->pt, page, level - 1, j->batch);
        tlb_free_table(j->batch, pte_frame(e, level));
        j->pt->n_tables--;
        j->joined++;
    }
}

err_t pt_join(struct pt *pt, va_t start, uint64_t n_pages, struct tlb_batch *b, uint64_t *joined)
{
    struct join j = { pt, b, 0 };
    struct span s;
    uint64_t    irq = irqlock_take(&pt->lock);
    err_t       err = pt_span(pt, start, n_pages, &s);

    if (err == ERR_OK) {
        join_span(&j, pt_cells(pt, pt->root, s.page, pt->levels), pt->levels, s.page, s.end);
        *joined = j.joined;
    }
    irqlock_drop(&pt->lock, irq);
    return err;
}
