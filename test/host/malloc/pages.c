/* SPDX-License-Identifier: MIT */
/*
 * test/host/malloc/pages.c - the page source under malloc: frames of the buddy manager over one reserved range
 *
 * Simulated physical memory from 4 GiB to 68 GiB, which is a reserved range of the process: a frame's pointer is
 * its place in it, so neighbouring pages are neighbouring frames.
 *
 * A page that was given back still holds Linux's memory: it is *dirty*, and known by a bit. When more than an eighth of
 * what is in use, or 4 MiB, is dirty, Linux gets it back (MADV_DONTNEED), lowest pages first: the lowest free
 * frame is taken first, so it would be the other way round if reuse were to be likely.
 *
 * A heap grows by single frames that are neighbours, and so can give back any part. A large run is a few blocks; of
 * one that is given back in part, the given pages are *held* until the rest follows.
 *
 * A large run of pages grows by mremap. What it leaves behind and where it went are no longer part of the one mapping
 * that the range was; its bit in `moved` says that the place must be mapped anew when it is given back.
 */
#include "test/host/malloc/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/frame.h"
#include "mm/port.h"
#include "test/host/port_host.h"

#define FIRST_FRAME ((uint64_t)1 << 20) /* 4 GiB: everything is of one zone */
#define N_FRAMES    ((uint64_t)1 << 24) /* 64 GiB                           */
#define DIRTY_MIN   1024                /* pages                            */
#define SINGLES     32                  /* pages: what a heap grows by      */
#define MOVE_MIN    64                  /* pages: below, copying is cheaper */

static struct {
    struct heap_pages pages; /* first */
    struct irqlock    lock;  /* rank 25: over the frame manager and what follows */
    struct mem_map    map;
    struct mem_range  range;
    uint64_t         *dirty, *moved, *held; /* bit per page of the window */
    uint64_t          n_dirty, n_used;
    uint64_t          dirty_low; /* no page below is dirty */
    uint64_t          state[4096];
} mp = { .lock = IRQLOCK("malloc_pages", 25) };

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        PANIC("cannot reserve %zu bytes of addresses", bytes);
    return p;
}

static void *page_ptr(uint64_t page) { return (void *)(mp.pages.base + (page << PAGE_SHIFT)); }
static uint64_t page_of(const void *p) { return ((uintptr_t)p - mp.pages.base) >> PAGE_SHIFT; }

/* ---- bits: dirty pages --------------------------------------------------------------------------- */

static bool get(const uint64_t *bits, uint64_t page) { return bits[page >> 6] >> (page & 63) & 1; }

/* Set or clear bits of [page, page + n); returns how many changed. */
static uint64_t put(uint64_t *bits, uint64_t page, uint64_t n, bool value)
{
    uint64_t changed = 0;

    for (uint64_t end = page + n; page < end;) {
        uint64_t n_bits = min_u64(64 - (page & 63), end - page);
        uint64_t mask = ~(uint64_t)0 >> (64 - n_bits) << (page & 63);
        uint64_t old = bits[page >> 6];

        bits[page >> 6] = value ? old | mask : old & ~mask;
        changed += (uint64_t)__builtin_popcountll(old ^ bits[page >> 6]);
        page += n_bits;
    }
    return changed;
}

/* Linux may forget what is in these pages. free() must leave errno alone, so this does. */
static void forget(void *start, size_t bytes)
{
    int saved = errno;

    madvise(start, bytes, MADV_DONTNEED);
    errno = saved;
}

/* Linux gets the memory of n free pages back. */
static void clean(uint64_t page, uint64_t n)
{
    forget(page_ptr(page), n << PAGE_SHIFT);
    mp.n_dirty -= put(mp.dirty, page, n, false);
}

static void clean_until(uint64_t enough)
{
    uint64_t page = mp.dirty_low;

    for (; mp.n_dirty > enough && page < N_FRAMES; page++) {
        uint64_t rest = mp.dirty[page >> 6] >> (page & 63);

        if (rest == 0) {
            page |= 63;
            continue;
        }
        page += (uint64_t)__builtin_ctzll(rest);

        uint64_t end = page;

        while (end < N_FRAMES && get(mp.dirty, end))
            end++;
        clean(page, end - page);
        page = end;
    }
    mp.dirty_low = page;
}

