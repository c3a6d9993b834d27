/* SPDX-License-Identifier: MIT */
/* test/host/test_slab.c - mm/slab.c: classes, slots, slabs that come and go, two CPUs against a model, and starvation */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mm/heap_core.h"
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
    host_cpu_set(0);
    host_cpus_set(1);
    return 0;
}

/* What the heap has of slots of this size */
static struct heap_class_stats class_of(uint32_t size)
{
    static struct heap_class_stats all[HEAP_CLASSES];
    size_t                         n = heap_class_stats(h, all);

    for (size_t i = 0; i < n; i++)
        if (all[i].size == size)
            return all[i];
    return (struct heap_class_stats){ .size = size };
}

/* ---- classes ------------------------------------------------------------------------------------- */

static void every_size_has_the_class_that_wastes_least(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= SLAB_MAX; size++) {
        unsigned class = slab_class_of[(size - 1) / 16];
        uint32_t slot = slab_class_size(class);

        assert_true(class < SLAB_CLASSES);
        assert_true(slot >= size);
        assert_true(class == 0 || slab_class_size(class - 1) < size);
        assert_true(slot - size < 16 || (slot - size) * 8 < slot);
    }
}

/* ---- slots --------------------------------------------------------------------------------------- */

static void a_slot_begins_at_each_multiple_and_nowhere_else(void **state)
{
    (void)state;
    for (uint32_t class = 0; slab_class_size(class) <= SLAB_SURE; class++) {
        uint32_t size = slab_class_size(class);
        char    *p = heap_alloc(h, size), *q = heap_alloc(h, size);

        assert_ptr_equal(q, p + size);
        for (uint32_t offset = 1; offset < size; offset++)
            assert_int_equal(heap_free(h, p + offset), ERR_INSIDE);
        assert_true(heap_free(h, q + size) != ERR_OK); /* a free slot, or behind the last one */
        assert_int_equal(heap_free(h, p), ERR_OK);
        assert_int_equal(heap_free(h, q), ERR_OK);
    }
}

static void what_lies_behind_the_last_slot_is_no_block(void **state)
{
    (void)state;
    char             *p = heap_alloc(h, 48); /* 21 slots in a KiB, 16 bytes over */
    struct heap_place place;

    assert_non_null(p);
    p += class_of(48).runs * CELL_BYTES - 16; /* slot 0 of the only slab */
    heap_place(h, p, &place);
    assert_int_equal(place.what, HEAP_SLAB_EDGE);
    assert_true(heap_free(h, p) != ERR_OK);
    assert_int_equal(heap_usable(h, p), 0);
}

static void the_lowest_free_slot_comes_first_until_the_slab_is_full(void **state)
{
    (void)state;
    char    *p[64];
    unsigned n = 0;

    while (class_of(128).runs <= 1 && n < 64)
        assert_non_null(p[n++] = heap_alloc(h, 128));
    n--; /* the last one opened a second slab */
    assert_true(n >= 2);
    for (unsigned i = 0; i < n; i++)
        assert_ptr_equal(p[i], p[0] + 128 * i);
    for (unsigned i = n; i-- > 1;)
        assert_int_equal(heap_free(h, p[i]), ERR_OK);
    assert_ptr_equal(heap_alloc(h, 128), p[1]); /* and the lower slab before the other one */
}

/* ---- slabs --------------------------------------------------------------------------------------- */

static void slabs_start_small_and_grow_with_their_class(void **state)
{
    (void)state;
    assert_non_null(heap_alloc(h, 64));
    assert_int_equal(class_of(64).bytes, CELL_BYTES);
    for (unsigned i = 0; i < 20000; i++)
        assert_non_null(heap_alloc(h, 64));

    struct heap_class_stats c = class_of(64);

    assert_int_equal(c.used, 20001);
    assert_true(c.runs < 20001 / 64 + 40);    /* nearly all of 64 slots         */
    assert_true(c.free * 8 <= c.used);        /* and less than an eighth unused */
}

