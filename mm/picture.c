/* SPDX-License-Identifier: MIT */
/*
 * mm/picture.c - the buddy system drawn, from the bitmaps as they are
 *
 * Picture     eight frames, of which 0 and 5 are taken
 *
 *               order 0   #.xx.#xx   2     x: free, as part of a larger block
 *               order 1   # . # .    2     #: at least one of the two is taken
 *               order 2   #   #      0
 *
 * There are no bitmaps of each order to read off: one set of bits holds all of them (mm/chunk.c). A row
 * asks of each block what its first frame belongs to.
 */
#include "mm/picture.h"

char picture_symbol(pfn_t first, unsigned order, unsigned top)
{
    struct frame_info info = frame_query(first);

    if (info.state != FRAME_FREE || info.order < order)
        return '#';
    return info.order > order && order < top ? 'x' : '.';
}

uint64_t picture_row(pfn_t first, uint64_t n, unsigned order, unsigned top, char row[])
{
    uint64_t size = (uint64_t)1 << order, n_free = 0;

    for (uint64_t i = 0; i < n; i++) {
        row[i] = ' ';
        if (is_aligned(i, size) && i + size <= n)
            row[i] = picture_symbol(pfn_add(first, i), order, top);
        n_free += row[i] == '.';
    }
    return n_free;
}
