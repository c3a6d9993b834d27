/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_chunk.c - one chunk of frames (mm/chunk.c) against one byte for each frame
 *
 * Exact: the same block must be found, whatever was done before. test/proof/ runs the same source
 * through every state of small chunks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/chunk.h"
#include "mm/types.h"
#include "test/host/model_frame.h"

static struct chunk      chunk;
static struct chunk_maps maps; /* full of nonsense before each test: nothing of it may be believed */

static void open_chunk(bool free)
{
    memset(&maps, 0x5a, sizeof maps);
    chunk_open(&chunk, free);
    chunk.maps = &maps;
}

#define ASSERT_SOUND() assert_null(chunk_check(&chunk))

static void a_whole_chunk_is_one_block(void **state)
{
    unsigned at = 7;

    (void)state;
    open_chunk(true);
    assert_int_equal(chunk_order(&chunk), CHUNK_ORDER);
    assert_true(chunk_find(&chunk, CHUNK_ORDER, 0, CHUNK_FRAMES, &at));
    assert_int_equal(at, 0);
    chunk.maps = NULL; /* rows are taken and given without bitmaps */
    chunk_take(&chunk, 0, CHUNK_ORDER);
    assert_int_equal(chunk_order(&chunk), -1);
    assert_false(chunk_find(&chunk, 0, 0, CHUNK_FRAMES, &at));
    assert_int_equal(chunk_look(&chunk, 12345).state, FRAME_INSIDE);
    assert_int_equal(chunk_look(&chunk, 12345).first, 0);
    assert_int_equal(chunk_look(&chunk, 12345).order, CHUNK_ORDER);
    chunk_give(&chunk, 0, CHUNK_ORDER);
    assert_int_equal(chunk_order(&chunk), CHUNK_ORDER);
    ASSERT_SOUND();
}

static void each_order_is_taken_and_merges_back(void **state)
{
    (void)state;
    open_chunk(true);
    for (unsigned order = 0; order <= CHUNK_ORDER; order++) {
        unsigned at, real;

        assert_true(chunk_find(&chunk, order, 0, CHUNK_FRAMES, &at));
        assert_int_equal(at, 0);
        chunk_take(&chunk, at, order);
        ASSERT_SOUND();
        assert_int_equal(chunk_order(&chunk), (int)order == CHUNK_ORDER ? -1 : CHUNK_ORDER - 1);
        assert_int_equal(chunk_block(&chunk, at, &real), ERR_OK);
        assert_int_equal(real, order);
        chunk_give(&chunk, at, order);
        ASSERT_SOUND();
        assert_int_equal(chunk_order(&chunk), CHUNK_ORDER);
    }
}

static void what_starts_a_block_and_what_does_not(void **state)
{
    unsigned order = 99;

    (void)state;
    open_chunk(true);
    chunk_take(&chunk, 64, 3);
    chunk_take(&chunk, 72, 0);
    chunk_take(&chunk, 128, 7);
    chunk_take(&chunk, 8192, 13);
    chunk_reserve(&chunk, 100, 3);
    assert_int_equal(chunk_block(&chunk, 64, &order), ERR_OK);
    assert_int_equal(order, 3);
    assert_int_equal(chunk_block(&chunk, 65, &order), ERR_INSIDE);
    assert_int_equal(chunk_block(&chunk, 72, &order), ERR_OK);
    assert_int_equal(order, 0);
    assert_int_equal(chunk_block(&chunk, 73, &order), ERR_NOT_ALLOC);
    assert_int_equal(chunk_block(&chunk, 128, &order), ERR_OK);
    assert_int_equal(order, 7);
    assert_int_equal(chunk_block(&chunk, 192, &order), ERR_INSIDE);
    assert_int_equal(chunk_block(&chunk, 8192, &order), ERR_OK);
    assert_int_equal(order, 13);
    assert_int_equal(chunk_block(&chunk, 8192 + 4096, &order), ERR_INSIDE);
    assert_int_equal(chunk_block(&chunk, 101, &order), ERR_RESERVED);
    ASSERT_SOUND();
}

