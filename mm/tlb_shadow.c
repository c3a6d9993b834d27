/* SPDX-License-Identifier: MIT */
/*
 * mm/tlb_shadow.c - a TLB that never forgets by itself
 *
 * Promise     A missing flush is named on any CPU and any emulator, at the moment its batch is closed: not
 *             when, some day, a real TLB happens to have kept what was changed.
 *
 * Picture     a change    -> a run of pages that CPUs may still hold as they were, with one bit per CPU
 *             INVLPG      -> the page is cut out of the runs, for that CPU; and all tables are forgotten
 *             everything  -> that CPU's bit goes in all runs (but in those of global pages, at a CR3 load)
 *             batch close -> a run of its space that still has bits: a missing flush
 *
 * Stale       A page's entry P -> not P, another frame, size or cache type, W or U or G or the key changed, NX set,
 *             A or D cleared. Not stale: not P -> P, W set, NX cleared, A or D set, software's bits.
 *             Written from the manual's "Optional Invalidation", not from mm/tlb.c.
 *
 * CPUs        The kernel's half may be cached on all. A space's, on those where it is current; with PCIDs
 *             also on those where it was: these may keep it stale as long as they don't load it again with
 *             "keep", so they are held against tlb_shadow_load().
 *
 * Memory      The first FIRST_RUNS runs are always there, more come in frames, up to MORE_PAGES of them, and go
 *             when a batch is closed and they are not needed. Pages that change in rising order are one run.
 *
 * Locks       shadow.lock (rank 60), innermost but for the log's. A space may be loaded under a run queue's (58), so
 *             frames (40) are taken before it and given back after it: each change and each INVLPG makes
 *             sure of room first.
 *
 * Failure     no frame, or too many runs at once: the change is counted as lost, and the log says so. Nothing else is
 *             ever lost; `tlb` and `selftest tlb` fail when something was.
 *
 * Sources     SDM 3A "Invalidation of TLBs and Paging-Structure Caches"
 */
#include "mm/tlb_shadow.h"

#include "mm/frame.h"
#include "mm/port.h"
#include "mm/tlb.h"

bool tlb_shadow_on;

struct run {
    const struct tlb_space *space;
    uint64_t                start, end; /* addresses                                           */
    uint64_t                page_bytes; /* 0: a table                                          */
    uint64_t                cpus;       /* that may hold it; 0: this run is not in use         */
    bool                    global;
};

#define FIRST_RUNS 128
#define PAGE_RUNS  ((unsigned)(PAGE_SIZE / sizeof(struct run)))
#define MORE_PAGES 512
#define SPARE      32 /* runs that one change or one INVLPG may add: each space that has the page gets one more */

static struct {
    struct irqlock          lock;
    struct run              first[FIRST_RUNS]; /* [lock] */
    pfn_t                   more[MORE_PAGES];  /* [lock] frames of runs, as many as are needed */
    unsigned                n_more;            /* [lock] frames taken                        */
    unsigned                n;                 /* [lock] runs behind are not in use          */
    bool                    naming;            /* [lock] superfluous flushes are told        */
    struct tlb_shadow_stats stats;             /* [lock] */
} shadow = { .lock = IRQLOCK("tlb_shadow", 60) };

static struct run *run_at(unsigned i)
{
    struct run *page;

    if (i < FIRST_RUNS)
        return &shadow.first[i];
    i -= FIRST_RUNS;
    page = port_ptr(pfn_to_pa(shadow.more[i / PAGE_RUNS]));
    return &page[i % PAGE_RUNS];
}

static unsigned capacity(void) { return FIRST_RUNS + shadow.n_more * PAGE_RUNS; }

/* Called without the lock: room for SPARE runs more, if a frame can be had */
static void make_room(void)
{
    uint64_t irq = irqlock_take(&shadow.lock);
    bool     enough = shadow.n + SPARE <= capacity() || shadow.n_more == MORE_PAGES;
    pfn_t    frame;
    err_t    err;

    irqlock_drop(&shadow.lock, irq);
    if (enough || frame_alloc(0, &frame) != ERR_OK)
        return;
    irq = irqlock_take(&shadow.lock);
    enough = shadow.n_more == MORE_PAGES;
    if (!enough)
        shadow.more[shadow.n_more++] = frame;
    irqlock_drop(&shadow.lock, irq);
    err = enough ? frame_free(frame) : ERR_OK;
    ASSERT(err == ERR_OK);
}

