/* SPDX-License-Identifier: MIT */
/*
 * test/host/frame_calls.c - random machines and random calls of the frame manager, each held against one
 * byte for each frame
 */
#include "test/host/frame_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame.h"
#include "mm/port.h"
#include "mm/zero.h"
#include "test/host/frame_world.h"
#include "test/host/model_frame.h"

#define CHUNKS   3
#define N        (CHUNKS * CHUNK_FRAMES)
#define LOW_END  (unsigned)(MIB >> PAGE_SHIFT)

static struct model     m;
static struct mem_range range[24];
static size_t           n_ranges;
static unsigned         ram[CHUNK_FRAMES]; /* every frame of RAM */
static unsigned         n_ram;
static bool             ebb; /* memory fills up and empties in turn */

unsigned frame_calls_frame(void)
{
    return rnd_below(50) == 0 ? (unsigned)rnd_below(N + 1000) : ram[rnd_below(n_ram)];
}

/* Free frames from `lo` on */
static unsigned count_free(unsigned lo)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_ram; i++)
        n += ram[i] >= lo && m.frame[ram[i]] == MODEL_FREE;
    return n;
}

/* ---- random machines ---------------------------------------------------------------------------------- */

static void random_machine(unsigned longest)
{
    static const enum mem_kind kinds[] = { MEM_FREE, MEM_FREE, MEM_FREE, MEM_ACPI, MEM_RESERVED, MEM_MMIO };
    uint64_t                   at = 1;

    n_ranges = 0;
    range[n_ranges++] = (struct mem_range)SOME_RAM(1, 40, MEM_LOW);
    at = 0x100 + rnd_below(5000);
    while (n_ranges < ARRAY_LEN(range) && at < N - 20000) {
        uint64_t n = 1 + rnd_below(rnd_below(2) == 0 ? 70 : longest);

        range[n_ranges] = (struct mem_range){ pfn(at), pfn(at + n), 0, kinds[rnd_below(ARRAY_LEN(kinds))] };
        if (n_ranges == 1) { /* one with room for bitmaps */
            range[1].end.idx += 100;
            range[1].kind = MEM_FREE;
        }
        at = range[n_ranges].end.idx + (rnd_below(2) == 0 ? 0 : rnd_below(30000));
        n_ranges++;
    }
}

/* What the manager started with: the map decides, but for the frames that hold bitmaps */
static void model_from_map(void)
{
    struct frame_stats s;
    unsigned           bitmaps = 0;

    frame_stats(&s);
    model_open(&m, N, CHUNK_ORDER, MODEL_RESERVED);
    n_ram = 0;
    for (size_t i = 0; i < n_ranges; i++)
        for (uint64_t f = range[i].start.idx; f < range[i].end.idx; f++) {
            enum frame_state state = frame_query(pfn(f)).state;
            bool             is_free = range[i].kind == MEM_FREE || range[i].kind == MEM_LOW;

            assert_int_equal(state == FRAME_OUTSIDE, range[i].kind == MEM_MMIO);
            if (is_free && state == FRAME_RESERVED)
                bitmaps++;
            else
                assert_int_equal(is_free, state == FRAME_FREE);
            m.frame[f] = state == FRAME_FREE ? MODEL_FREE : MODEL_RESERVED;
            ram[n_ram++] = (unsigned)f;
        }
    assert_int_equal(s.free, count_free(0));
    assert_true(bitmaps >= s.bitmaps); /* a chunk with no room for them is left out as a whole */
}

/* ---- the calls -------------------------------------------------------------------------------------------- */

/* Is there any place for the request? Only RAM is worth looking at. */
static bool model_has(unsigned n, unsigned align, unsigned boundary, unsigned lo, unsigned hi)
{
    for (unsigned i = 0; i < n_ram; i++) {
        unsigned at = ram[i];

        if (at >= lo && at + n <= hi && at % align == 0 && at / boundary == (at + n - 1) / boundary &&
            model_all(&m, at, n, MODEL_FREE))
            return true;
    }
    return false;
}

