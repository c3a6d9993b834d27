/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_line.c - core/console/line.c, seen through core/console/term.c
 *
 * What the editor sends goes to a terminal of 40 columns; after every key its row must show the prompt and
 * the text around the cursor, and the cursor at the right place. So the two also check each other.
 */
#include "core/console/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/console/term.h"

#define PROMPT      "> "
#define COLS        40
#define ROWS        10
#define LINES       ROWS
#define RANDOM_KEYS 300000

#define UP    "\033[A"
#define DOWN  "\033[B"
#define RIGHT "\033[C"
#define LEFT  "\033[D"
#define HOME  "\033[H"
#define END   "\033[F"
#define DEL   "\033[3~"

static struct line l;
static struct term t;
static term_cell_t cells[COLS * LINES];
static size_t n_sent;

static void to_terminal(const char *text, size_t n)
{
    n_sent += n;
    term_write(&t, text, n);
}

static const char *words[] = { "alloc", "buddy", "frames", "free", "map", NULL };

static const char *candidate(const char *text, size_t start, unsigned i)
{
    return start == 0 ? words[i] : strncmp(text, "log ", 4) == 0 && i == 0 ? "debug" : NULL;
}

static int start(void **state)
{
    (void)state;
    term_start(&t, cells, COLS, ROWS, LINES);
    line_open(&l, PROMPT, COLS, candidate, to_terminal);
    line_begin(&l);
    return 0;
}

static const char *row(unsigned y)
{
    static char text[COLS + 1];
    int n = COLS;

    for (int x = 0; x < COLS; x++)
        text[x] = (char)TERM_CELL_CH(term_row(&t, y, 0)[x]);
    while (n > 0 && text[n - 1] == ' ')
        n--;
    text[n] = '\0';
    return text;
}

static void terminal_shows_the_line(void)
{
    size_t width = COLS - strlen(PROMPT) - 1;
    char expected[COLS + 1];
    int n;

    assert_true(l.cursor <= l.n && l.n < LINE_BYTES && l.text[l.n] == '\0' && strlen(l.text) == l.n);
    assert_true(l.left <= l.cursor && l.cursor - l.left <= width);
    n = snprintf(expected, sizeof expected, "%s%.*s", PROMPT, (int)width, l.text + l.left);
    while (n > 0 && expected[n - 1] == ' ')
        expected[--n] = '\0';
    assert_string_equal(row(t.y), expected);
    assert_int_equal(t.x, strlen(PROMPT) + l.cursor - l.left);
}

/* Returns true when the last byte finished the line. */
static bool type(const char *keys)
{
    bool done = false;

    for (; *keys != '\0'; keys++) {
        done = line_feed(&l, *keys);
        if (!done)
            terminal_shows_the_line();
    }
    return done;
}

static void enter(const char *text)
{
    assert_true(type(text));
    line_begin(&l);
}

static void typed_text_is_returned_by_enter(void **state)
{
    (void)state;
    assert_true(type("map all\r"));
    assert_string_equal(l.text, "map all");
}

