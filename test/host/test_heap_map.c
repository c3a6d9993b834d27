/* SPDX-License-Identifier: MIT */
/* test/host/test_heap_map.c - mm/heap_map.c: metadata grows page by page, survives refusals, and goes again */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mm/heap_map.h"
#include "test/host/heap_world.h"

#define PAGES ((uint64_t)1 << 16)

static struct heap_world world;

static int setup(void **state)
{
    (void)state;
    heap_world_open(&world, PAGES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(heap_world_close(&world), 0);
    return 0;
}

/* Every word of what is known of [0, known) pages can be written, and is its own. */
static void write_and_read(uint64_t known)
{
    struct heap_map *m = &world.map;

    for (uint64_t page = 0; page < known; page++) {
        m->cells[page * CELLS_PER_PAGE] = (uint32_t)page;
        m->grains[page].start[0] = page;
    }
    for (uint64_t i = 0; i < align_up(known, 64) / 64; i++)
        *map_inner(m, i) = ~i;
    for (uint64_t page = 0; page < known; page++) {
        assert_int_equal(m->cells[page * CELLS_PER_PAGE], page);
        assert_int_equal(m->grains[page].start[0], page);
        m->cells[page * CELLS_PER_PAGE] = SLAB_NONE;
        m->grains[page].start[0] = 0;
    }
    for (uint64_t i = 0; i < align_up(known, 64) / 64; i++) {
        assert_int_equal(*map_inner(m, i), ~i);
        *map_inner(m, i) = 0;
    }
}

static void what_is_known_is_usable_at_every_size(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 1, 250, 251, 252, 253, 511, 512, 513, 5000, 33000, PAGES - 1 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(heap_map_know(&world.map, sizes[i]), ERR_OK);
        assert_int_equal(map_pages(&world.map), sizes[i] + 1);
        write_and_read(sizes[i] + 1);
    }
}

static void a_small_window_has_its_cells_and_bits_in_one_page(void **state)
{
    (void)state;
    assert_int_equal(heap_map_know(&world.map, 100), ERR_OK);
    assert_int_equal(world.map.meta_pages, 3); /* cells and bits, grains, slabs */
}

static void what_was_had_before_a_refusal_is_kept_and_not_asked_for_again(void **state)
{
    (void)state;
    err_t    err = ERR_NOMEM;
    uint64_t refused = 0;

    for (uint64_t target = 100; target < 40000; target += 4000) {
        write_and_read(map_pages(&world.map));
        world.fail_in = 1 + target % 7;
        err = heap_map_know(&world.map, target);
        refused += err != ERR_OK;
        world.fail_in = 0;
        assert_int_equal(heap_map_know(&world.map, target), ERR_OK);
        write_and_read(target + 1);
    }
    assert_true(refused > 3);
    assert_int_equal(world.map.meta_pages, world.window.n_committed); /* nothing was committed twice */
}

static void trim_drops_what_no_page_needs(void **state)
{
    (void)state;
    assert_int_equal(heap_map_know(&world.map, 40000), ERR_OK);

    uint64_t before = world.window.n_committed, dropped = heap_map_trim(&world.map);

    assert_true(dropped > 40000 * (16 + 32) / PAGE_SIZE);
    assert_int_equal(world.window.n_committed, before - dropped);
    assert_int_equal(world.window.n_committed, 3);
    assert_int_equal(heap_map_know(&world.map, 40000), ERR_OK);
    write_and_read(40001);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_known_is_usable_at_every_size),
        TEST(a_small_window_has_its_cells_and_bits_in_one_page),
        TEST(what_was_had_before_a_refusal_is_kept_and_not_asked_for_again),
        TEST(trim_drops_what_no_page_needs),
    };

    return cmocka_run_group_tests_name("heap_map", tests, NULL, NULL);
}