/* ---- the source ---------------------------------------------------------------------------------- */

/* Single frames that happen to be neighbours can be given back one by one. */
static bool take_singles(size_t n, pfn_t *first)
{
    pfn_t frames[SINGLES];

    if (n > SINGLES || frames_alloc(n, frames) != ERR_OK)
        return false;
    *first = frames[0];
    for (size_t i = 1; i < n; i++)
        if (frames[i].idx != frames[0].idx + i) {
            err_t err = frames_free(n, frames);

            ASSERT(err == ERR_OK);
            return false;
        }
    return true;
}

static err_t take(size_t n, size_t align, void **out, bool *zeroed)
{
    struct frame_request request = { .n = n, .align = align };
    pfn_t                frame;

    if (align > HOST_MEMORY_ALIGN >> PAGE_SHIFT)
        return ERR_NOMEM;

    err_t err = align == 1 && take_singles(n, &frame) ? ERR_OK : frame_alloc_with(&request, &frame);

    if (err != ERR_OK)
        return err;

    uint64_t page = frame.idx - FIRST_FRAME;
    uint64_t dirty = put(mp.dirty, page, n, false);

    mp.n_dirty -= dirty;
    mp.n_used += n;
    *zeroed = dirty == 0;
    *out = page_ptr(page);
    return ERR_OK;
}

