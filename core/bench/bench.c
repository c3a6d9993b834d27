/* SPDX-License-Identifier: MIT */
/* core/bench/bench.c - measuring, and the command that does it */
#include "core/bench/bench.h"

#include "core/console/commands.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/str.h"
#include "core/x86/insn.h"
#include "mm/heap_kernel.h"

#define SAMPLES 255 /* odd: there is one in the middle */

static const struct bench *const benches[] = {
#define BENCH_ENTRY(name) &bench_##name,
    BENCHES(BENCH_ENTRY)
#undef BENCH_ENTRY
};

void bench_report(const char *what, uint64_t ticks, uint64_t per)
{
    uint64_t tenths = (ticks * 10 + per / 2) / per;

    kprintf("  %-52s %12llu.%llu\n", what, ULL(tenths / 10), ULL(tenths % 10));
}

void bench_heading(const char *first, const char *second) { kprintf("  %-52s %14s %14s\n", "", first, second); }

void bench_report_both(const char *what, uint64_t first, uint64_t second, uint64_t per)
{
    uint64_t a = (first * 10 + per / 2) / per, b = (second * 10 + per / 2) / per;

    kprintf("  %-52s %12llu.%llu %12llu.%llu\n", what, ULL(a / 10), ULL(a % 10), ULL(b / 10), ULL(b % 10));
}

/* Insertion is quick for samples that are nearly all the same. */
static void sort(uint64_t *v, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        uint64_t x = v[i];
        unsigned at = i;

        for (; at > 0 && v[at - 1] > x; at--)
            v[at] = v[at - 1];
        v[at] = x;
    }
}

static err_t nothing(void *arg)
{
    (void)arg;
    return ERR_OK;
}

/* median - ticks of one call, clock included */
static err_t median(uint64_t samples[SAMPLES], err_t (*op)(void *arg), void *arg, uint64_t *out)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();
        err_t    err = op(arg);

        samples[i] = cpu_rdtsc() - began;
        if (err != ERR_OK)
            return err;
    }
    sort(samples, SAMPLES);
    *out = samples[SAMPLES / 2];
    return ERR_OK;
}

err_t bench_measure(const char *what, uint64_t per, err_t (*op)(void *arg), void *arg)
{
    uint64_t *samples = heap_alloc(kernel_heap, SAMPLES * sizeof *samples), empty = 0, ticks = 0;

    if (samples == NULL)
        return ERR_NOMEM;
    err_t err = median(samples, nothing, arg, &empty);

    if (err == ERR_OK)
        err = median(samples, op, arg, &ticks);
    if (err == ERR_OK)
        bench_report(what, ticks - min_u64(ticks, empty), per);
    err_t freed = heap_free(kernel_heap, samples);

    return err == ERR_OK ? freed : err;
}

static err_t boot(void)
{
    static const char *const stages[] = { "stage 1, frame distributor", "stage 2, mapper", "stage 3, heap",
                                          "stage 4, all frames" };
    uint64_t sum = 0;

    for (unsigned i = 0; i < ARRAY_LEN(stages); i++) {
        bench_report(stages[i], machine_info()->stage_ticks[i], 1);
        sum += machine_info()->stage_ticks[i];
    }
    bench_report("the four stages", sum, 1);
    bench_report("from ExitBootServices to the end of stage 4", machine_info()->exit_ticks, 1);
    return ERR_OK;
}

const struct bench bench_boot = { "boot", boot };

static err_t bench(unsigned argc, char *argv[])
{
    err_t err = argc > 2 ? ERR_SYNTAX : argc == 2 ? ERR_NOENT : ERR_OK;

    for (unsigned i = 0; i < ARRAY_LEN(benches) && argc <= 2; i++) {
        if (argc == 2 && strcmp(argv[1], benches[i]->name) != 0)
            continue;
        kprintf("bench %s, ticks\n", benches[i]->name);
        err_t one = benches[i]->run();

        err = err == ERR_OK || err == ERR_NOENT ? one : err;
    }
    return err;
}

const struct command commands_bench[] = {
    { "bench", "[GROUP]", "measure, in ticks of the TSC (instructions under --icount)", bench },
    { NULL, NULL, NULL, NULL },
};
