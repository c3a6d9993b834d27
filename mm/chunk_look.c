/* SPDX-License-Identifier: MIT */
/*
 * mm/chunk_look.c - looking into a chunk: what is where, and where is room
 *
 * Nothing here changes anything. mm/chunk.c explains the structure.
 *
 * Windows     Searches take a window [lo, hi) for limits on addresses. At each level only the first and
 *             the last candidate can be spoilt by it, so a search looks at no more than three words of
 *             a level.
 *
 * Runs        n free neighbours, n any number, always contain an aligned block of 2^j frames with
 *             j = log2_down(n + 1) - 1. So the search goes from one such block to the next, and widens
 *             each to the free run it lies in.
 */
#include "mm/chunk.h"
#include "mm/types.h"

/* ---- what is where ----------------------------------------------------------------------------- */

/* The answer for unit `at` of a set whose first frame is `base`, a unit being 2^shift frames */
static struct chunk_look look_unit(const struct chunk *c, unsigned level, unsigned set, struct units u,
                                   unsigned at, unsigned log, unsigned base, unsigned shift)
{
    struct chunk_look look = { .order = shift };

    if ((u.free & u.heads & bit(at)) != 0) {
        look.state = FRAME_RESERVED;
    } else if ((u.free & bit(at)) != 0) {
        look.state = FRAME_FREE;
        look.order += bits_merged(units_avail(u), at);
        at &= ~((1u << (look.order - shift)) - 1);
    } else {
        look.state = (u.heads & bit(at)) != 0 ? FRAME_BLOCK : FRAME_INSIDE;
        at = bits_last(u.heads & ~u.free & bits_below(at + 1));
        look.order += chunk_units_order(c, level, set, u, at, log);
    }
    look.first = base + (at << shift);
    return look;
}

struct chunk_look chunk_look(const struct chunk *c, unsigned at)
{
    unsigned          r = row_of(at), w = word_in_row(at);
    struct chunk_look look;

    if ((c->cut & bit(r)) == 0)
        look = look_unit(c, 2, 0, c->rows, r, CHUNK_W2, 0, ROW_ORDER);
    else if (((c->maps->row[r].words.free | c->maps->row[r].words.heads) & bit(w)) != 0 || chunk_is_inside(c, 1, r, w))
        look = look_unit(c, 1, r, c->maps->row[r].words, w, CHUNK_W1, r << ROW_ORDER, CHUNK_W0);
    else
        look = look_unit(c, 0, word_of(at), c->maps->word[word_of(at)], bit_of(at), CHUNK_W0,
                         at & ~(WORD_FRAMES - 1), 0);
    if (look.state == FRAME_BLOCK && at != look.first)
        look.state = FRAME_INSIDE;
    return look;
}

err_t chunk_block(const struct chunk *c, unsigned at, unsigned *order)
{
    if (LIKELY((c->cut & bit(row_of(at))) != 0)) {
        struct units u = c->maps->word[word_of(at)];
        unsigned     b = bit_of(at);

        if (LIKELY((u.heads & ~u.free & bit(b)) != 0)) {
            *order = chunk_units_order(c, 0, word_of(at), u, b, CHUNK_W0);
            return ERR_OK;
        }
    }
    struct chunk_look look = chunk_look(c, at);

    switch (look.state) {
    case FRAME_BLOCK:
        *order = look.order;
        return ERR_OK;
    case FRAME_FREE:
        return ERR_NOT_ALLOC;
    case FRAME_INSIDE:
        return ERR_INSIDE;
    default:
        return ERR_RESERVED;
    }
}

/* ---- where is room ---------------------------------------------------------------------------------- */

/* Units of 2^shift frames from frame `base` on: those that start inside [lo, last] */
static inline uint64_t starting(unsigned base, unsigned shift, unsigned lo, unsigned last)
{
    uint64_t mask = ~(uint64_t)0;

    if (UNLIKELY(lo > base)) {
        uint64_t skip = (lo - base + ((uint64_t)1 << shift) - 1) >> shift;

        mask = skip < BITS_WORD ? mask << skip : 0;
    }
    if (UNLIKELY(last < base))
        return 0;
    return mask & bits_below((unsigned)min_u64((last - base) >> shift, BITS_WORD - 1) + 1);
}

/* Units of 2^shift frames from frame `base` on: those in which something could start inside [lo, last] */
static inline uint64_t holding(unsigned base, unsigned shift, unsigned lo, unsigned last)
{
    return starting(base, shift, lo > base ? base + ((lo - base) >> shift << shift) : base, last);
}

