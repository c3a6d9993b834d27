/* SPDX-License-Identifier: MIT */
/*
 * test/host/pt_ops.h - any bytes as a sequence of operations on page tables, against a model
 *
 * The model knows of each page what it maps and how; it knows nothing of tables, sizes or levels. The
 * judge is the software MMU. Random bytes make the model test, libFuzzer's bytes the fuzzer.
 */
#ifndef TEST_HOST_PT_OPS_H
#define TEST_HOST_PT_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PT_OP_BYTES 8

struct pt_ops_stats {
    uint64_t ops, refused, starved, pages_checked;
    uint64_t stale, superfluous, lost; /* what the shadow TLB saw: translations that went stale, flushes that met none */
};

/*
 * pt_ops_run - fresh tables, the operations of data[n_bytes], everything compared and taken down again
 *
 *   levels      4 or 5
 *   shadow      the shadow TLB watches, and a missing flush is a difference, too
 *   fail_after  where the frame allocator is told after how many frames to fail (-1: never); NULL: it can't be told
 *
 *   Returns NULL, or the first difference in words. port_host's memory is open.
 */
const char *pt_ops_run(const uint8_t *data, size_t n_bytes, unsigned levels, bool shadow, int *fail_after,
                       struct pt_ops_stats *stats);

#endif
