/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_pages.h - where a heap's pages come from
 *
 * A source has a *window*, one range of addresses in which it hands out pages for slabs and
 * extents, and, wherever it likes, *runs* for large blocks. The kernel's source maps frames
 * (mm/heap_kernel.c), the one on Linux takes them from the buddy manager over a reserved range.
 */
#ifndef MM_HEAP_PAGES_H
#define MM_HEAP_PAGES_H

#include "mm/err.h"
#include "mm/types.h"

struct heap_pages;

struct heap_pages_ops {
    /*
     * take - n neighbouring pages inside the window, readable and writable, contents undefined
     * give - take back any part of what take handed out
     *
     *   The lower the addresses taken, the less metadata. Called with the heap's lock held.
     *   Errors  ERR_NOMEM
     */
    err_t (*take)(struct heap_pages *source, size_t n_pages, void **out);
    void (*give)(struct heap_pages *source, void *start, size_t n_pages);

    /*
     * settle - a good moment, without locks, to really let go of what was given: all of it, or only
     * as much as keeps the reserve bounded
     */
    void (*settle)(struct heap_pages *source, bool all);

    /*
     * meta - make a page of the metadata range usable: zero when seen first
     * meta_drop - undo that, for all pages in [start, start + bytes)
     */
    err_t (*meta)(struct heap_pages *source, void *page);
    void (*meta_drop)(struct heap_pages *source, void *start, size_t bytes);

    /*
     * run_take - n pages in a row for one large block; *zeroed says whether they read as zero
     * run_give - the whole run, as taken or as resized last
     * run_resize - make the run longer or shorter, moving it without copying if need be
     *
     *   Called without any lock of the heap's.
     *
     *   Errors  ERR_NOMEM     ERR_NOSYS  run_resize cannot do this one (the heap will copy)
     */
    err_t (*run_take)(struct heap_pages *source, size_t n_pages, size_t align_pages, void **out, bool *zeroed);
    void (*run_give)(struct heap_pages *source, void *start, size_t n_pages);
    err_t (*run_resize)(struct heap_pages *source, void *start, size_t n_old, size_t n_new, void **out);

    /*
     * guard - this page of a run shall fault when touched; the run's give and resize take it back
     *
     *   NULL: there is a guard page behind each run as it is.
     */
    void (*guard)(struct heap_pages *source, void *page, bool fault);
};

struct heap_pages {
    const struct heap_pages_ops *ops;
    uintptr_t base;    /* first byte of the window, on a page boundary          */
    uint64_t  n_pages; /* in the window, at most 2^25 (128 GiB)                  */
    void     *meta;    /* heap_map_bytes(n_pages) of reserved addresses for the heap's metadata */
};

/* heap_map_bytes - size of the metadata range of a window; only what is used of it needs memory */
uint64_t heap_map_bytes(uint64_t n_pages);

#endif
