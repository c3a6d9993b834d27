/* SPDX-License-Identifier: MIT */
/*
 * core/bench/pages.c - what page tables cost
 *
 * All on the kernel's own tables, in the process's part of the address space, where nothing else is.
 * Every page maps the same frame: what is measured is the tables, never the memory behind. A figure
 * contains the locks, the tables' frames taken, cleared and given back, and the flush at the end of a batch.
 *
 *   cold   the first time, with the CPU's caches and TLB emptied before: there are no tables yet
 *   warm   the median of the times after: a page of ours nearby keeps the upper tables, and the page table of
 *          a single page; those of a long range are built and freed each time
 *
 * With tlb.check=1 it names each flush that was superfluous.
 */
#include "core/bench/bench.h"
#include "core/log.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/trap.h"
#include "mm/as.h"
#include "mm/frame.h"
#include "mm/heap_kernel.h"
#include "mm/kva.h"
#include "mm/tlb_shadow.h"
#include "mm/zero.h"

#define MANY        ((uint64_t)16384) /* 64 MiB of 4 KiB pages */
#define LARGE       ((uint64_t)512)
#define KERNEL_DATA (PTE_W | PTE_NX)
#define TIMES       15                /* odd: there is one in the middle */
#define ROUNDS      1000

static struct {
    pfn_t     frame, block; /* one frame, and one of 2 MiB */
    pfn_t    *list;         /* the frame, MANY times       */
    struct as space, clone;
} bp;

static va_t at(uint64_t page) { return va_add(slot_base(SLOT_PROCESS, kernel_pt.levels), page * PAGE_SIZE); }

static err_t unmap(uint64_t page, uint64_t n)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_unmap(&kernel_pt, at(page), n, &b);
    tlb_batch_close(&b);
    return err;
}

static err_t protect(uint64_t flags)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_protect(&kernel_pt, at(0), MANY, flags, &b);
    tlb_batch_close(&b);
    return err;
}

/* ---- doing and undoing ------------------------------------------------------------------------- */

static err_t map_one(void) { return pt_map(&kernel_pt, at(0), bp.frame, 1, KERNEL_DATA, NULL); }
static err_t map_list(void) { return pt_map_frames(&kernel_pt, at(0), bp.list, MANY, KERNEL_DATA); }
static err_t map_run(void) { return pt_map(&kernel_pt, at(0), bp.block, MANY, KERNEL_DATA | PT_SMALL, NULL); }
static err_t map_large(void) { return pt_map(&kernel_pt, at(0), bp.block, LARGE, KERNEL_DATA, NULL); }
static err_t map_larges(void) { return pt_map(&kernel_pt, at(0), bp.block, MANY, KERNEL_DATA, NULL); }
static err_t unmap_one(void) { return unmap(0, 1); }
static err_t unmap_large(void) { return unmap(0, LARGE); }
static err_t unmap_many(void) { return unmap(0, MANY); }
static err_t to_read_only(void) { return protect(PTE_NX); }
static err_t to_writable(void) { return protect(KERNEL_DATA); }
static err_t clone(void) { return as_clone(&bp.clone, &bp.space); }
static err_t destroy(void)
{
    as_destroy(&bp.clone);
    return ERR_OK;
}

/* What is done, undone, and how many pages that is */
struct work {
    const char *doing, *undoing;
    uint64_t    n;
    uint64_t    keep; /* a page that is mapped while warm figures are taken; 0: none */
    err_t (*act)(void);
    err_t (*undo)(void);
};

static const struct work works[] = {
    { "map 1 page of 4 KiB", "unmap it", 1, 1, map_one, unmap_one },
    { "map 16384 pages of 4 KiB, listed frames, each", "unmap them, each", MANY, MANY, map_list, unmap_many },
    { "map 16384 pages of 4 KiB, one run of frames, each", "unmap them, each", MANY, MANY, map_run, unmap_many },
    { "map 1 page of 2 MiB", "unmap it", 1, LARGE, map_large, unmap_large },
    { "map 32 pages of 2 MiB, each", "unmap them, each", MANY / LARGE, MANY, map_larges, unmap_many },
};
static const struct work protecting = { "protect 64 MiB, to read-only, a page", "protect 64 MiB, to writable, a page", MANY,
                                        0, to_read_only, to_writable };
static const struct work cloning = { "clone a space of 64 MiB, a page", "destroy the clone, a page", MANY, 0, clone, destroy };

static err_t timed(err_t (*fn)(void), uint64_t *ticks)
{
    uint64_t began = cpu_rdtsc();
    err_t    err = fn();

    *ticks = cpu_rdtsc() - began;
    return err;
}

static uint64_t median(uint64_t v[TIMES])
{
    for (unsigned i = 1; i < TIMES; i++)
        for (unsigned k = i; k > 0 && v[k - 1] > v[k]; k--) {
            uint64_t x = v[k];

            v[k] = v[k - 1];
            v[k - 1] = x;
        }
    return v[TIMES / 2];
}

static void chill(void)
{
    cpu_wbinvd();
    port_tlb_all(true);
}

