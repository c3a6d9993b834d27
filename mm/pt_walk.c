/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_walk.c - page tables: looking things up, both ways
 *
 * Promise     Every question about tables, none of which changes a bit: what is behind an address, how
 *             the CPU gets there, what a range looks like, whether the tables are sound.
 *
 * Recursive   One entry of the top table, 511 (510 with five levels), leads to the top table. Each time a walk
 *             passes through it, it ends one level early: at a table in place of a page. With four levels,
 *             v = a.b.c.d (nine bits each):
 *
 *               address            shows the table of      its entry for v
 *               511.a.b.c          level 1                 + 8 * d          "table 1: the first 9 bits are 511"
 *               511.511.a.b        level 2                 + 8 * c          "table 2: the first 18 bits"
 *               511.511.511.a      level 3                 + 8 * b
 *               511.511.511.511    level 4, the top        + 8 * a
 *
 *             In general: the address shifted right by 9 for each level, that many times the slot put in
 *             front. An entry may be read this way only if those above it are present, so this walk,
 *             too, goes from the top; where the direct map follows frames, it follows arithmetic.
 *
 * Locks       none. Whoever asks owns the range, or asks for a picture that may be old when it is shown.
 *
 * Sources     SDM 3A "4-Level Paging and 5-Level Paging", "Access Rights"
 */
#include "mm/pt_inside.h"

/* The address all of whose indexes are the recursive slot: where the top table shows itself */
static uint64_t recursion(unsigned levels)
{
    uint64_t once_each = 0x0008040201ULL << PAGE_SHIFT; /* bits 0, 9, 18, 27 of the page number ... */

    if (levels == PT_LEVELS_MAX)
        once_each |= (uint64_t)1 << (PAGE_SHIFT + 36); /* ... and 36 */
    return canonical(once_each * recursive_slot(levels), levels);
}

/* Indexes in front of v, shifted right by 9 for each level, at eight bytes to an entry */
static uint64_t entry_address(uint64_t v, unsigned level, unsigned levels)
{
    unsigned width = PAGE_SHIFT + 9 * levels;
    uint64_t behind = (v & (((uint64_t)1 << width) - 1)) >> (9 * level) & ~(uint64_t)7;

    return (recursion(levels) & ~(uint64_t)0 << (width - 9 * level)) | behind;
}

va_t pt_entry_address(const struct pt *pt, va_t v, unsigned level)
{
    return va(entry_address(v.raw, level, pt->levels));
}

va_t pt_table_va(const struct pt *pt, uint64_t page, unsigned level)
{
    return va(align_down(entry_address(page << PAGE_SHIFT, level, pt->levels), PAGE_SIZE));
}

/* Where tables are reached by the recursive slot, or both ways are held against each other */
pte_cell *pt_cells_slow(const struct pt *pt, pfn_t table, uint64_t page, unsigned level)
{
    const uint64_t by_cpu = PTE_A | PTE_D;
    pte_cell      *direct = port_ptr(pfn_to_pa(table));
    pte_cell      *recursive = port_va_ptr(pt_table_va(pt, page, level));
    unsigned       i = pt_index(page, level);

    if (pt->way == PT_BOTH && ((pte_load(&direct[i]).raw ^ pte_load(&recursive[i]).raw) & ~by_cpu) != 0)
        PANIC("level %u entry of " VA_FMT ": %llx by the direct map, %llx by the recursive slot", level,
              VA_ARG(page_va(pt, page)), ULL(pte_load(&direct[i]).raw), ULL(pte_load(&recursive[i]).raw));
    return pt->way == PT_RECURSIVE ? recursive : direct;
}

/* ---- translate -------------------------------------------------------------------------------- */

/*
 * Both are written out level by level for a number of levels that the compiler knows: shifts and masks are
 * constants, which makes them three times as fast as a loop. A page can end the walk from level 3 on.
 */
static inline bool leads_to_table(pte_t e) { return (e.raw & (PTE_P | PTE_PS)) == PTE_P; }

/* What the walk ended with: a page of 2^shift bytes, or nothing */
static inline err_t last(pte_t e, va_t v, unsigned shift, pa_t *out)
{
    const uint64_t inside = ((uint64_t)1 << shift) - 1;

    if (!pte_present(e))
        return ERR_NOENT;
    *out = pa((e.raw & PTE_ADDRESS & ~inside) | (v.raw & inside));
    return ERR_OK;
}

/* The entry for v in the table at this physical address */
static inline pte_t direct_entry(uint64_t table, va_t v, unsigned shift)
{
    const pte_cell *cells = port_ptr(pa(table));

    return pte_load(&cells[(v.raw >> shift) % TABLE_ENTRIES]);
}

