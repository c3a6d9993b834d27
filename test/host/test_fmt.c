/* SPDX-License-Identifier: MIT */
/* test/host/test_fmt.c - core/fmt.c: by example, and against the C library's snprintf */
#include "core/fmt.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FORMATS_TRIED 60000

static void every_conversion_prints_as_documented(void **state)
{
    char out[160];
    size_t n;

    (void)state;
    n = fmt_string(out, sizeof out, "%d %i %u %x %X %o %c %s %%|%5d|%-5d|%05d|%+d|% d|%#x|%.3d", -1, 2, 3u,
                   0xab, 0xCD, 8, 'c', "str", 42, 42, 42, 42, 42, 0x2a, 7);
    assert_string_equal(out, "-1 2 3 ab CD 10 c str %|   42|42   |00042|+42| 42|0x2a|007");
    assert_int_equal(n, strlen(out));
    fmt_string(out, sizeof out, "%hhd %hd %lld %zu %jx %td", 300, 70000, -5000000000LL, (size_t)1 << 40,
               (uintmax_t)1 << 60, (ptrdiff_t)-3);
    assert_string_equal(out, "44 4464 -5000000000 1099511627776 1000000000000000 -3");
    fmt_string(out, sizeof out, "%p|%8s|%-8s|%.2s|%*s|%-*s|%.*s|%3c|", (void *)0x1000, "ab", "ab", "abcdef",
               4, "x", 4, "x", 1, "xyz", 'q');
    assert_string_equal(out, "0x1000|      ab|ab      |ab|   x|x   |x|  q|");
    fmt_string(out, sizeof out, "%lld %llu", -9223372036854775807LL - 1, 18446744073709551615ULL);
    assert_string_equal(out, "-9223372036854775808 18446744073709551615");
}

static void text_that_does_not_fit_is_cut_and_ended(void **state)
{
    char out[4] = "zzz", one = 'z';

    (void)state;
    assert_int_equal(fmt_string(out, sizeof out, "%s", "abcdef"), 6);
    assert_string_equal(out, "abc");
    assert_int_equal(fmt_string(&one, 0, "abc"), 3);
    assert_int_equal(one, 'z');
    assert_int_equal(fmt_string(&one, 1, "abc"), 3);
    assert_int_equal(one, '\0');
}

static void a_null_string_is_said_to_be_null(void **state)
{
    char out[16];
    const char *volatile none = NULL; /* the compiler refuses a NULL that it sees */

    (void)state;
    fmt_string(out, sizeof out, "[%s]", none);
    assert_string_equal(out, "[(null)]");
}

static void an_unknown_conversion_is_copied(void **state)
{
    char out[32];

    (void)state;
    /* through a variable: the compiler refuses such formats when it sees them */
    const char *volatile odd[] = { "%y!", "50%", "%5", "%-08.3lq." };
    const char *same[] = { "%y!", "50%", "%5", "%-08.3lq." };

    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
        fmt_string(out, sizeof out, odd[i]);
#pragma GCC diagnostic pop
        assert_string_equal(out, same[i]);
    }
}

