/* SPDX-License-Identifier: MIT */
/*
 * test/bench/bench_heap.c - made-up workloads for malloc, whichever it is
 *
 *   bench-heap [--rounds N] [NAME]      LD_PRELOAD decides whose malloc; NAME: only workloads whose name contains it
 *
 * One line `workload,unit,value` each, the best of N rounds (3). Every round is a process of its own, so that each finds
 * an allocator that has done nothing yet. Times are CPU time of all threads, without that of the same loops over calls
 * that do nothing; nobody waits by spinning. Memory is what the system counts as the process's own pages, more than before.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mm/types.h"

static void die(const char *reason)
{
    fprintf(stderr, "bench-heap: %s\n", reason);
    exit(2);
}

/* ---- the allocator under test, or none ------------------------------------------------------------ */

static char     nowhere[64];
static void    *no_alloc(size_t size) { (void)size; return nowhere; }
static void     no_free(void *p) { (void)p; }
static void    *no_realloc(void *p, size_t size) { (void)size; return p; }

static struct {
    void *(*alloc)(size_t size);
    void (*free)(void *p);
    void *(*realloc)(void *p, size_t size);
} use;

static void use_malloc(bool really)
{
    use.alloc = really ? malloc : no_alloc;
    use.free = really ? free : no_free;
    use.realloc = really ? realloc : no_realloc;
}

/* next - xorshift64* (Vigna, "An experimental exploration", 2016) */
static uint64_t next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1D >> 16;
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Pages of this process that are nobody else's, in bytes */
static uint64_t own_bytes(void)
{
    static char line[256];
    FILE       *f = fopen("/proc/self/smaps_rollup", "r");
    uint64_t    kib = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "Anonymous:", 10) == 0)
            kib = strtoull(line + 10, NULL, 10);
    if (f == NULL || kib == 0)
        die("/proc/self/smaps_rollup says nothing");
    fclose(f);
    return kib * 1024;
}

/* ---- pairs ------------------------------------------------------------------------------------------ */

static double pairs(size_t size)
{
    unsigned n = size < 65536 ? 1000000 : 50000;

    for (unsigned i = 0; i < n; i++)
        use.free(use.alloc(size));
    return n;
}

/* ---- many live objects, replaced at random ---------------------------------------------------------- */

#define LIVE  10000
#define CALLS 500000             /* replacements: two calls each    */
#define TAIL  (2 * CALLS / 1000) /* calls that are slower than p99.9 */

struct live {
    void   *p[LIVE];
    size_t  n, size_min, size_max;
    uint64_t random;
};

static size_t random_size(struct live *l) { return l->size_min + next(&l->random) % (l->size_max - l->size_min + 1); }

static void live_fill(struct live *l)
{
    for (size_t i = 0; i < l->n; i++)
        l->p[i] = use.alloc(random_size(l));
}

static void live_replace(struct live *l, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        void **p = &l->p[next(&l->random) % l->n];

        use.free(*p);
        *p = use.alloc(random_size(l));
    }
}

static double mixed(size_t unused)
{
    static struct live l = { .n = LIVE, .size_min = 16, .size_max = 4096, .random = 1 };

    (void)unused;
    live_fill(&l);
    live_replace(&l, CALLS);
    return LIVE + 2.0 * CALLS;
}

