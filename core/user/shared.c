/* SPDX-License-Identifier: MIT */
/* core/user/shared.c - one memory in several processes, by its name: each adds to it, none is lost */
#include "core/user/ulib.h"

#define CHILDREN 3
#define ROUNDS   20000

int main(void)
{
    uint64_t *count = uptr(must("share", sys_share("count", PAGE_SIZE, PROT_READ | PROT_WRITE, NULL)));
    int       status, bad = 0;

    for (unsigned i = 0; i < CHILDREN; i++)
        if (must("fork", sys_fork()) == 0) {
            uint64_t *own = uptr(must("share", sys_share("count", PAGE_SIZE, PROT_READ | PROT_WRITE, NULL)));

            for (unsigned k = 0; k < ROUNDS; k++)
                __atomic_fetch_add(own, 1, __ATOMIC_RELAXED);
            return own == count; /* a second view of it lies elsewhere */
        }
    for (unsigned i = 0; i < CHILDREN; i++) {
        must("wait", sys_wait(0, &status));
        bad |= status;
    }
    print("shared: %u processes added 1 %u times each: %llu\n", CHILDREN, ROUNDS, ULL(*count));
    return bad != 0 || *count != (uint64_t)CHILDREN * ROUNDS;
}
