/* SPDX-License-Identifier: MIT */
/* test/host/test_heap_debug.c - mm/heap_debug.c: what debug mode finds, over each policy (docs/heap-safety.md) */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/host/heap_world.h"
#include "test/host/model_heap.h"
#include "test/host/port_host.h"

#define QUARANTINE       320 /* frees                                  */
#define QUARANTINE_BYTES (4 * MIB)
#define SAMPLE           64  /* every so many blocks one is guarded    */

static struct heap_world world;
static struct heap      *h;

static void guard(struct heap_pages *source, void *page, bool fault)
{
    (void)source;
    assert_int_equal(mprotect(page, PAGE_SIZE, fault ? PROT_NONE : PROT_READ | PROT_WRITE), 0);
}

static int setup(void **state)
{
    static struct heap_pages_ops guarding;

    (void)state;
    host_log_quiet(true);
    heap_world_open(&world, 1 << 14);
    guarding = *world.window.pages.ops;
    guarding.guard = guard;
    world.window.pages.ops = &guarding;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return heap_world_close(&world) == 0 ? 0 : -1;
}

static void open_heap(enum heap_policy policy)
{
    assert_int_equal(heap_create(&world.map, &(struct heap_config){ .name = "debug", .policy = policy, .debug = true }, &h), ERR_OK);
}

#define EACH_POLICY(p) for (enum heap_policy p = 0; p < HEAP_POLICIES; p++)

/* ---- overruns, underruns, writes after free --------------------------------------------------------- */

/* n bytes are written from `offset` of a block on, after it was freed or not: does a check find it? */
static bool found_by_check(enum heap_policy policy, size_t size, long long offset, size_t n, bool freed_first)
{
    unsigned char *p;
    bool           found;

    open_heap(policy);
    assert_non_null(heap_alloc(h, 200));
    assert_non_null(p = heap_alloc(h, size));
    if (freed_first)
        assert_int_equal(heap_free(h, p), ERR_OK);
    memset(p + offset, 0x77, n);
    found = heap_check(h) == ERR_CORRUPT;
    heap_destroy(h);
    return found;
}

static void writes_outside_are_found(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, 15, 16, 17, 100, 512, 5000 };

    EACH_POLICY(policy)
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            long long size = (long long)sizes[i];

            assert_true(found_by_check(policy, sizes[i], size, 1, false));
            assert_true(found_by_check(policy, sizes[i], size, 8, false));
            assert_true(found_by_check(policy, sizes[i], size + 31, 1, false));
            assert_true(found_by_check(policy, sizes[i], -1, 1, false));
            assert_true(found_by_check(policy, sizes[i], -8, 8, false));
            assert_true(found_by_check(policy, sizes[i], -32, 1, false));
            assert_true(found_by_check(policy, sizes[i], size / 2, 1, true));
            assert_false(found_by_check(policy, sizes[i], 0, sizes[i], false)); /* inside: fine */
        }
}

static void an_overrun_of_64_bytes_is_found(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, 16, 100, 500, 2000, 4000 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        assert_true(found_by_check(HEAP_DEFAULT, sizes[i], (long long)sizes[i], 64, false));
}

static void a_free_finds_what_was_written_outside(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        char *p;

        open_heap(policy);
        assert_non_null(p = heap_alloc(h, 100));
        p[100] = 1;
        assert_int_equal(heap_free(h, p), ERR_OK);
        assert_int_equal(heap_check(h), ERR_CORRUPT); /* a finding is not forgotten */
        heap_destroy(h);
    }
}

/* ---- quarantine ------------------------------------------------------------------------------------- */

static void pass_by(unsigned n, size_t size)
{
    for (unsigned i = 0; i < n; i++) {
        void *p = heap_alloc(h, size);

        assert_non_null(p);
        assert_int_equal(heap_free(h, p), ERR_OK);
    }
}

static void a_second_free_is_known_as_one_while_the_block_is_in_quarantine(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        void *p;

        open_heap(policy);
        assert_non_null(p = heap_alloc(h, 100));
        assert_int_equal(heap_free(h, p), ERR_OK);
        pass_by(QUARANTINE - 1, 100);
        assert_int_equal(heap_free(h, p), ERR_NOT_ALLOC);
        assert_null(heap_realloc(h, p, 10));
        pass_by(1, 100);
        assert_int_equal(heap_free(h, p), ERR_OUTSIDE); /* given out to nobody since, so still refused */
        assert_int_equal(heap_check(h), ERR_OK);
        heap_destroy(h);
    }
}

static void quarantine_holds_no_more_than_4_mib(void **state)
{
    (void)state;
    void *p;

    open_heap(HEAP_DEFAULT);
    assert_non_null(p = heap_alloc(h, 1 * MIB));
    assert_int_equal(heap_free(h, p), ERR_OK);
    pass_by(3, 1 * MIB);
    assert_int_equal(heap_free(h, p), ERR_NOT_ALLOC);
    pass_by(1, 1 * MIB);
    assert_int_equal(heap_free(h, p), ERR_OUTSIDE);
    heap_destroy(h);
}

