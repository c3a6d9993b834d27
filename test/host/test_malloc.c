/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_malloc.c - real programs on build/host/liboctavo-malloc.so: they must say what they say without it
 *
 * The same with debug mode on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIBRARY "build/host/liboctavo-malloc.so"

/* What a command prints, with and without the library; the sanitizers' own malloc stays out of it. */
static size_t output(const char *environment, const char *command, char *to, size_t size)
{
    char line[2048];

    snprintf(line, sizeof line, "env -u ASAN_OPTIONS %s sh -c '%s' 2>&1", environment, command);

    FILE *f = popen(line, "r");
    assert_non_null(f);

    size_t n = fread(to, 1, size - 1, f);

    to[n] = '\0';
    assert_int_equal(pclose(f), 0);
    return n;
}

static void same(const char *command)
{
    static char plain[1 << 16], ours[1 << 16];
    char        library[4096], preload[4200];

    if (realpath(LIBRARY, library) == NULL)
        fail_msg(LIBRARY " is missing: run from the project's top, after make host");
    assert_true(output("LC_ALL=C", command, plain, sizeof plain) > 0);
    snprintf(preload, sizeof preload, "LC_ALL=C LD_PRELOAD=%s", library);
    (void)output(preload, command, ours, sizeof ours);
    assert_string_equal(ours, plain);
    snprintf(preload, sizeof preload, "LC_ALL=C OCTAVO_HEAP=default,debug LD_PRELOAD=%s", library);
    (void)output(preload, command, ours, sizeof ours);
    assert_string_equal(ours, plain);
}

static void shell_and_children(void **state)
{
    (void)state;
    same("for i in 1 2 3; do echo $i | sed s/2/two/ | sort -r; done; ls mm | tac | head -n 40");
}

static void python(void **state)
{
    (void)state;
    same("/usr/bin/python3 -c \"import json,re,subprocess as s; d={str(i):[i]*(i%7) for i in range(20000)}; "
         "print(len(json.dumps(d)),len(re.findall(\\\"1.2\\\",str(d))),s.run([\\\"true\\\"]).returncode)\"");
}

static void perl(void **state)
{
    (void)state;
    same("perl -e \"my %h; \\$h{\\\"k\\$_\\\"}=[1..\\$_%9] for 1..20000; my \\$n=0; \\$n+=@{\\$h{\\$_}} for sort keys %h; print \\$n\"");
}

static void compiler(void **state)
{
    (void)state;
    same("gcc -std=c11 -O2 -I. -S -o - mm/extent.c | md5sum");
}

static void compression_in_threads(void **state)
{
    (void)state;
    same("cat mm/*.c mm/*.h | xz -T2 --block-size=65536 -c | xz -dc | md5sum");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shell_and_children), cmocka_unit_test(python),   cmocka_unit_test(perl),
        cmocka_unit_test(compiler),           cmocka_unit_test(compression_in_threads),
    };

    return cmocka_run_group_tests_name("malloc", tests, NULL, NULL);
}
