/* SPDX-License-Identifier: MIT */
/* test/host/test_config.c - octavo.conf and LoadOptions */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "efi/config_parse.h"
#include "mm/port.h"
#include "mm/region.h"

static struct boot_config c;

static int fresh(void **state)
{
    (void)state;
    config_defaults(&c);
    return 0;
}

static void file(const char *text) { config_parse_file(&c, text, strlen(text)); }
static void options(const char *text) { config_parse_options(&c, text, strlen(text)); }

static void an_empty_file_leaves_the_defaults(void **state)
{
    (void)state;
    file("");
    file("\n\n# nothing\n   \r\n");
    assert_int_equal(c.console, BOOT_CONSOLE_SERIAL | BOOT_CONSOLE_SCREEN);
    assert_int_equal(c.paging, 0);
    assert_int_equal(c.log_level, PORT_INFO);
    assert_int_equal(c.debug_exit_port, 0);
    assert_string_equal(c.exec, "");
    assert_string_equal(c.unknown, "");
}

static void every_key_is_read(void **state)
{
    (void)state;
    file("exec = map; frames \r\nconsole=serial\npaging=5\nlog=debug\ndebug_exit=0xf4\n"
         "heap=bitmap\nheap.debug=1\novercommit=strict\ntables.check=1\ntlb.check=1");
    assert_string_equal(c.exec, "map; frames");
    assert_int_equal(c.console, BOOT_CONSOLE_SERIAL);
    assert_int_equal(c.paging, 5);
    assert_int_equal(c.log_level, PORT_DEBUG);
    assert_int_equal(c.debug_exit_port, 0xf4);
    assert_true(c.heap_debug && c.tables_check && c.tlb_check);
    assert_int_equal(c.heap_policy, 2);
    assert_int_equal(c.overcommit, OVERCOMMIT_STRICT);
    assert_string_equal(c.unknown, "");
}

static void the_console_takes_a_list(void **state)
{
    (void)state;
    file("console=screen");
    assert_int_equal(c.console, BOOT_CONSOLE_SCREEN);
    file("console= serial , screen");
    assert_int_equal(c.console, BOOT_CONSOLE_SERIAL | BOOT_CONSOLE_SCREEN);
}

static void what_is_not_understood_is_told_and_changes_nothing(void **state)
{
    (void)state;
    file("colour=blue\npaging=6\ndebug_exit=0x10000\nlog=\nconsole=\nnonsense\nheap.debug=yes\nexec=map");
    assert_string_equal(c.unknown, "colour=blue\npaging=6\ndebug_exit=0x10000\nlog=\nconsole=\nnonsense=\nheap.debug=yes\n");
    assert_int_equal(c.paging, 0);
    assert_int_equal(c.debug_exit_port, 0);
    assert_int_equal(c.log_level, PORT_INFO);
    assert_false(c.heap_debug);
    assert_string_equal(c.exec, "map");
}

static void a_value_may_hold_an_equals_sign(void **state)
{
    (void)state;
    file("exec=alloc 4; x=y");
    assert_string_equal(c.exec, "alloc 4; x=y");
}

static void too_long_a_list_of_commands_is_refused_whole(void **state)
{
    char text[BOOT_CONFIG_TEXT + 64];

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "exec=", 5);
    config_parse_file(&c, text, sizeof text);
    assert_string_equal(c.exec, "");
    assert_true(strlen(c.unknown) == BOOT_CONFIG_TEXT - 1);
}

static void options_override_the_file(void **state)
{
    (void)state;
    file("paging=4\nexec=map");
    options("BOOTX64.EFI paging=5 exec=\"frames; buddy 0 1M\" log=warn");
    assert_int_equal(c.paging, 5);
    assert_string_equal(c.exec, "frames; buddy 0 1M");
    assert_int_equal(c.log_level, PORT_WARN);
    assert_string_equal(c.unknown, "");
}

static void an_unclosed_quote_goes_to_the_end(void **state)
{
    (void)state;
    options("exec=\"map; frames");
    assert_string_equal(c.exec, "\"map; frames");
}

static void random_bytes_never_break_out(void **state)
{
    (void)state;
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        static const char words[] = "exec=console=paging=log=debug_exit=0x\"\"==,,##  \n\n\r\t";
        size_t            n = (size_t)rand() % 200;
        char             *text = malloc(n + 1); /* exactly so long: a read beyond it is seen */

        for (size_t i = 0; i < n; i++)
            text[i] = rand() % 4 ? words[(size_t)rand() % (sizeof words - 1)] : (char)rand();
        config_parse_file(&c, text, n);
        config_parse_options(&c, text, n);
        free(text);
        assert_true(memchr(c.exec, '\0', sizeof c.exec) != NULL);
        assert_true(memchr(c.unknown, '\0', sizeof c.unknown) != NULL);
        assert_true(c.debug_exit_port <= 0xFFFF && c.paging <= 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_file_leaves_the_defaults, fresh),
        cmocka_unit_test_setup(every_key_is_read, fresh),
        cmocka_unit_test_setup(the_console_takes_a_list, fresh),
        cmocka_unit_test_setup(what_is_not_understood_is_told_and_changes_nothing, fresh),
        cmocka_unit_test_setup(a_value_may_hold_an_equals_sign, fresh),
        cmocka_unit_test_setup(too_long_a_list_of_commands_is_refused_whole, fresh),
        cmocka_unit_test_setup(options_override_the_file, fresh),
        cmocka_unit_test_setup(an_unclosed_quote_goes_to_the_end, fresh),
        cmocka_unit_test_setup(random_bytes_never_break_out, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
