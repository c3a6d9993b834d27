/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_frame_quality.c - what the benchmark's workloads must leave behind, whatever the clock says
 *
 * The same workloads and the same random numbers as in test/bench/bench_frames.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/bench/frame_work.h"
#include "test/host/frame_world.h"
#include "test/host/port_host.h"

#define FIRST (4 * GIB >> PAGE_SHIFT)

static double figures[METRICS_COUNT];

static void sample(enum metric m, double value) { figures[m] = value; }
static void open_world(uint64_t n) { world_open(&(struct mem_range)FREE_RAM(FIRST, n), 1); }

static const struct frame_ops octavo = { "octavo", frame_alloc, frame_free_order, open_world, world_close, frame_stats };

static struct work open_work(void)
{
    struct work w;

    work_open(&w, GIB >> PAGE_SHIFT, sample);
    open_world(w.n);
    return w;
}

static void close_work(struct work *w)
{
    world_close();
    work_close(w);
}

static void churn_leaves_every_block_whole_that_can_be(void **state)
{
    struct work w = open_work();

    (void)state;
    work_churn(&w, &octavo, M_CHURN50, 50);
    work_churn(&w, &octavo, M_CHURN25, 25);
    work_churn(&w, &octavo, M_CHURN10, 10);
    assert_int_equal((int)figures[M_CHURN50], 256);
    assert_int_equal((int)figures[M_CHURN25], 384);
    assert_int_equal((int)figures[M_CHURN10], 460);
    close_work(&w);
}

static void mixed_orders_are_always_found(void **state)
{
    struct work w = open_work();

    (void)state;
    work_mixed(&w, &octavo, M_MIX60, 60, false);
    work_mixed(&w, &octavo, M_MIX85, 85, false);
    assert_int_equal((int)figures[M_MIX60_FAILED], 0);
    assert_true(figures[M_MIX85_FAILED] < 100);
    close_work(&w);
}

static void a_kernels_requests_are_served_in_the_memory_it_needs(void **state)
{
    struct work w;
    struct ptrc t;

    (void)state;
    ptrc_read(&t, "test/data/traces/page_mix.ptr.xz");
    work_open(&w, GIB >> PAGE_SHIFT, sample);
    open_world(work_trace_memory(&t, true));
    work_trace(&w, &octavo, &t, M_TRACE_TIGHT);
    assert_int_equal((int)figures[M_TRACE_TIGHT_FAILED], 0);
    assert_true(figures[M_TRACE_LEFT] >= 101);
    close_work(&w);
    ptrc_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(churn_leaves_every_block_whole_that_can_be),
        cmocka_unit_test(mixed_orders_are_always_found),
        cmocka_unit_test(a_kernels_requests_are_served_in_the_memory_it_needs),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
