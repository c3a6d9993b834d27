/* SPDX-License-Identifier: MIT */
/* test/host/test_heap.c - mm/heap.c by examples, against a model, starved, and misused */
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

static int setup(void **state)
{
    (void)state;
    host_log_quiet(true);
    heap_world_open(&world, 1 << 16);
    assert_int_equal(heap_create(&world.map, NULL, &heap), ERR_OK);
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

static uint64_t pages(void)
{
    struct heap_stats s;

    heap_stats(heap, &s);
    return s.pages;
}

/* ---- examples ---------------------------------------------------------------------------------- */

static void lowest_free_slot_is_taken_first(void **state)
{
    (void)state;
    char *p[8];

    for (size_t i = 0; i < 8; i++)
        assert_non_null(p[i] = heap_alloc(heap, 48));
    for (size_t i = 1; i < 8; i++)
        assert_ptr_equal(p[i], p[i - 1] + 48);
    assert_int_equal(heap_free(heap, p[5]), ERR_OK);
    assert_int_equal(heap_free(heap, p[2]), ERR_OK);
    assert_ptr_equal(heap_alloc(heap, 33), p[2]);
    assert_ptr_equal(heap_alloc(heap, 48), p[5]);
}

static void waste_is_less_than_an_eighth_from_128_bytes_on(void **state)
{
    (void)state;
    for (size_t size = 128; size <= 200000; size += 1 + size / 97) {
        void *p = heap_alloc(heap, size);

        assert_non_null(p);
        assert_true(heap_usable(heap, p) >= size);
        assert_true((heap_usable(heap, p) - size) * 8 < size + 8);
        assert_int_equal(heap_free(heap, p), ERR_OK);
    }
}

static void freed_neighbours_merge(void **state)
{
    (void)state;
    char             *a = heap_alloc(heap, 20480), *b = heap_alloc(heap, 20480), *c = heap_alloc(heap, 20480);
    struct heap_stats s;

    assert_ptr_equal(b, a + 20480);
    assert_ptr_equal(c, b + 20480);
    assert_int_equal(heap_free(heap, a), ERR_OK);
    assert_int_equal(heap_free(heap, c), ERR_OK);
    assert_int_equal(heap_free(heap, b), ERR_OK);
    heap_stats(heap, &s);
    assert_int_equal(s.extent_free, 1);
    assert_ptr_equal(heap_alloc(heap, 60000), a);
}

static void size_zero_gives_a_block_of_its_own(void **state)
{
    (void)state;
    void *a = heap_alloc(heap, 0), *b = heap_alloc(heap, 0);

    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_int_equal(heap_free(heap, a), ERR_OK);
    assert_int_equal(heap_free(heap, b), ERR_OK);
    assert_int_equal(heap_free(heap, NULL), ERR_OK);
}

static void absurd_sizes_are_refused_by_every_call(void **state)
{
    (void)state;
    void *p = heap_alloc(heap, 100);

    for (size_t size = SIZE_MAX; size > SIZE_MAX - 70000; size -= 997) {
        assert_null(heap_alloc(heap, size));
        assert_null(heap_zalloc(heap, size));
        assert_null(heap_alloc_aligned(heap, size, 4096));
        assert_null(heap_realloc(heap, p, size));
    }
    assert_null(heap_alloc(heap, (size_t)1 << 62));
    assert_null(heap_alloc_aligned(heap, 8, (size_t)1 << 63));
    assert_null(heap_alloc_aligned(heap, 8, 24));
    assert_null(heap_alloc_aligned(heap, 8, 0));
    assert_int_equal(heap_free(heap, p), ERR_OK);
}

static void alignment_holds_for_every_power_of_two(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 4 * MIB; align *= 2)
        for (size_t size = 1; size <= 300000; size = size * 3 + 5) {
            void *p = heap_alloc_aligned(heap, size, align);

            assert_non_null(p);
            assert_int_equal((uintptr_t)p & (align - 1), 0);
            assert_int_equal(heap_free_sized(heap, p, size), ERR_OK);
        }
}

