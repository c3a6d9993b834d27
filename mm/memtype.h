/* SPDX-License-Identifier: MIT */
/*
 * mm/memtype.h - one cache type for each frame, however many mappings it has
 *
 * Two mappings of a frame with different types leave what is read undefined. The mapper holds every mapping
 * against this record, and puts those into it that are not plain RAM.
 */
#ifndef MM_MEMTYPE_H
#define MM_MEMTYPE_H

#include "mm/pte.h"

#define MEMTYPE_RAM    1024 /* ranges of RAM; neighbours are one                 */
#define MEMTYPE_RANGES 1024 /* ranges of other mappings; neighbours of one type are one */

struct frame_range { uint64_t start, end; };

/*
 * memtype_ram - frames [first, first + n) are RAM, mapped write-back from now on and for good
 *
 *   For start-up, on one CPU. What is mapped before the first call is taken for RAM, until something else is taken.
 *   Errors  ERR_NOMEM  too many ranges
 */
err_t memtype_ram(pfn_t first, uint64_t n) MUST_USE;

/* memtype_is_ram - are these frames, all of them? *around is the range with the first, or begins behind it, or is empty */
bool memtype_is_ram(pfn_t first, uint64_t n, struct frame_range *around) MUST_USE;

/*
 * memtype_take - frames [first, first + n) have one mapping more, with this type
 *
 *   cache   PTE_CACHE_*
 *   Errors  ERR_ALIAS  some of them are mapped with another      ERR_NOMEM  too many ranges; nothing was changed
 *   Locks   rank 32
 */
err_t memtype_take(pfn_t first, uint64_t n, uint64_t cache) MUST_USE;

/* memtype_give - one mapping less; takes what memtype_take() was given, or a part of it */
void memtype_give(pfn_t first, uint64_t n);

#endif