void frame_calls_alloc(void)
{
    unsigned order = rnd_below(2) == 0 ? 0 : (unsigned)rnd_below(rnd_below(50) == 0 ? FRAME_ORDER_MAX + 2 : 11);
    pfn_t    f = { 77 };
    err_t    err = frame_alloc(order, &f);

    if (err == ERR_OK) {
        assert_true(f.idx >= LOW_END && is_aligned(f.idx, (uint64_t)1 << order));
        assert_true(model_all(&m, (unsigned)f.idx, 1u << order, MODEL_FREE));
        model_take(&m, (unsigned)f.idx, order);
    } else {
        assert_int_equal(err, order > FRAME_ORDER_MAX ? ERR_INVAL : ERR_NOMEM);
        assert_int_equal(f.idx, 77);
        assert_false(order <= FRAME_ORDER_MAX && model_has(1u << order, 1u << order, N, LOW_END, N));
    }
}

/* Idle time, or a frame of zeroes, which is dirty from then on */
static void call_zeroed(void)
{
    pfn_t    f;
    uint8_t *p;

    for (uint64_t idle = rnd_below(8); idle > 0; idle--)
        (void)frame_zero_idle();
    if (frame_alloc_zeroed(&f) != ERR_OK) {
        assert_int_equal(count_free(LOW_END), 0);
        return;
    }
    assert_true(f.idx >= LOW_END && m.frame[f.idx] == MODEL_FREE);
    model_take(&m, (unsigned)f.idx, 0);
    p = port_ptr(pfn_to_pa(f));
    assert_true(p[0] == 0 && memcmp(p, p + 1, PAGE_SIZE - 1) == 0);
    memset(p, 0xee, PAGE_SIZE);
}

static void call_bulk(void)
{
    static pfn_t f[600];
    size_t       n = rnd_below(ARRAY_LEN(f));
    err_t        err = frames_alloc(n, f);

    if (err == ERR_OK) {
        for (size_t i = 0; i < n; i++) {
            assert_true(f[i].idx >= LOW_END && m.frame[f[i].idx] == MODEL_FREE);
            model_take(&m, (unsigned)f[i].idx, 0);
        }
        if (rnd_below(2) == 0)
            return;
        for (size_t i = 0; i < n; i++)
            model_give(&m, (unsigned)f[i].idx);
        assert_int_equal(frames_free(n, f), ERR_OK);
    } else {
        assert_int_equal(err, ERR_NOMEM);
        assert_true(count_free(LOW_END) < n);
    }
}

static void call_with(void)
{
    unsigned             n = 1 + (unsigned)rnd_below(rnd_below(3) == 0 ? 1000 : 20);
    struct frame_request req = { .n = n };
    unsigned             hi = N, boundary = N;
    pfn_t                f;

    if (rnd_below(2) == 0)
        req.align = (uint64_t)1 << rnd_below(8);
    if (rnd_below(3) == 0)
        req.boundary = boundary = 1u << (log2_up(n) + rnd_below(3));
    if (rnd_below(2) == 0) {
        hi = ram[rnd_below(n_ram)] + 1;
        req.highest = pa(((uint64_t)hi << PAGE_SHIFT) - 1);
    }
    if (rnd_below(4) == 0) {
        req.flags = FRAME_NEAR;
        req.near = pfn(rnd_below(N));
    }

    unsigned lo = hi <= LOW_END ? 0 : LOW_END, align = (unsigned)max_u64(req.align, 1);
    err_t    err = frame_alloc_with(&req, &f);

    if (err == ERR_OK) {
        unsigned at = (unsigned)f.idx;

        assert_true(at >= lo && at + n <= hi && at % align == 0 && at / boundary == (at + n - 1) / boundary);
        assert_true(model_all(&m, at, n, MODEL_FREE));
        for (unsigned i = at; i < at + n;) { /* in as few blocks as possible, in each chunk */
            unsigned end = (unsigned)min_u64(at + n, align_up(i + 1, CHUNK_FRAMES));

            model_take_run(&m, i, end - i);
            i = end;
        }
    } else {
        assert_int_equal(err, ERR_NOMEM);
        assert_false(model_has(n, align, boundary, lo, hi));
    }
}

