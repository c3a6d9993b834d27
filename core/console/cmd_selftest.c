/* SPDX-License-Identifier: MIT */
/* core/console/cmd_selftest.c - running the self-tests */
#include "core/console/commands.h"
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/str.h"
#include "core/x86/insn.h"
#include "core/x86/time.h"

static const struct selftest *const tests[] = {
#define TEST_ENTRY(name) &selftest_##name,
    SELFTESTS(TEST_ENTRY)
#undef TEST_ENTRY
};

const struct selftest *selftest_at(unsigned i) { return i < ARRAY_LEN(tests) ? tests[i] : NULL; }

static err_t run(const struct selftest *test)
{
    uint64_t began = cpu_rdtsc();
    err_t err = test->run();

    kprintf("selftest %s: %s (%llu us)\n", test->name, err == ERR_OK ? "passed" : err_str(err),
            ULL(time_ns(cpu_rdtsc() - began) / 1000));
    return err;
}

static err_t selftest(unsigned argc, char *argv[])
{
    const struct selftest *test;
    unsigned n_passed = 0, n_failed = 0;
    err_t first = ERR_OK;

    if (argc > 2)
        return ERR_SYNTAX;
    for (unsigned i = 0; (test = selftest_at(i)) != NULL; i++) {
        err_t err;

        if (argc == 2 && strcmp(argv[1], test->name) != 0)
            continue;
        err = run(test);
        n_passed += err == ERR_OK;
        n_failed += err != ERR_OK;
        first = first == ERR_OK ? err : first;
    }
    if (n_passed + n_failed == 0)
        return ERR_NOENT;
    kprintf("selftest: %u passed, %u failed\n", n_passed, n_failed);
    return first;
}

const struct command commands_selftest[] = {
    { "selftest", "[TEST]", "check the running machine, or one part of it", selftest },
    { NULL, NULL, NULL, NULL },
};
