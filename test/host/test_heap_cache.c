/* SPDX-License-Identifier: MIT */
/* test/host/test_heap_cache.c - mm/heap_cache.c: objects that stay constructed */
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

static struct heap_world world;
static struct heap      *heap;
static int               constructed;

static int setup(void **state)
{
    (void)state;
    host_log_quiet(true);
    heap_world_open(&world, 1 << 14);
    assert_int_equal(heap_create(&world.map, NULL, &heap), ERR_OK);
    constructed = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(heap_check(heap), ERR_OK);
    heap_destroy(heap);
    assert_int_equal(heap_world_close(&world), 0);
    return 0;
}

static void object_make(void *p)
{
    constructed++;
    memset(p, 0x11, 40);
}

static void object_unmake(void *p)
{
    constructed--;
    assert_int_equal(*(unsigned char *)p, 0x11);
}

static struct heap_cache *cache_new(const char *name, size_t size, size_t align)
{
    struct heap_cache *c;

    assert_int_equal(heap_cache_create(heap, name, size, align, object_make, object_unmake, &c), ERR_OK);
    return c;
}

static void objects_stay_constructed(void **state)
{
    (void)state;
    struct heap_cache *c = cache_new("object", 40, 8);
    unsigned char     *p[100];

    for (size_t i = 0; i < 100; i++) {
        assert_non_null(p[i] = heap_cache_alloc(c));
        assert_int_equal(p[i][39], 0x11);
    }
    assert_true(constructed >= 100);
    assert_int_equal(heap_cache_destroy(c), ERR_BUSY);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(heap_cache_free(c, p[i]), ERR_OK);
    assert_int_equal(heap_cache_destroy(c), ERR_OK);
    assert_int_equal(constructed, 0);
}

static void an_object_comes_back_as_it_was_left(void **state)
{
    (void)state;
    struct heap_cache *c = cache_new("object", 40, 8);
    unsigned char     *p = heap_cache_alloc(c);

    p[20] = 7;
    assert_int_equal(heap_cache_free(c, p), ERR_OK);
    assert_ptr_equal(heap_cache_alloc(c), p);
    assert_int_equal(p[20], 7);
}

static void alignment_holds_up_to_a_kib(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 1024; align *= 2)
        for (size_t size = 40; size <= 4096; size = size * 3 + 1) {
            struct heap_cache *c = cache_new("aligned", size, align);
            void              *p[70];

            for (size_t i = 0; i < 70; i++) {
                assert_non_null(p[i] = heap_cache_alloc(c));
                assert_int_equal((uintptr_t)p[i] & (align - 1), 0);
            }
            for (size_t i = 0; i < 70; i++)
                assert_int_equal(heap_cache_free(c, p[i]), ERR_OK);
            assert_int_equal(heap_cache_destroy(c), ERR_OK);
        }
}

static void sizes_and_alignments_out_of_range_are_refused(void **state)
{
    (void)state;
    struct heap_cache *c = NULL;

    assert_int_equal(heap_cache_create(heap, "x", 0, 8, NULL, NULL, &c), ERR_INVAL);
    assert_int_equal(heap_cache_create(heap, "x", 4097, 8, NULL, NULL, &c), ERR_INVAL);
    assert_int_equal(heap_cache_create(heap, "x", 64, 0, NULL, NULL, &c), ERR_INVAL);
    assert_int_equal(heap_cache_create(heap, "x", 64, 24, NULL, NULL, &c), ERR_INVAL);
    assert_int_equal(heap_cache_create(heap, "x", 64, 2048, NULL, NULL, &c), ERR_INVAL);
    assert_null(c);
}

