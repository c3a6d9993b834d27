/* SPDX-License-Identifier: MIT */
/*
 * mm/frame.c - physical frames: chunks of a gigabyte, and who gives what out
 *
 * Promise     any block or run that is free can be had; the lowest that fits is given; every wrong free
 *             is refused by name and changes nothing; memory that nobody uses costs nothing.
 *
 * Picture     memory, cut into chunks of 2^18 frames, each of them three levels of words (mm/chunk.c)
 *
 *               0       1 GiB    2 GiB    3 GiB    4 GiB    5 GiB
 *               | chunk 0 | chunk 1 | chunk 2 |  (no RAM) | chunk 4 |  ...
 *               cut: has   cut       in one     reserved    in one
 *               bitmaps    itself    piece      as a whole  piece
 *
 *             with[k], k = 0..18: a tree of words in which bit i says that chunk i has a free block of
 *             2^k frames. So a search goes: zone, lowest chunk by with[k], lowest block in it.
 *
 * Zones       requests without a limit try memory from 4 GiB on first, then 16 MiB .. 4 GiB, then
 *             1 MiB .. 16 MiB; what devices with narrow addresses can reach is spared for them. Below
 *             1 MiB only what asks for it by its limit.
 *
 * Bitmaps     17 frames of a chunk hold its bitmaps (2.125 bits per frame) from the moment a row (16 MiB)
 *             is first cut until the chunk is whole again; the last chunk to become whole keeps them
 *             until another one does, so that a single block taken and freed doesn't build and drop them
 *             each time.
 *
 * CPUs        in front of this, each CPU has a word of frames of its own to hand out (mm/reserve.c)
 *
 * Invariants  I1  bit i of with[k] is set exactly if chunk_order() of chunk i is at least k
 *             I2  a chunk that is cut has bitmaps, and they are held back in it
 * Locks       each chunk's own, rank 40, one at a time; the index's, rank 41, under it. Readers of the
 *             index take no lock: what it says is a hint that is checked under the chunk's lock.
 * Failure     ERR_NOMEM only after everything reserved by CPUs was given back and spare bitmaps dropped
 * Sources     Knuth, TAOCP 1, 2.5; Robson, JACM 21(3) 1974 (how much memory fragmentation can cost)
 */
#include "mm/frame.h"

#include "mm/early.h"
#include "mm/frame_in.h"
#include "mm/reserve.h"

struct frames fr = {
    .index_lock = IRQLOCK("frame index", FRAME_LOCK_INDEX),
    .returning = IRQLOCK("frame return", FRAME_LOCK_RETURN),
};

const uint64_t frame_by_default[FRAME_BY_DEFAULT][2] = {
    { 4 * GIB >> PAGE_SHIFT, UINT64_MAX >> PAGE_SHIFT },
    { 16 * MIB >> PAGE_SHIFT, 4 * GIB >> PAGE_SHIFT },
    { 1 * MIB >> PAGE_SHIFT, 16 * MIB >> PAGE_SHIFT },
};

/* ---- a chunk's bitmaps come and go ---------------------------------------------------------------- */

/* Bitmaps for z, in the lowest place inside [lo, hi) */
static bool maps_place(struct fchunk *z, unsigned lo, unsigned hi) REQUIRES(z->lock)
{
    unsigned at;

    if (!chunk_find_run(&z->c, MAPS_FRAMES, 1, CHUNK_FRAMES, lo, hi, &at))
        return false;
    z->c.maps = port_ptr(pfn_to_pa(chunk_pfn(z, at)));
    z->maps_at = at;
    chunk_reserve(&z->c, at, MAPS_FRAMES);
    return true;
}

bool chunk_cut_ready(struct fchunk *z, unsigned at, unsigned n, bool *placed)
{
    *placed = chunk_needs_maps(&z->c, at, n);
    return LIKELY(!*placed) || maps_place(z, 0, CHUNK_FRAMES);
}

bool chunk_cut_beside(struct fchunk *z, unsigned at, unsigned n)
{
    return !chunk_needs_maps(&z->c, at, n) || maps_place(z, 0, at) || maps_place(z, at + n, CHUNK_FRAMES);
}

/* Is everything free but the bitmaps themselves? */
static bool maps_idle(const struct fchunk *z) REQUIRES(z->lock)
{
    return z->c.n_free == CHUNK_FRAMES - MAPS_FRAMES && z->c.maps != NULL;
}

static void maps_drop(struct fchunk *z) REQUIRES(z->lock)
{
    chunk_release(&z->c, z->maps_at, MAPS_FRAMES);
    z->c.maps = NULL;
    z->c.built = 0;
}

struct fchunk *chunk_make(uint64_t i)
{
    struct fchunk *z = &fr.chunk[i];
    uint64_t       flags = irqlock_take(&fr.index_lock);

