/* SPDX-License-Identifier: MIT */
/*
 * mm/layout.h - the address space, every boundary a named constant
 *
 * Slots are entries of the top table: 512 GiB each with four levels, 256 TiB each with five. The
 * shape is the same in both; docs/memory-map.md draws it.
 *
 *   slot 0          the image in place where firmware loaded it (identity), runtime services
 *   1   .. 255      the process
 *   256 .. 383      direct map of physical memory
 *   384 .. 509      kernel dynamic: large heap blocks, stacks with guard pages, device registers
 *   510             the kernel's heap: slabs and extents, their metadata
 *   511             recursive: the top table itself
 */
#ifndef MM_LAYOUT_H
#define MM_LAYOUT_H

#include "mm/types.h"

#define TABLE_ENTRIES     512
#define SLOT_PROCESS      1
#define SLOT_KERNEL_HALF  256
#define SLOT_DIRECT       256
#define SLOT_DYNAMIC      384
#define SLOT_HEAP         510
#define SLOT_RECURSIVE    511

/* slot_shift - log2 of the bytes under one entry of the top table; levels is 4 or 5 */
static inline unsigned slot_shift(unsigned levels) { return PAGE_SHIFT + 9 * (levels - 1); }

/* canonical - sign-extend from the highest translated bit (SDM 1, "Canonical Addressing") */
static inline uint64_t canonical(uint64_t raw, unsigned levels)
{
    unsigned unused = 64 - (PAGE_SHIFT + 9 * levels);

    return (uint64_t)((int64_t)(raw << unused) >> unused);
}

static inline bool is_canonical(uint64_t raw, unsigned levels) { return canonical(raw, levels) == raw; }

/* slot_base - first address under entry `slot` of the top table */
static inline va_t slot_base(unsigned slot, unsigned levels)
{
    return va(canonical((uint64_t)slot << slot_shift(levels), levels));
}

#endif
