/* SPDX-License-Identifier: MIT */
/*
 * mm/kva.c - the kernel's dynamic area
 *
 * Promise     Ranges of pages with a guard page at either end; the lowest place that is free is taken;
 *             a range can grow without its bytes being copied.
 *
 * Picture     page  0    1 .. 4    5    6 .. 7     8      9 ..            e
 *                 [guard][range  ][guard][range ][guard][ free ...      ][end]
 *                         node: start 1, end 5            gap of the end: e - 9
 *
 *             A range owns the guard page above it; the one below is its neighbour's, or page 0. Each
 *             node knows the gap in front of it; so free space needs no nodes, and an end node that
 *             is never freed stands for the gap behind the last range.
 *
 * Search      mm/span_tree.c: the lowest gap that is large enough is one walk from the root.
 *
 * Lazy        A range of KVA_LAZY has entries that wait for a frame (mm/pt_lazy.c). A page fault of the kernel's
 *             asks kva_fault(), which needs the entry alone: neither the tree nor its lock.
 *
 * Memory      Nodes live in frames of their own (mm/node_pool.c); so this works before there is a heap,
 *             which needs it.
 *
 * Invariants  those of the span tree, and
 *             K1  what is mapped in the area lies in a range
 *
 * Locks       area.lock (rank 20) guards the tree. Mapping and unmapping happen outside it: while they do,
 *             the range is in the tree but nobody else's, so its addresses can't be given out again
 *             before every CPU has flushed.
 *
 * Failure     a call that fails leaves the area as it was.
 *
 * Sources     those of mm/span_tree.c
 */
#include "mm/kva.h"

#include "mm/frame.h"
#include "mm/kva_tree.h"
#include "mm/port.h"

#define LARGE (level_pages(LEVEL_2M))

static struct {
    struct irqlock  lock;
    struct kva_tree tree;  /* [lock] pages count from `base` */
    struct pt      *pt;    /* [c]                            */
    va_t            base;  /* [c]                            */
} area = { .lock = IRQLOCK("kva", 20) };

static va_t     address(uint64_t page) { return va_add(area.base, page << PAGE_SHIFT); }
static uint64_t page_of(va_t v) { return (v.raw - area.base.raw) >> PAGE_SHIFT; }

void kva_start(struct pt *kernel)
{
    uint64_t pages = (uint64_t)(SLOT_HEAP - SLOT_DYNAMIC) << (slot_shift(KERNEL_LEVELS) - PAGE_SHIFT);

    area.pt = kernel;
    area.base = slot_base(SLOT_DYNAMIC, kernel->levels);
    kva_tree_start(&area.tree, 1, pages - 1);
}

/* ---- addresses -------------------------------------------------------------------------------- */

/* Reserve addresses for n pages and the guard page behind; large ranges begin at a multiple of 2 MiB. */
static err_t reserve(uint64_t n_pages, uint64_t align, enum kva_kind kind, uint64_t *page)
{
    uint64_t irq;
    err_t    err;

    if (n_pages == 0 || n_pages >= (uint64_t)1 << 51)
        return ERR_INVAL;
    irq = irqlock_take(&area.lock);
    err = kva_tree_place(&area.tree, n_pages + 1, align, (unsigned)kind, page);
    irqlock_drop(&area.lock, irq);
    return err;
}

static void unreserve(uint64_t page)
{
    uint64_t irq = irqlock_take(&area.lock);

    kva_tree_remove(&area.tree, page);
    irqlock_drop(&area.lock, irq);
}

static uint64_t alignment(uint64_t n_pages) { return n_pages >= LARGE ? LARGE : 1; }

/* ---- mapping ---------------------------------------------------------------------------------- */

static err_t map_large(uint64_t page)
{
    pfn_t block;
    err_t err = frame_alloc(9, &block);

    if (err != ERR_OK)
        return err;
    err = pt_map(area.pt, address(page), block, LARGE, PTE_W | PTE_G | PTE_NX, NULL);
    if (err != ERR_OK && frame_free_order(block, 9) != ERR_OK)
        PANIC("a block just taken can't be given back");
    return err;
}

static err_t map_small(uint64_t page, size_t n)
{
    pfn_t frames[64];
    err_t err = frames_alloc(n, frames);

    if (err != ERR_OK)
        return err;
    err = pt_map_frames(area.pt, address(page), frames, n, PTE_W | PTE_G | PTE_NX);
    for (size_t i = 0; err != ERR_OK && i < n; i++)
        if (frame_free(frames[i]) != ERR_OK)
            PANIC("a frame just taken can't be given back");
    return err;
}

/* Free what is mapped in [page, page + n) and the frames behind; can't fail: it cuts no large page. */
static void release(uint64_t page, uint64_t n)
{
    err_t err = n == 0 ? ERR_OK : pt_release(area.pt, address(page), n, NULL);

    ASSERT(err == ERR_OK);
}

