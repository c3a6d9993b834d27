/* SPDX-License-Identifier: MIT */
/*
 * mm/commit.c - memory that was promised but not given yet
 *
 * Promise     With the strict policy no write to a page that was promised fails for want of a frame: the sum of
 *             promises stays below the memory there is, less a sixteenth for tables and the kernel.
 *
 * Heuristic   Most of what programs ask for they never touch, above all after a fork. So a promise is refused only
 *             if it alone is more than the machine has; who then touches too much meets ERR_NOMEM in a fault.
 *
 * Locks       none: one counter, atomic
 * Failure     a promise that is refused is not counted
 */
#include "mm/region_in.h"

#include "mm/frame.h"

static struct {
    _Atomic uint64_t        pages;
    _Atomic enum overcommit policy;
} commit;

void commit_policy(enum overcommit policy) { atomic_store_explicit(&commit.policy, policy, memory_order_relaxed); }

uint64_t commit_pages(void) { return atomic_load_explicit(&commit.pages, memory_order_relaxed); }

/* No machine that runs this has less */
#define SURELY_THERE (8 * MIB >> PAGE_SHIFT)

static bool can_keep(uint64_t before, uint64_t n_pages)
{
    bool     strict = atomic_load_explicit(&commit.policy, memory_order_relaxed) == OVERCOMMIT_STRICT;
    uint64_t memory;

    if (!strict && n_pages <= SURELY_THERE)
        return true;
    memory = frame_totals().managed;
    return strict ? before + n_pages <= memory - memory / 16 : n_pages <= memory;
}

err_t commit_take(uint64_t n_pages)
{
    if (can_keep(atomic_fetch_add_explicit(&commit.pages, n_pages, memory_order_relaxed), n_pages))
        return ERR_OK;
    commit_give(n_pages);
    return ERR_NOMEM;
}

void commit_give(uint64_t n_pages) { atomic_fetch_sub_explicit(&commit.pages, n_pages, memory_order_relaxed); }
