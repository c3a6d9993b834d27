/* SPDX-License-Identifier: MIT */
/*
 * mm/frame_run.c - requests with conditions: runs of any length, limits, alignment, boundaries
 *
 * What asks for one frame, or for a naturally aligned block, goes the way of blocks. Any other run is
 * searched chunk by chunk from one sufficiently large block to the next (mm/chunk_look.c). A run that
 * fits into no chunk is put together from the free end of one, chunks that are free as a whole, and the
 * free start of the last: each part is taken under its own chunk's lock, and all are given back when one
 * turns out to be gone.
 */
#include "mm/frame_in.h"
#include "mm/reserve.h"
#include "mm/zero.h"

/* A request with every wish filled in; all in frames */
struct wish {
    uint64_t n, align, boundary, lo, hi;
};

static bool power_of_two(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }

static bool wish_of(const struct frame_request *req, struct wish *w)
{
    w->n = max_u64(req->n, 1);
    w->align = max_u64(req->align, 1);
    w->boundary = req->boundary != 0 ? req->boundary : (uint64_t)1 << 63;
    w->hi = req->highest.raw != 0 ? (req->highest.raw >> PAGE_SHIFT) + ((req->highest.raw + 1) % PAGE_SIZE == 0)
                                  : UINT64_MAX >> PAGE_SHIFT;
    w->lo = w->hi <= MIB >> PAGE_SHIFT ? 0 : MIB >> PAGE_SHIFT;
    return power_of_two(w->align) && power_of_two(w->boundary) && w->n <= w->boundary && w->n < (uint64_t)1 << 52;
}

static bool is_block(const struct wish *w)
{
    return power_of_two(w->n) && w->n <= CHUNK_FRAMES && w->align == w->n;
}

/* The wish as far as chunk i can fulfil it */
static bool take_run(struct fchunk *z, const struct wish *w, unsigned lo, unsigned hi, unsigned *at) REQUIRES(z->lock)
{
    unsigned align = (unsigned)min_u64(w->align, CHUNK_FRAMES), boundary = (unsigned)min_u64(w->boundary, CHUNK_FRAMES);
    bool     placed;

    if (!is_aligned(chunk_pfn(z, 0).idx, w->align)) /* only a multiple of it lies in no chunk's inside */
        return false;
    if (w->align > CHUNK_FRAMES)
        hi = (unsigned)min_u64(hi, w->n);
    do {
        if (!chunk_find_run(&z->c, (unsigned)w->n, align, boundary, lo, hi, at) ||
            !chunk_cut_ready(z, *at, (unsigned)w->n, &placed))
            return false;
    } while (placed);
    chunk_take_run(&z->c, *at, (unsigned)w->n);
    chunk_settled(z);
    return true;
}

static bool take_in_chunk(uint64_t i, const struct wish *w, uint64_t lo, uint64_t hi, pfn_t *out)
{
    struct fchunk *z = chunk_get(i);
    unsigned       window[2], at;

    chunk_window(i, lo, hi, window);

    uint64_t flags = chunk_lock(z);
    bool     found = window[0] < window[1] && take_run(z, w, window[0], window[1], &at);

    chunk_unlock(z, flags);
    if (found)
        *out = chunk_pfn(z, at);
    return found;
}

/* ---- runs over several chunks --------------------------------------------------------------------------- */

static bool take_part(struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock)
{
    if (chunk_run_end(&z->c, at, at + n) != at + n || !chunk_cut_beside(z, at, n))
        return false;
    chunk_take_run(&z->c, at, n);
    chunk_settled(z);
    return true;
}

/* Take exactly [start, start + n), if all of it is free */
static bool take_exactly(uint64_t start, uint64_t n)
{
    uint64_t at = start, end = start + n;

    while (at < end && chunk_no(pfn(at)) < fr.n_chunks) {
        struct fchunk *z = chunk_get(chunk_no(pfn(at)));
        uint64_t       stop = min_u64(end, align_down(at, CHUNK_FRAMES) + CHUNK_FRAMES);
        uint64_t       flags = chunk_lock(z);
        bool           taken = take_part(z, chunk_at(pfn(at)), (unsigned)(stop - at));

        chunk_unlock(z, flags);
        if (!taken)
            break;
        at = stop;
    }
    if (at == end)
        return true;
    if (at != start && frame_free_run(pfn(start), at - start) != ERR_OK)
        PANIC("a run just taken cannot be given back");
    return false;
}

