/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_range.c - any bytes as a firmware memory map, against the model
 *
 * The first byte chooses the descriptor size and the reading of the rest: raw descriptors, or eight
 * bytes each for descriptors that lie close together and therefore meet.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/range.h"
#include "test/host/map_csv.h"
#include "test/host/model_range.h"

#define DESCS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* type, attribute, first page (2), pages (2), a bit pattern for wild starts and one for wild lengths */
static struct mem_desc unfold(const uint8_t *p)
{
    static const uint64_t attrs[] = { 0xf, 0, 0x8, 0x7, 0x800f, 0x4000f, 0x1000f, 0x800000000000000f };
    struct mem_desc d = { p[0] < 0xf0 ? p[0] % 20 : 0x7fffffffu + p[0] - 0xf7,
                          (uint64_t)(p[2] | p[3] << 8) << 12, (uint64_t)(p[4] | p[5] << 8),
                          attrs[p[1] % ARRAY_LEN(attrs)] };

    if (p[6] & 0x80)
        d.start |= UINT64_MAX << (p[6] & 63);
    if (p[6] & 0x40)
        d.start += p[6] & 63;
    if (p[7] & 0x80)
        d.pages |= UINT64_MAX >> (p[7] & 63);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char raw[DESCS_MAX * 104];
    static struct mem_range store[MEM_MAP_CAPACITY(DESCS_MAX)];
    struct mem_map map;
    size_t n, desc_bytes;
    const char *different;

    if (size == 0)
        return 0;
    desc_bytes = MEM_DESC_BYTES_MIN + (data[0] & 63);
    if (data[0] & 0x80) {
        n = (size - 1) / desc_bytes < DESCS_MAX ? (size - 1) / desc_bytes : DESCS_MAX;
        memcpy(raw, data + 1, n * desc_bytes);
    } else {
        n = (size - 1) / 8 < DESCS_MAX ? (size - 1) / 8 : DESCS_MAX;
        for (size_t i = 0; i < n; i++)
            map_desc_put(raw, desc_bytes, i, unfold(data + 1 + 8 * i));
    }
    if (mem_map_read(&map, store, MEM_MAP_CAPACITY(n), raw, n * desc_bytes, desc_bytes) != ERR_OK)
        abort();
    different = model_range_check(&map, raw, n, desc_bytes);
    if (different != NULL) {
        fprintf(stderr, "%s\n", different);
        abort();
    }
    return 0;
}