/* ---- against the model ---------------------------------------------------------------------------- */

static struct model m;

/* Compare every frame, every count */
static void compare_all(void)
{
    uint64_t mine[CHUNK_ORDER + 1] = { 0 }, theirs[CHUNK_ORDER + 1];
    uint64_t held = chunk_count(&chunk, 0, CHUNK_FRAMES, mine);

    ASSERT_SOUND();
    model_blocks(&m, theirs);
    for (unsigned k = 0; k <= CHUNK_ORDER; k++)
        assert_int_equal(mine[k], theirs[k]);
    assert_int_equal(held, model_count(&m, MODEL_RESERVED));
    assert_int_equal(chunk.n_free, model_count(&m, MODEL_FREE));
}

static void compare_at(unsigned at)
{
    struct chunk_look mine = chunk_look(&chunk, at), theirs = model_look(&m, at);

    assert_int_equal(mine.state, theirs.state);
    if (mine.state == FRAME_RESERVED) /* may be told in larger units */
        assert_true(mine.first <= at && at - mine.first < 1u << mine.order);
    else
        assert_true(mine.first == theirs.first && mine.order == theirs.order);
}

/* Tests live in the first `span` frames; the rest is held back, so that the model's loops stay short */
static unsigned span;

static void window(unsigned *lo, unsigned *hi)
{
    *lo = 0;
    *hi = span;
    if (rnd_below(4) == 0) {
        *lo = (unsigned)rnd_below(span);
        *hi = *lo + (unsigned)rnd_below(span - *lo + 1);
    }
}

static void try_take(void)
{
    unsigned order = (unsigned)rnd_below(rnd_below(3) == 0 ? 14 : 5), lo, hi, mine = 0, theirs = 0;

    window(&lo, &hi);
    bool found = chunk_find(&chunk, order, lo, hi, &mine);
    assert_int_equal(found, model_find(&m, order, lo, hi, &theirs));
    if (!found)
        return;
    assert_int_equal(mine, theirs);
    chunk_take(&chunk, mine, order);
    model_take(&m, mine, order);
}

static void try_run(void)
{
    unsigned n = 1 + (unsigned)rnd_below(rnd_below(4) == 0 ? 3000 : 100), align = 1u << rnd_below(rnd_below(3) == 0 ? 10 : 1);
    unsigned boundary = rnd_below(2) == 0 ? CHUNK_FRAMES : 1u << (log2_up(n) + rnd_below(3)), lo, hi, mine = 0, theirs = 0;

    window(&lo, &hi);
    bool found = chunk_find_run(&chunk, n, align, boundary, lo, hi, &mine);
    assert_int_equal(found, model_find_run(&m, n, align, boundary, lo, hi, &theirs));
    if (!found)
        return;
    assert_int_equal(mine, theirs);
    chunk_take_run(&chunk, mine, n);
    model_take_run(&m, mine, n);
}

static void try_free(void)
{
    unsigned at = (unsigned)rnd_below(span), mine = 0, theirs = 0;
    err_t    err = chunk_block(&chunk, at, &mine);

    assert_int_equal(err, model_block(&m, at, &theirs));
    if (err != ERR_OK)
        return;
    assert_int_equal(mine, theirs);
    chunk_give(&chunk, at, mine);
    model_give(&m, at);
}

/* A place from which freeing many frames is likely to succeed */
static void try_free_run(void)
{
    unsigned at = (unsigned)rnd_below(span), n = 1 + (unsigned)rnd_below(min_u64(span - at, 300));
    err_t    err = chunk_check_run(&chunk, at, n);

    assert_int_equal(err, model_check_run(&m, at, n));
    if (err != ERR_OK)
        return;
    chunk_give_run(&chunk, at, n);
    model_fill(&m, at, n, MODEL_FREE);
}

