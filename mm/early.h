/* SPDX-License-Identifier: MIT */
/* mm/early.h - the frame distributor: single frames before anything else exists */
#ifndef MM_EARLY_H
#define MM_EARLY_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * early_start - the block to hand out from
 *
 *   first, n   its frames; nobody else uses them, and port_ptr() reaches them already
 */
void early_start(pfn_t first, uint64_t n);

/*
 * early_alloc - n frames, the lowest that are left, all or none
 *
 *   out     out[n]; written only on ERR_OK; the frames' contents are undefined
 *
 *   Errors  ERR_NOMEM  the block has not so many left, or early_finish() was called
 *   Locks   takes the distributor's lock, rank 50
 */
err_t early_alloc(uint64_t n, pfn_t out[]) MUST_USE;

/* What the distributor remembers: frames [first, next) were given, [next, end) are left */
struct early_state {
    pfn_t first, next, end;
};

/* early_look - the state as it is */
struct early_state early_look(void);

/*
 * early_finish - the full manager takes over: nothing is handed out any more
 *
 *   Returns what was given and what is left; the second call returns an empty block.
 */
struct early_state early_finish(void);

#endif