static void realloc_keeps_contents_across_all_kinds(void **state)
{
    (void)state;
    unsigned char *p = heap_alloc(heap, 1);
    size_t         size = 1;

    p[0] = 1;
    while (size < 4 * MIB) {
        size_t next = size * 2 + 3;

        assert_non_null(p = heap_realloc(heap, p, next));
        for (size_t i = 0; i < size; i += 1 + size / 64)
            assert_int_equal(p[i], (i * 7 + 1) & 0xff);
        for (size_t i = 0; i < next; i++)
            p[i] = (unsigned char)(i * 7 + 1);
        size = next;
    }
    while (size > 10) {
        size /= 3;
        assert_non_null(p = heap_realloc(heap, p, size));
        for (size_t i = 0; i < size; i += 1 + size / 64)
            assert_int_equal(p[i], (i * 7 + 1) & 0xff);
    }
    assert_int_equal(heap_free(heap, p), ERR_OK);
}

static void large_blocks_give_their_pages_back_at_once(void **state)
{
    (void)state;
    uint64_t before = pages();
    void    *p = heap_alloc(heap, 10 * MIB);

    assert_int_equal(pages(), before + 2560);
    assert_int_equal(heap_free(heap, p), ERR_OK);
    assert_int_equal(pages(), before);
}

static void trim_gives_back_all_but_the_heap_itself(void **state)
{
    (void)state;
    static void *p[3000];

    for (size_t i = 0; i < 3000; i++)
        assert_non_null(p[i] = heap_alloc(heap, 1 + i * 37 % 3000));
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(heap_free(heap, p[i]), ERR_OK);
    (void)heap_trim(heap);
    assert_int_equal(pages(), 1);
}

static void a_limit_is_kept(void **state)
{
    (void)state;
    struct heap             *small;
    const struct heap_config config = { .name = "small", .limit_bytes = 256 * KIB };
    struct heap_stats        s;
    unsigned                 n = 0;

    assert_int_equal(heap_create(&world.map, &config, &small), ERR_OK);
    while (heap_alloc(small, 1000) != NULL)
        n++;
    heap_stats(small, &s);
    assert_int_equal(s.pages, 64);
    assert_in_range(n, 240, 256);
    assert_null(heap_alloc(small, 1 * MIB));
    assert_int_equal(heap_check(small), ERR_OK);
    heap_destroy(small);
}

static void heaps_share_a_window_and_refuse_each_others_blocks(void **state)
{
    (void)state;
    struct heap *other;
    void        *p[300], *q[300];

    assert_int_equal(heap_create(&world.map, NULL, &other), ERR_OK);
    for (size_t i = 0; i < 300; i++) {
        assert_non_null(p[i] = heap_alloc(heap, 1 + i * 131 % 5000));
        assert_non_null(q[i] = heap_alloc(other, 1 + i * 131 % 5000));
    }
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(heap_free(heap, q[i]), ERR_OUTSIDE);
        assert_int_equal(heap_free(other, p[i]), ERR_OUTSIDE);
    }
    assert_int_equal(heap_check(heap), ERR_OK);
    assert_int_equal(heap_check(other), ERR_OK);
    heap_destroy(other);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(heap_free(heap, p[i]), ERR_OK);
}

/* ---- wrong frees --------------------------------------------------------------------------------- */