static void empty_slabs_go_back_and_the_memory_serves_other_sizes(void **state)
{
    (void)state;
    static void *p[5000];
    uint64_t     pages;

    for (unsigned i = 0; i < 5000; i++)
        assert_non_null(p[i] = heap_alloc(h, 256));
    pages = h->pages;
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(heap_free(h, p[i]), ERR_OK);
    assert_true(class_of(256).runs <= 2);
    for (unsigned i = 0; i < 5000 * 256 / 96 * 3 / 4; i++)
        assert_non_null(heap_alloc(h, 96));
    assert_true(h->pages <= pages);
}

static void a_heap_short_of_memory_gives_up_its_empty_slabs(void **state)
{
    (void)state;
    void *p[16];

    for (unsigned i = 0; i < 16; i++) /* one slab for each of sixteen classes */
        assert_non_null(p[i] = heap_alloc(h, 16 * (i + 1)));
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(heap_free(h, p[i]), ERR_OK);
    world.limit = world.window.n_committed; /* not a page more */
    assert_non_null(heap_alloc(h, 12000));
    world.limit = 0;
}

/* ---- a model with two CPUs ------------------------------------------------------------------------- */

#define BLOCKS 600

struct twin {
    unsigned char *p; /* NULL: none */
    size_t         size;
    unsigned char  mark;
};

static struct twin twins[BLOCKS];

static void gone(struct twin *t)
{
    for (size_t i = 0; i < t->size; i++)
        if (t->p[i] != t->mark)
            fail_msg("byte %zu of a block of %zu was written to", i, t->size);
    assert_int_equal(heap_free(h, t->p), ERR_OK);
    assert_int_equal(heap_free(h, t->p), ERR_NOT_ALLOC);
    t->p = NULL;
}

static void step(uint64_t *random)
{
    struct twin *t = &twins[heap_model_random(random) % BLOCKS];

    if (t->p != NULL) {
        gone(t);
        return;
    }
    t->size = 1 + heap_model_random(random) % 200;
    t->mark = (unsigned char)heap_model_random(random);
    t->p = heap_alloc(h, t->size);
    if (t->p == NULL)
        return;
    assert_int_equal((uintptr_t)t->p & 15, 0);
    assert_true(heap_usable(h, t->p) >= t->size);
    memset(t->p, t->mark, t->size);
}

static void all_gone(void)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (twins[i].p != NULL)
            gone(&twins[i]);
    for (unsigned cpu = 0; cpu < 2; cpu++) { /* twice: what the second gives back may be the first's */
        host_cpu_set(cpu);
        (void)heap_trim(h);
    }
    host_cpu_set(0);
    (void)heap_trim(h);
}

static void two_cpus_agree_with_the_model(void **state)
{
    (void)state;
    host_cpus_set(2);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t random = seed;

        printf("seed %llu\n", ULL(seed));
        for (unsigned i = 0; i < 6000; i++) {
            host_cpu_set(heap_model_random(&random) % 16 == 0 ? 1 - port_cpu() : port_cpu());
            step(&random);
            assert_int_equal(heap_check(h), ERR_OK);
            if (i % 1500 == 1499)
                (void)heap_trim(h);
        }
        all_gone();

        struct heap_stats s;

        heap_stats(h, &s);
        assert_int_equal(s.slab_bytes + s.extent_used_bytes, 0);
    }
}

static void every_page_may_be_refused(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 30; nth++) {
        uint64_t random = nth;

        world.fail_in = nth;
        for (unsigned i = 0; i < 800; i++)
            step(&random);
        world.fail_in = 0;
        assert_int_equal(heap_check(h), ERR_OK);
        all_gone();
        assert_int_equal(class_of(16).runs, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_size_has_the_class_that_wastes_least),
        TEST(a_slot_begins_at_each_multiple_and_nowhere_else),
        TEST(what_lies_behind_the_last_slot_is_no_block),
        TEST(the_lowest_free_slot_comes_first_until_the_slab_is_full),
        TEST(slabs_start_small_and_grow_with_their_class),
        TEST(empty_slabs_go_back_and_the_memory_serves_other_sizes),
        TEST(a_heap_short_of_memory_gives_up_its_empty_slabs),
        TEST(two_cpus_agree_with_the_model),
        TEST(every_page_may_be_refused),
    };

    return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
