/* SPDX-License-Identifier: MIT */
/*
 * mm/chunk.h - one chunk of frames as three levels of words (internal to the frame manager)
 *
 * A data structure and nothing else: no locks, no addresses, no other chunk. Frames are named by their
 * place in the chunk, 0 .. CHUNK_FRAMES - 1. mm/chunk.c tells how it works.
 *
 * The widths of the levels are parameters of the build, so that the very same source can be run through
 * every state of a small chunk (test/proof/): 6 + 6 + 6 is a gigabyte of 4 KiB frames.
 */
#ifndef MM_CHUNK_H
#define MM_CHUNK_H

#include "mm/attr.h"
#include "mm/bits.h"
#include "mm/err.h"

#ifndef CHUNK_W0
#define CHUNK_W0 6 /* log2 of the frames in a word */
#define CHUNK_W1 6 /* log2 of the words in a row   */
#define CHUNK_W2 6 /* log2 of the rows in a chunk  */
#endif

#define CHUNK_ORDER  (CHUNK_W0 + CHUNK_W1 + CHUNK_W2)
#define CHUNK_FRAMES (1u << CHUNK_ORDER)
#define CHUNK_ROWS   (1u << CHUNK_W2)
#define ROW_WORDS    (1u << CHUNK_W1)
#define WORD_FRAMES  (1u << CHUNK_W0)
#define ROW_ORDER    (CHUNK_W0 + CHUNK_W1)
#define ROW_FRAMES   (1u << ROW_ORDER)

/*
 * The state of up to 64 neighbouring units (frames, words or rows), two bits for each:
 *
 *   free heads
 *    1    0    free as a whole
 *    0    1    the first unit of an allocated block
 *    1    1    held back: reserved, or claimed by a CPU
 *    0    0    a frame: inside the block that starts below it. A word or a row: the same, or it is cut,
 *              and the level below says what is in it. A row that is cut is marked in chunk.cut; a word
 *              is cut if its frames are not as they are when free
 */
struct units {
    uint64_t free, heads;
};

/* units_avail - which of them are free */
static inline uint64_t units_avail(struct units u) { return u.free & ~u.heads; }

#define WORD_FULL bits_below(WORD_FRAMES)
#define ROW_FULL  bits_below(ROW_WORDS)
#define TOP_FULL  bits_below(CHUNK_ROWS)

/* Where a frame is: its row, its word in the chunk and in the row, its bit in the word */
static inline unsigned row_of(unsigned at) { return at >> ROW_ORDER; }
static inline unsigned word_of(unsigned at) { return at >> CHUNK_W0; }
static inline unsigned word_in_row(unsigned at) { return at >> CHUNK_W0 & (ROW_WORDS - 1); }
static inline unsigned bit_of(unsigned at) { return at & (WORD_FRAMES - 1); }

/* A row: its words, and for each order below a word's, which of those that are cut have a free block so large */
struct chunk_row {
    uint64_t     any[CHUNK_W0];
    struct units words;
};

/* What a chunk needs once something smaller than a row was cut out of it */
struct chunk_maps {
    struct chunk_row row[CHUNK_ROWS];
    struct units     word[CHUNK_ROWS * ROW_WORDS];
};

struct chunk {
    uint64_t           any[ROW_ORDER]; /* rows with a free block of this order, frames or words     */
    struct units       rows;
    uint64_t           cut;    /* rows that are not in one piece: the levels below say what is where */
    uint64_t           built;  /* rows whose part of *maps is filled in; the cut ones are among them */
    struct chunk_maps *maps;   /* NULL as long as no row was ever cut                                */
    uint32_t           n_free; /* frames in state free                                               */
    int16_t            order;  /* chunk_order() when the owner asked last: the owner writes it       */
    bool               moved;  /* set when it may have changed since                                 */
};

enum frame_state {
    FRAME_FREE,     /* up for allocation                                     */
    FRAME_BLOCK,    /* the first frame of an allocated block                 */
    FRAME_INSIDE,   /* inside an allocated block                             */
    FRAME_RESERVED, /* held back: not ours to give out                       */
    FRAME_OUTSIDE   /* no memory                                             */
};

/* What a frame belongs to: the block it is (in), its first frame and order */
struct chunk_look {
    enum frame_state state;
    unsigned         first, order;
};

/* chunk_rows_with - the rows that have a free block of 2^order frames, order < ROW_ORDER, or are part of a larger one */
static inline uint64_t chunk_rows_with(const struct chunk *c, unsigned order)
{
    return c->any[order] | c->any[order < CHUNK_W0 ? CHUNK_W0 : order] | units_avail(c->rows);
}

/* chunk_words_with - the same for the words of a row that is cut, order < CHUNK_W0 */
static inline uint64_t chunk_words_with(const struct chunk_row *row, unsigned order)
{
    return row->any[order] | units_avail(row->words);
}

