/* SPDX-License-Identifier: MIT */
/*
 * mm/tlb.c - forgetting translations
 *
 * Promise     When tlb_batch_close() returns, no CPU uses a translation that the batch changed, and
 *             only then are the frames and tables behind it free for others.
 *
 * Picture     change entries ---> flush here ---> flush there ---> free frames, free tables
 *             (mapper, locked)    (this file, no lock held)        (nobody can reach them now)
 *
 *             Until the flush, a CPU may go on using an unlinked table: its caches of upper entries
 *             still lead there. So a table is freed by the same rule as a frame; it waits on a chain
 *             through its own first word, a link that reads as "not present" to a CPU that comes by.
 *
 * Who         space on this CPU          up to 32 pages          more, or an upper entry went
 *             the kernel's half          INVLPG each             everything, globals too
 *             current                    INVLPG each             CR3 load: only the kernel has globals
 *             other, PCID and INVPCID    INVPCID 0 each          marked stale: next load forgets
 *             other, PCID                marked stale            marked stale
 *             other, no PCID             nothing                 nothing: its load forgets anyway
 *
 *             INVPCID 0 forgets the upper entries of its page only: when a table goes, the space is marked.
 *             INVLPG forgets a page of any size, global or not, and with it all cached upper entries,
 *             but those of the current PCID only. The kernel's half is reached under every PCID:
 *             when one of its tables goes and PCIDs are on, everything must go.
 *
 * Locks       none. What is shared is atomic: spaces' masks and the counters.
 *
 * Shared      A frame that several spaces map is let go by each after its own flush, and goes with the last: so no CPU
 *             can reach it when it is freed.
 *
 * Failure     cannot fail; a batch that is full becomes a full flush. Frames are different: they
 *             must be remembered one by one, so tlb_free_block() says when the batch must be closed.
 *
 * Sources     SDM 3A "Invalidation of TLBs and Paging-Structure Caches", "Delayed Invalidation"
 */
#include "mm/tlb.h"

#include "mm/frame.h"
#include "mm/framedb.h"
#include "mm/port.h"
#include "mm/tlb_shadow.h"

struct tlb_cpu tlb_cpu;

static struct {
    _Atomic uint64_t batches, pages, alls, global_alls, calls, tables, frames;
} stats;

static void count(_Atomic uint64_t *c, uint64_t n) { atomic_fetch_add_explicit(c, n, memory_order_relaxed); }

void tlb_start(const struct tlb_cpu *cpu) { tlb_cpu = *cpu; }

void tlb_batch_open(struct tlb_batch *b, struct tlb_space *space)
{
    b->space = space;
    b->n_pages = 0;
    b->n_runs = 0;
    b->tables = pfn(0);
    b->n_tables = 0;
    b->all = false;
}

void tlb_free_table(struct tlb_batch *b, pfn_t table)
{
    pte_cell *link = port_ptr(pfn_to_pa(table));

    pte_store(link, (pte_t){ b->tables.idx << PAGE_SHIFT }); /* P = 0 */
    b->tables = table;
    b->n_tables++;
}

bool tlb_free_block(struct tlb_batch *b, pfn_t block, unsigned order, bool counted)
{
    struct tlb_run *last = b->n_runs > 0 ? &b->run[b->n_runs - 1] : NULL;

    if (last != NULL && last->order == order && last->counted == counted &&
        block.idx == last->start.idx + (last->n_blocks << order)) {
        last->n_blocks++;
        return true;
    }
    if (b->n_runs == TLB_BATCH_RUNS)
        return false;
    b->run[b->n_runs++] = (struct tlb_run){ block, 1, order, counted };
    return true;
}

bool tlb_must_flush(uint64_t cleared, uint64_t set)
{
    const uint64_t harmless = PTE_AVAIL_LOW | PTE_AVAIL;

    return (cleared & ~(harmless | PTE_NX)) != 0 || (set & ~(harmless | PTE_W | PTE_A | PTE_D)) != 0;
}

/* The kernel's half is in use by every CPU; a space's, where its CR3 is loaded. */
static bool current_here(const struct tlb_space *space)
{
    return space == NULL || (atomic_load_explicit(&space->active, memory_order_acquire) >> port_cpu() & 1) != 0;
}

static void flush_pages(const struct tlb_batch *b)
{
    for (unsigned i = 0; i < b->n_pages; i++)
        port_tlb_page(b->page[i]);
    for (unsigned i = 0; UNLIKELY(tlb_shadow_on) && i < b->n_pages; i++)
        tlb_shadow_invlpg(b->page[i]);
    count(&stats.pages, b->n_pages);
}

/* Runs on each CPU that had the space, interrupts off. */
static void flush_here(void *batch)
{
    const struct tlb_batch *b = batch;

    if (!current_here(b->space)) { /* it was, a moment ago: its next load must not keep anything */
        atomic_fetch_or_explicit(&b->space->stale, (uint64_t)1 << port_cpu(), memory_order_acq_rel);
    } else if (!b->all) {
        flush_pages(b);
    } else {
        port_tlb_all(b->space == NULL);
        if (UNLIKELY(tlb_shadow_on))
            tlb_shadow_all(b->space == NULL);
        count(b->space == NULL ? &stats.global_alls : &stats.alls, 1);
    }
}