static err_t measure(const struct work *w)
{
    uint64_t cold[2], warm[2][TIMES];
    err_t    err, undone;

    chill();
    err = timed(w->act, &cold[0]);
    chill();
    if (err == ERR_OK)
        err = timed(w->undo, &cold[1]);
    if (err == ERR_OK && w->keep != 0)
        err = pt_map(&kernel_pt, at(w->keep), bp.frame, 1, KERNEL_DATA, NULL);
    for (unsigned i = 0; i < TIMES && err == ERR_OK; i++) {
        err = timed(w->act, &warm[0][i]);
        if (err == ERR_OK)
            err = timed(w->undo, &warm[1][i]);
    }
    undone = w->keep != 0 ? unmap(w->keep, 1) : ERR_OK;
    if (err != ERR_OK)
        return err;
    bench_report_both(w->doing, cold[0], median(warm[0]), w->n);
    bench_report_both(w->undoing, cold[1], median(warm[1]), w->n);
    return undone;
}

/* ---- translations ------------------------------------------------------------------------------ */

static NOINLINE err_t nothing(const struct pt *pt, va_t v, pa_t *out)
{
    (void)pt;
    *out = pa(v.raw);
    return ERR_OK;
}

typedef err_t translate_fn(const struct pt *pt, va_t v, pa_t *out);

static NOINLINE uint64_t many_times(translate_fn *translate, va_t v, unsigned n)
{
    uint64_t began = cpu_rdtsc();
    pa_t     out;

    for (unsigned i = 0; i < n; i++)
        if (translate(&kernel_pt, v, &out) != ERR_OK)
            PANIC("a page of the benchmark is not mapped");
    return cpu_rdtsc() - began;
}

static err_t translations(void)
{
    const struct {
        const char   *what;
        translate_fn *translate;
        va_t          v;
    } rows[] = {
        { "translate by the direct map, 4 KiB page", pt_translate, at(0) },
        { "translate by the direct map, 2 MiB page", pt_translate, at(LARGE) },
        { "translate by the recursive slot, 4 KiB page", pt_translate_recursive, at(0) },
        { "translate by the recursive slot, 2 MiB page", pt_translate_recursive, at(LARGE) },
    };
    err_t err = map_one();

    if (err == ERR_OK)
        err = pt_map(&kernel_pt, at(LARGE), bp.block, LARGE, KERNEL_DATA, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(rows) && err == ERR_OK; i++) {
        uint64_t empty_once = many_times(nothing, rows[i].v, 1), empty = many_times(nothing, rows[i].v, ROUNDS), cold;

        chill();
        cold = many_times(rows[i].translate, rows[i].v, 1) - empty_once;
        bench_report_both(rows[i].what, cold * ROUNDS, many_times(rows[i].translate, rows[i].v, ROUNDS) - empty, ROUNDS);
    }
    return err == ERR_OK ? unmap(0, 2 * LARGE) : err;
}

/* ---- batches, faults, spaces ------------------------------------------------------------------- */

static uint64_t batch_of(uint64_t n)
{
    struct tlb_batch b;
    uint64_t         began = cpu_rdtsc();

    tlb_batch_open(&b, NULL);
    for (uint64_t i = 0; i < n; i++)
        tlb_changed(&b, at(i));
    tlb_batch_close(&b);
    return cpu_rdtsc() - began;
}

