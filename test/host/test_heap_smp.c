/* SPDX-License-Identifier: MIT */
/* test/host/test_heap_smp.c - the heap under eight CPUs: everybody allocates, and frees what others allocated */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "test/host/heap_world.h"
#include "test/host/model_heap.h"
#include "test/host/port_host.h"

#define N_CPUS 8
#define STEPS  6000
#define SHELF  256

/* Blocks in transit: whoever comes by takes what lies there and leaves something else. */
struct parcel {
    size_t        size;
    unsigned char first; /* also the block's contents */
};

static struct heap_world world;
static struct heap      *heap;
static void *_Atomic     shelf[SHELF];

static void deliver(uint64_t *random)
{
    struct parcel *p = atomic_exchange_explicit(&shelf[heap_model_random(random) % SHELF], NULL, memory_order_acq_rel);

    if (p == NULL)
        return;
    const unsigned char *bytes = (unsigned char *)(p + 1);

    for (size_t i = 0; i < p->size; i += 61)
        if (bytes[i] != p->first)
            fail_msg("a block changed on its way");
    if (heap_free(heap, p) != ERR_OK)
        fail_msg("a good block was refused");
}

static void *cpu_main(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    host_cpu_set((unsigned)(uintptr_t)arg);
    for (unsigned i = 0; i < STEPS; i++) {
        size_t         size = heap_model_random(&random) % (i % 50 == 0 ? 200000 : i % 8 == 0 ? 6000 : 300);
        struct parcel *p = heap_alloc(heap, sizeof *p + size);

        if (p == NULL) {
            fail_msg("no memory");
            return NULL;
        }
        *p = (struct parcel){ .size = size, .first = (unsigned char)random };
        memset(p + 1, p->first, size);
        p = atomic_exchange_explicit(&shelf[heap_model_random(&random) % SHELF], p, memory_order_acq_rel);
        if (p != NULL && heap_free(heap, p) != ERR_OK)
            fail_msg("a good block was refused");
        deliver(&random);
        if (i % 1000 == 0)
            (void)heap_trim(heap);
    }
    return NULL;
}

static void eight_cpus_free_each_others_blocks(void **state)
{
    (void)state;
    pthread_t threads[N_CPUS];

    host_log_quiet(true);
    heap_world_open(&world, 1 << 16);
    assert_int_equal(heap_create(&world.map, NULL, &heap), ERR_OK);
    host_cpus_set(N_CPUS);
    for (uintptr_t i = 0; i < N_CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, cpu_main, (void *)i), 0);
    for (size_t i = 0; i < N_CPUS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(heap_check(heap), ERR_OK);
    for (size_t i = 0; i < SHELF; i++)
        assert_int_equal(heap_free(heap, shelf[i]), ERR_OK);
    for (unsigned cpu = 0; cpu < N_CPUS; cpu++) {
        host_cpu_set(cpu);
        (void)heap_trim(heap);
    }
    host_cpu_set(0);
    (void)heap_trim(heap);
    assert_int_equal(heap_check(heap), ERR_OK);

    struct heap_stats s;

    heap_stats(heap, &s);
    assert_true(s.remote_frees > 1000);
    assert_int_equal(s.slab_bytes + s.extent_used_bytes + s.large_bytes, 0);
    heap_destroy(heap);
    assert_int_equal(heap_world_close(&world), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(eight_cpus_free_each_others_blocks) };

    return cmocka_run_group_tests_name("heap_smp", tests, NULL, NULL);
}
