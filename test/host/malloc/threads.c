/* SPDX-License-Identifier: MIT */
/*
 * test/host/malloc/threads.c - threads as CPUs: a number for each, which goes to another thread when it ends
 *
 * When all but the last number are taken, further threads share the last one, under a mutex. So does a thread that is about
 * to end: the C library frees memory after the last of its destructors, and nobody would take back a number given for that.
 */
#include "test/host/malloc/threads.h"

#include <pthread.h>

#include "mm/port.h"
#include "test/host/port_host.h"

#define CPU_SHARED (PORT_CPUS_MAX - 1)

_Thread_local enum thread_kind thread_kind;

static struct {
    pthread_mutex_t shared; /* the CPU that threads share */
    pthread_mutex_t lock;   /* guards what follows        */
    uint64_t        taken;  /* bit per CPU                */
    pthread_key_t   key;    /* its value: CPU + 1         */
    bool            key_made;
} th = { .shared = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER };

void thread_lock(void) { pthread_mutex_lock(&th.shared); }
void thread_unlock(void) { pthread_mutex_unlock(&th.shared); }

static void share(void)
{
    host_cpu_set(CPU_SHARED);
    thread_kind = THREAD_SHARED;
}

void thread_enter(void)
{
    pthread_mutex_lock(&th.lock);

    uint64_t idle = ~th.taken & ~((uint64_t)1 << CPU_SHARED);

    th.taken |= idle & -idle; /* the lowest */
    pthread_mutex_unlock(&th.lock);
    if (idle == 0) {
        share();
        return;
    }
    host_cpu_set((unsigned)__builtin_ctzll(idle));
    thread_kind = THREAD_OWN;
    if (th.key_made)
        pthread_setspecific(th.key, (void *)(uintptr_t)(port_cpu() + 1));
}

static void leave(void *value)
{
    unsigned cpu = (unsigned)(uintptr_t)value - 1;

    share();
    pthread_mutex_lock(&th.lock);
    th.taken &= ~((uint64_t)1 << cpu);
    pthread_mutex_unlock(&th.lock);
}

void threads_open(void)
{
    th.key_made = pthread_key_create(&th.key, leave) == 0;
    if (th.key_made && thread_kind == THREAD_OWN)
        pthread_setspecific(th.key, (void *)(uintptr_t)(port_cpu() + 1));
}

void threads_freeze(void)
{
    pthread_mutex_lock(&th.shared);
    pthread_mutex_lock(&th.lock);
}

void threads_thaw(void)
{
    pthread_mutex_unlock(&th.lock);
    pthread_mutex_unlock(&th.shared);
}

uint64_t threads_taken(void)
{
    pthread_mutex_lock(&th.lock);

    uint64_t taken = th.taken;

    pthread_mutex_unlock(&th.lock);
    return taken;
}
