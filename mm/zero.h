/* SPDX-License-Identifier: MIT */
/* mm/zero.h - frames of zeroes, prepared while there is nothing else to do */
#ifndef MM_ZERO_H
#define MM_ZERO_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * frame_alloc_zeroed - one frame whose contents are zeroes
 *
 *   Given back with frame_free() like any other.
 *
 *   Errors, locks as frame_alloc(0)
 *   Cost    a few instructions if this CPU has one in stock; else frame_alloc() and zeroing
 */
err_t frame_alloc_zeroed(pfn_t *out) MUST_USE;

/*
 * frame_zero_idle - put one zeroed frame into this CPU's stock; for the idle loop
 *
 *   Returns false when there is nothing to do: the stock is full, or no frame is free. What is in stock
 *   is free memory: it is given back when a request cannot be served otherwise.
 *   Cost    zeroes one frame with interrupts off
 */
bool frame_zero_idle(void);

/* frame_zero_stock - how many zeroed frames all CPUs have in stock at this moment */
uint64_t frame_zero_stock(void);

#endif
