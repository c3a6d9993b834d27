/* SPDX-License-Identifier: MIT */
/* test/host/test_heap_window.c - mm/heap_window.c against an array of pages, and starved */
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

#define PAGES 700

static struct heap_world  world;
static struct heap_pages *source;
static bool               taken[PAGES]; /* the twin */
static uint64_t           n_taken, n_before;
static bool               may_fail;

static int setup(void **state)
{
    (void)state;
    host_log_quiet(true);
    heap_world_open(&world, PAGES);
    source = &world.window.pages;
    n_before = world.window.n_committed;
    memset(taken, 0, sizeof taken);
    n_taken = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return heap_world_close(&world) == 0 ? 0 : -1;
}

static size_t page_of(const void *p) { return ((uintptr_t)p - source->base) >> PAGE_SHIFT; }
static void  *page_ptr(size_t page) { return (void *)(source->base + (page << PAGE_SHIFT)); }

static void put(size_t page, size_t n, bool value)
{
    for (size_t i = page; i < page + n; i++) {
        assert_true(taken[i] != value);
        taken[i] = value;
        n_taken += value ? 1 : (uint64_t)-1;
    }
}

static bool is_free(size_t page, size_t n)
{
    for (size_t i = page; i < page + n; i++)
        if (i >= PAGES || taken[i])
            return false;
    return true;
}

/* Where the lowest aligned run of n free pages is; PAGES: there is none */
static size_t lowest(size_t n, size_t align)
{
    for (size_t page = 0; page + n <= PAGES; page++)
        if (((source->base >> PAGE_SHIFT) + page) % align == 0 && is_free(page, n))
            return page;
    return PAGES;
}

static void take(size_t n, size_t align)
{
    size_t expected = lowest(n, align);
    void  *p = NULL;
    bool   zeroed;
    err_t  err = align == 1 ? source->ops->take(source, n, &p) : source->ops->run_take(source, n, align, &p, &zeroed);

    if (err != ERR_OK) {
        assert_true(expected == PAGES || may_fail);
        assert_null(p);
        return;
    }
    assert_int_equal(page_of(p), expected);
    put(expected, n, true);
    memset(p, 0x77, n * PAGE_SIZE); /* it is there */
}

static void give(size_t page, size_t n)
{
    source->ops->give(source, page_ptr(page), n);
    put(page, n, false);
}

/* What has memory is taken, or idle and few, or the window's own bitmap. */
static void settle(bool all)
{
    source->ops->settle(source, all);
    if (all)
        assert_in_range(world.window.n_committed, n_before + n_taken, n_before + n_taken + 1);
}

static void the_lowest_run_that_is_long_enough_is_taken(void **state)
{
    (void)state;
    take(10, 1);
    take(5, 1);
    take(10, 1);
    give(0, 10);
    take(11, 1); /* behind all others */
    take(4, 1);  /* into the hole     */
    assert_true(taken[0] && taken[3] && !taken[4]);
    give(0, 4);
    give(10, 26);
}

static void alignment_is_of_addresses(void **state)
{
    (void)state;
    take(1, 1);
    for (size_t align = 2; align <= 128; align *= 2)
        take(3, align);
    for (size_t page = 0; page < PAGES; page++)
        if (taken[page])
            give(page, 1);
}

static void what_was_given_loses_its_memory_when_settled(void **state)
{
    (void)state;
    take(200, 1);
    give(50, 100);
    assert_true(world.window.n_committed >= n_before + 200);
    settle(true);
    take(100, 1);
    give(0, 200);
}

static void a_few_pages_stay_for_the_next_one(void **state)
{
    (void)state;
    uint64_t commits;

    take(20, 1);
    give(0, 20);
    settle(false);
    commits = world.commits;
    take(20, 1);
    assert_int_equal(world.commits, commits);
    give(0, 20);
}

static void a_run_grows_in_place_or_not_at_all(void **state)
{
    (void)state;
    void *p = NULL;

    take(10, 1);
    take(1, 1);
    assert_int_equal(source->ops->run_resize(source, page_ptr(0), 10, 11, &p), ERR_NOSYS);
    give(10, 1);
    assert_int_equal(source->ops->run_resize(source, page_ptr(0), 10, 300, &p), ERR_OK);
    assert_ptr_equal(p, page_ptr(0));
    put(10, 290, true);
    memset(p, 1, 300 * PAGE_SIZE);
    assert_int_equal(source->ops->run_resize(source, page_ptr(0), 300, PAGES + 1, &p), ERR_NOSYS);
    assert_int_equal(source->ops->run_resize(source, page_ptr(0), 300, 2, &p), ERR_OK);
    put(2, 298, false);
    settle(true);
    give(0, 2);
}

static void a_window_ends_where_it_ends(void **state)
{
    (void)state;
    take(PAGES, 1);
    assert_int_equal(n_taken, PAGES);
    take(1, 1);
    assert_int_equal(n_taken, PAGES);
    give(333, 1);
    take(1, 1);
    assert_int_equal(n_taken, PAGES);
    give(0, PAGES);
}

static void step(uint64_t *random)
{
    size_t page = heap_model_random(random) % PAGES, n = 1, most = 1 + heap_model_random(random) % 30;

    if (!taken[page]) {
        take(most, heap_model_random(random) % 3 == 0 ? (size_t)1 << heap_model_random(random) % 6 : 1);
        return;
    }
    while (n < most && page + n < PAGES && taken[page + n])
        n++;
    give(page, n);
    if (heap_model_random(random) % 8 == 0)
        settle(heap_model_random(random) % 2 == 0);
}

static void all_given(void)
{
    for (size_t page = 0; page < PAGES; page++)
        if (taken[page])
            give(page, 1);
    settle(true);
}

static void random_calls_agree_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t random = seed;

        printf("seed %llu\n", ULL(seed));
        for (unsigned i = 0; i < 2000; i++)
            step(&random);
        all_given();
    }
}

static void every_commit_may_be_refused(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 60; nth++) {
        uint64_t random = nth;

        world.fail_in = nth;
        may_fail = true;
        for (unsigned i = 0; i < 150; i++)
            step(&random);
        world.fail_in = 0;
        may_fail = false;
        all_given();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_lowest_run_that_is_long_enough_is_taken),
        TEST(alignment_is_of_addresses),
        TEST(what_was_given_loses_its_memory_when_settled),
        TEST(a_few_pages_stay_for_the_next_one),
        TEST(a_run_grows_in_place_or_not_at_all),
        TEST(a_window_ends_where_it_ends),
        TEST(random_calls_agree_with_the_model),
        TEST(every_commit_may_be_refused),
    };

    return cmocka_run_group_tests_name("heap_window", tests, NULL, NULL);
}
