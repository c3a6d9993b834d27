/* SPDX-License-Identifier: MIT */
/* test/host/test_malloc_threads.c - test/host/malloc/threads.c: numbers for threads, and that none is lost */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "mm/port.h"
#include "test/host/malloc/threads.h"

#define MANY (PORT_CPUS_MAX + 10)

static pthread_key_t     early, late; /* made before and after threads_open's own */
static pthread_barrier_t all_are_there;

/* What each call of malloc does first */
static void call(void)
{
    if (thread_kind == THREAD_NEW)
        thread_enter();
    if (thread_kind == THREAD_SHARED) {
        thread_lock();
        thread_unlock();
    }
}

/* Memory is freed by destructors, whatever their order; and what leaves something behind is called again. */
static void destroy(void *times)
{
    call();
    if ((uintptr_t)times > 1)
        pthread_setspecific(early, (char *)times - 1);
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&early, destroy), 0);
    call();
    threads_open();
    assert_int_equal(pthread_key_create(&late, destroy), 0);
    return 0;
}

static void *work(void *own)
{
    call();
    *(bool *)own = thread_kind == THREAD_OWN && port_cpu() != PORT_CPUS_MAX - 1;
    pthread_setspecific(early, (void *)(uintptr_t)3);
    pthread_setspecific(late, (void *)(uintptr_t)1);
    return NULL;
}

static void a_number_comes_back_whatever_a_thread_frees_at_its_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * MANY; i++) {
        pthread_t thread;
        bool      own = false;

        assert_int_equal(pthread_create(&thread, NULL, work, &own), 0);
        pthread_join(thread, NULL);
        assert_true(own);
        assert_int_equal(threads_taken(), 1); /* the first thread's */
    }
}

static void *work_together(void *own)
{
    (void)work(own);
    pthread_barrier_wait(&all_are_there);
    return NULL;
}

static void threads_beyond_the_last_number_share_one(void **state)
{
    (void)state;
    pthread_t threads[MANY];
    bool      own[MANY];
    unsigned  n_own = 0;

    pthread_barrier_init(&all_are_there, NULL, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_together, &own[i]), 0);
    for (unsigned i = 0; i < MANY; i++) {
        pthread_join(threads[i], NULL);
        n_own += own[i];
    }
    assert_int_equal(n_own, PORT_CPUS_MAX - 2); /* all but this thread's and the shared one */
    assert_int_equal(threads_taken(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_number_comes_back_whatever_a_thread_frees_at_its_end, setup),
        cmocka_unit_test(threads_beyond_the_last_number_share_one),
    };

    return cmocka_run_group_tests_name("malloc_threads", tests, NULL, NULL);
}
