/* SPDX-License-Identifier: MIT */
/*
 * mm/chunk.c - one chunk of frames: a buddy system in three levels of 64-bit words
 *
 * Promise     finds the lowest free block of any order in one count-trailing-zeros per level and one
 *             run search in a word; takes and gives back a block by touching its own level and those
 *             above; knows every block's order from its address and so every wrong free; never reads
 *             or writes the frames themselves.
 *
 * Picture     a gigabyte is 64 * 64 * 64 frames
 *
 *               rows    1 word       a bit is a row of 64 words    orders 12 .. 18 are runs in it
 *               words   64 words     a bit is a word of 64 frames  orders  6 .. 11 are runs in one
 *               frames  4096 words   a bit is a frame              orders  0 ..  5 are runs in one
 *
 *             Two buddies that are free are two neighbouring set bits. Splitting and merging is
 *             therefore no work at all: clearing or setting a bit has done it.
 *
 *             Each set of 64 units has a second word, `heads`; the two bits of a unit are its state
 *             (mm/chunk.h has the table). A block's length is told by where the next unit is that is
 *             not "inside", so the order of a block needs no room.
 *
 *             Searching goes by summaries. A row knows for each order below 6 which of its words have
 *             a free block of that order (row.any[order]); the chunk knows for each order below 12
 *             which rows have one (any[order]). Each speaks of what is cut only: what is in one piece
 *             stands in the bits of its own level, so that a block of whole words changes nothing that is
 *             said of frames. A row's summaries and states are one cache line.
 *
 *               find(order 2):  any[2], any[6], free rows --lowest row--> row.any[2], free words
 *                               --lowest word--> runs of 4 in it
 *
 * Laziness    Below a unit that is free, allocated or held back as a whole nothing is ever looked at;
 *             a row's line and words are filled in when the row is first cut (`built`), and a chunk of
 *             which no row was ever cut needs no maps (blocks of whole rows need none).
 *
 * Invariants  I1  a unit that is not (0,0) has the level below "as when free": every free bit set, no
 *                 head (if built at all)
 *             I2  row.any[j] has bit w exactly if word w is cut and has an aligned run of 2^j free frames.
 *                 any[k] has bit r exactly if row r is cut and has an aligned run of 2^(k - 6) free words
 *                 (k >= 6), or a bit set in row.any[k] (k < 6)
 *             I3  all frames of a word free <=> the word is free in its row; likewise rows
 *             I4  n_free counts the free frames
 * Locks       none here: the owner's
 * Failure     nothing here fails; what is asked for was found or checked before (decide, then do)
 * Sources     Knuth, TAOCP 1, 2.5 (buddy system); Wilson et al. 1995 (address-ordered first fit keeps
 *             large blocks whole)
 */
#include "mm/chunk.h"

#include "mm/types.h"

/* ---- summaries: down when something was taken, up when it came back --------------------------- */

static inline void top_lower(struct chunk *c, unsigned order, unsigned r)
{
    c->any[order] &= ~bit(r);
    if (c->any[order] == 0 && (int)order == c->order)
        c->moved = true;
}

static inline void top_raise(struct chunk *c, unsigned order, unsigned r)
{
    c->any[order] |= bit(r);
    if ((int)order > c->order)
        c->moved = true;
}

/* The longest run of free words in row r is 2^order now, or shorter than before; -1: there is none */
static inline void row_lower(struct chunk *c, unsigned r, int order)
{
    for (unsigned k = (unsigned)(CHUNK_W0 + order + 1); k < ROW_ORDER && (c->any[k] & bit(r)) != 0; k++)
        top_lower(c, k, r);
}

/* Row r has a run of 2^order free words that it did not have before */
static inline void row_raise(struct chunk *c, unsigned r, unsigned order)
{
    for (unsigned k = CHUNK_W0 + order + 1; k-- > CHUNK_W0 && (c->any[k] & bit(r)) == 0;)
        top_raise(c, k, r);
}

/* The same for the frames of word w of row r, which is cut */
static inline void word_lower(struct chunk *c, unsigned r, unsigned w, int order)
{
    struct chunk_row *row = &c->maps->row[r];

    for (unsigned j = (unsigned)(order + 1); j < CHUNK_W0 && (row->any[j] & bit(w)) != 0; j++) {
        row->any[j] &= ~bit(w);
        if (row->any[j] == 0)
            top_lower(c, j, r);
    }
}

