/* SPDX-License-Identifier: MIT */
/* mm/region_in.h - what the files behind mm/region.h share; nobody else includes it */
#ifndef MM_REGION_IN_H
#define MM_REGION_IN_H

#include "mm/bits.h"
#include "mm/port.h"
#include "mm/pt_cell.h"
#include "mm/region.h"

#define HUGE_PAGES ((uint64_t)TABLE_ENTRIES) /* of 4 KiB, in one of 2 MiB */
#define HUGE_ORDER 9

/* ---- changing a space: between these, regions and tables are the caller's; no lock is held ---------- */

void as_begin(struct as *as);
void as_end(struct as *as);

/* ---- regions (mm/region.c) -------------------------------------------------------------------------- */

/* The region that holds `page`, NULL if none does: often the one that was found last */
static inline struct region *region_at(struct as *as, uint64_t page)
{
    struct region *r = as->last;

    if (LIKELY(r != NULL && page >= r->span.page && page < r->span.end))
        return r;
    r = (struct region *)(void *)span_find(&as->regions, page);
    if (r != NULL)
        as->last = r;
    return r;
}

/* ... or the next one above */
static inline struct region *region_from(const struct as *as, uint64_t page)
{
    return (struct region *)(void *)span_from(&as->regions, page);
}

/* What is written to it stays the space's own */
static inline bool region_private(const struct region *r) { return r->kind != REGION_SHARED && r->kind != REGION_PHYS; }

/* Zeroes at first, all of it */
static inline bool region_anonymous(const struct region *r) { return r->kind <= REGION_STACK; }

/* What entries of the region's pages have besides the frame; W if the frame is not to be shared */
static inline uint64_t region_flags(const struct region *r)
{
    return (r->prot != 0 ? PTE_U : 0) | ((r->prot & REGION_W) != 0 ? PTE_W : 0) |
           ((r->prot & REGION_X) == 0 && pte_cpu.nx ? PTE_NX : 0) | r->cache;
}

static inline va_t page_address(uint64_t page) { return va(page << PAGE_SHIFT); }

/* A range as pages, all in the process's part: ERR_INVAL */
struct pages { uint64_t first, end; };
err_t pages_of(const struct as *as, va_t start, uint64_t n_pages, struct pages *out) MUST_USE;

/* ERR_NOENT: some page is in no region */
err_t pages_covered(struct as *as, struct pages p) MUST_USE;

/*
 * A cut in three steps: everything that can fail, twice nothing that can. Afterwards regions begin and end at
 * the range's ends, and no 2 MiB page reaches across them.
 */
struct cuts {
    struct region *node[2];
    unsigned       n;
    uint64_t       stack_end; /* a stack was cut: what ends here is anonymous memory now, 0: none was */
};
err_t cuts_ready(struct as *as, struct pages p, struct cuts *c) MUST_USE;
void  cuts_make(struct as *as, struct pages p, struct cuts *c);
void  cuts_drop(struct as *as, struct cuts *c);
void  cuts_done(struct as *as, const struct cuts *c); /* the last step, after what the cuts were for */

/* Is b what would come of a if that were longer? */
bool region_could_join(const struct region *a, const struct region *b);

/* Neighbours at this page's start become one if they can */
void region_join(struct as *as, uint64_t page);

/* Pages of a region that count as promised if it is writable and private */
static inline uint64_t region_promise(const struct region *r)
{
    return r->span.end - (r->kind == REGION_STACK ? r->low : r->span.page);
}

/* The stack has grown down to this page. ERR_NOMEM: it may not */
err_t region_grow(struct as *as, struct region *r, uint64_t page) MUST_USE;

/* n pages more may be promised to the space, or less */
err_t as_promise(struct as *as, uint64_t n_pages) MUST_USE;
void  as_unpromise(struct as *as, uint64_t n_pages);

/* What the space owns in these pages goes, and what is mapped there; no 2 MiB page reaches across an end */
void as_drop_pages(struct as *as, struct pages p);

/* The operations, inside as_begin() */
err_t region_add(struct as *as, const struct region_want *want, va_t *out) MUST_USE;
err_t region_remove(struct as *as, struct pages p) MUST_USE;
void  region_forget(struct as *as, struct region *r);

/* Frames and tables of the space, and n more: is that within its limit? */
static inline bool as_within(const struct as *as, uint64_t n)
{
    return as->owned + as->pt.n_tables + n <= as->limit;
}

/* ---- faults (mm/fault_user.c decides, mm/fault_do.c does) ------------------------------------------------ */

struct fault_view {
    const struct region *region; /* NULL: none                                             */
    uint64_t             page;
    pte_t                pte;    /* where the walk ended                                   */
    bool                 zero;   /* it maps the frame of zeroes                            */
    unsigned             refs;   /* how many share its frame                               */
    bool                 huge;   /* 2 MiB at once: asked for, nothing there yet, all inside the region, within limits */
    bool                 write, fetch;
};

/* The truth table. *denial is written with FAULT_DENY only. */
enum fault_plan fault_decide(const struct fault_view *v, enum fault_denial *denial);

/* A fault on its way */
struct fault_job {
    struct as         *as;
    struct region     *region;
    struct pt_spot     place;  /* of the page; valid if there is a region            */
    struct fault_view  view;
    enum fault_plan    plan;
    enum fault_denial  denial;
    struct tlb_batch   batch;  /* open if `stale`                                     */
    bool               stale;
    bool               grew;
    struct as_fault_report *report; /* NULL: nobody wants to know                    */
    va_t               address; /* as the CPU said, for the report                    */
    uint64_t           error;
};

/* fault_look - the region, the entry, who shares its frame; and what that leads to */
void fault_look(struct fault_job *j, uint64_t page, bool write, bool fetch);

/* Everything there at once: pages of a range, as if touched. Inside as_begin(). */
err_t as_populate(struct as *as, struct pages p) MUST_USE;

/* ---- 2 MiB pages (mm/huge.c); inside as_begin() ----------------------------------------------------------- */

#define HUGE_AT 384 /* of 512 pages must be there: a span that is touched so much becomes one page */

/* Could these 2 MiB around `page` be one page of the region? */
static inline bool huge_fits(const struct region *r, uint64_t page)
{
    uint64_t first = align_down(page, HUGE_PAGES);

    return r->kind <= REGION_HEAP && (r->prot & REGION_W) != 0 && (r->flags & REGION_NO_HUGE) == 0 &&
           first >= r->span.page && first + HUGE_PAGES <= r->span.end;
}

err_t huge_alloc(bool zeroed, pfn_t *out) MUST_USE;

/* The pages around `page` are 512; what is there is kept */
void huge_promote(struct as *as, const struct region *r, uint64_t page);

/* The 2 MiB page around `page` is copied because others share it: to a block, else to 512 frames */
err_t huge_copy(struct as *as, const struct region *r, uint64_t page) MUST_USE;

/* No 2 MiB page that the space owns reaches across `page` afterwards */
err_t huge_split(struct as *as, uint64_t page) MUST_USE;

/* ---- shared objects (mm/shared.c) -------------------------------------------------------------------------- */

void  shared_hold(struct shared *s);
err_t shared_frame(struct shared *s, uint64_t page, pfn_t *out) MUST_USE;

/* ---- promises (mm/commit.c) --------------------------------------------------------------------------------- */

err_t commit_take(uint64_t n_pages) MUST_USE;
void  commit_give(uint64_t n_pages);

/* The frame of zeroes that all spaces share, while there is a space (mm/as.c) */
pfn_t as_zero_frame(void);

#endif
