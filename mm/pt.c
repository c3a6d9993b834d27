/* SPDX-License-Identifier: MIT */
/*
 * mm/pt.c - page tables: how they are built, and mapping
 *
 * Promise     pt_map() maps a range with the fewest entries that can express it, or changes nothing.
 *
 * Picture     a range of 1026 pages from 2 MiB - 4 KiB on, frames just as far from their 2 MiB borders:
 *
 *               directory     [  table  ][   2 MiB page   ][  table  ]
 *               tables          ...    #                      # ...
 *                                page 511    512 .. 1023    1024
 *
 * Decide,     pt_map() walks the range twice. The first walk changes nothing: it finds what is in the
 * then do     way and counts the tables that are missing. They are all taken from the allocator,
 *             then the second walk cannot fail; so there is nothing to undo, and a range is mapped
 *             or it is not. Unmapping and protecting need tables only where they cut a large page
 *             in two (mm/pt_split.c), and get them before the first cut.
 *
 * Counting    The entry that leads to a table counts, in bits that the CPU ignores there, how many of
 *             the table's entries are not 0. So an empty table is known at once, and is unlinked
 *             and freed; and a full one can be recognised before it is read.
 *
 * Two ways    An entry is reached by the direct map, from the frame of its table, or by the recursive
 *             slot, from the address it maps. The second works only for the tables in use, and only
 *             for tables that are linked already: a new one is filled through the direct map, then
 *             published with one store.
 *
 * Kernel's    Tables of address spaces share the kernel's by having the same top entries. A table that
 * half        hangs on a top entry of the kernel stays when it is empty, while anybody shares it; a new
 *             one is told to all who follow. They can't change what lies below it.
 *
 * Invariants  I1  no present entry has a reserved bit
 *             I2  a table is reached by one entry only, but for the recursive slot and shared top entries
 *             I3  an entry's count is the number of entries in its table that are not 0
 *             I4  no table but the top one, or one directly below a kernel's top entry, is empty
 *             I5  n_tables is the number of tables reached
 *
 * Locks       pt->lock (rank 30) around every change; frames (rank 40) are taken and freed under it.
 *             Looking (mm/pt_walk.c) takes no lock.
 *
 * Failure     every error is found before the first change.
 *
 * Sources     SDM 3A "4-Level Paging and 5-Level Paging", "Propagation of Paging-Structure Changes"
 */
#include "mm/pt.h"

#include "mm/frame.h"
#include "mm/pt_inside.h"

/* ---- life ------------------------------------------------------------------------------------- */

err_t pt_create(struct pt *pt, unsigned levels)
{
    pte_cell *cells;
    pfn_t     root;
    err_t     err;

    if (levels != 4 && levels != 5)
        return ERR_INVAL;
    err = frame_alloc(0, &root);
    if (err != ERR_OK)
        return err;
    cells = port_ptr(pfn_to_pa(root));
    __builtin_memset(cells, 0, PAGE_SIZE);
    cells[recursive_slot(levels)].raw = pte_table(root, false, 0).raw | (pte_cpu.nx ? PTE_NX : 0);
    *pt = (struct pt){ .lock = IRQLOCK("pt", 30), .root = root, .levels = levels, .n_tables = 1 };
    return ERR_OK;
}

static pte_cell *top(const struct pt *pt) { return port_ptr(pfn_to_pa(pt->root)); }

void pt_share(struct pt *pt, struct pt *kernel)
{
    pte_t    self = pte_load(&top(pt)[recursive_slot(pt->levels)]);
    uint64_t irq = irqlock_take(&kernel->lock);

    ASSERT(pt->levels == kernel->levels);
    __builtin_memcpy(top(pt), top(kernel), PAGE_SIZE);
    pte_store(&top(pt)[recursive_slot(pt->levels)], self);
    pt->kernel = kernel;
    pt->next = kernel->followers;
    kernel->followers = pt;
    irqlock_drop(&kernel->lock, irq);
}

