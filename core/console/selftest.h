/* SPDX-License-Identifier: MIT */
/* core/console/selftest.h - checks that run in the machine; a new one adds a line to SELFTESTS */
#ifndef CORE_CONSOLE_SELFTEST_H
#define CORE_CONSOLE_SELFTEST_H

#include "mm/err.h"
#include "mm/types.h"

/* A named check; it leaves everything as it was. */
struct selftest {
    const char *name;
    err_t (*run)(void); /* ERR_OK: passed. It prints itself what went wrong. */
};

/* Each is a constant named selftest_<name>, in the order in which they run */
#define SELFTESTS(X)                                                                                         \
    X(str)                                                                                                   \
    X(fmt)                                                                                                   \
    X(log)                                                                                                   \
    X(port)                                                                                                  \
    X(frames)                                                                                                \
    X(heap)                                                                                                  \
    X(paging)                                                                                                \
    X(mapping)                                                                                               \
    X(lazy)                                                                                                  \
    X(tlb)                                                                                                   \
    X(threads)                                                                                               \
    X(quirks)                                                                                                \
    X(access)                                                                                                \
    X(segments)                                                                                              \
    X(isolation)

#define SELFTEST_DECLARE(name) extern const struct selftest selftest_##name;
SELFTESTS(SELFTEST_DECLARE)
#undef SELFTEST_DECLARE

/* selftest_at - the i-th self-test, NULL after the last */
const struct selftest *selftest_at(unsigned i);

#endif
