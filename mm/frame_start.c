/* SPDX-License-Identifier: MIT */
/*
 * mm/frame_start.c - from the memory map to chunks
 *
 * A chunk that one free range covers is free as a whole, and fresh: the index says so, and its descriptor
 * is written when somebody first touches it (chunk_get). So start-up costs what is in use, not what there
 * is. A chunk without free memory is held back as a whole and has only its descriptor. Any other is cut: its bitmaps go to the lowest place in
 * its free memory, above 16 MiB if there is one.
 *
 * What the map calls free but is in use: `keep` (the image, say) and the block of the early distributor,
 * of which the frames given out become blocks of one frame.
 */
#include "mm/early.h"
#include "mm/frame_in.h"
#include "mm/reserve.h"

#define KINDS_KNOWN (MEM_SET(MEM_FREE) | MEM_SET(MEM_LOW) | MEM_SET(MEM_SPECIAL) | MEM_SET(MEM_ACPI))

static uint64_t chunks_for(const struct mem_map *map)
{
    return (mem_map_end(map, KINDS_KNOWN).idx + CHUNK_FRAMES - 1) >> CHUNK_ORDER;
}

size_t frame_state_bytes(const struct mem_map *map)
{
    uint64_t n = chunks_for(map);

    return n * sizeof(struct fchunk) + (CHUNK_ORDER + 2) * bits_words(n) * sizeof(uint64_t);
}

/* What must not be touched: the ranges to keep and the early distributor's block */
struct taken {
    const struct frame_span *keep;
    size_t                   n_keep;
    struct early_state       early;
};

static bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end) { return a < b_end && b < a_end; }

/* The end of something taken that lies in [at, end); 0 if there is nothing */
static uint64_t taken_end(const struct taken *t, uint64_t at, uint64_t end)
{
    for (size_t i = 0; i < t->n_keep; i++)
        if (overlap(at, end, t->keep[i].start.idx, t->keep[i].start.idx + t->keep[i].n))
            return t->keep[i].start.idx + t->keep[i].n;
    if (overlap(at, end, t->early.first.idx, t->early.end.idx))
        return t->early.end.idx;
    return 0;
}

/* The lowest place for bitmaps in [lo, hi) where nothing is taken */
static bool room_in(const struct taken *t, uint64_t lo, uint64_t hi, uint64_t *out)
{
    uint64_t next;

    while (lo + MAPS_FRAMES <= hi && (next = taken_end(t, lo, lo + MAPS_FRAMES)) != 0)
        lo = next;
    *out = lo;
    return lo + MAPS_FRAMES <= hi;
}

#define LARGE_FRAMES ((uint64_t)1 << 9) /* of a block of 2 MiB */

/*
 * The lowest place for bitmaps in the free ranges of [lo, hi): at an end of a range, where no block of 2 MiB
 * is spoilt by it, if there is such a place
 */
static bool room_for_maps(const struct mem_map *map, const struct taken *t, uint64_t lo, uint64_t hi, uint64_t *out)
{
    for (unsigned spoil = 0; spoil < 2; spoil++)
        for (size_t i = 0; i < map->n; i++) {
            uint64_t at = max_u64(map->ranges[i].start.idx, lo), end = min_u64(map->ranges[i].end.idx, hi);

            if (map->ranges[i].kind != MEM_FREE || at >= end)
                continue;
            if (spoil != 0 ? room_in(t, at, end, out)
                           : room_in(t, at, min_u64(end, align_up(at, LARGE_FRAMES)), out) ||
                                 room_in(t, max_u64(at, align_down(end, LARGE_FRAMES)), end, out))
                return true;
        }
    return false;
}

/* How many chunks from i on a free range covers, with nothing in them taken */
static uint64_t fresh_run(const struct mem_map *map, const struct taken *t, uint64_t i)
{
    const struct mem_range *r = mem_map_find(map, pfn(i << CHUNK_ORDER));
    uint64_t                start = i << CHUNK_ORDER, end;

    if (r == NULL || r->kind != MEM_FREE)
        return 0;
    end = align_down(r->end.idx, CHUNK_FRAMES);
    while (start < end && taken_end(t, start, end) != 0)
        end -= CHUNK_FRAMES; /* rare: what is taken lies low */
    return end > start ? (end - start) >> CHUNK_ORDER : 0;
}

/* Run fn for the part of [start, end) that lies in chunk z */
static void part(struct fchunk *z, uint64_t start, uint64_t end, void (*fn)(struct chunk *c, unsigned at, unsigned n))
{
    uint64_t base = chunk_pfn(z, 0).idx;
    uint64_t lo = max_u64(start, base), hi = min_u64(end, base + CHUNK_FRAMES);

    if (lo < hi)
        fn(&z->c, (unsigned)(lo - base), (unsigned)(hi - lo));
}