err_t pt_own_low(struct pt *pt)
{
    pte_cell *cell = &top(pt)[0];
    pte_t     shared = pte_load(cell);
    err_t     err;

    if (pt->own_low)
        return ERR_OK;
    pt->own_low = true;
    pte_store(cell, (pte_t){ 0 });
    err = pt_copy(pt, pt->kernel, va(0), level_pages(pt->levels), 0);
    if (err != ERR_OK) {
        pte_store(cell, shared);
        pt->own_low = false;
    }
    return err;
}

static void unshare(struct pt *pt)
{
    uint64_t irq = irqlock_take(&pt->kernel->lock);

    for (struct pt **p = &pt->kernel->followers; *p != NULL; p = &(*p)->next)
        if (*p == pt) {
            *p = pt->next;
            break;
        }
    for (unsigned slot = 0; slot < TABLE_ENTRIES; slot++)
        if (slot != recursive_slot(pt->levels) && pt_shares(pt, slot))
            pte_store(&top(pt)[slot], (pte_t){ 0 });
    irqlock_drop(&pt->kernel->lock, irq);
}

void pt_tell_followers(struct pt *pt, unsigned slot)
{
    for (struct pt *f = pt->followers; f != NULL; f = f->next)
        if (slot != 0 || !f->own_low)
            pte_publish(&top(f)[slot], pte_load(&top(pt)[slot]));
}

static void free_tables(struct pt *pt, pfn_t table, unsigned level, bool typed)
{
    const pte_cell *cells = port_ptr(pfn_to_pa(table));
    err_t           err;

    for (unsigned i = 0; i < TABLE_ENTRIES && (level > LEVEL_4K || typed); i++) {
        pte_t e = pte_load(&cells[i]);

        if (!pte_present(e) || pt_is_recursive(pt, level, i))
            continue;
        if (pte_is_leaf(e, level))
            type_given(e, level);
        else
            free_tables(pt, pte_frame(e, level), level - 1, (e.raw & PTE_TYPED_BELOW) != 0);
    }
    pt->n_tables--;
    err = frame_free(table);
    ASSERT(err == ERR_OK);
}

void pt_destroy(struct pt *pt)
{
    if (pt->kernel != NULL)
        unshare(pt);
    free_tables(pt, pt->root, pt->levels, false);
    ASSERT(pt->n_tables == 0);
}

/* ---- arguments -------------------------------------------------------------------------------- */

/* Is a top entry of [first, last] the recursive slot, or the kernel's in tables that share it? */
static bool not_ours(const struct pt *pt, unsigned first, unsigned last)
{
    if (first <= recursive_slot(pt->levels) && last >= recursive_slot(pt->levels))
        return true;
    for (unsigned slot = first; slot <= last && pt->kernel != NULL; slot++)
        if (pt_shares(pt, slot))
            return true;
    return false;
}

err_t pt_span(const struct pt *pt, va_t start, uint64_t n_pages, struct span *out)
{
    uint64_t last = start.raw + (n_pages << PAGE_SHIFT) - 1, page;

    if (n_pages == 0 || n_pages > (uint64_t)1 << (64 - PAGE_SHIFT) || !is_aligned(start.raw, PAGE_SIZE) ||
        last < start.raw)
        return ERR_INVAL;
    if (!is_canonical(start.raw, pt->levels) || !is_canonical(last, pt->levels) || (start.raw ^ last) >> 63 != 0)
        return ERR_NOT_CANON;
    page = va_page(pt, start);
    if (not_ours(pt, pt_index(page, pt->levels), pt_index(page + n_pages - 1, pt->levels)))
        return ERR_PERM;
    *out = (struct span){ page, page + n_pages };
    return ERR_OK;
}

