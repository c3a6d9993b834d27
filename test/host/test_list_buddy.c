/* SPDX-License-Identifier: MIT */
/* test/host/test_list_buddy.c - the opponent in the benchmarks (test/bench/list_buddy.c) is correct, too */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/types.h"
#include "test/bench/list_buddy.h"
#include "test/host/frame_world.h"
#include "test/host/model_frame.h"
#include "test/host/port_host.h"

/* 4096 frames around 4 GiB, half of them in each zone; the model's frame 0 is BASE */
#define BASE      ((4 * GIB >> PAGE_SHIFT) - N / 2)
#define N         4096u
#define ORDER_MAX 11u
#define STEPS     100000u

static struct {
    struct mem_range range[3];
    struct mem_map   map;
    void            *state;
} w;

static void open_world(void)
{
    size_t bytes;

    w.range[0] = (struct mem_range)FREE_RAM(BASE, N / 4);
    w.range[1] = (struct mem_range)SOME_RAM(BASE + N / 4, 77, MEM_ACPI);
    w.range[2] = (struct mem_range)FREE_RAM(BASE + N / 4 + 77, N - N / 4 - 77);
    w.map = (struct mem_map){ .ranges = w.range, .n = ARRAY_LEN(w.range) };
    host_memory_open((BASE + N) << PAGE_SHIFT);
    bytes = list_state_bytes(&w.map);
    w.state = malloc(bytes);
    assert_non_null(w.state);
    assert_int_equal(list_start(&w.map, w.state, bytes - 1), ERR_INVAL);
    assert_int_equal(list_start(&w.map, w.state, bytes), ERR_OK);
    assert_null(list_check());
}

static void close_world(void)
{
    assert_null(list_check());
    free(w.state);
    host_memory_close();
}

static void open_model(struct model *m)
{
    model_open(m, N, ORDER_MAX, MODEL_FREE);
    model_fill(m, N / 4, 77, MODEL_RESERVED);
}

static unsigned place(pfn_t f) { return (unsigned)(f.idx - BASE); }

/* What was given must have been free; if nothing was given, nothing was there */
static void took(struct model *m, err_t err, unsigned order, pfn_t f)
{
    unsigned at;

    if (err == ERR_NOMEM) {
        assert_false(model_find(m, order, 0, N, &at));
        return;
    }
    assert_int_equal(err, ERR_OK);
    assert_true(is_aligned(f.idx, (uint64_t)1 << order));
    assert_true(model_all(m, place(f), 1u << order, MODEL_FREE));
    model_take(m, place(f), order);
}

static void step_take(struct model *m)
{
    unsigned order = (unsigned)__builtin_ctzll(rnd() | 1u << 12);
    pfn_t    f = { 0 };

    took(m, list_alloc(order, &f), order, f);
}

static void step_give(struct model *m)
{
    unsigned at = (unsigned)rnd_below(N), order = 0, claimed = (unsigned)rnd_below(4);
    err_t    expected = model_block(m, at, &order);
    bool     named = rnd() % 2 == 0;

    if (expected == ERR_INSIDE) /* most are: aim better */
        at = model_look(m, at).first, expected = rnd() % 8 == 0 ? model_block(m, ++at, &order) : model_block(m, at, &order);
    if (expected == ERR_OK && named && claimed != order)
        expected = ERR_ORDER;
    assert_int_equal(named ? list_free_order(pfn(BASE + at), claimed) : list_free(pfn(BASE + at)), expected);
    if (expected == ERR_OK)
        model_give(m, at);
}

