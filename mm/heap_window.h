/* SPDX-License-Identifier: MIT */
/* mm/heap_window.h - a page source over one range of addresses that we divide ourselves */
#ifndef MM_HEAP_WINDOW_H
#define MM_HEAP_WINDOW_H

#include "mm/heap_pages.h"
#include "mm/port.h"

struct heap_window;

#define HEAP_COMMIT_MAX 32

/* How the pages behind the addresses come and go; both kinds of memory, blocks and metadata */
struct heap_window_ops {
    /*
     * commit - [start, start + n pages), n up to HEAP_COMMIT_MAX, shall be usable; *zeroed: does it read as zero?
     *          Called with irqlocks held: it must not take back what it has mapped.
     * decommit - its memory may go; called without any lock, since a TLB must be flushed
     *
     *   Errors  ERR_NOMEM  nothing was committed
     */
    err_t (*commit)(struct heap_window *w, void *start, size_t n_pages, bool *zeroed);
    void (*decommit)(struct heap_window *w, void *start, size_t n_pages);
};

/* 64 pages of the window */
struct heap_window_word {
    uint64_t taken; /* handed out                          */
    uint64_t idle;  /* given back, but still has its memory */
};

struct heap_window {
    struct heap_pages             pages; /* first: the source that heap_map_open wants          */
    const struct heap_window_ops *ops;
    struct irqlock                lock;
    struct heap_window_word      *words; /* per 64 pages                                         */
    uint64_t                      low;   /* no page below is free                                */
    uint64_t                      high;  /* no page at or above was ever taken; words exist below */
    _Atomic uint64_t              n_idle;
    uint64_t                      n_committed; /* pages, metadata and bitmap included            */
};

/* heap_window_bytes - reserved addresses that a window of n pages needs: the pages, metadata, bitmap */
uint64_t heap_window_bytes(uint64_t n_pages);

/*
 * heap_window_open - a source of n_pages at `start`, which is heap_window_bytes(n_pages) of reserved
 * addresses without memory
 *
 *   Errors  ERR_INVAL  not page-aligned
 */
err_t heap_window_open(struct heap_window *w, void *start, uint64_t n_pages, const struct heap_window_ops *ops) MUST_USE;

/* heap_window_close - decommit what is idle, and the bitmap; everything must have been given back */
void heap_window_close(struct heap_window *w);

#endif
