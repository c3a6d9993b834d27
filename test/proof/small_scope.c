/* SPDX-License-Identifier: MIT */
/*
 * test/proof/small_scope.c - every state of a small chunk, and every operation from each
 *
 * mm/chunk.c is compiled with narrow levels (CHUNK_W0, CHUNK_W1, CHUNK_W2 from the command line), so small
 * that all states can be visited. From each state every operation is tried with every argument, and what it
 * does is compared with one byte for each frame (test/host/model_frame.c): what is found, what is refused,
 * each frame afterwards. Nothing is sampled.
 *
 *   levels     frames   without held-back frames   with them
 *   2 + 2 + 0    16     T(4) = 458,330             -
 *   1 + 1 + 1     8     T(3) = 677                 U(3)
 *
 * T(0) = 2 (a frame is free or a block), T(k+1) = T(k)^2 + 1 (both halves, or one block); U(0) = 3. The number
 * of states found must be exactly this. Argument "reserve": frames may be held back as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/chunk.c"
#include "mm/chunk_look.c"
#include "test/host/model_frame.h"

/* ---- states -------------------------------------------------------------------------------------- */

struct state {
    struct chunk      c;
    struct chunk_maps m;
};

static struct state now;   /* what operations work on */
static struct state start; /* the state they start from */
static struct model model;
static uint8_t      model_start[CHUNK_FRAMES];
static bool         with_reserve;

static struct {
    struct state *list;
    uint64_t      n, capacity;
    uint64_t     *key; /* key[2^log]: 0 is empty */
    unsigned      log;
    uint64_t      transitions, questions;
} all;

static void fail(const char *what, unsigned a, unsigned b)
{
    printf("small scope: %s (%u, %u) in state", what, a, b);
    for (unsigned i = 0; i < CHUNK_FRAMES; i++)
        printf(" %02x", model_start[i]);
    printf("\n");
    exit(1);
}

static void check(bool ok, const char *what, unsigned a, unsigned b)
{
    all.questions++;
    if (!ok)
        fail(what, a, b);
}

static void load(void)
{
    now = start;
    if (now.c.maps != NULL)
        now.c.maps = &now.m;
    memcpy(model.frame, model_start, CHUNK_FRAMES);
}

/* The model's bytes as one number: not 0 for any state, different for different ones */
static uint64_t key_of(const uint8_t frame[])
{
    uint64_t key = 1;

    for (unsigned i = 0; i < CHUNK_FRAMES; i++)
        key = key << 3 | (frame[i] >= MODEL_HEAD ? 3u + (frame[i] - MODEL_HEAD) : frame[i]);
    return key;
}

static bool is_new(uint64_t key)
{
    uint64_t mask = ((uint64_t)1 << all.log) - 1, i = (key * 0x9e3779b97f4a7c15u >> 20) & mask;

    for (; all.key[i] != 0; i = (i + 1) & mask)
        if (all.key[i] == key)
            return false;
    all.key[i] = key;
    return true;
}

/* The chunk after an operation: sound, and each frame what the model says. A state not seen before is kept. */
static void arrive(const char *operation, unsigned a, unsigned b)
{
    const char *wrong = chunk_check(&now.c);

    if (wrong != NULL) {
        printf("%s: ", wrong);
        fail(operation, a, b);
    }
    for (unsigned i = 0; i < CHUNK_FRAMES; i++) {
        struct chunk_look mine = chunk_look(&now.c, i), theirs = model_look(&model, i);

        if (mine.state != theirs.state ||
            (mine.state != FRAME_RESERVED && (mine.first != theirs.first || mine.order != theirs.order)))
            fail(operation, a, b);
    }
    all.transitions++;
    if (is_new(key_of(model.frame))) {
        if (all.n == all.capacity)
            fail("more states than there should be", a, b);
        all.list[all.n++] = now;
    }
}

/* ---- operations, each with every argument ---------------------------------------------------------- */

static void ready(void) { now.c.maps = &now.m; }