static inline bool find_in_word(const struct chunk *c, unsigned word, unsigned order, unsigned lo, unsigned last,
                                unsigned *at)
{
    unsigned base = word << CHUNK_W0;
    uint64_t x = bits_runs(units_avail(c->maps->word[word]), order) & starting(base, 0, lo, last);

    if (x == 0)
        return false;
    *at = base + bits_first(x);
    return true;
}

static inline bool find_in_row(const struct chunk *c, unsigned r, unsigned order, unsigned lo, unsigned last,
                               unsigned *at)
{
    unsigned base = r << ROW_ORDER;

    if ((c->cut & bit(r)) == 0) {
        *at = (unsigned)align_up(max_u64(lo, base), (uint64_t)1 << order);
        return *at <= last && row_of(*at) == r;
    }

    const struct chunk_row *row = &c->maps->row[r];

    if (order >= CHUNK_W0) {
        uint64_t x = bits_runs(units_avail(row->words), order - CHUNK_W0) & starting(base, CHUNK_W0, lo, last);

        *at = x == 0 ? 0 : base + (bits_first(x) << CHUNK_W0);
        return x != 0;
    }
    for (uint64_t x = chunk_words_with(row, order) & holding(base, CHUNK_W0, lo, last); x != 0; x &= x - 1)
        if (find_in_word(c, (r << CHUNK_W1) + bits_first(x), order, lo, last, at))
            return true;
    return false;
}

/* chunk_find for a window of whole rows: what the summaries name lies inside it */
static inline bool find_in_rows(const struct chunk *c, unsigned order, uint64_t window, unsigned *at)
{
    uint64_t x = (order < ROW_ORDER ? chunk_rows_with(c, order) : units_avail(c->rows)) & window;
    unsigned r, w;

    if (x == 0)
        return false;
    r = bits_first(x);
    *at = r << ROW_ORDER;
    if ((c->cut & bit(r)) == 0)
        return true;

    const struct chunk_row *row = &c->maps->row[r];

    if (order >= CHUNK_W0) {
        *at += bits_first(bits_runs(units_avail(row->words), order - CHUNK_W0)) << CHUNK_W0;
        return true;
    }
    w = bits_first(chunk_words_with(row, order));
    *at += w << CHUNK_W0;
    *at += bits_first(bits_runs(units_avail(c->maps->word[word_of(*at)]), order));
    return true;
}

bool chunk_find(const struct chunk *c, unsigned order, unsigned lo, unsigned hi, unsigned *at)
{
    if (UNLIKELY(hi < lo || hi - lo < 1u << order))
        return false;
    if (LIKELY(is_aligned(lo | hi, ROW_FRAMES)) && order <= ROW_ORDER)
        return find_in_rows(c, order, chunk_rows(lo, hi), at);

    unsigned last = hi - (1u << order);

    if (order >= ROW_ORDER) {
        uint64_t x = bits_runs(units_avail(c->rows), order - ROW_ORDER) & starting(0, ROW_ORDER, lo, last);

        *at = x == 0 ? *at : bits_first(x) << ROW_ORDER;
        return x != 0;
    }
    for (uint64_t x = chunk_rows_with(c, order) & holding(0, ROW_ORDER, lo, last); x != 0; x &= x - 1)
        if (find_in_row(c, bits_first(x), order, lo, last, at))
            return true;
    return false;
}

/* The free unit that holds `at`: its size is 2^result frames; -1 if the frame is not free */
static int free_unit(const struct chunk *c, unsigned at)
{
    unsigned r = row_of(at);

    if ((units_avail(c->rows) & bit(r)) != 0)
        return ROW_ORDER;
    if ((c->cut & bit(r)) == 0)
        return -1;
    if ((units_avail(c->maps->row[r].words) & bit(word_in_row(at))) != 0)
        return CHUNK_W0;
    /* a word that is taken or held back as a whole has every free bit set: ask the summary */
    if ((c->maps->row[r].any[0] & bit(word_in_row(at))) == 0)
        return -1;
    return (units_avail(c->maps->word[word_of(at)]) & bit(bit_of(at))) != 0 ? 0 : -1;
}

