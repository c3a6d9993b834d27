/* SPDX-License-Identifier: MIT */
/*
 * test/host/model_range.h - the memory map by the book: ask every descriptor about every frame
 *
 * Shares nothing with mm/range.c but its header: bytes in 128 bits, one frame at a time, no sorting of
 * claims, no sweep.
 */
#ifndef TEST_HOST_MODEL_RANGE_H
#define TEST_HOST_MODEL_RANGE_H

#include "mm/range.h"

struct model_frame {
    uint64_t n_claims; /* 0: no descriptor speaks of this frame, and the rest is undefined */
    enum mem_kind kind;
    uint64_t attr;
};

/* model_frame - what n descriptors say about one frame */
struct model_frame model_frame(const void *descriptors, size_t n, size_t desc_bytes, uint64_t frame);

/*
 * model_range_check - hold a result of mem_map_read() against the model, frame for frame
 *
 *   Frames between two neighbouring ends of descriptors are alike, so one is asked for all of them.
 *   Returns NULL, or the first difference in words (good until the next call).
 */
const char *model_range_check(const struct mem_map *m, const void *descriptors, size_t n, size_t desc_bytes);

#endif
