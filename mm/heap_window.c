/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_window.c - a page source: first fit over a bitmap of one range of addresses
 *
 * Promise     The lowest run of free pages that is long enough. Addresses cost nothing; pages get memory
 *             when taken and lose it some time after they were given, through two functions of the owner.
 *
 * Picture     | page 0 .. n-1: window | cells, grains, inner, slabs: metadata | words: two bits per page |
 *
 *               taken  1 1 1 0 0 1 0 0 0 0 ...     taken is handed out
 *               idle   0 0 0 1 0 0 0 0 0 0 ...     idle was given back and still has memory: it can be
 *                            low       high        taken again for nothing, until settle
 *
 *             Giving happens under the heap's lock, where no TLB may be flushed on other CPUs; so it only
 *             marks pages idle. settle, called without locks, unmaps them.
 *
 * Invariants  I1  no page is both taken and idle; a page has memory == it is one of the two
 *             I2  every page below low is taken; no page at or above high is taken or idle
 *             I3  while settle unmaps pages, they count as taken: nobody else can have them
 * Locks       window->lock, rank 16
 * Failure     ERR_NOMEM: no run is free, or commit had no memory; nothing has changed
 */
#include "mm/heap_window.h"

static struct heap_window *window_of(struct heap_pages *source) { return (struct heap_window *)(void *)source; }

#define IDLE_MAX 64 /* pages that stay idle when nobody asked for all of them */

static uint64_t words_bytes(uint64_t n_pages) { return align_up(n_pages, 64) / 64 * sizeof(struct heap_window_word); }
static uint64_t bitmap_bytes(uint64_t n_pages) { return align_up(words_bytes(n_pages), PAGE_SIZE); }

uint64_t heap_window_bytes(uint64_t n_pages)
{
    return n_pages * PAGE_SIZE + heap_map_bytes(n_pages) + bitmap_bytes(n_pages);
}

static void *page_ptr(const struct heap_window *w, uint64_t page) { return (void *)(w->pages.base + (page << PAGE_SHIFT)); }

static err_t commit(struct heap_window *w, void *start, size_t n_pages, bool *zeroed)
{
    err_t err = w->ops->commit(w, start, n_pages, zeroed);

    if (err == ERR_OK)
        w->n_committed += n_pages;
    return err;
}

enum which { TAKEN, IDLE };

static uint64_t word_of(const struct heap_window *w, uint64_t page, enum which which)
{
    return which == TAKEN ? w->words[page >> 6].taken : w->words[page >> 6].idle;
}

/* First page in [page, end) whose bit is `bit`, else end; from high on, bits are 0. */
static uint64_t find(const struct heap_window *w, uint64_t page, uint64_t end, enum which which, bool bit)
{
    uint64_t last = min_u64(end, w->high);

    while (page < last) {
        uint64_t word = bit ? word_of(w, page, which) : ~word_of(w, page, which);

        word = word >> (page & 63) << (page & 63);
        if (word != 0)
            return min_u64(page >> 6 << 6 | (uint64_t)__builtin_ctzll(word), bit ? end : last);
        page = (page | 63) + 1;
    }
    return bit || page >= end ? end : page;
}

static void mark(struct heap_window *w, uint64_t page, uint64_t n, enum which which, bool bit)
{
    for (uint64_t end = page + n; page < end;) {
        uint64_t  n_bits = min_u64(64 - (page & 63), end - page);
        uint64_t  mask = ~(uint64_t)0 >> (64 - n_bits) << (page & 63);
        uint64_t *word = which == TAKEN ? &w->words[page >> 6].taken : &w->words[page >> 6].idle;

        *word = bit ? *word | mask : *word & ~mask;
        page += n_bits;
    }
}