/* chunk_open - all frames free (true) or all held back; no maps needed for that */
void chunk_open(struct chunk *c, bool free);

/* chunk_order - the order of the largest free block, -1 when nothing is free */
int chunk_order(const struct chunk *c);

/* chunk_is_inside - is a word of row `set` (level 1), or a row (2), inside a block that starts below it? */
static inline bool chunk_is_inside(const struct chunk *c, unsigned level, unsigned set, unsigned unit)
{
    if (level == 2)
        return ((c->rows.free | c->rows.heads | c->cut) & bit(unit)) == 0;

    struct units words = c->maps->row[set].words, u = c->maps->word[(set << CHUNK_W1) + unit];

    return ((words.free | words.heads) & bit(unit)) == 0 && u.free == WORD_FULL && u.heads == 0;
}

/*
 * chunk_units_order - unit `at` of a set of 2^log units, at its level, is the first of a block: of which order?
 *
 *   It ends before the next unit that the set itself tells about, and is aligned. Frames are all told
 *   about; words and rows may be cut, and are then told about below. If the unit in the middle
 *   of the largest block that this allows is inside a block, then of this one, since none starts between;
 *   else the same is asked of half of it.
 */
static inline unsigned chunk_units_order(const struct chunk *c, unsigned level, unsigned set, struct units u, unsigned at,
                                         unsigned log)
{
    uint64_t told = (u.free | u.heads) >> at >> 1;
    unsigned room = told != 0 ? bits_first(told) + 1 : (1u << log) - at;
    unsigned align = at | 1u << log, order;

    align &= -align;
    order = log2_down(room < align ? room : align);
    while (level > 0 && order > 0 && !chunk_is_inside(c, level, set, at + (1u << (order - 1))))
        order--;
    return order;
}

/* chunk_words_order - in a cut row, word w is the first of a block of words: the block's order */
static inline unsigned chunk_words_order(const struct chunk *c, unsigned r, unsigned w)
{
    return CHUNK_W0 + chunk_units_order(c, 1, r, c->maps->row[r].words, w, CHUNK_W1);
}

/* chunk_look - what frame `at` belongs to */
struct chunk_look chunk_look(const struct chunk *c, unsigned at);

/*
 * chunk_block - may `at` be freed? *order gets the order of the block that starts there
 *
 *   Errors  ERR_NOT_ALLOC it is free   ERR_INSIDE it is no block's first   ERR_RESERVED it is held back
 */
err_t chunk_block(const struct chunk *c, unsigned at, unsigned *order) MUST_USE;

/* chunk_find - the lowest free block of 2^order frames inside [lo, hi) */
bool chunk_find(const struct chunk *c, unsigned order, unsigned lo, unsigned hi, unsigned *at);

/*
 * chunk_find_run - the lowest n free neighbours inside [lo, hi) whose first is a multiple of `align`
 * and that cross no multiple of `boundary` (both powers of two; n <= boundary)
 */
bool chunk_find_run(const struct chunk *c, unsigned n, unsigned align, unsigned boundary, unsigned lo,
                    unsigned hi, unsigned *at);

/* chunk_run_end - the end of the run of free frames that starts at `at`, at most hi; `at` if it is not free */
unsigned chunk_run_end(const struct chunk *c, unsigned at, unsigned hi);

/*
 * chunk_needs_maps - does an operation on [at, at + n) cut a row for which there are no maps?
 *
 *   If so, c->maps must point to a struct chunk_maps (contents do not matter) before the operation.
 */
bool chunk_needs_maps(const struct chunk *c, unsigned at, unsigned n);

/* A free block becomes allocated; an allocated one becomes free. What is asked for has been checked. */
void chunk_take(struct chunk *c, unsigned at, unsigned order);
void chunk_give(struct chunk *c, unsigned at, unsigned order);

/* chunk_rows - the rows of [lo, hi), both multiples of a row's frames, as a mask */
static inline uint64_t chunk_rows(unsigned lo, unsigned hi) { return bits_below(row_of(hi)) & ~bits_below(row_of(lo)); }

/*
 * chunk_take_lowest - find and take in one: the lowest block of 2^order frames, order < ROW_ORDER, in these
 * rows; there are maps. False, and nothing done, if there is none
 */
bool chunk_take_lowest(struct chunk *c, unsigned order, uint64_t rows, unsigned *at);

/* chunk_raise - frames of a word became free: 2^order of them, a run that the summaries do not know of yet */
void chunk_raise(struct chunk *c, unsigned at, unsigned order);

/* chunk_shown - frames of the word of `at` became free: keep everything above true */
static inline void chunk_shown(struct chunk *c, unsigned at, struct units u)
{
    unsigned order = (unsigned)bits_order(units_avail(u));

    if (UNLIKELY(order == CHUNK_W0 || (c->maps->row[row_of(at)].any[order] & bit(word_in_row(at))) == 0))
        chunk_raise(c, at, order);
}

