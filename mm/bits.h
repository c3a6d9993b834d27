/* SPDX-License-Identifier: MIT */
/*
 * mm/bits.h - bits in words, and 64-ary trees of words
 *
 * Two things that the whole of memory management stands on. First, questions about one word: where is
 * the lowest aligned run of 2^j set bits, and what is the longest such run. They are branch-free or
 * loop at most six times, so that a prover can follow them (test/proof/). Second, a bitmap of any
 * length under a tree of summary words: the next set bit is found in one count-trailing-zeros a level,
 * and a level covers 64 times what the one below does.
 *
 *              bit 63 ... 16 15 14 13 12 11 10  9  8  7  6  5  4  3  2  1  0
 *     x               .    1  1  1  1  .  .  1  1  .  1  1  .  1  1  1  1  .
 *     aligned runs of 2:      ^     ^        ^           ^        ^              bits_runs(x, 1)
 *     aligned runs of 4:            ^                                            bits_runs(x, 2)
 *     longest:                                                                   bits_order(x) == 2
 *
 * Sources: Knuth, TAOCP 4A, 7.1.3 (broadword computing).
 */
#ifndef MM_BITS_H
#define MM_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITS_WORD_LOG 6
#define BITS_WORD     (1u << BITS_WORD_LOG)
#define BITS_NONE     UINT64_MAX /* "there is no such bit" */

/* ---- one word ------------------------------------------------------------------------------ */

/* bit - the word in which only bit i is set; i is 0..63 */
static inline uint64_t bit(unsigned i) { return (uint64_t)1 << i; }

/* bits_below - the n lowest bits set; n is 0..64 */
static inline uint64_t bits_below(unsigned n) { return n == 0 ? 0 : ~(uint64_t)0 >> (BITS_WORD - n); }

/* bits_run - 2^order bits from bit `at` on; they lie in the word */
static inline uint64_t bits_run(unsigned at, unsigned order) { return bits_below(1u << order) << at; }

/* bits_first, bits_last - number of the lowest and of the highest set bit; x is not 0 */
static inline unsigned bits_first(uint64_t x) { return (unsigned)__builtin_ctzll(x); }
static inline unsigned bits_last(uint64_t x) { return BITS_WORD - 1 - (unsigned)__builtin_clzll(x); }

/* bits_count - how many are set */
static inline unsigned bits_count(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned)(x * 0x0101010101010101u >> 56);
}

/* bits_lowest - the n lowest set bits of x, all if it has no more */
static inline uint64_t bits_lowest(uint64_t x, uint64_t n)
{
    uint64_t rest = x;

    if (bits_count(x) <= n)
        return x;
    for (; n > 0; n--)
        rest &= rest - 1;
    return x ^ rest;
}

/* log2_down - the greatest k with 2^k <= n; n is not 0 */
static inline unsigned log2_down(uint64_t n) { return bits_last(n); }

/* log2_up - the smallest k with 2^k >= n; n is 1..2^63 */
static inline unsigned log2_up(uint64_t n) { return n == 1 ? 0 : bits_last(n - 1) + 1; }

/* bits_starts - the bits at which an aligned run of 2^j can start: the multiples of 2^j; j is 0..6 */
static inline uint64_t bits_starts(unsigned j)
{
    static const uint64_t starts[BITS_WORD_LOG + 1] = {
        0xffffffffffffffffu, 0x5555555555555555u, 0x1111111111111111u, 0x0101010101010101u,
        0x0001000100010001u, 0x0000000100000001u, 0x0000000000000001u,
    };

    return starts[j];
}

/*
 * bits_runs - where aligned runs of 2^j set bits start
 *
 *   Bit i of the result is set exactly if i is a multiple of 2^j and bits i .. i + 2^j - 1 of x are set.
 *   Each step doubles the length for which the bits left in x vouch; those beyond j shift by nothing. (A
 *   loop of j rounds is mispredicted whenever j changes.)
 */
