/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/tlb.c - what the tables say, what the CPU does, and what it may remember
 *
 * Translations: a window of 4 MiB in the process's part, a 2 MiB page and then small pages of shuffled frames
 * with holes between. Each frame carries its own number. For thousands of random addresses, the direct map,
 * the recursive slot and the CPU itself say which frame is there, or that none is.
 *
 * Flushes: a global page is changed behind the CPU's back. A CR3 load need not make it forget (Bochs
 * doesn't, TCG does); the batch must. Then a space is left, changed, and entered again: with PCIDs the
 * CPU may have kept its translation.
 *
 * Where the shadow TLB watches, its verdict on everything since the start belongs to the test.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/trap.h"
#include "mm/as.h"
#include "mm/frame.h"
#include "mm/tlb_shadow.h"

#define TAG    "tlb"
#define SMALL  256  /* small pages in the window; every third is a hole */
#define WINDOW 1024 /* pages                                            */
#define ROUNDS 6000

static struct {
    pfn_t block;        /* 512 frames behind the large page */
    pfn_t small[SMALL];
} st;

static va_t window(uint64_t page) { return va_add(slot_base(SLOT_PROCESS, kernel_pt.levels), page * PAGE_SIZE); }

static uint64_t next_random(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

static void tag(pfn_t f) { *(uint64_t *)port_ptr(pfn_to_pa(f)) = f.idx; }

static uint64_t answer;
static void     ask(void *at) { answer = *(const volatile uint64_t *)at; }

/* The frame that the CPU finds behind this page; false: it faults */
static bool ask_cpu(va_t page, uint64_t *frame)
{
    struct trap_caught caught;

    if (!trap_try(ask, (void *)page.raw, &caught))
        return false;
    *frame = answer;
    return true;
}

static bool agree(va_t v)
{
    pa_t     direct = { 0 }, recursive = { 1 };
    uint64_t frame = 0;
    err_t    a = pt_translate(&kernel_pt, v, &direct), b = pt_translate_recursive(&kernel_pt, v, &recursive);
    bool     mapped = ask_cpu(va(align_down(v.raw, PAGE_SIZE)), &frame);

    if (a != b || mapped != (a == ERR_OK))
        return false;
    return !mapped || (direct.raw == recursive.raw && direct.raw >> PAGE_SHIFT == frame &&
                       (direct.raw ^ v.raw) % PAGE_SIZE == 0);
}

static err_t compare_translations(void)
{
    uint64_t x = 2026, n_mapped = 0, frame;

    for (unsigned i = 0; i < ROUNDS; i++) {
        va_t v = va_add(window(next_random(&x) % WINDOW), next_random(&x) % PAGE_SIZE);

        if (!agree(v)) {
            log_error(TAG, "direct map, recursive slot and CPU differ at " VA_FMT, VA_ARG(v));
            return ERR_CORRUPT;
        }
        n_mapped += ask_cpu(va(align_down(v.raw, PAGE_SIZE)), &frame);
    }
    kprintf("  %u addresses, %llu of them mapped: direct map, recursive slot and CPU agree\n", ROUNDS, ULL(n_mapped));
    return ERR_OK;
}

static err_t map_window(void)
{
    err_t err = pt_map(&kernel_pt, window(0), st.block, 512, PTE_NX, NULL);

    for (uint64_t i = 0; i < 512; i++)
        tag(pfn_add(st.block, i));
    for (uint64_t i = 0; i < SMALL && err == ERR_OK; i++) {
        tag(st.small[i]);
        if (i % 3 != 2)
            err = pt_map(&kernel_pt, window(512 + i), st.small[i * 37 % SMALL], 1, PTE_NX, NULL);
    }
    return err;
}

static err_t unmap_window(void)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_unmap(&kernel_pt, window(0), WINDOW, &b);
    tlb_batch_close(&b);
    return err;
}

/* ---- flushes ----------------------------------------------------------------------------------- */

