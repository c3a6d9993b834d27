/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_frame_smp.c - the frame manager used by eight CPUs at once, under ThreadSanitizer
 *
 * Every frame has an owner, written with a compare-and-swap when it is taken and when it is given back:
 * a frame in two hands, or one that was never given out, is noticed at once. Frames travel between the
 * threads, so that they come back from another CPU than the one that took them.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame.h"
#include "mm/port.h"
#include "mm/zero.h"
#include "test/host/frame_world.h"
#include "test/host/port_host.h"

#define CPUS       8
#define GIB_FRAMES (GIB >> PAGE_SHIFT)
#define POST       64 /* places where threads leave blocks for others */

static struct {
    uint64_t          first, n;
    _Atomic uint8_t  *owner; /* owner[n]: CPU + 1; 0 nobody */
    _Atomic uint64_t  post[POST]; /* frame number + order << 56; 0 empty */
    _Atomic uint64_t  n_nomem, n_taken;
    unsigned          steps, order_max;
} w;

struct random {
    uint64_t x;
};

static uint64_t next(struct random *r)
{
    r->x ^= r->x << 13;
    r->x ^= r->x >> 7;
    r->x ^= r->x << 17;
    return r->x >> 11;
}

static void own(pfn_t f, uint64_t n, uint8_t from, uint8_t to)
{
    for (uint64_t i = f.idx - w.first; i < f.idx - w.first + n; i++) {
        uint8_t old = from;

        if (!atomic_compare_exchange_strong_explicit(&w.owner[i], &old, to, memory_order_relaxed, memory_order_relaxed)) {
            fprintf(stderr, "frame %llx: owner %u, expected %u\n", ULL(w.first + i), old, from);
            abort();
        }
    }
}

static void must(err_t err, const char *what)
{
    if (err != ERR_OK) {
        fprintf(stderr, "%s: %s\n", what, err_str(err));
        abort();
    }
}

/* What is done with a frame races if two have it, or if it comes round without the order of a lock */
static void touch(pfn_t f) { ++*(uint64_t *)port_ptr(pfn_to_pa(f)); }

static void give(pfn_t f, unsigned order, uint8_t owner)
{
    touch(f);
    own(f, 1u << order, owner, 0);
    must(frame_free_order(f, order), "free");
}

