/* SPDX-License-Identifier: MIT */
/*
 * test/host/malloc/malloc.c - malloc and its family on Octavo's heap: build/host/liboctavo-malloc.so, for LD_PRELOAD
 *
 * Threads are CPUs (test/host/malloc/threads.c). While there is one thread, no lock is taken.
 *
 * fork: the locks are held across it. In the child the numbers of the threads that did not come along stay taken for ever:
 * what such a thread was in the middle of is not known. Blocks of theirs can still be freed.
 *
 * OCTAVO_HEAP=policy[,debug] in the environment chooses: default, list, bitmap.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mm/heap.h"
#include "mm/heap_map.h"
#include "mm/port.h"
#include "test/host/malloc/pages.h"
#include "test/host/malloc/threads.h"
#include "test/host/port_host.h"

#define EXPORT __attribute__((visibility("default")))

static struct heap    *process_heap;
static struct heap_map map;

/* ---- threads ------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void start(void)
{
    const char        *wish = getenv("OCTAVO_HEAP");
    struct heap_config config = { .name = "malloc" };

    thread_enter();
    for (enum heap_policy p = 0; wish != NULL && p < HEAP_POLICIES; p++)
        if (strncmp(wish, heap_policy_name(p), strlen(heap_policy_name(p))) == 0)
            config.policy = p;
    config.debug = wish != NULL && strstr(wish, "debug") != NULL;
    if (heap_map_open(&map, malloc_pages_open()) != ERR_OK || heap_create(&map, &config, &process_heap) != ERR_OK)
        PANIC("no memory to start with");
}

static __attribute__((noinline)) bool enter_long(void)
{
    if (process_heap == NULL)
        start();
    if (thread_kind == THREAD_NEW)
        thread_enter();
    if (thread_kind == THREAD_SHARED)
        thread_lock();
    return thread_kind == THREAD_OWN;
}

/* Every call begins with this; false: the lock of the shared CPU must be dropped at the end. */
static inline bool enter(void) { return __builtin_expect(thread_kind == THREAD_OWN, 1) || enter_long(); }

static inline void leave(bool own)
{
    if (__builtin_expect(!own, 0))
        thread_unlock();
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (next == NULL)
        next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))(uintptr_t)dlsym(RTLD_NEXT, "pthread_create");
    leave(enter());
    host_cpus_set(PORT_CPUS_MAX); /* from here on, locks are taken */
    return next(thread, attr, fn, arg);
}

static void before_fork(void)
{
    threads_freeze();
    heap_freeze(process_heap);
    malloc_pages_freeze();
}

static void after_fork(void)
{
    malloc_pages_thaw();
    heap_thaw(process_heap);
    threads_thaw();
}

__attribute__((constructor)) static void prepare(void)
{
    leave(enter());
    threads_open();
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* ---- C ------------------------------------------------------------------------------------------- */

static inline void *result(void *p)
{
    if (__builtin_expect(p == NULL, 0))
        errno = ENOMEM;
    return p;
}

static __attribute__((noinline)) void *malloc_long(size_t size)
{
    bool  own = enter();
    void *p = heap_alloc(process_heap, size);

    leave(own);
    return result(p);
}

EXPORT void *malloc(size_t size)
{
    void *p = __builtin_expect(thread_kind == THREAD_OWN, 1) ? heap_alloc(process_heap, size) : NULL;

    return __builtin_expect(p != NULL, 1) ? p : malloc_long(size);
}

static __attribute__((noinline)) void free_long(void *p)
{
    bool own = enter();

    (void)heap_free(process_heap, p);
    leave(own);
}

/* errno stays as it is: the page source sees to that where it calls Linux. */
EXPORT void free(void *p)
{
    if (__builtin_expect(thread_kind == THREAD_OWN, 1))
        (void)heap_free(process_heap, p);
    else
        free_long(p);
}

EXPORT void *calloc(size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return result(NULL);

    bool  own = enter();
    void *p = heap_zalloc(process_heap, bytes);

    leave(own);
    return result(p);
}

EXPORT void *realloc(void *p, size_t size)
{
    if (p != NULL && size == 0) {
        free(p);
        return NULL;
    }

    bool  own = enter();
    void *q = heap_realloc(process_heap, p, size);

    leave(own);
    return result(q);
}

EXPORT void *reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(n, size, &bytes) ? result(NULL) : realloc(p, bytes);
}

static void *aligned(size_t align, size_t size)
{
    bool  own = enter();
    void *p = heap_alloc_aligned(process_heap, size, align);

    leave(own);
    return p;
}

EXPORT void *memalign(size_t align, size_t size)
{
    while ((align & (align - 1)) != 0) /* the next power of two, as glibc does */
        align = (align | (align - 1)) + 1;
    return result(aligned(align != 0 ? align : 1, size));
}

EXPORT void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
    if (align < sizeof(void *) || (align & (align - 1)) != 0)
        return EINVAL;

    void *p = aligned(align, size);

    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

EXPORT void *valloc(size_t size) { return memalign(PAGE_SIZE, size); }

EXPORT void *pvalloc(size_t size)
{
    if (size > SIZE_MAX - PAGE_SIZE)
        return result(NULL);
    return memalign(PAGE_SIZE, align_up(size, PAGE_SIZE));
}

EXPORT size_t malloc_usable_size(void *p)
{
    bool   own = enter();
    size_t size = p != NULL ? heap_usable(process_heap, p) : 0;

    leave(own);
    return size;
}

EXPORT int malloc_trim(size_t pad)
{
    bool     own = enter();
    uint64_t pages = heap_trim(process_heap);

    (void)pad;
    leave(own);
    return pages != 0;
}

