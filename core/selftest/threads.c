/* SPDX-License-Identifier: MIT */
/* core/selftest/threads.c - threads share a CPU, sleep, wait for one another, and end */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/proc/thread.h"
#include "core/x86/time.h"

#define MS       ((uint64_t)1000 * 1000) /* [ns] */
#define TAG      "threads"
#define SLEEPERS 3

static struct {
    _Atomic unsigned turn;               /* which of two threads may count on */
    unsigned         order[SLEEPERS];
    _Atomic unsigned n_woken;
    struct waitq     door;
    bool             open;               /* [door.lock] */
} tt = { .door = WAITQ("door") };

static err_t complain(const char *what)
{
    port_log(PORT_ERROR, TAG, "%s", what);
    return ERR_CORRUPT;
}

static err_t run_all(void (*fn)(void *arg), unsigned n)
{
    struct thread *t[SLEEPERS];
    unsigned       made = 0;
    err_t          err = ERR_OK;

    for (; made < n && err == ERR_OK; made += err == ERR_OK)
        err = thread_create("selftest", NULL, fn, (void *)(uintptr_t)made, &t[made]);
    for (unsigned i = 0; i < made; i++)
        thread_join(t[i]);
    return err;
}

/* Neither gives up the CPU: each gets its turn only because the other is interrupted. */
static void ping_pong(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;

    for (unsigned round = 0; round < 3; round++) {
        while (atomic_load_explicit(&tt.turn, memory_order_acquire) % 2 != me)
            port_relax();
        atomic_fetch_add_explicit(&tt.turn, 1, memory_order_release);
    }
}

static err_t preemption(void)
{
    tt.turn = 0;
    err_t err = run_all(ping_pong, 2);

    return err == ERR_OK && tt.turn != 6 ? complain("two busy threads did not take turns") : err;
}

/* Thread 0 sleeps longest. */
static void sleeper(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;

    if (thread_sleep_ns((SLEEPERS - me) * 2 * MS) == ERR_OK)
        tt.order[atomic_fetch_add_explicit(&tt.n_woken, 1, memory_order_acq_rel)] = me;
}

static err_t sleeping(void)
{
    uint64_t began = time_now_ns();
    err_t    err;

    tt.n_woken = 0;
    err = run_all(sleeper, SLEEPERS);
    if (err != ERR_OK)
        return err;
    for (unsigned i = 0; i < SLEEPERS; i++)
        if (tt.n_woken != SLEEPERS || tt.order[i] != SLEEPERS - 1 - i)
            return complain("sleepers woke in another order than that of their deadlines");
    return time_now_ns() - began < SLEEPERS * 2 * MS ? complain("a sleeper woke too early") : ERR_OK;
}

static void waiter(void *arg)
{
    uint64_t irq = irqlock_take(&tt.door.lock);

    (void)arg;
    while (!tt.open && waitq_wait(&tt.door, 0) == ERR_OK)
        ;
    irqlock_drop(&tt.door.lock, irq);
    atomic_fetch_add_explicit(&tt.n_woken, 1, memory_order_acq_rel);
}

static void opener(void *arg)
{
    if ((uintptr_t)arg != 0) {
        waiter(arg);
        return;
    }
    for (unsigned i = 0; i < 10; i++) /* time for the others to come and wait */
        thread_yield();
    uint64_t irq = irqlock_take(&tt.door.lock);

    tt.open = true;
    waitq_wake(&tt.door);
    irqlock_drop(&tt.door.lock, irq);
}

static err_t waiting(void)
{
    err_t err;

    tt.open = false;
    tt.n_woken = 0;
    err = run_all(opener, SLEEPERS);
    if (err != ERR_OK || tt.n_woken != SLEEPERS - 1)
        return err != ERR_OK ? err : complain("not all who waited were woken");
    uint64_t irq = irqlock_take(&tt.door.lock);

    err = waitq_wait(&tt.door, cpu_rdtsc() + time_ticks(MS));
    irqlock_drop(&tt.door.lock, irq);
    return err == ERR_NOENT && tt.door.first == NULL ? ERR_OK : complain("a deadline passed and the wait did not end");
}

static err_t run(void)
{
    err_t err = preemption();

    if (err == ERR_OK)
        err = sleeping();
    return err == ERR_OK ? waiting() : err;
}

const struct selftest selftest_threads = { "threads", run };
