/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_frame_model.c - the whole frame manager against one byte for each frame
 *
 * Random machines with holes, random calls of every kind. What is given must be free and fit the request;
 * a request may fail only if the model has nothing either; every free is answered as the model would.
 * Which of several places is given is test_chunk's and test/proof's subject.
 *
 * OCTAVO_SEED chooses the machines and calls, OCTAVO_OPS how many calls there are on each machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame.h"
#include "mm/port.h"
#include "test/host/frame_world.h"
#include "test/host/model_frame.h"
#include "test/host/port_host.h"

#define MACHINES 6
#define CHUNKS   3
#define N        (CHUNKS * CHUNK_FRAMES)
#define LOW_END  (unsigned)(MIB >> PAGE_SHIFT)

static struct model     m;
static struct mem_range range[24];
static size_t           n_ranges;
static unsigned         ram[CHUNK_FRAMES]; /* every frame of RAM */
static unsigned         n_ram;

static unsigned some_frame(void)
{
    return rnd_below(50) == 0 ? (unsigned)rnd_below(N + 1000) : ram[rnd_below(n_ram)];
}

/* ---- random machines ---------------------------------------------------------------------------------- */

static void random_machine(void)
{
    static const enum mem_kind kinds[] = { MEM_FREE, MEM_FREE, MEM_FREE, MEM_ACPI, MEM_RESERVED, MEM_MMIO };
    uint64_t                   at = 1;

    n_ranges = 0;
    range[n_ranges++] = (struct mem_range)SOME_RAM(1, 40, MEM_LOW);
    at = 0x100 + rnd_below(5000);
    while (n_ranges < ARRAY_LEN(range) && at < N - 20000) {
        uint64_t n = 1 + rnd_below(rnd_below(2) == 0 ? 70 : 3000);

        range[n_ranges] = (struct mem_range){ pfn(at), pfn(at + n), 0, kinds[rnd_below(ARRAY_LEN(kinds))] };
        at += n + (rnd_below(2) == 0 ? 0 : rnd_below(30000));
        n_ranges++;
    }
    /* room for the bitmaps of each chunk */
    for (unsigned i = 0; i < n_ranges; i++)
        if (range[i].kind == MEM_FREE && range[i].end.idx - range[i].start.idx > 100)
            return;
    random_machine();
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
    assert_int_equal(s.free, model_count(&m, MODEL_FREE));
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

static void call_alloc(void)
{
    unsigned order = rnd_below(2) == 0 ? 0 : (unsigned)rnd_below(11);
    pfn_t    f = { 77 };
    err_t    err = frame_alloc(order, &f);

    if (err == ERR_OK) {
        assert_true(f.idx >= LOW_END && is_aligned(f.idx, (uint64_t)1 << order));
        assert_true(model_all(&m, (unsigned)f.idx, 1u << order, MODEL_FREE));
        model_take(&m, (unsigned)f.idx, order);
    } else {
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(f.idx, 77);
        assert_false(model_has(1u << order, 1u << order, N, LOW_END, N));
    }
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
        unsigned n_free = 0;

        assert_int_equal(err, ERR_NOMEM);
        for (unsigned i = 0; i < n_ram; i++)
            n_free += ram[i] >= LOW_END && m.frame[ram[i]] == MODEL_FREE;
        assert_true(n_free < n);
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
static err_t expected(unsigned at, unsigned *order)
{
    err_t err = at < N ? model_block(&m, at, order) : ERR_RESERVED;

    if (err == ERR_RESERVED) {
        const struct mem_range *r = mem_map_find(world_map(), pfn(at));

        if (r == NULL || r->kind == MEM_MMIO)
            err = ERR_OUTSIDE;
    }
    return err;
}

static void call_free(void)
{
    unsigned at = some_frame(), order = 0;
    err_t    err = expected(at, &order);

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

static void call_free_run(void)
{
    unsigned at = some_frame() % N, n = 1 + (unsigned)rnd_below(200);

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
    unsigned at = some_frame() % N, n = 1 + (unsigned)rnd_below(rnd_below(2) == 0 ? 3 : 300);
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
    unsigned          at = some_frame() % N;
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

static void compare_totals(void)
{
    struct frame_stats s, zone, sum = { 0 };

    assert_null(frame_check());
    frame_stats(&s);
    assert_int_equal(s.free, model_count(&m, MODEL_FREE));
    assert_int_equal(frame_totals().free, s.free);
    assert_int_equal(frame_totals().managed, s.managed);
    for (unsigned z = 0; z < ZONES; z++) {
        frame_stats_zone((enum frame_zone)z, &zone);
        sum.free += zone.free;
        sum.managed += zone.managed;
        sum.bitmaps += zone.bitmaps;
    }
    assert_true(sum.free == s.free && sum.managed == s.managed && sum.bitmaps == s.bitmaps);
}

static void random_calls_agree_with_the_model(void **state)
{
    static void (*const calls[])(void) = { call_alloc, call_alloc, call_alloc, call_free,    call_free,  call_free,    call_free, call_free,
                                           call_free,  call_free,  call_with,  call_free_run, call_query, call_reserve, call_bulk };
    const char         *ops = getenv("OCTAVO_OPS");
    uint64_t            n_ops = ops != NULL ? strtoull(ops, NULL, 0) : 60000;

    (void)state;
    rnd_seed_from("test_frame_model");
    for (unsigned machine = 0; machine < MACHINES; machine++) {
        random_machine();
        world_open(range, n_ranges);
        model_from_map();
        for (uint64_t i = 0; i < n_ops; i++) {
            calls[rnd_below(ARRAY_LEN(calls))]();
            if (i % (n_ops / 16 + 1) == 0)
                compare_totals();
        }
        compare_totals();
        model_close(&m);
        world_close();
    }
}

/* ---- a million wrong frees ------------------------------------------------------------------------------- */

/* Everything the manager's bitmaps say, as one number */
static uint64_t fingerprint(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n_ram; i++) {
        struct frame_info info = frame_query(pfn(ram[i]));

        sum = (sum ^ (info.first.idx + info.order * 7919 + info.state)) * 0x100000001b3u;
    }
    return sum;
}

static void none_of_a_million_wrong_frees_is_accepted_or_changes_a_bit(void **state)
{
    uint64_t before;
    unsigned order = 0;

    (void)state;
    rnd_seed_from("wrong frees");
    random_machine();
    world_open(range, n_ranges);
    model_from_map();
    for (unsigned i = 0; i < 3000; i++) {
        call_alloc();
        if (i % 3 == 0)
            call_free();
    }
    before = fingerprint();
    for (unsigned i = 0; i < 1000000;) {
        unsigned at = some_frame(), claimed = (unsigned)rnd_below(FRAME_ORDER_MAX + 2);
        err_t    err = expected(at, &order);

        if (err == ERR_OK && claimed == order)
            continue;
        if (err != ERR_OK && rnd_below(2) == 0)
            assert_int_equal(frame_free(pfn(at)), err);
        else
            assert_true(frame_free_order(pfn(at), claimed) != ERR_OK);
        i++;
        if (i % 100000 == 0)
            assert_int_equal(fingerprint(), before);
    }
    assert_null(frame_check());
    model_close(&m);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_agree_with_the_model),
        cmocka_unit_test(none_of_a_million_wrong_frees_is_accepted_or_changes_a_bit),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