void cfree(void *p); /* gone from the headers, still called by old programs */

EXPORT void cfree(void *p) { free(p); }

/* ---- C++: operator new and delete, by their names in the Itanium ABI --------------------------------- */

void  new_handler_or_throw(void);
void *operator_new(size_t size) __asm__("_Znwm");
void *operator_new_array(size_t size) __asm__("_Znam");
void *operator_new_nothrow(size_t size, const void *tag) __asm__("_ZnwmRKSt9nothrow_t");
void *operator_new_array_nothrow(size_t size, const void *tag) __asm__("_ZnamRKSt9nothrow_t");
void *operator_new_aligned(size_t size, size_t align) __asm__("_ZnwmSt11align_val_t");
void *operator_new_array_aligned(size_t size, size_t align) __asm__("_ZnamSt11align_val_t");
void *operator_new_aligned_nothrow(size_t size, size_t align, const void *tag) __asm__("_ZnwmSt11align_val_tRKSt9nothrow_t");
void *operator_new_array_aligned_nothrow(size_t size, size_t align, const void *tag) __asm__("_ZnamSt11align_val_tRKSt9nothrow_t");
void  operator_delete(void *p) __asm__("_ZdlPv");
void  operator_delete_array(void *p) __asm__("_ZdaPv");
void  operator_delete_sized(void *p, size_t size) __asm__("_ZdlPvm");
void  operator_delete_array_sized(void *p, size_t size) __asm__("_ZdaPvm");
void  operator_delete_nothrow(void *p, const void *tag) __asm__("_ZdlPvRKSt9nothrow_t");
void  operator_delete_array_nothrow(void *p, const void *tag) __asm__("_ZdaPvRKSt9nothrow_t");
void  operator_delete_aligned(void *p, size_t align) __asm__("_ZdlPvSt11align_val_t");
void  operator_delete_array_aligned(void *p, size_t align) __asm__("_ZdaPvSt11align_val_t");
void  operator_delete_sized_aligned(void *p, size_t size, size_t align) __asm__("_ZdlPvmSt11align_val_t");
void  operator_delete_array_sized_aligned(void *p, size_t size, size_t align) __asm__("_ZdaPvmSt11align_val_t");
void  operator_delete_aligned_nothrow(void *p, size_t align, const void *tag) __asm__("_ZdlPvSt11align_val_tRKSt9nothrow_t");
void  operator_delete_array_aligned_nothrow(void *p, size_t align, const void *tag) __asm__("_ZdaPvSt11align_val_tRKSt9nothrow_t");

/* Of libstdc++, if the process has it */
typedef void (*new_handler)(void);
extern new_handler std_get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern NORETURN void std_throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));

/* What `new` does when there is no memory: ask the program's handler for some, else throw. */
void new_handler_or_throw(void)
{
    new_handler handler = std_get_new_handler != NULL ? std_get_new_handler() : NULL;

    if (handler != NULL)
        handler();
    else if (std_throw_bad_alloc != NULL)
        std_throw_bad_alloc();
    else
        abort();
}

static inline void *new_block(size_t size)
{
    for (;;) {
        void *p = malloc(size);

        if (__builtin_expect(p != NULL, 1))
            return p;
        new_handler_or_throw();
    }
}

static void *new_aligned(size_t size, size_t align)
{
    for (;;) {
        void *p = aligned(align, size);

        if (p != NULL)
            return p;
        new_handler_or_throw();
    }
}

static inline void delete_sized(void *p, size_t size)
{
    bool own = enter();

    (void)heap_free_sized(process_heap, p, size);
    leave(own);
}

EXPORT void *operator_new(size_t size) { return new_block(size); }
EXPORT void *operator_new_array(size_t size) { return new_block(size); }
EXPORT void *operator_new_nothrow(size_t size, const void *tag) { (void)tag; return malloc(size); }
EXPORT void *operator_new_array_nothrow(size_t size, const void *tag) { (void)tag; return malloc(size); }
EXPORT void *operator_new_aligned(size_t size, size_t align) { return new_aligned(size, align); }
EXPORT void *operator_new_array_aligned(size_t size, size_t align) { return new_aligned(size, align); }
EXPORT void *operator_new_aligned_nothrow(size_t size, size_t align, const void *tag) { (void)tag; return aligned(align, size); }
EXPORT void *operator_new_array_aligned_nothrow(size_t size, size_t align, const void *tag) { (void)tag; return aligned(align, size); }
EXPORT void operator_delete(void *p) { free(p); }
EXPORT void operator_delete_array(void *p) { free(p); }
EXPORT void operator_delete_sized(void *p, size_t size) { delete_sized(p, size); }
EXPORT void operator_delete_array_sized(void *p, size_t size) { delete_sized(p, size); }
EXPORT void operator_delete_nothrow(void *p, const void *tag) { (void)tag; free(p); }
EXPORT void operator_delete_array_nothrow(void *p, const void *tag) { (void)tag; free(p); }
EXPORT void operator_delete_aligned(void *p, size_t align) { (void)align; free(p); }
EXPORT void operator_delete_array_aligned(void *p, size_t align) { (void)align; free(p); }
EXPORT void operator_delete_sized_aligned(void *p, size_t size, size_t align) { (void)align; delete_sized(p, size); }
EXPORT void operator_delete_array_sized_aligned(void *p, size_t size, size_t align) { (void)align; delete_sized(p, size); }
EXPORT void operator_delete_aligned_nothrow(void *p, size_t align, const void *tag) { (void)align; (void)tag; free(p); }
EXPORT void operator_delete_array_aligned_nothrow(void *p, size_t align, const void *tag) { (void)align; (void)tag; free(p); }
