/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_inside.h - what the files pt*.c share and nobody else needs
 *
 * Inside, a page is a number of 9 * levels bits: no sign extension, so ranges never wrap and half-open
 * spans may end at the top of the address space.
 */
#ifndef MM_PT_INSIDE_H
#define MM_PT_INSIDE_H

#include "mm/memtype.h"
#include "mm/pt.h"
#include "mm/tlb_shadow.h"

struct span { uint64_t page, end; };

static inline unsigned pt_index(uint64_t page, unsigned level)
{
    return (unsigned)(page >> (9 * (level - 1))) % TABLE_ENTRIES;
}

static inline va_t page_va(const struct pt *pt, uint64_t page)
{
    return va(canonical(page << PAGE_SHIFT, pt->levels));
}

static inline uint64_t va_page(const struct pt *pt, va_t v)
{
    return (v.raw >> PAGE_SHIFT) & (((uint64_t)1 << (9 * pt->levels)) - 1);
}

/* First page after `page` that has another entry of this level, or the end of the span */
static inline uint64_t next_page(uint64_t page, uint64_t end, unsigned level)
{
    return min_u64(end, (page | (level_pages(level) - 1)) + 1);
}

/* Is entry i of a table of this level the one that leads back to the top table? */
static inline bool pt_is_recursive(const struct pt *pt, unsigned level, unsigned i)
{
    return level == pt->levels && i == recursive_slot(pt->levels);
}

/* The range as a span, or why it is none; see mm/pt.h for the errors */
err_t pt_span(const struct pt *pt, va_t start, uint64_t n_pages, struct span *out) MUST_USE;

/* ERR_OK if pages of the span may have these flags (PTE_FLAGS only) */
err_t pt_flags_ok(const struct pt *pt, struct span s, uint64_t flags) MUST_USE;

/* The virtual address of the table of `level` that maps `page`, in the recursive slot */
va_t pt_table_va(const struct pt *pt, uint64_t page, unsigned level);

/* The entries of the table of `level` that maps `page` and lies in this frame, by the way that pt->way says */
pte_cell *pt_cells_slow(const struct pt *pt, pfn_t table, uint64_t page, unsigned level);

/* pt_shares - is this top entry the kernel's? The one of slot 0 may be the tables' own (pt_own_low()). */
static inline bool pt_shares(const struct pt *pt, unsigned slot)
{
    return pt->kernel != NULL && !(slot == 0 && pt->own_low) &&
           pte_load((pte_cell *)port_ptr(pfn_to_pa(pt->kernel->root)) + slot).raw != 0;
}

static inline pte_cell *pt_cells(const struct pt *pt, pfn_t table, uint64_t page, unsigned level)
{
    if (LIKELY(pt->way == PT_DIRECT))
        return port_ptr(pfn_to_pa(table));
    return pt_cells_slow(pt, table, page, level);
}

/*
 * The lowest table that holds all of a span: what is done to the span is done from there on. Most spans are small
 * and lie in one page table. A span that is all of an entry stops at that entry: it can go as a whole.
 */
struct pt_place {
    pte_cell *cells;
    unsigned  level;
    pte_cell *parent;                  /* the entry that leads here, NULL at the top  */
    pte_cell *path[PT_LEVELS_MAX + 1]; /* above `level`: all the entries that lead here */
};

static inline void pt_narrow(const struct pt *pt, struct span s, struct pt_place *p)
{
    uint64_t first_other = (s.page ^ (s.end - 1)) + 1; /* 2^n at most: the span lies in one entry of 2^n pages, or is it */

    p->cells = pt_cells(pt, pt->root, s.page, pt->levels);
    p->parent = NULL;
    p->level = pt->levels;
    for (unsigned shift = 9 * (pt->levels - 1); shift > 0; shift -= 9, p->level--) {
        pte_cell *cell = &p->cells[(s.page >> shift) % TABLE_ENTRIES];
        pte_t     e = pte_load(cell);

        if (first_other >> shift != 0 || (e.raw & (PTE_P | PTE_PS)) != PTE_P)
            return;
        p->path[p->level] = p->parent = cell;
        p->cells = pt_cells(pt, pte_frame(e, PT_LEVELS_MAX), s.page, p->level - 1);
    }
}

/* ---- table frames, taken before anything is changed ------------------------------------------ */

/* Linked through their first word; contents undefined. */
struct stock {
    pfn_t    head;
    uint64_t n;
};

/* Add n frames. On ERR_NOMEM the stock is empty. */
err_t stock_fill(struct stock *s, uint64_t n) MUST_USE;