static inline void word_raise(struct chunk *c, unsigned r, unsigned w, int order)
{
    struct chunk_row *row = &c->maps->row[r];

    for (int j = order; j >= 0 && (row->any[j] & bit(w)) == 0; j--) {
        if (row->any[j] == 0)
            top_raise(c, (unsigned)j, r);
        row->any[j] |= bit(w);
    }
}

/* Row r, cut until now, is free as a whole */
static void row_whole(struct chunk *c, unsigned r)
{
    row_lower(c, r, -1);
    c->rows.free |= bit(r);
    c->cut &= ~bit(r);
    c->moved = true;
}

/* Words of row r became free, neighbours of one another, w among them */
static inline void words_freed(struct chunk *c, unsigned r, unsigned w)
{
    unsigned order = bits_merged(units_avail(c->maps->row[r].words), w);

    if (UNLIKELY(order == CHUNK_W1))
        row_whole(c, r);
    else
        row_raise(c, r, order);
}

void chunk_raise(struct chunk *c, unsigned at, unsigned order)
{
    unsigned r = row_of(at), w = word_in_row(at);

    if (order < CHUNK_W0) {
        word_raise(c, r, w, (int)order);
        return;
    }
    word_lower(c, r, w, -1);
    c->maps->row[r].words.free |= bit(w);
    words_freed(c, r, w);
}

/* ---- opening: what was in one piece is now told by the level below ------------------------------ */

static void row_build(struct chunk *c, unsigned r)
{
    struct chunk_row *row = &c->maps->row[r];
    struct units     *word = &c->maps->word[r << CHUNK_W1];

    for (unsigned j = 0; j < CHUNK_W0; j++)
        row->any[j] = 0;
    row->words = (struct units){ ROW_FULL, 0 };
    for (unsigned w = 0; w < ROW_WORDS; w++)
        word[w] = (struct units){ WORD_FULL, 0 };
    c->built |= bit(r);
}

static NOINLINE void row_cut(struct chunk *c, unsigned r)
{
    if ((c->built & bit(r)) == 0)
        row_build(c, r);
    if ((c->rows.heads & bit(r)) != 0)
        c->maps->row[r].words.heads = ROW_FULL;
    else
        row_raise(c, r, CHUNK_W1 - 1);
    c->rows.heads &= ~bit(r);
    c->rows.free &= ~bit(r);
    c->cut |= bit(r);
    c->moved = true;
}

/* Row r is going to be cut, if it is not */
static inline void row_open(struct chunk *c, unsigned r)
{
    if (UNLIKELY((c->rows.free & bit(r)) != 0))
        row_cut(c, r);
}

/* Word w of row r is going to be cut, if it is not; the summaries know nothing of its frames yet */
static inline struct units *word_open(struct chunk *c, unsigned r, unsigned w)
{
    struct chunk_row *row = &c->maps->row[r];
    struct units     *u = &c->maps->word[(r << CHUNK_W1) + w];

    row_open(c, r);
    if ((row->words.free & bit(w)) != 0) {
        if ((row->words.heads & bit(w)) != 0)
            u->heads = WORD_FULL;
        row->words.free &= ~bit(w);
        row->words.heads &= ~bit(w);
        row_lower(c, r, bits_order(units_avail(row->words)));
    }
    return u;
}

/* ---- hiding and showing: units of one level leave or join what is free ---------------------------- */

/* The units are marked already; this keeps everything above them true */
static inline void hide_frames(struct chunk *c, unsigned r, unsigned w, const struct units *u, unsigned n)
{
    int order = bits_order(units_avail(*u));

    c->n_free -= n;
    word_lower(c, r, w, order);
    word_raise(c, r, w, order); /* if the word was opened just now */
}

static inline void hide_words(struct chunk *c, unsigned r, unsigned n)
{
    c->n_free -= n << CHUNK_W0;
    row_lower(c, r, bits_order(units_avail(c->maps->row[r].words)));
}

/* `at` is the first of the words */
static inline void show_words(struct chunk *c, unsigned at, unsigned n)
{
    c->n_free += n << CHUNK_W0;
    words_freed(c, row_of(at), word_in_row(at));
}

static void hide_rows(struct chunk *c, unsigned n)
{
    c->n_free -= n << ROW_ORDER;
    c->moved = true;
}

static void show_rows(struct chunk *c, unsigned n)
{
    c->n_free += n << ROW_ORDER;
    c->moved = true;
}

/* ---- life ------------------------------------------------------------------------------------------ */