static void step_bulk(struct model *m)
{
    pfn_t  f[100];
    size_t n = rnd_below(ARRAY_LEN(f)) + 1;

    if (lists_alloc(n, f) != ERR_OK) {
        assert_true(model_count(m, MODEL_FREE) < n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        took(m, ERR_OK, 0, f[i]);
    if (rnd() % 2 == 0)
        return;
    assert_int_equal(lists_free(n, f), ERR_OK);
    for (size_t i = 0; i < n; i++)
        model_give(m, place(f[i]));
}

static void step_run(struct model *m)
{
    struct frame_request req = { .n = rnd_below(200) + 1, .align = (uint64_t)1 << rnd_below(7) };
    unsigned             order = 0, n = (unsigned)req.n, at;
    pfn_t                f;

    if (rnd() % 2 == 0)
        req.highest = pa(4 * GIB - 1);
    while (1u << order < max_u64(req.n, req.align))
        order++;
    if (list_alloc_with(&req, &f) != ERR_OK) {
        assert_false(model_find(m, order, 0, req.highest.raw != 0 ? N / 2 : N, &at));
        return;
    }
    assert_true(is_aligned(f.idx, req.align));
    assert_true(req.highest.raw == 0 || place(f) + n <= N / 2);
    assert_true(model_all(m, place(f), n, MODEL_FREE));
    model_take_run(m, place(f), n);
    if (rnd() % 2 == 0)
        return;
    assert_int_equal(list_free_run(f, req.n), ERR_OK);
    model_fill(m, place(f), n, MODEL_FREE);
}

static void step_hold(struct model *m)
{
    unsigned at = (unsigned)rnd_below(N - 64), n = 1 + (unsigned)rnd_below(64);

    if (rnd() % 2 == 0) {
        bool free = model_all(m, at, n, MODEL_FREE);

        assert_int_equal(list_reserve(pfn(BASE + at), n), free ? ERR_OK : ERR_BUSY);
        if (free)
            model_fill(m, at, n, MODEL_RESERVED);
    }
    if (model_all(m, at, n / 2 + 1, MODEL_RESERVED)) {
        assert_int_equal(list_release(pfn(BASE + at), n / 2 + 1), ERR_OK);
        model_fill(m, at, n / 2 + 1, MODEL_FREE);
    } else {
        assert_int_equal(list_release(pfn(BASE + at), n / 2 + 1), ERR_NOENT);
    }
}

static void compare(const struct model *m)
{
    struct frame_stats s;
    uint64_t           blocks[ORDER_MAX + 1] = { 0 };
    unsigned           at = (unsigned)rnd_below(N);
    struct chunk_look  look = model_look(m, at);
    struct frame_info  info = list_query(pfn(BASE + at));

    assert_null(list_check());
    list_stats(&s);
    assert_int_equal(s.free, model_count(m, MODEL_FREE));
    model_blocks(m, blocks);
    for (unsigned k = 0; k <= ORDER_MAX; k++)
        assert_int_equal(s.blocks[k], blocks[k]);
    assert_int_equal(info.state, look.state);
    if (look.state != FRAME_RESERVED) {
        assert_int_equal(place(info.first), look.first);
        assert_int_equal(info.order, look.order);
    }
}

static void it_agrees_with_the_model(void **state)
{
    static void (*const steps[])(struct model *) = { step_take, step_take, step_give, step_give, step_give, step_give,
                                                     step_give, step_bulk, step_run,  step_hold };
    struct model m;

    (void)state;
    rnd_seed_from("it_agrees_with_the_model");
    open_world();
    open_model(&m);
    for (unsigned i = 0; i < STEPS; i++) {
        steps[rnd_below(ARRAY_LEN(steps))](&m);
        if (i % 256 == 0)
            compare(&m);
    }
    compare(&m);
    model_close(&m);
    close_world();
}

static void the_list_gives_back_first_what_came_last(void **state)
{
    pfn_t a, b, f;

    (void)state;
    open_world();
    assert_int_equal(list_alloc(0, &a), ERR_OK);
    assert_int_equal(list_alloc(0, &f), ERR_OK);
    assert_int_equal(list_alloc(0, &b), ERR_OK);
    assert_int_equal(list_free(a), ERR_OK);
    assert_int_equal(list_alloc(0, &f), ERR_OK);
    assert_int_equal(f.idx, a.idx);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_the_model),
        cmocka_unit_test(the_list_gives_back_first_what_came_last),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
