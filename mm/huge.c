/* SPDX-License-Identifier: MIT */
/*
 * mm/huge.c - pages of 2 MiB for anonymous memory and the heap
 *
 * Promise     A program that uses much memory gets large pages without asking; whether a page is large never shows in
 *             what it may do: rights, forks and unmapping work page by page.
 *
 * When        advised (REGION_HUGE): the first touch of a span in which nothing is mapped maps 2 MiB of zeroes.
 *             else: the fault that makes HUGE_AT = 384 of a span's 512 pages present copies them to a block of
 *             2 MiB, whose other pages are zeroes. A quarter of the memory may be wasted, and 128 faults are spared,
 *             which pay for the copying. Once: if there is no block then, the span stays as it is.
 *             REGION_NO_HUGE: never. A span lies wholly in a region that may be written.
 *
 * Not any     fork               stays one page in both, one count for the block, read-only
 * more        write, shared      copied whole: to a block of 2 MiB; if there is none to 512 frames
 *             write, not shared  made writable
 *             a cut inside       (part of it unmapped, protected, moved, advised) 512 pages: if it is shared
 *                                copied to 512 frames, else its block taken apart in place
 *
 * Promotion   The page table is unlinked, every CPU flushes, then the pages are copied: nobody can write to what was
 *             copied already. The space is busy meanwhile: who touches the span waits.
 *
 * Locks       none: inside as_begin()
 *
 * Failure     promotion just isn't; copying and splitting take all they need before the first change
 *
 * Sources     Navarro, Iyer, Druschel, Cox, "Practical, transparent operating system support for superpages", OSDI
 *             2002 (reservation, which needs no copying and holds back memory; here, memory is never held back)
 */
#include "mm/region_in.h"

#include "mm/frame.h"
#include "mm/framedb.h"

static void *frame_bytes(pfn_t f) { return port_ptr(pfn_to_pa(f)); }

static void copy_frame(pfn_t to, pfn_t from) { __builtin_memcpy(frame_bytes(to), frame_bytes(from), PAGE_SIZE); }

static void must_free(pfn_t f)
{
    if (frame_free(f) != ERR_OK)
        PANIC("a frame of a space can't be given back");
}

err_t huge_alloc(bool zeroed, pfn_t *out)
{
    err_t err = frame_alloc(HUGE_ORDER, out);

    for (uint64_t i = 0; zeroed && err == ERR_OK && i < HUGE_PAGES; i++)
        __builtin_memset(frame_bytes(pfn_add(*out, i)), 0, PAGE_SIZE);
    return err;
}

/* ---- promotion ----------------------------------------------------------------------------------------- */

/* Every page there is the space's alone, or zeroes; *n_own gets how many are its own */
static bool all_own(const pte_cell *cells, unsigned *n_own)
{
    *n_own = 0;
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        pte_t e = pte_load(&cells[i]);

        if ((e.raw & AS_COUNTED) != 0)
            return false;
        *n_own += (e.raw & AS_OWNED) != 0;
    }
    return true;
}

/* The span's pages go to a block; nobody uses their table any more */
static void gather(pte_cell *cells, pfn_t block)
{
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        pte_t e = pte_load(&cells[i]);
        pfn_t to = pfn_add(block, i);

        if ((e.raw & AS_OWNED) != 0) {
            copy_frame(to, pte_frame(e, LEVEL_4K));
            must_free(pte_frame(e, LEVEL_4K));
        } else {
            __builtin_memset(frame_bytes(to), 0, PAGE_SIZE);
        }
    }
}

void huge_promote(struct as *as, const struct region *r, uint64_t page)
{
    va_t             v = page_address(align_down(page, HUGE_PAGES));
    struct pt_spot  p = pt_spot(&as->pt, v);
    struct tlb_batch batch;
    unsigned         n_own;
    pfn_t            block, table;

    if (!all_own(p.cell, &n_own) || as->owned + as->pt.n_tables + HUGE_PAGES - n_own > as->limit ||
        huge_alloc(false, &block) != ERR_OK)
        return;
    tlb_batch_open(&batch, &as->tlb);
    as->near_table = 0;
    table = pt_unlink(&as->pt, v, &p, &batch);
    tlb_batch_close(&batch);
    gather(frame_bytes(table), block);
    must_free(table);
    pt_link(&as->pt, &p, pte_leaf(block, region_flags(r) | AS_OWNED | PTE_A | PTE_D, LEVEL_2M));
    as->owned += HUGE_PAGES - n_own;
}