void chunk_open(struct chunk *c, bool free)
{
    for (unsigned k = 0; k < ROW_ORDER; k++)
        c->any[k] = 0;
    c->rows = (struct units){ TOP_FULL, free ? 0 : TOP_FULL };
    c->cut = c->built = 0;
    c->maps = NULL;
    c->n_free = free ? CHUNK_FRAMES : 0;
    c->order = -1;
    c->moved = true;
}

int chunk_order(const struct chunk *c)
{
    int order = bits_order(units_avail(c->rows));

    if (order >= 0)
        return ROW_ORDER + order;
    for (order = ROW_ORDER - 1; order >= 0 && c->any[order] == 0;)
        order--;
    return order;
}

bool chunk_needs_maps(const struct chunk *c, unsigned at, unsigned n)
{
    return c->maps == NULL && !(is_aligned(at, ROW_FRAMES) && is_aligned(n, ROW_FRAMES));
}

/* ---- blocks ------------------------------------------------------------------------------------------ */

/* 2^order frames from bit b of word w of row r on; the word was opened */
static inline void take_frames(struct chunk *c, unsigned r, unsigned w, struct units *u, unsigned b, unsigned order)
{
    u->free &= ~bits_run(b, order);
    u->heads |= bit(b);
    hide_frames(c, r, w, u, 1u << order);
}

/* 2^(order - CHUNK_W0) words from word w of row r on; the row was opened */
static inline void take_words(struct chunk *c, unsigned r, unsigned w, unsigned order)
{
    struct units *words = &c->maps->row[r].words;

    words->free &= ~bits_run(w, order - CHUNK_W0);
    words->heads |= bit(w);
    c->n_free -= 1u << order;
}

void chunk_take(struct chunk *c, unsigned at, unsigned order)
{
    unsigned r = row_of(at), w = word_in_row(at);

    if (order >= ROW_ORDER) {
        c->rows.free &= ~bits_run(r, order - ROW_ORDER);
        c->rows.heads |= bit(r);
        hide_rows(c, 1u << (order - ROW_ORDER));
    } else if (order >= CHUNK_W0) {
        row_open(c, r);
        take_words(c, r, w, order);
        row_lower(c, r, bits_order(units_avail(c->maps->row[r].words)));
    } else {
        take_frames(c, r, w, word_open(c, r, w), bit_of(at), order);
    }
}

/*
 * The lowest of `runs`, the runs of 2^j free words in row r, is taken. As long as others are left, only longer
 * runs can have gone with it: those that two of what is left still make are there.
 */
static inline void row_took(struct chunk *c, unsigned r, uint64_t runs, unsigned j)
{
    uint64_t left = runs & (runs - 1);

    if (left == 0) {
        row_lower(c, r, bits_order(units_avail(c->maps->row[r].words)));
        return;
    }
    while (++j < CHUNK_W1 && (c->any[CHUNK_W0 + j] & bit(r)) != 0) {
        left &= left >> (1u << (j - 1)) & bits_starts(j);
        if (left == 0)
            row_lower(c, r, (int)j - 1);
    }
}

bool chunk_take_lowest(struct chunk *c, unsigned order, uint64_t rows, unsigned *at)
{
    unsigned r, w, b;

    rows &= chunk_rows_with(c, order);
    if (UNLIKELY(rows == 0))
        return false;
    r = bits_first(rows);
    row_open(c, r);
    if (order >= CHUNK_W0) {
        uint64_t runs = bits_runs(units_avail(c->maps->row[r].words), order - CHUNK_W0);

        w = bits_first(runs);
        take_words(c, r, w, order);
        row_took(c, r, runs, order - CHUNK_W0);
        *at = (r << ROW_ORDER) + (w << CHUNK_W0);
    } else {
        w = bits_first(chunk_words_with(&c->maps->row[r], order));

        struct units *u = word_open(c, r, w);

        b = bits_first(bits_runs(units_avail(*u), order));
        take_frames(c, r, w, u, b, order);
        *at = (r << ROW_ORDER) + (w << CHUNK_W0) + b;
    }
    return true;
}

void chunk_give(struct chunk *c, unsigned at, unsigned order)
{
    unsigned r = row_of(at);

    if (order < ROW_ORDER) {
        (void)chunk_give_small(c, at, order); /* checked: it is there */
        return;
    }
    c->rows.free |= bits_run(r, order - ROW_ORDER);
    c->rows.heads &= ~bit(r);
    show_rows(c, 1u << (order - ROW_ORDER));
}

