/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_heap.c - any bytes as calls of a heap, right and wrong ones mixed
 *
 * The first byte chooses policy and debug mode; then two bytes are one call: what, and on which of 32 blocks. Each
 * block carries a pattern. A wrong free must be refused, and the heap must be sound at the end.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/host/heap_world.h"
#include "test/host/port_host.h"

#define BLOCKS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    unsigned char *p;
    size_t         size;
} blocks[BLOCKS];

static struct heap_world world;

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_heap: %s\n", what);
    abort();
}

/* Sizes around what matters: steps of classes, the borders of small, medium and large, and absurd ones */
static size_t size_of(uint8_t byte)
{
    static const size_t bases[] = { 0, 16, 128, 256, 512, 4096, 16384, 131072 };

    return byte == 255 ? SIZE_MAX - 100 : bases[byte >> 5] + (byte & 31) - (byte >> 5 != 0 ? 15 : 0);
}

static void fill(unsigned i) { memset(blocks[i].p, (int)(i + 1), blocks[i].size); }

static void verify(unsigned i, size_t n)
{
    for (size_t k = 0; k < n; k += 1 + k / 8)
        must(blocks[i].p[k] == i + 1, "a block changed");
}

static void call(struct heap *h, uint8_t what, uint8_t arg, unsigned i)
{
    size_t size = size_of(arg);

    if (blocks[i].p == NULL) {
        void *p = what & 1 ? heap_alloc(h, size) : heap_alloc_aligned(h, size, (size_t)1 << (what >> 4));

        if (p != NULL) {
            blocks[i].p = p;
            blocks[i].size = size;
            fill(i);
        }
        return;
    }
    verify(i, blocks[i].size);
    if (what % 4 == 0) {
        size_t         kept = size < blocks[i].size ? size : blocks[i].size;
        unsigned char *p = heap_realloc(h, blocks[i].p, size);

        if (p == NULL)
            return;
        blocks[i].p = p;
        verify(i, kept);
        blocks[i].size = size;
        fill(i);
    } else if (what % 4 == 1 && blocks[i].size > 1) {
        must(heap_free(h, blocks[i].p + 1 + arg % (blocks[i].size - 1)) != ERR_OK, "an interior free went through");
    } else {
        must(heap_free(h, blocks[i].p) == ERR_OK, "a good free was refused");
        must(heap_free(h, blocks[i].p) != ERR_OK, "a second free went through");
        blocks[i].p = NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heap_config config = { .name = "fuzz" };
    struct heap       *h;

    if (size < 1)
        return 0;
    config.policy = (enum heap_policy)(data[0] % HEAP_POLICIES);
    config.debug = data[0] & 64;
    host_log_quiet(true);
    heap_world_open(&world, 4096);
    must(heap_create(&world.map, &config, &h) == ERR_OK, "no heap");
    for (size_t at = 1; at + 2 < size; at += 3)
        call(h, data[at], data[at + 1], data[at + 2] % BLOCKS);
    must(heap_check(h) == ERR_OK, "the heap is damaged");
    heap_destroy(h);
    memset(blocks, 0, sizeof blocks);
    must(heap_world_close(&world) == 0, "pages were lost");
    return 0;
}
