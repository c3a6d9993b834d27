/* SPDX-License-Identifier: MIT */
/* test/host/frame_world.c - a simulated machine for tests of the frame manager */
#include "test/host/frame_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/reserve.h"
#include "test/host/port_host.h"

static struct {
    struct mem_range range[64];
    struct mem_map   map;
    void            *state;
} world;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "frame_world: %s\n", what);
        abort();
    }
}

void world_open_with(const struct mem_range ranges[], size_t n, const struct frame_span keep[], size_t n_keep)
{
    must(n <= ARRAY_LEN(world.range), "too many ranges");
    memcpy(world.range, ranges, n * sizeof *ranges);
    world.map = (struct mem_map){ .ranges = world.range, .n = n };
    host_memory_open(ranges[n - 1].end.idx << PAGE_SHIFT);

    size_t bytes = align_up(frame_state_bytes(&world.map), 64);

    world.state = aligned_alloc(64, bytes);
    must(world.state != NULL, "no memory");
    memset(world.state, 0xa5, bytes);
    must(frame_start(&world.map, keep, n_keep, world.state, bytes) == ERR_OK, "frame_start failed");
    must(frame_check() == NULL, "unsound from the start");
}

void world_open(const struct mem_range ranges[], size_t n) { world_open_with(ranges, n, NULL, 0); }

void world_close(void)
{
    const char *wrong = frame_check();

    must(wrong == NULL, wrong);
    fr.started = false; /* as before frame_start(): the next world begins with its early distributor */
    fr.n_chunks = 0;
    claims_forget();
    free(world.state);
    host_memory_close();
}

const struct mem_map *world_map(void) { return &world.map; }
