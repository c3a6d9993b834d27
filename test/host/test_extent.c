/* SPDX-License-Identifier: MIT */
/* test/host/test_extent.c - mm/extent.c by examples, against an array of grains, and starved */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mm/extent.h"
#include "mm/extent_fast.h"
#include "test/host/heap_world.h"
#include "test/host/model_heap.h"
#include "test/host/port_host.h"

static struct heap_world world;
static struct heap      *h;

static int setup(void **state)
{
    (void)state;
    host_log_quiet(true);
    heap_world_open(&world, 1 << 14);
    assert_int_equal(heap_create(&world.map, NULL, &h), ERR_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(heap_check(h), ERR_OK);
    heap_destroy(h);
    assert_int_equal(heap_world_close(&world), 0);
    return 0;
}

/* The functions under test want the heap's lock. */
static uint32_t take(struct heap *from, uint32_t n, uint32_t align)
{
    uint64_t flags = heap_lock(from);
    uint32_t g = align == 1 ? extent_take(from, n) : extent_alloc(from, n, align);

    heap_unlock(from, flags);
    return g;
}

static void give(struct heap *to, uint32_t g)
{
    uint64_t flags = heap_lock(to);
    bool     done = extent_free(to, g);

    heap_unlock(to, flags);
    assert_true(done);
}

static bool resize(uint32_t g, uint32_t n)
{
    uint64_t flags = heap_lock(h);
    bool     done = extent_resize(h, g, n);

    heap_unlock(h, flags);
    return done;
}

static void settle(void)
{
    uint64_t flags = heap_lock(h);

    (void)extent_settle(h);
    heap_unlock(h, flags);
}

static uint64_t trim(void)
{
    uint64_t flags = heap_lock(h);
    uint64_t n = extent_trim(h);

    heap_unlock(h, flags);
    return n;
}

/* ---- examples ---------------------------------------------------------------------------------- */

static void extents_are_cut_side_by_side(void **state)
{
    (void)state;
    uint32_t a = take(h, 20, 1), b = take(h, 30, 1), c = take(h, 7, 1);

    assert_true(a != 0);
    assert_int_equal(b, a + 20);
    assert_int_equal(c, b + 30);
    assert_int_equal(extent_end(h, b), c);
    assert_int_equal(extent_around(h, b + 29), b);
    assert_false(extent_is_free(h, b));
}

static void free_neighbours_are_one_extent_whatever_the_order(void **state)
{
    (void)state;
    static const unsigned orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    for (unsigned i = 0; i < 6; i++) {
        uint32_t g[4] = { take(h, 40, 1), take(h, 50, 1), take(h, 60, 1), take(h, 40, 1) };

        for (unsigned k = 0; k < 3; k++)
            give(h, g[orders[i][k]]);
        settle();
        assert_true(extent_is_free(h, g[0]));
        assert_int_equal(extent_end(h, g[0]), g[3]);
        give(h, g[3]);
        settle();
    }
}

static void what_was_just_freed_comes_back_for_the_same_size(void **state)
{
    (void)state;
    uint32_t a = take(h, 33, 1), b = take(h, 33, 1);

    give(h, a);
    assert_true(extent_is_free(h, a));
    assert_int_equal(heap_check(h), ERR_OK);
    assert_int_equal(take(h, 33, 1), a);
    give(h, b);
    give(h, a);
}

static void the_smallest_hole_that_fits_is_taken(void **state)
{
    (void)state;
    uint32_t large = take(h, 80, 1), wall = take(h, 3, 1), small = take(h, 40, 1), end = take(h, 3, 1);

    give(h, large);
    give(h, small);
    settle();
    assert_int_equal(take(h, 36, 1), small);
    assert_int_equal(take(h, 60, 1), large);
    assert_true(wall != 0 && end != 0);
}

static void alignment_leaves_what_is_before_it_free(void **state)
{
    (void)state;
    uint32_t before = take(h, 5, 1);

    for (uint32_t align = 1; align <= 4096; align *= 2) {
        uint32_t g = take(h, 9, align);

        assert_true(g != 0);
        assert_int_equal(g & (align - 1), 0);
        assert_int_equal(heap_check(h), ERR_OK);
        give(h, g);
    }
    give(h, before);
}

static void an_extent_grows_into_what_is_free_behind_it_and_no_further(void **state)
{
    (void)state;
    uint32_t a = take(h, 20, 1), b = take(h, 20, 1), c = take(h, 20, 1);

    assert_false(resize(a, 21)); /* b is in the way */
    give(h, b);
    settle();
    assert_true(resize(a, 35));
    assert_int_equal(extent_end(h, a), a + 35);
    assert_false(resize(a, 41)); /* c is */
    assert_true(resize(a, 40));
    assert_true(resize(a, 10));
    assert_int_equal(take(h, 30, 1), a + 10); /* the tail is free again */
    assert_int_equal(extent_end(h, c), c + 20);
}

static void extents_of_two_heaps_never_merge(void **state)
{
    (void)state;
    struct heap *other;
    uint32_t     mine[40], theirs[40];

    assert_int_equal(heap_create(&world.map, NULL, &other), ERR_OK);
    for (unsigned i = 0; i < 40; i++) {
        mine[i] = take(h, 100, 1);
        theirs[i] = take(other, 100, 1);
    }
    for (unsigned i = 0; i < 40; i++) {
        give(h, mine[i]);
        settle();
        assert_int_equal(heap_check(h), ERR_OK);
        assert_int_equal(heap_check(other), ERR_OK);
        assert_int_equal(extent_end(other, theirs[i]), theirs[i] + 100);
    }
    heap_destroy(other);
}

static void trim_gives_back_every_page_without_a_block(void **state)
{
    (void)state;
    uint32_t g[50], kept = 0;
    uint64_t before = h->pages;

    for (unsigned i = 0; i < 50; i++) {
        g[i] = take(h, 100 + i, 1);
        if (i == 25)
            kept = take(h, 1, 1);
    }
    for (unsigned i = 0; i < 50; i++)
        give(h, g[i]);
    assert_true(trim() > 0);
    assert_int_equal(h->pages, before + 1);
    give(h, kept);
    (void)trim();
    assert_int_equal(h->pages, before);
}

/* ---- the model: who has each grain ---------------------------------------------------------------- */

#define EXTENTS 150

struct twin {
    uint32_t g, n; /* g 0: none */
    unsigned char mark;
};

static struct twin twins[EXTENTS];

static void mark(const struct twin *t) { memset(grain_ptr(h->map, t->g), t->mark, (size_t)t->n * GRAIN_BYTES); }

static void verify(const struct twin *t, uint32_t n)
{
    const unsigned char *p = grain_ptr(h->map, t->g);

    for (size_t i = 0; i < (size_t)n * GRAIN_BYTES; i++)
        if (p[i] != t->mark)
            fail_msg("grain %zu of the extent at %u was written to", i / GRAIN_BYTES, t->g);
    assert_int_equal(extent_end(h, t->g), t->g + t->n);
    assert_int_equal(extent_around(h, t->g + t->n - 1), t->g);
    assert_false(extent_is_free(h, t->g));
}

static void born(struct twin *t, uint64_t *random)
{
    uint32_t n = 1 + (uint32_t)(heap_model_random(random) % (heap_model_random(random) % 4 == 0 ? 900 : 60));
    uint32_t align = (uint32_t)1 << (heap_model_random(random) % 6 == 0 ? heap_model_random(random) % 9 : 0);
    uint32_t g = take(h, n, align);

    if (g == 0)
        return;
    assert_int_equal(g & (align - 1), 0);
    for (unsigned i = 0; i < EXTENTS; i++) /* disjoint from all others */
        assert_true(twins[i].g == 0 || g + n <= twins[i].g || twins[i].g + twins[i].n <= g);
    *t = (struct twin){ .g = g, .n = n, .mark = (unsigned char)heap_model_random(random) };
    mark(t);
}

static void changed(struct twin *t, uint64_t *random)
{
    uint32_t n = 1 + (uint32_t)(heap_model_random(random) % (2 * t->n));
    uint32_t kept = n < t->n ? n : t->n;

    if (!resize(t->g, n)) {
        assert_true(n > t->n); /* shrinking never fails */
        verify(t, t->n);
        return;
    }
    t->n = n;
    verify(t, kept);
    mark(t);
}

static void gone(struct twin *t)
{
    verify(t, t->n);
    give(h, t->g);
    t->g = 0;
}

static void step(uint64_t *random)
{
    struct twin *t = &twins[heap_model_random(random) % EXTENTS];

    if (t->g == 0)
        born(t, random);
    else if (heap_model_random(random) % 3 == 0)
        changed(t, random);
    else
        gone(t);
}

static void all_gone(void)
{
    for (unsigned i = 0; i < EXTENTS; i++)
        if (twins[i].g != 0)
            gone(&twins[i]);
}

static void random_calls_agree_with_the_model(void **state)
{
    (void)state;
    uint64_t before = h->pages;

    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t random = seed;

        printf("seed %llu\n", ULL(seed));
        for (unsigned i = 0; i < 4000; i++) {
            step(&random);
            assert_int_equal(heap_check(h), ERR_OK);
            if (i % 700 == 699)
                (void)trim();
        }
        all_gone();
        (void)trim();
        assert_int_equal(h->pages, before);
    }
}

