/* SPDX-License-Identifier: MIT */
/*
 * test/host/model_heap.h - a heap's naive twin: a list of blocks with known contents
 *
 * The model makes random calls, remembers each block, fills it with a pattern of its own, and
 * verifies address, alignment, disjointness and contents later.
 */
#ifndef TEST_HOST_MODEL_HEAP_H
#define TEST_HOST_MODEL_HEAP_H

#include "mm/heap.h"

struct model_block {
    unsigned char *p; /* NULL: none */
    size_t         size, align;
    uint32_t       pattern;
};

struct heap_model {
    struct heap        *heap;
    struct model_block *blocks; /* blocks[n_blocks]                          */
    size_t              n_blocks;
    size_t              size_max;
    uint64_t            random;     /* state of the generator, seed at start */
    uint64_t            live_bytes; /* asked for                             */
    uint64_t            failures;   /* calls that returned NULL              */
};

/* heap_model_open - n_blocks blocks live at most, of up to size_max bytes; small sizes are the more frequent */
void heap_model_open(struct heap_model *m, struct heap *h, size_t n_blocks, size_t size_max, uint64_t seed);

/* heap_model_step - one random call: alloc in any form, realloc, free; the block concerned is verified */
void heap_model_step(struct heap_model *m);

/* heap_model_check - verify every block's contents, and that no two overlap; the heap's own heap_check too */
void heap_model_check(struct heap_model *m);

/* heap_model_wrong_free - one random wrong free; must be refused */
void heap_model_wrong_free(struct heap_model *m);

/* heap_model_close - free every block */
void heap_model_close(struct heap_model *m);

uint64_t heap_model_random(uint64_t *state);

#endif
