/* SPDX-License-Identifier: MIT */
/*
 * mm/fault_do.c - a page fault in a process: doing something about it
 *
 * Promise     After ERR_OK the access can be repeated; after any error everything is as it was.
 *
 * Steps       look     the region, the entry, how many share its frame: mm/fault_user.c
 *             decide   the same
 *             act      a frame, if one is needed; tables, if some are missing; then the entry, in one store
 *             after    the stack's new low-water mark, counters; a span that is full enough becomes 2 MiB
 *
 * Quick, slow What needs no flush elsewhere and no 2 MiB is done under as->lock, interrupts off: at most one frame is
 *             zeroed or copied. Else the space is made busy, as for changes (mm/region.c), and nothing is locked.
 *
 * Replacing   An entry that leads to a frame others share is replaced by one that leads to the copy. On one CPU that
 *             is one store and one INVLPG. With others, the old entry first goes, everywhere, and only then comes the
 *             new one: else a CPU with the old translation could read what was there before another's write.
 *
 * Flush       0 to present needs none, nor does read-only to writable: at most one more fault, which finds that there
 *             is nothing to do.
 *
 * Limit       Frames and tables together; asked before a frame is taken. Tables that the fault adds are at most three,
 *             and are seen by the next.
 *
 * Locks       as->lock, rank 28; a shared object's (29), frames' records and frames under it
 *
 * Failure     the frame is given back if there is no table for it
 *
 * Sources     SDM 3A "Optional Invalidation", "Accessed and Dirty Flags" (A and D set beforehand save the CPU a
 *             locked write)
 */
#include "mm/region_in.h"

#include "mm/frame.h"
#include "mm/shared.h"
#include "mm/zero.h"

static va_t address_of(const struct fault_job *j) { return page_address(j->view.page); }

/* Does it need 2 MiB, or other CPUs to flush before it can go on? */
static bool slow(const struct fault_job *j)
{
    bool present = pte_present(j->view.pte);

    if (j->plan == FAULT_NEW_HUGE)
        return true;
    return (j->plan == FAULT_COPY || j->plan == FAULT_NEW_ZERO) && present &&
           (j->place.level > LEVEL_4K || port_cpus() > 1);
}

/* ---- act --------------------------------------------------------------------------------------------- */

static void open_batch(struct fault_job *j)
{
    if (!j->stale)
        tlb_batch_open(&j->batch, &j->as->tlb);
    j->stale = true;
}

/* The present entry becomes e; a frame that the space had there is let go of after the flush */
static void replace(struct fault_job *j, pte_t e)
{
    bool  alone = port_cpus() == 1, taken;
    pte_t old;

    open_batch(j);
    old = pt_swap(&j->as->pt, &j->place, address_of(j), alone ? e : (pte_t){ 0 }, &j->batch);
    if (!alone) {
        tlb_batch_close(&j->batch);
        pte_publish(j->place.cell, e);
    }
    if ((old.raw & AS_OWNED) == 0)
        return;
    taken = tlb_free_block(&j->batch, pte_frame(old, LEVEL_4K), 0, (old.raw & AS_COUNTED) != 0);
    ASSERT(taken);
    j->as->owned--;
}

/* The entry for the page maps this frame */
static err_t put(struct fault_job *j, pfn_t frame, uint64_t flags)
{
    pte_t e = pte_leaf(frame, flags | PTE_A | (j->view.write ? PTE_D : 0), LEVEL_4K);
    err_t err;

    if (pte_present(j->view.pte)) {
        replace(j, e);
        return ERR_OK;
    }
    if (UNLIKELY(j->place.level > LEVEL_4K)) {
        err = pt_deepen(&j->as->pt, address_of(j), LEVEL_4K, &j->place);
        if (err != ERR_OK)
            return err;
    }
    pt_put(&j->place, e);
    return ERR_OK;
}

/* The same for a frame that the space owns from now on; on an error it is freed */
static err_t put_own(struct fault_job *j, pfn_t frame)
{
    err_t err = put(j, frame, region_flags(j->region) | AS_OWNED), freed;

    if (err == ERR_OK) {
        j->as->owned++;
        return ERR_OK;
    }
    freed = frame_free(frame);
    ASSERT(freed == ERR_OK);
    return err;
}

static err_t new_zero(struct fault_job *j)
{
    pfn_t frame;
    err_t err = frame_alloc_zeroed(&frame);

    return err == ERR_OK ? put_own(j, frame) : err;
}

static err_t new_huge(struct fault_job *j)
{
    pte_t e;
    pfn_t block;
    err_t err;

    if (huge_alloc(true, &block) != ERR_OK) {
        j->plan = j->view.write ? FAULT_NEW_ZERO : FAULT_MAP_ZERO; /* no block so large: what can be had will do */
        return j->view.write ? new_zero(j) : put(j, as_zero_frame(), region_flags(j->region) & ~PTE_W);
    }
    if (j->place.level > LEVEL_2M) {
        err = pt_deepen(&j->as->pt, address_of(j), LEVEL_2M, &j->place);
        if (err != ERR_OK) {
            if (frame_free_order(block, HUGE_ORDER) != ERR_OK)
                PANIC("a block just taken can't be given back");
            return err;
        }
    }
    e = pte_leaf(block, region_flags(j->region) | AS_OWNED | PTE_A | PTE_D, LEVEL_2M);
    pt_put(&j->place, e);
    j->as->owned += HUGE_PAGES;
    return ERR_OK;
}

