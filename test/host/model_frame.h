/* SPDX-License-Identifier: MIT */
/*
 * test/host/model_frame.h - the simplest correct frame allocator: one byte for each frame
 *
 * Shares nothing with mm/chunk.c but the names of states and errors. Everything is a loop over bytes.
 */
#ifndef TEST_HOST_MODEL_FRAME_H
#define TEST_HOST_MODEL_FRAME_H

#include "mm/chunk.h"

#define MODEL_FREE     0x00
#define MODEL_RESERVED 0x01
#define MODEL_INSIDE   0x02
#define MODEL_HEAD     0x80 /* + order: the first frame of a block */

struct model {
    uint8_t *frame; /* frame[n] */
    unsigned n;
    unsigned order_max;
};

void model_open(struct model *m, unsigned n, unsigned order_max, uint8_t state);
void model_close(struct model *m);

bool model_all(const struct model *m, unsigned at, unsigned n, uint8_t state);
void model_fill(struct model *m, unsigned at, unsigned n, uint8_t state);

/* The lowest free block, run, and single frame in [lo, hi) */
bool model_find(const struct model *m, unsigned order, unsigned lo, unsigned hi, unsigned *at);
bool model_find_run(const struct model *m, unsigned n, unsigned align, unsigned boundary, unsigned lo, unsigned hi,
                    unsigned *at);

void  model_take(struct model *m, unsigned at, unsigned order);
void  model_take_run(struct model *m, unsigned at, unsigned n);
err_t model_block(const struct model *m, unsigned at, unsigned *order);
void  model_give(struct model *m, unsigned at);
err_t model_check_run(const struct model *m, unsigned at, unsigned n);

struct chunk_look model_look(const struct model *m, unsigned at);
unsigned          model_count(const struct model *m, uint8_t state);

/* Free blocks that are not half of a larger one, by order */
void model_blocks(const struct model *m, uint64_t blocks[]);

/* A random number generator for tests: xorshift64*, seeded from the test's own name or the environment */
uint64_t rnd(void);
uint64_t rnd_below(uint64_t n);
void     rnd_seed(uint64_t seed);
/* From now on two bytes of data[n] are one random number; when they are used up, all are 0 */
void rnd_feed(const uint8_t *data, size_t n);
bool rnd_left(void);
uint64_t rnd_seed_from(const char *test); /* OCTAVO_SEED if set; prints the seed */

#endif
