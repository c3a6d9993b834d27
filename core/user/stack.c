/* SPDX-License-Identifier: MIT */
/* core/user/stack.c - a stack that grows by page faults: stack [KIB], 512 by default; it is nowhere declared */
#include "core/user/ulib.h"

#define FRAME_BYTES 1024

/*
 * What each call left on the stack is added up on the way back: a page that lost its contents shows. It looks at
 * its caller's, too: otherwise the compiler would see that one frame will do.
 */
static uint64_t dig(const volatile uint64_t *outer, uint64_t depth)
{
    volatile uint64_t room[FRAME_BYTES / 8];
    uint64_t          below;

    room[0] = depth;
    room[FRAME_BYTES / 8 - 1] = depth;
    below = depth > 1 ? dig(room, depth - 1) : 0;
    return below + (room[0] + room[FRAME_BYTES / 8 - 1]) / 2 + *outer - (depth + 1);
}

int main(int argc, char **argv)
{
    struct memory_info before, after;
    volatile uint64_t  first;
    uint64_t           kib = 512, sum;

    if (argc > 1 && fmt_read_u64(argv[1], &kib) != ERR_OK)
        fail("stack [KIB]", -ERR_SYNTAX);
    must("memory", sys_memory(&before));
    first = kib + 1;
    sum = dig(&first, kib);
    must("memory", sys_memory(&after));
    print("stack: %llu calls of %u bytes, sum %s: %llu pages came by page faults, %llu of them grew a region\n", ULL(kib), FRAME_BYTES,
          sum == kib * (kib + 1) / 2 ? "right" : "WRONG", ULL(after.resident_pages - before.resident_pages),
          ULL(after.faults_grow - before.faults_grow));
    return sum != kib * (kib + 1) / 2;
}