err_t pt_flags_ok(const struct pt *pt, struct span s, uint64_t flags)
{
    bool kernel_half = pt_index(s.page, pt->levels) >= SLOT_KERNEL_HALF;

    if ((flags & ~PTE_FLAGS) != 0 || ((flags & PTE_NX) != 0 && !pte_cpu.nx) ||
        ((flags & PTE_U) != 0 && kernel_half) || ((flags & PTE_G) != 0 && pt->kernel != NULL))
        return ERR_INVAL;
    return ERR_OK;
}

/* ---- map -------------------------------------------------------------------------------------- */

/* What pt_map(), pt_map_frames() and pt_map_lazy() do, as one thing */
struct map {
    struct pt    *pt;
    struct span   span;
    pfn_t         first; /* frames follow one another ... */
    const pfn_t  *list;  /* ... or stand here             */
    uint64_t      flags;
    bool          small, lazy;
    struct stock  stock;
};

/* How many entries of a table of this level, from the one for `page` on, can be large pages */
static unsigned large_run(const struct map *m, unsigned level, uint64_t page, uint64_t end)
{
    uint64_t size = level_pages(level), most = TABLE_ENTRIES - pt_index(page, level);

    if (m->small || (level != LEVEL_2M && (level != LEVEL_1G || !pte_cpu.gib_pages)) || !is_aligned(page, size) ||
        !is_aligned(m->first.idx + (page - m->span.page), size))
        return 0;
    return (unsigned)min_u64(most, (end - page) >> (9 * (level - 1)));
}

/* How many of n entries are 0, up to the first that is not */
static unsigned empty_run(const pte_cell *c, unsigned n)
{
    unsigned i = 0;

    while (i < n && pte_load(&c[i]).raw == 0)
        i++;
    return i;
}

static err_t all_empty(const pte_cell *c, uint64_t n)
{
    uint64_t any = 0;

    for (uint64_t i = 0; i < n; i++)
        any |= pte_load(&c[i]).raw;
    return any == 0 ? ERR_OK : ERR_EXISTS;
}

/* Decide: ERR_EXISTS where something is in the way, else the tables that are missing. NULL cells: the table is. */
static err_t map_plan(const struct map *m, const pte_cell *cells, unsigned level, uint64_t page, uint64_t end,
                      uint64_t *missing)
{
    err_t err = ERR_OK;

    if (level == LEVEL_4K)
        return cells == NULL ? ERR_OK : all_empty(&cells[pt_index(page, level)], end - page);
    for (uint64_t next; page < end && err == ERR_OK; page = next) {
        unsigned at = pt_index(page, level), run = large_run(m, level, page, end);
        pte_t    e = cells == NULL ? (pte_t){ 0 } : pte_load(&cells[at]);

        next = next_page(page, end, level);
        if (e.raw == 0 && run > 0) {
            next = page + (cells == NULL ? run : empty_run(&cells[at], run)) * level_pages(level);
        } else if (e.raw == 0) {
            ++*missing;
            err = map_plan(m, NULL, level - 1, page, next, missing);
        } else if (!pte_present(e) || pte_is_leaf(e, level)) {
            err = ERR_EXISTS;
        } else {
            err = map_plan(m, pt_cells(m->pt, pte_frame(e, level), page, level - 1), level - 1, page, next, missing);
        }
    }
    return err;
}

static void fill(const struct map *m, pte_cell *c, uint64_t page, uint64_t n)
{
    uint64_t at = page - m->span.page;

    if (m->list != NULL) {
        for (uint64_t i = 0; i < n; i++)
            pte_store(&c[i], pte_leaf(m->list[at + i], m->flags, LEVEL_4K));
    } else if (m->lazy) {
        for (uint64_t i = 0; i < n; i++)
            pte_store(&c[i], (pte_t){ m->flags | PTE_LAZY });
    } else {
        pte_t e = pte_leaf(pfn_add(m->first, at), m->flags, LEVEL_4K);

        for (uint64_t i = 0; i < n; i++, e.raw += PAGE_SIZE)
            pte_store(&c[i], e);
    }
}