static uint64_t interesting(void)
{
    uint64_t v = (uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random();

    switch (random() % 4) {
    case 0:
        return v >> (random() % 64);
    case 1:
        return 0 - (v >> (random() % 64));
    case 2:
        return (uint64_t)(random() % 3);
    default:
        return v;
    }
}

static void random_format(char *fmt, char *conversion, bool *wide)
{
    static const char numbers[] = "diuxXo";
    char *p = fmt;

    *p++ = '<', *p++ = '%';
    for (int i = 0; i < 3; i++)
        if (random() % 3 == 0)
            *p++ = "-0+ #"[random() % 5];
    if (random() % 2 == 0)
        p += sprintf(p, "%d", (int)(random() % 40));
    if (random() % 3 == 0)
        p += sprintf(p, ".%d", (int)(random() % 30));
    *conversion = numbers[random() % 6];
    *wide = random() % 2 == 0;
    p += sprintf(p, "%s%c>", *wide ? "ll" : (const char *[]){ "", "h", "hh" }[random() % 3], *conversion);
}

static void numbers_print_as_the_c_library_prints_them(void **state)
{
    (void)state;
    srandom(1);
    for (int i = 0; i < FORMATS_TRIED; i++) {
        char fmt[32], ours[128], theirs[128], conversion;
        uint64_t v = interesting();
        bool wide;

        random_format(fmt, &conversion, &wide);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        int n = wide ? snprintf(theirs, sizeof theirs, fmt, ULL(v))
                     : snprintf(theirs, sizeof theirs, fmt, (unsigned)v);
        size_t m = wide ? fmt_string(ours, sizeof ours, fmt, ULL(v))
                        : fmt_string(ours, sizeof ours, fmt, (unsigned)v);
#pragma GCC diagnostic pop
        if (strcmp(ours, theirs) != 0 || m != (size_t)n)
            fail_msg("\"%s\" of 0x%llx: ours \"%s\", the C library's \"%s\"", fmt, ULL(v), ours, theirs);
    }
}

static void numbers_are_read_with_base_and_suffix(void **state)
{
    static const struct {
        const char *text;
        err_t err;
        uint64_t value;
    } rows[] = {
        { "0", ERR_OK, 0 },
        { "42", ERR_OK, 42 },
        { "0x2a", ERR_OK, 42 },
        { "0XFFFFFFFFFFFFFFFF", ERR_OK, UINT64_MAX },
        { "18446744073709551615", ERR_OK, UINT64_MAX },
        { "18446744073709551616", ERR_INVAL, 0 },
        { "0x10000000000000000", ERR_INVAL, 0 },
        { "4K", ERR_OK, 4096 },
        { "0x10m", ERR_OK, 16 * MIB },
        { "3G", ERR_OK, 3 * GIB },
        { "16777215T", ERR_OK, (uint64_t)16777215 << 40 },
        { "16777216T", ERR_INVAL, 0 },
        { "", ERR_SYNTAX, 0 },
        { "0x", ERR_SYNTAX, 0 },
        { "K", ERR_SYNTAX, 0 },
        { "-1", ERR_SYNTAX, 0 },
        { "12a", ERR_SYNTAX, 0 },
        { "4KB", ERR_SYNTAX, 0 },
        { " 4", ERR_SYNTAX, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t v = 7;

        if (fmt_read_u64(rows[i].text, &v) != rows[i].err || v != (rows[i].err == ERR_OK ? rows[i].value : 7))
            fail_msg("\"%s\" was read as %llu", rows[i].text, ULL(v));
    }
}

static void sizes_are_exact_or_have_one_decimal(void **state)
{
    static const struct {
        uint64_t n_bytes;
        const char *text;
    } rows[] = {
        { 0, "0 B" },
        { 1023, "1023 B" },
        { 1024, "1 KiB" },
        { 1536, "1.5 KiB" },
        { 4 * KIB, "4 KiB" },
        { 3 * GIB / 2, "1.5 GiB" },
        { GIB + 1, "1.0 GiB" },
        { 900 * GIB, "900 GiB" },
        { MIB - 1, "1024.0 KiB" },
        { UINT64_MAX, "16.0 EiB" },
    };
    char out[FMT_SIZE_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(fmt_size(out, rows[i].n_bytes), rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_conversion_prints_as_documented),
        cmocka_unit_test(text_that_does_not_fit_is_cut_and_ended),
        cmocka_unit_test(a_null_string_is_said_to_be_null),
        cmocka_unit_test(an_unknown_conversion_is_copied),
        cmocka_unit_test(numbers_print_as_the_c_library_prints_them),
        cmocka_unit_test(numbers_are_read_with_base_and_suffix),
        cmocka_unit_test(sizes_are_exact_or_have_one_decimal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
