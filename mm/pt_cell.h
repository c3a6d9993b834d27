/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_cell.h - page tables entry by entry, for whoever decides anew for each page: faults, forks
 *
 * For the process's part of an address space only. The caller sees to it that nobody else changes these
 * tables meanwhile (the space's lock, mm/region.c); pt->lock is not taken.
 */
#ifndef MM_PT_CELL_H
#define MM_PT_CELL_H

#include "mm/pt.h"

/* The entry at which a walk ends: a page's, or one that leads nowhere */
struct pt_spot {
    pte_cell *cell;
    pte_cell *above; /* leads to the table that `cell` is in, and counts it; NULL: that is the top one */
    unsigned  level; /* of `cell`                                                                      */
};

/* pt_spot - where the walk to v ends now */
struct pt_spot pt_spot(const struct pt *pt, va_t v);

/*
 * pt_deepen - the entry at p, which is 0, gets tables down to `level`; p is the place for v there, still 0
 *
 *   Something must be put there next: no table stays empty.
 *   Errors  ERR_NOMEM  nothing was changed
 */
err_t pt_deepen(struct pt *pt, va_t v, unsigned level, struct pt_spot *p) MUST_USE;

/* pt_put - the entry at p, which is 0, becomes e */
static inline void pt_put(const struct pt_spot *p, pte_t e)
{
    pte_publish(p->cell, e);
    if (p->above != NULL)
        atomic_fetch_add_explicit(&p->above->raw, PTE_COUNT_ONE, memory_order_relaxed);
}

/* pt_swap - the present entry at p becomes e, perhaps 0, without being counted off; returns what it was, A and D final */
pte_t pt_swap(const struct pt *pt, const struct pt_spot *p, va_t v, pte_t e, struct tlb_batch *b);

/* pt_cut_large - no large page reaches across v afterwards; ERR_NOMEM: nothing was changed */
err_t pt_cut_large(struct pt *pt, va_t v, struct tlb_batch *b) MUST_USE;

/*
 * pt_unlink - the 2 MiB around v, mapped by a page table, are mapped by nothing; the entry waits to be put again
 *
 *   Returns the table, which is the caller's when the batch is closed.
 */
pfn_t pt_unlink(struct pt *pt, va_t v, struct pt_spot *p, struct tlb_batch *b);

/* pt_link - what pt_unlink() left becomes a page of 2 MiB; or a large page, p, becomes a table */
void pt_link(struct pt *pt, const struct pt_spot *p, pte_t e);

/* Neighbouring entries of one table */
struct pt_run {
    pte_cell *cells;
    unsigned  n; /* 1 above level 1: a large page */
    unsigned  level;
    va_t      start;
};

/* pt_each_run - call fn for each page table's part of the range, and each large page, lowest first; false stops */
bool pt_each_run(const struct pt *pt, va_t start, uint64_t n_pages, bool (*fn)(void *arg, const struct pt_run *run),
                 void *arg);

#endif