/* The same with every page of every object touched: the most memory it ever held over the bytes alive. */
static double mixed_memory(void)
{
    static struct live l = { .n = LIVE, .size_min = 16, .size_max = 4096, .random = 1 };
    static size_t      sizes[LIVE];
    uint64_t           before = own_bytes(), live = 0;
    double             most = 0;

    memset(sizes, 0, sizeof sizes); /* own_bytes has seen neither array yet: both are touched and taken off */
    for (unsigned i = 0; i < LIVE + CALLS; i++) {
        size_t k = i < LIVE ? i : next(&l.random) % LIVE;

        live -= sizes[k];
        free(l.p[k]);
        sizes[k] = random_size(&l);
        l.p[k] = malloc(sizes[k]);
        if (l.p[k] == NULL)
            die("no memory");
        memset(l.p[k], 1, sizes[k]);
        live += sizes[k];
        if (i >= LIVE && i % (CALLS / 20) == 0) {
            double held = (double)(own_bytes() - before - sizeof l.p - sizeof sizes);

            most = held / (double)live > most ? held / (double)live : most;
        }
    }
    return most;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Each call timed by itself, in ticks of the TSC; [0] p99.9, [1] the worst */
static void worst(double out[2])
{
    static struct live l = { .n = LIVE, .size_min = 16, .size_max = 4096, .random = 1 };
    static uint32_t    ticks[2 * CALLS];
    const size_t       rank = ARRAY_LEN(ticks) - TAIL;
    double             ns = -cpu_ns();
    uint64_t           start = __builtin_ia32_rdtsc();

    memset(ticks, 1, sizeof ticks);
    live_fill(&l);
    for (unsigned i = 0; i < CALLS; i++) {
        void   **p = &l.p[next(&l.random) % LIVE];
        size_t   size = random_size(&l);
        uint64_t t0 = __builtin_ia32_rdtsc();

        use.free(*p);
        uint64_t t1 = __builtin_ia32_rdtsc();
        *p = use.alloc(size);
        uint64_t t2 = __builtin_ia32_rdtsc();

        ticks[2 * i] = (uint32_t)(t1 - t0);
        ticks[2 * i + 1] = (uint32_t)(t2 - t1);
    }
    ns += cpu_ns();
    ns /= (double)(__builtin_ia32_rdtsc() - start);
    qsort(ticks, ARRAY_LEN(ticks), sizeof ticks[0], by_value);
    out[0] = ns * ticks[rank];
    out[1] = ns * ticks[2 * CALLS - 1];
}

/* ---- threads ---------------------------------------------------------------------------------------- */

static void in_threads(unsigned n, void *(*fn)(void *), void *arg, size_t stride)
{
    pthread_t threads[8];

    for (unsigned i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, fn, (char *)arg + i * stride) != 0)
            die("no thread");
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

#define BATCH   2048
#define BATCHES 300

static struct {
    void *p[4][BATCH];
    sem_t made, taken;
} belt;

static void *produce(void *unused)
{
    uint64_t random = 1;

    (void)unused;
    for (unsigned b = 0; b < BATCHES; b++) {
        sem_wait(&belt.taken);
        for (size_t i = 0; i < BATCH; i++)
            belt.p[b % 4][i] = use.alloc(16 + next(&random) % 500);
        sem_post(&belt.made);
    }
    return NULL;
}

static void *consume(void *unused)
{
    (void)unused;
    for (unsigned b = 0; b < BATCHES; b++) {
        sem_wait(&belt.made);
        for (size_t i = 0; i < BATCH; i++)
            use.free(belt.p[b % 4][i]);
        sem_post(&belt.taken);
    }
    return NULL;
}

static void *belt_end(void *which) { return *(int *)which == 0 ? produce(NULL) : consume(NULL); }

/* One thread allocates, another one frees. */
static double conveyor(size_t unused)
{
    static int which[2] = { 0, 1 };

    (void)unused;
    sem_init(&belt.made, 0, 0);
    sem_init(&belt.taken, 0, 4);
    in_threads(2, belt_end, which, sizeof which[0]);
    return 2.0 * BATCH * BATCHES;
}

static struct live served[2];

static void *serve(void *arg)
{
    live_replace(arg, 10000);
    return NULL;
}

/* Threads replace objects at random, and end; others go on with what they left (Larson, Krishnan 1998) */
static double server(size_t n_threads)
{
    for (unsigned t = 0; t < 2; t++) {
        served[t] = (struct live){ .n = 1000, .size_min = 10, .size_max = 500, .random = t + 1 };
        live_fill(&served[t]);
    }
    for (unsigned round = 0; round < 40; round++)
        in_threads((unsigned)n_threads, serve, served, sizeof served[0]);
    return 2.0 * 40 * 10000 * (double)n_threads;
}

static void *alone(void *arg)
{
    live_fill(arg);
    live_replace(arg, CALLS / 2);
    return NULL;
}

/* Threads that share nothing but the allocator */
static double apart(size_t n_threads)
{
    for (unsigned t = 0; t < 2; t++)
        served[t] = (struct live){ .n = 2000, .size_min = 16, .size_max = 1024, .random = t + 1 };
    in_threads((unsigned)n_threads, alone, served, sizeof served[0]);
    return (double)n_threads * (2000 + CALLS);
}

/* ---- realloc ------------------------------------------------------------------------------------------ */

/* A hundred vectors side by side grow by half, up to `size` bytes each, a few times over. */
static double growth(size_t size)
{
    enum { VECTORS = 100 };
    unsigned n = 0;
    unsigned times = size > 65536 ? 3 : 60;

    for (unsigned t = 0; t < times; t++) {
        void *v[VECTORS] = { NULL };

        for (size_t now = 32; now < size; now += now / 2)
            for (unsigned i = 0; i < VECTORS; i++, n++)
                v[i] = use.realloc(v[i], now);
        for (unsigned i = 0; i < VECTORS; i++)
            use.free(v[i]);
    }
    return n;
}

/* ---- all of them ---------------------------------------------------------------------------------------- */

static const struct workload {
    const char *name, *unit;
    double (*run)(size_t arg); /* returns how many calls it made */
    size_t arg;
} timed[] = {
    { "pairs of 16", "ns/pair", pairs, 16 },
    { "pairs of 64", "ns/pair", pairs, 64 },
    { "pairs of 256", "ns/pair", pairs, 256 },
    { "pairs of 1024", "ns/pair", pairs, 1024 },
    { "pairs of 4096", "ns/pair", pairs, 4096 },
    { "pairs of 64 KiB", "ns/pair", pairs, 65536 },
    { "pairs of 1 MiB", "ns/pair", pairs, 1 << 20 },
    { "10000 live of 16..4096", "ns/call", mixed, 0 },
    { "realloc growth to 4 KiB", "ns/call", growth, 4096 },
    { "realloc growth to 1 MiB", "ns/call", growth, 1 << 20 },
    { "one thread apart", "ns/call", apart, 1 },
    { "two threads apart", "ns/call", apart, 2 },
    { "producer and consumer", "ns/call", conveyor, 0 },
    { "server of one thread", "ns/call", server, 1 },
    { "server of two threads", "ns/call", server, 2 },
};

static double time_of(const struct workload *w, bool really)
{
    use_malloc(really);

    double ns = -cpu_ns();
    double calls = w->run(w->arg);

    return (ns + cpu_ns()) / calls;
}

/* What a child measures; results are few, so a pipe holds them all */
static void measure(size_t which, double out[2])
{
    if (which < ARRAY_LEN(timed)) {
        out[0] = -time_of(&timed[which], false);
        out[0] += time_of(&timed[which], true);
    } else if (which == ARRAY_LEN(timed)) {
        out[0] = mixed_memory();
    } else {
        use_malloc(true);
        worst(out);
    }
}

static void measure_in_child(size_t which, double best[2])
{
    double out[2] = { 0, 0 };
    int    fds[2], status = 1;

    if (pipe(fds) != 0)
        die("no pipe");

    pid_t child = fork();

    if (child == 0) {
        measure(which, out);
        _exit(write(fds[1], out, sizeof out) == sizeof out ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || read(fds[0], out, sizeof out) != sizeof out)
        die("a workload failed");
    close(fds[0]);
    close(fds[1]);
    for (unsigned i = 0; i < 2; i++)
        best[i] = out[i] < best[i] ? out[i] : best[i];
}

int main(int argc, char *argv[])
{
    static const char *const more[][2] = { { "10000 live, memory", "x live" }, { "10000 live, p99.9", "ns" } };
    unsigned    rounds = 3;
    const char *wanted = "";

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = (unsigned)atoi(argv[++i]);
        else
            wanted = argv[i];
    for (size_t which = 0; which < ARRAY_LEN(timed) + ARRAY_LEN(more); which++) {
        bool        is_timed = which < ARRAY_LEN(timed);
        const char *name = is_timed ? timed[which].name : more[which - ARRAY_LEN(timed)][0];
        const char *unit = is_timed ? timed[which].unit : more[which - ARRAY_LEN(timed)][1];
        double      best[2] = { 1e18, 1e18 };

        if (strstr(name, wanted) == NULL)
            continue;
        for (unsigned r = 0; r < rounds; r++)
            measure_in_child(which, best);
        printf("%s,%s,%.2f\n", name, unit, best[0]);
        if (best[1] > 0)
            printf("10000 live, worst,ns,%.0f\n", best[1]);
        fflush(stdout);
    }
    return 0;
}