/* Take one for a table; the stock was filled for it. */
pfn_t stock_take(struct pt *pt, struct stock *s);

/* Put back what was taken: no table came of it. */
void stock_put(struct pt *pt, struct stock *s, pfn_t frame);

/* Give back what was not needed. */
void stock_drain(struct stock *s);

/* ---- cache types (mm/memtype.h) ----------------------------------------------------------------- */

/* A page of `level` is not mapped by this entry any more */
static inline void type_given(pte_t e, unsigned level)
{
    if (UNLIKELY((e.raw & (PTE_P | PTE_TYPED)) == (PTE_P | PTE_TYPED)))
        memtype_give(pte_frame(e, level), level_pages(level));
}

/* What an entry that leads to a page table says when the table holds entries with these flags */
static inline uint64_t typed_below(uint64_t flags, unsigned level)
{
    return level == LEVEL_2M && (flags & PTE_TYPED) != 0 ? PTE_TYPED_BELOW : 0;
}

/* n entries more are in use in the table that this entry leads to, with these flags */
static inline void pt_more_below(pte_cell *cell, unsigned level, uint64_t n, uint64_t flags)
{
    atomic_fetch_add_explicit(&cell->raw, n << PTE_COUNT_SHIFT, memory_order_relaxed);
    if (UNLIKELY(typed_below(flags, level) != 0))
        atomic_fetch_or_explicit(&cell->raw, PTE_TYPED_BELOW, memory_order_relaxed);
}

/* ---- the shadow TLB (mm/tlb_shadow.h) is told of every entry that changes ----------------------- */

/* The page at `page` had this entry and has that one */
static inline void note_page(const struct pt *pt, const struct tlb_batch *b, uint64_t page, unsigned level, pte_t old,
                             pte_t new)
{
    if (UNLIKELY(tlb_shadow_on))
        tlb_shadow_page(b->space, page_va(pt, page), level_pages(level) << PAGE_SHIFT, old.raw, new.raw);
}

/* An entry of this level leads to no table any more */
static inline void note_table(const struct pt *pt, const struct tlb_batch *b, uint64_t page, unsigned level)
{
    if (UNLIKELY(tlb_shadow_on))
        tlb_shadow_table(b->space, page_va(pt, align_down(page, level_pages(level))), level_pages(level) << PAGE_SHIFT);
}

/* ---- splitting -------------------------------------------------------------------------------- */

/* How many tables pt_cut() at this page needs */
unsigned pt_cut_cost(const struct pt *pt, uint64_t page);

/* ... and at both ends of a span */
unsigned pt_ends_cost(const struct pt *pt, struct span s);

/* No large page reaches across this page afterwards: those that do are split. */
void pt_cut(struct pt *pt, uint64_t page, struct stock *stock, struct tlb_batch *b);

/* The table of `level` that maps `page` is gone, or is there where a large page was: forget its recursive alias. */
void pt_alias_changed(const struct pt *pt, uint64_t page, unsigned level, struct tlb_batch *b);

/* ---- parts of operations that others are made of; pt->lock is held --------------------------- */

/* Remove the span, whose ends no large page crosses. Returns entries of `cells` that became 0. */
struct unmap {
    struct pt        *pt;
    struct tlb_batch *batch;
    struct pt_marks  *release; /* NULL, or which frames go into the batch,                */
    bool              full;    /* ... which took no more:                                 */
    uint64_t          next;    /* the first page that was left                            */
};
unsigned pt_unmap_span(struct unmap *u, pte_cell *cells, unsigned level, uint64_t page, uint64_t end);

/* At most so many tables, of levels from `lowest` to below the top, hold these pages. */
uint64_t pt_tables_for(const struct pt *pt, struct span s, unsigned lowest);

/* ERR_OK, or ERR_EXISTS: an entry of the span is not 0 */
err_t pt_nothing_in(const struct pt *pt, struct span s) MUST_USE;

/* Map neighbouring frames where nothing is, tables from the stock */
void pt_fill_span(struct pt *pt, struct span s, pfn_t first, uint64_t flags, struct stock *stock);

/* `removed` entries of the table below this one became 0: count them, and unlink it if it is empty.
 * Returns 1 if this entry became 0. */
unsigned pt_less_below(struct pt *pt, pte_cell *cell, unsigned level, uint64_t page, unsigned removed,
                       struct tlb_batch *b);

/* What a top entry is, its followers' are */
void pt_tell_followers(struct pt *pt, unsigned slot);

#endif