static uint64_t at_in_object(const struct fault_job *j) { return j->region->offset + (j->view.page - j->region->span.page); }

static err_t new_image(struct fault_job *j)
{
    const struct region *r = j->region;
    uint64_t             at = (j->view.page - r->span.page) << PAGE_SHIFT, n = min_u64(r->file_bytes - at, PAGE_SIZE);
    pfn_t                frame;
    err_t                err = frame_alloc(0, &frame);
    uint8_t             *to;

    if (err != ERR_OK)
        return err;
    to = port_ptr(pfn_to_pa(frame));
    __builtin_memcpy(to, port_ptr(pfn_to_pa(pfn_add(r->file->first, at_in_object(j)))), n);
    __builtin_memset(to + n, 0, PAGE_SIZE - n);
    return put_own(j, frame);
}

static err_t map_shared(struct fault_job *j)
{
    pfn_t frame;
    err_t err = shared_frame(j->region->shared, at_in_object(j), &frame);

    return err == ERR_OK ? put(j, frame, region_flags(j->region)) : err;
}

static err_t copy(struct fault_job *j)
{
    pfn_t frame;
    err_t err;

    if (j->place.level > LEVEL_4K)
        return huge_copy(j->as, j->region, j->view.page);
    err = frame_alloc(0, &frame);
    if (err != ERR_OK)
        return err;
    __builtin_memcpy(port_ptr(pfn_to_pa(frame)), port_ptr(pfn_to_pa(pte_frame(j->view.pte, LEVEL_4K))), PAGE_SIZE);
    return put_own(j, frame);
}

static void make_writable(const struct fault_job *j)
{
    atomic_fetch_or_explicit(&j->place.cell->raw, PTE_W | PTE_A | PTE_D, memory_order_relaxed);
    if ((j->view.pte.raw & AS_COUNTED) != 0)
        atomic_fetch_and_explicit(&j->place.cell->raw, ~AS_COUNTED, memory_order_relaxed);
}