/* Words for pages below `end` get memory. */
static err_t reach(struct heap_window *w, uint64_t end)
{
    const uint64_t page_holds = PAGE_SIZE / sizeof(struct heap_window_word) * 64;
    bool           zeroed;

    while (w->high < end) {
        uint64_t have = bitmap_bytes(w->high);

        if (have < bitmap_bytes(end)) {
            err_t err = commit(w, (char *)w->words + have, 1, &zeroed);

            if (err != ERR_OK)
                return err;
            if (!zeroed)
                __builtin_memset((char *)w->words + have, 0, PAGE_SIZE);
        }
        w->high = min_u64(end, have / PAGE_SIZE * page_holds + page_holds);
    }
    return ERR_OK;
}

/* Pages [page, end) become taken: those that are idle as they are, the others by getting memory. */
static err_t fill(struct heap_window *w, uint64_t page, uint64_t end, bool *zeroed)
{
    uint64_t at = page;

    *zeroed = true;
    while (at < end) {
        uint64_t bare = find(w, at, end, IDLE, false);
        uint64_t idle = find(w, bare, end, IDLE, true);
        bool     fresh = true;

        idle = min_u64(idle, bare + HEAP_COMMIT_MAX);
        if (bare < idle && commit(w, page_ptr(w, bare), idle - bare, &fresh) != ERR_OK)
            break;
        *zeroed = *zeroed && fresh && bare == at;
        mark(w, bare, idle - bare, IDLE, true);
        w->n_idle += idle - bare;
        at = idle;
    }
    if (at < end)
        return ERR_NOMEM; /* what was committed so far stays idle: of use to the next one */
    mark(w, page, end - page, IDLE, false);
    mark(w, page, end - page, TAKEN, true);
    w->n_idle -= end - page;
    return ERR_OK;
}

static err_t take(struct heap_window *w, size_t n, uint64_t align, void **out, bool *zeroed)
{
    uint64_t last = w->pages.n_pages;
    uint64_t base = w->pages.base >> PAGE_SHIFT;
    uint64_t page = w->low = find(w, w->low, last, TAKEN, false);

    for (uint64_t end;; page = find(w, end, last, TAKEN, false)) {
        page = align_up(base + page, align) - base;
        if (page >= last || last - page < n)
            return ERR_NOMEM;
        end = find(w, page, page + n, TAKEN, true);
        if (end == page + n)
            break;
    }
    err_t err = reach(w, page + n);
    if (err == ERR_OK)
        err = fill(w, page, page + n, zeroed);
    if (err != ERR_OK)
        return err;
    if (page == w->low)
        w->low = page + n;
    *out = page_ptr(w, page);
    return ERR_OK;
}

static err_t window_run_take(struct heap_pages *source, size_t n, size_t align, void **out, bool *zeroed)
{
    struct heap_window *w = window_of(source);
    uint64_t            flags = irqlock_take(&w->lock);
    err_t               err = take(w, n, align, out, zeroed);

    irqlock_drop(&w->lock, flags);
    return err;
}

static err_t window_take(struct heap_pages *source, size_t n, void **out)
{
    bool zeroed;

    return window_run_take(source, n, 1, out, &zeroed);
}

static void window_give(struct heap_pages *source, void *start, size_t n)
{
    struct heap_window *w = window_of(source);
    uint64_t            page = ((uintptr_t)start - source->base) >> PAGE_SHIFT;
    uint64_t            flags = irqlock_take(&w->lock);

    mark(w, page, n, TAKEN, false);
    mark(w, page, n, IDLE, true);
    w->n_idle += n;
    w->low = min_u64(w->low, page);
    irqlock_drop(&w->lock, flags);
}

