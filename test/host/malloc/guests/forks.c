/* SPDX-License-Identifier: MIT */
/*
 * test/host/malloc/guests/forks.c - forks of a program whose other threads are inside malloc all the time
 *
 *   forks [FORKS]    200 if not said
 *
 * Eight threads allocate, resize and free blocks of all kinds, and hand some to each other. Each child frees blocks that it
 * inherited from them, allocates and frees its own, and ends. Says "N children ended well"; a child that hangs is
 * found by its alarm.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define SHELF   64
#define OWN     500

static void *_Atomic shelf[SHELF];
static atomic_bool   over;

static uint64_t throw_dice(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return *random >> 33;
}

/* Small ones mostly, medium ones, and a few that are runs of pages. */
static size_t some_size(uint64_t *random)
{
    uint64_t kind = throw_dice(random) % 64;

    return kind == 0 ? 200000 + throw_dice(random) % 200000 : kind < 8 ? 1 + throw_dice(random) % 30000 : 1 + throw_dice(random) % 500;
}

static void *filled(size_t size)
{
    void *p = malloc(size);

    if (p == NULL)
        _exit(3);
    return memset(p, 0x11, size);
}

static void *busy(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        void *mine = filled(some_size(&random));
        void *theirs = atomic_exchange(&shelf[throw_dice(&random) % SHELF], mine);

        free(theirs);
        free(realloc(filled(some_size(&random)), some_size(&random)));
    }
    return NULL;
}

static _Noreturn void child(uint64_t random)
{
    void *own[OWN];

    alarm(20);
    for (unsigned i = 0; i < OWN; i++)
        own[i] = filled(some_size(&random));
    for (unsigned i = 0; i < SHELF; i++)
        free(atomic_exchange(&shelf[i], NULL));
    for (unsigned i = 0; i < OWN; i++)
        free(own[i]);
    _exit(0);
}

int main(int argc, char *argv[])
{
    pthread_t threads[THREADS];
    int       forks = argc > 1 ? atoi(argv[1]) : 200, good = 0;

    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, busy, (void *)(uintptr_t)(i + 1)) != 0)
            return 2;
    for (int i = 0; i < forks; i++) {
        int   status = -1;
        pid_t pid = fork();

        if (pid == 0)
            child((uint64_t)i);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return 2;
        good += status == 0;
        if (status != 0)
            printf("child %d: status %x\n", i, (unsigned)status);
    }
    atomic_store(&over, 1);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%d children ended well\n", good);
    return good == forks ? 0 : 1;
}
