/* SPDX-License-Identifier: MIT */
/*
 * mm/frame_in.h - what the files of the frame manager share: frame*.c, reserve.c; nobody else includes it
 */
#ifndef MM_FRAME_IN_H
#define MM_FRAME_IN_H

#include "mm/bias.h"
#include "mm/frame.h"
#include "mm/port.h"

#define FRAME_LOCK_RETURN 38 /* fr.returning                               */
#define FRAME_LOCK_CHUNK  40 /* each chunk's; only one at a time           */
#define FRAME_LOCK_INDEX  41 /* fr.index_lock, under a chunk's             */

#define MAPS_FRAMES ((unsigned)((sizeof(struct chunk_maps) + PAGE_SIZE - 1) / PAGE_SIZE))

/* A chunk as the manager holds it; number i begins at frame i * CHUNK_FRAMES */
struct fchunk {
    struct biased  lock;
    struct chunk   c;       /* [z] guarded by lock */
    uint32_t       maps_at; /* [z] place of c.maps in the chunk              */
    uint32_t       managed; /* [z] frames that are free, allocated or hold bitmaps       */
} __attribute__((aligned(64)));

struct frames {
    bool           started;   /* [c] after frame_start() */
    struct fchunk *chunk;     /* [c] chunk[n_chunks]     */
    uint64_t       n_chunks;  /* [c]                     */
    const struct mem_map *map; /* [c]                    */

    _Atomic uint64_t *fresh;  /* [a] a bit per chunk: free as a whole, never touched, chunk[i] not written */
    struct irqlock index_lock;
    struct bits    with[CHUNK_ORDER + 1]; /* chunks with a free block of this order: written under the
                                             index lock, read by anybody as a hint             */

    struct fchunk *_Atomic spare; /* [a] whole, but still with its bitmaps: at most one such is kept */
    struct irqlock         returning; /* one at a time takes reservations back */

    _Atomic uint64_t wrong[ERR_COUNT]; /* [a] frees refused */
};

extern struct frames fr;

/* chunk_fresh - nothing of chunk i but its index is there yet; once false, its descriptor can be seen */
static inline bool chunk_fresh(uint64_t i)
{
    return (atomic_load_explicit(&fr.fresh[i / BITS_WORD], memory_order_acquire) >> i % BITS_WORD & 1) != 0;
}

/* chunk_make - the descriptor of a fresh chunk is written now */
struct fchunk *chunk_make(uint64_t i);

/*
 * chunk_get - chunk i, i < fr.n_chunks
 *
 *   Memory that nobody asked for costs a few bits: its chunks are fresh, all that is known of them stands
 *   in the index. Whoever goes by fr.chunk[i] without this must know that it is not fresh.
 */
static inline struct fchunk *chunk_get(uint64_t i)
{
    if (UNLIKELY(chunk_fresh(i)))
        return chunk_make(i);
    return &fr.chunk[i];
}

static inline uint64_t       chunk_no(pfn_t f) { return f.idx >> CHUNK_ORDER; }
static inline unsigned       chunk_at(pfn_t f) { return (unsigned)(f.idx & (CHUNK_FRAMES - 1)); }
static inline pfn_t          chunk_pfn(const struct fchunk *z, unsigned at)
{
    return pfn(((uint64_t)(z - fr.chunk) << CHUNK_ORDER) + at);
}

/* chunk_lock, chunk_unlock - as irqlock_take and irqlock_drop */
static inline uint64_t chunk_lock(struct fchunk *z) ACQUIRES(z->lock) NO_LOCK_ANALYSIS
{
    uint64_t flags = port_irq_save();

    biased_take(&z->lock, port_cpu());
    return flags;
}

static inline void chunk_unlock(struct fchunk *z, uint64_t flags) RELEASES(z->lock) NO_LOCK_ANALYSIS
{
    biased_drop(&z->lock, port_cpu());
    port_irq_restore(flags);
}

/* The part of frames [lo, hi) that lies in chunk i: window[0] .. window[1] */
static inline void chunk_window(uint64_t i, uint64_t lo, uint64_t hi, unsigned window[2])
{
    uint64_t base = i << CHUNK_ORDER;

    window[0] = lo > base ? (unsigned)(lo - base) : 0;
    window[1] = (unsigned)min_u64(hi - base, CHUNK_FRAMES);
}

/* chunks_next - the lowest chunk from i on that may have a free block of this order in [lo, hi) */
static inline uint64_t chunks_next(unsigned order, uint64_t i, uint64_t hi)
{
    const struct bits *b = &fr.with[order];

    if (LIKELY(i < BITS_WORD)) { /* 64 GiB, and what is there lies in the first word */
        uint64_t word = __atomic_load_n(&b->level[0][0], __ATOMIC_RELAXED) & ~bits_below((unsigned)i);

        if (LIKELY(word != 0))
            return (uint64_t)bits_first(word) << CHUNK_ORDER < hi ? bits_first(word) : BITS_NONE;
    }
    i = bits_next(b, i);
    return i != BITS_NONE && i << CHUNK_ORDER < hi ? i : BITS_NONE;
}

/*
 * chunk_cut_ready - there are bitmaps for an operation on [at, at + n); places them if need be, at the
 * lowest place in the chunk: if *placed, what was found free may be gone, search again
 */
bool chunk_cut_ready(struct fchunk *z, unsigned at, unsigned n, bool *placed) REQUIRES(z->lock);

/* chunk_cut_beside - the same, but they are not placed in [at, at + n) */
bool chunk_cut_beside(struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock);

/* chunk_settled - after every change of z->c: what the index says of it */
void chunk_settled(struct fchunk *z) REQUIRES(z->lock);

/* chunk_drop - the lock, after something became free: bitmaps that are no longer needed may go */
void chunk_drop(struct fchunk *z, uint64_t flags) RELEASES(z->lock);

/* frame_give_back - short of memory: take back what CPUs have reserved and spare bitmaps; true if any */
bool frame_give_back(void);

/* frame_is_memory - is f memory of any kind? What is held back may be a hole as well */
bool frame_is_memory(pfn_t f);

/* frame_refuse - count a wrong free and give its error the right name */
err_t frame_refuse(pfn_t f, err_t err);

/* Where requests without a limit look, in this order: frames [lo, hi) */
#define FRAME_BY_DEFAULT 3
extern const uint64_t frame_by_default[FRAME_BY_DEFAULT][2];

/* frame_give_block - what chunk z says to giving back the block at f, of this order or any; done, if it agrees */
err_t frame_give_block(struct fchunk *z, pfn_t f, unsigned order) REQUIRES(z->lock);

/* frame_take - one block of 2^order frames inside [lo, hi), from the bitmaps only */
bool frame_take(unsigned order, uint64_t lo, uint64_t hi, pfn_t *out);

#endif
