/* SPDX-License-Identifier: MIT */
/*
 * test/host/sim_frames.h - a frame allocator that can be told when to fail, for tests of what uses one
 *
 * Defines mm/frame.h for the program that includes it. It poisons what it gives, refuses every wrong
 * free, and counts; `frames_until_failure` makes the n-th allocation from now on fail.
 */
#ifndef TEST_HOST_SIM_FRAMES_H
#define TEST_HOST_SIM_FRAMES_H

#include <stdlib.h>
#include <string.h>

#include "mm/frame.h"
#include "mm/port.h"
#include "mm/zero.h"

#define SIM_FRAMES 16384 /* the simulated memory, in frames */
#define NEVER_FAIL (-1)

static unsigned char sim_order[SIM_FRAMES]; /* 0: free; else 1 + order, at the first frame of a block; 255 inside one */
static size_t        sim_hint = 1;          /* frame 0 is never given */
static uint64_t      sim_in_use;
static int           frames_until_failure = NEVER_FAIL;

static bool sim_fails(void)
{
    if (frames_until_failure == NEVER_FAIL)
        return false;
    if (frames_until_failure == 0)
        return true;
    frames_until_failure--;
    return false;
}

static bool sim_all_free(size_t f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sim_order[f + i] != 0)
            return false;
    return true;
}

err_t frame_alloc(unsigned order, pfn_t *out)
{
    size_t n = (size_t)1 << order, start = order == 0 ? sim_hint : n;

    if (sim_fails())
        return ERR_NOMEM;
    for (size_t f = start; f + n <= SIM_FRAMES; f += n) {
        if (!sim_all_free(f, n))
            continue;
        memset(&sim_order[f], 255, n);
        sim_order[f] = (unsigned char)(1 + order);
        memset(port_ptr(pfn_to_pa(pfn(f))), 0xa5, n * PAGE_SIZE);
        if (order == 0)
            sim_hint = f + 1;
        sim_in_use += n;
        *out = pfn(f);
        return ERR_OK;
    }
    return ERR_NOMEM;
}

err_t frame_alloc_zeroed(pfn_t *out)
{
    err_t err = frame_alloc(0, out);

    if (err == ERR_OK)
        memset(port_ptr(pfn_to_pa(*out)), 0, PAGE_SIZE);
    return err;
}

err_t frame_split(pfn_t f, unsigned order)
{
    if (f.idx >= SIM_FRAMES || sim_order[f.idx] != 1 + order)
        return ERR_ORDER;
    memset(&sim_order[f.idx], 1, (size_t)1 << order);
    return ERR_OK;
}

struct frame_totals frame_totals(void)
{
    return (struct frame_totals){ .managed = SIM_FRAMES - 1, .free = SIM_FRAMES - 1 - sim_in_use };
}

err_t frames_alloc(size_t n, pfn_t out[])
{
    for (size_t i = 0; i < n; i++)
        if (frame_alloc(0, &out[i]) != ERR_OK) {
            while (i-- > 0)
                if (frame_free(out[i]) != ERR_OK)
                    abort();
            return ERR_NOMEM;
        }
    return ERR_OK;
}

err_t frame_free(pfn_t f)
{
    size_t n;

    if (f.idx >= SIM_FRAMES)
        return ERR_OUTSIDE;
    if (sim_order[f.idx] == 0)
        return ERR_NOT_ALLOC;
    if (sim_order[f.idx] == 255)
        return ERR_INSIDE;
    n = (size_t)1 << (sim_order[f.idx] - 1);
    memset(&sim_order[f.idx], 0, n);
    if (f.idx < sim_hint)
        sim_hint = f.idx;
    sim_in_use -= n;
    return ERR_OK;
}

err_t frame_free_order(pfn_t f, unsigned order)
{
    if (f.idx < SIM_FRAMES && sim_order[f.idx] != 0 && sim_order[f.idx] != 1 + order)
        return ERR_ORDER;
    return frame_free(f);
}

err_t frames_free(size_t n, const pfn_t in[])
{
    err_t err = ERR_OK;

    for (size_t i = 0; i < n && err == ERR_OK; i++)
        err = frame_free_order(in[i], 0);
    return err;
}

#endif
