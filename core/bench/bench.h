/* SPDX-License-Identifier: MIT */
/*
 * core/bench/bench.h - measurements in the machine
 *
 * The unit is a tick of the TSC. Under `ovmf/run.sh --icount` a tick is one guest instruction, and two
 * runs agree; anywhere else ticks are time, and only good for a first impression.
 */
#ifndef CORE_BENCH_BENCH_H
#define CORE_BENCH_BENCH_H

#include "mm/err.h"
#include "mm/types.h"

/* A named group of measurements; it leaves everything as it was. */
struct bench {
    const char *name;
    err_t (*run)(void);
};

/* Each is a constant named bench_<name>, in the order in which they run */
#define BENCHES(X)                                                                                \
    X(boot)                                                                                       \
    X(frames)                                                                                     \
    X(heap)                                                                                       \
    X(pages)                                                                                      \
    X(programs)

#define BENCH_DECLARE(name) extern const struct bench bench_##name;
BENCHES(BENCH_DECLARE)
#undef BENCH_DECLARE

/*
 * bench_measure - run op(arg) many times and print the median
 *
 *   what   a line's name: "frames: one taken and given back"
 *   per    how many units one call of op handles: what is printed is ticks for one of them
 *
 *   The cost of reading the clock and of calling an empty op is taken off.
 *   Errors  those of op, at which it stops      ERR_NOMEM  no room for the samples
 */
err_t bench_measure(const char *what, uint64_t per, err_t (*op)(void *arg), void *arg) MUST_USE;

/* bench_report - print a result that was measured otherwise: ticks in all, for `per` units */
void bench_report(const char *what, uint64_t ticks, uint64_t per);

/* bench_report_both - the same with two results, under a heading */
void bench_report_both(const char *what, uint64_t first, uint64_t second, uint64_t per);
void bench_heading(const char *first, const char *second);

#endif
