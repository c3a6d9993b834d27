/* SPDX-License-Identifier: MIT */
/*
 * mm/region.h - what a process has mapped: the regions of its space, and page faults in them
 *
 * A region is a run of pages with one purpose and one set of rights. Nothing is behind its pages until
 * they are touched: as_fault() puts it there. mm/region.c and mm/fault_user.c tell how it works.
 *
 * What changes regions may be called by several threads of a process at a time, in thread context with
 * interrupts on: who comes second waits. Faults that come meanwhile are told to try again.
 *
 *     ERR_INVAL   not aligned, no pages, not in the process's part of the space, unknown bits
 *     ERR_NOENT   some of the range is in no region
 *     ERR_NOMEM   frames, room, what may be promised, or the number of regions; nothing was changed
 */
#ifndef MM_REGION_H
#define MM_REGION_H

#include "mm/as.h"
#include "mm/fault.h"
#include "mm/span_tree.h"

enum region_kind {
    REGION_ANON,   /* zeroes at first                                                    */
    REGION_HEAP,   /* the same; as_brk() moves its end                                   */
    REGION_STACK,  /* the same; grows downwards by faults. Its lowest page is a guard    */
    REGION_IMAGE,  /* a file's bytes, then zeroes; what is written stays the space's own */
    REGION_SHARED, /* a shared object's memory: what is written all see                  */
    REGION_PHYS,   /* physical addresses that are not the allocator's: a device          */
    REGION_KINDS
};

/* Rights, as PROT_* of core/proc/abi.h. On x86-64 what may be written or executed can be read. */
#define REGION_R 1u
#define REGION_W 2u
#define REGION_X 4u

/* What has been asked for a region */
#define REGION_HUGE    1u /* 2 MiB pages from the first touch on            */
#define REGION_NO_HUGE 2u /* never 2 MiB pages                              */
#define REGION_LOCKED  4u /* everything is there, and stays                 */

#define REGIONS_MAX 65536 /* of one space */

/* A file in memory. It stays where and as it is while anybody may map it: the program files do for ever. */
struct image_file {
    const char *name;
    pfn_t       first; /* its bytes begin with this frame; the others follow it */
    uint64_t    n_bytes;
};

struct region {
    struct span_node  span;  /* pages [span.page, span.end)                                      */
    enum region_kind  kind;
    unsigned          prot;  /* of REGION_R, W, X                                                */
    unsigned          flags; /* of REGION_HUGE, NO_HUGE, LOCKED                                  */
    bool              promised; /* private, and may be written, or could once: its pages count   */
    uint64_t          low;   /* stack: it has grown down to this page                            */
    uint64_t          offset; /* image, shared, phys: page of the object (frame) at its first page */
    uint64_t          file_bytes; /* image: bytes from the file, counted from its first page; then zeroes */
    const struct image_file *file; /* image                                                      */
    struct shared    *shared; /* shared: holds one reference                                     */
    uint64_t          cache; /* phys: PTE_CACHE_*                                                */
};

/* region_kind_name - "anonymous", "heap", "stack", "image", "shared", "device" */
const char *region_kind_name(enum region_kind kind);

/* region_start, region_pages - a region in addresses */
static inline va_t     region_start(const struct region *r) { return va(r->span.page << PAGE_SHIFT); }
static inline uint64_t region_pages(const struct region *r) { return r->span.end - r->span.page; }

/* ---- changing -------------------------------------------------------------------------------- */

struct region_want {
    va_t                     start;   /* 0: the highest address with room below the others; else there or not at all */
    uint64_t                 n_pages; /* of a stack: its guard page among them                    */
    enum region_kind         kind;
    unsigned                 prot;
    unsigned                 flags;
    const struct image_file *file;       /* image                                                 */
    uint64_t                 offset;     /* image, shared: of its first byte; a multiple of PAGE_SIZE [bytes] */
    uint64_t                 file_bytes; /* image: from the file; what is beyond is zero          */
    struct shared           *shared;     /* shared: the region takes a reference of its own       */
    pfn_t                    frame;      /* phys                                                  */
    uint64_t                 cache;      /* phys: PTE_CACHE_*                                     */
};

/*
 * as_region_add - a new region; what fits to a neighbour of the same kind becomes one with it
 *
 *   out     its first page, written only on ERR_OK. Of 2 MiB or more: a multiple of 2 MiB when
 *           the place was ours to choose
 *   Errors  those above; ERR_EXISTS  something is there already      ERR_PERM  REGION_W and REGION_X together
 */
err_t as_region_add(struct as *as, const struct region_want *want, va_t *out) MUST_USE;

/*
 * as_region_remove - nothing is there afterwards; holes are no error
 *
 *   A stack that loses its upper part stays one; what is left above a hole is anonymous memory.
 */
err_t as_region_remove(struct as *as, va_t start, uint64_t n_pages) MUST_USE;

/*
 * as_region_protect - other rights for pages that are all in regions; what they hold stays
 *
 *   Errors  those above; ERR_PERM  REGION_W and REGION_X together
 */
err_t as_region_protect(struct as *as, va_t start, uint64_t n_pages, unsigned prot) MUST_USE;

