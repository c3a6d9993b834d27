/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_bias_smp.c - biased locks (mm/bias.h) taken away from their owner at every moment, under
 * ThreadSanitizer
 *
 * A lock that was taken away is owned again only after twice as many uses: so there are many locks, each new.
 * One CPU makes itself the owner of one after the other and goes on using it; the others come at any moment and
 * take it away. What the lock guards is a plain number: two inside at once are a race, and lose counts.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/bias.h"
#include "test/host/port_host.h"

#define LOCKS   600
#define THIEVES 2
#define THEFTS  6 /* by each of them, from each lock */

static struct {
    struct biased    lock[LOCKS];
    uint64_t         uses[LOCKS]; /* guarded by lock[i]               */
    _Atomic unsigned at;          /* the lock that has an owner now   */
    _Atomic unsigned n_through;   /* how often a thief was through with a lock */
} t;

static void use(unsigned i, unsigned cpu)
{
    biased_take(&t.lock[i], cpu);
    t.uses[i]++;
    biased_drop(&t.lock[i], cpu);
}

static void *thief(void *arg)
{
    unsigned cpu = (unsigned)(uintptr_t)arg;
    uint64_t random = cpu;

    host_cpu_set(cpu);
    for (unsigned i = 0; i < LOCKS; i++) {
        while (atomic_load_explicit(&t.at, memory_order_relaxed) < i)
            port_relax();
        for (unsigned k = 0; k < THEFTS; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            for (uint64_t n = random >> 33 & 255; n > 0; n--)
                (void)atomic_load_explicit(&t.at, memory_order_relaxed);
            use(i, cpu);
        }
        atomic_fetch_add_explicit(&t.n_through, 1, memory_order_relaxed);
    }
    return NULL;
}

static void an_owner_and_those_who_take_its_lock_away_exclude_each_other(void **state)
{
    pthread_t thread[THIEVES];
    uint64_t  uses, all = 0;

    (void)state;
    host_cpus_set(THIEVES + 1);
    host_cpu_set(0);
    for (unsigned i = 0; i < LOCKS; i++)
        t.lock[i] = (struct biased)BIASED("test", 1);
    for (uintptr_t k = 0; k < THIEVES; k++)
        assert_int_equal(pthread_create(&thread[k], NULL, thief, (void *)(k + 1)), 0);
    for (unsigned i = 0; i < LOCKS; i++) {
        for (uses = 0; uses < BIAS_STREAK_MIN; uses++)
            use(i, 0);
        atomic_store_explicit(&t.at, i, memory_order_relaxed);
        for (; atomic_load_explicit(&t.n_through, memory_order_relaxed) < THIEVES * (i + 1); uses++)
            use(i, 0);
        all += uses + THIEVES * THEFTS;
    }
    for (unsigned k = 0; k < THIEVES; k++)
        assert_int_equal(pthread_join(thread[k], NULL), 0);
    for (unsigned i = 0; i < LOCKS; i++)
        all -= t.uses[i];
    assert_int_equal(all, 0);
    host_cpus_set(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_and_those_who_take_its_lock_away_exclude_each_other),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
