/* SPDX-License-Identifier: MIT */
/*
 * mm/frame_span.c - what is done to a range of frames: hold back, release, split, give back
 *
 * A range is worked on chunk by chunk, each part under its chunk's lock. What fails in a later chunk is
 * undone in the earlier ones, so that the caller sees all or nothing.
 *
 * Frames that a CPU has reserved are held back in their chunk just as if they were no memory of ours;
 * where that may be what is in the way, all reservations are taken back and it is tried once more.
 */
#include "mm/frame_in.h"
#include "mm/reserve.h"

static err_t reserve_part(struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock)
{
    if (chunk_run_end(&z->c, at, at + n) != at + n || !chunk_cut_beside(z, at, n))
        return ERR_BUSY;
    chunk_reserve(&z->c, at, n);
    z->managed -= n;
    return ERR_OK;
}

static err_t release_part(struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock)
{
    if (!chunk_is_reserved(&z->c, at, n) || claims_hold(z, at, n))
        return ERR_NOENT;
    if (z->c.maps != NULL && at < z->maps_at + MAPS_FRAMES && z->maps_at < at + n)
        return ERR_BUSY;
    z->managed += n;
    /* a chunk with nothing free has no place for bitmaps but the range itself: its first frames stay back */
    if (!chunk_cut_beside(z, at, n)) {
        if (n <= MAPS_FRAMES) {
            z->managed -= n;
            return ERR_BUSY;
        }
        z->c.maps = port_ptr(pfn_to_pa(chunk_pfn(z, at)));
        z->maps_at = at;
        at += MAPS_FRAMES;
        n -= MAPS_FRAMES;
    }
    chunk_release(&z->c, at, n);
    return ERR_OK;
}

static err_t check_part(struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock)
{
    return chunk_check_run(&z->c, at, n);
}

static err_t give_part(struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock)
{
    err_t err = chunk_check_run(&z->c, at, n);

    if (err == ERR_OK)
        chunk_give_run(&z->c, at, n);
    return err;
}

/* Run fn for [start, end) chunk by chunk, under the chunk's lock; returns how far it came */
static uint64_t each_chunk(uint64_t start, uint64_t end, err_t (*fn)(struct fchunk *z, unsigned at, unsigned n),
                           err_t *err)
{
    *err = ERR_OK;
    while (start < end) {
        struct fchunk *z = chunk_get(start >> CHUNK_ORDER);
        uint64_t       stop = min_u64(end, align_down(start, CHUNK_FRAMES) + CHUNK_FRAMES);
        uint64_t       flags = chunk_lock(z);

        *err = fn(z, chunk_at(pfn(start)), (unsigned)(stop - start));
        chunk_drop(z, flags);
        if (*err != ERR_OK)
            break;
        start = stop;
    }
    return start;
}

static bool span_is_known(pfn_t start, uint64_t n)
{
    return n != 0 && n <= fr.n_chunks << CHUNK_ORDER && start.idx <= (fr.n_chunks << CHUNK_ORDER) - n;
}

err_t frame_reserve(pfn_t start, uint64_t n)
{
    uint64_t end = start.idx + n, came;
    err_t    err, undo;

    if (!span_is_known(start, n))
        return ERR_OUTSIDE;
    do {
        came = each_chunk(start.idx, end, reserve_part, &err);
        if (err == ERR_OK)
            return ERR_OK;
        (void)each_chunk(start.idx, came, release_part, &undo);
    } while (frame_give_back());
    return err;
}

err_t frame_release(pfn_t start, uint64_t n)
{
    uint64_t end = start.idx + n, came;
    err_t    err, undo;

    if (!span_is_known(start, n))
        return ERR_OUTSIDE;
    came = each_chunk(start.idx, end, release_part, &err);
    if (err != ERR_OK)
        (void)each_chunk(start.idx, came, reserve_part, &undo);
    return err;
}

err_t frame_free_run(pfn_t f, uint64_t n)
{
    uint64_t end = f.idx + n, came;
    err_t    err;

    if (!span_is_known(f, n))
        return frame_refuse(f, ERR_OUTSIDE);
    came = each_chunk(f.idx, end, check_part, &err);
    if (err == ERR_RESERVED) {
        (void)frame_give_back();
        came = each_chunk(f.idx, end, check_part, &err);
    }
    if (err == ERR_OK)
        came = each_chunk(f.idx, end, give_part, &err);
    return err == ERR_OK ? ERR_OK : frame_refuse(pfn(came), err);
}

/* Under one lock a block is freed and taken again in pieces: nobody sees it free. */
static err_t split_block(struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock)
{
    unsigned order;
    err_t    err = chunk_block(&z->c, at, &order);

    if (err != ERR_OK)
        return err;
    if (1u << order != n)
        return ERR_ORDER;
    chunk_give(&z->c, at, order);
    for (unsigned word = word_of(at); word < word_of(at + n); word++)
        chunk_take_singles(&z->c, word, WORD_FULL);
    return ERR_OK;
}

err_t frame_split(pfn_t f, unsigned order)
{
    struct fchunk *z;
    uint64_t       flags;
    err_t          err;

    if (order < CHUNK_W0 || order >= ROW_ORDER || !is_aligned(f.idx, (uint64_t)1 << order))
        return ERR_INVAL;
    if (!span_is_known(f, (uint64_t)1 << order))
        return ERR_OUTSIDE;
    z = chunk_get(chunk_no(f));
    flags = chunk_lock(z);
    err = split_block(z, chunk_at(f), 1u << order);
    if (err == ERR_OK)
        chunk_settled(z);
    chunk_unlock(z, flags);
    return err;
}