static inline err_t translate(const struct pt *pt, va_t v, pa_t *out, unsigned levels)
{
    uint64_t table = pfn_to_pa(pt->root).raw;
    pte_t    e;

    if (UNLIKELY(!is_canonical(v.raw, levels)))
        return ERR_NOT_CANON;
    if (levels == PT_LEVELS_MAX) {
        e = direct_entry(table, v, 48);
        if (!pte_present(e))
            return ERR_NOENT;
        table = e.raw & PTE_ADDRESS;
    }
    e = direct_entry(table, v, 39);
    if (!pte_present(e))
        return ERR_NOENT;
    e = direct_entry(e.raw & PTE_ADDRESS, v, 30);
    if (!leads_to_table(e))
        return last(e, v, 30, out);
    e = direct_entry(e.raw & PTE_ADDRESS, v, 21);
    if (!leads_to_table(e))
        return last(e, v, 21, out);
    return last(direct_entry(e.raw & PTE_ADDRESS, v, 12), v, 12, out);
}

err_t pt_translate(const struct pt *pt, va_t v, pa_t *out)
{
    return LIKELY(pt->levels == KERNEL_LEVELS) ? translate(pt, v, out, KERNEL_LEVELS)
                                               : translate(pt, v, out, PT_LEVELS_MAX);
}

/*
 * The entry of level 1 for v lies at vtopte(v); and since the page it lies in is mapped by the entry of level 2,
 * that one lies at vtopte(vtopte(v)), and so on up.
 */
static inline va_t vtopte(va_t v, unsigned levels)
{
    const uint64_t inside = (((uint64_t)1 << (PAGE_SHIFT + 9 * (levels - 1))) - 1) & ~(uint64_t)7;
    const uint64_t base = canonical((uint64_t)recursive_slot(levels) << slot_shift(levels), levels);

    return va(base | (v.raw >> 9 & inside));
}

static inline pte_t recursive_entry(va_t entry) { return pte_load(port_va_ptr(entry)); }

static inline err_t translate_recursive(va_t v, pa_t *out, unsigned levels)
{
    va_t  pt = vtopte(v, levels), pd = vtopte(pt, levels), pdpt = vtopte(pd, levels), pml4 = vtopte(pdpt, levels);
    pte_t e;

    if (UNLIKELY(!is_canonical(v.raw, levels)))
        return ERR_NOT_CANON;
    if ((levels == PT_LEVELS_MAX && !pte_present(recursive_entry(vtopte(pml4, levels)))) ||
        !pte_present(recursive_entry(pml4)))
        return ERR_NOENT;
    e = recursive_entry(pdpt);
    if (!leads_to_table(e))
        return last(e, v, 30, out);
    e = recursive_entry(pd);
    if (!leads_to_table(e))
        return last(e, v, 21, out);
    return last(recursive_entry(pt), v, 12, out);
}

err_t pt_translate_recursive(const struct pt *pt, va_t v, pa_t *out)
{
    return LIKELY(pt->levels == KERNEL_LEVELS) ? translate_recursive(v, out, KERNEL_LEVELS)
                                               : translate_recursive(v, out, PT_LEVELS_MAX);
}

/* ---- one walk, shown -------------------------------------------------------------------------- */

void pt_walk(const struct pt *pt, va_t v, struct pt_walk *out)
{
    pfn_t table = pt->root;

    *out = (struct pt_walk){ .levels = pt->levels, .last = pt->levels + 1, .w = true, .u = true, .x = true };
    out->canonical = is_canonical(v.raw, pt->levels);
    for (unsigned level = pt->levels; out->canonical; level--) {
        unsigned        i = pt_index(v.raw >> PAGE_SHIFT, level);
        const pte_cell *cells = pt_cells(pt, table, va_page(pt, v), level);
        pte_t           e = pte_load(&cells[i]);

        out->last = level;
        out->entry[level] = e;
        out->where[level] = pa_add(pfn_to_pa(table), i * sizeof e);
        if (!pte_present(e))
            break;
        out->w &= (e.raw & PTE_W) != 0;
        out->u &= (e.raw & PTE_U) != 0;
        out->x &= (e.raw & PTE_NX) == 0;
        out->reserved = pte_reserved(e, level) != 0;
        if (out->reserved)
            break;
        table = pte_frame(e, level);
        if (pte_is_leaf(e, level)) {
            out->mapped = true;
            out->pa = pa_add(pfn_to_pa(table), v.raw & ((level_pages(level) << PAGE_SHIFT) - 1));
            break;
        }
    }
}

/* ---- ranges ----------------------------------------------------------------------------------- */

struct ranges {
    const struct pt *pt;
    bool (*fn)(void *arg, const struct pt_range *range);
    void           *arg;
    struct pt_range now;  /* being gathered; n_pages 0: none yet */
    bool            stop;
};

#define RANGE_FLAGS (PTE_W | PTE_U | PTE_G | PTE_NX | PTE_KEY | PTE_CACHE)

static void range_end(struct ranges *r)
{
    if (r->now.n_pages > 0 && !r->stop)
        r->stop = !r->fn(r->arg, &r->now);
    r->now.n_pages = 0;
}