/* The block of words at `at`, in a row that is cut, if it has this order or any */
static inline bool give_words(struct chunk *c, unsigned at, unsigned order)
{
    unsigned      r = row_of(at), w = word_in_row(at), real;
    struct units *words = &c->maps->row[r].words;

    if (bit_of(at) != 0 || (words->heads & ~words->free & bit(w)) == 0)
        return false;
    real = chunk_words_order(c, r, w);
    if (order != CHUNK_ANY_ORDER && order != real)
        return false;
    words->free |= bits_run(w, real - CHUNK_W0);
    words->heads ^= bit(w);
    show_words(c, at, 1u << (real - CHUNK_W0));
    return true;
}

bool chunk_give_small(struct chunk *c, unsigned at, unsigned order)
{
    if (UNLIKELY((c->cut & bit(row_of(at))) == 0))
        return false;

    struct units *u = &c->maps->word[word_of(at)];
    uint64_t      inside;
    unsigned      b = bit_of(at), n;

    if ((order >= CHUNK_W0 && order != CHUNK_ANY_ORDER) || (u->heads & ~u->free & bit(b)) == 0)
        return order >= CHUNK_W0 && give_words(c, at, order);
    inside = WORD_FULL & ~(u->free | u->heads);
    n = bits_first(~(inside >> b >> 1)) + 1; /* itself and what follows in the block */
    if (UNLIKELY(order != CHUNK_ANY_ORDER && n != 1u << order))
        return false;
    u->free |= bits_below(n) << b;
    u->heads ^= bit(b);
    c->n_free += n;
    chunk_shown(c, at, *u);
    return true;
}

/* The order of the largest block that starts at `at` and ends by `end` */
static unsigned largest(unsigned at, unsigned end)
{
    unsigned order = log2_down(end - at);

    return at == 0 ? order : (unsigned)min_u64(order, bits_first(at));
}

void chunk_take_run(struct chunk *c, unsigned at, unsigned n)
{
    for (unsigned end = at + n, order; at < end; at += 1u << order) {
        order = largest(at, end);
        chunk_take(c, at, order);
    }
}

err_t chunk_check_run(const struct chunk *c, unsigned at, unsigned n)
{
    unsigned order;

    for (unsigned end = at + n; at < end; at += 1u << order) {
        err_t err = chunk_block(c, at, &order);

        if (err != ERR_OK)
            return err;
        if (end - at < 1u << order)
            return ERR_ORDER;
    }
    return ERR_OK;
}

void chunk_give_run(struct chunk *c, unsigned at, unsigned n)
{
    for (unsigned end = at + n, order; at < end; at += 1u << order) {
        if (chunk_block(c, at, &order) != ERR_OK)
            return; /* cannot be: checked */
        chunk_give(c, at, order);
    }
}

/* ---- holding back: a range of any shape, as whole rows, whole words and parts of words ---------------- */

void chunk_reserve(struct chunk *c, unsigned at, unsigned n)
{
    for (unsigned end = at + n, step; at < end; at += step) {
        unsigned r = row_of(at), w = word_in_row(at);

        if (is_aligned(at, ROW_FRAMES) && end - at >= ROW_FRAMES && (c->rows.free & bit(r)) != 0) {
            step = ROW_FRAMES;
            c->rows.heads |= bit(r);
            hide_rows(c, 1);
            continue;
        }
        row_open(c, r);
        if (is_aligned(at, WORD_FRAMES) && end - at >= WORD_FRAMES &&
            (c->maps->row[r].words.free & bit(w)) != 0) {
            step = WORD_FRAMES;
            c->maps->row[r].words.heads |= bit(w);
            hide_words(c, r, 1);
            continue;
        }
        step = (unsigned)min_u64(end - at, WORD_FRAMES - bit_of(at));
        chunk_claim(c, word_of(at), bits_below(step) << bit_of(at));
    }
}

void chunk_release(struct chunk *c, unsigned at, unsigned n)
{
    for (unsigned end = at + n, step; at < end; at += step) {
        unsigned r = row_of(at), w = word_in_row(at);

        if (is_aligned(at, ROW_FRAMES) && end - at >= ROW_FRAMES && (c->rows.free & bit(r)) != 0) {
            step = ROW_FRAMES;
            c->rows.heads &= ~bit(r);
            show_rows(c, 1);
            continue;
        }
        row_open(c, r);
        if (is_aligned(at, WORD_FRAMES) && end - at >= WORD_FRAMES &&
            (c->maps->row[r].words.free & bit(w)) != 0) {
            step = WORD_FRAMES;
            c->maps->row[r].words.heads &= ~bit(w);
            show_words(c, at, 1);
            continue;
        }
        step = (unsigned)min_u64(end - at, WORD_FRAMES - bit_of(at));
        word_open(c, r, w);
        chunk_unclaim(c, word_of(at), 0, bits_below(step) << bit_of(at));
    }
}

