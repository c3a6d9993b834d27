/* SPDX-License-Identifier: MIT */
/* test/host/model_heap.c - a heap's naive twin */
#include "test/host/model_heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: model: %s\n", __FILE__, __LINE__, #cond);                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

uint64_t heap_model_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64, Steele et al. 2014 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t below(struct heap_model *m, uint64_t n) { return heap_model_random(&m->random) % n; }

/* Contents: all of a small block; of a larger one its ends and a byte in each 509. */
static size_t stride(const struct model_block *b, size_t i) { return i < 64 || b->size - i <= 64 ? 1 : 509; }

static unsigned char content(const struct model_block *b, size_t i)
{
    return (unsigned char)((b->pattern + i * 2654435761u) >> 11);
}

static void fill(struct model_block *b)
{
    for (size_t i = 0; i < b->size; i += stride(b, i))
        b->p[i] = content(b, i);
}

static void verify(const struct model_block *b, size_t n)
{
    for (size_t i = 0; i < n; i += stride(b, i))
        MUST(b->p[i] == content(b, i));
}

void heap_model_open(struct heap_model *m, struct heap *h, size_t n_blocks, size_t size_max, uint64_t seed)
{
    *m = (struct heap_model){ .heap = h, .n_blocks = n_blocks, .size_max = size_max, .random = seed };
    m->blocks = calloc(n_blocks, sizeof *m->blocks);
    MUST(m->blocks != NULL);
}

/* Log-uniform: as many sizes in 16..32 as in 1024..2048. */
static size_t random_size(struct heap_model *m)
{
    unsigned bits = 1;

    while (((size_t)1 << bits) < m->size_max)
        bits++;
    size_t top = (size_t)1 << below(m, bits + 1);
    size_t size = below(m, 50) == 0 ? 0 : (size_t)below(m, top) + 1;

    return size < m->size_max ? size : m->size_max;
}

static void born(struct heap_model *m, struct model_block *b, void *p, size_t size, size_t align)
{
    if (p == NULL) {
        m->failures++;
        return;
    }
    *b = (struct model_block){ .p = p, .size = size, .align = align, .pattern = (uint32_t)heap_model_random(&m->random) };
    MUST(((uintptr_t)p & (align - 1)) == 0);
    MUST(heap_usable(m->heap, p) >= size);
    m->live_bytes += size;
    fill(b);
}

static void block_new(struct heap_model *m, struct model_block *b)
{
    size_t size = random_size(m);

    switch (below(m, 4)) {
    case 0: {
        size_t align = (size_t)1 << below(m, below(m, 16) == 0 ? 22 : 9);

        born(m, b, heap_alloc_aligned(m->heap, size, align), size, align);
        break;
    }
    case 1: {
        unsigned char *p = heap_zalloc(m->heap, size);

        for (size_t i = 0; p != NULL && i < size; i++)
            MUST(p[i] == 0);
        born(m, b, p, size, 16);
        break;
    }
    default:
        born(m, b, heap_alloc(m->heap, size), size, 16);
    }
}

static void block_gone(struct heap_model *m, struct model_block *b)
{
    verify(b, b->size);
    m->live_bytes -= b->size;
    if (below(m, 2) == 0)
        MUST(heap_free(m->heap, b->p) == ERR_OK);
    else
        MUST(heap_free_sized(m->heap, b->p, b->size) == ERR_OK);
    b->p = NULL;
}

static void block_resize(struct heap_model *m, struct model_block *b)
{
    size_t size = below(m, 2) == 0 ? random_size(m) : b->size + b->size / 4;
    size_t kept = size < b->size ? size : b->size;

    verify(b, b->size);
    size = size < m->size_max ? size : m->size_max;
    kept = size < kept ? size : kept;

    void *p = heap_realloc(m->heap, b->p, size);

    if (p == NULL) {
        m->failures++;
        return;
    }
    b->p = p;
    /* what was filled by the old stride at the old end may lie between: check the beginning */
    for (size_t i = 0; i < kept && i < 64; i++)
        MUST(b->p[i] == content(b, i));
    for (size_t i = 64; i + 64 < kept && i + 64 < b->size; i += 509)
        MUST(b->p[i] == content(b, i));
    m->live_bytes += size - b->size;
    b->size = size;
    b->align = 1;
    b->pattern = (uint32_t)heap_model_random(&m->random);
    MUST(heap_usable(m->heap, p) >= size);
    fill(b);
}

void heap_model_step(struct heap_model *m)
{
    struct model_block *b = &m->blocks[below(m, m->n_blocks)];

    if (b->p == NULL)
        block_new(m, b);
    else if (below(m, 4) == 0)
        block_resize(m, b);
    else
        block_gone(m, b);
}

static int by_address(const void *a, const void *b)
{
    const struct model_block *x = a, *y = b;

    return (x->p > y->p) - (x->p < y->p);
}

void heap_model_check(struct heap_model *m)
{
    MUST(heap_check(m->heap) == ERR_OK);
    for (size_t i = 0; i < m->n_blocks; i++)
        if (m->blocks[i].p != NULL)
            verify(&m->blocks[i], m->blocks[i].size);
    qsort(m->blocks, m->n_blocks, sizeof *m->blocks, by_address);
    for (size_t i = 1; i < m->n_blocks; i++)
        if (m->blocks[i - 1].p != NULL)
            MUST(m->blocks[i - 1].p + m->blocks[i - 1].size <= m->blocks[i].p);
}

void heap_model_wrong_free(struct heap_model *m)
{
    struct model_block *b = &m->blocks[below(m, m->n_blocks)];
    int                 local;

    if (b->p == NULL) {
        MUST(heap_free(m->heap, &local) != ERR_OK);
        return;
    }
    size_t offset = (size_t)below(m, b->size + 1);
    err_t  err = offset == 0 || offset == b->size ? ERR_OK : heap_free(m->heap, b->p + offset);

    MUST(offset == 0 || offset == b->size || err != ERR_OK);
    verify(b, b->size);
}

void heap_model_close(struct heap_model *m)
{
    for (size_t i = 0; i < m->n_blocks; i++)
        if (m->blocks[i].p != NULL)
            block_gone(m, &m->blocks[i]);
    free(m->blocks);
    MUST(m->live_bytes == 0);
}
