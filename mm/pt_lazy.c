/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_lazy.c - page tables: pages that get their frame when they are first touched
 *
 * Promise     After pt_map_lazy() every page of the range is promised and none has a frame. The first access
 *             to one faults, pt_first_touch() puts a frame of zeroes there, and the access is repeated.
 *
 * Picture     entry of level 1     0x0000000000000402 | G NX      not present: waiting, and what it will be
 *                  first touch -->  frame     | P W    G NX
 *
 *             The entry itself says that a frame belongs there, and with which rights. So a fault needs no
 *             search for the range it fell into: an address with another entry, a guard page's or a hole's,
 *             is none of ours.
 *
 * Counting    A waiting entry is not 0: it is counted like any other (mm/pt.c, I3), is in the way of other
 *             mappings, moves with pt_move() and goes with pt_unmap(). When its frame comes the count
 *             stays, so the tables need not be locked.
 *
 * Locks       pt_first_touch() none: one compare-and-exchange decides which of two CPUs was first. So a page may
 *             be touched with any lock held but a frame's (rank 40). Whoever removes the range must know,
 *             as with all memory, that nobody uses it any more.
 *
 * Failure     no frame: ERR_NOMEM, the entry goes on waiting.
 *
 * Sources     SDM 3A "Optional Invalidation": P from 0 to 1 needs no flush
 */
#include "mm/frame.h"
#include "mm/pt_inside.h"
#include "mm/zero.h"

/* The entry of level 1 for v, NULL if the walk ends above */
static pte_cell *small_cell(const struct pt *pt, va_t v)
{
    pte_cell *cells = port_ptr(pfn_to_pa(pt->root));

    for (unsigned shift = slot_shift(pt->levels); shift > PAGE_SHIFT; shift -= 9) {
        pte_t e = pte_load(&cells[(v.raw >> shift) % TABLE_ENTRIES]);

        if ((e.raw & (PTE_P | PTE_PS)) != PTE_P)
            return NULL;
        cells = port_ptr(pa(e.raw & PTE_ADDRESS));
    }
    return &cells[pt_index(v.raw >> PAGE_SHIFT, LEVEL_4K)];
}

err_t pt_first_touch(const struct pt *pt, va_t v)
{
    pte_cell *cell = small_cell(pt, v);
    uint64_t  waiting = cell == NULL ? 0 : pte_load(cell).raw;
    pfn_t     frame;
    err_t     err;

    if ((waiting & PTE_P) != 0)
        return ERR_OK; /* another CPU was faster */
    if ((waiting & PTE_LAZY) == 0)
        return ERR_NOENT;
    err = frame_alloc_zeroed(&frame);
    if (err != ERR_OK)
        return err;
    if (!atomic_compare_exchange_strong_explicit(&cell->raw, &waiting,
                                                 pte_leaf(frame, (waiting & ~PTE_LAZY) | PTE_A, LEVEL_4K).raw,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        err = frame_free(frame);
        ASSERT(err == ERR_OK);
    }
    return ERR_OK;
}