static inline uint64_t bits_runs(uint64_t x, unsigned j)
{
    unsigned steps = (1u << j) - 1;

    x &= x >> (steps & 1);
    x &= x >> (steps & 2);
    x &= x >> (steps & 4);
    x &= x >> (steps & 8);
    x &= x >> (steps & 16);
    x &= x >> (steps & 32);
    return x & bits_starts(j);
}

/*
 * bits_order - the greatest j for which x has an aligned run of 2^j set bits; -1 for 0
 *
 *   If there is one of 2^j there is one of 2^(j-1): so it is enough to count the lengths that occur.
 */
static inline int bits_order(uint64_t x)
{
    uint64_t r1 = x & x >> 1 & 0x5555555555555555u;
    uint64_t r2 = r1 & r1 >> 2 & 0x1111111111111111u;
    uint64_t r3 = r2 & r2 >> 4 & 0x0101010101010101u;
    uint64_t r4 = r3 & r3 >> 8 & 0x0001000100010001u;
    uint64_t r5 = r4 & r4 >> 16 & 0x0000000100000001u;
    uint64_t r6 = r5 & r5 >> 32 & 0x0000000000000001u;

    return (x != 0) + (r1 != 0) + (r2 != 0) + (r3 != 0) + (r4 != 0) + (r5 != 0) + (r6 != 0) - 1;
}

/*
 * bits_merged - bit `at` is set: the order of the longest aligned run of set bits that holds it
 *
 *   An aligned run of 2^k holds `at` and bit p if p differs from `at` in the lowest k bits only. So the highest
 *   bit in which `at` differs from the nearest clear bit above or below is the first order that is too much.
 */
static inline unsigned bits_merged(uint64_t x, unsigned at)
{
    uint64_t above = ~x >> at >> 1 | bit(BITS_WORD - 1 - at), below = ~x & (bit(at) - 1);
    unsigned high = at + 1 + bits_first(above);                /* no clear bit: 64 */
    unsigned low = below != 0 ? bits_last(below) : BITS_WORD;  /* the same         */
    unsigned high_differs = high ^ at, low_differs = low ^ at;

    return log2_down(high_differs < low_differs ? high_differs : low_differs);
}

/* ---- bitmaps under a tree of summaries ------------------------------------------------------- */

#define BITS_LEVELS_MAX 6 /* 64^6 bits: all frames of 2^48 bytes */

/*
 * A bit of level l + 1 is set exactly if the word of level l under it is not 0. One writer at a time
 * (the owner's lock); readers need no lock, and see each bit as it was at some moment.
 */
struct bits {
    uint64_t  n;      /* bits at level 0                 */
    unsigned  levels; /* the topmost one is a single word */
    uint64_t *level[BITS_LEVELS_MAX];
};

/* bits_words - words of memory that a tree over n bits needs; n is 1..64^BITS_LEVELS_MAX */
size_t bits_words(uint64_t n);

/* bits_open - an empty tree over n bits in words[bits_words(n)] */
void bits_open(struct bits *b, uint64_t *words, uint64_t n);

/* Change one bit, or all of [first, end); O(levels), and one step for each word touched */
void bits_set(struct bits *b, uint64_t i);
void bits_clear(struct bits *b, uint64_t i);
void bits_set_range(struct bits *b, uint64_t first, uint64_t end);
void bits_clear_range(struct bits *b, uint64_t first, uint64_t end);

/* bits_test - is bit i set? */
static inline bool bits_test(const struct bits *b, uint64_t i)
{
    return (__atomic_load_n(&b->level[0][i >> BITS_WORD_LOG], __ATOMIC_RELAXED) >> (i % BITS_WORD) & 1) != 0;
}

/* bits_next - the lowest set bit at or above i, BITS_NONE when there is none; O(levels) */
uint64_t bits_next(const struct bits *b, uint64_t i);

/* bits_prev - the highest set bit at or below i, BITS_NONE when there is none; O(levels) */
uint64_t bits_prev(const struct bits *b, uint64_t i);

#endif
