/* SPDX-License-Identifier: MIT */
/*
 * test/user/greedy.c - wants all of something: greedy WHAT
 *
 *   forks     a fork bomb: every process forks until it is refused      they are refused and end
 *   memory    maps and writes without end                               ended: out of memory
 *   heap      the same by brk                                           ended, or refused
 *   tables    one page in each gigabyte, for the tables' sake           ended, or refused
 *   regions   mappings of one page, none beside another                 refused
 *   shares    shared memories, each with another name                   they go with it
 *   locks     all memory locked                                         refused, or ended
 */
#include "core/user/ulib.h"

#define FORKS_MAX  3000 /* in all: a bomb that burns out */
#define SHARES_MAX 500  /* 31 MiB: twice what a process with a limit gets in the self-test */

static void forks(void)
{
    uint64_t *n = uptr(must("share", sys_share("bomb", PAGE_SIZE, PROT_READ | PROT_WRITE, NULL)));

    while (__atomic_fetch_add(n, 1, __ATOMIC_RELAXED) < FORKS_MAX && sys_fork() >= 0)
        ;
    while (sys_wait(0, NULL) >= 0)
        ;
}

static void memory(void)
{
    for (;;) {
        volatile char *at = uptr(must("map", sys_map(NULL, MIB, PROT_READ | PROT_WRITE)));

        for (size_t i = 0; i < MIB; i += PAGE_SIZE)
            at[i] = 1;
    }
}

static void heap(void)
{
    volatile char *p;

    while ((p = malloc(64 * 1024)) != NULL)
        for (size_t i = 0; i < (size_t)64 * 1024; i += PAGE_SIZE)
            p[i] = 1;
}

static void tables(void)
{
    for (uint64_t at = 0x200000000000; at < 0x600000000000; at += GIB) {
        volatile char *p = uptr((int64_t)at);

        if (sys_map(uptr((int64_t)at), PAGE_SIZE, PROT_READ | PROT_WRITE | MAP_FIXED) < 0)
            break;
        *p = 1;
    }
}

static void regions(void)
{
    for (uint64_t at = 0x200000000000; at < 0x200000000000 + 64 * GIB; at += 2 * PAGE_SIZE)
        if (sys_map(uptr((int64_t)at), PAGE_SIZE, PROT_READ | MAP_FIXED) < 0)
            break;
}

static void shares(void)
{
    char name[16];

    for (unsigned i = 0; i < SHARES_MAX; i++) {
        int64_t at;

        (void)fmt_string(name, sizeof name, "greedy%u", i);
        at = sys_share(name, 64 * KIB, PROT_READ | PROT_WRITE, NULL);
        if (at < 0)
            break;
        memset(uptr(at), 1, 64 * KIB);
    }
}

static void locks(void)
{
    int64_t at;

    while ((at = sys_map(NULL, 16 * MIB, PROT_READ | PROT_WRITE)) >= 0)
        if (sys_lock(uptr(at), 16 * MIB, true) < 0)
            break;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*act)(void);
    } deeds[] = { { "forks", forks }, { "memory", memory }, { "heap", heap }, { "tables", tables }, { "regions", regions },
                  { "shares", shares }, { "locks", locks } };

    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(deeds); i++)
        if (strcmp(argv[1], deeds[i].name) == 0) {
            deeds[i].act();
            return 0;
        }
    fail("WHAT", -ERR_SYNTAX);
}
