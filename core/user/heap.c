/* SPDX-License-Identifier: MIT */
/* core/user/heap.c - a heap that grows by brk, and is there only where it is touched */
#include "core/user/ulib.h"

#define BLOCKS 2000

static struct { unsigned char *p; size_t n; } blocks[BLOCKS];

static uint64_t seed = 1;
static size_t random_size(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return 16 + (size_t)(seed >> 33) % 1000;
}

static unsigned fill_and_check(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i].n = random_size();
        blocks[i].p = malloc(blocks[i].n);
        if (blocks[i].p == NULL)
            fail("malloc", -ERR_NOMEM);
        memset(blocks[i].p, (int)(i & 0xFF), blocks[i].n);
        if (i % 3 == 2) { /* every third block gives its place to a later one */
            free(blocks[i - 1].p);
            blocks[i - 1].p = NULL;
        }
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        for (size_t k = 0; blocks[i].p != NULL && k < blocks[i].n; k++)
            wrong += blocks[i].p[k] != (unsigned char)i;
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i].p);
    return wrong;
}

int main(void)
{
    struct memory_info before, after, reserved;
    uint64_t           start = (uint64_t)must("brk", sys_brk(NULL));
    unsigned           wrong;

    must("memory", sys_memory(&before));
    wrong = fill_and_check();
    must("memory", sys_memory(&after));
    print("heap: %u blocks, %u bytes wrong; brk moved by %llu KiB, %llu pages came\n", BLOCKS, wrong,
          ULL(((uint64_t)sys_brk(NULL) - start) / 1024), ULL(after.resident_pages - before.resident_pages));
    must("brk", sys_brk((char *)uptr(sys_brk(NULL)) + 64 * MIB));
    must("memory", sys_memory(&reserved));
    print("heap: 64 MiB more are reserved, and %llu pages more are resident\n", ULL(reserved.resident_pages - after.resident_pages));
    return wrong != 0;
}