static void take(struct random *r, uint8_t me, pfn_t held[], uint8_t orders[], unsigned *n)
{
    unsigned order = next(r) % 8 == 0 ? (unsigned)(next(r) % (w.order_max + 1)) : 0;
    bool     zeroed = order == 0 && next(r) % 8 == 0;
    pfn_t    f;

    if (next(r) % 16 == 0)
        (void)frame_zero_idle();
    if ((zeroed ? frame_alloc_zeroed(&f) : frame_alloc(order, &f)) != ERR_OK) {
        atomic_fetch_add_explicit(&w.n_nomem, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&w.n_taken, 1, memory_order_relaxed);
    own(f, 1u << order, 0, me);
    if (zeroed && *(uint64_t *)port_ptr(pfn_to_pa(f)) != 0)
        must(ERR_CORRUPT, "a zeroed frame");
    touch(f);
    held[*n] = f;
    orders[(*n)++] = (uint8_t)order;
}

static void take_bulk(struct random *r, uint8_t me, pfn_t held[], uint8_t orders[], unsigned *n)
{
    size_t k = 1 + next(r) % 100;

    if (frames_alloc(k, held + *n) != ERR_OK)
        return;
    for (size_t i = 0; i < k; i++) {
        own(held[*n], 1, 0, me);
        orders[(*n)++] = 0;
    }
}

/* Leave a block for another thread, and take what lies there */
static void exchange(struct random *r, uint8_t me, pfn_t held[], uint8_t orders[], unsigned *n)
{
    uint64_t mine = 0, theirs;

    if (*n > 0) {
        (*n)--;
        mine = held[*n].idx | (uint64_t)orders[*n] << 56;
        own(held[*n], 1u << orders[*n], me, 255);
    }
    theirs = atomic_exchange_explicit(&w.post[next(r) % POST], mine, memory_order_acq_rel);
    if (theirs != 0)
        give(pfn(theirs & ~((uint64_t)0xff << 56)), (unsigned)(theirs >> 56), 255);
}

static void *work(void *arg)
{
    unsigned       cpu = (unsigned)(uintptr_t)arg, n = 0;
    uint8_t        me = (uint8_t)(cpu + 1);
    struct random  r = { 0x9e3779b97f4a7c15u * (cpu + 1) };
    static _Thread_local pfn_t   held[600];
    static _Thread_local uint8_t orders[600];

    host_cpu_set(cpu);
    for (unsigned step = 0; step < w.steps; step++) {
        uint64_t what = next(&r) % 100;

        if (what < 45 && n < 400) {
            take(&r, me, held, orders, &n);
        } else if (what < 47 && n < 400) {
            take_bulk(&r, me, held, orders, &n);
        } else if (what < 60) {
            exchange(&r, me, held, orders, &n);
        } else if (n > 0) {
            unsigned i = (unsigned)(next(&r) % n);
            pfn_t    f = held[i];
            unsigned order = orders[i];

            held[i] = held[--n];
            orders[i] = orders[n];
            give(f, order, me);
        }
    }
    while (n-- > 0)
        give(held[n], orders[n], me);
    return NULL;
}

static void run(const struct mem_range ranges[], size_t n_ranges, unsigned steps, unsigned order_max)
{
    pthread_t          thread[CPUS];
    struct frame_stats before, after;

    memset(&w, 0, sizeof w);
    w.first = ranges[0].start.idx;
    w.n = ranges[n_ranges - 1].end.idx - w.first;
    w.owner = calloc(w.n, 1);
    w.steps = steps;
    w.order_max = order_max;
    host_cpus_set(CPUS);
    world_open(ranges, n_ranges);
    frame_stats(&before);
    for (uintptr_t i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)i), 0);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (unsigned i = 0; i < POST; i++)
        if (w.post[i] != 0)
            give(pfn(w.post[i] & ~((uint64_t)0xff << 56)), (unsigned)(w.post[i] >> 56), 255);
    assert_null(frame_check());
    frame_stats(&after);
    assert_int_equal(after.free + after.bitmaps, before.free + before.bitmaps);
    for (unsigned e = 0; e < ERR_COUNT; e++)
        assert_int_equal(after.wrong[e], before.wrong[e]);
    world_close();
    host_cpus_set(1);
    free(w.owner);
}

static void eight_cpus_with_plenty_of_memory(void **state)
{
    static const struct mem_range ram[] = { FREE_RAM(4 * GIB_FRAMES, 2 * GIB_FRAMES) };

    (void)state;
    run(ram, ARRAY_LEN(ram), 20000, 12);
    assert_int_equal(w.n_nomem, 0);
}

/* So little that claims are taken back from one another all the time */
static void eight_cpus_short_of_memory(void **state)
{
    static const struct mem_range ram[] = { FREE_RAM(0x2000, 1500) };

    (void)state;
    run(ram, ARRAY_LEN(ram), 4000, 6);
    assert_true(w.n_nomem > 0 && w.n_taken > 1000);
}

/* ---- no frame is out of reach ---------------------------------------------------------------------- */

static void *take_one(void *arg)
{
    pfn_t *f = arg;

    host_cpu_set((unsigned)f->idx);
    must(frame_alloc(0, f), "alloc");
    return NULL;
}

static void a_request_fails_only_if_no_cpu_could_have_served_it(void **state)
{
    static const struct mem_range ram[] = { FREE_RAM(0x2000, 17 + CPUS * 64) };
    pthread_t                     thread;
    pfn_t                         f[CPUS], all[CPUS * 64];
    size_t                        n;

    (void)state;
    host_cpus_set(CPUS);
    world_open(ram, ARRAY_LEN(ram));
    for (unsigned i = 1; i < CPUS; i++) { /* each reserves a word and takes one frame of it */
        f[i] = pfn(i);
        assert_int_equal(pthread_create(&thread, NULL, take_one, &f[i]), 0);
        pthread_join(thread, NULL);
    }
    for (n = 0; frame_alloc(0, &all[n]) == ERR_OK; n++)
        ;
    assert_int_equal(n, CPUS * 64 - (CPUS - 1));
    world_close();
    host_cpus_set(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_cpus_with_plenty_of_memory),
        cmocka_unit_test(eight_cpus_short_of_memory),
        cmocka_unit_test(a_request_fails_only_if_no_cpu_could_have_served_it),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