static void every_page_may_be_refused(void **state)
{
    (void)state;
    uint64_t before = h->pages;

    for (uint64_t nth = 1; nth <= 40; nth++) {
        uint64_t random = nth;

        world.fail_in = nth;
        for (unsigned i = 0; i < 300; i++)
            step(&random);
        world.fail_in = 0;
        assert_int_equal(heap_check(h), ERR_OK);
        all_gone();
        (void)trim();
        (void)heap_trim(h);
        assert_int_equal(h->pages, before);
    }
}

static void a_full_heap_serves_again_what_it_took_back(void **state)
{
    (void)state;
    static uint32_t g[2000];
    unsigned        n = 0;

    world.limit = world.window.n_committed + 20;
    while (n < ARRAY_LEN(g) && (g[n] = take(h, 50, 1)) != 0)
        n++;
    assert_true(n > 20 && n < ARRAY_LEN(g));
    assert_int_equal(heap_check(h), ERR_OK);
    give(h, g[n / 2]);
    assert_int_equal(take(h, 50, 1), g[n / 2]);
    assert_int_equal(take(h, 50, 1), 0);
    give(h, g[0]);
    give(h, g[1]);
    assert_int_equal(take(h, 100, 1), g[0]); /* merged, since nothing else is left */
    world.limit = 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(extents_are_cut_side_by_side),
        TEST(free_neighbours_are_one_extent_whatever_the_order),
        TEST(what_was_just_freed_comes_back_for_the_same_size),
        TEST(the_smallest_hole_that_fits_is_taken),
        TEST(alignment_leaves_what_is_before_it_free),
        TEST(an_extent_grows_into_what_is_free_behind_it_and_no_further),
        TEST(extents_of_two_heaps_never_merge),
        TEST(trim_gives_back_every_page_without_a_block),
        TEST(random_calls_agree_with_the_model),
        TEST(every_page_may_be_refused),
        TEST(a_full_heap_serves_again_what_it_took_back),
    };

    return cmocka_run_group_tests_name("extent", tests, NULL, NULL);
}