/* Called without the lock: frames go back that no run needs */
static void shrink(void)
{
    for (;;) {
        uint64_t irq = irqlock_take(&shadow.lock);
        bool     needed = shadow.n_more == 0 || shadow.n + SPARE > capacity() - PAGE_RUNS;
        pfn_t    frame = needed ? pfn(0) : shadow.more[--shadow.n_more];
        err_t    err;

        irqlock_drop(&shadow.lock, irq);
        if (needed)
            return;
        err = frame_free(frame);
        ASSERT(err == ERR_OK);
    }
}

static uint64_t me(void) { return (uint64_t)1 << port_cpu(); }
static uint64_t all_cpus(void) { return ~(uint64_t)0 >> (PORT_CPUS_MAX - port_cpus()); }

void tlb_shadow_start(bool on)
{
    uint64_t irq = irqlock_take(&shadow.lock);

    shadow.n = 0;
    shadow.stats = (struct tlb_shadow_stats){ 0 };
    tlb_shadow_on = on;
    irqlock_drop(&shadow.lock, irq);
    shrink();
}

struct tlb_shadow_stats tlb_shadow_stats(void)
{
    uint64_t                irq = irqlock_take(&shadow.lock);
    struct tlb_shadow_stats s = shadow.stats;

    irqlock_drop(&shadow.lock, irq);
    return s;
}

void tlb_shadow_name(bool on)
{
    uint64_t irq = irqlock_take(&shadow.lock);

    shadow.naming = on;
    irqlock_drop(&shadow.lock, irq);
}

/* ---- changes ----------------------------------------------------------------------------------- */

static struct run *unused(void)
{
    for (unsigned i = 0; i < shadow.n; i++)
        if (run_at(i)->cpus == 0)
            return run_at(i);
    return shadow.n < capacity() ? run_at(shadow.n++) : NULL;
}

static void lose(const struct run *r)
{
    uint64_t n = r->page_bytes == 0 ? 1 : (r->end - r->start) / r->page_bytes;

    if (shadow.stats.lost == 0)
        port_log(PORT_WARN, "tlb", "no memory to follow a change at " VA_FMT ": from here on a missing flush may go unnoticed",
                 VA_ARG(va(r->start)));
    shadow.stats.lost += n;
}

static void add(struct run r)
{
    struct run *place, *last = shadow.n > 0 ? run_at(shadow.n - 1) : NULL;

    if (last != NULL && last->cpus == r.cpus && last->space == r.space && last->end == r.start &&
        last->page_bytes == r.page_bytes && last->global == r.global) {
        last->end = r.end; /* pages change in rising order, mostly */
        return;
    }
    place = unused();
    if (place != NULL)
        *place = r;
    else
        lose(&r);
}

static uint64_t holders(const struct tlb_space *space)
{
    if (space == NULL || tlb_cpu.pcid)
        return all_cpus();
    return atomic_load_explicit(&space->active, memory_order_acquire) & all_cpus();
}

static void changed(const struct tlb_space *space, va_t v, uint64_t bytes, uint64_t page_bytes, bool global)
{
    struct run r = { space, v.raw, v.raw + bytes, page_bytes, holders(space), global };
    uint64_t   irq;

    make_room();
    irq = irqlock_take(&shadow.lock);
    shadow.stats.changes++;
    if (r.cpus != 0)
        add(r);
    irqlock_drop(&shadow.lock, irq);
}

static bool goes_stale(uint64_t old, uint64_t new)
{
    const uint64_t ours = PTE_AVAIL_LOW | PTE_AVAIL; /* bits no CPU looks at */
    uint64_t       rose = new & ~old, fell = old & ~new;

    if ((old & PTE_P) == 0)
        return false;
    rose &= ~(ours | PTE_W | PTE_A | PTE_D); /* more is allowed than some CPU thinks: it looks again */
    fell &= ~(ours | PTE_NX);
    return (rose | fell) != 0;
}

void tlb_shadow_page(const struct tlb_space *space, va_t v, uint64_t bytes, uint64_t old, uint64_t new)
{
    if (goes_stale(old, new))
        changed(space, v, bytes, bytes, (old & PTE_G) != 0);
}

void tlb_shadow_table(const struct tlb_space *space, va_t v, uint64_t bytes) { changed(space, v, bytes, 0, false); }

void tlb_shadow_moved(const struct tlb_space *space, va_t v, uint64_t bytes)
{
    changed(space, v, bytes, PAGE_SIZE, space == NULL); /* as if they were all small */
    changed(space, v, bytes, 0, false);
}

