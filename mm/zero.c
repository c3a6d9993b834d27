/* SPDX-License-Identifier: MIT */
/*
 * mm/zero.c - frames of zeroes, prepared while there is nothing else to do
 *
 * Promise     a page fault that needs a frame of zeroes takes one that was zeroed when its CPU was idle.
 *
 * Idea        The stock is a second claim of each CPU (mm/reserve.c): a word of frames, held back in their
 *             chunk, free for all who ask for totals, and given back when memory is short. Besides `bits`,
 *             what is still there, it has `clean`, what of it is zeroed already.
 *
 *               bit           0 1 2 3 4 5 6 7 ...
 *               stock.bits    . . 1 1 1 1 . 1      0, 1 and 6 were handed out
 *               stock.clean   . . 1 1 . . . .      4 is zeroed next
 *
 *             A frame from the stock that is freed while its word is still the stock's is not clean and is
 *             not handed out again before the word is settled.
 *
 * Invariants  clean is part of bits
 * Locks       those of a claim: none on the way that matters
 * Failure     none of its own: without stock, the frame is zeroed now
 */
#include "mm/zero.h"

#include "mm/reserve.h"

static void zero(pfn_t f) { __builtin_memset(port_ptr(pfn_to_pa(f)), 0, PAGE_SIZE); }

static bool take_clean(struct claim *c, pfn_t *out)
{
    uint64_t ready = claim_get(c->bits) & claim_get(c->open) & claim_get(c->clean), lowest = ready & -ready;

    if (ready == 0)
        return false;
    *out = pfn(claim_get(c->base) + bits_first(ready));
    claim_put(c->bits, claim_get(c->bits) & ~lowest);
    claim_put(c->clean, claim_get(c->clean) & ~lowest);
    return true;
}

err_t frame_alloc_zeroed(pfn_t *out)
{
    uint64_t      flags = port_irq_save();
    struct claim *c = stock_of_cpu(port_cpu());
    bool          taken;
    err_t         err;

    claim_enter(c);
    taken = take_clean(c, out);
    claim_leave(c);
    port_irq_restore(flags);
    if (taken)
        return ERR_OK;
    err = frame_alloc(0, out);
    if (err == ERR_OK)
        zero(*out);
    return err;
}

/* A stock that has handed out everything begins with a new word */
static bool clean_one(struct claim *c)
{
    uint64_t dirty;

    if ((claim_get(c->bits) & claim_get(c->open)) == 0 && !claim_refill_default(c))
        return false;
    dirty = claim_get(c->bits) & claim_get(c->open) & ~claim_get(c->clean);
    if (dirty == 0)
        return false;
    zero(pfn(claim_get(c->base) + bits_first(dirty)));
    claim_put(c->clean, claim_get(c->clean) | (dirty & -dirty));
    return true;
}

bool frame_zero_idle(void)
{
    uint64_t      flags = port_irq_save();
    struct claim *c = stock_of_cpu(port_cpu());
    bool          cleaned;

    claim_enter(c);
    cleaned = clean_one(c);
    claim_leave(c);
    port_irq_restore(flags);
    return cleaned;
}

uint64_t frame_zero_stock(void)
{
    uint64_t n = 0;

    for (unsigned cpu = 0; cpu < port_cpus(); cpu++) {
        const struct claim *c = stock_of_cpu(cpu);

        n += bits_count(claim_get(c->bits) & claim_get(c->clean));
    }
    return n;
}
