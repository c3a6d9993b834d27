/* SPDX-License-Identifier: MIT */
/* mm/picture.h - the buddy system drawn */
#ifndef MM_PICTURE_H
#define MM_PICTURE_H

#include "mm/frame.h"

/*
 * picture_symbol - one block of the picture: 2^order frames from `first`, a multiple of that
 *
 *   Returns '#' taken (some frame of it is), '.' free, 'x' free as part of a larger block; at order
 *   `top`, the greatest of the picture, what is free beyond it counts as free.
 *   Cost    a frame_query()
 */
char picture_symbol(pfn_t first, unsigned order, unsigned top);

/*
 * picture_row - one row of the picture: the blocks of one order in [first, first + n)
 *
 *   first   a multiple of 2^top
 *   order   the row's; blocks that do not fit into the range are not drawn
 *   top     greatest order of the picture: what is free beyond it is drawn as blocks of this order
 *   row     row[n]: at the first frame of each block its picture_symbol(); ' ' at the other frames. Not
 *           terminated.
 *
 *   Returns how many '.' the row has: the free blocks of this order.
 *   Cost    a frame_query() for each block
 */
uint64_t picture_row(pfn_t first, uint64_t n, unsigned order, unsigned top, char row[]);

#endif