/* One idle run loses its memory; returns where to look for the next. Takes and drops the lock. */
static uint64_t settle_run(struct heap_window *w, uint64_t page)
{
    uint64_t flags = irqlock_take(&w->lock);
    uint64_t first = find(w, page, w->high, IDLE, true);
    uint64_t end = find(w, first, w->high, IDLE, false);

    mark(w, first, end - first, IDLE, false);
    mark(w, first, end - first, TAKEN, true); /* I3 */
    w->n_idle -= end - first;
    w->n_committed -= end - first;
    irqlock_drop(&w->lock, flags);
    if (first == end)
        return UINT64_MAX;

    w->ops->decommit(w, page_ptr(w, first), end - first);

    flags = irqlock_take(&w->lock);
    mark(w, first, end - first, TAKEN, false);
    w->low = min_u64(w->low, first);
    irqlock_drop(&w->lock, flags);
    return end;
}

static void window_settle(struct heap_pages *source, bool all)
{
    struct heap_window *w = window_of(source);

    if (all || w->n_idle > IDLE_MAX)
        for (uint64_t page = 0; page != UINT64_MAX;)
            page = settle_run(w, page);
}

/* In place: the pages behind must be free. */
static err_t window_run_resize(struct heap_pages *source, void *start, size_t n_old, size_t n_new, void **out)
{
    struct heap_window *w = window_of(source);
    uint64_t            page = ((uintptr_t)start - source->base) >> PAGE_SHIFT;
    bool                zeroed;
    err_t               err = ERR_OK;

    if (n_new <= n_old) {
        if (n_new < n_old)
            window_give(source, (char *)start + n_new * PAGE_SIZE, n_old - n_new);
        *out = start;
        return ERR_OK;
    }

    uint64_t flags = irqlock_take(&w->lock);

    if (page + n_new > source->n_pages || find(w, page + n_old, page + n_new, TAKEN, true) < page + n_new)
        err = ERR_NOSYS;
    if (err == ERR_OK)
        err = reach(w, page + n_new);
    if (err == ERR_OK)
        err = fill(w, page + n_old, page + n_new, &zeroed);
    if (err == ERR_OK)
        *out = start;
    irqlock_drop(&w->lock, flags);
    return err;
}

static err_t window_meta(struct heap_pages *source, void *page)
{
    struct heap_window *w = window_of(source);
    uint64_t            flags = irqlock_take(&w->lock);
    bool                zeroed;
    err_t               err = commit(w, page, 1, &zeroed);

    irqlock_drop(&w->lock, flags);
    if (err == ERR_OK && !zeroed)
        __builtin_memset(page, 0, PAGE_SIZE);
    return err;
}

static void window_meta_drop(struct heap_pages *source, void *start, size_t bytes)
{
    struct heap_window *w = window_of(source);
    uint64_t            flags = irqlock_take(&w->lock);

    w->n_committed -= bytes >> PAGE_SHIFT;
    irqlock_drop(&w->lock, flags);
    w->ops->decommit(w, start, bytes >> PAGE_SHIFT);
}

err_t heap_window_open(struct heap_window *w, void *start, uint64_t n_pages, const struct heap_window_ops *ops)
{
    static const struct heap_pages_ops source_ops = {
        .take = window_take,
        .give = window_give,
        .settle = window_settle,
        .meta = window_meta,
        .meta_drop = window_meta_drop,
        .run_take = window_run_take,
        .run_give = window_give,
        .run_resize = window_run_resize,
    };
    char *meta = (char *)start + n_pages * PAGE_SIZE;

    if (!is_aligned((uintptr_t)start, PAGE_SIZE))
        return ERR_INVAL;
    *w = (struct heap_window){
        .pages = { .ops = &source_ops, .base = (uintptr_t)start, .n_pages = n_pages, .meta = meta },
        .ops = ops,
        .lock = IRQLOCK("heap_window", 16),
        .words = (struct heap_window_word *)(void *)(meta + heap_map_bytes(n_pages)),
    };
    return ERR_OK;
}

void heap_window_close(struct heap_window *w)
{
    uint64_t have = bitmap_bytes(w->high);

    window_settle(&w->pages, true);
    w->n_committed -= have >> PAGE_SHIFT;
    if (have != 0)
        w->ops->decommit(w, w->words, have >> PAGE_SHIFT);
    w->high = w->low = 0;
}