static void every_find(void)
{
    for (unsigned order = 0; order <= CHUNK_ORDER; order++)
        for (unsigned lo = 0; lo < CHUNK_FRAMES; lo++)
            for (unsigned hi = lo + 1; hi <= CHUNK_FRAMES; hi++) {
                unsigned mine = 0, theirs = 0;
                bool     found = chunk_find(&start.c, order, lo, hi, &mine);

                check(found == model_find(&model, order, lo, hi, &theirs) && (!found || mine == theirs), "find", order, lo);
            }
}

static void every_take(void)
{
    for (unsigned order = 0; order <= CHUNK_ORDER; order++)
        for (unsigned at = 0; at < CHUNK_FRAMES; at += 1u << order) {
            unsigned lowest;

            load();
            if (!model_all(&model, at, 1u << order, MODEL_FREE))
                continue;
            ready();
            chunk_take(&now.c, at, order);
            model_take(&model, at, order);
            arrive("take", at, order);

            load();
            if (order >= ROW_ORDER || !model_find(&model, order, 0, CHUNK_FRAMES, &lowest) || lowest != at)
                continue;
            ready();
            check(chunk_take_lowest(&now.c, order, TOP_FULL, &lowest) && lowest == at, "take lowest", at, order);
            model_take(&model, at, order);
            arrive("take lowest", at, order);
        }
}

static void every_free(void)
{
    for (unsigned at = 0; at < CHUNK_FRAMES; at++) {
        unsigned mine = 0, theirs = 0;

        load();
        err_t err = chunk_block(&now.c, at, &mine);

        check(err == model_block(&model, at, &theirs) && mine == theirs, "block", at, 0);
        if (err == ERR_OK) {
            chunk_give(&now.c, at, mine);
            model_give(&model, at);
            arrive("give", at, mine);
        }
        load();
        bool single = err == ERR_OK && theirs == 0;
        check(chunk_give_frame(&now.c, at) == single, "give frame", at, 0);
        if (single)
            model_give(&model, at);
        arrive("give frame", at, 0);

        for (unsigned order = 0; order <= CHUNK_ANY_ORDER; order++) {
            load();
            bool small = err == ERR_OK && theirs < ROW_ORDER && (order == CHUNK_ANY_ORDER || order == theirs);
            check(chunk_give_small(&now.c, at, order) == small, "give small", at, order);
            if (small)
                model_give(&model, at);
            arrive("give small", at, order);
        }
    }
}

static void every_run(void)
{
    for (unsigned n = 1; n <= CHUNK_FRAMES; n++) {
        load();
        for (unsigned align = 1; align <= CHUNK_FRAMES; align *= 2)
            for (unsigned boundary = CHUNK_FRAMES; boundary >= n; boundary /= 2)
                for (unsigned lo = 0; lo + n <= CHUNK_FRAMES; lo += align) {
                    unsigned mine = 0, theirs = 0, hi = CHUNK_FRAMES - (lo * 7 + n) % 3;
                    bool     found = chunk_find_run(&start.c, n, align, boundary, lo, hi, &mine);

                    check(found == model_find_run(&model, n, align, boundary, lo, hi, &theirs) &&
                              (!found || mine == theirs),
                          "find run", n, lo);
                }
        for (unsigned at = 0; at + n <= CHUNK_FRAMES; at++) {
            load();
            unsigned end = chunk_run_end(&now.c, at, at + n);
            bool     is_free = model_all(&model, at, n, MODEL_FREE);

            check((end == at + n) == is_free && model_all(&model, at, end - at, MODEL_FREE), "run end", at, n);
            if (is_free) {
                ready();
                chunk_take_run(&now.c, at, n);
                model_take_run(&model, at, n);
                arrive("take run", at, n);
                load();
                ready();
                chunk_reserve(&now.c, at, n);
                model_fill(&model, at, n, MODEL_RESERVED);
                if (!with_reserve) {
                    check(chunk_is_reserved(&now.c, at, n), "reserve", at, n);
                    chunk_release(&now.c, at, n);
                    model_fill(&model, at, n, MODEL_FREE);
                }
                arrive("reserve", at, n);
            }
            load();
            bool held = model_all(&model, at, n, MODEL_RESERVED);
            check(chunk_is_reserved(&now.c, at, n) == held, "is reserved", at, n);
            if (held) {
                ready();
                chunk_release(&now.c, at, n);
                model_fill(&model, at, n, MODEL_FREE);
                arrive("release", at, n);
            }
            load();
            err_t err = chunk_check_run(&now.c, at, n);
            check(err == model_check_run(&model, at, n), "check run", at, n);
            if (err == ERR_OK) {
                chunk_give_run(&now.c, at, n);
                model_fill(&model, at, n, MODEL_FREE);
                arrive("give run", at, n);
            }
        }
    }
}

