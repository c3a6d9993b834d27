/* SPDX-License-Identifier: MIT */
/* test/host/malloc/threads.h - threads as CPUs: a number for each, which goes to another thread when it ends */
#ifndef TEST_HOST_MALLOC_THREADS_H
#define TEST_HOST_MALLOC_THREADS_H

#include "mm/types.h"

/* What the calling thread is to the heap */
enum thread_kind {
    THREAD_NEW,   /* nothing yet: thread_enter() comes first                                */
    THREAD_OWN,   /* a CPU of its own                                                       */
    THREAD_SHARED /* one of those on the last CPU: thread_lock() around each use of the heap */
};

extern _Thread_local enum thread_kind thread_kind;

/* thread_enter - the calling thread becomes a CPU: one of its own, while there are any */
void thread_enter(void);

/* thread_lock, thread_unlock - one at a time on the CPU that threads share */
void thread_lock(void);
void thread_unlock(void);

/* threads_open - from now on numbers come back when their threads end; called once, by the first thread */
void threads_open(void);

/* threads_freeze, threads_thaw - hold the locks around fork() */
void threads_freeze(void);
void threads_thaw(void);

/* threads_taken - a bit for each CPU that has a thread */
uint64_t threads_taken(void);

#endif
