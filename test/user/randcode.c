/* SPDX-License-Identifier: MIT */
/*
 * test/user/randcode.c - random bytes as code, with random registers: randcode [SEED [RUNS]]
 *
 * The fault handler is the loop: whatever a run ends in, it writes the next one, fills the registers, and
 * returns into it with TF set. So each instruction comes back as #DB, and no run has more than STEPS of them. A
 * run may spoil all of this, which ends the child it is in, or let it hang; the parent, which looks on
 * every few milliseconds, then ends it and starts another.
 */
#include "core/user/ulib.h"

#define BATCH      500 /* runs in a process     */
#define RUN_BYTES  32
#define STEPS      24
#define CODE_BYTES PAGE_SIZE
#define LOOK_NS    ((uint64_t)5 * 1000 * 1000)
#define HANGS      60 /* looks without a change */
#define RFLAGS_TF  ((uint64_t)1 << 8)
#define VECTOR_DB  1u

/* What all see; a run may write here, too */
struct seen {
    volatile uint64_t runs, events;
    volatile uint32_t by_vector[32];
};

/* What only those see who look on */
struct control {
    volatile int64_t  child;
    volatile bool     done;
    volatile uint64_t ended_early;
};

static struct seen    *seen;
static struct control *control;
static uint64_t     seed;
static uint8_t     *code, *scratch;
static unsigned     steps, runs_left, run_at;

static _Alignas(16) char handler_stack[16384];

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 32 ^ seed << 13;
}

/* Register values: small numbers, pointers to what is ours, and anything */
static uint64_t random_register(void)
{
    uint64_t r = rnd();

    switch (r & 3) {
    case 0: return (r >> 2) & 0x1F;
    case 1: return uaddr(scratch) + ((r >> 2) & 0xFFFF);
    case 2: return rnd() << 32 ^ rnd();
    default: return uaddr(code) + ((r >> 2) & 0xFFF);
    }
}

/* Fork and spawn would leave children behind, reading and sleeping would wait: not by the number in RAX. */
static bool harmless(uint64_t rax)
{
    return rax != SYS_FORK && rax != SYS_SPAWN && rax != SYS_READ && rax != SYS_SLEEP && rax != SYS_WRITE && rax != SYS_EXIT;
}

static void protect_code(unsigned prot)
{
    if (sys_protect(code, CODE_BYTES, prot) < 0) /* a run has unmapped it */
        sys_exit(1);
}

static void fill_code(void)
{
    protect_code(PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < CODE_BYTES; i += 4) {
        uint32_t r = (uint32_t)rnd();

        memcpy(code + i, &r, sizeof r);
        if (i % (4 * RUN_BYTES) == 0) { /* every fourth run begins with a system call */
            code[i] = 0x0F;
            code[i + 1] = 0x05;
        }
    }
    protect_code(PROT_READ | PROT_EXEC);
}

static void next_run(struct fault_info *f)
{
    uint64_t *registers = &f->r15;

    if (runs_left-- == 0)
        sys_exit(0);
    if (run_at % CODE_BYTES == 0)
        fill_code();
    for (unsigned i = 0; i < 15; i++)
        registers[i] = random_register();
    while (!harmless(f->rax))
        f->rax = random_register();
    f->rip = uaddr(code) + run_at % CODE_BYTES;
    f->rsp = random_register();
    f->rflags = (rnd() & 0xCD5) | RFLAGS_TF;
    run_at += RUN_BYTES;
    steps = STEPS;
    seen->runs++;
}

static void handler(struct fault_info *f)
{
    seen->events++;
    seen->by_vector[f->vector & 31]++;
    if (f->vector == VECTOR_DB && --steps != 0 && f->rip >> 47 == 0) /* elsewhere it cannot go on */
        f->rflags |= RFLAGS_TF;
    else
        next_run(f);
}

static void run_batch(uint64_t batch_seed)
{
    seed = batch_seed;
    runs_left = BATCH;
    code = uptr(must("map", sys_map(NULL, CODE_BYTES, PROT_READ | PROT_WRITE)));
    scratch = uptr(must("map", sys_map(NULL, 16 * PAGE_SIZE, PROT_READ | PROT_WRITE)));
    must("on_fault", on_fault(handler, handler_stack + sizeof handler_stack));
    cpu_ud2();
}

/* The second: waits for the third */
static void keep(uint64_t batch_seed)
{
    int     status = 1;
    int64_t child = must("fork", sys_fork());

    if (child == 0) {
        must("unmap", sys_unmap(control, PAGE_SIZE));
        run_batch(batch_seed);
    }
    control->child = child;
    must("wait", sys_wait(child, &status));
    control->ended_early += status != 0;
    control->done = true;
    sys_exit(0);
}

/* The first: looks on until it is done, and ends the third when nothing has moved for long */
static void watch(void)
{
    uint64_t last = 0;

    for (unsigned still = 0; !control->done; still++) {
        if (seen->events != last)
            still = 0;
        last = seen->events;
        if (still == HANGS && control->child != 0)
            (void)sys_kill(control->child);
        must("sleep", sys_sleep(LOOK_NS));
    }
    must("wait", sys_wait(0, NULL));
}

int main(int argc, char **argv)
{
    uint64_t n[2] = { 1, 2000 };

    for (int i = 1; i < argc && i < 3; i++)
        if (fmt_read_u64(argv[i], &n[i - 1]) != ERR_OK)
            fail("randcode [SEED [RUNS]]", -ERR_SYNTAX);
    seen = uptr(must("share", sys_share("seen", PAGE_SIZE, PROT_READ | PROT_WRITE, NULL)));
    control = uptr(must("share", sys_share("control", PAGE_SIZE, PROT_READ | PROT_WRITE, NULL)));
    for (uint64_t i = 0; i < (n[1] + BATCH - 1) / BATCH; i++) {
        control->done = false;
        control->child = 0;
        if (must("fork", sys_fork()) == 0)
            keep(n[0] * 1000003 + i);
        watch();
    }
    print("randcode: %llu runs: %u #DB, %u #UD, %u #GP, %u #PF; %llu batches ended early\n", ULL(seen->runs),
          seen->by_vector[1], seen->by_vector[6], seen->by_vector[13], seen->by_vector[14],
          ULL(control->ended_early));
    return 0;
}
