/* SPDX-License-Identifier: MIT */
/* test/bench/frame_rivals.h - allocators of C libraries, asked for aligned pages as if they were frames */
#ifndef TEST_BENCH_FRAME_RIVALS_H
#define TEST_BENCH_FRAME_RIVALS_H

#include "test/bench/frame_work.h"

/*
 * rivals_load - find jemalloc and mimalloc on this computer; says on standard error which is missing
 *
 *   Both want more thread-local storage than a program leaves to libraries that come late: the first call
 *   starts the program again with room for it.
 */
void rivals_load(char *argv[]);

/* A block is named by its address / 4096, so the tables below fit where frames are expected. */
err_t glibc_alloc(unsigned order, pfn_t *out);
err_t glibc_free(pfn_t f, unsigned order);

/* NULL when it is not installed */
extern int (*jemalloc_alloc_at)(void **out, size_t align, size_t bytes);
extern void (*jemalloc_free_at)(void *p);
extern int (*mimalloc_alloc_at)(void **out, size_t align, size_t bytes);
extern void (*mimalloc_free_at)(void *p);

#endif
