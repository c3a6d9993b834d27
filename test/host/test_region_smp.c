/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_region_smp.c - four CPUs in one space at once, under ThreadSanitizer
 *
 * All of them fault on the same pages, while one forks the space and ends the child, one maps, protects, moves and unmaps,
 * and one locks and advises. What they must agree on: every fault in memory that stays ends well, no frame is
 * lost or in two hands, and in the end the regions and tables are sound.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/framedb.h"
#include "mm/region.h"
#include "mm/shared.h"
#include "test/host/frame_world.h"
#include "test/host/port_host.h"

#define CPUS  4
#define PAGES 1200
#define STEPS 1500 /* a multiple of 50 */
#define RW    (REGION_R | REGION_W)

static const struct mem_range ram[] = { FREE_RAM(0x100, 0x7f00) };

static struct {
    struct pt        kernel;
    struct as        as;
    struct shared   *object;
    va_t             stays, shared; /* PAGES, and 64 of the object's */
    _Atomic uint64_t waited, served;
} w;

static void must(err_t err, const char *what)
{
    if (err != ERR_OK) {
        fprintf(stderr, "%s: %s\n", what, err_str(err));
        abort();
    }
}

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x >> 11;
}

/* What a CPU does until it may go on */
static void fault(va_t v, bool write)
{
    struct as_fault_report report;

    do {
        must(as_fault(&w.as, v, FAULT_ERR_U | (write ? FAULT_ERR_W : 0), &report), "a fault in memory that stays");
        if (report.plan == FAULT_WAIT) {
            atomic_fetch_add_explicit(&w.waited, 1, memory_order_relaxed);
            port_relax();
        }
    } while (report.plan == FAULT_WAIT);
    atomic_fetch_add_explicit(&w.served, 1, memory_order_relaxed);
}

/* A child lives for 25 steps, in which pages that it shares are written */
static void forks(unsigned step)
{
    static struct as child;

    if (step % 50 == 0)
        must(as_fork(&child, &w.as), "fork");
    else if (step % 50 == 25)
        as_destroy(&child);
}

static void maps(uint64_t *x)
{
    struct region_want want = { .n_pages = 1 + next(x) % 40, .prot = RW };
    va_t               v;

    must(as_region_add(&w.as, &want, &v), "add");
    fault(v, true);
    must(as_region_protect(&w.as, v, 1, REGION_R), "protect");
    must(as_region_protect(&w.as, v, 1, RW), "protect");
    must(as_region_remap(&w.as, v, want.n_pages, want.n_pages + 8, true, &v), "remap");
    must(as_region_remove(&w.as, v, want.n_pages + 8), "remove");
}

static void advises(uint64_t *x)
{
    uint64_t i = next(x) % (PAGES - 30);

    must(as_lock(&w.as, va_add(w.stays, i << PAGE_SHIFT), 30, true), "lock");
    must(as_lock(&w.as, va_add(w.stays, i << PAGE_SHIFT), 30, false), "unlock");
    must(as_advise(&w.as, va_add(w.stays, i << PAGE_SHIFT), 30, AS_DONT_NEED), "don't need");
}

static void *cpu(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t x = 77 + me;

    host_cpu_set(me);
    as_switch(&w.as);
    for (unsigned step = 0; step < STEPS; step++) {
        for (unsigned i = 0; i < 4; i++)
            fault(va_add(w.stays, (next(&x) % PAGES) << PAGE_SHIFT), next(&x) % 2 == 0);
        fault(va_add(w.shared, (next(&x) % 64) << PAGE_SHIFT), true);
        if (me == 1)
            forks(step);
        else if (me == 2 && step % 4 == 0)
            maps(&x);
        else if (me == 3 && step % 8 == 0)
            advises(&x);
    }
    as_switch(NULL);
    return NULL;
}

static void faults_and_changes_on_four_cpus_agree(void **state)
{
    struct pte_cpu     entries = { .phys_bits = 46, .nx = true, .gib_pages = true };
    struct region_want want = { .n_pages = PAGES, .prot = RW };
    pthread_t          thread[CPUS];
    struct as_memory   m;
    uint64_t           before;

    (void)state;
    world_open(ram, ARRAY_LEN(ram));
    host_cpus_set(CPUS);
    must(pte_start(&entries), "pte_start");
    must(pt_create(&w.kernel, 4), "pt_create");
    before = frame_totals().free;
    as_start(&w.kernel);
    must(as_create(&w.as), "as_create");
    must(as_region_add(&w.as, &want, &w.stays), "add");
    must(shared_open("all", 64, &w.object), "shared_open");
    want = (struct region_want){ .n_pages = 64, .prot = RW, .kind = REGION_SHARED, .shared = w.object };
    must(as_region_add(&w.as, &want, &w.shared), "add");
    shared_put(w.object);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, cpu, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_null(as_regions_check(&w.as));
    as_memory(&w.as, &m);
    assert_int_equal(m.mapped_pages, PAGES + 64);
    printf("%llu faults served, %llu told to wait, %llu copies\n", ULL(w.served), ULL(w.waited), ULL(m.faults[FAULT_COPY]));
    assert_true(m.faults[FAULT_COPY] > 0 && m.faults[FAULT_NEW_ZERO] > 0);
    as_destroy(&w.as);
    assert_int_equal(framedb_frames(), 0);
    assert_int_equal(commit_pages(), 0);
    assert_int_equal(frame_totals().free, before);
    pt_destroy(&w.kernel);
    host_cpus_set(1);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(faults_and_changes_on_four_cpus_agree) };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
