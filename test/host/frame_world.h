/* SPDX-License-Identifier: MIT */
/* test/host/frame_world.h - a simulated machine for tests of the frame manager: RAM by a list of ranges */
#ifndef TEST_HOST_FRAME_WORLD_H
#define TEST_HOST_FRAME_WORLD_H

#include "mm/frame.h"

#define FREE_RAM(first, n) { .start = { first }, .end = { (first) + (n) }, .kind = MEM_FREE }
#define SOME_RAM(first, n, what) { .start = { first }, .end = { (first) + (n) }, .kind = (what) }

/* world_open - memory as the ranges say (sorted, at most 64), and the frame manager started on it */
void world_open(const struct mem_range ranges[], size_t n);

/* world_open_with - the same with ranges to keep back */
void world_open_with(const struct mem_range ranges[], size_t n, const struct frame_span keep[], size_t n_keep);

/* world_close - checks the manager once more and ends it */
void world_close(void);

/* world_map - the map in use */
const struct mem_map *world_map(void);

#endif