/* ---- invalidations ----------------------------------------------------------------------------- */

/* This CPU holds r's pages in [start, end) no more; what lies before and behind becomes runs of their own. */
static void cut(struct run *r, uint64_t start, uint64_t end)
{
    struct run before = *r, behind = *r;

    before.end = start;
    behind.start = end;
    r->start = start;
    r->end = end;
    r->cpus &= ~me();
    if (before.start < before.end)
        add(before);
    if (behind.start < behind.end)
        add(behind);
}

static void superfluous(const char *what, va_t v)
{
    shadow.stats.superfluous++;
    if (shadow.naming)
        port_log(PORT_INFO, "tlb", "superfluous flush: %s at " VA_FMT " met nothing that had changed", what, VA_ARG(v));
}

/* The page at v goes out of the runs that have it: of any space and with all tables, or of one space, without */
static void invalidate(va_t v, const struct tlb_space *only)
{
    uint64_t irq;
    bool     met = false;

    make_room();
    irq = irqlock_take(&shadow.lock);
    for (unsigned i = 0, n = shadow.n; i < n; i++) {
        struct run *r = run_at(i);

        if ((r->cpus & me()) == 0 || (only != NULL && (r->space != only || r->global)))
            continue;
        if (r->page_bytes == 0 && only == NULL) { /* INVLPG forgets every cached upper entry */
            r->cpus &= ~me();
            met = true;
        } else if (r->page_bytes != 0 && v.raw - r->start < r->end - r->start) {
            uint64_t page = r->start + align_down(v.raw - r->start, r->page_bytes);

            cut(r, page, page + r->page_bytes);
            met = true;
        }
    }
    if (!met)
        superfluous(only == NULL ? "INVLPG" : "INVPCID", v);
    irqlock_drop(&shadow.lock, irq);
}

void tlb_shadow_invlpg(va_t v) { invalidate(v, NULL); }
void tlb_shadow_invpcid(const struct tlb_space *space, va_t v) { invalidate(v, space); }

/* Runs of `only` (NULL: of all) go on this CPU; true if there was one */
static bool forget(const struct tlb_space *only, bool globals)
{
    bool met = false;

    for (unsigned i = 0; i < shadow.n; i++) {
        struct run *r = run_at(i);

        if ((r->cpus & me()) == 0 || (r->global && !globals) || (only != NULL && r->space != only))
            continue;
        r->cpus &= ~me();
        met = true;
    }
    return met;
}

void tlb_shadow_all(bool globals)
{
    uint64_t irq = irqlock_take(&shadow.lock);

    if (!forget(NULL, globals))
        superfluous(globals ? "everything, globals too," : "everything", va(0));
    irqlock_drop(&shadow.lock, irq);
}

static void name_missing(struct run *r, uint64_t cpus)
{
    uint64_t n = r->page_bytes == 0 ? 1 : (r->end - r->start) / r->page_bytes;

    shadow.stats.missing += n;
    port_log(PORT_ERROR, "tlb", "missing flush: %llu %s at " VA_FMT "%s, CPUs %llx", ULL(n),
             r->page_bytes == 0 ? "table" : "pages", VA_ARG(va(r->start)), r->global ? ", global" : "", ULL(cpus));
    r->cpus &= ~cpus;
}

/* A load without "keep" forgets the space's pages; one with it must find nothing to forget. */
void tlb_shadow_load(const struct tlb_space *space, bool keep)
{
    uint64_t irq = irqlock_take(&shadow.lock);

    if (!keep)
        (void)forget(tlb_cpu.pcid ? space : NULL, false);
    for (unsigned i = 0; keep && i < shadow.n; i++)
        if ((run_at(i)->cpus & me()) != 0 && run_at(i)->space == space)
            name_missing(run_at(i), me());
    irqlock_drop(&shadow.lock, irq);
}

void tlb_shadow_closed(const struct tlb_space *space)
{
    uint64_t irq = irqlock_take(&shadow.lock);
    uint64_t now = space == NULL ? all_cpus() : atomic_load_explicit(&space->active, memory_order_acquire);

    for (unsigned i = 0; i < shadow.n; i++)
        if (run_at(i)->space == space && (run_at(i)->cpus & now) != 0)
            name_missing(run_at(i), run_at(i)->cpus & now);
    while (shadow.n > 0 && run_at(shadow.n - 1)->cpus == 0)
        shadow.n--;
    irqlock_drop(&shadow.lock, irq);
    shrink();
}
