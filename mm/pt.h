/* SPDX-License-Identifier: MIT */
/*
 * mm/pt.h - page tables: map, unmap, protect, move, look up
 *
 * Memory only: what the CPU must forget goes into a batch (mm/tlb.h). Ranges are a first page and a
 * number of 4 KiB pages; every range is checked before anything is done:
 *
 *     ERR_INVAL      the address or frame is not aligned, no pages, or the range wraps
 *     ERR_NOT_CANON  some of it is not canonical, or it crosses the hole
 *     ERR_PERM       it touches the recursive slot, or a top entry that belongs to the kernel's tables
 *     ERR_NOMEM      no frame for a table; nothing was changed
 */
#ifndef MM_PT_H
#define MM_PT_H

#include "mm/port.h"
#include "mm/pte.h"
#include "mm/tlb.h"

/*
 * How the mapper reaches its tables. Both ways lead to the same entries; PT_BOTH holds each entry on
 * the way against itself and panics where they differ (tables.check=1). All but PT_DIRECT need the
 * tables to be the ones in use.
 */
enum pt_way { PT_DIRECT, PT_RECURSIVE, PT_BOTH };

struct pt {
    struct irqlock lock;     /* rank 30                                                        */
    pfn_t          root;     /* [c] frame of the top table; only pt_change_levels() changes it  */
    unsigned       levels;   /* [c] 4 or 5; only pt_change_levels() changes it                 */
    enum pt_way    way;      /* [c] PT_DIRECT unless the kernel says otherwise                 */
    uint64_t       n_tables; /* [lock] frames in use for tables, the top table included        */
    struct pt     *kernel;   /* [c] whose top entries these tables share; NULL: the kernel's own */
    struct pt     *followers; /* [lock] of the kernel's tables: who shares its top entries     */
    struct pt     *next;     /* [kernel->lock] next follower                                   */
    bool           own_low;  /* [c] pt_own_low()                                               */
};

/* Beside PTE_FLAGS, pt_map() takes these. They are bits of the address field, which flags have no use for. */
#define PT_REPLACE ((uint64_t)1 << 13) /* what is mapped there goes first            */
#define PT_SMALL   ((uint64_t)1 << 14) /* 4 KiB pages, also where larger ones fit    */

/* ---- life ------------------------------------------------------------------------------------- */

/*
 * pt_create - an empty top table with its recursive slot
 *
 *   levels  4 or 5
 *   Errors  ERR_INVAL  another number of levels      ERR_NOMEM  no frame
 */
err_t pt_create(struct pt *pt, unsigned levels) MUST_USE;

/*
 * pt_share - `pt` gets the kernel's top entries, now and whenever the kernel gets a new one
 *
 *   pt      freshly created, with as many levels as the kernel's
 *   Locks   takes kernel->lock
 */
void pt_share(struct pt *pt, struct pt *kernel);

/*
 * pt_own_low - slot 0 is these tables' own from now on, with what the kernel has there copied in
 *
 *   What is mapped there in addition is seen by nobody else. The tables share the kernel's, are in use on no CPU,
 *   and what was cached of them must be flushed before they are again.
 *   Errors  ERR_NOMEM; nothing was changed
 */
err_t pt_own_low(struct pt *pt) MUST_USE;

/*
 * pt_destroy - free every table but those it shares; what was mapped is not touched
 *
 *   The tables are in use on no CPU, and no CPU caches them any more.
 */
void pt_destroy(struct pt *pt);

/*
 * pt_change_levels - from four levels to five, or from five to four; all addresses keep their meaning
 *
 *   root    the frame for the new top table, allocated, below 4 GiB if the CPU is to load it with paging off;
 *           the old one is freed
 *   load    called when the new tables are complete: the CPU must use them when it returns. Interrupts
 *           are off; nothing cached of the old tables may survive
 *
 *   Errors  ERR_BUSY   something is mapped that the other number of levels can't express, or these tables
 *                      share top entries with others      ERR_NOMEM; nothing was changed
 */
err_t pt_change_levels(struct pt *pt, pfn_t root, void (*load)(void *arg, pfn_t root), void *arg) MUST_USE;

