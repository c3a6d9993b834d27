/* SPDX-License-Identifier: MIT */
/* test/host/test_term.c - core/console/term.c */
#include "core/console/term.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COLS          12
#define ROWS          4
#define LINES         7
#define RANDOM_WRITES 200000

static struct term t;
static term_cell_t cells[COLS * LINES];

static int start(void **state)
{
    (void)state;
    term_start(&t, cells, COLS, ROWS, LINES);
    return 0;
}

static void show(const char *text) { term_write(&t, text, strlen(text)); }

static void assert_row(unsigned y, const char *expected)
{
    char text[COLS + 1] = { 0 };

    for (unsigned x = 0; x < COLS; x++)
        text[x] = (char)TERM_CELL_CH(term_row(&t, y, 0)[x]);
    for (size_t n = COLS; n > 0 && text[n - 1] == ' ';)
        text[--n] = '\0';
    assert_string_equal(text, expected);
}

static term_cell_t cell(unsigned x, unsigned y) { return term_row(&t, y, 0)[x]; }

static void text_goes_right_and_down(void **state)
{
    (void)state;
    show("ab\ncd\rX\te\bf");
    assert_row(0, "ab");
    assert_row(1, "Xd      f");
}

static void the_last_column_wraps_only_when_more_comes(void **state)
{
    (void)state;
    show("123456789012");
    assert_int_equal(t.y, 0);
    show("\n");
    assert_int_equal(t.y, 1);
    show("123456789012x");
    assert_int_equal(t.y, 2);
    assert_row(2, "x");
}

static void a_line_too_many_scrolls(void **state)
{
    (void)state;
    show("1\n2\n3\n4\n5");
    assert_row(0, "2");
    assert_row(3, "5");
    assert_int_equal(t.changed_from, 0);
    assert_int_equal(t.changed_to, ROWS);
}

static void lines_that_left_at_the_top_are_kept(void **state)
{
    (void)state;
    show("1\n2\n3\n4\n5\n6");
    assert_int_equal(t.n_left, 2);
    assert_int_equal(TERM_CELL_CH(term_row(&t, 0, 2)[0]), '1');
    assert_int_equal(TERM_CELL_CH(term_row(&t, 3, 1)[0]), '5');
    show("\n7\n8\n9");
    assert_int_equal(t.n_left, LINES - ROWS);
    assert_int_equal(TERM_CELL_CH(term_row(&t, 0, 3)[0]), '3');
}

static void sequences_move_and_erase(void **state)
{
    (void)state;
    show("abcdef\033[3DX\033[2CY");
    assert_row(0, "abcXefY");
    show("\033[3;5HZ\033[A\033[5GW\033[BV\033[100D!");
    assert_row(2, "!   ZV");
    assert_row(1, "    W");
    show("\033[1;4H\033[K");
    assert_row(0, "abc");
    show("\033[2D\033[1K");
    assert_row(0, "  c");
    show("\033[2J\033[99;99H.");
    assert_row(2, "");
    assert_row(3, "           .");
}

static void sequences_that_mean_nothing_leave_no_trace(void **state)
{
    (void)state;
    show("\033[38;5;1234567890123;1;1;1;1;1;1;1zA\033[?2004hB\033[!pC\033cD\033[>1;2cE");
    assert_row(0, "ABCDE");
}

static void colours_are_set_and_reset(void **state)
{
    (void)state;
    show("\033[31;44ma\033[7mb\033[0mc\033[92md");
    assert_int_equal(cell(0, 0), TERM_CELL('a', TERM_RED, TERM_BLUE));
    assert_int_equal(cell(1, 0), TERM_CELL('b', TERM_BLUE, TERM_RED));
    assert_int_equal(cell(2, 0), TERM_CELL('c', TERM_INK, TERM_PAPER));
    assert_int_equal(cell(3, 0), TERM_CELL('d', 10, TERM_PAPER));
}

static void the_head_of_a_log_line_is_coloured(void **state)
{
    (void)state;
    show("[0.1] W x: y\n[");
    assert_int_equal(TERM_CELL_INK(cell(1, 0)), TERM_DIM);
    assert_int_equal(TERM_CELL_INK(cell(6, 0)), TERM_YELLOW);
    assert_int_equal(TERM_CELL_INK(cell(8, 0)), TERM_CYAN);
    assert_int_equal(TERM_CELL_INK(cell(11, 0)), TERM_INK);
    show("\nx[");
    assert_int_equal(TERM_CELL_INK(cell(1, 2)), TERM_INK);
}

static void other_characters_become_a_box(void **state)
{
    (void)state;
    show("\x80\x7f\x01z");
    assert_int_equal(TERM_CELL_CH(cell(0, 0)), TERM_UNKNOWN);
    assert_int_equal(TERM_CELL_CH(cell(1, 0)), TERM_UNKNOWN);
    assert_int_equal(TERM_CELL_CH(cell(2, 0)), 'z');
}

/* Every cell stays printable and coloured, on grids of any size; changes are always announced. */
static void no_bytes_can_break_it(void **state)
{
    static const char letters[] = "\033\033\033[[[;?0123456789ABCDGHJKmhlZ\n\r\b\t\f [x]:";
    term_cell_t before[ROWS][COLS];

    (void)state;
    srandom(4);
    for (int i = 0; i < RANDOM_WRITES; i++) {
        char text[8];
        size_t n = (size_t)random() % sizeof text;

        if (i % 1000 == 0) {
            unsigned rows = 1 + (unsigned)random() % ROWS;

            term_start(&t, cells, 1 + (unsigned)random() % COLS, rows,
                       rows + (unsigned)random() % (LINES - ROWS + 1));
        }
        for (size_t j = 0; j < n; j++)
            text[j] = random() % 50 == 0 ? (char)random() : letters[(size_t)random() % (sizeof letters - 1)];
        for (unsigned y = 0; y < t.rows; y++)
            memcpy(before[y], term_row(&t, y, 0), t.cols * sizeof(term_cell_t));
        t.changed_from = t.rows;
        t.changed_to = 0;
        term_write(&t, text, n);
        assert_true(t.x < t.cols && t.y < t.rows && t.n_left <= t.lines - t.rows);
        for (unsigned y = 0; y < t.rows; y++) {
            for (unsigned x = 0; x < t.cols; x++) {
                term_cell_t c = cell(x, y);

                assert_in_range(TERM_CELL_CH(c), 0x20, 0x7f);
                assert_true(TERM_CELL_INK(c) < TERM_COLOURS && TERM_CELL_PAPER(c) < TERM_COLOURS);
                assert_true(c == before[y][x] || (y >= t.changed_from && y < t.changed_to));
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_goes_right_and_down),      TEST(the_last_column_wraps_only_when_more_comes),
        TEST(a_line_too_many_scrolls),       TEST(lines_that_left_at_the_top_are_kept),
        TEST(sequences_move_and_erase),      TEST(sequences_that_mean_nothing_leave_no_trace),
        TEST(colours_are_set_and_reset),     TEST(the_head_of_a_log_line_is_coloured),
        TEST(other_characters_become_a_box), TEST(no_bytes_can_break_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
