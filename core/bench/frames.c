/* SPDX-License-Identifier: MIT */
/* core/bench/frames.c - what a frame costs */
#include "core/bench/bench.h"
#include "core/x86/insn.h"
#include "mm/frame.h"
#include "mm/heap_kernel.h"

#define BULK 512
#define MANY 10000
#define LIVE 60

static err_t pair(void *arg)
{
    unsigned order = *(const unsigned *)arg;
    pfn_t    f;
    err_t    err = frame_alloc(order, &f);

    return err == ERR_OK ? frame_free_order(f, order) : err;
}

static err_t bulk_pair(void *arg)
{
    err_t err = frames_alloc(BULK, arg);

    return err == ERR_OK ? frames_free(BULK, arg) : err;
}

/* shuffle - the same random order each time */
static void shuffle(pfn_t *f, size_t n)
{
    uint64_t state = 1;

    for (size_t i = n - 1; i > 0; i--) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
        size_t at = (size_t)(state >> 33) % (i + 1);
        pfn_t  kept = f[i];

        f[i] = f[at];
        f[at] = kept;
    }
}

/* many - take n blocks one by one, give them back at random; two lines */
static err_t many(const char *taking, const char *giving, pfn_t *f, size_t n, unsigned order)
{
    uint64_t began = cpu_rdtsc();
    size_t   got = 0;
    err_t    err = ERR_OK;

    while (got < n && (err = frame_alloc(order, &f[got])) == ERR_OK)
        got++;
    uint64_t taken = cpu_rdtsc() - began;

    if (got > 1)
        shuffle(f, got);
    began = cpu_rdtsc();
    for (size_t i = 0; i < got; i++) {
        err_t one = frame_free_order(f[i], order);

        err = err == ERR_OK ? one : err;
    }
    if (err == ERR_OK) {
        bench_report(giving, cpu_rdtsc() - began, n);
        bench_report(taking, taken, n);
    }
    return err;
}

static err_t run(void)
{
    const unsigned order_0 = 0, order_9 = 9;
    pfn_t         *f = heap_alloc(kernel_heap, MANY * sizeof *f);

    if (f == NULL)
        return ERR_NOMEM;
    err_t err = bench_measure("one frame, taken and given back", 1, pair, (void *)&order_0);

    if (err == ERR_OK)
        err = bench_measure("one block of order 9, taken and given back", 1, pair, (void *)&order_9);
    if (err == ERR_OK)
        err = bench_measure("512 frames at once, taken and given back, each", BULK, bulk_pair, f);
    if (err == ERR_OK)
        err = many("10,000 frames, taken one by one, each", "10,000 frames, given back at random, each", f, MANY, 0);
    if (err == ERR_OK)
        err = many("60 blocks of order 9, taken, each", "60 blocks of order 9, given back at random, each", f, LIVE, 9);
    err_t freed = heap_free(kernel_heap, f);

    return err == ERR_OK ? freed : err;
}

const struct bench bench_frames = { "frames", run };