/* ---- change ----------------------------------------------------------------------------------- */

/*
 * pt_map - map n_pages neighbouring frames, with the largest pages that fit
 *
 *   flags   of PTE_FLAGS, and PT_REPLACE, PT_SMALL
 *   b       gets what PT_REPLACE made stale; nothing else needs a flush. NULL without PT_REPLACE
 *
 *   Errors  those above; ERR_INVAL for frames beyond MAXPHYADDR, unknown flags, PTE_NX without NX, PTE_U in
 *           the kernel's half, PTE_G in tables that share the kernel's;
 *           ERR_EXISTS  a page is mapped already (without PT_REPLACE)
 *           ERR_ALIAS   the frames are in use with another cache type (mm/memtype.h)
 *   Locks   takes pt->lock
 *   Cost    about 8 instructions per 4 KiB page in bulk
 */
err_t pt_map(struct pt *pt, va_t start, pfn_t frame, uint64_t n_pages, uint64_t flags,
             struct tlb_batch *b) MUST_USE;

/* pt_map_frames - the same with 4 KiB pages for a list of frames, frames[n_pages]; not PT_REPLACE */
err_t pt_map_frames(struct pt *pt, va_t start, const pfn_t frames[], uint64_t n_pages, uint64_t flags) MUST_USE;

/*
 * pt_map_lazy - n_pages in the kernel's half that get a frame of zeroes each when they are first touched
 *
 *   Tables are built, entries wait (mm/pt_lazy.c). pt_protect() passes them over.
 *   Errors  as pt_map()
 */
err_t pt_map_lazy(struct pt *pt, va_t start, uint64_t n_pages, uint64_t flags) MUST_USE;

/*
 * pt_first_touch - if a page waits at v, it has its frame now; for the page-fault handler
 *
 *   ERR_OK: the access can be repeated.
 *   Errors  ERR_NOENT  nothing waits there      ERR_NOMEM  no frame; it goes on waiting
 *   Locks   none; frames' are taken
 */
err_t pt_first_touch(const struct pt *pt, va_t v) MUST_USE;

/*
 * pt_unmap - nothing is mapped in the range afterwards; holes are no error
 *
 *   The frames stay their owner's, who frees them after tlb_batch_close(b). Emptied tables are freed.
 *   Errors  those above; ERR_NOMEM only when a large page must be split
 */
err_t pt_unmap(struct pt *pt, va_t start, uint64_t n_pages, struct tlb_batch *b) MUST_USE;

/*
 * pt_release - pt_unmap(), and free the frames: what a 4 KiB page maps as a block of order 0, large
 *              pages as blocks of their size
 *
 *   Flushes as it goes. space as for tlb_batch_open().
 *   Locks   none may be held (tlb_batch_close())
 */
err_t pt_release(struct pt *pt, va_t start, uint64_t n_pages, struct tlb_space *space) MUST_USE;

/* Which frames go with their entries, and how many did */
struct pt_marks {
    uint64_t owned;    /* those whose entries have all these bits ...                       */
    uint64_t counted;  /* ... with one of these, too: others may share them, mm/framedb.h   */
    uint64_t n_frames; /* result: frames behind the entries of those                        */
};

/* pt_release_marked - the same, but of frames only those that are marked as owned */
err_t pt_release_marked(struct pt *pt, va_t start, uint64_t n_pages, struct pt_marks *marks,
                        struct tlb_space *space) MUST_USE;

/*
 * pt_protect - the pages of the range that are mapped get these flags; holes are no error
 *
 *   flags   as for pt_map(): W, U, G, NX and key are replaced. The cache type, A, D and software's bits stay.
 *   Errors  those above; ERR_INVAL  flags ask for a cache type: unmap, and map again with that type
 */
err_t pt_protect(struct pt *pt, va_t start, uint64_t n_pages, uint64_t flags, struct tlb_batch *b) MUST_USE;

/* pt_protect_marked - the same, but W, if it is among the flags, only for entries whose bits of `mark` are `match` */
err_t pt_protect_marked(struct pt *pt, va_t start, uint64_t n_pages, uint64_t flags, uint64_t mark, uint64_t match,
                        struct tlb_batch *b) MUST_USE;