/* Frames for [page, end), 2 MiB at a time where they can be had, or the promise of them; all or nothing */
static err_t populate(uint64_t page, uint64_t end, enum kva_kind kind)
{
    uint64_t at = page;
    err_t    err = ERR_OK;

    if (kind == KVA_LAZY)
        return pt_map_lazy(area.pt, address(page), end - page, PTE_W | PTE_G | PTE_NX);
    while (at < end && err == ERR_OK) {
        size_t n = (size_t)min_u64(end - at, 64);

        if (is_aligned(at, LARGE) && end - at >= LARGE && map_large(at) == ERR_OK) {
            at += LARGE;
            continue;
        }
        err = map_small(at, n);
        if (err == ERR_OK)
            at += n;
    }
    if (err != ERR_OK)
        release(page, at - page);
    return err;
}

static err_t alloc(uint64_t n_pages, enum kva_kind kind, uint64_t *page)
{
    uint64_t at;
    err_t    err = reserve(n_pages, alignment(n_pages), kind, &at);

    if (err != ERR_OK)
        return err;
    err = populate(at, at + n_pages, kind);
    if (err != ERR_OK)
        unreserve(at);
    else
        *page = at;
    return err;
}

err_t kva_alloc(uint64_t n_pages, va_t *out)
{
    uint64_t page;
    err_t    err = alloc(n_pages, KVA_MEMORY, &page);

    if (err == ERR_OK)
        *out = address(page);
    return err;
}

err_t kva_alloc_stack(uint64_t n_pages, va_t *top)
{
    uint64_t page;
    err_t    err = alloc(n_pages, KVA_STACK, &page);

    if (err == ERR_OK)
        *top = address(page + n_pages);
    return err;
}

err_t kva_alloc_lazy(uint64_t n_pages, va_t *out)
{
    uint64_t page;
    err_t    err = alloc(n_pages, KVA_LAZY, &page);

    if (err == ERR_OK)
        *out = address(page);
    return err;
}