/* The free frames at the end of chunk i from `lo` on */
static uint64_t free_tail(uint64_t i, uint64_t lo)
{
    struct fchunk *z = chunk_get(i);
    unsigned       window[2], at = 0, order = 0;
    uint64_t       n = 0;

    chunk_window(i, lo, UINT64_MAX, window);

    uint64_t flags = chunk_lock(z);

    for (at = CHUNK_FRAMES; at > window[0]; at = (unsigned)max_u64(at - (1u << order), window[0])) {
        struct chunk_look look = chunk_look(&z->c, at - 1);

        if (look.state != FRAME_FREE)
            break;
        order = log2_down(at - look.first);
    }
    n = CHUNK_FRAMES - at;
    chunk_unlock(z, flags);
    return n;
}

static bool take_across(const struct wish *w, uint64_t lo, uint64_t hi, pfn_t *out)
{
    hi = min_u64(hi, fr.n_chunks << CHUNK_ORDER);
    for (uint64_t i = lo >> CHUNK_ORDER; i + 1 < fr.n_chunks; i++) {
        uint64_t end = (i + 1) << CHUNK_ORDER, tail = free_tail(i, lo), start;

        if (end >= hi)
            break;
        for (start = align_up(end - tail, w->align); start < end; start += w->align) {
            if (align_down(start, w->boundary) != align_down(start + w->n - 1, w->boundary))
                continue;
            if (start + w->n <= hi && start + w->n > end && take_exactly(start, w->n)) {
                *out = pfn(start);
                return true;
            }
            if (start + w->n <= hi)
                break; /* what is in the way lies behind this chunk, for later starts too */
        }
    }
    return false;
}

/* ---- the request -------------------------------------------------------------------------------------------- */

static bool take_between(const struct wish *w, uint64_t lo, uint64_t hi, pfn_t *out)
{
    if (is_block(w))
        return frame_take(log2_down(w->n), lo, hi, out);
    if (w->n <= CHUNK_FRAMES) {
        unsigned order = log2_down(w->n + 1) - 1;

        for (uint64_t i = lo >> CHUNK_ORDER; (i = chunks_next(order, i, hi)) != BITS_NONE; i++)
            if (take_in_chunk(i, w, lo, hi, out))
                return true;
    }
    return w->n > 1 && take_across(w, lo, hi, out);
}

static bool take_by_zone(const struct wish *w, pfn_t *out)
{
    for (unsigned zone = ZONES; zone-- > 0;) {
        struct frame_span span = frame_zone_span((enum frame_zone)zone);
        uint64_t          lo = max_u64(span.start.idx, w->lo), hi = min_u64(span.start.idx + span.n, w->hi);

        if (lo < hi && take_between(w, lo, hi, out))
            return true;
    }
    /* a run that lies in more than one zone */
    return w->n > 1 && take_between(w, w->lo, w->hi, out);
}

static err_t take(const struct frame_request *req, const struct wish *w, pfn_t *out)
{
    do {
        uint64_t near = chunk_no(req->near);

        if ((req->flags & FRAME_NEAR) != 0 && near < fr.n_chunks && w->n <= CHUNK_FRAMES && near << CHUNK_ORDER < w->hi &&
            take_in_chunk(near, w, w->lo, w->hi, out))
            return ERR_OK;
        if (take_by_zone(w, out))
            return ERR_OK;
    } while (frame_give_back());
    return ERR_NOMEM;
}

err_t frame_alloc_with(const struct frame_request *req, pfn_t *out)
{
    struct wish w;
    err_t       err;

    if (!wish_of(req, &w))
        return ERR_INVAL;
    if (!fr.started)
        return ERR_NOMEM;
    if ((req->flags & FRAME_ZERO) != 0 && w.n == 1 && w.align == 1 && req->highest.raw == 0 &&
        (req->flags & FRAME_NEAR) == 0)
        return frame_alloc_zeroed(out);
    err = take(req, &w, out);
    if (err == ERR_OK && (req->flags & FRAME_ZERO) != 0)
        for (uint64_t i = 0; i < w.n; i++)
            __builtin_memset(port_ptr(pfn_to_pa(pfn_add(*out, i))), 0, PAGE_SIZE);
    return err;
}