/* ---- no longer one page -------------------------------------------------------------------------------- */

/* A table of 512 frames with the bytes of a block */
static err_t copied_table(pfn_t block, uint64_t flags, pfn_t *out)
{
    pte_cell *cells;
    pfn_t     table, frame;
    err_t     err = frame_alloc(0, &table);
    unsigned  n = 0;

    if (err != ERR_OK)
        return err;
    cells = frame_bytes(table);
    for (; n < HUGE_PAGES; n++) {
        err = frame_alloc(0, &frame);
        if (err != ERR_OK)
            break;
        copy_frame(frame, pfn_add(block, n));
        pte_store(&cells[n], pte_leaf(frame, flags, LEVEL_4K));
    }
    if (err == ERR_OK) {
        *out = table;
        return ERR_OK;
    }
    while (n > 0)
        must_free(pte_frame(pte_load(&cells[--n]), LEVEL_4K));
    must_free(table);
    return err;
}

/* The page that others share, too, becomes e here; its block is let go of. Nobody could write to it. */
static void leave(struct as *as, const struct pt_spot *p, va_t v, pte_t e)
{
    struct tlb_batch batch;
    pte_t            old;
    bool             taken;

    tlb_batch_open(&batch, &as->tlb);
    old = pt_swap(&as->pt, p, v, (pte_t){ 0 }, &batch);
    tlb_batch_close(&batch); /* first everywhere gone, then the new: see mm/fault_do.c */
    pt_link(&as->pt, p, e);
    taken = tlb_free_block(&batch, pte_frame(old, LEVEL_2M), HUGE_ORDER, true);
    ASSERT(taken);
    tlb_batch_close(&batch);
}

static err_t copy_small(struct as *as, const struct region *r, const struct pt_spot *p, va_t v)
{
    pfn_t table, block = pte_frame(pte_load(p->cell), LEVEL_2M);
    err_t err = copied_table(block, region_flags(r) | AS_OWNED | PTE_A | PTE_D, &table);

    if (err == ERR_OK)
        leave(as, p, v, pte_table(table, true, TABLE_ENTRIES));
    return err;
}

err_t huge_copy(struct as *as, const struct region *r, uint64_t page)
{
    va_t            v = page_address(align_down(page, HUGE_PAGES));
    struct pt_spot p = pt_spot(&as->pt, v);
    pfn_t           from = pte_frame(pte_load(p.cell), LEVEL_2M), to;

    if (huge_alloc(false, &to) != ERR_OK)
        return copy_small(as, r, &p, v);
    for (uint64_t i = 0; i < HUGE_PAGES; i++)
        copy_frame(pfn_add(to, i), pfn_add(from, i));
    leave(as, &p, v, pte_leaf(to, region_flags(r) | AS_OWNED | PTE_A | PTE_D, LEVEL_2M));
    return ERR_OK;
}

/* The space's alone: 512 entries for the same frames */
static err_t split_own(struct as *as, uint64_t page, pfn_t block)
{
    struct tlb_batch batch;
    err_t            err;

    tlb_batch_open(&batch, &as->tlb);
    err = pt_cut_large(&as->pt, page_address(page), &batch);
    tlb_batch_close(&batch);
    if (err == ERR_OK && frame_split(block, HUGE_ORDER) != ERR_OK)
        PANIC("a 2 MiB page is no block");
    return err;
}

err_t huge_split(struct as *as, uint64_t page)
{
    struct pt_spot p = pt_spot(&as->pt, page_address(page));
    pte_t           e = pte_load(p.cell);
    va_t            v = page_address(align_down(page, HUGE_PAGES));

    if (!pte_present(e) || p.level == LEVEL_4K || is_aligned(page, HUGE_PAGES))
        return ERR_OK;
    if ((e.raw & AS_COUNTED) == 0)
        return split_own(as, page, pte_frame(e, LEVEL_2M));
    if (framedb_refs(pte_frame(e, LEVEL_2M)) > 1)
        return copy_small(as, region_at(as, page), &p, v);
    atomic_fetch_and_explicit(&p.cell->raw, ~AS_COUNTED, memory_order_relaxed); /* the others are gone */
    return split_own(as, page, pte_frame(e, LEVEL_2M));
}