/*
 * as_region_remap - make pages of one region more or fewer: in place if there is room behind them,
 *                   else, if they may, at another address. Tables move; not a byte is copied
 *
 *   old_n, new_n  pages
 *   out           where they are now; written only on ERR_OK
 *   Errors        those above; ERR_INVAL  a stack, the heap, a device; beyond a shared object's end; not all in one region
 */
err_t as_region_remap(struct as *as, va_t old, uint64_t old_n, uint64_t new_n, bool may_move, va_t *out) MUST_USE;

/* as_heap_at - the heap begins here, empty; page-aligned, before the first as_brk() */
void as_heap_at(struct as *as, va_t start);

/*
 * as_brk - the heap ends at this byte from now on; 0: only ask
 *
 *   out     where it ends now
 *   Errors  ERR_INVAL  below its start      ERR_EXISTS  a region is in the way      ERR_NOMEM
 */
err_t as_brk(struct as *as, va_t end, va_t *out) MUST_USE;

/* as_limit - frames and tables the space may own at most; 0: as many as there are */
void as_limit(struct as *as, uint64_t n_pages);

enum as_advice { AS_NORMAL, AS_WILL_NEED, AS_DONT_NEED, AS_HUGE, AS_NO_HUGE }; /* as enum advice of core/proc/abi.h */

/*
 * as_advise - what the process knows of pages that are all in regions
 *
 *   will need  they are put there now, as if written where that is allowed, else as if read
 *   don't need what the space owns there is dropped: zeroes, or the file's bytes, next time
 *   huge, no huge, normal  2 MiB pages at first touch; never; when a span has been touched enough (mm/huge.c)
 *   Errors  those above; of `will need` ERR_NOMEM leaves there what came before
 *           ERR_PERM  don't need, and something of it is locked
 */
err_t as_advise(struct as *as, va_t start, uint64_t n_pages, enum as_advice advice) MUST_USE;

/* as_lock - pages that are all in regions are put there and stay (true), or may go (false) */
err_t as_lock(struct as *as, va_t start, uint64_t n_pages, bool locked) MUST_USE;

/*
 * as_fork - a new space with the same regions and contents; `child` is no space yet
 *
 *   What the parent owns is shared, read-only in both, until one of them writes: whole 2 MiB pages, too.
 *   Shared memory stays shared.
 *   Errors  ERR_NOMEM  nothing was created; the parent's pages may fault once more
 */
err_t as_fork(struct as *child, struct as *parent) MUST_USE;

/* ---- faults ------------------------------------------------------------------------------------ */

struct as_fault_report {
    enum fault_plan   plan;
    enum fault_denial denial; /* FAULT_NOT_DENIED with ERR_OK                              */
    bool              grew;   /* the stack, or the first on a page of the heap             */
    bool              huge;   /* it was about 2 MiB                                        */
    struct fault      what;   /* valid with a denial: pure, write, permission; which level */
    struct region     region; /* valid but for FAULT_NO_REGION, FAULT_NOT_USERS            */
};

/*
 * as_fault - ring 3, or the kernel for it, could not access an address
 *
 *   error   as the CPU pushed it
 *   report  always written; NULL: not asked for, which makes a refusal 300 instructions cheaper
 *
 *   Returns ERR_OK     try the access again
 *           ERR_NOENT  nothing is there, or it is a guard page      ERR_PERM  the region forbids it
 *           ERR_NOMEM  no frame, or over the limit      ERR_ALIAS  see FAULT_ALIAS; nothing was changed
 *   Locks   takes as->lock; none may be held
 */
err_t as_fault(struct as *as, va_t address, uint64_t error, struct as_fault_report *report) MUST_USE;

/* ---- looking ----------------------------------------------------------------------------------- */

struct as_memory {
    uint64_t regions;
    uint64_t mapped_pages;    /* in regions                                                        */
    uint64_t resident_pages;  /* mapped to frames, the frame of zeroes and devices not counted     */
    uint64_t owned_pages;     /* of these, the space's own, alone or with others after a fork      */
    uint64_t shared_pages;    /* of the resident ones, in use by others, too                       */
    uint64_t zero_pages;      /* mapped to the frame of zeroes                                     */
    uint64_t huge_pages;      /* of 2 MiB                                                          */
    uint64_t locked_pages;    /* in locked regions                                                 */
    uint64_t table_pages;
    uint64_t promised_pages;  /* what the space may come to own without asking again               */
    uint64_t limit_pages;
    uint64_t faults[FAULT_PLANS];
    uint64_t faults_grow;
};

/* as_memory - counts; reads every table */
void as_memory(struct as *as, struct as_memory *out);

/* as_region_next - the region that holds `from`, or the next one above it; ERR_NOENT: none */
err_t as_region_next(struct as *as, va_t from, struct region *out) MUST_USE;

/* as_regions_check - NULL, or what is wrong with the regions of a space and what is mapped in them */
const char *as_regions_check(struct as *as);

/* ---- what may be promised ----------------------------------------------------------------------- */

/*
 * Pages that a space may write without asking again are promised: private writable ones, stacks as far as they have
 * grown, shared objects. heuristic: a promise is refused only if no machine like this could keep it alone;
 * strict: if not all together can be kept.
 */
enum overcommit { OVERCOMMIT_HEURISTIC, OVERCOMMIT_STRICT };

void     commit_policy(enum overcommit policy);
uint64_t commit_pages(void); /* promised now, by all spaces */

#endif