static void a_write_after_free_is_found_when_the_block_leaves_quarantine(void **state)
{
    (void)state;
    char *p;

    open_heap(HEAP_DEFAULT);
    assert_non_null(p = heap_alloc(h, 100));
    assert_int_equal(heap_free(h, p), ERR_OK);
    p[50] = 1;
    pass_by(QUARANTINE, 100);
    assert_int_equal(heap_check(h), ERR_CORRUPT); /* though no block in quarantine is spoiled any more */
    heap_destroy(h);
}

/* ---- guard pages ------------------------------------------------------------------------------------ */

static bool faults(char *at)
{
    int   status = 0;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* not the sanitizer's */
        *(volatile char *)at = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void every_64th_block_faults_at_the_first_byte_behind_it(void **state)
{
    (void)state;
    static const size_t sizes[] = { 16, 112, 1008, PAGE_SIZE };

    EACH_POLICY(policy) {
        open_heap(policy);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            char *p = NULL;

            for (unsigned k = 0; k < SAMPLE; k++)
                assert_non_null(p = heap_alloc(h, sizes[i]));
            assert_false(faults(p + sizes[i] - 1));
            assert_true(faults(p + sizes[i]));
            assert_int_equal(heap_free(h, p), ERR_OK);
        }
        (void)heap_trim(h);
        assert_int_equal(heap_check(h), ERR_OK);
        heap_destroy(h);
    }
}

/* ---- wrong calls, sizes, callers --------------------------------------------------------------------- */

static void wrong_calls_are_refused(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        char *p, local[64];

        open_heap(policy);
        assert_non_null(p = heap_alloc(h, 100));
        for (size_t offset = 1; offset < 132; offset++)
            assert_int_equal(heap_free(h, p + offset), ERR_OUTSIDE);
        assert_int_equal(heap_free(h, p - 32), ERR_OUTSIDE); /* the block around it */
        assert_int_equal(heap_free(h, local), ERR_OUTSIDE);
        assert_int_equal(heap_free(h, h), ERR_OUTSIDE);
        assert_null(heap_realloc(h, local, 10));
        assert_int_equal(heap_free_sized(h, p, 99), ERR_ORDER);
        assert_int_equal(heap_free_sized(h, p, 101), ERR_ORDER);
        assert_int_equal(heap_free_sized(h, p, 100), ERR_OK);
        assert_int_equal(heap_check(h), ERR_OK);
        heap_destroy(h);
    }
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        void *p;

        open_heap(policy);
        assert_non_null(p = heap_alloc(h, 100));
        for (size_t size = SIZE_MAX; size > SIZE_MAX - 9000; size -= 97) {
            assert_null(heap_alloc(h, size));
            assert_null(heap_zalloc(h, size));
            assert_null(heap_alloc_aligned(h, size, 4096));
            assert_null(heap_realloc(h, p, size));
        }
        assert_null(heap_alloc_aligned(h, 8, (size_t)1 << 63));
        assert_null(heap_alloc_aligned(h, 8, 24));
        assert_int_equal(heap_free(h, p), ERR_OK);
        heap_destroy(h);
    }
}

static void blocks_know_their_size_and_who_asked(void **state)
{
    (void)state;
    struct heap_leak leaks[8];
    void            *p[10];

    open_heap(HEAP_DEFAULT);
    for (size_t i = 0; i < 10; i++)
        assert_non_null(p[i] = heap_alloc(h, 100));
    assert_int_equal(heap_usable(h, p[0]), 100);
    assert_int_equal(heap_free(h, p[0]), ERR_OK);
    assert_int_equal(heap_leaks(h, leaks, 8), 1);
    assert_int_equal(leaks[0].blocks, 9);
    assert_int_equal(leaks[0].bytes, 900);
    heap_destroy(h);
}

static void trim_gives_back_the_table_that_grew(void **state)
{
    (void)state;
    static void *p[5000];
    uint64_t     before;

    open_heap(HEAP_DEFAULT);
    assert_non_null(p[0] = heap_alloc(h, 100));
    (void)heap_trim(h);
    before = world.window.n_committed;
    for (size_t i = 1; i < ARRAY_LEN(p); i++)
        assert_non_null(p[i] = heap_alloc(h, 100));
    for (size_t i = 1; i < ARRAY_LEN(p); i++)
        assert_int_equal(heap_free(h, p[i]), ERR_OK);
    (void)heap_trim(h);
    assert_true(world.window.n_committed <= before + 2);
    assert_int_equal(heap_usable(h, p[0]), 100);
    assert_int_equal(heap_check(h), ERR_OK);
    heap_destroy(h);
}

/* ---- model and starvation ------------------------------------------------------------------------------ */

