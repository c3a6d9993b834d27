/* SPDX-License-Identifier: MIT */
/* mm/heap_kernel.h - the kernel's heap: its pages and its start */
#ifndef MM_HEAP_KERNEL_H
#define MM_HEAP_KERNEL_H

#include "mm/heap.h"
#include "mm/pt.h"

/*
 * heap_kernel_start - make kernel_heap usable, over frames mapped into the heap's slot
 *
 *   kernel   the kernel's tables, in use; kva_start() has been called
 *   config   as for heap_create
 *
 *   Works before frame_start(): single frames are enough.
 *   Errors  ERR_NOMEM  no frame for the first pages
 */
err_t heap_kernel_start(struct pt *kernel, const struct heap_config *config) MUST_USE;

/* heap_kernel_map - where the kernel's heaps live; for making further heaps */
struct heap_map *heap_kernel_map(void);

/* heap_kernel_frames - frames that the kernel's heaps hold: blocks, metadata, and what is idle */
uint64_t heap_kernel_frames(void);

#endif
