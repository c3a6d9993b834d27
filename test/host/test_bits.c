/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_bits.c - words and trees of words (mm/bits.h) against loops over single bits
 *
 * test/proof/ proves the word functions for all arguments; here they are tried on those that matter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/attr.h"
#include "mm/bits.h"
#include "test/host/model_frame.h"

static bool has(uint64_t x, unsigned i) { return (x >> i & 1) != 0; }

static bool run_at(uint64_t x, unsigned at, unsigned order)
{
    for (unsigned i = at; i < at + (1u << order); i++)
        if (!has(x, i))
            return false;
    return true;
}

/* Words with long runs, which are rare among random ones */
static uint64_t some_word(unsigned i)
{
    switch (i % 4) {
    case 0:
        return rnd();
    case 1:
        return rnd() | rnd() | rnd();
    case 2:
        return ~bits_run((unsigned)rnd_below(64), 0) | (rnd() & rnd());
    default:
        return bits_below((unsigned)rnd_below(65)) & ~bits_below((unsigned)rnd_below(65));
    }
}

static void runs_start_where_a_loop_finds_them(void **state)
{
    (void)state;
    rnd_seed_from("test_bits");
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t x = some_word(i);
        int      order = -1;

        for (unsigned j = 0; j <= 6; j++) {
            uint64_t runs = bits_runs(x, j);

            for (unsigned at = 0; at < 64; at += 1u << j)
                assert_int_equal(has(runs, at), run_at(x, at, j));
            assert_int_equal(runs & ~bits_starts(j), 0);
            order = runs != 0 ? (int)j : order;
        }
        assert_int_equal(bits_order(x), order);
    }
    assert_int_equal(bits_order(0), -1);
    assert_int_equal(bits_order(~(uint64_t)0), 6);
}

static void a_run_grows_as_far_as_its_buddies_are_set(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t x = some_word(i);
        unsigned at = (unsigned)rnd_below(64), k = 0;

        x |= bit(at);
        while (k < 6 && run_at(x, at >> (k + 1) << (k + 1), k + 1))
            k++;
        assert_int_equal(bits_merged(x, at), k);
    }
}

static void single_words(void **state)
{
    (void)state;
    assert_int_equal(bits_below(0), 0);
    assert_int_equal(bits_below(64), UINT64_MAX);
    assert_int_equal(bits_run(0, 6), UINT64_MAX);
    assert_int_equal(bits_run(56, 3), (uint64_t)0xff << 56);
    for (unsigned i = 0; i < 64; i++) {
        uint64_t n = (uint64_t)1 << i;

        assert_int_equal(bits_first(n | bit(63)), i);
        assert_int_equal(bits_last(n | 1), i);
        assert_int_equal(log2_down(n), i);
        assert_int_equal(log2_up(n), i);
        assert_int_equal(log2_down(n | (n - 1)), i);
        assert_int_equal(log2_up(n + (i > 0 && i < 63)), i + (i > 0 && i < 63));
        assert_int_equal(bits_count(n - 1), i);
    }
}

/* ---- trees ------------------------------------------------------------------------------------------ */

static void a_tree_agrees_with_an_array(void **state)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 900, 4096, 4097, 300000 };

    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        uint64_t    n = sizes[s];
        uint64_t   *words = malloc(bits_words(n) * sizeof *words);
        bool       *set = calloc(n, sizeof *set);
        struct bits b;

        memset(words, 0xff, bits_words(n) * sizeof *words);
        bits_open(&b, words, n);
        for (unsigned step = 0; step < 3000; step++) {
            uint64_t i = rnd_below(n), end = i + rnd_below(n - i < 5000 ? n - i + 1 : 5000), from = rnd_below(n), next, prev;

            switch (rnd_below(8)) {
            case 0:
                bits_set_range(&b, i, end);
                memset(set + i, true, end - i);
                break;
            case 1:
            case 2:
                bits_clear_range(&b, i, end);
                memset(set + i, false, end - i);
                break;
            case 3:
            case 4:
                bits_set(&b, i);
                set[i] = true;
                break;
            default:
                bits_clear(&b, i);
                set[i] = false;
                break;
            }
            for (next = from; next < n && !set[next];)
                next++;
            for (prev = from; prev != UINT64_MAX && !set[prev];)
                prev--;
            assert_int_equal(bits_next(&b, from), next < n ? next : BITS_NONE);
            assert_int_equal(bits_prev(&b, from), prev);
            assert_int_equal(bits_test(&b, from), set[from]);
        }
        assert_int_equal(bits_next(&b, n), BITS_NONE);
        assert_int_equal(bits_prev(&b, UINT64_MAX), bits_prev(&b, n - 1));
        for (unsigned l = 0; l + 1 < b.levels; l++) /* every summary */
            for (uint64_t w = 0, in = n >> (6 * l); w <= (in - (in > 0)) >> 6; w++)
                assert_int_equal(b.level[l + 1][w >> 6] >> (w & 63) & 1, b.level[l][w] != 0);
        free(set);
        free(words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_start_where_a_loop_finds_them),
        cmocka_unit_test(a_run_grows_as_far_as_its_buddies_are_set),
        cmocka_unit_test(single_words),
        cmocka_unit_test(a_tree_agrees_with_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