    if (chunk_fresh(i)) { /* else another CPU was faster */
        *z = (struct fchunk){ .lock = BIASED("chunk", FRAME_LOCK_CHUNK), .managed = CHUNK_FRAMES };
        chunk_open(&z->c, true);
        z->c.order = CHUNK_ORDER; /* the index says so already */
        z->c.moved = false;
        atomic_fetch_and_explicit(&fr.fresh[i / BITS_WORD], ~bit(i % BITS_WORD), memory_order_release); /* pairs with chunk_fresh */
    }
    irqlock_drop(&fr.index_lock, flags);
    return z;
}

static void reindex(struct fchunk *z) REQUIRES(z->lock)
{
    int order = chunk_order(&z->c);

    z->c.moved = false;
    if (order == z->c.order)
        return;

    uint64_t flags = irqlock_take(&fr.index_lock), i = (uint64_t)(z - fr.chunk);

    for (int k = z->c.order + 1; k <= order; k++)
        bits_set(&fr.with[k], i);
    for (int k = order + 1; k <= z->c.order; k++)
        bits_clear(&fr.with[k], i);
    z->c.order = (int16_t)order;
    irqlock_drop(&fr.index_lock, flags);
}

void chunk_settled(struct fchunk *z)
{
    if (UNLIKELY(z->c.moved))
        reindex(z);
}

/* z is the spare chunk now; what was it before is none, and its bitmaps go. True if there were any. */
static bool maps_spare(struct fchunk *z)
{
    struct fchunk *old = atomic_exchange_explicit(&fr.spare, z, memory_order_relaxed);
    bool           idle;

    if (old == NULL || old == z)
        return false;

    uint64_t flags = chunk_lock(old);

    idle = maps_idle(old);
    if (idle)
        maps_drop(old);
    chunk_settled(old);
    chunk_unlock(old, flags);
    return idle;
}

void chunk_drop(struct fchunk *z, uint64_t flags)
{
    bool spare;

    chunk_settled(z);
    spare = maps_idle(z) && atomic_load_explicit(&fr.spare, memory_order_relaxed) != z;
    chunk_unlock(z, flags);
    if (UNLIKELY(spare))
        (void)maps_spare(z);
}

bool frame_give_back(void)
{
    bool claimed = claims_return(), spare = maps_spare(NULL);

    return claimed || spare;
}

/* ---- taking ------------------------------------------------------------------------------------------ */

static bool take_block(struct fchunk *z, unsigned order, unsigned lo, unsigned hi, unsigned *at) REQUIRES(z->lock)
{
    bool placed;

    do {
        if (!chunk_find(&z->c, order, lo, hi, at) || !chunk_cut_ready(z, *at, 1u << order, &placed))
            return false;
    } while (UNLIKELY(placed));
    chunk_take(&z->c, *at, order);
    return true;
}

bool frame_take(unsigned order, uint64_t lo, uint64_t hi, pfn_t *out)
{
    for (uint64_t i = lo >> CHUNK_ORDER; (i = chunks_next(order, i, hi)) != BITS_NONE; i++) {
        struct fchunk *z = chunk_get(i);
        unsigned       window[2], at;

        chunk_window(i, lo, hi, window);

        uint64_t flags = chunk_lock(z);
        bool     found = take_block(z, order, window[0], window[1], &at);

        chunk_settled(z);
        chunk_unlock(z, flags);
        if (LIKELY(found)) {
            *out = pfn((i << CHUNK_ORDER) + at);
            return true;
        }
    }
    return false;
}

#define CHUNK_4G (4 * GIB >> PAGE_SHIFT >> CHUNK_ORDER) /* the first of the highest zone */

/* The chunk in which a request without a limit is tried first; BITS_NONE if there is no such block */
static inline uint64_t first_chunk(unsigned order)
{
    const struct bits *b = &fr.with[order];
    uint64_t           word = __atomic_load_n(&b->level[0][0], __ATOMIC_RELAXED), high = word & ~bits_below(CHUNK_4G);

    if (UNLIKELY(high == 0 && b->n > BITS_WORD)) {
        uint64_t i = bits_next(b, BITS_WORD);

        if (i != BITS_NONE)
            return i;
    }
    word = high != 0 ? high : word;
    return LIKELY(word != 0) ? bits_first(word) : BITS_NONE;
}

/* The way that nearly all requests go: order < ROW_ORDER, and the chunk that is first in turn is cut already */
static inline bool take_quickly(unsigned order, pfn_t *out)
{
    uint64_t i = first_chunk(order), rows = i == 0 ? TOP_FULL & ~bit(0) : TOP_FULL; /* not below 16 MiB */

    if (UNLIKELY(i == BITS_NONE))
        return false;

    struct fchunk *z = chunk_get(i);
    uint64_t       flags = chunk_lock(z);
    unsigned       at;
    bool           found = LIKELY(z->c.maps != NULL) && chunk_take_lowest(&z->c, order, rows, &at);

    chunk_settled(z);
    chunk_unlock(z, flags);
    if (LIKELY(found))
        *out = pfn((i << CHUNK_ORDER) + at);
    return found;
}

static bool take_anywhere(unsigned order, pfn_t *out)
{
    for (size_t i = 0; i < FRAME_BY_DEFAULT; i++)
        if (frame_take(order, frame_by_default[i][0], frame_by_default[i][1], out))
            return true;
    return false;
}

