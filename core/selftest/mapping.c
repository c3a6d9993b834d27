/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/mapping.c - what the mapper promises, on this machine's tables
 *
 * Cache types: each of the six at each page size, for physical addresses at the very top of what the CPU can name,
 * where nothing is and nothing is touched; a second type for the same frames is refused, and so is any but
 * write-back for RAM. Then a large page is cut by a change to a part of it, and joined when the change is undone;
 * its bytes stay what they were throughout. Then a large page moves.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/str.h"
#include "core/x86/cpuid.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "mm/frame.h"

#define TAG     "mapping"
#define MSR_PAT 0x277u
#define LARGE   ((uint64_t)512)

static const struct { const char *name; uint64_t flags; } types[] = {
    { "WB", PTE_CACHE_WB }, { "WT", PTE_CACHE_WT }, { "UC-", PTE_CACHE_UCM },
    { "UC", PTE_CACHE_UC }, { "WP", PTE_CACHE_WP }, { "WC", PTE_CACHE_WC },
};

static va_t at(uint64_t page) { return va_add(slot_base(SLOT_PROCESS, kernel_pt.levels), page * PAGE_SIZE); }

static err_t expect(const char *what, uint64_t got, uint64_t want)
{
    if (got == want)
        return ERR_OK;
    log_error(TAG, "%s: %llu, expected %llu", what, ULL(got), ULL(want));
    return ERR_CORRUPT;
}

static err_t expect_refused(const char *what, err_t got)
{
    if (got == ERR_ALIAS)
        return ERR_OK;
    log_error(TAG, "%s: \"%s\", expected \"%s\"", what, err_str(got), err_str(ERR_ALIAS));
    return ERR_CORRUPT;
}

static err_t unmap(uint64_t page, uint64_t n)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_unmap(&kernel_pt, at(page), n, &b);
    tlb_batch_close(&b);
    return err;
}

static unsigned level_at(uint64_t page)
{
    struct pt_walk w;

    pt_walk(&kernel_pt, at(page), &w);
    return w.mapped ? w.last : 0;
}

/* One type at one size, and the next type for the same frames */
static err_t map_typed(unsigned level, unsigned type)
{
    const pfn_t    top = pfn(pte_frame_limit() - level_pages(LEVEL_1G));
    const uint64_t n = level_pages(level), other = types[(type + 1) % ARRAY_LEN(types)].flags;
    struct pt_walk w;
    err_t          err = pt_map(&kernel_pt, at(0), top, n, PTE_NX | types[type].flags, NULL), second, undone;

    if (err != ERR_OK)
        return err;
    pt_walk(&kernel_pt, at(0), &w);
    second = pt_map(&kernel_pt, at(level_pages(LEVEL_1G)), top, 1, PTE_NX | other, NULL);
    err = expect("the page's level", w.last, level);
    if (err == ERR_OK && strcmp(cache_name(pte_flags(w.entry[level], level)), types[type].name) != 0)
        err = expect(types[type].name, 0, 1);
    if (err == ERR_OK)
        err = expect_refused("a second cache type", second);
    undone = unmap(0, n);
    return err == ERR_OK ? undone : err;
}

static err_t cache_types(pfn_t ram)
{
    err_t err = cpu_features()->pat ? expect("IA32_PAT", rdmsr(MSR_PAT), PAT_VALUE) : ERR_OK;

    for (unsigned level = LEVEL_4K; level <= (pte_cpu.gib_pages ? LEVEL_1G : LEVEL_2M); level++)
        for (unsigned type = 0; type < ARRAY_LEN(types) && err == ERR_OK; type++)
            err = map_typed(level, type);
    for (unsigned type = 1; type < ARRAY_LEN(types) && err == ERR_OK; type++)
        err = expect_refused("RAM, not write-back", pt_map(&kernel_pt, at(0), ram, 1, PTE_NX | types[type].flags, NULL));
    if (err == ERR_OK)
        kprintf("  six cache types at each page size; a second one is refused, and all but WB for RAM\n");
    return err;
}

/* ---- cut and joined ---------------------------------------------------------------------------- */

static volatile uint64_t *word(uint64_t first, uint64_t i)
{
    return (volatile uint64_t *)port_va_ptr(va_add(at(first + i), i * 8));
}

static err_t same_bytes(uint64_t first)
{
    for (uint64_t i = 0; i < LARGE; i++)
        if (*word(first, i) != i + 1)
            return expect("a word of the page", *word(first, i), i + 1);
    return ERR_OK;
}

static err_t cut_and_join(void)
{
    struct tlb_batch b;
    uint64_t         joined = 9, again = 9;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_protect(&kernel_pt, at(100), 7, PTE_NX, &b);
    tlb_batch_close(&b);
    if (err == ERR_OK)
        err = expect("the level after a change to a part", level_at(300), LEVEL_4K);
    if (err == ERR_OK)
        err = pt_join(&kernel_pt, at(0), LARGE, &b, &joined);
    tlb_batch_close(&b);
    if (err == ERR_OK)
        err = expect("pages joined while they differ", joined, 0);
    if (err == ERR_OK)
        err = pt_protect(&kernel_pt, at(100), 7, PTE_W | PTE_NX, &b);
    if (err == ERR_OK)
        err = pt_join(&kernel_pt, at(0), LARGE, &b, &again);
    tlb_batch_close(&b);
    if (err == ERR_OK)
        err = expect("pages joined when they are alike", again, 1);
    if (err == ERR_OK)
        err = expect("the level after joining", level_at(300), LEVEL_2M);
    return err == ERR_OK ? same_bytes(0) : err;
}

static err_t move(void)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_move(&kernel_pt, at(0), at(4 * LARGE + 3), LARGE, &b); /* not to a border of 2 MiB: page by page */
    if (err == ERR_OK)
        err = pt_move(&kernel_pt, at(4 * LARGE + 3), at(8 * LARGE), LARGE, &b);
    tlb_batch_close(&b);
    if (err == ERR_OK)
        err = expect("where it was", level_at(0), 0);
    if (err == ERR_OK)
        err = same_bytes(8 * LARGE);
    if (err == ERR_OK)
        kprintf("  2 MiB cut by a change to a part, joined when it was undone, moved twice: every byte as it was\n");
    return err;
}

static err_t large_page(pfn_t block)
{
    err_t err = pt_map(&kernel_pt, at(0), block, LARGE, PTE_W | PTE_NX, NULL), undone;

    if (err != ERR_OK)
        return err;
    err = expect("the level of 2 MiB", level_at(0), LEVEL_2M);
    for (uint64_t i = 0; i < LARGE && err == ERR_OK; i++)
        *word(0, i) = i + 1;
    if (err == ERR_OK)
        err = cut_and_join();
    if (err == ERR_OK)
        err = move();
    undone = unmap(0, 16 * LARGE);
    return err == ERR_OK ? undone : err;
}

static err_t run(void)
{
    pfn_t block;
    err_t err = frame_alloc(9, &block), freed;

    if (err != ERR_OK)
        return err;
    err = cache_types(block);
    if (err == ERR_OK)
        err = large_page(block);
    freed = frame_free(block);
    return err == ERR_OK ? freed : err;
}

const struct selftest selftest_mapping = { "mapping", run };