static void keys_edit_the_line(void **state)
{
    static const char *const rows[][2] = {
        { "bc" HOME "a", "abc" },
        { "abd" LEFT "c", "abcd" },
        { "abc\b\bx", "ax" },
        { "abc\x7f\x7f", "a" },
        { "abc" LEFT LEFT DEL, "ac" },
        { "abc\001\004", "bc" },
        { "abc" HOME END "d", "abcd" },
        { "abc\001x\005y", "xabcy" },
        { "one two\002\002\013", "one t" },
        { "one two\002\002\025", "wo" },
        { "one two  \027", "one " },
        { "one two\027\001\031", "twoone " },
        { "abc" HOME "\b\b" END DEL DEL, "abc" },
        { "ab\033[99~\033[1;5X\033Oqc", "abc" },
        { "abc\033[1~x\033[4~y\033[7~z\033[8~w", "zxabcyw" },
        { "a\033[1;5Db", "ba" },
        { "abc\003de", "de" },
        { "a\001\002\006\006b", "ab" },
        { "caf\xc3\xa9", "caf" },
        { "a\033\005b", "ab" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        type(rows[i][0]);
        assert_string_equal(l.text, rows[i][1]);
        enter("\r");
    }
}

static void history_goes_up_and_down_and_keeps_what_was_being_typed(void **state)
{
    (void)state;
    enter("first\r");
    enter("second\r");
    enter("second\r"); /* not kept twice */
    enter("   \r");    /* nor a blank one */
    type("thi");
    type(UP);
    assert_string_equal(l.text, "second");
    type("\020");
    assert_string_equal(l.text, "first");
    type(UP UP);
    assert_string_equal(l.text, "first");
    type(DOWN "\016");
    assert_string_equal(l.text, "thi");
    type(DOWN "rd\r");
    assert_string_equal(l.text, "third");
}

static void history_forgets_the_oldest(void **state)
{
    char text[32];

    (void)state;
    for (int i = 0; i < LINE_HISTORY + 5; i++) {
        snprintf(text, sizeof text, "line %d\r", i);
        enter(text);
    }
    for (int i = 0; i < LINE_HISTORY + 5; i++)
        type(UP);
    assert_string_equal(l.text, "line 5");
}

static void tab_completes_as_far_as_words_agree(void **state)
{
    (void)state;
    type("m\t");
    assert_string_equal(l.text, "map ");
    type("\025f\t");
    assert_string_equal(l.text, "fr");
    type("a\t");
    assert_string_equal(l.text, "frames ");
    type("\025zz\t");
    assert_string_equal(l.text, "zz");
    type("\025log d\t");
    assert_string_equal(l.text, "log debug ");
    type("\025al x\002\002\t"); /* in the middle of a line */
    assert_string_equal(l.text, "alloc  x");
}

static void second_tab_lists_the_choices(void **state)
{
    (void)state;
    type("fr\t");
    assert_int_equal(t.y, 0);
    type("\t");
    assert_string_equal(row(1), "frames  free");
    assert_string_equal(row(2), "> fr");
    type("a\t\r");
    assert_string_equal(l.text, "frames ");
}

static void long_lines_scroll_sideways(void **state)
{
    char text[LINE_BYTES];

    (void)state;
    for (int i = 0; i < LINE_BYTES + 20; i++)
        type((char[]){ (char)('a' + i % 26), '\0' });
    assert_int_equal(l.n, LINE_BYTES - 1);
    strcpy(text, l.text);
    assert_int_equal(t.y, 0);
    type(HOME);
    assert_int_equal(l.left, 0);
    type(END LEFT LEFT "\001\005\r");
    assert_string_equal(l.text, text);
}

static void typing_at_the_end_sends_the_character_alone(void **state)
{
    (void)state;
    type("ma");
    n_sent = 0;
    type("p");
    assert_int_equal(n_sent, 1);
}

static int paged;

static void page(int pages) { paged = paged * 10 + pages; }

static void page_keys_are_passed_on(void **state)
{
    (void)state;
    type("a\033[5~b");
    l.page = page;
    type("\033[6~\033[6~\033[5~c");
    assert_int_equal(paged, 109);
    assert_string_equal(l.text, "abc");
}

static void control_l_clears_the_screen_and_keeps_the_line(void **state)
{
    (void)state;
    enter("x\r");
    type("abc\014");
    assert_int_equal(t.y, 0);
    assert_string_equal(l.text, "abc");
}

static void no_keys_can_break_it(void **state)
{
    static const char *const keys[] = { "a",    "b",    " ",     ";",    "\t",           "\t\t",
                                        "\b",   UP,     DOWN,    LEFT,   RIGHT,          HOME,
                                        END,    DEL,    "\013",  "\025", "\027",         "\031",
                                        "\r",   "\033", "\033[", "7",    "\014",         "\003",
                                        "\001", "map",  "fr",    "al",   LEFT LEFT LEFT, "\x80" };

    (void)state;
    srandom(3);
    for (int i = 0; i < RANDOM_KEYS; i++)
        if (type(keys[(size_t)random() % ARRAY_LEN(keys)]))
            line_begin(&l);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(typed_text_is_returned_by_enter),
        TEST(keys_edit_the_line),
        TEST(history_goes_up_and_down_and_keeps_what_was_being_typed),
        TEST(history_forgets_the_oldest),
        TEST(tab_completes_as_far_as_words_agree),
        TEST(second_tab_lists_the_choices),
        TEST(long_lines_scroll_sideways),
        TEST(typing_at_the_end_sends_the_character_alone),
        TEST(page_keys_are_passed_on),
        TEST(control_l_clears_the_screen_and_keeps_the_line),
        TEST(no_keys_can_break_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
