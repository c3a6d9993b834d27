/* SPDX-License-Identifier: MIT */
/* mm/picture.h - the buddy system drawn */
#ifndef MM_PICTURE_H
#define MM_PICTURE_H

#include "mm/frame.h"

/*
 * picture_row - one row of the picture: the blocks of one order in [first, first + n)
 *
 *   first   a multiple of 2^top
 *   order   the row's; blocks that do not fit into the range are not drawn
 *   top     greatest order of the picture: what is free beyond it is drawn as blocks of this order
 *   row     row[n]: at the first frame of each block '#' taken (some frame of it is), '.' free, 'x' free as
 *           part of a larger block; ' ' at the other frames. Not terminated.
 *
 *   Returns how many '.' the row has: the free blocks of this order.
 *   Cost    a frame_query() for each block
 */
uint64_t picture_row(pfn_t first, uint64_t n, unsigned order, unsigned top, char row[]);

#endif
