/* SPDX-License-Identifier: MIT */
/* test/host/test_keymap.c - core/dev/keymap.c */
#include "core/dev/keymap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RANDOM_CODES 200000

static struct keymap k;

static int start(void **state)
{
    (void)state;
    keymap_start(&k);
    return 0;
}

/* What a sequence of scan codes types */
static const char *typed(const char *codes, size_t n)
{
    static char out[128];

    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        strcat(out, keymap_feed(&k, (uint8_t)codes[i]));
    return out;
}

#define TYPED(codes) typed(codes, sizeof(codes) - 1)

static void keys_type_their_characters(void **state)
{
    (void)state;
    assert_string_equal(TYPED("\x32\xb2\x1e\x9e\x19\x99\x39\xb9\x02\x82\x1c\x9c"), "map 1\r");
    assert_string_equal(TYPED("\x0e\x0f\x01\x29\x2b\x35\x27\x28"), "\b\t\033`\\/;'");
}

static void shift_and_caps_lock_change_them(void **state)
{
    (void)state;
    assert_string_equal(TYPED("\x2a\x1e\x02\x34\xaa\x1e"), "A!>a");
    assert_string_equal(TYPED("\x36\x2b\xb6\x2b"), "|\\");
    assert_string_equal(TYPED("\x3a\xba\x1e\x02\x2a\x1e\xaa\x3a\xba\x1e"), "A1aa");
}

static void control_makes_control_characters(void **state)
{
    (void)state;
    assert_string_equal(TYPED("\x1d\x1e\x12\x9d\x1e"), "\001\005a");
    assert_string_equal(TYPED("\xe0\x1d\x26\xe0\x9d"), "\014");
    assert_string_equal(TYPED("\x1d\x02\x9d"), "1");
}

static void cursor_keys_send_escape_sequences(void **state)
{
    (void)state;
    assert_string_equal(TYPED("\xe0\x48\xe0\xc8\xe0\x50\xe0\x4d\xe0\x4b"), "\033[A\033[B\033[C\033[D");
    assert_string_equal(TYPED("\xe0\x47\xe0\x4f\xe0\x49\xe0\x51\xe0\x53"),
                        "\033[H\033[F\033[5~\033[6~\033[3~");
    assert_string_equal(TYPED("\xe0\x2a\xe0\x48\xe0\xc8\xe0\xaa\x1e"), "\033[Aa"); /* an invented shift */
}

static void the_pad_types_digits_with_num_lock(void **state)
{
    (void)state;
    assert_string_equal(TYPED("\x47\x4c\x52\x53\xe0\x1c\xe0\x35\x37"), "750.\r/*");
    assert_string_equal(TYPED("\x45\xc5\x48\x53\x4a"), "\033[A\033[3~-");
}

static void pause_types_nothing(void **state)
{
    (void)state;
    assert_string_equal(TYPED("\xe1\x1d\x45\xe1\x9d\xc5\x1e\x47"), "a7");
}

static void no_codes_can_break_it(void **state)
{
    (void)state;
    srandom(5);
    for (int i = 0; i < RANDOM_CODES; i++)
        assert_true(strlen(keymap_feed(&k, (uint8_t)random())) <= 4);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_type_their_characters),
        TEST(shift_and_caps_lock_change_them),
        TEST(control_makes_control_characters),
        TEST(cursor_keys_send_escape_sequences),
        TEST(the_pad_types_digits_with_num_lock),
        TEST(pause_types_nothing),
        TEST(no_codes_can_break_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