static err_t act(struct fault_job *j)
{
    switch (j->plan) {
    case FAULT_NEW_ZERO:
        return new_zero(j);
    case FAULT_MAP_ZERO:
        return put(j, as_zero_frame(), region_flags(j->region) & ~PTE_W);
    case FAULT_NEW_HUGE:
        return new_huge(j);
    case FAULT_MAP_IMAGE:
        return put(j, pfn_add(j->region->file->first, at_in_object(j)), region_flags(j->region) & ~PTE_W);
    case FAULT_NEW_IMAGE:
        return new_image(j);
    case FAULT_MAP_SHARED:
        return map_shared(j);
    case FAULT_MAP_PHYS:
        return pt_map(&j->as->pt, address_of(j), pfn(at_in_object(j)), 1, region_flags(j->region), NULL);
    case FAULT_COPY:
        return copy(j);
    case FAULT_MAKE_WRITABLE:
        make_writable(j);
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

/* Act, within the limit and what may be promised; the stack's growth is part of it */
static err_t carry_out(struct fault_job *j)
{
    struct region *r = j->region;
    uint64_t       low = r->low;
    err_t          err = ERR_OK;

    if (UNLIKELY(!as_within(j->as, 1)) && j->plan != FAULT_MAKE_WRITABLE) {
        j->denial = FAULT_OVER_LIMIT;
        return ERR_NOMEM;
    }
    if (r->kind == REGION_STACK && j->view.page < low) {
        j->grew = true;
        err = region_grow(j->as, r, j->view.page);
    }
    if (err == ERR_OK)
        err = act(j);
    if (LIKELY(err == ERR_OK)) {
        j->grew |= r->kind == REGION_HEAP && !pte_present(j->view.pte);
        return ERR_OK;
    }
    if (r->low != low) {
        if (r->promised)
            as_unpromise(j->as, low - r->low);
        r->low = low;
    }
    j->denial = err == ERR_ALIAS ? FAULT_ALIAS : FAULT_NO_FRAME;
    return err;
}

/* A span that has just become full enough */
static bool full_enough(const struct fault_job *j)
{
    return j->plan == FAULT_NEW_ZERO && pte_count(pte_load(j->place.above)) == HUGE_AT && !pte_present(j->view.pte) &&
           huge_fits(j->region, j->view.page);
}

static void count(struct as *as, const struct fault_job *j)
{
    as->faults[j->plan]++;
    as->faults_grow += j->grew;
}

/* What a refused access was, in the words of mm/fault.h; while the region is there */
static void explain(struct fault_job *j)
{
    const struct fault_cpu  cpu = { .wp = true, .smep = true, .smap = true, .ac = true };
    struct as_fault_report *out = j->report;
    struct pt_walk          walk;

    if (out == NULL)
        return;
    pt_walk(&j->as->pt, j->address, &walk);
    out->denial = j->denial;
    out->what = fault_decode(j->address, j->error, &walk, cpu);
    out->region = j->region != NULL ? *j->region : (struct region){ .kind = REGION_KINDS };
}

/* What is left to do without as->lock, once the entry is there */
static void finish(struct fault_job *j, bool promote)
{
    if (j->stale)
        tlb_batch_close(&j->batch);
    if (promote)
        huge_promote(j->as, j->region, j->view.page);
}

/* The space is busy: all of it, without a lock */
static err_t serve_busy(struct fault_job *j)
{
    err_t err = carry_out(j);

    finish(j, err == ERR_OK && full_enough(j));
    if (err == ERR_OK)
        count(j->as, j);
    else
        explain(j);
    return err;
}

/* ---- the fault ----------------------------------------------------------------------------------------- */

static bool outside(const struct as *as, uint64_t page)
{
    return page < as->regions.first || page >= as->regions.bound.page;
}

/* Look and decide, with all that an error code can say */
static void judge(struct fault_job *j)
{
    uint64_t page = j->address.raw >> PAGE_SHIFT;

    fault_look(j, page, (j->error & FAULT_ERR_W) != 0, (j->error & FAULT_ERR_I) != 0);
    if (UNLIKELY(j->plan == FAULT_DENY || (j->error & FAULT_ERR_RSVD) != 0)) {
        j->plan = FAULT_DENY;
        if (outside(j->as, page))
            j->denial = FAULT_NOT_USERS;
        else if ((j->error & FAULT_ERR_RSVD) != 0)
            j->denial = FAULT_BROKEN;
    }
}

static err_t refusal(enum fault_denial denial)
{
    bool nothing = denial == FAULT_NO_REGION || denial == FAULT_GUARD || denial == FAULT_NOT_USERS;

    return nothing ? ERR_NOENT : ERR_PERM;
}

/* As far as as->lock is enough; *then says what is to be done without it, for which the space is made busy */
enum then { NOTHING_MORE, SERVE, PROMOTE };

static err_t serve_locked(struct fault_job *j, enum then *then)
{
    err_t err;

    judge(j);
    *then = NOTHING_MORE;
    if (UNLIKELY(j->plan == FAULT_DENY)) {
        err = refusal(j->denial);
    } else if (UNLIKELY(slow(j))) {
        *then = SERVE;
        err = ERR_OK;
    } else {
        err = carry_out(j);
        if (UNLIKELY(err == ERR_OK && full_enough(j)))
            *then = PROMOTE;
    }
    if (*then != SERVE && (err == ERR_OK || j->plan == FAULT_DENY))
        count(j->as, j);
    if (UNLIKELY(err != ERR_OK))
        explain(j);
    j->as->busy = *then != NOTHING_MORE;
    return err;
}

static void tell(const struct fault_job *j, err_t err)
{
    struct as_fault_report *out = j->report;

    out->plan = err == ERR_OK ? j->plan : FAULT_DENY;
    out->grew = j->grew;
    out->huge = j->plan == FAULT_NEW_HUGE || (j->plan == FAULT_COPY && j->place.level > LEVEL_4K);
    if (err == ERR_OK)
        out->denial = FAULT_NOT_DENIED;
}

err_t as_fault(struct as *as, va_t address, uint64_t error, struct as_fault_report *report)
{
    struct fault_job j;
    enum then  then = NOTHING_MORE;
    uint64_t   irq = irqlock_take(&as->lock);
    err_t      err = ERR_OK;

    j.as = as;
    j.report = report;
    j.address = address;
    j.error = error;
    j.plan = FAULT_WAIT;
    j.stale = j.grew = false;
    if (UNLIKELY(as->busy))
        count(as, &j);
    else
        err = serve_locked(&j, &then);
    irqlock_drop(&as->lock, irq);
    if (UNLIKELY(then == SERVE))
        err = serve_busy(&j);
    else
        finish(&j, then == PROMOTE);
    if (UNLIKELY(then != NOTHING_MORE))
        as_end(as);
    if (report != NULL)
        tell(&j, err);
    return err;
}

/* ---- the same for pages that nobody has touched ----------------------------------------------------------- */

err_t as_populate(struct as *as, struct pages p)
{
    struct fault_job j = { .as = as };
    err_t      err = ERR_OK;

    while (p.first < p.end && err == ERR_OK) {
        const struct region *r = region_from(as, p.first);

        if (r == NULL)
            break;
        p.first = max_u64(p.first, r->kind == REGION_STACK ? r->low : r->span.page);
        for (; p.first < min_u64(p.end, r->span.end) && err == ERR_OK; p.first++) {
            fault_look(&j, p.first, (r->prot & REGION_W) != 0, false);
            if (j.plan != FAULT_DENY && j.plan != FAULT_RETRY)
                err = serve_busy(&j);
        }
        p.first = max_u64(p.first, min_u64(p.end, r->span.end));
    }
    return err;
}