static uint64_t frames_of(unsigned word, uint8_t state)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < WORD_FRAMES; i++)
        if (model.frame[(word << CHUNK_W0) + i] == state)
            mask |= bit(i);
    return mask;
}

static void mark(unsigned word, uint64_t mask, uint8_t state)
{
    for (; mask != 0; mask &= mask - 1)
        model.frame[(word << CHUNK_W0) + bits_first(mask)] = state;
}

static void every_set_of_singles(void)
{
    for (unsigned word = 0; word < CHUNK_FRAMES >> CHUNK_W0; word++)
        for (uint64_t mask = 1; mask <= WORD_FULL; mask++) {
            load();
            if ((frames_of(word, MODEL_FREE) & mask) == mask) {
                ready();
                chunk_take_singles(&now.c, word, mask);
                mark(word, mask, MODEL_HEAD);
                arrive("take singles", word, (unsigned)mask);
                for (uint64_t out = mask;; out = (out - 1) & mask) { /* all subsets */
                    load();
                    ready();
                    chunk_claim(&now.c, word, mask);
                    chunk_unclaim(&now.c, word, out, mask & ~out);
                    mark(word, out, MODEL_HEAD);
                    arrive("claim", word, (unsigned)mask);
                    if (out == 0)
                        break;
                }
            }
            load();
            uint64_t singles = chunk_singles(&now.c, word, mask);
            check(singles == (frames_of(word, MODEL_HEAD) & mask), "singles", word, (unsigned)mask);
            if (singles == mask) {
                chunk_give_singles(&now.c, word, mask);
                mark(word, mask, MODEL_FREE);
                arrive("give singles", word, (unsigned)mask);
            }
        }
    for (unsigned lo = 0; lo < CHUNK_FRAMES; lo++)
        for (unsigned hi = lo + 1; hi <= CHUNK_FRAMES; hi++) {
            unsigned word = 0, at = 0;
            uint64_t mask = 0, expected = 0;

            load();
            bool found = chunk_lowest(&now.c, lo, hi, &word, &mask);
            check(found == model_find(&model, 0, lo, hi, &at), "lowest", lo, hi);
            for (unsigned i = at; found && i < hi && word_of(i) == word_of(at); i++)
                expected |= model.frame[i] == MODEL_FREE ? bit(bit_of(i)) : 0;
            check(!found || (word == word_of(at) && mask == expected), "lowest", lo, hi);
        }
}

static uint64_t frames_lowest(unsigned word, unsigned n)
{
    uint64_t free = frames_of(word, MODEL_FREE), mask = 0;

    for (; n > 0 && free != 0; n--, free &= free - 1)
        mask |= free & -free;
    return mask;
}