static err_t expect(const char *what, uint64_t got, pfn_t want)
{
    if (got == want.idx)
        return ERR_OK;
    log_error(TAG, "%s: frame %#llx is there, not %#llx", what, ULL(got), ULL(want.idx));
    return ERR_CORRUPT;
}

/* The page goes from one frame to another, and no CPU is told */
static void change_silently(const struct pt *pt, va_t page, pfn_t to)
{
    struct pt_walk w;
    pte_cell      *cell;

    pt_walk(pt, page, &w);
    cell = port_ptr(w.where[LEVEL_4K]);
    pte_store(cell, pte_leaf(to, pte_flags(w.entry[LEVEL_4K], LEVEL_4K), LEVEL_4K));
}

static err_t global_page(void)
{
    struct tlb_batch b;
    uint64_t         before = 0, loaded = 0, flushed = 0;
    err_t            err = pt_map(&kernel_pt, window(0), st.small[0], 1, PTE_G | PTE_NX, NULL);

    if (err != ERR_OK)
        return err;
    (void)ask_cpu(window(0), &before);
    change_silently(&kernel_pt, window(0), st.small[1]);
    port_tlb_all(false);
    (void)ask_cpu(window(0), &loaded);
    tlb_batch_open(&b, NULL);
    tlb_changed(&b, window(0));
    tlb_batch_close(&b);
    (void)ask_cpu(window(0), &flushed);
    kprintf("  a global page, changed, after a CR3 load: %s (both are allowed); after a batch: new\n",
            loaded == before ? "still the old one" : "the new one");
    err = expect("a global page after a batch", flushed, st.small[1]);
    return err == ERR_OK ? unmap_window() : err;
}

static err_t left_and_entered_again(void)
{
    struct as a;
    uint64_t  first = 0, again = 0;
    err_t     err = as_create(&a);

    if (err != ERR_OK)
        return err;
    err = pt_map(&a.pt, window(0), st.small[0], 1, PTE_NX, NULL);
    if (err == ERR_OK) {
        as_switch(&a);
        (void)ask_cpu(window(0), &first);
        as_switch(NULL);
        err = as_unmap(&a, window(0), 1); /* while it is not current */
    }
    if (err == ERR_OK)
        err = pt_map(&a.pt, window(0), st.small[1], 1, PTE_NX, NULL);
    as_switch(&a);
    (void)ask_cpu(window(0), &again);
    as_switch(NULL);
    as_destroy(&a);
    if (err == ERR_OK)
        err = expect("a space when first entered", first, st.small[0]);
    if (err == ERR_OK)
        err = expect("a space entered again", again, st.small[1]);
    if (err == ERR_OK)
        kprintf("  a space left, changed and entered again: new%s\n", tlb_cpu.pcid ? ", with PCIDs" : "");
    return err;
}

/* With tlb.check=1: of all since the start */
static err_t ask_shadow(void)
{
    struct tlb_shadow_stats s = tlb_shadow_stats();

    if (s.missing == 0 && s.lost == 0)
        return ERR_OK;
    log_error(TAG, "%llu flushes were missing, %llu changes not followed", ULL(s.missing), ULL(s.lost));
    return ERR_CORRUPT;
}

static err_t run_all(void)
{
    err_t err = map_window(), undone;

    if (err == ERR_OK)
        err = compare_translations();
    undone = unmap_window();
    if (err == ERR_OK)
        err = undone;
    if (err == ERR_OK)
        err = global_page();
    if (err == ERR_OK)
        err = left_and_entered_again();
    return err == ERR_OK ? ask_shadow() : err;
}

static err_t run(void)
{
    err_t err = frame_alloc(9, &st.block), freed;

    if (err != ERR_OK)
        return err;
    err = frames_alloc(SMALL, st.small);
    if (err == ERR_OK) {
        err = run_all();
        freed = frames_free(SMALL, st.small);
        err = err == ERR_OK ? freed : err;
    }
    freed = frame_free(st.block);
    return err == ERR_OK ? freed : err;
}

const struct selftest selftest_tlb = { "tlb", run };