static void what_is_no_object_of_the_cache_is_refused(void **state)
{
    (void)state;
    struct heap_cache *c = cache_new("mine", 64, 16), *other = cache_new("other", 64, 16);
    char              *p = heap_cache_alloc(c), *q = heap_cache_alloc(other), *block = heap_alloc(heap, 64), *large = heap_alloc(heap, 9000);

    assert_int_equal(heap_cache_free(c, q), ERR_OUTSIDE);
    assert_int_equal(heap_cache_free(c, block), ERR_OUTSIDE);
    assert_int_equal(heap_cache_free(c, large), ERR_OUTSIDE);
    assert_int_equal(heap_cache_free(c, &c), ERR_OUTSIDE);
    assert_true(heap_cache_free(c, p + 8) != ERR_OK);
    assert_int_equal(heap_cache_free(c, NULL), ERR_OK);
    assert_int_equal(heap_cache_free(c, p), ERR_OK);
    assert_int_equal(heap_cache_free(c, p), ERR_NOT_ALLOC);
    assert_int_equal(heap_cache_free(other, q), ERR_OK);
    assert_int_equal(heap_free(heap, block), ERR_OK);
    assert_int_equal(heap_free(heap, large), ERR_OK);
}

static void one_cache_too_many_is_refused_until_another_goes(void **state)
{
    (void)state;
    struct heap_cache *c[HEAP_CLASSES], *extra;
    size_t             n = 0;

    while (n < HEAP_CLASSES && heap_cache_create(heap, "many", 64, 16, NULL, NULL, &c[n]) == ERR_OK)
        n++;
    assert_true(n >= 8 && n < HEAP_CLASSES);
    assert_int_equal(heap_cache_create(heap, "many", 64, 16, NULL, NULL, &extra), ERR_BUSY);
    assert_int_equal(heap_cache_destroy(c[3]), ERR_OK);
    assert_int_equal(heap_cache_create(heap, "many", 64, 16, NULL, NULL, &c[3]), ERR_OK);
}

static void statistics_call_a_cache_by_its_name(void **state)
{
    (void)state;
    static struct heap_class_stats classes[HEAP_CLASSES];
    bool                           found = false;

    assert_non_null(heap_cache_alloc(cache_new("named", 100, 4)));
    for (size_t i = 0, n = heap_class_stats(heap, classes); i < n; i++)
        if (classes[i].cache != NULL) {
            found = true;
            assert_string_equal(classes[i].cache, "named");
            assert_int_equal(classes[i].size, 112);
            assert_int_equal(classes[i].used, 1);
        }
    assert_true(found);
}

static void random_calls_and_refused_pages_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct heap_cache *c = cache_new("model", 200, 32);
        unsigned char     *p[300] = { NULL };
        uint64_t           random = seed;

        world.fail_in = seed; /* 0: none is refused */
        for (unsigned i = 0; i < 3000; i++) {
            size_t k = heap_model_random(&random) % 300;

            if (p[k] != NULL) {
                assert_int_equal(p[k][199], (unsigned char)k);
                assert_int_equal(p[k][0], 0x11);
                assert_int_equal(heap_cache_free(c, p[k]), ERR_OK);
                p[k] = NULL;
            } else if ((p[k] = heap_cache_alloc(c)) != NULL) {
                assert_int_equal(p[k][0], 0x11);
                p[k][199] = (unsigned char)k;
            }
        }
        world.fail_in = 0;
        assert_int_equal(heap_check(heap), ERR_OK);
        for (size_t k = 0; k < 300; k++)
            assert_int_equal(heap_cache_free(c, p[k]), ERR_OK);
        assert_int_equal(heap_cache_destroy(c), ERR_OK);
        assert_int_equal(constructed, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(objects_stay_constructed),
        TEST(an_object_comes_back_as_it_was_left),
        TEST(alignment_holds_up_to_a_kib),
        TEST(sizes_and_alignments_out_of_range_are_refused),
        TEST(what_is_no_object_of_the_cache_is_refused),
        TEST(one_cache_too_many_is_refused_until_another_goes),
        TEST(statistics_call_a_cache_by_its_name),
        TEST(random_calls_and_refused_pages_lose_nothing),
    };

    return cmocka_run_group_tests_name("heap_cache", tests, NULL, NULL);
}
