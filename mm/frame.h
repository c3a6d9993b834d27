/* SPDX-License-Identifier: MIT */
/*
 * mm/frame.h - physical frames: the buddy manager
 *
 * Blocks of 2^order neighbouring frames that start at a multiple of 2^order; runs of any length; single
 * frames by the array. mm/frame.c tells how it works.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "mm/chunk.h"
#include "mm/err.h"
#include "mm/range.h"
#include "mm/types.h"

#define FRAME_ORDER_MAX CHUNK_ORDER /* 2^18 frames: 1 GiB */

/* Zones: who can reach the memory. Requests without a limit take the highest zone that can serve them. */
enum frame_zone {
    ZONE_LOW,  /* below 1 MiB: only for a request that asks for it by its limit */
    ZONE_ISA,  /* 1 MiB .. 16 MiB                                               */
    ZONE_32,   /* 16 MiB .. 4 GiB                                               */
    ZONE_HIGH, /* from 4 GiB on                                                 */
    ZONES
};

/* ---- life cycle ------------------------------------------------------------------------------- */

/* A range of frames */
struct frame_span {
    pfn_t    start;
    uint64_t n;
};

/* frame_state_bytes - how much memory frame_start() needs for a machine with this map: 200 bytes per GiB */
size_t frame_state_bytes(const struct mem_map *map);

/*
 * frame_start - take over all memory
 *
 *   map     kept, and asked again when a free is refused: it stays where it is. All frames of MEM_FREE
 *           become free, those of MEM_LOW free on request.
 *   keep    keep[n_keep]: ranges that are in use although the map calls them free: the image, say. What
 *           is free in them is held back.
 *   state   state[bytes], bytes >= frame_state_bytes(map), contents do not matter; 64-byte aligned.
 *           It lies in reserved or kept memory, or in frames of the early distributor.
 *
 *   What the early distributor gave out becomes allocated blocks of one frame (they can be freed); what
 *   it has left becomes free; it gives out nothing more. Bitmaps are placed into free memory now and
 *   later: the firmware's tables and stack must be out of use.
 *
 *   Errors  ERR_INVAL  state too small   ERR_NOMEM  the map has no room for the bitmaps of the first chunk
 *   Cost    O(ranges of the map) + a small step per GiB
 */
err_t frame_start(const struct mem_map *map, const struct frame_span *keep, size_t n_keep, void *state,
                  size_t bytes) MUST_USE;

/* ---- taking ----------------------------------------------------------------------------------- */

/*
 * frame_alloc - take one block of 2^order frames
 *
 *   order   0..FRAME_ORDER_MAX                                  [log2 frames]
 *   out     first frame of the block; written only on ERR_OK; contents of the frames are undefined
 *
 *   The lowest block of any sufficient order in the highest zone that has one, never below 1 MiB.
 *   Before frame_start() single frames come from the early distributor.
 *
 *   Errors  ERR_NOMEM  no free block that large, whatever CPUs have reserved
 *           ERR_INVAL  order out of range
 *   Locks   chunk, rank 40; interrupts may be off; never sleeps
 *   Cost    order 0: a few instructions without any lock, a chunk's lock once for up to 64 frames;
 *           else one lock and one word per level
 */
err_t frame_alloc(unsigned order, pfn_t *out) MUST_USE;

/*
 * frames_alloc - take n single frames, not necessarily neighbours, all or none
 *
 *   out     out[n]; contents undefined on failure
 *
 *   Errors, locks as frame_alloc. Cost: a lock for each chunk, a few instructions for each frame.
 */
err_t frames_alloc(size_t n, pfn_t out[]) MUST_USE;

#define FRAME_ZERO (1u << 0) /* contents are zeroes                                  */
#define FRAME_NEAR (1u << 1) /* try the gigabyte that holds frame `near` before others */

/* What a device or a caller with wishes can ask for; zero in a field means: no such wish */
struct frame_request {
    uint64_t n;        /* frames, neighbours; 0 means 1                                           */
    uint64_t align;    /* the first frame is a multiple of this power of two             [frames] */
    uint64_t boundary; /* no multiple of this power of two inside the run; at least n    [frames] */
    pa_t     highest;  /* no byte lies above this address: a device's mask                [bytes] */
    pfn_t    near;     /* with FRAME_NEAR                                                         */
    unsigned flags;
};

/*
 * frame_alloc_with - take n neighbouring frames under conditions
 *
 *   The run consists of neighbouring blocks, as few as possible: n a power of two and aligned to it is
 *   one block. It is given back with frame_free_run(), or block by block.
 *   The lowest such run of the highest zone that has one; below 1 MiB only if `highest` is.
 *
 *   Errors  ERR_NOMEM  no such run   ERR_INVAL  not powers of two, boundary smaller than n
 *   Cost    one frame or block as frame_alloc; other runs look at each sufficiently large free block
 */
