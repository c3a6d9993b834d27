/* SPDX-License-Identifier: MIT */
/*
 * test/user/badcall.c - system calls with wild numbers, pointers and lengths: badcall WHAT
 *
 *   numbers    calls that do not exist                       refused
 *   pointers   each call that takes one, with each bad one   refused
 *   map        memory at places that are the kernel's        refused
 *   wx         memory that is writable and executable        refused
 *   return     SYS_FAULT_RETURN to where ring 3 may not go   refused, or the program ends
 *   edge       SYSCALL in the last bytes below the hole      refused, or the program ends
 *   other      another process' memory at its address        that one ends
 *   random SEED N   N calls, all random, in a child          the child ends somehow
 */
#include "core/user/ulib.h"

static uint64_t seed;
static uint64_t rnd(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

/* Addresses that a kernel must look at twice */
static const uint64_t wild[] = {
    0, 1, 0xFFF, 0x1000, 0xFFFF800000000000, 0xFFFF800000100000, 0xFFFFC00000000000, 0xFFFFFF8000000000, 0xFFFFFFFFFFFFF000, UINT64_MAX,
    0x0000800000000000, 0x8000000000000000, 0x00007FFFFFFFFFFF, 0x00007FFFFFFFF000, 0x00FFFFFFFFFFFFFF, 0x0100000000000000,
};

static unsigned wrong;
static void refused(const char *what, uint64_t arg, int64_t result)
{
    if (result < 0 && result > -ERR_COUNT)
        return;
    print("badcall: %s %#llx gave %#llx\n", what, ULL(arg), ULL(result));
    wrong++;
}

static void numbers(void)
{
    for (uint64_t n = SYS_CALLS; n < SYS_CALLS + 300; n++)
        refused("number", n, cpu_syscall(n, 0, 0, 0, 0, 0));
    for (unsigned bit = 5; bit < 64; bit++)
        refused("number", (uint64_t)1 << bit, cpu_syscall((uint64_t)1 << bit, 0, 0, 0, 0, 0));
    refused("number", UINT64_MAX, cpu_syscall(UINT64_MAX, 0, 0, 0, 0, 0));
    refused("number", SYS_PID | (uint64_t)1 << 32, cpu_syscall(SYS_PID | (uint64_t)1 << 32, 0, 0, 0, 0, 0));
}

static void pointers(void)
{
    char *half = uptr(must("map", sys_map(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE)));
    int   status;

    must("unmap", sys_unmap(half + PAGE_SIZE, PAGE_SIZE));
    memset(half, 'x', PAGE_SIZE);
    for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
        void *p = uptr((int64_t)wild[i]);

        refused("write", wild[i], sys_write(p, 16));
        refused("write of everything", wild[i], sys_write(p, UINT64_MAX));
        refused("memory", wild[i], sys_memory(p));
        refused("spawn", wild[i], sys_spawn(p, NULL, 0));
        refused("spawn arguments", wild[i], sys_spawn("hello", p, 3));
        refused("share", wild[i], sys_share(p, PAGE_SIZE, PROT_READ, NULL));
        refused("map_file", wild[i], sys_map_file(p, 0, PAGE_SIZE, PROT_READ));
        refused("fault_return", wild[i], cpu_syscall(SYS_FAULT_RETURN, wild[i], 0, 0, 0, 0));
    }
    refused("memory across the end", uaddr(half), sys_memory((struct memory_info *)(half + PAGE_SIZE - 8)));
    refused("name across the end", uaddr(half), sys_spawn(half + PAGE_SIZE - 4, NULL, 0));
    refused("text as result", uaddr(half), sys_memory((struct memory_info *)(uintptr_t)pointers));
    refused("wait without children", 0, sys_wait(0, &status));
    refused("too many arguments", 1000000, sys_spawn("hello", (char *const *)half, 1000000));
}

static void map(void)
{
    for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
        void *at = uptr((int64_t)(wild[i] & ~(PAGE_SIZE - 1)));

        if (uaddr(at) == 0x00007FFFFFFFF000 || (uaddr(at) >> 47 != 0 && uaddr(at) >> 56 == 0)) /* with five levels it is ours */
            continue;
        if (at != NULL)
            refused("map", wild[i], sys_map(at, PAGE_SIZE, PROT_READ | PROT_WRITE | MAP_FIXED));
        refused("protect", wild[i], sys_protect(at, PAGE_SIZE, PROT_READ | PROT_WRITE));
        refused("remap", wild[i], sys_remap(at, PAGE_SIZE, 2 * PAGE_SIZE, MAP_MOVE));
        refused("lock", wild[i], sys_lock(at, PAGE_SIZE, true));
    }
    refused("map of nothing", 0, sys_map(NULL, 0, PROT_READ));
    refused("map of everything", UINT64_MAX, sys_map(NULL, UINT64_MAX, PROT_READ));
    refused("map of 2^63", (uint64_t)1 << 63, sys_map(NULL, (size_t)1 << 63, PROT_READ));
    refused("map, unaligned", 1, sys_map(uptr(0x10000000001), PAGE_SIZE, PROT_READ | MAP_FIXED));
    refused("brk into the kernel", 0, sys_brk(uptr((int64_t)0xFFFF800000000000)));
}