bool chunk_is_reserved(const struct chunk *c, unsigned at, unsigned n)
{
    for (unsigned end = at + n; at < end;) {
        struct chunk_look look = chunk_look(c, at);

        if (look.state != FRAME_RESERVED)
            return false;
        at = look.first + (1u << look.order);
    }
    return true;
}

/* ---- single frames by the word -------------------------------------------------------------------------- */

void chunk_take_singles(struct chunk *c, unsigned word, uint64_t mask)
{
    unsigned      r = word >> CHUNK_W1, w = word & (ROW_WORDS - 1);
    struct units *u = word_open(c, r, w);

    u->free &= ~mask;
    u->heads |= mask;
    hide_frames(c, r, w, u, bits_count(mask));
}

void chunk_claim(struct chunk *c, unsigned word, uint64_t mask)
{
    unsigned      r = word >> CHUNK_W1, w = word & (ROW_WORDS - 1);
    struct units *u = word_open(c, r, w);

    u->heads |= mask;
    hide_frames(c, r, w, u, bits_count(mask));
}

void chunk_unclaim(struct chunk *c, unsigned word, uint64_t out, uint64_t back)
{
    struct units *u = &c->maps->word[word];

    u->free &= ~out;
    u->heads &= ~back;
    c->n_free += bits_count(back);
    if (back != 0)
        chunk_shown(c, word << CHUNK_W0, *u);
}

uint64_t chunk_singles(const struct chunk *c, unsigned word, uint64_t mask)
{
    if ((c->cut & bit(word >> CHUNK_W1)) == 0)
        return 0;
    struct units u = c->maps->word[word];
    uint64_t     inside = WORD_FULL & ~(u.free | u.heads);

    return mask & u.heads & ~u.free & ~(inside >> 1);
}

void chunk_give_singles(struct chunk *c, unsigned word, uint64_t mask)
{
    struct units *u = &c->maps->word[word];

    u->free |= mask;
    u->heads &= ~mask;
    c->n_free += bits_count(mask);
    chunk_shown(c, word << CHUNK_W0, *u);
}

uint64_t chunk_take_few(struct chunk *c, uint64_t rows, uint64_t n, unsigned *at)
{
    rows &= chunk_rows_with(c, 0);
    if (rows == 0)
        return 0;

    unsigned r = bits_first(rows), w;

    row_open(c, r);
    w = bits_first(chunk_words_with(&c->maps->row[r], 0));

    struct units *u = word_open(c, r, w);
    uint64_t      mask = bits_lowest(units_avail(*u), n);

    u->free &= ~mask;
    u->heads |= mask;
    hide_frames(c, r, w, u, bits_count(mask));
    *at = (r << CHUNK_W1) + w;
    return mask;
}

uint64_t chunk_take_many(struct chunk *c, uint64_t rows, uint64_t n, unsigned *at)
{
    rows &= chunk_rows_with(c, 0);
    if (rows == 0)
        return 0;

    unsigned r = bits_first(rows);

    row_open(c, r);

    struct chunk_row *row = &c->maps->row[r];
    uint64_t          below = row->any[0] != 0 ? bit(bits_first(row->any[0])) - 1 : ROW_FULL;
    uint64_t          words = bits_lowest(units_avail(row->words) & below, n);

    for (uint64_t x = words; x != 0; x &= x - 1)
        c->maps->word[(r << CHUNK_W1) + bits_first(x)] = (struct units){ 0, WORD_FULL };
    row->words.free &= ~words;
    hide_words(c, r, bits_count(words));
    *at = r;
    return words;
}

void chunk_give_many(struct chunk *c, unsigned r, uint64_t words)
{
    struct chunk_row *row = &c->maps->row[r];

    row->words.free |= words;
    c->n_free += bits_count(words) << CHUNK_W0;
    if (units_avail(row->words) == ROW_FULL)
        row_whole(c, r);
    else
        row_raise(c, r, (unsigned)bits_order(units_avail(row->words)));
}
