/* SPDX-License-Identifier: MIT */
/* test/host/test_map_tool.c - build/host/octavo-map as a person uses it: output, complaints, status */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/octavo-map.XXXXXX";
static char output[65536];

/* Run the tool on `text` as map.csv; its status, with both streams in `output` */
static int tool_on(const char *text)
{
    char command[256], path[64];
    FILE *f;
    size_t n;
    int status;

    snprintf(path, sizeof path, "%s/map.csv", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    snprintf(command, sizeof command, "tool=$PWD/build/host/octavo-map; cd %s && $tool map.csv 2>&1", folder);
    f = popen(command, "r"); /* NOLINT(cert-env33-c): as a person would */
    assert_non_null(f);
    n = fread(output, 1, sizeof output - 1, f);
    output[n] = '\0';
    status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_good_map_is_printed_with_its_sums(void **state)
{
    (void)state;
    assert_int_equal(tool_on("type,physical_start,pages,attribute\n"
                             "7,0x0,160,0xf\n"
                             "7,0x100000,256,0xf\n"
                             "10,0x200000,1,0xf\n"
                             "4,0x201000,15,0xf\n"),
                     0);
    assert_string_equal(output, "reserved,0x0,1,0xf\n"
                                "low,0x1000,159,0xf\n"
                                "free,0x100000,256,0xf\n"
                                "nvs,0x200000,1,0xf\n"
                                "free,0x201000,15,0xf\n"
                                "# pages in 432, out 432, dropped 0 by any rule\n");
}

static void every_rule_that_dropped_something_is_named(void **state)
{
    (void)state;
    assert_int_equal(tool_on("7,0x100000,256,0xf\n"
                             "0,0x100000,1,0\n"
                             "7,0x300000,0,0xf\n"
                             "7,0x400800,3,0xf\n"
                             "11,0xffffffffff000,2,0x8000000000000001\n"
                             "7,0xfffffffffffff000,18446744073709551615,0xf\n"),
                     0);
    assert_string_equal(output, "reserved,0x100000,1,0x0\n"
                                "free,0x101000,255,0xf\n"
                                "free,0x401000,2,0xf\n"
                                "mmio,0xffffffffff000,1,0x8000000000000001\n"
                                "# pages in 18446744073709551877, out 259, dropped 0 by zero-length, "
                                "dropped 18446744073709551615 by wrapped, dropped 1 by unaligned, "
                                "dropped 1 by unaddressable, dropped 1 by overlap\n");
}

static void a_malformed_map_gets_file_line_and_reason(void **state)
{
    (void)state;
    assert_int_equal(tool_on("7,0x100000,256,0xf\n7,0x100000,many,0xf\n"), 1);
    assert_string_equal(output, "map.csv:2: pages is not a number: 'many'\n");
    assert_int_equal(tool_on(""), 1);
    assert_string_equal(output, "map.csv:1: no descriptor\n");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "%s/map.csv", folder);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_map_is_printed_with_its_sums),
        cmocka_unit_test(every_rule_that_dropped_something_is_named),
        cmocka_unit_test(a_malformed_map_gets_file_line_and_reason),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
