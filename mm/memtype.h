/* SPDX-License-Identifier: MIT */
/*
 * mm/memtype.h - one cache type for each frame, however many mappings it has
 *
 * Two mappings of a frame with different types leave what is read undefined. Who maps memory for longer, the direct
 * map and devices, says so here; every mapping is held against it.
 */
#ifndef MM_MEMTYPE_H
#define MM_MEMTYPE_H

#include "mm/pte.h"

#define MEMTYPE_RANGES 256 /* neighbours of one type are one */

/*
 * memtype_take - frames [first, first + n) are mapped with this type from now on
 *
 *   cache   PTE_CACHE_*
 *   Errors  ERR_ALIAS  some of them are mapped with another      ERR_NOMEM  too many ranges; nothing was changed
 *   Locks   rank 32
 */
err_t memtype_take(pfn_t first, uint64_t n, uint64_t cache) MUST_USE;

/* memtype_give - one mapping less; takes what memtype_take() was given */
void memtype_give(pfn_t first, uint64_t n);

/* memtype_check - ERR_ALIAS if some of these frames are mapped with another type than this */
err_t memtype_check(pfn_t first, uint64_t n, uint64_t cache) MUST_USE;

#endif
