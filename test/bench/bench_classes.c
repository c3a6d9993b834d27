/* SPDX-License-Identifier: MIT */
/*
 * test/bench/bench_classes.c - would placement classes pay? How many 2 MiB blocks stay whole when some frames never move
 *
 *   bench-classes      all workloads with all policies, as a table; no time is measured, runs agree
 *
 *   lowest    everything is placed alike: the lowest free frame
 *   chunks    frames that never move are asked for near one gigabyte, the others near another (FRAME_NEAR)
 *   blocks    frames that never move share 2 MiB blocks of their own: as good as classes can be
 *
 * Whole blocks are counted as they lie; `spared` also counts those from which every frame could be moved away.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/frame.h"
#include "test/bench/ptrc.h"
#include "test/host/frame_world.h"
#include "test/host/port_host.h"

#define FIRST      (4 * GIB >> PAGE_SHIFT)
#define N          (2 * GIB >> PAGE_SHIFT)
#define HUGE_ORDER 9
#define HUGE       (1u << HUGE_ORDER)
#define ROUNDS     200
#define TRACE      "test/data/traces/page_mix.ptr.xz"

enum policy { LOWEST, CHUNKS, BLOCKS, POLICIES };
static const char *const policy_names[POLICIES] = { "lowest", "chunks", "blocks" };

static enum policy policy;
static uint64_t    rng;

static uint64_t below(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (rng >> 11) % n;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench-classes: %s\n", what);
        exit(1);
    }
}

/* ---- frames that never move, in blocks of their own --------------------------------------------------- */

static uint16_t used[N / HUGE];   /* of a block that is ours; 0: it is not */
static bool     taken[N];         /* frames of our blocks                  */
static uint32_t pins[N / HUGE];   /* frames in a block that never move     */

static pfn_t block_take(void)
{
    uint64_t at = 0;
    pfn_t    f;

    while (at < N / HUGE && (used[at] == 0 || used[at] == HUGE))
        at++;
    if (at == N / HUGE) {
        if (frame_alloc(HUGE_ORDER, &f) != ERR_OK) {
            must(frame_alloc(0, &f) == ERR_OK, "no frame left");
            return f;
        }
        at = (f.idx - FIRST) / HUGE;
    }
    used[at]++;
    for (at *= HUGE; taken[at];)
        at++;
    taken[at] = true;
    return pfn(FIRST + at);
}

static bool block_give(pfn_t f)
{
    uint64_t at = f.idx - FIRST;

    if (!taken[at])
        return false;
    taken[at] = false;
    if (--used[at / HUGE] == 0)
        must(frame_free_order(pfn(FIRST + at / HUGE * HUGE), HUGE_ORDER) == ERR_OK, "free");
    return true;
}

/* ---- frames of both kinds --------------------------------------------------------------------------------- */

static pfn_t take(unsigned order, bool pinned)
{
    struct frame_request req = { .n = (uint64_t)1 << order, .align = (uint64_t)1 << order, .flags = FRAME_NEAR,
                                 .near = pfn(pinned ? FIRST : FIRST + N / 2) };
    pfn_t                f;

    if (policy == BLOCKS && pinned && order == 0)
        f = block_take();
    else
        must((policy == CHUNKS ? frame_alloc_with(&req, &f) : frame_alloc(order, &f)) == ERR_OK, "no block left");
    if (pinned)
        pins[(f.idx - FIRST) / HUGE] += 1u << order;
    return f;
}

static void give(pfn_t f, unsigned order, bool pinned)
{
    if (pinned)
        pins[(f.idx - FIRST) / HUGE] -= 1u << order;
    if (!block_give(f))
        must(frame_free_order(f, order) == ERR_OK, "free");
}

static void start(void)
{
    memset(used, 0, sizeof used);
    memset(taken, 0, sizeof taken);
    memset(pins, 0, sizeof pins);
    rng = 88172645463325252u;
    world_open(&(struct mem_range)FREE_RAM(FIRST, N), 1);
}

