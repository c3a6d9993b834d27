/* SPDX-License-Identifier: MIT */
/*
 * mm/frame_bulk.c - single frames by the array
 *
 * Promise     n frames for a handful of instructions each, all or none; given back as cheaply when they come
 *             in the order in which they were taken, and in any other order as exactly.
 *
 * Idea        A word of 64 frames is taken and given back by writing its two words of bits, and the summaries
 *             of a row are brought up to date once for all words taken from it. What is left is writing 64
 *             addresses, or comparing them with what 64 neighbours would be.
 *
 *               in[]     5 6 7 ... 63 | 64 65 ... 127 | 128 ... 191 | 192 193
 *                        a run: mask  | a whole word  | another     | a run: mask
 *
 * Exactness   A whole word is given back if all its frames are blocks of one frame, by its bits; so is a run
 *             in a word, by a mask. Anything else goes frame by frame, to be refused by name. A word is
 *             cleared when it is met, so that it is refused when it comes a second time; before
 *             anything goes another way, the words cleared so far are made free.
 *
 * Locks       a chunk's, once for all frames in a row that lie in it
 * Failure     frames_alloc gives back what it got
 */
#include "mm/early.h"
#include "mm/frame_in.h"

#define STEP 8 /* so many at a time, written out by the compiler */
_Static_assert(WORD_FRAMES % STEP == 0, "a word is not written in whole steps");

/* ---- taking ------------------------------------------------------------------------------------------ */

/* A word of frames from `first` on */
static inline pfn_t *write_word(pfn_t *out, pfn_t first)
{
    for (unsigned i = 0; i < WORD_FRAMES; i += STEP)
        for (unsigned k = 0; k < STEP; k++)
            out[i + k] = pfn_add(first, i + k);
    return out + WORD_FRAMES;
}

/* Those of a word that `mask` names, run by run */
static inline pfn_t *write_mask(pfn_t *out, pfn_t first, uint64_t mask)
{
    if (mask == WORD_FULL)
        return write_word(out, first);
    while (mask != 0) {
        unsigned from = bits_first(mask), n = bits_first(~(mask >> from));

        for (unsigned i = 0; i < n; i++)
            *out++ = pfn_add(first, from + i);
        mask &= mask + bit(from);
    }
    return out;
}

/* Up to n frames of these rows, or none; there are bitmaps. Returns the end of what was written. */
static inline pfn_t *take_rows(struct fchunk *z, uint64_t n, uint64_t rows, pfn_t base, pfn_t *out) REQUIRES(z->lock)
{
    unsigned at;
    uint64_t mask = n >= WORD_FRAMES ? chunk_take_many(&z->c, rows, n / WORD_FRAMES, &at) : 0;

    if (mask == 0) {
        mask = chunk_take_few(&z->c, rows, n, &at);
        return mask == 0 ? out : write_mask(out, pfn_add(base, at << CHUNK_W0), mask);
    }
    for (; mask != 0; mask &= mask - 1)
        out = write_word(out, pfn_add(base, (at << ROW_ORDER) + (bits_first(mask) << CHUNK_W0)));
    return out;
}

/* The same for a window that is not made of rows, and for a chunk that has no bitmaps yet */
static pfn_t *take_window(struct fchunk *z, uint64_t n, const unsigned window[2], pfn_t base, pfn_t *out) REQUIRES(z->lock)
{
    unsigned word;
    uint64_t mask;
    bool     placed;

    do {
        if (!chunk_lowest(&z->c, window[0], window[1], &word, &mask) ||
            !chunk_cut_ready(z, word << CHUNK_W0, 1, &placed))
            return out;
    } while (placed);
    mask = bits_lowest(mask, n);
    chunk_take_singles(&z->c, word, mask);
    return write_mask(out, pfn_add(base, word << CHUNK_W0), mask);
}

