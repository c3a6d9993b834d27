/* SPDX-License-Identifier: MIT */
/* test/host/test_words.c - core/console/words.c: by example, and with whatever bytes */
#include "core/console/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RANDOM_LINES 200000
#define LINE_MAX_LEN 48

/* What a line comes to, as text: words in < >, commands ended by ;, errors as ! */
static const char *split_all(const char *text)
{
    static char out[1024];
    char line[256], *rest = line;
    struct words w;

    strcpy(line, text);
    out[0] = '\0';
    while (rest != NULL) {
        err_t err = words_split(&rest, &w);

        for (unsigned i = 0; err == ERR_OK && i < w.n; i++)
            sprintf(out + strlen(out), "<%s>", w.word[i]);
        strcat(out, err == ERR_OK ? ";" : err == ERR_SYNTAX ? "!quote;" : "!many;");
    }
    return out;
}

static void lines_split_into_commands_and_words(void **state)
{
    static const char *const rows[][2] = {
        { "", ";" },
        { "   ", ";" },
        { "map", "<map>;" },
        { "  walk\t0x1000 ", "<walk><0x1000>;" },
        { "map; frames;buddy 1 2", "<map>;<frames>;<buddy><1><2>;" },
        { "map;", "<map>;;" },
        { ";;", ";;;" },
        { "echo 'a b' \"c;d\" e'f'\"g\"", "<echo><a b><c;d><efg>;" },
        { "echo '' x", "<echo><><x>;" },
        { "echo \"it's\"", "<echo><it's>;" },
        { "map # all; of it", "<map>;" },
        { "# nothing\nmap", ";<map>;" },
        { "a#b", "<a#b>;" },
        { "map;#x", "<map>;;" },
        { "echo 'open; map", "!quote;" },
        { "map; echo \"", "<map>;!quote;" },
        { "a\r\nb\r\n", "<a>;<b>;;" },
        { "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5; map", "!many;<map>;" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(split_all(rows[i][0]), rows[i][1]);
}

static void the_list_of_words_ends_with_null(void **state)
{
    char line[] = "a b", *rest = line;
    struct words w;

    (void)state;
    assert_int_equal(words_split(&rest, &w), ERR_OK);
    assert_int_equal(w.n, 2);
    assert_null(w.word[2]);
    assert_null(rest);
}

/* Under the sanitizers; the line lies alone on the heap, so that a step beyond it is seen. */
static void no_line_can_break_it(void **state)
{
    static const char letters[] = "ab \t;'\"#\n\r\\\x80\xff";

    (void)state;
    srandom(2);
    for (int i = 0; i < RANDOM_LINES; i++) {
        size_t n = (size_t)random() % LINE_MAX_LEN;
        char *line = malloc(n + 1), *rest = line;
        struct words w;

        for (size_t j = 0; j < n; j++)
            line[j] = letters[(size_t)random() % (sizeof letters - 1)];
        line[n] = '\0';
        while (rest != NULL) {
            char *before = rest;
            err_t err = words_split(&rest, &w);

            assert_true(rest == NULL || (rest > before && rest <= line + n));
            assert_true(w.n <= WORDS_MAX && w.word[w.n] == NULL);
            assert_true(err == ERR_OK || err == ERR_SYNTAX || err == ERR_NOMEM);
            for (unsigned k = 0; k < w.n; k++)
                assert_true(w.word[k] >= line && w.word[k] + strlen(w.word[k]) <= line + n);
        }
        free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_split_into_commands_and_words),
        cmocka_unit_test(the_list_of_words_ends_with_null),
        cmocka_unit_test(no_line_can_break_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
