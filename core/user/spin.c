/* SPDX-License-Identifier: MIT */
/*
 * core/user/spin.c - two programs that never give up the CPU, and both get on: preemption
 *
 * Each adds to a number of its own in shared memory, and notes how often the other's has moved since it last
 * looked: that often somebody took the CPU from it. spin [MILLISECONDS], 200 by default.
 */
#include "core/user/ulib.h"

struct both {
    volatile uint64_t number[2];
};

static int spin(struct both *b, unsigned me, int64_t until)
{
    uint64_t other = b->number[!me], turns = 0;

    for (uint64_t n = 1;; n++) {
        b->number[me] = n;
        if (b->number[!me] != other) {
            other = b->number[!me];
            turns++;
        }
        if (n % 65536 == 0 && sys_clock() > until)
            break;
    }
    print("spin: number %u counted; the other one had its turn %s\n", me, turns > 0 ? "meanwhile" : "NEVER");
    return turns == 0;
}

int main(int argc, char **argv)
{
    struct both *b = uptr(must("share", sys_share("spin", PAGE_SIZE, PROT_READ | PROT_WRITE, NULL)));
    uint64_t     ms = 200;
    int64_t      until;
    int          status, bad = 0;

    if (argc > 1 && fmt_read_u64(argv[1], &ms) != ERR_OK)
        fail("spin [MILLISECONDS]", -ERR_SYNTAX);
    until = sys_clock() + (int64_t)ms * 1000000;
    for (unsigned i = 0; i < 2; i++)
        if (must("fork", sys_fork()) == 0)
            return spin(b, i, until);
    for (unsigned i = 0; i < 2; i++) {
        must("wait", sys_wait(0, &status));
        bad |= status;
    }
    return bad;
}