/* Large pages over the first of n entries that are 0; returns how many those were */
static unsigned fill_large(const struct map *m, pte_cell *c, unsigned n, unsigned level, uint64_t page)
{
    pte_t    e = pte_leaf(pfn_add(m->first, page - m->span.page), m->flags, level);
    unsigned i = 0;

    for (; i < n && pte_load(&c[i]).raw == 0; i++, e.raw += level_pages(level) << PAGE_SHIFT)
        pte_publish(&c[i], e);
    return i;
}

static unsigned map_do(struct map *m, pte_cell *cells, unsigned level, uint64_t page, uint64_t end);

/* A table of `level` for [page, end), filled; returns the entry that leads to it */
static pte_t map_new_table(struct map *m, unsigned level, uint64_t page, uint64_t end)
{
    pfn_t     table = stock_take(m->pt, &m->stock);
    pte_cell *cells = port_ptr(pfn_to_pa(table));
    unsigned  before = pt_index(page, level), used = pt_index(end - 1, level) + 1;

    if (level > LEVEL_4K) {
        __builtin_memset(cells, 0, PAGE_SIZE);
    } else { /* what is filled next need not be cleared first */
        __builtin_memset(cells, 0, before * sizeof *cells);
        __builtin_memset(cells + used, 0, (TABLE_ENTRIES - used) * sizeof *cells);
    }
    return (pte_t){ pte_table(table, pt_index(page, m->pt->levels) < SLOT_KERNEL_HALF,
                              map_do(m, cells, level, page, end)).raw | typed_below(m->flags, level + 1) };
}

/* Do: returns how many entries of `cells` came into use */
static unsigned map_do(struct map *m, pte_cell *cells, unsigned level, uint64_t page, uint64_t end)
{
    unsigned added = 0;

    if (level == LEVEL_4K) {
        fill(m, &cells[pt_index(page, level)], page, end - page);
        return (unsigned)(end - page);
    }
    for (uint64_t next; page < end; page = next) {
        pte_cell *cell = &cells[pt_index(page, level)];
        pte_t     e = pte_load(cell);
        unsigned  run = large_run(m, level, page, end);

        next = next_page(page, end, level);
        if (e.raw == 0 && run > 0) { /* never at the top: there are no pages so large */
            run = fill_large(m, cell, run, level, page);
            next = page + run * level_pages(level);
            added += run;
            continue;
        }
        if (e.raw != 0) {
            pte_cell *below = pt_cells(m->pt, pte_frame(e, level), page, level - 1);
            uint64_t  n = map_do(m, below, level - 1, page, next);

            pt_more_below(cell, level, n, m->flags);
            continue;
        }
        pte_publish(cell, map_new_table(m, level - 1, page, next));
        added++;
        if (level == m->pt->levels)
            pt_tell_followers(m->pt, pt_index(page, level));
    }
    return added;
}

uint64_t pt_tables_for(const struct pt *pt, struct span s, unsigned lowest)
{
    uint64_t n = 0;

    for (unsigned level = lowest + 1; level <= pt->levels; level++)
        n += (s.end - 1) / level_pages(level) - s.page / level_pages(level) + 1;
    return n;
}

static err_t nothing_in(const struct pt *pt, const pte_cell *cells, unsigned level, struct span s)
{
    err_t err = ERR_OK;

    if (level == LEVEL_4K)
        return all_empty(&cells[pt_index(s.page, level)], s.end - s.page);
    for (uint64_t page = s.page, next; page < s.end && err == ERR_OK; page = next) {
        pte_t       e = pte_load(&cells[pt_index(page, level)]);
        struct span below = { page, next_page(page, s.end, level) };

        next = below.end;
        if (e.raw != 0)
            err = !pte_present(e) || pte_is_leaf(e, level)
                      ? ERR_EXISTS
                      : nothing_in(pt, pt_cells(pt, pte_frame(e, level), page, level - 1), level - 1, below);
    }
    return err;
}

err_t pt_nothing_in(const struct pt *pt, struct span s)
{
    return nothing_in(pt, pt_cells(pt, pt->root, s.page, pt->levels), pt->levels, s);
}