static void report(const char *what, uint64_t live)
{
    struct frame_stats s;
    uint64_t           whole = 0, spared = 0;

    frame_stats(&s);
    for (unsigned k = HUGE_ORDER; k <= FRAME_ORDER_MAX; k++)
        whole += s.blocks[k] << (k - HUGE_ORDER);
    for (unsigned i = 0; i < N / HUGE; i++)
        spared += pins[i] == 0;
    printf("%-44s %-7s %6llu %7llu %10llu\n", what, policy_names[policy], ULL(whole), ULL(spared), ULL((N - live) / HUGE));
}

/* ---- churn: some frames of memory that is filled and emptied never move ------------------------------------ */

static struct {
    pfn_t    at[N];
    uint64_t n;
} held[2]; /* [1]: those that never move */

static void more(bool pinned) { held[pinned].at[held[pinned].n++] = take(0, pinned); }

static void less(bool pinned)
{
    uint64_t i = below(held[pinned].n);
    pfn_t    f = held[pinned].at[i];

    held[pinned].at[i] = held[pinned].at[--held[pinned].n];
    give(f, 0, pinned);
}

static uint64_t live(void) { return held[0].n + held[1].n; }

/* Memory goes up and down between two levels; `share` of what is taken never moves, and lives fifty times as long */
static void churn(const char *what, unsigned low, unsigned high, unsigned share)
{
    held[0].n = held[1].n = 0;
    start();
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t goal = N / 100 * (round % 20 < 10 ? high : low);

        for (uint64_t n = held[0].n / 10; n > 0; n--)
            less(false);
        for (uint64_t n = held[1].n / 500; n > 0; n--)
            less(true);
        while (live() < goal)
            more(below(1000) < share);
        while (live() > goal && held[0].n > 0)
            less(false);
    }
    report(what, live());
    while (held[0].n > 0)
        less(false);
    report("  and then with nothing else left", live());
    while (held[1].n > 0)
        less(true);
    world_close();
}

/* ---- a recorded kernel: what lives longest is taken for what never moves -------------------------------------- */

static void trace(const struct ptrc *t)
{
    uint64_t *born = calloc(t->n_slots, sizeof *born), n_live = 0;
    bool     *pinned = calloc(t->n_slots, sizeof *pinned);
    pfn_t    *at = calloc(t->n_slots, sizeof *at);

    must(born != NULL && pinned != NULL && at != NULL, "no memory");
    for (uint64_t i = 0; i < t->n_slots; i++)
        born[i] = UINT64_MAX;
    for (uint64_t i = 0; i < t->n_events; i++)
        born[ptrc_slot(t->events[i])] = ptrc_is_free(t->events[i]) ? UINT64_MAX : i;
    start();
    for (uint64_t i = 0; i < t->n_events; i++) {
        uint32_t e = t->events[i];
        unsigned order = ptrc_order(e);

        if (ptrc_is_free(e)) {
            give(at[ptrc_slot(e)], order, pinned[ptrc_slot(e)]);
        } else { /* alive at the end, and since the first half: */
            pinned[ptrc_slot(e)] = born[ptrc_slot(e)] == i && i < t->n_events / 2;
            at[ptrc_slot(e)] = take(order, pinned[ptrc_slot(e)]);
        }
        n_live = ptrc_is_free(e) ? n_live - (1u << order) : n_live + (1u << order);
    }
    report("recorded kernel (page_mix), at its end", n_live);
    world_close();
    free(born), free(pinned), free(at);
}

int main(void)
{
    struct ptrc t;

    host_log_quiet(true);
    ptrc_read(&t, TRACE);
    printf("%-44s %-7s %6s %7s %10s\n", "blocks of 2 MiB, of 1024", "policy", "whole", "spared", "at most");
    for (policy = LOWEST; policy < POLICIES; policy++) {
        churn("30 .. 60 % in use, 2 % never move", 30, 60, 20);
        churn("30 .. 60 % in use, 10 % never move", 30, 60, 100);
        churn("30 .. 95 % in use, 2 % never move", 30, 95, 20);
        churn("30 .. 95 % in use, 10 % never move", 30, 95, 100);
        trace(&t);
    }
    ptrc_close(&t);
    return 0;
}
