/* SPDX-License-Identifier: MIT */
/*
 * test/bench/list_buddy.h - the classic buddy manager, to be compared with mm/frame.h
 *
 * The same calls with the same meaning and errors as in mm/frame.h, documented there. Differences, all of
 * them in what the structure can do: a run of frames is found only at the start of a free block and has
 * at most 2^LIST_ORDER_MAX frames; FRAME_NEAR is not heeded; the block that is given is not the lowest.
 */
#ifndef TEST_BENCH_LIST_BUDDY_H
#define TEST_BENCH_LIST_BUDDY_H

#include "mm/frame.h"

#define LIST_ORDER_MAX FRAME_ORDER_MAX

/* list_state_bytes - one byte for each frame up to the last one with memory */
size_t list_state_bytes(const struct mem_map *map);
err_t  list_start(const struct mem_map *map, void *state, size_t bytes) MUST_USE;

err_t list_alloc(unsigned order, pfn_t *out) MUST_USE;
err_t lists_alloc(size_t n, pfn_t out[]) MUST_USE;
err_t list_alloc_with(const struct frame_request *req, pfn_t *out) MUST_USE;

err_t list_free(pfn_t f) MUST_USE;
err_t list_free_order(pfn_t f, unsigned order) MUST_USE;
err_t lists_free(size_t n, const pfn_t in[]) MUST_USE;
err_t list_free_run(pfn_t f, uint64_t n) MUST_USE;

err_t list_reserve(pfn_t start, uint64_t n) MUST_USE;
err_t list_release(pfn_t start, uint64_t n) MUST_USE;

struct frame_info list_query(pfn_t f);
void              list_stats(struct frame_stats *s);

/* list_check - walk everything; NULL, or what is wrong */
const char *list_check(void);

#endif