static void range_add(struct ranges *r, uint64_t page, uint64_t next, pte_t e, unsigned level, uint64_t path)
{
    struct pt_range *now = &r->now;
    /* W and U as the whole path has them, NX if any entry has it */
    uint64_t own = pte_flags(e, level) & RANGE_FLAGS, rights = PTE_W | PTE_U;
    uint64_t flags = (own & ~rights) | (own & path & rights) | (path & PTE_NX);
    va_t     v = page_va(r->pt, page);
    pfn_t    frame = pfn_add(pte_frame(e, level), page % level_pages(level));

    if (now->n_pages > 0 && (flags != now->flags || v.raw != now->start.raw + (now->n_pages << PAGE_SHIFT)))
        range_end(r);
    if (now->n_pages == 0)
        *now = (struct pt_range){ .start = v, .flags = flags, .frame = frame, .contiguous = true };
    now->contiguous &= frame.idx == now->frame.idx + now->n_pages;
    now->n_pages += next - page;
    now->n_leaf[level]++;
}

static void ranges_in(struct ranges *r, const pte_cell *cells, unsigned level, uint64_t page, uint64_t end,
                      uint64_t path)
{
    for (uint64_t next; page < end && !r->stop; page = next) {
        pte_t    e = pte_load(&cells[pt_index(page, level)]);
        uint64_t below;

        next = next_page(page, end, level);
        if (!pte_present(e) || pt_is_recursive(r->pt, level, pt_index(page, level)))
            continue;
        below = (path & e.raw & (PTE_W | PTE_U)) | ((path | e.raw) & PTE_NX);
        if (pte_is_leaf(e, level))
            range_add(r, page, next, e, level, below);
        else
            ranges_in(r, pt_cells(r->pt, pte_frame(e, level), page, level - 1), level - 1, page, next, below);
    }
}

err_t pt_ranges(const struct pt *pt, va_t start, uint64_t n_pages,
                bool (*fn)(void *arg, const struct pt_range *range), void *arg)
{
    struct ranges r = { .pt = pt, .fn = fn, .arg = arg };
    uint64_t      page = va_page(pt, start);

    if (!is_canonical(start.raw, pt->levels))
        return ERR_NOT_CANON;
    if (!is_aligned(start.raw, PAGE_SIZE) || n_pages == 0)
        return ERR_INVAL;
    n_pages = min_u64(n_pages, ((uint64_t)1 << (9 * pt->levels)) - page);
    ranges_in(&r, pt_cells(pt, pt->root, page, pt->levels), pt->levels, page, page + n_pages, PTE_W | PTE_U);
    range_end(&r);
    return ERR_OK;
}

/* ---- soundness -------------------------------------------------------------------------------- */

static const char *check_table(const struct pt *pt, pfn_t table, unsigned level, uint64_t page, uint64_t *n_tables)
{
    const pte_cell *cells = port_ptr(pfn_to_pa(table));
    const char     *wrong = NULL;
    bool            is_top = level == pt->levels;

    ++*n_tables;
    for (unsigned i = 0; i < TABLE_ENTRIES && wrong == NULL; i++) {
        uint64_t        at = page + i * level_pages(level);
        pte_t           e = pte_load(&cells[i]);
        const pte_cell *below;
        unsigned        n = 0;

        if (!pte_present(e) || pt_is_recursive(pt, level, i))
            continue;
        if (pte_reserved(e, level) != 0)
            return "I1: an entry has a reserved bit";
        if (pte_is_leaf(e, level))
            continue;
        if (is_top && pt_shares(pt, i))
            continue; /* the kernel's */
        below = port_ptr(pfn_to_pa(pte_frame(e, level)));
        for (unsigned k = 0; k < TABLE_ENTRIES; k++)
            n += pte_load(&below[k]).raw != 0;
        if (n != pte_count(e))
            return "I3: an entry does not count its table's entries";
        if (n == 0 && !(is_top && pt->kernel == NULL))
            return "I4: an empty table is linked";
        wrong = check_table(pt, pte_frame(e, level), level - 1, at, n_tables);
    }
    return wrong;
}

const char *pt_check(struct pt *pt)
{
    uint64_t        irq = irqlock_take(&pt->lock), n_tables = 0;
    const pte_cell *top = port_ptr(pfn_to_pa(pt->root));
    const char     *wrong = check_table(pt, pt->root, pt->levels, 0, &n_tables);

    if (wrong == NULL && n_tables != pt->n_tables)
        wrong = "I5: n_tables is not the number of tables";
    if (wrong == NULL && pte_frame(pte_load(&top[recursive_slot(pt->levels)]), pt->levels).idx != pt->root.idx)
        wrong = "the recursive slot does not lead to the top table";
    irqlock_drop(&pt->lock, irq);
    return wrong;
}