/* Up to n single frames of chunk i inside [lo, hi) */
static size_t take_singles(uint64_t i, uint64_t lo, uint64_t hi, size_t n, pfn_t *out)
{
    struct fchunk *z = chunk_get(i);
    unsigned       window[2];
    pfn_t          base = pfn(i << CHUNK_ORDER), *end = out, *before;
    uint64_t       flags = chunk_lock(z);

    chunk_window(i, lo, hi, window);

    uint64_t rows = is_aligned(window[0] | window[1], ROW_FRAMES) ? chunk_rows(window[0], window[1]) : 0;

    do {
        size_t left = n - (size_t)(end - out);

        before = end;
        if (LIKELY(rows != 0 && z->c.maps != NULL))
            end = take_rows(z, left, rows, base, end);
        else
            end = take_window(z, left, window, base, end);
    } while (end != before && end != out + n);
    chunk_settled(z);
    chunk_unlock(z, flags);
    return (size_t)(end - out);
}

err_t frames_alloc(size_t n, pfn_t out[])
{
    size_t got = 0;

    if (UNLIKELY(!fr.started))
        return early_alloc(n, out);
    do {
        for (size_t zone = 0; zone < FRAME_BY_DEFAULT; zone++) {
            uint64_t lo = frame_by_default[zone][0], hi = frame_by_default[zone][1];

            for (uint64_t i = lo >> CHUNK_ORDER; got < n && (i = chunks_next(0, i, hi)) != BITS_NONE; i++)
                got += take_singles(i, lo, hi, n - got, out + got);
            if (got == n)
                return ERR_OK;
        }
    } while (frame_give_back());
    if (frames_free(got, out) != ERR_OK)
        PANIC("frames just taken cannot be given back");
    return ERR_NOMEM;
}

/* ---- giving back -------------------------------------------------------------------------------------- */

/* Is this a word of frames, one after the other? There are so many. */
static inline bool is_word(const pfn_t *in)
{
    uint64_t next = in[0].idx, end = next + WORD_FRAMES, differs = next & (WORD_FRAMES - 1);

    if (in[WORD_FRAMES - 1].idx != end - 1)
        return false;
    for (; next != end; next += STEP, in += STEP)
        for (unsigned k = 0; k < STEP; k++)
            differs |= in[k].idx ^ (next + k);
    return differs == 0;
}

/* Give back whole words from the start of in[0..n), all of one row: how many frames. All in chunk z. */
static inline size_t give_words(struct fchunk *z, size_t n, const pfn_t in[]) REQUIRES(z->lock)
{
    uint64_t words = 0;
    unsigned r = row_of(chunk_at(in[0]));
    size_t   i;

    for (i = 0; n - i >= WORD_FRAMES && in[i].idx >> ROW_ORDER == in[0].idx >> ROW_ORDER; i += WORD_FRAMES) {
        unsigned at = chunk_at(in[i]);

        if (!is_word(in + i) || !chunk_clear_word(&z->c, word_of(at)))
            break;
        words |= bit(word_in_row(at));
    }
    if (words != 0)
        chunk_give_many(&z->c, r, words);
    return i;
}

/* Give back frames from the start of in[0..n), neighbours in one word: how many. All in chunk z. */
static inline size_t give_run(struct fchunk *z, size_t n, const pfn_t in[], err_t *err) REQUIRES(z->lock)
{
    unsigned at = chunk_at(in[0]);
    size_t   most = (size_t)min_u64(n, WORD_FRAMES - bit_of(at)), i = 1;
    uint64_t mask;

    while (i < most && in[i].idx == in[0].idx + i)
        i++;
    mask = bits_below((unsigned)i) << bit_of(at);
    if (LIKELY(chunk_singles(&z->c, word_of(at), mask) == mask)) {
        chunk_give_singles(&z->c, word_of(at), mask);
        return i;
    }
    *err = frame_give_block(z, in[0], 0);
    return *err == ERR_OK ? 1 : 0;
}

err_t frames_free(size_t n, const pfn_t in[])
{
    for (size_t i = 0; i < n;) {
        err_t    err = ERR_OK;
        uint64_t no = chunk_no(in[i]);

        if (no >= fr.n_chunks)
            return frame_refuse(in[i], ERR_OUTSIDE);

        struct fchunk *z = chunk_get(no);
        uint64_t       flags = chunk_lock(z);

        while (i < n && chunk_no(in[i]) == no && err == ERR_OK) {
            size_t given = give_words(z, n - i, in + i);

            i += given != 0 ? given : give_run(z, n - i, in + i, &err);
        }
        chunk_drop(z, flags);
        if (err != ERR_OK)
            return frame_refuse(in[i], err);
    }
    return ERR_OK;
}