/*
 * pt_move - what is mapped at `from` is mapped at `to` instead; no frame is touched
 *
 *   The ranges may not overlap and lie in one half of the address space; nothing may be mapped at `to`.
 *   Pages keep their size where both addresses allow it. Holes move, too.
 *   Errors  those above; ERR_INVAL  they overlap      ERR_EXISTS
 */
err_t pt_move(struct pt *pt, va_t from, va_t to, uint64_t n_pages, struct tlb_batch *b) MUST_USE;

/*
 * pt_copy - `to` maps what `from` maps in a range, at the same addresses, without these flags
 *
 *   The range is whole top entries, and empty in `to`, which nobody else uses yet. A and D are off in the copy.
 *   Pages of anything but write-back RAM are left out.
 *   without  PTE_W, software's bits
 *   Errors   those above; ERR_INVAL  not whole top entries      ERR_EXISTS
 */
err_t pt_copy(struct pt *to, struct pt *from, va_t start, uint64_t n_pages, uint64_t without) MUST_USE;

/*
 * pt_join - make large pages of tables whose 512 entries map neighbouring frames with equal flags
 *
 *   A and D become the OR of theirs.
 *   joined  how many large pages came to exist
 */
err_t pt_join(struct pt *pt, va_t start, uint64_t n_pages, struct tlb_batch *b, uint64_t *joined) MUST_USE;

/* ---- look: without the lock; the caller knows that the range stays as it is, or only shows it --- */

/*
 * pt_translate - the physical address behind a virtual one
 *
 *   Errors  ERR_NOT_CANON      ERR_NOENT  nothing is mapped there
 */
err_t pt_translate(const struct pt *pt, va_t v, pa_t *out) MUST_USE;

/* pt_translate_recursive - the same, read through the recursive slot; the tables are the ones in use */
err_t pt_translate_recursive(const struct pt *pt, va_t v, pa_t *out) MUST_USE;

/* pt_entry_address - the virtual address, in the recursive slot, of the entry of `level` that maps v */
va_t pt_entry_address(const struct pt *pt, va_t v, unsigned level);

/* One walk, entry by entry, from the top */
struct pt_walk {
    unsigned levels;
    unsigned last;                      /* level of the last entry read: the page's, or where nothing was */
    bool     canonical;                 /* false: no entry was read                                       */
    bool     mapped;
    bool     reserved;                  /* the last entry has bits that fault                             */
    bool     w, u, x;                   /* rights of the whole path                                       */
    pte_t    entry[PT_LEVELS_MAX + 1];  /* by level; [last..levels] are valid                             */
    pa_t     where[PT_LEVELS_MAX + 1];  /* physical address of each entry                                 */
    pa_t     pa;                        /* what v translates to; valid if mapped                          */
};

/* pt_walk - what the CPU would find on its way to v; shown, never followed beyond what is present */
void pt_walk(const struct pt *pt, va_t v, struct pt_walk *out);

/* A run of neighbouring pages with equal rights, whatever their sizes and frames */
struct pt_range {
    va_t     start;
    uint64_t n_pages;
    uint64_t flags;                 /* W and U of the whole path, NX if any entry on it has it; the leaf's G, key, cache */
    uint64_t n_leaf[LEVEL_1G + 1];  /* pages by level                                                        */
    pfn_t    frame;                 /* of the first page                                                     */
    bool     contiguous;            /* frames follow one another through the whole run                       */
};

/*
 * pt_ranges - call fn for each run of mapped pages in [start, start + n_pages), lowest first
 *
 *   The recursive slot is left out. fn returns false to stop.
 */
err_t pt_ranges(const struct pt *pt, va_t start, uint64_t n_pages,
                bool (*fn)(void *arg, const struct pt_range *range), void *arg) MUST_USE;

/*
 * pt_check - hold every table against the invariants I1 to I5 of mm/pt.c
 *
 *   Returns NULL, or the first broken one in words. Cost: reads every table.
 */
const char *pt_check(struct pt *pt);

#endif
