/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/replay.c - a fuzz target's corpus as a test: each file once, without libFuzzer
 *
 * Linked with one fuzz_<name>.c as test_fuzz_<name>; its own name tells it which folder to read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole file on the heap, exactly as long as it is: the sanitizer guards its end */
static uint8_t *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data;

    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    data = malloc(*size);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static void the_corpus_passes(void **state)
{
    char path[512];
    unsigned n_files = 0;
    DIR *dir;
    struct dirent *entry;

    (void)state;
    snprintf(path, sizeof path, "test/fuzz/corpus/%s", program_invocation_short_name + strlen("test_fuzz_"));
    dir = opendir(path);
    if (dir == NULL)
        fail_msg("%s: %s", path, strerror(errno));
    while ((entry = readdir(dir)) != NULL) {
        char file[1024];
        uint8_t *data;
        size_t size;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        data = read_whole(file, &size);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        n_files++;
    }
    closedir(dir);
    assert_true(n_files > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_corpus_passes) };

    return cmocka_run_group_tests_name(program_invocation_short_name, tests, NULL, NULL);
}
