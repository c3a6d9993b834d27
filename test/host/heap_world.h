/* SPDX-License-Identifier: MIT */
/* test/host/heap_world.h - a page source for tests: reserved addresses, counted pages, failure on demand */
#ifndef TEST_HOST_HEAP_WORLD_H
#define TEST_HOST_HEAP_WORLD_H

#include "mm/heap.h"
#include "mm/heap_map.h"
#include "mm/heap_window.h"

struct heap_world {
    struct heap_window window; /* first                                              */
    struct heap_map    map;
    void              *start;
    uint64_t           bytes;
    uint64_t           limit;   /* pages that may be committed at once; 0: no limit  */
    uint64_t           fail_in; /* the n-th commit from now fails; 0: none           */
    uint64_t           commits, peak;
};

/* heap_world_open - a window of n_pages and its map; ends the process when Linux refuses */
void heap_world_open(struct heap_world *w, uint64_t n_pages);

/* heap_world_close - returns pages still committed, after the map's and window's own have gone */
uint64_t heap_world_close(struct heap_world *w);

#endif