/* The error's name, as the model and the map have it */
err_t frame_calls_expect(unsigned at, unsigned *order)
{
    err_t err = at < N ? model_block(&m, at, order) : ERR_RESERVED;

    if (err == ERR_RESERVED) {
        const struct mem_range *r = mem_map_find(world_map(), pfn(at));

        if (r == NULL || r->kind == MEM_MMIO)
            err = ERR_OUTSIDE;
    }
    return err;
}

void frame_calls_free(void)
{
    unsigned at = frame_calls_frame(), order = 0;

    if (ebb && at < N && m.frame[at] == MODEL_INSIDE)
        at = model_look(&m, at).first;

    err_t err = frame_calls_expect(at, &order);

    if (rnd_below(2) == 0) {
        unsigned claimed = rnd_below(2) == 0 ? order : (unsigned)rnd_below(FRAME_ORDER_MAX + 2);

        err = err == ERR_OK && claimed != order ? ERR_ORDER : err;
        err = claimed > FRAME_ORDER_MAX ? ERR_ORDER : err;
        assert_int_equal(frame_free_order(pfn(at), claimed), err);
    } else {
        assert_int_equal(frame_free(pfn(at)), err);
    }
    if (err == ERR_OK)
        model_give(&m, at);
}

/* Frames of any kind at once: those before the first that is refused are given back */
static void call_free_any(void)
{
    pfn_t  f[8];
    size_t n = 1 + rnd_below(ARRAY_LEN(f));
    err_t  err = ERR_OK;

    for (size_t i = 0; i < n; i++)
        f[i] = pfn(i > 0 && rnd_below(2) == 0 ? f[i - 1].idx + 1 : frame_calls_frame());
    for (size_t i = 0; i < n && err == ERR_OK; i++) {
        unsigned order = 0;

        err = frame_calls_expect((unsigned)f[i].idx, &order);
        if (err == ERR_OK && order != 0)
            err = ERR_ORDER;
        if (err == ERR_OK)
            model_give(&m, (unsigned)f[i].idx);
    }
    assert_int_equal(frames_free(n, f), err);
}

static void call_free_run(void)
{
    unsigned at = frame_calls_frame() % N, n = 1 + (unsigned)rnd_below(200);

    n = (unsigned)min_u64(n, N - at);
    err_t err = frame_free_run(pfn(at), n), theirs = model_check_run(&m, at, n);

    assert_int_equal(err == ERR_OK, theirs == ERR_OK);
    assert_true(err == theirs || err == ERR_OUTSIDE || theirs == ERR_RESERVED);
    if (err == ERR_OK)
        model_fill(&m, at, n, MODEL_FREE);
}

static bool holds_bitmaps(unsigned at, unsigned n)
{
    for (unsigned i = at; i < at + n; i++) {
        const struct mem_range *r = mem_map_find(world_map(), pfn(i));

        if (r != NULL && (r->kind == MEM_FREE || r->kind == MEM_LOW))
            return true; /* or was reserved by us: the caller finds out */
    }
    return false;
}