err_t kva_map_device(pa_t base, uint64_t bytes, uint64_t cache_flag, volatile void **out)
{
    pfn_t    first = pa_to_pfn(base);
    uint64_t in_page = base.raw & (PAGE_SIZE - 1), page;
    uint64_t n = (in_page + bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    err_t    err;

    if (bytes == 0 || bytes > UINT64_MAX - 2 * PAGE_SIZE || (cache_flag & ~PTE_CACHE) != 0)
        return ERR_INVAL;
    err = reserve(n, alignment(n), KVA_DEVICE, &page);
    if (err != ERR_OK)
        return err;
    err = pt_map(area.pt, address(page), first, n, PTE_W | PTE_G | PTE_NX | cache_flag, NULL);
    if (err != ERR_OK)
        unreserve(page);
    else
        *out = port_va_ptr(va_add(address(page), in_page));
    return err;
}

/* ---- resize ----------------------------------------------------------------------------------- */

/* The range's own page count becomes n, if nothing is in the way. */
static err_t set_length(uint64_t page, uint64_t n)
{
    uint64_t irq = irqlock_take(&area.lock);
    err_t    err = kva_tree_resize(&area.tree, page, page + n + 1);

    irqlock_drop(&area.lock, irq);
    return err;
}

static err_t grow_here(uint64_t page, uint64_t old, uint64_t n, enum kva_kind kind)
{
    err_t err = set_length(page, n);

    if (err != ERR_OK)
        return err;
    err = populate(page + old, page + n, kind);
    if (err != ERR_OK && set_length(page, old) != ERR_OK)
        PANIC("a range can't shrink to what it was");
    return err;
}

/* Another place; what is new is mapped there first, then the old follows, and can't be lost on the way. */
static err_t grow_elsewhere(uint64_t page, uint64_t old, uint64_t n, enum kva_kind kind, uint64_t *moved)
{
    struct tlb_batch batch;
    uint64_t         to;
    err_t            err = reserve(n, alignment(n), kind, &to);

    if (err != ERR_OK)
        return err;
    err = populate(to + old, to + n, kind);
    if (err == ERR_OK) {
        tlb_batch_open(&batch, NULL);
        err = pt_move(area.pt, address(page), address(to), old, &batch);
        tlb_batch_close(&batch);
        if (err != ERR_OK)
            release(to + old, n - old);
    }
    unreserve(err == ERR_OK ? page : to);
    if (err == ERR_OK)
        *moved = to;
    return err;
}

/* A large page is one block of frames and goes as a whole or not at all. */
static err_t shrink(uint64_t page, uint64_t old, uint64_t n)
{
    struct pt_walk w;

    pt_walk(area.pt, address(page + n), &w);
    if (w.mapped && w.last > LEVEL_4K)
        n = min_u64(old, align_up(page + n, level_pages(w.last)) - page);
    release(page + n, old - n);
    return set_length(page, n);
}

/* ---- free, find ------------------------------------------------------------------------------- */

static bool find(uint64_t page, struct kva_span *out)
{
    uint64_t irq = irqlock_take(&area.lock);
    bool     found = kva_tree_find(&area.tree, page, out);

    irqlock_drop(&area.lock, irq);
    return found;
}

/* The kernel's addresses are the same with any number of levels. */
static bool in_area(va_t v)
{
    return v.raw - area.base.raw < (uint64_t)(SLOT_HEAP - SLOT_DYNAMIC) << slot_shift(KERNEL_LEVELS);
}

/* A range of memory, known by its first address */
static bool is_memory(enum kva_kind kind) { return kind == KVA_MEMORY || kind == KVA_LAZY; }

err_t kva_free(va_t start)
{
    struct tlb_batch batch;
    struct kva_span  s;
    err_t            err;

    if (!in_area(start) || !find(page_of(start), &s))
        return ERR_NOENT;
    if (is_memory((enum kva_kind)s.kind) && start.raw != address(s.page).raw)
        return ERR_INSIDE;
    if (s.kind != KVA_DEVICE) {
        release(s.page, s.end - 1 - s.page);
    } else {
        tlb_batch_open(&batch, NULL);
        err = pt_unmap(area.pt, address(s.page), s.end - 1 - s.page, &batch);
        ASSERT(err == ERR_OK); /* the whole range: no large page is cut */
        tlb_batch_close(&batch);
    }
    unreserve(s.page);
    return ERR_OK;
}

err_t kva_resize(va_t start, uint64_t n_pages, va_t *out)
{
    struct kva_span s;
    uint64_t        old, to;
    err_t           err;

    if (!in_area(start) || !find(page_of(start), &s) || !is_memory((enum kva_kind)s.kind) ||
        start.raw != address(s.page).raw)
        return ERR_NOENT;
    if (n_pages == 0 || n_pages >= (uint64_t)1 << 51)
        return ERR_INVAL;
    old = s.end - 1 - s.page;
    to = s.page;
    if (n_pages <= old) {
        err = shrink(s.page, old, n_pages);
    } else {
        err = grow_here(s.page, old, n_pages, (enum kva_kind)s.kind);
        if (err == ERR_EXISTS)
            err = grow_elsewhere(s.page, old, n_pages, (enum kva_kind)s.kind, &to);
    }
    if (err == ERR_OK)
        *out = address(to);
    return err;
}

static struct kva_range range_of(const struct kva_span *s)
{
    return (struct kva_range){ address(s->page), s->end - 1 - s->page, (enum kva_kind)s->kind };
}

err_t kva_find(va_t v, struct kva_range *out, bool *guard)
{
    struct kva_span s;
    uint64_t        page = page_of(v);

    if (area.pt == NULL || !in_area(v))
        return ERR_NOENT;
    /* A guard page above one range and below the next is told as the lower end of the next: stacks grow down. */
    if (find(page + 1, &s) && s.page == page + 1)
        *guard = true;
    else if (find(page, &s))
        *guard = page == s.end - 1;
    else
        return ERR_NOENT;
    *out = range_of(&s);
    return ERR_OK;
}

err_t kva_fault(va_t v) { return area.pt == NULL || !in_area(v) ? ERR_NOENT : pt_first_touch(area.pt, v); }

static bool count_pages(void *arg, const struct pt_range *r)
{
    *(uint64_t *)arg += r->n_pages;
    return true;
}

err_t kva_resident(va_t v, uint64_t *n_pages)
{
    struct kva_span s;
    uint64_t        n = 0;
    err_t           err = in_area(v) && find(page_of(v), &s) ? ERR_OK : ERR_NOENT;

    if (err == ERR_OK)
        err = pt_ranges(area.pt, address(s.page), s.end - 1 - s.page, count_pages, &n);
    if (err == ERR_OK)
        *n_pages = n;
    return err;
}

struct each {
    bool (*fn)(void *arg, const struct kva_range *range);
    void *arg;
};

static bool each_span(void *arg, const struct kva_span *s)
{
    struct each     *e = arg;
    struct kva_range r = range_of(s);

    return e->fn(e->arg, &r);
}

void kva_each(bool (*fn)(void *arg, const struct kva_range *range), void *arg)
{
    struct each e = { fn, arg };
    uint64_t    irq = irqlock_take(&area.lock);

    kva_tree_each(&area.tree, each_span, &e);
    irqlock_drop(&area.lock, irq);
}