void pt_fill_span(struct pt *pt, struct span s, pfn_t first, uint64_t flags, struct stock *stock)
{
    struct map m = { .pt = pt, .span = s, .first = first, .flags = flags, .stock = *stock };

    (void)map_do(&m, pt_cells(pt, pt->root, s.page, pt->levels), pt->levels, s.page, s.end);
    *stock = m.stock;
}

static err_t map(struct map *m)
{
    uint64_t        missing = 0, added;
    struct pt_place p;
    err_t           err;

    pt_narrow(m->pt, m->span, &p);
    if (p.level == LEVEL_4K && p.parent != NULL) { /* as below, but most mappings are so */
        pte_cell *cells = &p.cells[pt_index(m->span.page, LEVEL_4K)];

        added = m->span.end - m->span.page;
        if (all_empty(cells, added) != ERR_OK)
            return ERR_EXISTS;
        fill(m, cells, m->span.page, added);
        pt_more_below(p.parent, LEVEL_2M, added, m->flags);
        return ERR_OK;
    }
    err = map_plan(m, p.cells, p.level, m->span.page, m->span.end, &missing);
    if (err == ERR_OK && missing > 0)
        err = stock_fill(&m->stock, missing);
    if (err != ERR_OK)
        return err;
    added = map_do(m, p.cells, p.level, m->span.page, m->span.end);
    if (p.parent != NULL)
        pt_more_below(p.parent, p.level + 1, added, m->flags);
    return ERR_OK;
}

/* The plan can only be made when the old is gone, and the old may only go when the plan can't fail: take plenty. */
static err_t replace(struct map *m, struct tlb_batch *b)
{
    uint64_t     plenty = pt_tables_for(m->pt, m->span, LEVEL_4K);
    struct unmap u = { .pt = m->pt, .batch = b };
    pte_cell    *cells = pt_cells(m->pt, m->pt->root, m->span.page, m->pt->levels);
    err_t        err;

    plenty += pt_ends_cost(m->pt, m->span);
    err = stock_fill(&m->stock, plenty);
    if (err != ERR_OK)
        return err;
    pt_cut(m->pt, m->span.page, &m->stock, b);
    pt_cut(m->pt, m->span.end, &m->stock, b);
    (void)pt_unmap_span(&u, cells, m->pt->levels, m->span.page, m->span.end);
    (void)map_do(m, cells, m->pt->levels, m->span.page, m->span.end);
    stock_drain(&m->stock);
    return ERR_OK;
}

/* ---- cache types ------------------------------------------------------------------------------- */

/* n frames from here on: write-back RAM needs no record, everything else is counted and marked. */
static err_t take_type(struct map *m, uint64_t n)
{
    struct frame_range around;
    uint64_t           cache = m->flags & PTE_CACHE;
    err_t              err;

    if (cache == PTE_CACHE_WB && LIKELY(memtype_is_ram(m->first, n, &around)))
        return ERR_OK;
    err = memtype_take(m->first, n, cache);
    if (err == ERR_OK)
        m->flags |= PTE_TYPED;
    return err;
}

/* How many frames of the list lie in a range, up to the first that doesn't; by fours: the list may be long. */
static uint64_t inside(const pfn_t f[], uint64_t n, struct frame_range r)
{
    uint64_t i = 0, length = r.end - r.start;

#define IN(frame) ((frame).idx - r.start < length)
    while (i + 4 <= n && IN(f[i]) && IN(f[i + 1]) && IN(f[i + 2]) && IN(f[i + 3]))
        i += 4;
    while (i < n && IN(f[i]))
        i++;
#undef IN
    return i;
}

static bool list_is_ram(const pfn_t frames[], uint64_t n)
{
    struct frame_range around;

    for (uint64_t i = 0; i < n; i += inside(frames + i, n - i, around))
        if (!memtype_is_ram(frames[i], 1, &around))
            return false;
    return true;
}

