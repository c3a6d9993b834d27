/* SPDX-License-Identifier: MIT */
/*
 * mm/as_fork.c - a second space with the same contents
 *
 * Promise     After as_fork() neither space sees what the other writes, but in shared memory; no byte was copied.
 *
 * Picture     before     parent: W own --> f5
 *             after      parent: . own counted --> f5 <-- . own counted: child        record of f5: 2 references
 *             write      parent: W own --> f8,      f5 <-- . own counted: child       no record: one is left
 *             write                                 f5 <-- W own: child
 *
 *             One rule for all entries: what is owned is counted and becomes read-only in both; everything else, the
 *             frame of zeroes, a file's, a shared object's, stands in the child as in the parent. But a device's pages,
 *             whose cache type is counted (mm/memtype.c), come to the child by faults.
 *
 * Fast        Page table by page table: 64 frames at a time get their references under one lock, neighbours among them
 *             by stepping from record to record. A page of 2 MiB has one record.
 *
 * Flush       once at the end: what the parent could write it must not any more. Until then its threads' faults
 *             wait, since the space is busy; so no page is copied that somebody still writes.
 *
 * Locks       none: the parent is busy (mm/region.c), nobody knows the child
 *
 * Failure     The child is taken down again. Entries of the parent that became read-only stay so; the next write
 *             finds that nobody shares the frame.
 */
#include "mm/region_in.h"

#include "mm/frame.h"
#include "mm/framedb.h"
#include "mm/shared.h"

#define BATCH 64

struct fork {
    struct as *child, *parent;
    bool       restricted; /* some entry of the parent lost W */
    err_t      err;
};

/* What becomes of the bits of an owned entry: read-only and counted; nearly always it was neither */
static inline uint64_t change_of(uint64_t e)
{
    const uint64_t both = PTE_W | AS_COUNTED;

    return LIKELY((e & both) == PTE_W) ? both : (e & PTE_W) | (~e & AS_COUNTED);
}

/* Does the child get an entry like this one? */
static bool inherited(uint64_t e) { return e != 0 && (e & PTE_TYPED) == 0; }

/* n entries, 64 at most; returns how many of the child's are not 0 */
static unsigned share_entries(struct fork *f, pte_cell *from, pte_cell *to, unsigned n, unsigned level)
{
    struct framedb_cursor cursor;
    uint64_t              irq = framedb_enter(&cursor), changed = 0;
    unsigned              empty = 0, foreign = 0, i = 0;

    for (; i < n; i++) {
        uint64_t e = pte_load(&from[i]).raw, change;

        if (LIKELY((e & AS_OWNED) != 0)) {
            f->err = framedb_share_next(&cursor, pa_to_pfn(pa(e & PTE_ADDRESS))); /* no PAT bit: it is write-back */
            if (UNLIKELY(f->err != ERR_OK))
                break;
            change = change_of(e);
            if (change != 0) /* the CPU may set A and D meanwhile: only our bits */
                atomic_fetch_xor_explicit(&from[i].raw, change, memory_order_relaxed);
            changed |= change;
            e ^= change;
        } else {
            if (!inherited(e)) {
                e = 0;
                empty++;
            }
            foreign++;
        }
        pte_store(&to[i], (pte_t){ e & ~(PTE_A | PTE_D) });
    }
    framedb_leave(&cursor, irq);
    f->restricted |= (changed & PTE_W) != 0;
    f->child->owned += (i - foreign) * level_pages(level);
    return i - empty;
}

/* Does the child get any of these? None of its tables is empty. */
static bool any_inherited(const struct pt_run *run)
{
    unsigned i = 0;

    while (i < run->n && !inherited(pte_load(&run->cells[i]).raw))
        i++;
    return i < run->n;
}

/* A page table, or a large page, of the parent */
static bool share_run(void *arg, const struct pt_run *run)
{
    struct fork    *f = arg;
    struct pt_spot p = pt_spot(&f->child->pt, run->start);
    unsigned        used = 0;

    if (!any_inherited(run))
        return true;
    f->err = pt_deepen(&f->child->pt, run->start, run->level, &p);
    for (unsigned i = 0; i < run->n && f->err == ERR_OK; i += BATCH)
        used += share_entries(f, &run->cells[i], &p.cell[i], (unsigned)min_u64(BATCH, run->n - i), run->level);
    if (p.above != NULL)
        atomic_fetch_add_explicit(&p.above->raw, used * PTE_COUNT_ONE, memory_order_relaxed);
    return f->err == ERR_OK;
}

static err_t share_tables(struct as *child, struct as *parent)
{
    struct fork      f = { .child = child, .parent = parent };
    uint64_t         first = parent->regions.first;
    struct tlb_batch batch;

    (void)pt_each_run(&parent->pt, page_address(first), parent->regions.bound.page - first, share_run, &f);
    if (f.restricted) {
        tlb_batch_open(&batch, &parent->tlb);
        tlb_changed_many(&batch);
        tlb_batch_close(&batch);
    }
    return f.err;
}

static err_t copy_regions(struct as *child, const struct as *parent)
{
    err_t err = as_promise(child, parent->promised);

    for (const struct region *r = region_from(parent, 0); r != NULL && err == ERR_OK; r = region_from(parent, r->span.end)) {
        void *node;

        err = node_new(&child->nodes, &node);
        if (err != ERR_OK)
            break;
        *(struct region *)node = *r;
        ((struct region *)node)->flags &= ~REGION_LOCKED;
        if (r->shared != NULL)
            shared_hold(r->shared);
        if (span_insert(&child->regions, &((struct region *)node)->span) != ERR_OK)
            PANIC("the same regions don't fit into an empty space");
        child->n_regions++;
        region_join(child, r->span.page); /* they may have differed in what was locked */
    }
    return err;
}

err_t as_fork(struct as *child, struct as *parent)
{
    err_t err;

    as_begin(parent);
    err = as_create(child);
    if (err == ERR_OK) {
        child->limit = parent->limit;
        child->heap = parent->heap;
        child->brk = parent->brk;
        err = copy_regions(child, parent);
        if (err == ERR_OK)
            err = share_tables(child, parent);
        if (err != ERR_OK)
            as_destroy(child);
    }
    as_end(parent);
    return err;
}
