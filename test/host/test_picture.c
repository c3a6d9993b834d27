/* SPDX-License-Identifier: MIT */
/* test/host/test_picture.c - the picture of the notes, to the character */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/picture.h"
#include "test/host/frame_world.h"

#define FIRST 0x2000

/* Forty frames, and a place for the bitmaps far from them */
static const struct mem_range forty[] = { FREE_RAM(0x1000, 32), FREE_RAM(FIRST, 40) };

static const char pattern[] = "###.#....#........#...###...########....";

static void the_notes_are_drawn_exactly(void **state)
{
    static const char *const rows[] = {
        "###.#.xx.#xxxxxxxx#.xx###.xx########xxxx",
        "# # # . # . x x . # . # # . # # # # x x ",
        "#   #   #   .   #   #   #   #   #   .   ",
        "#       #       #       #       #       ",
    };
    static const unsigned counts[] = { 5, 5, 2, 0 };
    char                  row[41] = { 0 };

    (void)state;
    world_open(forty, ARRAY_LEN(forty));
    for (unsigned i = 0; i < 40; i++)
        if (pattern[i] == '#')
            assert_int_equal(frame_reserve(pfn(FIRST + i), 1), ERR_OK);
    for (unsigned order = 0; order < 4; order++) {
        assert_int_equal(picture_row(pfn(FIRST), 40, order, 3, row), counts[order]);
        assert_string_equal(row, rows[order]);
    }
    world_close();
}

static void allocated_looks_as_held_back_and_reserved_by_a_cpu_as_free(void **state)
{
    char  row[9] = { 0 };
    pfn_t f;

    (void)state;
    world_open(forty, ARRAY_LEN(forty));
    assert_int_equal(frame_alloc(3, &f), ERR_OK); /* behind the bitmaps' 17 frames */
    assert_int_equal(f.idx, 0x1018);
    assert_int_equal(frame_alloc(0, &f), ERR_OK);
    assert_int_equal(f.idx, 0x1011);
    assert_int_equal(picture_row(pfn(0x1010), 8, 0, 3, row), 6);
    assert_string_equal(row, "##......");
    world_close();
}

static void beyond_the_top_order_blocks_count_as_several(void **state)
{
    char row[33] = { 0 };

    (void)state;
    world_open(forty, ARRAY_LEN(forty));
    assert_int_equal(picture_row(pfn(FIRST), 32, 3, 3, row), 4);
    assert_string_equal(row, ".       .       .       .       ");
    assert_int_equal(picture_row(pfn(FIRST), 32, 4, 5, row), 0);
    assert_string_equal(row, "x               x               ");
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_notes_are_drawn_exactly),
        cmocka_unit_test(allocated_looks_as_held_back_and_reserved_by_a_cpu_as_free),
        cmocka_unit_test(beyond_the_top_order_blocks_count_as_several),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
