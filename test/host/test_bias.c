/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_bias.c - biased locks (mm/bias.c) under the weakest order of memory that an x86 CPU has
 *
 * On a real computer a missing fence shows once in a million tries. Here the source itself is compiled with
 * atomics that are a simulation: each store of a CPU waits in its buffer until it reaches memory, in order, some
 * time later; its own loads see it at once, the others' do not; a locked instruction and a fence empty the buffer.
 * Before each step it is drawn which CPU goes on, or which buffer hands over a store.
 * Source: Owens, Sarkar, Sewell, "A Better x86 Memory Model: x86-TSO" (TPHOLs 2009)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "mm/port.h"
#include "test/host/model_frame.h"

#define CPUS        3
#define TAKES       8     /* by each CPU, in each round */
#define ROUNDS      8000
#define STORES      16    /* a buffer holds; far more than a CPU writes between two locked instructions */
#define STEPS_MAX   20000 /* of a round: more would be a deadlock */
#define STACK_BYTES 65536

/* ---- CPUs and their store buffers ------------------------------------------------------------------- */

struct store {
    void    *at;
    size_t   bytes;
    uint64_t x;
};

static struct {
    ucontext_t   home, cpu[CPUS];
    char         stack[CPUS][STACK_BYTES];
    struct store buffer[CPUS][STORES];
    unsigned     n[CPUS], n_done, current, steps;
    bool         done[CPUS];
} sim;

static void write_out(struct store s)
{
    if (s.bytes == 8)
        __atomic_store_n((uint64_t *)s.at, s.x, __ATOMIC_RELAXED);
    else
        __atomic_store_n((uint32_t *)s.at, (uint32_t)s.x, __ATOMIC_RELAXED);
}

static void hand_over(unsigned cpu)
{
    if (sim.n[cpu] == 0)
        return;
    write_out(sim.buffer[cpu][0]);
    memmove(sim.buffer[cpu], sim.buffer[cpu] + 1, --sim.n[cpu] * sizeof sim.buffer[cpu][0]);
}

static void empty(unsigned cpu)
{
    while (sim.n[cpu] > 0)
        hand_over(cpu);
}

/* Whatever happens between two instructions of a CPU */
static void step(void)
{
    unsigned me = sim.current;

    while (rnd_below(4) == 0)
        hand_over((unsigned)rnd_below(CPUS));
    if (rnd_below(2) == 0 || sim.done[me])
        swapcontext(&sim.cpu[me], &sim.home);
}

static void sim_store(void *at, size_t bytes, uint64_t x)
{
    step();
    if (sim.n[sim.current] == STORES)
        hand_over(sim.current);
    sim.buffer[sim.current][sim.n[sim.current]++] = (struct store){ at, bytes, x };
}

static uint64_t sim_load(const void *at, size_t bytes)
{
    step();
    for (unsigned i = sim.n[sim.current]; i-- > 0;)
        if (sim.buffer[sim.current][i].at == at)
            return sim.buffer[sim.current][i].x;
    return bytes == 8 ? __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED)
                      : __atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED);
}

static uint32_t sim_exchange(_Atomic uint32_t *at, uint32_t x)
{
    uint32_t old = (uint32_t)sim_load(at, sizeof *at);

    empty(sim.current);
    write_out((struct store){ at, sizeof *at, x });
    return old;
}

/* port_fence_cpus: a fence here, then each CPU is interrupted, at any moment until this returns */
static void sim_fence_cpus(void)
{
    empty(sim.current);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        step();
        empty(cpu);
    }
}

/* ---- the source, on that machine ---------------------------------------------------------------------- */

#undef atomic_store_explicit
#undef atomic_load_explicit
#undef atomic_exchange_explicit
#define atomic_store_explicit(p, x, order) sim_store((void *)(p), sizeof *(p), (uint64_t)(uintptr_t)(x))
#define atomic_load_explicit(p, order)                                                                       \
    _Generic((p),                                                                                            \
        struct biased *_Atomic *: (struct biased *)(uintptr_t)sim_load((p), sizeof *(p)),                    \
        _Atomic uint32_t *: (uint32_t)sim_load((p), sizeof *(p)))
#define atomic_exchange_explicit(p, x, order) sim_exchange((p), (x))
#define port_fence_cpus sim_fence_cpus
#define port_relax      step
#define irqlock_wait(l)                                                                                      \
    while (sim_exchange(&(l)->held, 1) != 0)                                                                 \
    continue
#define irqlock_taken(l)   ((void)(l))
#define irqlock_dropped(l) ((void)(l))

#include "mm/bias.c" /* NOLINT(bugprone-suspicious-include): its atomics are the simulation's */

/* ---- one round: a new lock, and CPUs that take it in turn ------------------------------------------------ */

static struct {
    struct biased lock;
    unsigned      inside, n_taken;
    bool          broken;
} t;

static void cpu_main(void)
{
    unsigned me = sim.current;

    for (unsigned n = 0; n < TAKES; n++) {
        biased_take(&t.lock, me);
        t.broken = t.broken || t.inside != 0;
        t.inside++;
        step();
        t.inside--;
        t.n_taken++;
        biased_drop(&t.lock, me);
        while (rnd_below(8) != 0) /* the others may be far away */
            step();
    }
    sim.done[me] = true;
    sim.n_done++;
    for (;;)
        step();
}

static void open_cpu(ucontext_t *cpu, char *stack)
{
    getcontext(cpu);
    cpu->uc_stack.ss_sp = stack;
    cpu->uc_stack.ss_size = STACK_BYTES;
    cpu->uc_link = &sim.home;
    makecontext(cpu, cpu_main, 0);
}

static void round_of(uint32_t streak)
{
    memset(sim.n, 0, sizeof sim.n);
    memset(sim.done, 0, sizeof sim.done);
    memset(biased_places, 0, sizeof biased_places);
    memset(&t, 0, sizeof t);
    t.lock.wanted = streak;
    sim.n_done = sim.steps = 0;
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        open_cpu(&sim.cpu[cpu], sim.stack[cpu]);
    while (sim.n_done < CPUS && !t.broken && sim.steps++ < STEPS_MAX) {
        sim.current = (unsigned)rnd_below(CPUS);
        swapcontext(&sim.home, &sim.cpu[sim.current]);
    }
}

static void no_two_cpus_are_inside_whatever_the_order_of_memory(void **state)
{
    (void)state;
    rnd_seed_from("test_bias");
    for (unsigned i = 0; i < ROUNDS; i++) {
        round_of(1 + i % 4);
        assert_false(t.broken);
        assert_int_equal(sim.n_done, CPUS); /* else nobody gets on */
        assert_int_equal(t.n_taken, CPUS * TAKES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_cpus_are_inside_whatever_the_order_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
