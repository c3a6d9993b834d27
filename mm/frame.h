/* SPDX-License-Identifier: MIT */
/* mm/frame.h - physical frames: blocks of 2^order */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * frame_alloc - take one block of 2^order frames
 *
 *   out     first frame of the block; written only on ERR_OK
 *
 *   Errors  ERR_NOMEM  no free block that large      ERR_INVAL  order out of range
 *   Locks   rank 40
 */
err_t frame_alloc(unsigned order, pfn_t *out) MUST_USE;

/* frames_alloc - n single frames, all or none */
err_t frames_alloc(size_t n, pfn_t out[]) MUST_USE;

/* frame_free - give back the block that starts at f, whatever its order; a wrong free is refused by name */
err_t frame_free(pfn_t f) MUST_USE;

/* frame_free_order - the same, with the order the caller believes in */
err_t frame_free_order(pfn_t f, unsigned order) MUST_USE;

#endif
