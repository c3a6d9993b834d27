/* SPDX-License-Identifier: MIT */
/*
 * test/bench/replay.c - play recorded allocation traces, and say how long a call takes and how little memory is enough
 *
 *   replay [--policy default|list|bitmap] [--libc] [--repeat N] [--no-arena] [--check] [--stats] [--curve FILE] TRACE...
 *
 *     --libc     on malloc of this process (LD_PRELOAD decides which) instead of Octavo's heap; no arena figure
 *     --repeat   best of N runs (5)
 *     --no-arena time only
 *     --check    heap_check now and then, patterns verified
 *     --stats    what the heap looks like at the peak
 *     --curve    calls, live bytes and held bytes over time, one line per 1/500 of the trace
 *
 * One line per trace: name, calls, ns per call, smallest arena in which every call succeeds as a multiple of the
 * peak of live bytes (metadata included).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "mm/heap.h"
#include "test/bench/mtrc.h"
#include "test/host/heap_world.h"
#include "test/host/port_host.h"

static struct {
    enum heap_policy policy;
    bool             libc, check, stats, no_arena;
    unsigned         repeat;
    const char      *curve;
} opt = { .repeat = 5 };

static void die(const char *reason)
{
    fprintf(stderr, "replay: %s\n", reason);
    exit(2);
}

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others on the machine do not count */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void **slots_new(const struct mtrc *t)
{
    void *p = mmap(NULL, t->n_slots * sizeof(void *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (p == MAP_FAILED)
        die("no memory for slots");
    return p;
}

/* ---- the loops: one for each allocator, so that calls are direct --------------------------------- */

#define PLAY(ALLOC, FREE, REALLOC, MEMALIGN, CALLOC)                                                \
    for (uint64_t i = 0; i < t->n_events; i++) {                                                    \
        uint64_t e = t->events[i];                                                                  \
        size_t   size = mtrc_size(e);                                                               \
        void   **slot = &slots[mtrc_slot(e)];                                                       \
        void    *p;                                                                                 \
                                                                                                    \
        switch (mtrc_op(e)) {                                                                       \
        case MTRC_FREE:                                                                             \
            FREE;                                                                                   \
            *slot = NULL;                                                                           \
            continue;                                                                               \
        case MTRC_REALLOC:                                                                          \
            p = REALLOC;                                                                            \
            break;                                                                                  \
        case MTRC_MEMALIGN:                                                                         \
            p = MEMALIGN;                                                                           \
            break;                                                                                  \
        case MTRC_CALLOC:                                                                           \
            p = CALLOC;                                                                             \
            break;                                                                                  \
        default:                                                                                    \
            p = ALLOC;                                                                              \
        }                                                                                           \
        if (p == NULL)                                                                              \
            return false;                                                                           \
        *slot = p;                                                                                  \
    }                                                                                               \
    return true

static bool play_heap(const struct mtrc *t, void **slots, struct heap *h)
{
    PLAY(heap_alloc(h, size), (void)heap_free(h, *slot), heap_realloc(h, *slot, size),
         heap_alloc_aligned(h, size, mtrc_align(e)), heap_zalloc(h, size));
}

static bool play_libc(const struct mtrc *t, void **slots)
{
    PLAY(malloc(size), free(*slot), realloc(*slot, size), aligned_alloc(mtrc_align(e), size), calloc(1, size));
}

/* The replay's own share of the time: the same loop over calls that do nothing. */
static void *volatile      nothing = &opt;
__attribute__((noinline)) static void *no_alloc(size_t size) { (void)size; return nothing; }
__attribute__((noinline)) static void  no_free(void *p) { nothing = p; }

static bool play_nothing(const struct mtrc *t, void **slots)
{
    PLAY(no_alloc(size), no_free(*slot), no_alloc(size), no_alloc(size), no_alloc(size));
}

/* ---- slower loops that look ------------------------------------------------------------------------ */

/* Live bytes go along; every so often, what the heap holds is written down or checked. */
static bool play_watched(const struct mtrc *t, void **slots, struct heap_world *w, struct heap *h, FILE *curve)
{
    struct mtrc  one = { .n_slots = t->n_slots, .n_events = 1 };
    uint32_t    *sizes = calloc(t->n_slots, sizeof *sizes);
    uint64_t     live = 0, peak = 0;
    struct heap_stats at_peak = { 0 };
    struct heap_class_stats classes[HEAP_CLASSES];
    size_t       n_classes = 0;

    if (sizes == NULL)
        die("no memory for sizes");
    for (uint64_t i = 0; i < t->n_events; i++) {
        uint64_t e = t->events[i];
        uint32_t slot = mtrc_slot(e);

        live -= sizes[slot];
        sizes[slot] = mtrc_op(e) == MTRC_FREE ? 0 : (uint32_t)mtrc_size(e);
        live += sizes[slot];
        one.events = &t->events[i];
        if (!play_heap(&one, slots, h))
            return false;
        if (opt.check && i % 5003 == 0 && heap_check(h) != ERR_OK)
            die("heap_check found damage");
        if (curve != NULL && i % (t->n_events / 500 + 1) == 0)
            fprintf(curve, "%llu %llu %llu\n", ULL(i), ULL(live), ULL(w->window.n_committed * PAGE_SIZE));
        if (opt.stats && live > peak + peak / 100) {
            peak = live;
            heap_stats(h, &at_peak);
            n_classes = heap_class_stats(h, classes);
        }
    }
    if (opt.stats) {
        printf("  at %llu live: held %llu, metadata %llu; slabs %llu; extents used %llu in %llu, free %llu in %llu, large %llu\n", ULL(peak),
               ULL(at_peak.pages * PAGE_SIZE), ULL(w->map.meta_pages * PAGE_SIZE), ULL(at_peak.slab_bytes),
               ULL(at_peak.extent_used_bytes), ULL(at_peak.extent_used), ULL(at_peak.extent_free_bytes), ULL(at_peak.extent_free), ULL(at_peak.large_bytes));
        for (size_t i = 0; i < n_classes; i++)
            printf("  %4u: %5llu slabs %6llu used %6llu free, %llu bytes free\n", classes[i].size, ULL(classes[i].runs),
                   ULL(classes[i].used), ULL(classes[i].free), ULL(classes[i].free * classes[i].size));
    }
    free(sizes);
    return true;
}

/* ---- measuring ------------------------------------------------------------------------------------- */

enum { WINDOW_PAGES = 1 << 20 };

struct run {
    double   ns;
    bool     done;
    uint64_t committed; /* pages at the peak */
};

static struct run run_heap(const struct mtrc *t, uint64_t limit, bool watched)
{
    struct heap_config       config = { .policy = opt.policy };
    static struct heap_world w; /* its memory stays warm from run to run, as malloc's does */
    struct heap             *h;
    void             **slots = slots_new(t);
    struct run         r = { 0 };
    FILE              *curve = watched && opt.curve != NULL ? fopen(opt.curve, "w") : NULL;

    if (w.start == NULL)
        heap_world_open(&w, WINDOW_PAGES);
    (void)heap_map_trim(&w.map);
    w.peak = 0;
    w.limit = limit;
    if (heap_create(&w.map, &config, &h) == ERR_OK) {
        r.ns = -now_ns();
        r.done = watched ? play_watched(t, slots, &w, h, curve) : play_heap(t, slots, h);
        r.ns += now_ns();
        r.committed = w.peak;
        heap_destroy(h);
    }
    munmap(slots, t->n_slots * sizeof(void *));
    if (curve != NULL)
        fclose(curve);
    return r;
}

static double time_plain(const struct mtrc *t, bool (*play)(const struct mtrc *, void **))
{
    void **slots = slots_new(t);
    double ns = -now_ns();

    if (!play(t, slots))
        die("out of memory");
    ns += now_ns();
    if (play == play_libc)
        for (uint64_t i = 0; i < t->n_slots; i++)
            free(slots[i]);
    munmap(slots, t->n_slots * sizeof(void *));
    return ns;
}

/* Smallest number of pages with which every call succeeds. */
static uint64_t smallest_arena(const struct mtrc *t, uint64_t enough)
{
    uint64_t low = t->peak_bytes / PAGE_SIZE, high = enough;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (run_heap(t, middle, false).done)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

static void replay(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct mtrc t;
    double      best = 1e18, overhead = 1e18;
    uint64_t    committed = 0;

    mtrc_read(&t, path);
    for (unsigned i = 0; i < opt.repeat; i++) {
        struct run r = opt.libc ? (struct run){ .ns = time_plain(&t, play_libc), .done = true } : run_heap(&t, 0, false);
        double     own = time_plain(&t, play_nothing);

        if (!r.done)
            die("out of memory");
        best = r.ns < best ? r.ns : best;
        overhead = own < overhead ? own : overhead;
        committed = r.committed;
    }
    printf("%-22s %8llu calls %7.2f ns/call (and %.2f of the replay)", name, ULL(t.n_events), (best - overhead) / (double)t.n_events,
           overhead / (double)t.n_events);
    if (!opt.libc && !opt.no_arena) {
        uint64_t arena = smallest_arena(&t, committed);

        printf("  arena %.3f  unlimited %.3f", (double)(arena * PAGE_SIZE) / (double)t.peak_bytes,
               (double)(committed * PAGE_SIZE) / (double)t.peak_bytes);
    }
    putchar('\n');
    if ((opt.check || opt.stats || opt.curve != NULL) && !opt.libc && !run_heap(&t, 0, true).done)
        die("out of memory");
}

static enum heap_policy policy_by_name(const char *name)
{
    for (enum heap_policy p = 0; p < HEAP_POLICIES; p++)
        if (strcmp(name, heap_policy_name(p)) == 0)
            return p;
    die("no such policy");
    return HEAP_DEFAULT;
}

int main(int argc, char *argv[])
{
    int i = 1;

    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--libc") == 0)
            opt.libc = true;
        else if (strcmp(argv[i], "--no-arena") == 0)
            opt.no_arena = true;
        else if (strcmp(argv[i], "--check") == 0)
            opt.check = true;
        else if (strcmp(argv[i], "--stats") == 0)
            opt.stats = true;
        else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc)
            opt.repeat = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--policy") == 0 && i + 1 < argc)
            opt.policy = policy_by_name(argv[++i]);
        else if (strcmp(argv[i], "--curve") == 0 && i + 1 < argc)
            opt.curve = argv[++i];
        else
            die("usage: replay [--policy NAME] [--libc] [--repeat N] [--no-arena] [--check] [--stats] [--curve FILE] TRACE...");
    }
    if (i == argc || opt.repeat == 0)
        die("no trace");
    host_log_quiet(!opt.check);
    for (; i < argc; i++)
        replay(argv[i]);
    return 0;
}