unsigned chunk_run_end(const struct chunk *c, unsigned at, unsigned hi)
{
    while (at < hi) {
        int shift = free_unit(c, at);

        if (shift < 0)
            break;
        if (shift == 0) {
            uint64_t rest = ~(units_avail(c->maps->word[word_of(at)]) >> bit_of(at));

            at += (unsigned)min_u64(bits_first(rest), WORD_FRAMES - bit_of(at));
            if (bit_of(at) != 0)
                break;
        } else {
            at = (unsigned)align_down(at, (uint64_t)1 << shift) + (1u << shift);
        }
    }
    return (unsigned)min_u64(at, hi);
}

/* The start of the run of free frames that holds `at`, which is free; at least lo */
static unsigned run_start(const struct chunk *c, unsigned at, unsigned lo)
{
    while (at > lo) {
        int shift = free_unit(c, at - 1);

        if (shift < 0)
            break;
        at = shift == 0 ? at - 1 : (unsigned)align_down(at - 1, (uint64_t)1 << shift);
    }
    return (unsigned)max_u64(at, lo);
}

/* The first place at or above `at` for n frames, as far as alignment and boundary are concerned */
static unsigned fit(unsigned at, unsigned n, unsigned align, unsigned boundary)
{
    uint64_t first = align_up(at, align);

    if (align_down(first, boundary) != align_down(first + n - 1, boundary))
        first = align_up(align_up(first, boundary), align);
    return (unsigned)min_u64(first, CHUNK_FRAMES);
}

bool chunk_find_run(const struct chunk *c, unsigned n, unsigned align, unsigned boundary, unsigned lo,
                    unsigned hi, unsigned *at)
{
    unsigned order = log2_down((uint64_t)n + 1) - 1, seed;

    while (chunk_find(c, order, lo, hi, &seed)) {
        unsigned first = fit(run_start(c, seed, lo), n, align, boundary);
        unsigned end = chunk_run_end(c, seed, hi);

        if (first <= end && end - first >= n) {
            *at = first;
            return true;
        }
        lo = end;
    }
    return false;
}

bool chunk_lowest(const struct chunk *c, unsigned lo, unsigned hi, unsigned *word, uint64_t *mask)
{
    unsigned at;

    if (!chunk_find(c, 0, lo, hi, &at))
        return false;
    *word = word_of(at);
    *mask = WORD_FULL & starting(at & ~(WORD_FRAMES - 1), 0, lo, hi - 1);
    if ((units_avail(c->rows) & bit(row_of(at))) == 0)
        *mask &= units_avail(c->maps->word[*word]);
    return true;
}

/* ---- counting ------------------------------------------------------------------------------------------ */

/*
 * Maximal runs only: an aligned run of 2^(j+1) holds two of 2^j. `top` is the greatest order in the set,
 * units are 2^shift frames.
 */
static void count_units(uint64_t x, unsigned top, unsigned shift, uint64_t blocks[])
{
    for (unsigned j = 0; j <= top && x != 0; j++) {
        unsigned longer = j < top ? bits_count(bits_runs(x, j + 1)) : 0;

        blocks[shift + j] += bits_count(bits_runs(x, j)) - 2 * longer;
    }
}

/* The units of a set that lie inside the window: `base` is the set's first frame */
static uint64_t inside(unsigned base, unsigned shift, unsigned lo, unsigned hi)
{
    return hi - lo < 1u << shift ? 0 : starting(base, shift, lo, hi - (1u << shift));
}

static uint64_t count_row(const struct chunk *c, unsigned r, unsigned lo, unsigned hi, uint64_t blocks[])
{
    const struct chunk_row *row = &c->maps->row[r];
    unsigned                base = r << ROW_ORDER;
    uint64_t                window = ROW_FULL & inside(base, CHUNK_W0, lo, hi);
    uint64_t                held = (uint64_t)bits_count(row->words.free & row->words.heads & window) << CHUNK_W0;

    count_units(units_avail(row->words) & window, CHUNK_W1, CHUNK_W0, blocks);
    for (uint64_t x = window & ~row->words.free & ~row->words.heads; x != 0; x &= x - 1) {
        struct units u = c->maps->word[(r << CHUNK_W1) + bits_first(x)];

        if (u.free == WORD_FULL && u.heads == 0)
            continue; /* inside a block of words */
        count_units(units_avail(u), CHUNK_W0, 0, blocks);
        held += bits_count(u.free & u.heads);
    }
    return held;
}

