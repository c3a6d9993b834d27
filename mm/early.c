/* SPDX-License-Identifier: MIT */
/*
 * mm/early.c - the frame distributor: single frames before anything else exists
 *
 * Promise     early_alloc() gives one frame after the other from a block that was reserved while the
 *             firmware still ran. It needs no memory of its own and no table, so it can feed the first
 *             page tables and the first heap pages.
 *
 * Picture     a block of ten frames, four of them given
 *
 *               first           next                    end
 *                 |               |                       |
 *                 v               v                       v
 *               | # | # | # | # | . | . | . | . | . | . |
 *                 given, in order   left
 *
 *             It lies in memory of the type "loader data". Even in "conventional" memory the firmware's
 *             live page tables, stack and descriptor tables may stand, and until stage 2 we run on them:
 *             nothing outside the block is touched before.
 *
 * Invariants  first <= next <= end; a frame in [first, next) was given exactly once; nothing comes back
 *             here: stage 4 learns from early_finish() what was given and frees it from then on itself
 * Locks       el.lock guards all three; rank 50, nothing is taken under it
 * Failure     ERR_NOMEM leaves everything as it was
 */
#include "mm/early.h"

#include "mm/port.h"

static struct {
    struct irqlock     lock;
    struct early_state block; /* [lock] */
} el = { .lock = IRQLOCK("early", 50) };

void early_start(pfn_t first, uint64_t n)
{
    uint64_t flags = irqlock_take(&el.lock);

    el.block = (struct early_state){ first, first, pfn_add(first, n) };
    irqlock_drop(&el.lock, flags);
}

err_t early_alloc(uint64_t n, pfn_t out[])
{
    err_t    err = ERR_NOMEM;
    uint64_t flags = irqlock_take(&el.lock);

    if (n <= el.block.end.idx - el.block.next.idx) {
        for (uint64_t i = 0; i < n; i++)
            out[i] = pfn_add(el.block.next, i);
        el.block.next.idx += n;
        err = ERR_OK;
    }
    irqlock_drop(&el.lock, flags);
    return err;
}

struct early_state early_look(void)
{
    uint64_t           flags = irqlock_take(&el.lock);
    struct early_state now = el.block;

    irqlock_drop(&el.lock, flags);
    return now;
}

struct early_state early_finish(void)
{
    uint64_t           flags = irqlock_take(&el.lock);
    struct early_state last = el.block;

    el.block = (struct early_state){ last.end, last.end, last.end };
    irqlock_drop(&el.lock, flags);
    return last;
}
