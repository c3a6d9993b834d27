/* SPDX-License-Identifier: MIT */
/*
 * mm/bits.c - a bitmap of any length under a tree of summary words
 *
 * Promise     set, clear, next and prev look at no more than two words of each level; six levels are
 *             enough for every frame of a 48-bit address space.
 *
 * Picture     130 bits, of which 3, 64 and 129 are set
 *
 *               level 1    word 0: bits 0, 1 and 2 set
 *               level 0    word 0: bit 3        word 1: bit 0        word 2: bit 1
 *
 * Invariants  bit i of level l + 1 is set exactly if word i of level l is not 0; bits at and beyond n
 *             are clear
 * Locks       one writer at a time, which the owner sees to. Words are read and written as relaxed
 *             atomics: a reader without the lock may miss a change of this moment, and no more.
 */
#include "mm/bits.h"

#include "mm/types.h"

static uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static void     store(uint64_t *word, uint64_t x) { __atomic_store_n(word, x, __ATOMIC_RELAXED); }
static uint64_t words_for(uint64_t n) { return (n + BITS_WORD - 1) >> BITS_WORD_LOG; }

size_t bits_words(uint64_t n)
{
    size_t sum = 0;

    do {
        n = words_for(n);
        sum += n;
    } while (n > 1);
    return sum;
}

void bits_open(struct bits *b, uint64_t *words, uint64_t n)
{
    b->n = n;
    b->levels = 0;
    __builtin_memset(words, 0, bits_words(n) * sizeof *words);
    do {
        n = words_for(n);
        b->level[b->levels++] = words;
        words += n;
    } while (n > 1);
}

void bits_set(struct bits *b, uint64_t i)
{
    for (unsigned l = 0; l < b->levels; l++) {
        uint64_t *word = &b->level[l][i >> BITS_WORD_LOG];
        uint64_t  old = *word;

        store(word, old | bit(i % BITS_WORD));
        if (old != 0)
            break;
        i >>= BITS_WORD_LOG;
    }
}

void bits_clear(struct bits *b, uint64_t i)
{
    for (unsigned l = 0; l < b->levels; l++) {
        uint64_t *word = &b->level[l][i >> BITS_WORD_LOG];

        store(word, *word & ~bit(i % BITS_WORD));
        if (*word != 0)
            break;
        i >>= BITS_WORD_LOG;
    }
}

/* The part of [first, end) that lies in word w, as a mask */
static uint64_t part(uint64_t w, uint64_t first, uint64_t end)
{
    uint64_t base = w << BITS_WORD_LOG;
    unsigned from = first > base ? (unsigned)(first - base) : 0;
    unsigned to = (unsigned)min_u64(end - base, BITS_WORD);

    return bits_below(to) & ~bits_below(from);
}

void bits_set_range(struct bits *b, uint64_t first, uint64_t end)
{
    for (unsigned l = 0; l < b->levels && first < end; l++) {
        for (uint64_t w = first >> BITS_WORD_LOG; w << BITS_WORD_LOG < end; w++)
            store(&b->level[l][w], b->level[l][w] | part(w, first, end));
        first >>= BITS_WORD_LOG;
        end = words_for(end);
    }
}

void bits_clear_range(struct bits *b, uint64_t first, uint64_t end)
{
    if (first >= end)
        return;
    for (uint64_t w = first >> BITS_WORD_LOG; w << BITS_WORD_LOG < end; w++) {
        uint64_t left = b->level[0][w] & ~part(w, first, end);

        store(&b->level[0][w], left);
        for (uint64_t l = 1, i = w; left == 0 && l < b->levels; l++, i >>= BITS_WORD_LOG) {
            uint64_t *above = &b->level[l][i >> BITS_WORD_LOG];

            left = *above & ~bit(i % BITS_WORD);
            store(above, left);
        }
    }
}

/* From bit i of level l, which is set, down to the lowest set bit under it (or the highest) */
static uint64_t descend(const struct bits *b, unsigned l, uint64_t i, bool highest)
{
    while (l-- > 0) {
        uint64_t word = load(&b->level[l][i]);

        if (word == 0)
            return BITS_NONE; /* a writer was faster */
        i = (i << BITS_WORD_LOG) + (highest ? bits_last(word) : bits_first(word));
    }
    return i;
}

uint64_t bits_next(const struct bits *b, uint64_t i)
{
    uint64_t n = b->n;

    for (unsigned l = 0; l < b->levels && i < n; l++) {
        uint64_t word = load(&b->level[l][i >> BITS_WORD_LOG]) & ~bits_below(i % BITS_WORD);

        if (word != 0)
            return descend(b, l, align_down(i, BITS_WORD) + bits_first(word), false);
        i = (i >> BITS_WORD_LOG) + 1;
        n = words_for(n);
    }
    return BITS_NONE;
}

uint64_t bits_prev(const struct bits *b, uint64_t i)
{
    i = min_u64(i, b->n - 1);
    for (unsigned l = 0; l < b->levels; l++) {
        uint64_t word = load(&b->level[l][i >> BITS_WORD_LOG]) & bits_below(i % BITS_WORD + 1);

        if (word != 0)
            return descend(b, l, align_down(i, BITS_WORD) + bits_last(word), true);
        if (i < BITS_WORD)
            break;
        i = (i >> BITS_WORD_LOG) - 1;
    }
    return BITS_NONE;
}
