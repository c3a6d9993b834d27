/* SPDX-License-Identifier: MIT */
/*
 * mm/framedb.h - records of frames that need one: shared, swapped, mapped in several places
 *
 * A frame without a record has one owner, who knows of it. Nothing is spent on such frames.
 */
#ifndef MM_FRAMEDB_H
#define MM_FRAMEDB_H

#include "mm/err.h"
#include "mm/types.h"

struct frame_record {
    uint32_t refs;     /* how many share the frame; framedb_share and framedb_unshare count   */
    uint32_t flags;    /* the owner's                                                         */
    uint64_t owner;    /* whose it is: number of an address space, say                        */
    uint64_t where;    /* and where there                                                     */
    void    *mappings; /* reverse map: what the owner keeps of all places that map it         */
};

#define FRAMEDB_LEAF 128 /* neighbours whose records lie in one frame */

/*
 * framedb_open - the record of frame f, made if there is none (refs 1, all else 0)
 *
 *   out     good until framedb_close(f); who changes what it points to sees to it that nobody else does
 *
 *   Errors  ERR_NOMEM  no frame for the tables   ERR_INVAL  beyond 2^43 frames
 *   Locks   framedb, rank 36; that of a chunk under it
 *   Cost    32 bytes of a frame for 128 neighbours; that and up to three table frames come and go
 */
err_t framedb_open(pfn_t f, struct frame_record **out) MUST_USE;

/* framedb_find - the record of frame f; NULL if it has none */
struct frame_record *framedb_find(pfn_t f);

/* framedb_close - the record goes; ERR_NOENT if there is none */
err_t framedb_close(pfn_t f) MUST_USE;

/* framedb_share - one more shares frame f; errors as framedb_open */
err_t framedb_share(pfn_t f) MUST_USE;

/*
 * framedb_unshare - one less shares frame f; returns how many are left
 *
 *   At 0 the frame is the caller's to free. With one left the record goes, unless it says anything else.
 */
unsigned framedb_unshare(pfn_t f);

/*
 * Sharing many frames, one after the other, under one lock:
 *
 *     struct framedb_cursor c;
 *     uint64_t              irq = framedb_enter(&c);
 *
 *     err = framedb_share_next(&c, frame);  as often as wanted, but not for long: interrupts are off
 *     framedb_leave(&c, irq);
 *
 * Neighbours among 128 are found by stepping from record to record.
 */
struct framedb_cursor {
    struct frame_record *leaf;  /* of the last frame's neighbours, the first of them */
    uint64_t             first; /* whose record that is                              */
    uint64_t            *entry; /* counts the leaf's records                         */
};

uint64_t framedb_enter(struct framedb_cursor *c);
void     framedb_leave(struct framedb_cursor *c, uint64_t irq);

/* framedb_share_at - as framedb_share_next(), for a frame that is no neighbour of the last */
err_t framedb_share_at(struct framedb_cursor *c, pfn_t f) MUST_USE;

/* framedb_share_next - one more shares frame f; errors as framedb_open */
static inline MUST_USE err_t framedb_share_next(struct framedb_cursor *c, pfn_t f)
{
    uint64_t             i = f.idx - c->first;
    struct frame_record *r;
    uint32_t             refs;

    if (UNLIKELY(i >= FRAMEDB_LEAF))
        return framedb_share_at(c, f);
    r = c->leaf + i;
    refs = r->refs;
    if (refs == 0) { /* no record yet: all else is 0, too */
        refs = 1;
        ++*c->entry;
    }
    r->refs = refs + 1;
    return ERR_OK;
}

/*
 * framedb_drop_run - one less shares each of n blocks of 2^order frames; those that nobody shares any more are freed
 *
 *   A block is known by its first frame. Errors as frame_free_order(): it was no such block.
 */
err_t framedb_drop_run(pfn_t start, uint64_t n_blocks, unsigned order) MUST_USE;

/* framedb_refs - how many share frame f; 1 without a record */
unsigned framedb_refs(pfn_t f);

/* framedb_frames - how many frames the records and their tables take now */
uint64_t framedb_frames(void);

#endif