static void every_bulk(void)
{
    unsigned at = 0, r = 0, word = 0;
    bool     found = model_find(&model, 0, 0, CHUNK_FRAMES, &at);

    for (unsigned n = 1; n <= WORD_FRAMES; n++) {
        load();
        ready();
        uint64_t mask = chunk_take_few(&now.c, TOP_FULL, n, &word);
        check(mask == (found ? frames_lowest(word_of(at), n) : 0) && (!found || word == word_of(at)), "few", at, n);
        mark(word, mask, MODEL_HEAD);
        arrive("few", word, n);
    }
    for (unsigned n = 1; n <= ROW_WORDS; n++) {
        uint64_t whole = 0;

        load();
        for (unsigned w = word_of(at), i = 0; found && i < n && row_of(w << CHUNK_W0) == row_of(at) && w < CHUNK_FRAMES >> CHUNK_W0; w++) {
            uint64_t free = frames_of(w, MODEL_FREE);

            if (free != 0 && free != WORD_FULL)
                break;
            whole |= free != 0 ? bit(w & (ROW_WORDS - 1)) : 0;
            i += free != 0;
        }
        ready();
        check(chunk_take_many(&now.c, TOP_FULL, n, &r) == whole && (whole == 0 || r == row_of(at)), "many", at, n);
        for (uint64_t x = whole; x != 0; x &= x - 1)
            mark((r << CHUNK_W1) + bits_first(x), WORD_FULL, MODEL_HEAD);
        arrive("many", at, n);
    }
    for (r = 0; r < CHUNK_ROWS; r++)
        for (uint64_t words = 1; words <= ROW_FULL; words++) {
            uint64_t cleared = 0;

            load();
            for (uint64_t x = words; x != 0; x &= x - 1) {
                word = (r << CHUNK_W1) + bits_first(x);
                bool single = frames_of(word, MODEL_HEAD) == WORD_FULL;
                check(chunk_clear_word(&now.c, word) == single, "clear word", word, 0);
                cleared |= single ? bit(bits_first(x)) : 0;
                mark(word, single ? WORD_FULL : 0, MODEL_FREE);
            }
            if (cleared != 0)
                chunk_give_many(&now.c, r, cleared);
            arrive("give many", r, (unsigned)words);
        }
}

static void every_count(void)
{
    uint64_t mine[CHUNK_ORDER + 1] = { 0 }, theirs[CHUNK_ORDER + 1];
    int      order = CHUNK_ORDER;

    check(chunk_count(&start.c, 0, CHUNK_FRAMES, mine) == model_count(&model, MODEL_RESERVED), "count", 0, 0);
    model_blocks(&model, theirs);
    check(memcmp(mine, theirs, sizeof mine) == 0, "count", 1, 0);
    while (order >= 0 && theirs[order] == 0)
        order--;
    check(chunk_order(&start.c) == order, "order", 0, 0);
}

/* ---- all states --------------------------------------------------------------------------------------- */

static void leave(uint64_t i)
{
    start = all.list[i];
    if (start.c.maps != NULL)
        start.c.maps = &start.m;
    for (unsigned f = 0; f < CHUNK_FRAMES; f++) {
        struct chunk_look look = chunk_look(&start.c, f); /* as it was when the state was reached, checked then */

        model_start[f] = look.state == FRAME_FREE       ? MODEL_FREE
                         : look.state == FRAME_RESERVED ? MODEL_RESERVED
                         : look.state == FRAME_INSIDE   ? MODEL_INSIDE
                                                        : (uint8_t)(MODEL_HEAD + look.order);
    }
    load();
    every_find();
    every_count();
    every_take();
    every_free();
    every_run();
    every_set_of_singles();
    every_bulk();
}

int main(int argc, char *argv[])
{
    uint64_t expected;

    with_reserve = argc > 1 && strcmp(argv[1], "reserve") == 0;
    expected = with_reserve ? 3 : 2;
    for (unsigned k = 0; k < CHUNK_ORDER; k++)
        expected = expected * expected + 1;
    all.capacity = expected;
    all.log = log2_up(expected) + 1;
    all.list = malloc(expected * sizeof *all.list);
    all.key = calloc((size_t)1 << all.log, sizeof *all.key);
    if (all.list == NULL || all.key == NULL)
        return 1;
    model_open(&model, CHUNK_FRAMES, CHUNK_ORDER, MODEL_FREE);
    memset(model_start, MODEL_FREE, sizeof model_start);
    chunk_open(&now.c, true);
    arrive("open", 0, 0);
    for (uint64_t i = 0; i < all.n; i++)
        leave(i);
    printf("levels of %u + %u + %u bits, %u frames%s: %llu states, %llu transitions, %llu questions, all as the model says\n",
           CHUNK_W0, CHUNK_W1, CHUNK_W2, CHUNK_FRAMES, with_reserve ? ", some held back" : "", (unsigned long long)all.n,
           (unsigned long long)all.transitions, (unsigned long long)all.questions);
    if (all.n != expected)
        printf("expected %llu states\n", (unsigned long long)expected);
    return all.n == expected ? 0 : 1;
}