/*
 * chunk_give_frame - give back `at` if it is a block of one frame; false, and nothing done, if it is not
 *
 *   The path that matters most: one frame, in any order. Three cache lines, no loop.
 */
static inline bool chunk_give_frame(struct chunk *c, unsigned at)
{
    uint64_t me = bit(bit_of(at));

    if (UNLIKELY((c->cut & bit(row_of(at))) == 0))
        return false;

    struct units *word = &c->maps->word[word_of(at)], u = *word;
    uint64_t      inside = WORD_FULL & ~(u.free | u.heads);

    if (UNLIKELY((u.heads & ~u.free & ~(inside >> 1) & me) == 0))
        return false;
    u.free |= me;
    u.heads ^= me;
    *word = u;
    c->n_free++;
    chunk_shown(c, at, u);
    return true;
}

#define CHUNK_ANY_ORDER (CHUNK_ORDER + 1)

/*
 * chunk_give_small - give back the block at `at` if it has this order (or any), smaller than a row; false, and
 * nothing done, if there is no such block
 */
bool chunk_give_small(struct chunk *c, unsigned at, unsigned order);

/* [at, at + n), all free, becomes neighbouring blocks, as few as possible */
void chunk_take_run(struct chunk *c, unsigned at, unsigned n);

/* chunk_check_run - is [at, at + n) made of whole allocated blocks? The error says what is first in the way */
err_t chunk_check_run(const struct chunk *c, unsigned at, unsigned n) MUST_USE;

/* [at, at + n) was checked so: free it */
void chunk_give_run(struct chunk *c, unsigned at, unsigned n);

/* [at, at + n), all free, is held back; [at, at + n), all held back, becomes free */
void chunk_reserve(struct chunk *c, unsigned at, unsigned n);
void chunk_release(struct chunk *c, unsigned at, unsigned n);

/* chunk_is_reserved - is every frame of [at, at + n) held back? */
bool chunk_is_reserved(const struct chunk *c, unsigned at, unsigned n);

/*
 * chunk_lowest - the lowest word with a free frame inside [lo, hi), and a mask of those of its frames
 * that are free and inside
 */
bool chunk_lowest(const struct chunk *c, unsigned lo, unsigned hi, unsigned *word, uint64_t *mask);

/* The frames `mask` of a word, all free: taken as blocks of one frame; or held back for a CPU to hand out */
void chunk_take_singles(struct chunk *c, unsigned word, uint64_t mask);
void chunk_claim(struct chunk *c, unsigned word, uint64_t mask);

/* chunk_unclaim - of the claimed frames of a word, `out` are blocks of one frame now, `back` are free */
void chunk_unclaim(struct chunk *c, unsigned word, uint64_t out, uint64_t back);

/* chunk_singles - those frames of `mask` that are allocated blocks of one frame */
uint64_t chunk_singles(const struct chunk *c, unsigned word, uint64_t mask);

/* chunk_give_singles - the frames `mask` of a word, all blocks of one frame, become free */
void chunk_give_singles(struct chunk *c, unsigned word, uint64_t mask);

/*
 * chunk_take_few, chunk_take_many - the lowest free frames of these rows, taken as blocks of one frame; there are maps
 *
 *   few    up to n of one word; returns which of word *at, 0 if there are none
 *   many   up to n whole words of one row, if the lowest free frame lies in such; returns which of row *at, or 0
 */
uint64_t chunk_take_few(struct chunk *c, uint64_t rows, uint64_t n, unsigned *at);
uint64_t chunk_take_many(struct chunk *c, uint64_t rows, uint64_t n, unsigned *at);

/*
 * chunk_clear_word - if all frames of a word are blocks of one frame, they are none any more, and
 * chunk_give_many() must follow, for all such words of the row at once; false, and nothing done, if not
 */
static inline bool chunk_clear_word(struct chunk *c, unsigned word)
{
    if (UNLIKELY((c->cut & bit(word >> CHUNK_W1)) == 0))
        return false;

    struct units *u = &c->maps->word[word];

    if (u->free != 0 || u->heads != WORD_FULL)
        return false;
    *u = (struct units){ WORD_FULL, 0 };
    return true;
}
void chunk_give_many(struct chunk *c, unsigned r, uint64_t words);

/*
 * chunk_count - what [lo, hi), both multiples of a word's frames, holds
 *
 *   blocks[order] grows by the free blocks of exactly that order (one that reaches beyond the window
 *   counts as the blocks its part inside is made of); returns the frames held back
 */
uint64_t chunk_count(const struct chunk *c, unsigned lo, unsigned hi, uint64_t blocks[]);

/* chunk_check - walk everything; NULL, or what is wrong */
const char *chunk_check(const struct chunk *c);

#endif