static void wrong_frees_are_named_and_change_nothing(void **state)
{
    (void)state;
    static const size_t sizes[] = { 16, 48, 100, 512, 513, 5000, 100000, 300000 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char  *p = heap_alloc(heap, sizes[i]);
        void  *after = heap_alloc(heap, sizes[i]);
        size_t usable = heap_usable(heap, p);

        for (size_t offset = 1; offset < usable; offset += 1 + usable / 100)
            assert_int_equal(heap_free(heap, p + offset), ERR_INSIDE);
        assert_int_equal(heap_free_sized(heap, p, sizes[i] * 3 + 5000), ERR_ORDER);
        assert_int_equal(heap_check(heap), ERR_OK);
        assert_int_equal(heap_free(heap, p), ERR_OK);
        err_t again = heap_free(heap, p);
        assert_true(again == ERR_NOT_ALLOC || (again == ERR_OUTSIDE && sizes[i] > 128 * KIB));
        assert_null(heap_realloc(heap, p, 10));
        assert_int_equal(heap_check(heap), ERR_OK);
        assert_int_equal(heap_free(heap, after), ERR_OK);
    }
}

static void the_heaps_own_memory_cannot_be_freed(void **state)
{
    (void)state;
    assert_non_null(heap_alloc(heap, 16));
    for (char *p = (char *)heap; p < (char *)heap + PAGE_SIZE; p += 16)
        assert_true(heap_free(heap, p) != ERR_OK);
    assert_int_equal(heap_free(heap, (void *)1), ERR_OUTSIDE);
    assert_int_equal(heap_free(heap, (void *)UINTPTR_MAX), ERR_OUTSIDE);
}

static void damaged_links_in_free_memory_are_found_and_mended(void **state)
{
    (void)state;
    char *p[64];

    for (size_t i = 0; i < 64; i++)
        assert_non_null(p[i] = heap_alloc(heap, 1000 + i % 5 * 40));
    for (size_t i = 0; i < 64; i += 2)
        assert_int_equal(heap_free(heap, p[i]), ERR_OK);
    for (size_t i = 0; i < 64; i += 2)
        memset(p[i], (int)(0x41 + i), 100); /* use after free */
    for (size_t i = 0; i < 64; i += 2)
        assert_non_null(p[i] = heap_alloc(heap, 1000 + i % 5 * 40));
    assert_int_equal(heap_check(heap), ERR_OK);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(heap_free(heap, p[i]), ERR_OK);
}

static void an_overrun_into_free_memory_is_found_and_mended(void **state)
{
    (void)state;
    char *p[40];

    for (size_t i = 0; i < 40; i++)
        assert_non_null(p[i] = heap_alloc(heap, 3008));
    for (size_t i = 1; i < 40; i += 2)
        assert_int_equal(heap_free(heap, p[i]), ERR_OK);
    assert_non_null(heap_alloc(heap, 100000)); /* what rests is merged and listed before the heap grows */
    for (size_t i = 0; i < 40; i += 2)
        memset(p[i] + 3008, 0x41, 64);
    for (size_t i = 1; i < 40; i += 2)
        assert_non_null(p[i] = heap_alloc(heap, 3008));
    assert_int_equal(heap_check(heap), ERR_OK);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(heap_free(heap, p[i]), ERR_OK);
}

/* ---- model and starvation ------------------------------------------------------------------------ */

static void random_calls_agree_with_the_model(void **state)
{
    (void)state;
    static const size_t max[] = { 64, 512, 4096, 100000, 1000000 };

    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct heap_model m;

        heap_model_open(&m, heap, seed == 5 ? 60 : 700, max[seed - 1], seed);
        for (unsigned i = 0; i < 30000; i++) {
            heap_model_step(&m);
            if (i % 3 == 0)
                heap_model_wrong_free(&m);
            if (i % 1500 == 0)
                heap_model_check(&m);
            if (i % 7000 == 0)
                (void)heap_trim(heap);
        }
        assert_int_equal(m.failures, 0);
        heap_model_close(&m);
        (void)heap_trim(heap);
        assert_int_equal(pages(), 1);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 60; nth++) {
        struct heap_model m;

        heap_model_open(&m, heap, 100, 40000, nth);
        world.fail_in = nth;
        for (unsigned i = 0; i < 600; i++)
            heap_model_step(&m);
        heap_model_check(&m);
        world.fail_in = 0;
        heap_model_close(&m);
        (void)heap_trim(heap);
        assert_int_equal(heap_check(heap), ERR_OK);
        assert_int_equal(pages(), 1);
    }
}

