/* SPDX-License-Identifier: MIT */
/* test/bench/ptrc.h - reading recorded traces of a page allocator (format: test/data/traces/README.md) */
#ifndef TEST_BENCH_PTRC_H
#define TEST_BENCH_PTRC_H

#include <stdbool.h>
#include <stdint.h>

struct ptrc {
    uint64_t  n_slots, n_events, peak_frames;
    uint32_t *events; /* events[n_events] */
};

static inline bool     ptrc_is_free(uint32_t e) { return e >> 31 != 0; }
static inline unsigned ptrc_order(uint32_t e) { return e >> 26 & 31; }
static inline uint32_t ptrc_slot(uint32_t e) { return e & 0x3ffffff; }

/* ptrc_read - a trace compressed with xz; ends the process with "FILE: reason" when it is none */
void ptrc_read(struct ptrc *t, const char *path);
void ptrc_close(struct ptrc *t);

#endif
