/* SPDX-License-Identifier: MIT */
/*
 * mm/layout.h - the address space, every boundary a named constant
 *
 * The kernel's addresses are the same with four and with five levels: they lie in the upper 128 TiB,
 * which both can express. So the running system can change from one to the other and every pointer
 * stays good. What five levels add is room for the process: 64 PiB instead of 128 TiB.
 *
 *   slots of the top table, both          with five levels, the top table has
 *   0               the image in place where firmware loaded it (identity), runtime services
 *   1   .. 255      the process           1   .. 255   the process: 256 TiB each
 *   256 .. 383      direct map            510          recursive: the top table itself
 *   384 .. 509      kernel dynamic        511          the table whose entries 256 .. 510 are
 *   510             the kernel's heap                  those to the left
 *   511             recursive: the top table itself (with four levels)
 *
 * Direct map: physical memory. Kernel dynamic: large heap blocks, stacks with guard pages, device
 * registers. Heap: slabs and extents, their metadata.
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

#define KERNEL_LEVELS 4 /* that the kernel's half is laid out for, however many there are */

/* slot_shift - log2 of the bytes under one entry of the top table; levels is 4 or 5 */
static inline unsigned slot_shift(unsigned levels) { return PAGE_SHIFT + 9 * (levels - 1); }

/* recursive_slot - the entry of the top table that leads to itself; 511 with five levels holds the kernel */
static inline unsigned recursive_slot(unsigned levels) { return levels == KERNEL_LEVELS ? 511 : 510; }

/* canonical - sign-extend from the highest translated bit (SDM 1, "Canonical Addressing") */
static inline uint64_t canonical(uint64_t raw, unsigned levels)
{
    unsigned unused = 64 - (PAGE_SHIFT + 9 * levels);

    return (uint64_t)((int64_t)(raw << unused) >> unused);
}

static inline bool is_canonical(uint64_t raw, unsigned levels) { return canonical(raw, levels) == raw; }

/* slot_base - first address of a slot: of the process's, with so many levels; of the kernel's, with any */
static inline va_t slot_base(unsigned slot, unsigned levels)
{
    unsigned of = slot < SLOT_KERNEL_HALF ? levels : KERNEL_LEVELS;

    return va(canonical((uint64_t)slot << slot_shift(of), of));
}

#endif
