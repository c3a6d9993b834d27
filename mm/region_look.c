/* SPDX-License-Identifier: MIT */
/*
 * mm/region_look.c - the regions of a space, counted, listed and checked
 *
 * Promise     What is shown was so at one moment: looking makes the space busy, as changing does (mm/region.c).
 *
 * Counting    reads the tables, so nothing but as->owned must be kept up to date on the way of faults; and that is
 *             held against the tables here.
 */
#include "mm/region_in.h"

#include "mm/framedb.h"
#include "mm/shared.h"

void as_limit(struct as *as, uint64_t n_pages)
{
    uint64_t irq = irqlock_take(&as->lock);

    as->limit = n_pages != 0 ? n_pages : ~(uint64_t)0;
    irqlock_drop(&as->lock, irq);
}

err_t as_region_next(struct as *as, va_t from, struct region *out)
{
    const struct region *r;

    as_begin(as);
    r = region_from(as, from.raw >> PAGE_SHIFT);
    if (r != NULL)
        *out = *r;
    as_end(as);
    return r != NULL ? ERR_OK : ERR_NOENT;
}

/* ---- counting ------------------------------------------------------------------------------------------ */

struct counting {
    struct as        *as;
    struct as_memory *out;
};

static void count_entry(struct counting *c, pte_t e, unsigned level, va_t v)
{
    const struct region *r = region_at(c->as, v.raw >> PAGE_SHIFT);
    bool                 owned = (e.raw & AS_OWNED) != 0;
    uint64_t             n = level_pages(level);

    if (!owned && pte_frame(e, level).idx == as_zero_frame().idx) {
        c->out->zero_pages += n;
        return;
    }
    if (r != NULL && r->kind == REGION_PHYS)
        return;
    c->out->resident_pages += n;
    c->out->owned_pages += owned ? n : 0;
    c->out->huge_pages += level == LEVEL_2M;
    if (!owned || ((e.raw & AS_COUNTED) != 0 && framedb_refs(pte_frame(e, level)) > 1))
        c->out->shared_pages += n;
}

static bool count_run(void *arg, const struct pt_run *run)
{
    for (unsigned i = 0; i < run->n; i++) {
        pte_t e = pte_load(&run->cells[i]);

        if (pte_present(e))
            count_entry(arg, e, run->level, va_add(run->start, (uint64_t)i << PAGE_SHIFT));
    }
    return true;
}

static void each_page(const struct as *as, bool (*fn)(void *arg, const struct pt_run *run), void *arg)
{
    uint64_t first = as->regions.first;

    (void)pt_each_run(&as->pt, page_address(first), as->regions.bound.page - first, fn, arg);
}

static void copy_faults(struct as *as, struct as_memory *out)
{
    uint64_t irq = irqlock_take(&as->lock); /* who waits is counted while the space is busy */

    __builtin_memcpy(out->faults, as->faults, sizeof out->faults);
    out->faults_grow = as->faults_grow;
    irqlock_drop(&as->lock, irq);
}

void as_memory(struct as *as, struct as_memory *out)
{
    struct counting c = { as, out };

    *out = (struct as_memory){ 0 };
    as_begin(as);
    each_page(as, count_run, &c);
    for (const struct region *r = region_from(as, 0); r != NULL; r = region_from(as, r->span.end)) {
        out->mapped_pages += region_pages(r);
        out->locked_pages += (r->flags & REGION_LOCKED) != 0 ? region_pages(r) : 0;
    }
    out->regions = as->n_regions;
    out->table_pages = as->pt.n_tables;
    out->promised_pages = as->promised;
    out->limit_pages = as->limit == ~(uint64_t)0 ? 0 : as->limit;
    copy_faults(as, out);
    as_end(as);
}

/* ---- checking ------------------------------------------------------------------------------------------ */

struct checking {
    struct as  *as;
    uint64_t    owned;
    const char *wrong;
};

static const char *check_entry(const struct region *r, pte_t e, unsigned level)
{
    uint64_t rights = PTE_U | PTE_NX, flags;
    bool     owned = (e.raw & AS_OWNED) != 0;

    if (r == NULL)
        return "G2: a page is mapped in no region";
    flags = region_flags(r);
    if (((e.raw ^ flags) & rights) != 0 || (e.raw & ~flags & PTE_W) != 0)
        return "G2: an entry has other rights than its region";
    if (region_private(r) && (e.raw & PTE_W) != 0 && (!owned || (e.raw & AS_COUNTED) != 0))
        return "G2: a shared frame may be written";
    if (!region_private(r) && (owned || ((e.raw ^ flags) & PTE_W) != 0))
        return "G2: an object's frame is owned, or lacks a right";
    if (r->kind == REGION_STACK && level == LEVEL_2M)
        return "a 2 MiB page in a stack";
    return NULL;
}

static bool check_run(void *arg, const struct pt_run *run)
{
    struct checking *c = arg;

    for (unsigned i = 0; i < run->n && c->wrong == NULL; i++) {
        pte_t                e = pte_load(&run->cells[i]);
        uint64_t             page = (run->start.raw >> PAGE_SHIFT) + i;
        const struct region *r = region_at(c->as, page);

        if (!pte_present(e))
            continue;
        c->wrong = check_entry(r, e, run->level);
        c->owned += (e.raw & AS_OWNED) != 0 ? level_pages(run->level) : 0;
        if (c->wrong == NULL && page + level_pages(run->level) > r->span.end)
            c->wrong = "G2: a large page reaches beyond its region";
    }
    return c->wrong == NULL;
}

static const char *check_regions(struct as *as)
{
    const struct region *r = region_from(as, 0), *next;
    uint64_t             n = 0, promised = 0;
    const char          *wrong = span_tree_check(&as->regions);

    for (; r != NULL && wrong == NULL; r = next) {
        next = region_from(as, r->span.end);
        n++;
        promised += r->promised ? region_promise(r) : 0;
        if (next != NULL && region_could_join(r, next))
            wrong = "G5: neighbours that could be one";
    }
    if (wrong == NULL && n != as->n_regions)
        wrong = "the number of regions is wrong";
    return wrong == NULL && promised != as->promised ? "G4: promises don't add up" : wrong;
}

const char *as_regions_check(struct as *as)
{
    struct checking c = { .as = as };

    as_begin(as);
    c.wrong = check_regions(as);
    if (c.wrong == NULL)
        each_page(as, check_run, &c);
    if (c.wrong == NULL && c.owned != as->owned)
        c.wrong = "G3: frames owned don't add up";
    as_end(as);
    return c.wrong;
}