static err_t list_fits(const pfn_t frames[], uint64_t n)
{
    uint64_t any = 0;

    for (uint64_t i = 0; i < n; i++)
        any |= frames[i].idx;
    return any < pte_frame_limit() ? ERR_OK : ERR_INVAL;
}

/* The same for a list: all of it is plain RAM, whose numbers fit any entry, or each frame is looked at and counted. */
static err_t take_types(struct map *m, uint64_t n)
{
    uint64_t cache = m->flags & PTE_CACHE, i = 0;
    err_t    err;

    if (cache == PTE_CACHE_WB && LIKELY(list_is_ram(m->list, n)))
        return ERR_OK;
    err = list_fits(m->list, n);
    for (; i < n && err == ERR_OK; i++)
        err = memtype_take(m->list[i], 1, cache);
    if (err == ERR_OK)
        m->flags |= PTE_TYPED;
    else if (i > 0)
        for (i--; i-- > 0;)
            memtype_give(m->list[i], 1);
    return err;
}

/* Nothing was mapped after all. */
static void give_types(const struct map *m, uint64_t n)
{
    if ((m->flags & PTE_TYPED) == 0)
        return;
    if (m->list == NULL)
        memtype_give(m->first, n);
    else
        for (uint64_t i = 0; i < n; i++)
            memtype_give(m->list[i], 1);
}

err_t pt_map(struct pt *pt, va_t start, pfn_t frame, uint64_t n_pages, uint64_t flags, struct tlb_batch *b)
{
    struct map m = { .pt = pt, .first = frame, .small = (flags & PT_SMALL) != 0 };
    bool       over = (flags & PT_REPLACE) != 0;
    uint64_t   irq;
    err_t      err;

    m.flags = flags & ~(PT_SMALL | PT_REPLACE);
    irq = irqlock_take(&pt->lock);
    err = pt_span(pt, start, n_pages, &m.span);
    if (err == ERR_OK)
        err = pt_flags_ok(pt, m.span, m.flags);
    if (err == ERR_OK && (frame.idx >= pte_frame_limit() || n_pages > pte_frame_limit() - frame.idx))
        err = ERR_INVAL;
    if (err == ERR_OK)
        err = take_type(&m, n_pages);
    if (err == ERR_OK) {
        err = over ? replace(&m, b) : map(&m);
        if (err != ERR_OK)
            give_types(&m, n_pages);
    }
    irqlock_drop(&pt->lock, irq);
    return err;
}

err_t pt_map_frames(struct pt *pt, va_t start, const pfn_t frames[], uint64_t n_pages, uint64_t flags)
{
    struct map m = { .pt = pt, .list = frames, .flags = flags, .small = true };
    uint64_t   irq = irqlock_take(&pt->lock);
    err_t      err = pt_span(pt, start, n_pages, &m.span);

    if (err == ERR_OK)
        err = pt_flags_ok(pt, m.span, flags);
    if (err == ERR_OK)
        err = take_types(&m, n_pages);
    if (err == ERR_OK) {
        err = map(&m);
        if (err != ERR_OK)
            give_types(&m, n_pages);
    }
    irqlock_drop(&pt->lock, irq);
    return err;
}

err_t pt_map_lazy(struct pt *pt, va_t start, uint64_t n_pages, uint64_t flags)
{
    struct map m = { .pt = pt, .flags = flags, .small = true, .lazy = true };
    uint64_t   irq = irqlock_take(&pt->lock);
    err_t      err = pt_span(pt, start, n_pages, &m.span);

    if (err == ERR_OK)
        err = pt_flags_ok(pt, m.span, flags);
    if (err == ERR_OK && ((flags & PTE_CACHE) != PTE_CACHE_WB || pt_index(m.span.page, pt->levels) < SLOT_KERNEL_HALF))
        err = ERR_INVAL;
    if (err == ERR_OK)
        err = map(&m);
    irqlock_drop(&pt->lock, irq);
    return err;
}
