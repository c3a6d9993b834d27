/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/frames.c - the buddy manager on real memory
 *
 * Random blocks are taken, marked, checked and given back. The mark stands in the first and last frame
 * of a block, so two blocks that overlapped would spoil each other. Then every kind of wrong free, and a
 * census: as many frames free as before.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/machine.h"
#include "mm/frame.h"
#include "mm/heap_kernel.h"

#define TAG         "selftest"
#define ROUNDS      20000
#define BLOCKS      512
#define ORDER_MOST  10

struct block {
    pfn_t    first;
    unsigned order; /* ORDER_MOST + 1: none */
};

/* next - xorshift64*; the same numbers each time (Vigna, "An experimental exploration", 2016) */
static uint64_t next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1D;
}

static uint64_t *mark_at(const struct block *b, bool last)
{
    return port_ptr(pfn_to_pa(pfn_add(b->first, last ? ((uint64_t)1 << b->order) - 1 : 0)));
}

static err_t give(struct block *b)
{
    uint64_t want = b->first.idx << 8 | b->order;

    if (*mark_at(b, false) != want || *mark_at(b, true) != want) {
        log_error(TAG, "block " PFN_FMT " of order %u was written by somebody else", PFN_ARG(b->first), b->order);
        return ERR_CORRUPT;
    }
    unsigned order = b->order;

    b->order = ORDER_MOST + 1;
    return order % 2 ? frame_free(b->first) : frame_free_order(b->first, order);
}

static err_t take(struct block *b, unsigned order)
{
    err_t err = frame_alloc(order, &b->first);

    if (err != ERR_OK)
        return err == ERR_NOMEM ? ERR_OK : err; /* full: as good as any other state */
    if (!is_aligned(b->first.idx, (uint64_t)1 << order) || b->first.idx < (MIB >> PAGE_SHIFT)) {
        log_error(TAG, "block " PFN_FMT " cannot be one of order %u", PFN_ARG(b->first), order);
        return ERR_CORRUPT;
    }
    b->order = order;
    *mark_at(b, false) = *mark_at(b, true) = b->first.idx << 8 | order;
    return ERR_OK;
}

static err_t random_blocks(struct block blocks[BLOCKS])
{
    uint64_t state = 1;
    err_t    err = ERR_OK;

    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i].order = ORDER_MOST + 1;
    for (unsigned round = 0; round < ROUNDS && err == ERR_OK; round++) {
        uint64_t      r = next(&state);
        struct block *b = &blocks[r % BLOCKS];

        err = b->order <= ORDER_MOST ? give(b) : take(b, (unsigned)(r >> 32 & r >> 40) % (ORDER_MOST + 1));
    }
    for (unsigned i = 0; i < BLOCKS && err == ERR_OK; i++)
        if (blocks[i].order <= ORDER_MOST)
            err = give(&blocks[i]);
    return err;
}

static err_t refused(pfn_t f, unsigned order, err_t want, const char *what)
{
    err_t got = order <= FRAME_ORDER_MAX ? frame_free_order(f, order) : frame_free(f);

    if (got == want)
        return ERR_OK;
    log_error(TAG, "%s: \"%s\", expected \"%s\"", what, err_str(got), err_str(want));
    return ERR_CORRUPT;
}

static err_t wrong_frees(void)
{
    const unsigned any = FRAME_ORDER_MAX + 1;
    pfn_t          f;
    err_t          err = frame_alloc(3, &f);

    if (err != ERR_OK)
        return err;
    const err_t tries[] = {
        refused(pfn_add(f, 1), any, ERR_INSIDE, "free of the middle of a block"),
        refused(f, 2, ERR_ORDER, "free with a wrong order"),
        refused(pfn(0), any, ERR_RESERVED, "free of frame 0"),
        refused(pa_to_pfn(machine_info()->boot->image), any, ERR_RESERVED, "free of our own image"),
        refused(pfn((uint64_t)1 << 40), any, ERR_OUTSIDE, "free of no memory"),
        frame_free(f),
        refused(f, any, ERR_NOT_ALLOC, "free of what is free"),
    };

    for (unsigned i = 0; i < ARRAY_LEN(tries); i++)
        err = err == ERR_OK ? tries[i] : err;
    return err;
}

static err_t run(void)
{
    struct block *blocks = heap_alloc(kernel_heap, BLOCKS * sizeof *blocks);
    struct frame_stats before, after;

    if (blocks == NULL)
        return ERR_NOMEM;
    frame_stats(&before);
    err_t err = random_blocks(blocks), wrong = wrong_frees();

    frame_stats(&after);
    if (after.free + after.bitmaps != before.free + before.bitmaps) {
        log_error(TAG, "%llu frames free before, %llu after", ULL(before.free), ULL(after.free));
        wrong = ERR_CORRUPT;
    }
    const char *broken = frame_check();

    if (broken != NULL) {
        log_error(TAG, "frame_check: %s", broken);
        wrong = ERR_CORRUPT;
    }
    err_t freed = heap_free(kernel_heap, blocks);

    return err != ERR_OK ? err : wrong != ERR_OK ? wrong : freed;
}

const struct selftest selftest_frames = { "frames", run };
