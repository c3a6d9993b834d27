/* SPDX-License-Identifier: MIT */
/* mm/as.h - address spaces: a process's half over the kernel's, which all share */
#ifndef MM_AS_H
#define MM_AS_H

#include "mm/fault_user.h"
#include "mm/node_pool.h"
#include "mm/pt_cell.h"
#include "mm/span_tree.h"

/* It stays where it was created. */
struct as {
    struct pt        pt;
    struct tlb_space tlb;
    struct irqlock   lock;       /* rank 28                                                            */
    bool             busy;       /* [lock] somebody changes regions, or waits for a flush: faults wait. It guards, too: */
    struct span_tree regions;    /* [lock, busy] struct region, mm/region.h                            */
    struct node_pool nodes;      /* [busy] they lie in these                                           */
    struct region   *last;       /* [lock, busy] the region that was found last, or NULL               */
    struct pt_spot   near;       /* [lock, busy] the first entry of the page table that a fault was in */
    uint64_t         near_table; /* [lock, busy] last, for pages with this number / 512; 0: none       */
    uint64_t         n_regions;  /* [busy]                                                             */
    uint64_t         promised;   /* [lock, busy] pages it may come to own without asking again         */
    uint64_t         owned;      /* [lock, busy] frames of its own, after a fork also those shared by it */
    uint64_t         limit;      /* [lock] owned and tables together may be so many                    */
    va_t             heap, brk;  /* [busy] first byte, and the one behind the last                     */
    uint64_t         faults[FAULT_PLANS]; /* [lock] what was done how often                            */
    uint64_t         faults_grow;         /* [lock] of them: the stack grew, or a first on a page of the heap */
};

/* A mapping whose frames belong to the space: they are freed when it is unmapped. Software's bit 9. */
#define AS_OWNED ((uint64_t)1 << 9)

/* Owned, but perhaps with others (mm/framedb.h counts), so never writable. Software's bit 11. */
#define AS_COUNTED ((uint64_t)1 << 11)

/* as_start - these are the kernel's tables; the CPU that calls is on them */
void as_start(struct pt *kernel);

/*
 * as_create - an empty address space: nothing but the kernel's half
 *
 *   Errors  ERR_NOMEM  no frame for the top table
 */
err_t as_create(struct as *as) MUST_USE;

/*
 * as_clone - a new address space that maps what `from` maps, at the same addresses
 *
 *   The frames stay those of `from`, which must live longer: here they are read-only and not owned. Tables
 *   are the clone's own.
 *   Errors  ERR_NOMEM; nothing was created
 *   Cost    about 4 instructions per page in full tables
 */
err_t as_clone(struct as *as, struct as *from) MUST_USE;

/*
 * as_own_low - the addresses below the process's slots are the space's own: as->pt can map there what no other sees
 *
 *   as      the one in use on this CPU, and on no other
 *   Errors  ERR_NOMEM; nothing was changed
 */
err_t as_own_low(struct as *as) MUST_USE;

/*
 * as_destroy - every table and every owned frame goes back to the allocator
 *
 *   The space is current on no CPU.
 */
void as_destroy(struct as *as);

/*
 * as_alloc - map n_pages of fresh frames at `start`; their contents are undefined
 *
 *   flags   as for pt_map(); AS_OWNED is added
 *   Errors  as pt_map(); ERR_NOMEM  not enough frames; nothing was changed
 */
err_t as_alloc(struct as *as, va_t start, uint64_t n_pages, uint64_t flags) MUST_USE;

/* as_unmap - nothing is mapped in the range afterwards; owned frames are freed when every CPU has flushed */
err_t as_unmap(struct as *as, va_t start, uint64_t n_pages) MUST_USE;

/*
 * as_switch - this CPU uses `as` from now on; NULL: the kernel's tables alone
 *
 *   Translations that are still good are kept where the CPU has PCIDs.
 */
void as_switch(struct as *as);

/* as_current - what as_switch() was last told on this CPU */
struct as *as_current(void);

#endif
