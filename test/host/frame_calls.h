/* SPDX-License-Identifier: MIT */
/*
 * test/host/frame_calls.h - random machines and random calls of the frame manager, held against a model
 *
 * Everything is decided by rnd(): by a seed, or by the bytes of a fuzzer. A difference fails the test.
 */
#ifndef TEST_HOST_FRAME_CALLS_H
#define TEST_HOST_FRAME_CALLS_H

#include "mm/frame.h"

/* A machine with holes, its ranges up to `longest` frames, and the manager started on it; the end of both */
void frame_calls_open(unsigned longest);
void frame_calls_close(void);

/* One call of any kind; one allocation; one free, right or wrong */
void frame_calls_one(void);
void frame_calls_alloc(void);
void frame_calls_free(void);

/* All totals, and frame_check() */
void frame_calls_check(void);

/* A frame, mostly of RAM; what freeing it must answer (and the order of its block) */
unsigned frame_calls_frame(void);
err_t    frame_calls_expect(unsigned at, unsigned *order);

/* Everything that the manager says about RAM, as one number */
uint64_t frame_calls_fingerprint(void);

#endif
