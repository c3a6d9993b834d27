/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_gpt.c - any bytes as a disk: what is believed of its partition table keeps gpt_read()'s promises
 *
 * The first byte says whether the checksums are made right before the disk is read: else nothing gets past them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/dev/gpt.h"
#include "mm/crc32.h"

#define BLOCK  512
#define BLOCKS 72

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t bytes[BLOCKS * BLOCK];

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_gpt: %s\n", what);
    abort();
}

static const uint8_t *block(void *arg, uint64_t number)
{
    (void)arg;
    must(number < BLOCKS, "a block beyond the disk's end is read");
    return bytes + number * BLOCK;
}

static void mend(uint64_t header)
{
    uint8_t *h = bytes + header * BLOCK;
    uint64_t entries;
    uint32_t n, size, sum;

    memcpy(&entries, h + 72, 8);
    memcpy(&n, h + 80, 4);
    memcpy(&size, h + 84, 4);
    if (entries < BLOCKS && (uint64_t)n * size <= sizeof bytes - entries * BLOCK) {
        sum = crc32(0, bytes + entries * BLOCK, (size_t)n * size);
        memcpy(h + 88, &sum, 4);
    }
    memcpy(&n, h + 12, 4);
    memset(h + 16, 0, 4);
    sum = crc32(0, h, n <= BLOCK ? n : BLOCK);
    memcpy(h + 16, &sum, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gpt_disk disk = { .block_bytes = BLOCK, .n_blocks = BLOCKS, .block = block };
    static struct gpt     g;
    const char           *why = NULL;

    if (size == 0)
        return 0;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, data + 1, size - 1 < sizeof bytes ? size - 1 : sizeof bytes);
    if ((data[0] & 1) != 0) {
        mend(1);
        mend(BLOCKS - 1);
    }
    err_t err = gpt_read(&disk, &g, &why);

    must(err == ERR_OK || (g.n == 0 && why != NULL), "an error without a reason, or with partitions");
    must(!g.backup || why != NULL, "the backup without a reason");
    for (unsigned i = 0; i < g.n; i++) {
        must(g.partition[i].first >= 2 && g.partition[i].first < g.partition[i].end && g.partition[i].end < BLOCKS, "outside");
        must(strlen(g.partition[i].name) <= 36, "its name");
        for (unsigned k = 0; k < i; k++)
            must(g.partition[i].first >= g.partition[k].end || g.partition[k].first >= g.partition[i].end, "an overlap");
    }
    return 0;
}