static void call_reserve(void)
{
    unsigned at = frame_calls_frame() % N, n = 1 + (unsigned)rnd_below(rnd_below(2) == 0 ? 3 : 300);
    err_t    err;

    n = (unsigned)min_u64(n, N - at);
    if (rnd_below(3) == 0) {
        err = frame_reserve(pfn(at), n);
        if (at + n > frame_chunks() << CHUNK_ORDER)
            assert_int_equal(err, ERR_OUTSIDE);
        else
            assert_int_equal(err, model_all(&m, at, n, MODEL_FREE) ? ERR_OK : ERR_BUSY);
        if (err == ERR_OK)
            model_fill(&m, at, n, MODEL_RESERVED);
    } else {
        /* Only what lies in the map: nothing is behind other addresses */
        const struct mem_range *r = mem_map_find(world_map(), pfn(at));

        if (r == NULL || r->kind == MEM_MMIO)
            return;
        n = (unsigned)min_u64(n, r->end.idx - at);
        err = frame_release(pfn(at), n);
        if (at + n > frame_chunks() << CHUNK_ORDER)
            assert_int_equal(err, ERR_OUTSIDE);
        else if (!model_all(&m, at, n, MODEL_RESERVED))
            assert_int_equal(err, ERR_NOENT);
        else
            assert_true(err == ERR_OK || (err == ERR_BUSY && holds_bitmaps(at, n)) || err == ERR_BUSY);
        if (err == ERR_OK)
            for (unsigned i = at; i < at + n; i++) /* bitmaps may have been placed in it */
                m.frame[i] = frame_query(pfn(i)).state == FRAME_FREE ? MODEL_FREE : MODEL_RESERVED;
    }
}

static void call_query(void)
{
    unsigned          at = frame_calls_frame() % N;
    struct frame_info info = frame_query(pfn(at));
    struct chunk_look look = model_look(&m, at);

    if (info.state == FRAME_OUTSIDE)
        assert_int_equal(look.state, FRAME_RESERVED);
    else
        assert_int_equal(info.state, look.state);
    if (info.state == FRAME_BLOCK || info.state == FRAME_INSIDE)
        assert_true(info.first.idx == look.first && info.order == look.order);
    if (info.state == FRAME_FREE) /* at most: frames that a CPU has reserved are told one by one */
        assert_true(info.order <= look.order);
}

void frame_calls_check(void)
{
    struct frame_stats s, zone, sum = { 0 }, chunk, chunks = { 0 };

    assert_null(frame_check());
    frame_stats(&s);
    assert_int_equal(s.free, count_free(0));
    assert_int_equal(frame_totals().free, s.free);
    assert_int_equal(frame_totals().managed, s.managed);
    for (unsigned z = 0; z < ZONES; z++) {
        frame_stats_zone((enum frame_zone)z, &zone);
        sum.free += zone.free;
        sum.managed += zone.managed;
        sum.bitmaps += zone.bitmaps;
    }
    assert_true(sum.free == s.free && sum.managed == s.managed && sum.bitmaps == s.bitmaps);
    for (uint64_t i = 0; i < frame_chunks(); i++)
        if (frame_stats_chunk(i, &chunk) == ERR_OK) {
            chunks.free += chunk.free;
            chunks.managed += chunk.managed;
            chunks.bitmaps += chunk.bitmaps;
        }
    assert_true(chunks.free == s.free && chunks.managed == s.managed && chunks.bitmaps == s.bitmaps);
}

uint64_t frame_calls_fingerprint(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n_ram; i++) {
        struct frame_info info = frame_query(pfn(ram[i]));

        sum = (sum ^ (info.first.idx + info.order * 7919 + info.state)) * 0x100000001b3u;
    }
    return sum;
}

void frame_calls_open(unsigned longest)
{
    ebb = false;
    random_machine(longest);
    world_open(range, n_ranges);
    model_from_map();
}

void frame_calls_close(void)
{
    model_close(&m);
    world_close();
}

void frame_calls_one(void)
{
    static void (*const calls[])(void) = {
        frame_calls_alloc, frame_calls_alloc, frame_calls_alloc, call_with,        call_bulk,     /* not at ebb */
        frame_calls_alloc, frame_calls_free,  frame_calls_free,  frame_calls_free, frame_calls_free,
        frame_calls_free,  frame_calls_free,  frame_calls_free,  frame_calls_free, frame_calls_free,
        call_with,         call_free_run,     call_query,        call_reserve,     call_zeroed,
        call_free_any,
    };

    if (rnd_below(5000) == 0)
        ebb = !ebb;
    calls[ebb ? 5 + rnd_below(ARRAY_LEN(calls) - 5) : rnd_below(ARRAY_LEN(calls))]();
}