static NOINLINE err_t alloc_slow(unsigned order, pfn_t *out)
{
    if (UNLIKELY(!fr.started))
        return order == 0 ? early_alloc(1, out) : ERR_NOMEM;
    do {
        if (take_anywhere(order, out))
            return ERR_OK;
    } while (frame_give_back());
    return ERR_NOMEM;
}

bool claim_refill_default(struct claim *c)
{
    for (size_t i = 0; fr.started && i < FRAME_BY_DEFAULT; i++)
        if (claim_refill(c, frame_by_default[i][0], frame_by_default[i][1]))
            return true;
    return false;
}

/* The CPU's claim has nothing left */
static NOINLINE err_t alloc_refill(pfn_t *out)
{
    uint64_t      flags = port_irq_save();
    struct claim *c = claim_of_cpu(port_cpu());
    bool          taken;

    claim_enter(c);
    taken = claim_take(c, out) || (claim_refill_default(c) && claim_take(c, out));
    claim_leave(c);
    port_irq_restore(flags);
    return LIKELY(taken) ? ERR_OK : alloc_slow(0, out);
}

static NOINLINE err_t alloc_block(unsigned order, pfn_t *out)
{
    if (UNLIKELY(order > FRAME_ORDER_MAX))
        return ERR_INVAL;
    if (LIKELY(order < ROW_ORDER && fr.started) && take_quickly(order, out))
        return ERR_OK;
    return alloc_slow(order, out);
}

err_t frame_alloc(unsigned order, pfn_t *out)
{
    if (UNLIKELY(order != 0))
        return alloc_block(order, out);

    uint64_t      flags = port_irq_save();
    struct claim *c = claim_of_cpu(port_cpu());
    bool          taken;

    claim_enter(c);
    taken = claim_take(c, out);
    claim_leave(c);
    port_irq_restore(flags);
    return LIKELY(taken) ? ERR_OK : alloc_refill(out);
}

/* ---- giving back -------------------------------------------------------------------------------------- */

bool frame_is_memory(pfn_t f)
{
    const struct mem_range *r = fr.started ? mem_map_find(fr.map, f) : NULL;

    return r != NULL && r->kind != MEM_MMIO;
}

err_t frame_refuse(pfn_t f, err_t err)
{
    if (err == ERR_RESERVED || err == ERR_OUTSIDE)
        err = frame_is_memory(f) ? ERR_RESERVED : ERR_OUTSIDE;
    atomic_fetch_add_explicit(&fr.wrong[err], 1, memory_order_relaxed);
    return err;
}

err_t frame_give_block(struct fchunk *z, pfn_t f, unsigned order) REQUIRES(z->lock)
{
    unsigned at = chunk_at(f), real = 0;
    err_t    err = chunk_block(&z->c, at, &real);

    if (UNLIKELY(err == ERR_RESERVED))
        return claim_give_remote(z, f, order == 0 || order == CHUNK_ANY_ORDER);
    if (UNLIKELY(err != ERR_OK))
        return err;
    if (UNLIKELY(order != CHUNK_ANY_ORDER && order != real))
        return ERR_ORDER;
    chunk_give(&z->c, at, real);
    return ERR_OK;
}

/* Give back through the chunk; interrupts are off and come back as `flags` says */
static NOINLINE err_t free_in_chunk(pfn_t f, unsigned order, uint64_t flags)
{
    if (UNLIKELY(chunk_no(f) >= fr.n_chunks)) {
        port_irq_restore(flags);
        return frame_refuse(f, ERR_OUTSIDE);
    }

    struct fchunk *z = chunk_get(chunk_no(f));
    unsigned       cpu = port_cpu();
    err_t          err = ERR_OK;

    biased_take(&z->lock, cpu);
    if (!((order == 0 || order == CHUNK_ANY_ORDER) && chunk_give_frame(&z->c, chunk_at(f))) &&
        UNLIKELY(!chunk_give_small(&z->c, chunk_at(f), order)))
        err = frame_give_block(z, f, order);
    if (UNLIKELY(z->c.moved || maps_idle(z))) {
        chunk_drop(z, flags);
    } else {
        biased_drop(&z->lock, cpu);
        port_irq_restore(flags);
    }
    return LIKELY(err == ERR_OK) ? ERR_OK : frame_refuse(f, err);
}

static inline err_t free_block(pfn_t f, unsigned order)
{
    uint64_t      flags = port_irq_save();
    struct claim *c = claim_of_cpu(port_cpu());

    if (order == 0 || order == CHUNK_ANY_ORDER) {
        bool given;

        claim_enter(c);
        given = claim_give(c, f);
        claim_leave(c);
        if (given) {
            port_irq_restore(flags);
            return ERR_OK;
        }
    }
    return free_in_chunk(f, order, flags);
}

err_t frame_free(pfn_t f) { return free_block(f, CHUNK_ANY_ORDER); }

err_t frame_free_order(pfn_t f, unsigned order)
{
    return LIKELY(order <= FRAME_ORDER_MAX) ? free_block(f, order) : frame_refuse(f, ERR_ORDER);
}