static void take_each(struct chunk *c, unsigned at, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        chunk_take(c, at + i, 0);
}

/* Hold back what is free in a range to keep */
static void hold(struct chunk *c, unsigned at, unsigned n)
{
    for (unsigned end = at + n, stop; at < end; at = stop + 1) {
        stop = chunk_run_end(c, at, end);
        if (stop > at)
            chunk_reserve(c, at, stop - at);
    }
}

/* A chunk that is neither all free nor without free memory */
static bool start_cut(struct fchunk *z, const struct mem_map *map, const struct taken *t) REQUIRES(z->lock)
{
    uint64_t base = chunk_pfn(z, 0).idx, end = base + CHUNK_FRAMES, maps;

    if (!room_for_maps(map, t, max_u64(base, 16 * MIB >> PAGE_SHIFT), end, &maps) &&
        !room_for_maps(map, t, base, end, &maps))
        return false;
    z->maps_at = (uint32_t)(maps - base);
    z->c.maps = port_ptr(pfn_to_pa(pfn(maps)));
    for (size_t i = 0; i < map->n; i++)
        if (map->ranges[i].kind == MEM_FREE || map->ranges[i].kind == MEM_LOW)
            part(z, map->ranges[i].start.idx, map->ranges[i].end.idx, chunk_release);
    for (size_t i = 0; i < t->n_keep; i++)
        part(z, t->keep[i].start.idx, t->keep[i].start.idx + t->keep[i].n, hold);
    z->managed = z->c.n_free;
    chunk_reserve(&z->c, z->maps_at, MAPS_FRAMES);
    part(z, t->early.first.idx, t->early.next.idx, take_each);
    return true;
}

static uint64_t free_pages(const struct mem_map *map, uint64_t lo, uint64_t hi)
{
    uint64_t n = 0;

    for (size_t i = 0; i < map->n; i++) {
        const struct mem_range *r = &map->ranges[i];

        if ((r->kind == MEM_FREE || r->kind == MEM_LOW) && overlap(r->start.idx, r->end.idx, lo, hi))
            n += min_u64(r->end.idx, hi) - max_u64(r->start.idx, lo);
    }
    return n;
}

/* Chunk i, which is not free as a whole */
static void start_chunk(uint64_t i, const struct mem_map *map, const struct taken *t)
{
    uint64_t       base = i << CHUNK_ORDER, n_free = free_pages(map, base, base + CHUNK_FRAMES);
    struct fchunk *z = &fr.chunk[i];

    *z = (struct fchunk){ .lock = BIASED("chunk", FRAME_LOCK_CHUNK) };

    uint64_t flags = chunk_lock(z);

    chunk_open(&z->c, false);
    if (n_free != 0 && !start_cut(z, map, t))
        port_log(PORT_WARN, "frame", "%llu KiB of RAM in the gigabyte at " PA_FMT " are too scattered for its bitmaps",
                 ULL(n_free * PAGE_SIZE / KIB), PA_ARG(pfn_to_pa(pfn(base))));
    chunk_settled(z);
    chunk_unlock(z, flags);
}

/* Chunks [i, end) are free as a whole: only the index learns of them */
static void start_fresh(uint64_t i, uint64_t end)
{
    for (uint64_t j = i; j < end; j++)
        atomic_fetch_or_explicit(&fr.fresh[j / BITS_WORD], bit(j % BITS_WORD), memory_order_relaxed);
    for (unsigned k = 0; k <= CHUNK_ORDER; k++)
        bits_set_range(&fr.with[k], i, end);
}

err_t frame_start(const struct mem_map *map, const struct frame_span *keep, size_t n_keep, void *state, size_t bytes)
{
    struct taken t = { keep, n_keep, early_look() };
    uint64_t     n = chunks_for(map), *words;

    if (n == 0 || bytes < frame_state_bytes(map))
        return ERR_INVAL;
    t.early = early_finish();
    fr.map = map;
    fr.chunk = state;
    fr.n_chunks = n;
    words = (uint64_t *)(fr.chunk + n);
    for (unsigned k = 0; k <= CHUNK_ORDER; k++, words += bits_words(n))
        bits_open(&fr.with[k], words, n);
    fr.fresh = (_Atomic uint64_t *)words;
    for (uint64_t w = 0; w < bits_words(n); w++)
        atomic_init(&fr.fresh[w], 0);
    atomic_store_explicit(&fr.spare, NULL, memory_order_relaxed);
    claims_forget();
    for (uint64_t i = 0, run; i < n; i += max_u64(run, 1)) {
        run = fresh_run(map, &t, i);
        if (run != 0)
            start_fresh(i, i + run);
        else
            start_chunk(i, map, &t);
    }
    fr.started = true;
    return ERR_OK;
}