static void random_calls_agree_with_the_model(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        struct heap_model m;

        open_heap(policy);
        heap_model_open(&m, h, 300, policy == HEAP_DEFAULT ? 20000 : 300, policy + 1);
        for (unsigned i = 0; i < 5000; i++) {
            heap_model_step(&m);
            if (i % 7 == 0)
                heap_model_wrong_free(&m);
            if (i % 500 == 0)
                heap_model_check(&m);
        }
        assert_int_equal(m.failures, 0);
        heap_model_close(&m);
        (void)heap_trim(h);
        assert_int_equal(heap_check(h), ERR_OK);
        heap_destroy(h);
    }
}

static void every_page_may_be_refused(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 30; nth++) {
        struct heap_model m;

        world.fail_in = 0;
        open_heap(HEAP_DEFAULT);
        heap_model_open(&m, h, 100, 40000, nth);
        world.fail_in = nth;
        for (unsigned i = 0; i < 500; i++)
            heap_model_step(&m);
        world.fail_in = 0;
        heap_model_check(&m);
        heap_model_close(&m);
        assert_int_equal(heap_check(h), ERR_OK);
        heap_destroy(h);
    }
}

/* ---- objects of caches ------------------------------------------------------------------------------ */

static int made;

static void object_make(void *p)
{
    memset(p, 'o', 40);
    made++;
}

static void object_unmake(void *p)
{
    assert_int_equal(*(char *)p, 'o');
    made--;
}

static struct heap_cache *open_cache(enum heap_policy policy)
{
    struct heap_cache *c;

    open_heap(policy);
    assert_int_equal(heap_cache_create(h, "debugged", 40, 64, object_make, object_unmake, &c), ERR_OK);
    return c;
}

static void objects_are_constructed_while_they_are_in_use(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        struct heap_cache *c = open_cache(policy);
        char              *p = heap_cache_alloc(c), *q = heap_cache_alloc(c);

        assert_true(p != NULL && q != NULL);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_int_equal(p[39], 'o');
        assert_int_equal(made, 2);
        assert_int_equal(heap_cache_free(c, p), ERR_OK);
        assert_int_equal(made, 1);
        assert_int_equal(heap_cache_destroy(c), ERR_BUSY);
        assert_int_equal(heap_cache_free(c, q), ERR_OK);
        assert_int_equal(made, 0);
        assert_int_equal(heap_check(h), ERR_OK);
        assert_int_equal(heap_cache_destroy(c), ERR_OK);
        heap_destroy(h);
    }
}

static void writes_outside_of_objects_are_found(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        struct heap_cache *c = open_cache(policy);
        char              *p = heap_cache_alloc(c);

        assert_non_null(p);
        p[40] = 'o';
        assert_int_equal(heap_check(h), ERR_CORRUPT);
        heap_destroy(h);
        made = 0;

        c = open_cache(policy);
        assert_non_null(p = heap_cache_alloc(c));
        assert_int_equal(heap_cache_free(c, p), ERR_OK);
        *p = 'o';
        assert_int_equal(heap_check(h), ERR_CORRUPT);
        heap_destroy(h);
    }
}

static void wrong_frees_of_objects_are_refused(void **state)
{
    (void)state;
    EACH_POLICY(policy) {
        struct heap_cache *c = open_cache(policy), *other;
        char              *p = heap_cache_alloc(c), *block = heap_alloc(h, 40);

        assert_int_equal(heap_cache_create(h, "other", 40, 64, NULL, NULL, &other), ERR_OK);
        assert_true(p != NULL && block != NULL);
        assert_int_equal(heap_cache_free(other, p), ERR_OUTSIDE);
        assert_int_equal(heap_cache_free(c, block), ERR_OUTSIDE);
        assert_int_equal(heap_cache_free(c, p + 16), ERR_OUTSIDE);
        assert_int_equal(made, 1);
        assert_int_equal(heap_cache_free(c, p), ERR_OK);
        assert_int_equal(heap_cache_free(c, p), ERR_NOT_ALLOC);
        assert_int_equal(made, 0);
        assert_int_equal(heap_free(h, block), ERR_OK);
        heap_destroy(h);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_outside_are_found),
        TEST(an_overrun_of_64_bytes_is_found),
        TEST(a_free_finds_what_was_written_outside),
        TEST(a_second_free_is_known_as_one_while_the_block_is_in_quarantine),
        TEST(quarantine_holds_no_more_than_4_mib),
        TEST(a_write_after_free_is_found_when_the_block_leaves_quarantine),
        TEST(every_64th_block_faults_at_the_first_byte_behind_it),
        TEST(wrong_calls_are_refused),
        TEST(absurd_sizes_are_refused),
        TEST(blocks_know_their_size_and_who_asked),
        TEST(trim_gives_back_the_table_that_grew),
        TEST(objects_are_constructed_while_they_are_in_use),
        TEST(writes_outside_of_objects_are_found),
        TEST(wrong_frees_of_objects_are_refused),
        TEST(random_calls_agree_with_the_model),
        TEST(every_page_may_be_refused),
    };

    return cmocka_run_group_tests_name("heap_debug", tests, NULL, NULL);
}