/* What must not survive a later load of the space on a CPU where it is not current now */
static void flush_inactive(struct tlb_batch *b, uint64_t active)
{
    uint64_t me = (uint64_t)1 << port_cpu();

    if ((active & me) == 0 && tlb_cpu.invpcid && !b->all && b->n_tables == 0) {
        for (unsigned i = 0; i < b->n_pages; i++) {
            port_tlb_pcid_page(b->space->pcid, b->page[i]);
            if (UNLIKELY(tlb_shadow_on))
                tlb_shadow_invpcid(b->space, b->page[i]);
        }
        active |= me;
    }
    atomic_fetch_or_explicit(&b->space->stale, ~active, memory_order_acq_rel);
}

/* The CPUs that must flush now */
static uint64_t who(const struct tlb_batch *b)
{
    uint64_t all = ~(uint64_t)0 >> (PORT_CPUS_MAX - port_cpus());

    return b->space == NULL ? all : atomic_load_explicit(&b->space->active, memory_order_acquire) & all;
}

static void flush(struct tlb_batch *b)
{
    uint64_t me = (uint64_t)1 << port_cpu(), cpus = who(b);

    /* Upper entries cached under other PCIDs, or without a page of theirs to name: INVLPG would leave them. */
    if (b->n_tables > 0 && ((b->space == NULL && tlb_cpu.pcid) || b->n_pages == 0))
        b->all = true;
    if (b->space != NULL && tlb_cpu.pcid)
        flush_inactive(b, cpus); /* first: a CPU that loads the space from now on loads it clean */
    if ((cpus & me) != 0)
        flush_here(b);
    if ((cpus & ~me) != 0) {
        port_cpus_call(cpus & ~me, flush_here, b);
        count(&stats.calls, 1);
    }
}

#define FREE_AT_ONCE 64

/* Neighbouring blocks that are nobody else's */
static err_t free_run(const struct tlb_run *r)
{
    pfn_t  frames[FREE_AT_ONCE];
    err_t  err = ERR_OK;
    size_t n = 0;

    for (uint64_t k = 0; k < r->n_blocks && err == ERR_OK; k++) {
        if (r->order != 0 || r->n_blocks == 1) {
            err = frame_free_order(pfn_add(r->start, k << r->order), r->order);
            continue;
        }
        frames[n++] = pfn_add(r->start, k);
        if (n == FREE_AT_ONCE || k + 1 == r->n_blocks) {
            err = frames_free(n, frames);
            n = 0;
        }
    }
    return err;
}

static void release(struct tlb_batch *b)
{
    err_t err = ERR_OK;

    for (unsigned i = 0; i < b->n_runs; i++) {
        const struct tlb_run *r = &b->run[i];

        if (err == ERR_OK)
            err = r->counted ? framedb_drop_run(r->start, r->n_blocks, r->order) : free_run(r);
        count(&stats.frames, r->n_blocks << r->order);
    }
    while (b->n_tables > 0 && err == ERR_OK) {
        pfn_t          table = b->tables;
        const pte_cell *link = port_ptr(pfn_to_pa(table));

        b->tables = pte_frame(pte_load(link), LEVEL_4K);
        b->n_tables--;
        err = frame_free(table);
    }
    if (err != ERR_OK)
        PANIC("a frame the tables held was not allocated: %s", err_str(err));
}

void tlb_batch_close(struct tlb_batch *b)
{
    uint64_t irq;

    count(&stats.batches, 1);
    count(&stats.tables, b->n_tables);
    if (b->all || b->n_pages > 0 || b->n_tables > 0) {
        irq = port_irq_save();
        flush(b);
        port_irq_restore(irq);
    }
    if (UNLIKELY(tlb_shadow_on))
        tlb_shadow_closed(b->space);
    release(b);
    tlb_batch_open(b, b->space);
}

void tlb_switch(struct tlb_space *from, struct tlb_space *to, pfn_t root)
{
    uint64_t me = (uint64_t)1 << port_cpu();
    bool     keep = to->pcid != 0; /* 0 is shared: never kept */

    atomic_fetch_or_explicit(&to->active, me, memory_order_acq_rel);
    if (keep)
        keep = (atomic_fetch_and_explicit(&to->stale, ~me, memory_order_acq_rel) & me) == 0;
    port_space_load(root, to->pcid, keep);
    atomic_fetch_and_explicit(&from->active, ~me, memory_order_acq_rel);
    if (UNLIKELY(tlb_shadow_on))
        tlb_shadow_load(to, keep);
}

struct tlb_stats tlb_stats(void)
{
    return (struct tlb_stats){ .batches = stats.batches, .pages = stats.pages,   .alls = stats.alls,
                               .global_alls = stats.global_alls, .calls = stats.calls, .tables = stats.tables,
                               .frames = stats.frames };
}
