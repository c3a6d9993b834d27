/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_pt.c - any bytes as operations on page tables; the software MMU and a model of pages judge
 *
 * The first byte chooses the number of levels and whether the shadow TLB watches; then eight bytes to an
 * operation (test/host/pt_ops.c). The tables' frames come from the real frame manager.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/host/frame_world.h"
#include "test/host/pt_ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mem_range ram[] = { FREE_RAM(0x100, 0x3f00) };
    struct pt_ops_stats           stats = { 0 };
    const char                   *wrong;

    if (size == 0)
        return 0;
    world_open(ram, ARRAY_LEN(ram));
    wrong = pt_ops_run(data + 1, size - 1, 4 + (data[0] & 1), (data[0] & 2) != 0, NULL, &stats);
    if (wrong != NULL) {
        fprintf(stderr, "operation %llu: %s\n", (unsigned long long)stats.ops, wrong);
        abort();
    }
    world_close();
    return 0;
}