err_t frame_alloc_with(const struct frame_request *req, pfn_t *out) MUST_USE;

/* ---- giving back ------------------------------------------------------------------------------ */

/*
 * frame_free - give back the block that starts at f; its order is known
 *
 *   Errors  each changes nothing and is counted (frame_stats):
 *           ERR_NOT_ALLOC  free already, or never allocated
 *           ERR_INSIDE     inside a block: not its first frame
 *           ERR_RESERVED   held back, never up for allocation
 *           ERR_OUTSIDE    no memory
 */
err_t frame_free(pfn_t f) MUST_USE;

/* frame_free_order - the same, if the block has this order; else ERR_ORDER */
err_t frame_free_order(pfn_t f, unsigned order) MUST_USE;

/* frames_free - give back in[n], all blocks of one frame; stops at the first that is refused */
err_t frames_free(size_t n, const pfn_t in[]) MUST_USE;

/*
 * frame_free_run - give back all blocks in [f, f + n)
 *
 *   Errors  ERR_ORDER  a block there reaches beyond the run; else as frame_free
 */
err_t frame_free_run(pfn_t f, uint64_t n) MUST_USE;

/*
 * frame_split - an allocated block of 2^order frames becomes as many blocks of one, each to be freed by itself
 *
 *   order   6..11
 *   Errors  ERR_ORDER  the block has another      ERR_INVAL  order out of range; else as frame_free
 *   Cost    a step for each 64 frames
 */
err_t frame_split(pfn_t f, unsigned order) MUST_USE;

/* ---- holding back at run time -------------------------------------------------------------------- */

/*
 * frame_reserve - take [start, start + n) out of what is given out: bad RAM, a device's window
 *
 *   Errors  ERR_BUSY  something in it is allocated, held back already, or holds our own bitmaps
 *           ERR_OUTSIDE  no frame of ours
 */
err_t frame_reserve(pfn_t start, uint64_t n) MUST_USE;

/*
 * frame_release - what is held back becomes free: ACPI tables that were read, say
 *
 *   Errors  ERR_NOENT  something in it is not held back   ERR_BUSY  it holds our own bitmaps
 *           ERR_OUTSIDE  beyond the last chunk of memory
 */
err_t frame_release(pfn_t start, uint64_t n) MUST_USE;

/* ---- inspection ------------------------------------------------------------------------------------ */

/* What a frame belongs to. A frame that a CPU has reserved but not given out is free. */
struct frame_info {
    enum frame_state state;
    pfn_t            first; /* of the block, free or allocated, that the frame is in */
    unsigned         order;
};

/* frame_query - always answers; FRAME_OUTSIDE for what is no memory */
struct frame_info frame_query(pfn_t f);

/* frame_state_name - "free", "block", ...; never NULL */
const char *frame_state_name(enum frame_state s);

struct frame_stats {
    uint64_t managed;  /* frames that are ours: free, allocated, or holding bitmaps     */
    uint64_t free;     /* those that are free, `cached` among them                      */
    uint64_t cached;   /* reserved by CPUs or zeroed in stock: free, one by one         */
    uint64_t bitmaps;  /* frames that hold bitmaps now                                  */
    uint64_t blocks[FRAME_ORDER_MAX + 1]; /* free blocks of exactly this order          */
    uint64_t wrong[ERR_COUNT];            /* frees refused, by error                    */
};

/* frame_stats - of everything; by zone; by chunk (gigabyte number i: ERR_NOENT when it has no memory) */
void  frame_stats(struct frame_stats *s);
void  frame_stats_zone(enum frame_zone zone, struct frame_stats *s);
err_t frame_stats_chunk(uint64_t i, struct frame_stats *s) MUST_USE;

/* frame_totals - the sums alone, without any lock: for last words, and while others are at work */
struct frame_totals {
    uint64_t managed, free; /* as in frame_stats */
};
struct frame_totals frame_totals(void);

/* frame_zone_span - the frames of a zone */
struct frame_span frame_zone_span(enum frame_zone zone);
const char       *frame_zone_name(enum frame_zone zone);

/* frame_chunks - how many gigabytes, counted from address 0, the manager knows */
uint64_t frame_chunks(void);

/*
 * frame_unusable - fragmentation: the share of free memory that cannot serve requests of an order
 *
 *   0 means all of it can, 1000 none                                          [per mille]
 */
unsigned frame_unusable(const struct frame_stats *s, unsigned order);

/* frame_check - walk everything; NULL, or what is wrong. Nobody else may be at work. */
const char *frame_check(void);

#endif
