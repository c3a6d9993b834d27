/* SPDX-License-Identifier: MIT */
/* core/bench/heap.c - what a block of the kernel's heap costs */
#include "core/bench/bench.h"
#include "core/x86/insn.h"
#include "mm/heap_kernel.h"

#define LIVE  1000
#define STEPS 20000

static err_t pair(void *arg)
{
    void *p = heap_alloc(kernel_heap, *(const size_t *)arg);

    return p != NULL ? heap_free(kernel_heap, p) : ERR_NOMEM;
}

static err_t cache_pair(void *arg)
{
    void *p = heap_cache_alloc(arg);

    return p != NULL ? heap_cache_free(arg, p) : ERR_NOMEM;
}

static err_t pairs(void)
{
    static const struct {
        const char *what;
        size_t      size;
    } sizes[] = {
        { "64 bytes, taken and given back", 64 },       { "256 bytes, taken and given back", 256 },
        { "1 KiB, taken and given back", KIB },         { "4 KiB, taken and given back", 4 * KIB },
        { "8 KiB, taken and given back", 8 * KIB },     { "16 KiB, taken and given back", 16 * KIB },
        { "64 KiB, taken and given back", 64 * KIB },   { "1 MiB, taken and given back", MIB },
    };
    err_t err = ERR_OK;

    for (size_t i = 0; i < ARRAY_LEN(sizes) && err == ERR_OK; i++)
        err = bench_measure(sizes[i].what, 1, pair, (void *)&sizes[i].size);
    return err;
}

static err_t cache(void)
{
    struct heap_cache *c;
    err_t              err = heap_cache_create(kernel_heap, "bench", 64, 16, NULL, NULL, &c);

    if (err != ERR_OK)
        return err;
    err = bench_measure("64 bytes of a cache, taken and given back", 1, cache_pair, c);
    err_t gone = heap_cache_destroy(c);

    return err == ERR_OK ? gone : err;
}

/* replace - a random one of the live blocks goes, one of a random size comes; `really`: else only the dice are thrown */
static err_t replace(void **live, size_t least, size_t most, uint64_t *random, bool really)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */

    void **at = &live[(*random >> 33) % LIVE];
    size_t size = least + (*random >> 20 & 0xffff) % (most - least + 1);

    if (!really)
        return size != 0 ? ERR_OK : ERR_INVAL;
    err_t err = heap_free(kernel_heap, *at);

    *at = heap_alloc(kernel_heap, size);
    return *at != NULL ? err : ERR_NOMEM;
}

/* rounds - ticks of n replacements */
static err_t rounds(void **live, size_t least, size_t most, bool really, uint64_t *ticks)
{
    uint64_t random = 1;
    err_t    err = ERR_OK;
    uint64_t began = cpu_rdtsc();

    for (unsigned i = 0; i < STEPS && err == ERR_OK; i++)
        err = replace(live, least, most, &random, really);
    *ticks = cpu_rdtsc() - began;
    return err;
}

static err_t many(const char *what, void **live, size_t least, size_t most)
{
    uint64_t first, all, dice;
    err_t    err = rounds(live, least, most, true, &first); /* fills, and reaches a steady state */

    if (err == ERR_OK)
        err = rounds(live, least, most, true, &all);
    if (err == ERR_OK)
        err = rounds(live, least, most, false, &dice);
    if (err == ERR_OK)
        bench_report(what, all - dice, STEPS);
    for (unsigned i = 0; i < LIVE; i++) {
        err_t one = heap_free(kernel_heap, live[i]);

        live[i] = NULL;
        err = err == ERR_OK ? one : err;
    }
    return err;
}

static err_t run(void)
{
    void **live = heap_zalloc(kernel_heap, LIVE * sizeof *live);

    if (live == NULL)
        return ERR_NOMEM;
    err_t err = pairs();

    if (err == ERR_OK)
        err = cache();
    if (err == ERR_OK)
        err = many("1,000 live of 64 bytes, one replaced", live, 64, 64);
    if (err == ERR_OK)
        err = many("1,000 live of 16 to 2048 bytes, one replaced", live, 16, 2048);
    if (err == ERR_OK)
        err = many("1,000 live of 8 to 64 KiB, one replaced", live, 8 * KIB, 64 * KIB - 1);
    err_t freed = heap_free(kernel_heap, live);

    return err == ERR_OK ? freed : err;
}

const struct bench bench_heap = { "heap", run };
