/* SPDX-License-Identifier: MIT */
/* test/host/test_heap_trace.c - mm/heap_trace.c: who listens hears of every block that comes and goes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test/host/heap_world.h"
#include "test/host/model_heap.h"
#include "test/host/port_host.h"

#define HEARD 4096

static struct heap_world world;

/* What a listener can know: the blocks it heard come and has not heard go */
static struct {
    struct heap_event last;
    uint64_t          n;
    struct heap_event live[HEARD];
    size_t            n_live;
    bool              wrong; /* a block came twice, or one went that never came */
} heard;

static void listen(const struct heap_event *e)
{
    size_t i = 0;

    heard.last = *e;
    heard.n++;
    while (i < heard.n_live && heard.live[i].block != e->block)
        i++;
    if (e->size != 0) {
        heard.wrong = heard.wrong || i < heard.n_live || i == HEARD;
        heard.live[heard.n_live++] = *e;
    } else if (i == heard.n_live) {
        heard.wrong = true;
    } else {
        heard.live[i] = heard.live[--heard.n_live];
    }
}

static int setup(void **state)
{
    (void)state;
    host_log_quiet(true);
    heap_world_open(&world, 1 << 14);
    memset(&heard, 0, sizeof heard);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return heap_world_close(&world) == 0 ? 0 : -1;
}

static struct heap *open_heap(enum heap_policy policy, bool debug)
{
    const struct heap_config config = { .name = "traced", .policy = policy, .debug = debug };
    struct heap             *h;

    assert_int_equal(heap_create(&world.map, &config, &h), ERR_OK);
    return h;
}

static void each_kind_of_call_is_told(void **state)
{
    (void)state;
    struct heap *h = open_heap(HEAP_DEFAULT, false);
    char        *p, *q;

    assert_int_equal(heap_trace_on(h, listen), ERR_OK);
    assert_non_null(p = heap_alloc(h, 100));
    assert_true(heard.n == 1 && heard.last.block == p && heard.last.size == 100);
    assert_non_null(q = heap_alloc_aligned(h, 50, 256));
    assert_true(heard.n == 2 && heard.last.block == q && heard.last.size == 50 && heard.last.align == 256);
    assert_non_null(p = heap_realloc(h, p, 1000)); /* one that comes and one that goes */
    assert_true(heard.n == 4 && heard.n_live == 2);
    assert_int_equal(heap_free(h, p), ERR_OK);
    assert_true(heard.n == 5 && heard.last.block == p && heard.last.size == 0);
    heap_trace_off(h);
    assert_int_equal(heap_free(h, q), ERR_OK);
    assert_non_null(heap_alloc(h, 100));
    assert_int_equal(heard.n, 5);
    heap_destroy(h);
}

static void a_call_that_fails_is_not_told(void **state)
{
    (void)state;
    struct heap *h = open_heap(HEAP_DEFAULT, false);
    char        *p = heap_alloc(h, 100);

    assert_int_equal(heap_trace_on(h, listen), ERR_OK);
    assert_null(heap_alloc(h, SIZE_MAX));
    assert_true(heap_free(h, p + 16) != ERR_OK);
    assert_true(heap_free(h, &h) != ERR_OK);
    assert_int_equal(heard.n, 0);
    heap_destroy(h);
}

static void trace_may_be_switched_on_twice_and_off_twice(void **state)
{
    (void)state;
    struct heap *h = open_heap(HEAP_DEFAULT, false);

    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(heap_trace_on(h, listen), ERR_OK);
        assert_int_equal(heap_trace_on(h, listen), ERR_OK);
        assert_non_null(heap_alloc(h, 10));
        assert_int_equal(heard.n, i);
        heap_trace_off(h);
        heap_trace_off(h);
        assert_non_null(heap_alloc(h, 10));
        assert_int_equal(heard.n, i);
    }
    assert_int_equal(heap_check(h), ERR_OK);
    heap_destroy(h);
}

static void who_listens_knows_what_is_alive_on_every_kind_of_heap(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 2 * HEAP_POLICIES; kind++) {
        struct heap      *h = open_heap((enum heap_policy)(kind / 2), kind % 2 != 0);
        struct heap_model m;

        memset(&heard, 0, sizeof heard);
        assert_int_equal(heap_trace_on(h, listen), ERR_OK);
        heap_model_open(&m, h, 100, 3000, kind + 1);
        for (unsigned i = 0; i < 2000; i++) {
            uint64_t bytes = 0;

            heap_model_step(&m);
            if (i % 5 == 0)
                heap_model_wrong_free(&m);
            if (i % 50 != 0)
                continue;
            for (size_t k = 0; k < heard.n_live; k++)
                bytes += heard.live[k].size;
            assert_false(heard.wrong);
            assert_true(bytes >= m.live_bytes && bytes <= m.live_bytes + heard.n_live); /* a size of 0 is told as 1 */
        }
        heap_model_close(&m);
        assert_int_equal(heard.n_live, 0);
        heap_trace_off(h);
        assert_int_equal(heap_check(h), ERR_OK);
        heap_destroy(h);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_kind_of_call_is_told),
        TEST(a_call_that_fails_is_not_told),
        TEST(trace_may_be_switched_on_twice_and_off_twice),
        TEST(who_listens_knows_what_is_alive_on_every_kind_of_heap),
    };

    return cmocka_run_group_tests_name("heap_trace", tests, NULL, NULL);
}
