/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/heap.c - the heap on the real machine, on a heap of its own over the kernel's pages
 *
 * A million random calls: each block is filled with a pattern of its own and verified when it goes. Then
 * every kind of wrong free; then a census: after a trim, as many frames held as before.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "mm/heap_kernel.h"

#define TAG    "selftest"
#define BLOCKS 1024
#define CALLS  1000000

struct block {
    uint64_t *p;
    size_t    size; /* bytes, at least 16 */
};

static struct block blocks[BLOCKS];

/* next - xorshift64*; the same numbers each time (Vigna, "An experimental exploration", 2016) */
static uint64_t next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1D;
}

static uint64_t *last_word(const struct block *b) { return b->p + b->size / 8 - 1; }
static uint64_t  pattern(const struct block *b) { return (uintptr_t)b->p * 0x9e3779b97f4a7c15u ^ b->size; }

static void mark(struct block *b) { b->p[0] = *last_word(b) = pattern(b); }
static bool intact(const struct block *b) { return b->p[0] == pattern(b) && *last_word(b) == pattern(b); }

/* Small sizes are the frequent ones; one in 256 is up to half a MiB. */
static size_t random_size(uint64_t r)
{
    size_t most = (r & 255) == 0 ? 512 * KIB : (r & 15) == 0 ? 16 * KIB : 512;

    return 16 + (r >> 8) % most;
}

static err_t spoiled(const struct block *b)
{
    log_error(TAG, "block %p of %zu bytes was written by somebody else", (void *)b->p, b->size);
    return ERR_CORRUPT;
}

static err_t step(struct heap *h, struct block *b, uint64_t r)
{
    size_t size = random_size(r);
    void  *p;

    if (b->p != NULL && !intact(b))
        return spoiled(b);
    if (b->p != NULL && (r >> 60) < 12) {
        err_t err = (r >> 60) < 6 ? heap_free(h, b->p) : heap_free_sized(h, b->p, b->size);

        b->p = NULL;
        return err;
    }
    p = b->p != NULL ? heap_realloc(h, b->p, size) : (r >> 60) == 0 ? heap_alloc_aligned(h, size, 4096) : heap_alloc(h, size);
    if (p == NULL)
        return b->p == NULL ? ERR_OK : ERR_NOMEM; /* full is as good as any other state */
    if (b->p != NULL && size >= b->size && *(uint64_t *)p != pattern(b))
        return spoiled(b); /* realloc lost the contents */
    *b = (struct block){ .p = p, .size = size };
    mark(b);
    return ERR_OK;
}

static err_t random_calls(struct heap *h)
{
    uint64_t state = 1;
    err_t    err = ERR_OK;

    for (unsigned i = 0; i < CALLS && err == ERR_OK; i++) {
        uint64_t r = next(&state);

        err = step(h, &blocks[r >> 20 & (BLOCKS - 1)], next(&state));
    }
    if (err == ERR_OK)
        err = heap_check(h);
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i].p != NULL && heap_free(h, blocks[i].p) != ERR_OK)
            err = ERR_CORRUPT;
        blocks[i].p = NULL;
    }
    return err;
}

static err_t wrong_frees(struct heap *h)
{
    static const size_t sizes[] = { 16, 500, 5000, 300000 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *p = heap_alloc(h, sizes[i]);

        if (p == NULL)
            return ERR_NOMEM;
        if (heap_free(h, p + 8) == ERR_OK || heap_free(h, blocks) == ERR_OK || heap_free(h, p) != ERR_OK ||
            heap_free(h, p) == ERR_OK) {
            log_error(TAG, "a wrong free of %zu bytes was not refused", sizes[i]);
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

static err_t heap(void)
{
    const struct heap_config config = { .name = "selftest", .policy = heap_policy(kernel_heap) };
    struct heap             *h;

    (void)heap_trim(kernel_heap);

    uint64_t before = heap_kernel_frames();

    err_t err = heap_create(heap_kernel_map(), &config, &h);
    if (err != ERR_OK)
        return err;
    err = random_calls(h);
    if (err == ERR_OK)
        err = wrong_frees(h);
    heap_destroy(h);
    (void)heap_trim(kernel_heap);
    if (err == ERR_OK && heap_kernel_frames() != before) {
        log_error(TAG, "%llu frames held before, %llu after", ULL(before), ULL(heap_kernel_frames()));
        err = ERR_CORRUPT;
    }
    return err == ERR_OK ? heap_check(kernel_heap) : err;
}

const struct selftest selftest_heap = { "heap", heap };