uint64_t chunk_count(const struct chunk *c, unsigned lo, unsigned hi, uint64_t blocks[])
{
    uint64_t whole = TOP_FULL & inside(0, ROW_ORDER, lo, hi), held = 0;

    count_units(units_avail(c->rows) & whole, CHUNK_W2, ROW_ORDER, blocks);
    held += (uint64_t)bits_count(c->rows.free & c->rows.heads & whole) << ROW_ORDER;
    for (unsigned r = row_of(lo); r < CHUNK_ROWS && r << ROW_ORDER < hi; r++) {
        unsigned from = (unsigned)max_u64(lo, r << ROW_ORDER), to = (unsigned)min_u64(hi, (r + 1) << ROW_ORDER);

        if ((c->cut & bit(r)) != 0) {
            held += count_row(c, r, lo, hi, blocks);
        } else if ((whole & bit(r)) == 0 && (c->rows.free & bit(r)) != 0) {
            if ((c->rows.heads & bit(r)) != 0)
                held += to - from;
            else
                for (unsigned order, at = from; at < to; blocks[order]++, at += 1u << order)
                    order = (unsigned)min_u64(log2_down(to - at), bits_first(at | CHUNK_FRAMES));
        }
    }
    return held;
}

/* ---- the whole truth ----------------------------------------------------------------------------------- */

/* The summaries of a cut row against its words; counts free frames; NULL or what is wrong */
static const char *check_row(const struct chunk *c, unsigned r, unsigned *n_free)
{
    const struct chunk_row *row = &c->maps->row[r];
    uint64_t                any[CHUNK_W0] = { 0 };

    if (row->words.free == ROW_FULL && row->words.heads == 0)
        return "a row is whole and yet not marked so";
    for (unsigned w = 0; w < ROW_WORDS; w++) {
        struct units u = c->maps->word[(r << CHUNK_W1) + w];
        bool         pristine = u.free == WORD_FULL && u.heads == 0;
        bool         told = ((row->words.free | row->words.heads) & bit(w)) != 0;

        if (((u.free | u.heads) & ~WORD_FULL) != 0)
            return "bits beyond the end of a word";
        if (told && !pristine)
            return "a word that is in one piece has been touched";
        if (!told && pristine) {
            if ((row->words.heads & ~row->words.free & bits_below(w)) == 0)
                return "a word is inside a block that starts nowhere";
            continue;
        }
        if (!told && (u.free | u.heads) != 0 && !((u.free | u.heads) & 1))
            return "a word starts inside a block";
        if (!told && (u.free | u.heads) == 0)
            return "a word is all inside";
        if (told) {
            *n_free += (units_avail(row->words) & bit(w)) != 0 ? WORD_FRAMES : 0;
            continue;
        }
        *n_free += bits_count(units_avail(u));
        for (unsigned j = 0; j < CHUNK_W0; j++)
            if (bits_runs(units_avail(u), j) != 0)
                any[j] |= bit(w);
    }
    for (unsigned j = 0; j < CHUNK_W0; j++)
        if (any[j] != row->any[j])
            return "a row's summary is wrong";
    return NULL;
}

const char *chunk_check(const struct chunk *c)
{
    uint64_t any[ROW_ORDER] = { 0 };
    unsigned n_free = 0;

    for (unsigned r = 0; r < CHUNK_ROWS; r++) {
        const char *wrong = NULL;

        if ((c->cut & bit(r)) == 0) {
            bool free = (units_avail(c->rows) & bit(r)) != 0;

            if ((c->built & bit(r)) != 0 &&
                (c->maps->row[r].words.free != ROW_FULL || c->maps->row[r].words.heads != 0))
                return "a row that is in one piece has been touched";
            if (chunk_is_inside(c, 2, 0, r) && (c->rows.heads & ~c->rows.free & bits_below(r)) == 0)
                return "a row is inside a block that starts nowhere";
            n_free += free ? ROW_FRAMES : 0;
            continue;
        }
        if (((c->rows.free | c->rows.heads) & bit(r)) != 0)
            return "a row is cut and in one piece";
        wrong = check_row(c, r, &n_free);
        if (wrong != NULL)
            return wrong;
        for (unsigned j = 0; j < CHUNK_W0; j++)
            any[j] |= c->maps->row[r].any[j] != 0 ? bit(r) : 0;
        for (unsigned j = 0; j < CHUNK_W1; j++)
            any[CHUNK_W0 + j] |= bits_runs(units_avail(c->maps->row[r].words), j) != 0 ? bit(r) : 0;
    }
    for (unsigned k = 0; k < ROW_ORDER; k++)
        if (any[k] != c->any[k])
            return "the chunk's summary is wrong";
    return n_free == c->n_free ? NULL : "the count of free frames is wrong";
}
