/* SPDX-License-Identifier: MIT */
/* test/bench/mtrc.h - reading recorded allocation traces (format: test/data/traces/README.md) */
#ifndef TEST_BENCH_MTRC_H
#define TEST_BENCH_MTRC_H

#include <stddef.h>
#include <stdint.h>

enum mtrc_op { MTRC_MALLOC, MTRC_FREE, MTRC_REALLOC, MTRC_MEMALIGN, MTRC_CALLOC };

struct mtrc {
    uint64_t  n_slots, n_events, peak_bytes;
    uint64_t *events;
};

static inline enum mtrc_op mtrc_op(uint64_t e) { return (enum mtrc_op)(e & 7); }
static inline size_t       mtrc_align(uint64_t e) { return (size_t)1 << (e >> 3 & 31); }
static inline uint32_t     mtrc_slot(uint64_t e) { return (uint32_t)(e >> 8 & 0xffffff); }
static inline size_t       mtrc_size(uint64_t e) { return (size_t)(e >> 32); }

/*
 * mtrc_read - a trace, compressed (.mtr.xz) or not
 *
 *   Memory comes from mmap, not from malloc, which may be what is measured.
 *   Ends the process with "FILE: reason" when the file is no trace.
 */
void mtrc_read(struct mtrc *t, const char *path);

#endif