static void try_reserve(void)
{
    unsigned at = (unsigned)rnd_below(span);
    unsigned n = 1 + (unsigned)rnd_below(min_u64(span - at, rnd_below(4) == 0 ? 9000 : 200));

    if (rnd_below(2) == 0) {
        unsigned end = chunk_run_end(&chunk, at, at + n);

        assert_int_equal(end == at + n, model_all(&m, at, n, MODEL_FREE));
        assert_true(model_all(&m, at, end - at, MODEL_FREE));
        n = end - at;
        chunk_reserve(&chunk, at, n);
        model_fill(&m, at, n, MODEL_RESERVED);
    } else {
        while (n > 1 && !model_all(&m, at, n, MODEL_RESERVED))
            n /= 2;
        assert_int_equal(chunk_is_reserved(&chunk, at, n), model_all(&m, at, n, MODEL_RESERVED));
        if (!model_all(&m, at, n, MODEL_RESERVED))
            return;
        chunk_release(&chunk, at, n);
        model_fill(&m, at, n, MODEL_FREE);
    }
}

static void try_singles(void)
{
    unsigned word, lo, hi, theirs;
    uint64_t mask, some = rnd() | rnd();

    window(&lo, &hi);
    bool found = chunk_lowest(&chunk, lo, hi, &word, &mask);
    assert_int_equal(found, model_find(&m, 0, lo, hi, &theirs));
    if (!found)
        return;
    assert_int_equal(theirs, (word << CHUNK_W0) + bits_first(mask));
    for (unsigned i = 0; i < WORD_FRAMES; i++) {
        unsigned at = (word << CHUNK_W0) + i;

        assert_int_equal(mask >> i & 1, at >= lo && at < hi && m.frame[at] == MODEL_FREE);
        if ((mask & some) >> i & 1)
            model_take(&m, at, 0);
    }
    if (rnd_below(2) == 0) {
        chunk_take_singles(&chunk, word, mask & some);
    } else {
        chunk_claim(&chunk, word, mask);
        chunk_unclaim(&chunk, word, mask & some, mask & ~some);
    }
}

static void try_give_singles(void)
{
    unsigned at = (unsigned)rnd_below(span) & ~(WORD_FRAMES - 1);
    uint64_t mask = rnd(), singles = chunk_singles(&chunk, word_of(at), mask);

    for (unsigned i = 0; i < WORD_FRAMES; i++) {
        bool single = (mask >> i & 1) != 0 && m.frame[at + i] == MODEL_HEAD;

        assert_int_equal(singles >> i & 1, single);
        if (single)
            m.frame[at + i] = MODEL_FREE;
    }
    if (singles != 0)
        chunk_give_singles(&chunk, word_of(at), singles);
}

static void random_operations(unsigned frames, unsigned n_ops)
{
    static void (*const ops[])(void) = { try_take,  try_take,      try_take,    try_free,    try_free,         try_free,
                                         try_free,  try_free,      try_run,     try_reserve, try_singles,      try_give_singles,
                                         try_free_run, try_take, try_free };

    span = frames;
    open_chunk(false);
    model_open(&m, CHUNK_FRAMES, CHUNK_ORDER, MODEL_RESERVED);
    chunk_release(&chunk, 0, span);
    model_fill(&m, 0, span, MODEL_FREE);
    for (unsigned i = 0; i < n_ops; i++) {
        ops[rnd_below(ARRAY_LEN(ops))]();
        compare_at((unsigned)rnd_below(span));
        if (i % 4096 == 0)
            compare_all();
    }
    compare_all();
    model_close(&m);
}

static void random_operations_agree_with_the_model(void **state)
{
    (void)state;
    rnd_seed_from("test_chunk");
    random_operations(64, 20000);
    random_operations(1000, 40000);
    random_operations(5000, 40000);
    random_operations(20000, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_chunk_is_one_block),
        cmocka_unit_test(each_order_is_taken_and_merges_back),
        cmocka_unit_test(what_starts_a_block_and_what_does_not),
        cmocka_unit_test(random_operations_agree_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