static void wx(void)
{
    uint8_t *p = uptr(must("map", sys_map(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE)));

    refused("map W+X", 0, sys_map(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC));
    refused("protect W+X", uaddr(p), sys_protect(p, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC));
    refused("share W+X", 0, sys_share("wx", PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, NULL));
    refused("file W+X", 0, sys_map_file("hello", 0, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC));
}

/* Registers that ring 3 may not load go with rip somewhere harmful, flags all set, rsp in the kernel. */
static void fault_return(void)
{
    static struct fault_info info;

    for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
        int64_t child = must("fork", sys_fork());
        int     status = 0;

        if (child != 0) {
            must("wait", sys_wait(child, &status));
            wrong += (status & 0x100) == 0; /* by an exception, whatever it was */
            continue;
        }
        info.rip = wild[i];
        info.rsp = wild[i];
        info.rflags = UINT64_MAX;
        (void)cpu_syscall(SYS_FAULT_RETURN, uaddr(&info), 0, 0, 0, 0);
        cpu_ud2();
    }
}

/* SYSCALL as the last instruction below the hole: SYSRET must not be told to return into it */
static void edge(void)
{
    static const uint8_t code[] = { 0xB8, SYS_PID, 0, 0, 0, 0x0F, 0x05 };
    uint8_t             *last = uptr(0x00007FFFFFFFF000);

    if (sys_map(last, PAGE_SIZE, PROT_READ | PROT_WRITE | MAP_FIXED) < 0)
        sys_exit(0); /* the best answer */
    memcpy(last + PAGE_SIZE - sizeof code, code, sizeof code);
    must("protect", sys_protect(last, PAGE_SIZE, PROT_READ | PROT_EXEC));
    ((void (*)(void))(uintptr_t)(last + PAGE_SIZE - sizeof code))();
}

/* Our page's address is another's hole */
static void other(void)
{
    volatile uint64_t *own = uptr(must("map", sys_map(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE)));
    char               address[24];
    char *const        arguments[] = { "badmem", "write", address };
    int                status = 0;
    int64_t            pid;

    *own = 42;
    (void)fmt_string(address, sizeof address, "%#llx", ULL(uaddr(own)));
    pid = must("spawn", sys_spawn("badmem", arguments, ARRAY_LEN(arguments)));
    must("wait", sys_wait(pid, &status));
    wrong += status != (0x100 | 14) || *own != 42;
}

/* ---- random ---------------------------------------------------------------------------------------- */

static uint64_t random_argument(uint64_t scratch)
{
    static const uint64_t sizes[] = { 0, 1, 7, 8, 0x10, 0xFFF, 0x1000, 0x1001, 0x2000, 0x200000, 0x40000000, (uint64_t)1 << 40, UINT64_MAX };

    switch (rnd(4)) {
    case 0: return wild[rnd(ARRAY_LEN(wild))];
    case 1: return sizes[rnd(ARRAY_LEN(sizes))];
    case 2: return scratch + (rnd(64) << PAGE_SHIFT);
    default: return rnd(64);
    }
}

/* Calls that would end the child, wait for somebody, or multiply are left out. */
static void random_calls(uint64_t n)
{
    uint64_t scratch = (uint64_t)must("map", sys_map(NULL, 64 * PAGE_SIZE, PROT_READ | PROT_WRITE));

    while (n-- > 0) {
        uint64_t call = rnd(SYS_CALLS + 2);

        if (call == SYS_EXIT || call == SYS_WRITE || call == SYS_READ || call == SYS_FORK || call == SYS_SPAWN || call == SYS_SLEEP ||
            call == SYS_KILL)
            continue;
        (void)cpu_syscall(call, random_argument(scratch), random_argument(scratch), random_argument(scratch),
                          random_argument(scratch), 0);
    }
    sys_exit(0);
}

static void random_children(uint64_t first_seed, uint64_t n)
{
    for (uint64_t i = 0; i < 8; i++) {
        int64_t child = must("fork", sys_fork());
        int     status;

        if (child == 0) {
            seed = first_seed + i;
            random_calls(n);
        }
        must("wait", sys_wait(child, &status)); /* however it ended */
    }
}

int main(int argc, char **argv)
{
    uint64_t n[2] = { 1, 1000 };
    static const struct {
        const char *name;
        void (*act)(void);
    } deeds[] = { { "numbers", numbers }, { "pointers", pointers }, { "map", map }, { "wx", wx }, { "return", fault_return },
                  { "edge", edge }, { "other", other } };

    for (int i = 2; i < argc && i < 4; i++)
        if (fmt_read_u64(argv[i], &n[i - 2]) != ERR_OK)
            fail("number", -ERR_SYNTAX);
    if (argc > 1 && strcmp(argv[1], "random") == 0) {
        random_children(n[0], n[1]);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(deeds); i++)
        if (strcmp(argv[1], deeds[i].name) == 0) {
            deeds[i].act();
            return wrong != 0;
        }
    fail("WHAT", -ERR_SYNTAX);
}