/* A run that was moved gets a fresh mapping, which melts into the one around it. */
static void map_anew(uint64_t page, uint64_t n)
{
    void *p = mmap(page_ptr(page), n << PAGE_SHIFT, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    ASSERT(p != MAP_FAILED);
}

/*
 * Pages from `at` on were given, up to `end`: free the block they are in, if it lies in the range; or if the rest
 * of it was given before and is held. Returns where the block, or the range, ends.
 */
static uint64_t free_block(uint64_t at, uint64_t end)
{
    struct frame_info block = frame_query(pfn(FIRST_FRAME + at));
    uint64_t          first = block.first.idx - FIRST_FRAME;
    uint64_t          last = first + ((uint64_t)1 << block.order);
    uint64_t          stop = min_u64(last, end);

    if (first < at || last > end) {
        (void)put(mp.held, at, stop - at, true);
        for (uint64_t page = first; page < last; page++)
            if (!get(mp.held, page))
                return stop;
        (void)put(mp.held, first, last - first, false);
    }
    err_t err = frame_free(block.first);

    ASSERT(err == ERR_OK);
    return stop;
}

static void give(void *start, size_t n)
{
    uint64_t page = page_of(start);

    if (get(mp.moved, page)) {
        map_anew(page, n);
        (void)put(mp.moved, page, 1, false);
    } else {
        mp.n_dirty += put(mp.dirty, page, n, true);
        mp.dirty_low = min_u64(mp.dirty_low, page);
    }
    mp.n_used -= n;
    for (uint64_t at = page; at < page + n;)
        at = free_block(at, page + n);
}

static err_t source_take(struct heap_pages *source, size_t n, void **out)
{
    uint64_t flags = irqlock_take(&mp.lock);
    bool     zeroed;
    err_t    err = take(n, 1, out, &zeroed);

    (void)source;
    irqlock_drop(&mp.lock, flags);
    return err;
}

static void source_give(struct heap_pages *source, void *start, size_t n)
{
    uint64_t flags = irqlock_take(&mp.lock);

    (void)source;
    give(start, n);
    irqlock_drop(&mp.lock, flags);
}

static void source_settle(struct heap_pages *source, bool all)
{
    uint64_t flags = irqlock_take(&mp.lock);
    uint64_t bound = max_u64(mp.n_used / 8, DIRTY_MIN);

    (void)source;
    if (all || mp.n_dirty > bound)
        clean_until(all ? 0 : bound / 2);
    irqlock_drop(&mp.lock, flags);
}

static err_t source_run_take(struct heap_pages *source, size_t n, size_t align, void **out, bool *zeroed)
{
    uint64_t flags = irqlock_take(&mp.lock);
    err_t    err = take(n, align, out, zeroed);

    (void)source;
    irqlock_drop(&mp.lock, flags);
    return err;
}

/* Pages behind the run are left, or the run moves. */
static err_t source_run_resize(struct heap_pages *source, void *start, size_t n_old, size_t n_new, void **out)
{
    uint64_t flags = irqlock_take(&mp.lock);
    void    *to;
    bool     zeroed;
    err_t    err = ERR_NOSYS;

    (void)source;
    if (n_new < n_old && !get(mp.moved, page_of(start))) {
        give((char *)start + (n_new << PAGE_SHIFT), n_old - n_new);
        *out = start;
        err = ERR_OK;
    } else if (n_new > n_old && n_old >= MOVE_MIN && (err = take(n_new, 1, &to, &zeroed)) == ERR_OK) {
        if (!zeroed)
            forget(to, n_new << PAGE_SHIFT);
        if (mremap(start, n_old << PAGE_SHIFT, n_new << PAGE_SHIFT, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to) {
            map_anew(page_of(start), n_old);
            (void)put(mp.moved, page_of(start), 1, false);
            (void)put(mp.moved, page_of(to), 1, true);
            give(start, n_old);
            mp.n_dirty -= put(mp.dirty, page_of(start), n_old, false); /* mapped anew, so clean */
            *out = to;
        } else {
            give(to, n_new);
            err = ERR_NOSYS;
        }
    }
    irqlock_drop(&mp.lock, flags);
    return err;
}

/* Reserved addresses read as zero and get memory when touched; nothing to do but to give it back. */
static err_t source_meta(struct heap_pages *source, void *page)
{
    (void)source;
    (void)page;
    return ERR_OK;
}

static void source_meta_drop(struct heap_pages *source, void *start, size_t bytes)
{
    (void)source;
    forget(start, bytes);
}

static void source_guard(struct heap_pages *source, void *page, bool fault)
{
    int saved = errno;

    (void)source;
    mprotect(page, PAGE_SIZE, fault ? PROT_NONE : PROT_READ | PROT_WRITE);
    errno = saved;
}

struct heap_pages *malloc_pages_open(void)
{
    static const struct heap_pages_ops ops = {
        .take = source_take,
        .give = source_give,
        .settle = source_settle,
        .meta = source_meta,
        .meta_drop = source_meta_drop,
        .run_take = source_run_take,
        .run_give = source_give,
        .run_resize = source_run_resize,
        .guard = source_guard,
    };

    host_memory_open((FIRST_FRAME + N_FRAMES) << PAGE_SHIFT);
    mp.range = (struct mem_range){ .start = pfn(FIRST_FRAME), .end = pfn(FIRST_FRAME + N_FRAMES), .kind = MEM_FREE };
    mp.map = (struct mem_map){ .ranges = &mp.range, .n = 1 };
    if (frame_state_bytes(&mp.map) > sizeof mp.state ||
        frame_start(&mp.map, NULL, 0, (void *)align_up((uintptr_t)mp.state, 64), sizeof mp.state - 64) != ERR_OK)
        PANIC("the frame manager does not start");
    mp.pages = (struct heap_pages){
        .ops = &ops,
        .base = (uintptr_t)port_ptr(pfn_to_pa(pfn(FIRST_FRAME))),
        .n_pages = N_FRAMES,
        .meta = reserve(heap_map_bytes(N_FRAMES)),
    };
    mp.dirty = reserve(3 * N_FRAMES / 8);
    mp.moved = mp.dirty + N_FRAMES / 64;
    mp.held = mp.moved + N_FRAMES / 64;
    mp.dirty_low = N_FRAMES;
    return &mp.pages;
}

void malloc_pages_freeze(void) NO_LOCK_ANALYSIS { (void)irqlock_take(&mp.lock); }
void malloc_pages_thaw(void) NO_LOCK_ANALYSIS { irqlock_drop(&mp.lock, 0); }