static void batches(void)
{
    static const struct { const char *what; uint64_t n; } rows[] = {
        { "TLB: a batch of 1 page", 1 },
        { "TLB: a batch of 32 pages, each", 32 },
        { "TLB: a batch of 4096 pages, each", 4096 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t cold, warm[TIMES];

        chill();
        cold = batch_of(rows[i].n);
        for (unsigned k = 0; k < TIMES; k++)
            warm[k] = batch_of(rows[i].n);
        bench_report_both(rows[i].what, cold, median(warm), rows[i].n);
    }
}

static volatile uint8_t sink;
static void read_it(void *page) { sink = *(volatile uint8_t *)page; }

/* A fault that the kernel survives: entry, the decision, the fix-up, and back in the caller */
static err_t fault(void *arg)
{
    struct trap_caught caught;

    (void)arg;
    return trap_try(read_it, (void *)at(0).raw, &caught) ? ERR_CORRUPT : ERR_OK;
}

/*
 * First touches: from the instruction that faults until it has been repeated. The CPU's stock of zeroed
 * frames serves the first of them; the others contain the zeroing, which is measured apart.
 */
#define TOUCHES ((uint64_t)64)

static uint64_t touch(va_t start, uint64_t page, uint64_t n)
{
    uint64_t began = cpu_rdtsc();

    for (uint64_t i = page; i < page + n; i++)
        *(volatile uint8_t *)port_va_ptr(va_add(start, i * PAGE_SIZE)) = 1;
    return cpu_rdtsc() - began;
}

static err_t first_touches(void)
{
    va_t     start;
    uint64_t cold, empty, zeroing, began, n_stock = 0;
    err_t    err = kva_alloc_lazy(4 * TOUCHES, &start);

    if (err != ERR_OK)
        return err;
    began = cpu_rdtsc();
    for (uint64_t i = 0; i < TOUCHES; i++)
        __builtin_memset(port_ptr(pfn_to_pa(bp.frame)), 0, PAGE_SIZE);
    zeroing = cpu_rdtsc() - began;
    chill();
    cold = touch(start, 0, 1);
    (void)touch(start, 1, TOUCHES - 1); /* the stock is empty now */
    empty = touch(start, 0, TOUCHES);
    bench_report_both("a first touch, from the fault to the repeated access", cold * TOUCHES,
                      touch(start, TOUCHES, TOUCHES) - empty, TOUCHES);
    bench_report("  of which zeroing", zeroing, TOUCHES);
    while (n_stock < TOUCHES / 2 && frame_zero_idle())
        n_stock++;
    if (n_stock > 0)
        bench_report("a first touch, a zeroed frame in stock", touch(start, 2 * TOUCHES, n_stock) - empty * n_stock / TOUCHES,
                     n_stock);
    return kva_free(start);
}

static err_t spaces(void)
{
    uint64_t began = cpu_rdtsc();
    err_t    err = as_create(&bp.space);

    if (err != ERR_OK)
        return err;
    bench_report("create an address space", cpu_rdtsc() - began, 1);
    err = pt_map_frames(&bp.space.pt, at(0), bp.list, MANY, PTE_U | KERNEL_DATA);
    if (err == ERR_OK)
        err = measure(&cloning);
    began = cpu_rdtsc();
    as_switch(&bp.space);
    bench_report("switch to a space", cpu_rdtsc() - began, 1);
    as_switch(NULL);
    as_destroy(&bp.space);
    return err;
}

static err_t growth(void)
{
    va_t     start, wall, moved;
    uint64_t began = cpu_rdtsc();
    err_t    err = kva_alloc(MANY, &start), freed;

    if (err != ERR_OK)
        return err;
    bench_report("kva_alloc of 64 MiB, a page", cpu_rdtsc() - began, MANY);
    moved = start;
    err = kva_alloc(LARGE, &wall); /* right behind it: it can't grow where it is */
    if (err == ERR_OK) {
        began = cpu_rdtsc();
        err = kva_resize(start, MANY + LARGE, &moved);
        bench_report("64 MiB grow by 2 MiB and move, all", cpu_rdtsc() - began, 1);
        freed = kva_free(wall);
        err = err == ERR_OK ? freed : err;
    }
    began = cpu_rdtsc();
    freed = kva_free(moved);
    bench_report("kva_free of it, a page", cpu_rdtsc() - began, MANY + LARGE);
    return err == ERR_OK ? freed : err;
}

static err_t run_all(void)
{
    err_t err = ERR_OK;

    bench_heading("cold", "warm");
    for (unsigned i = 0; i < ARRAY_LEN(works) && err == ERR_OK; i++)
        err = measure(&works[i]);
    if (err == ERR_OK)
        err = map_list();
    if (err == ERR_OK) {
        err = measure(&protecting);
        (void)unmap_many();
    }
    if (err == ERR_OK)
        err = translations();
    if (!tlb_shadow_on) /* it would rightly call them superfluous: they flush what has not changed */
        batches();
    if (err == ERR_OK)
        err = bench_measure("a kernel fault that ends in its fix-up", 1, fault, NULL);
    if (err == ERR_OK)
        err = first_touches();
    if (err == ERR_OK)
        err = spaces();
    return err == ERR_OK ? growth() : err;
}

/* With the shadow TLB: each superfluous flush by name */
static err_t watched(void)
{
    struct tlb_shadow_stats before = tlb_shadow_stats(), after;
    err_t                   err;

    tlb_shadow_name(true);
    err = run_all();
    tlb_shadow_name(false);
    after = tlb_shadow_stats();
    if (tlb_shadow_on)
        kprintf("  %llu translations went stale; %llu flushes were missing, %llu superfluous\n",
                ULL(after.changes - before.changes), ULL(after.missing - before.missing),
                ULL(after.superfluous - before.superfluous));
    return err;
}

static err_t run(void)
{
    err_t err = frame_alloc(0, &bp.frame), freed;

    if (err != ERR_OK)
        return err;
    err = frame_alloc(9, &bp.block);
    if (err == ERR_OK) {
        bp.list = heap_alloc(kernel_heap, MANY * sizeof *bp.list);
        for (uint64_t i = 0; bp.list != NULL && i < MANY; i++)
            bp.list[i] = bp.frame;
        err = bp.list == NULL ? ERR_NOMEM : watched();
        freed = bp.list == NULL ? ERR_OK : heap_free(kernel_heap, bp.list);
        err = err == ERR_OK ? freed : err;
        freed = frame_free_order(bp.block, 9);
        err = err == ERR_OK ? freed : err;
    }
    freed = frame_free(bp.frame);
    return err == ERR_OK ? freed : err;
}

const struct bench bench_pages = { "pages", run };