static void a_full_arena_stays_sound(void **state)
{
    (void)state;
    struct heap_model m;

    heap_model_open(&m, heap, 400, 20000, 42);
    world.limit = world.window.n_committed + 60;
    for (unsigned i = 0; i < 20000; i++) {
        heap_model_step(&m);
        if (i % 1000 == 0)
            heap_model_check(&m);
    }
    assert_true(m.failures > 100);
    heap_model_close(&m);
    world.limit = 0;
}

/* ---- the other policies --------------------------------------------------------------------------- */

static void run_model(const struct heap_config *config, unsigned steps)
{
    struct heap *other;

    assert_int_equal(heap_create(&world.map, config, &other), ERR_OK);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct heap_model m;

        heap_model_open(&m, other, 300, seed == 1 ? 300 : 20000, seed);
        for (unsigned i = 0; i < steps; i++) {
            heap_model_step(&m);
            if (i % 7 == 0)
                heap_model_wrong_free(&m);
            if (i % 500 == 0)
                heap_model_check(&m);
        }
        assert_int_equal(m.failures, 0);
        heap_model_close(&m);
        (void)heap_trim(other);
        assert_int_equal(heap_check(other), ERR_OK);
    }
    heap_destroy(other);
}

static void plain_policies_agree_with_the_model(void **state)
{
    (void)state;
    run_model(&(const struct heap_config){ .name = "list", .policy = HEAP_LIST }, 6000);
    run_model(&(const struct heap_config){ .name = "bitmap", .policy = HEAP_BITMAP }, 6000);
}

/* ---- two CPUs ------------------------------------------------------------------------------------ */

static void remote_frees_come_home(void **state)
{
    (void)state;
    void             *p[200];
    struct heap_stats s;

    host_cpus_set(2);
    for (size_t i = 0; i < 200; i++)
        assert_non_null(p[i] = heap_alloc(heap, 64));
    host_cpu_set(1);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(heap_free(heap, p[i]), ERR_OK);
        assert_int_equal(heap_free(heap, p[i]), ERR_NOT_ALLOC);
    }
    host_cpu_set(0);
    assert_int_equal(heap_free(heap, p[7]), ERR_NOT_ALLOC);
    assert_int_equal(heap_check(heap), ERR_OK);
    for (size_t i = 0; i < 200; i++)
        assert_non_null(heap_alloc(heap, 64));
    heap_stats(heap, &s);
    assert_true(s.remote_frees >= 100);
    host_cpus_set(1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(lowest_free_slot_is_taken_first),
        TEST(waste_is_less_than_an_eighth_from_128_bytes_on),
        TEST(freed_neighbours_merge),
        TEST(size_zero_gives_a_block_of_its_own),
        TEST(absurd_sizes_are_refused_by_every_call),
        TEST(alignment_holds_for_every_power_of_two),
        TEST(realloc_keeps_contents_across_all_kinds),
        TEST(large_blocks_give_their_pages_back_at_once),
        TEST(trim_gives_back_all_but_the_heap_itself),
        TEST(a_limit_is_kept),
        TEST(heaps_share_a_window_and_refuse_each_others_blocks),
        TEST(wrong_frees_are_named_and_change_nothing),
        TEST(the_heaps_own_memory_cannot_be_freed),
        TEST(damaged_links_in_free_memory_are_found_and_mended),
        TEST(an_overrun_into_free_memory_is_found_and_mended),
        TEST(random_calls_agree_with_the_model),
        TEST(every_allocation_may_fail),
        TEST(a_full_arena_stays_sound),
        TEST(plain_policies_agree_with_the_model),
        TEST(remote_frees_come_home),
    };

    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
