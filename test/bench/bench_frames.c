/* SPDX-License-Identifier: MIT */
/*
 * test/bench/bench_frames.c - the frame manager beside other allocators, on the same work in one run
 *
 *   bench-frames [--rounds N] [--csv FILE] [--gib 1|64]    everything, as a table with the bars beside it
 *   bench-frames --quick                                   only what is not time; status 1 if a bar is missed
 *   bench-frames --facts                                   memory touched, metadata, large blocks during churn: CSV
 *   bench-frames --only ALLOCATOR WORKLOAD                 once, for cachegrind and the like; says how many calls
 *
 * Times are the thread's own CPU time, the shortest of all rounds, less what the loop itself costs (measured
 * with an allocator that does nothing). docs/benchmarks.md says what the workloads are.
 */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "test/bench/frame_rivals.h"
#include "test/bench/frame_work.h"
#include "test/bench/list_buddy.h"
#include "test/host/frame_world.h"
#include "test/host/port_host.h"

#define FIRST        (4 * GIB >> PAGE_SHIFT)
#define TRACE        "test/data/traces/page_mix.ptr.xz"
#define ROUNDS_MAX   64
#define THREAD_PAIRS 100000u
#define THREAD_TRIES 20

/* ---- the allocators ----------------------------------------------------------------------------------- */

static uint64_t next_nothing;

static inline err_t nothing_alloc(unsigned order, pfn_t *out)
{
    (void)order;
    *out = pfn(++next_nothing);
    return ERR_OK;
}

static inline err_t nothing_free(pfn_t f, unsigned order)
{
    __asm__ volatile("" : : "r"(f.idx), "r"(order));
    return ERR_OK;
}

static bool with_large_pages = true;

/* Large pages under the simulated memory, as under a kernel's direct map; what is never touched costs nothing */
static void large_pages(uint64_t n)
{
    if (with_large_pages)
        (void)madvise(port_ptr(pfn_to_pa(pfn(FIRST))), n << PAGE_SHIFT, MADV_HUGEPAGE);
}

static void octavo_open(uint64_t n)
{
    world_open(&(struct mem_range)FREE_RAM(FIRST, n), 1);
    large_pages(n);
}

static struct {
    struct mem_range range;
    struct mem_map   map;
    void            *bytes;
} list;

static void list_open(uint64_t n)
{
    list.range = (struct mem_range)FREE_RAM(FIRST, n);
    list.map = (struct mem_map){ .ranges = &list.range, .n = 1 };
    list.bytes = malloc(list_state_bytes(&list.map));
    if (list.bytes == NULL)
        abort();
    host_memory_open((FIRST + n) << PAGE_SHIFT);
    if (n <= 2 * GIB >> PAGE_SHIFT) /* more cannot be had, and it writes to all that it gets */
        large_pages(n);
    work_must(list_start(&list.map, list.bytes, list_state_bytes(&list.map)), "list_start");
}

static void list_close(void)
{
    const char *wrong = list_check();

    if (wrong != NULL) {
        fprintf(stderr, "bench: list: %s\n", wrong);
        abort();
    }
    free(list.bytes);
    host_memory_close();
}

static void open_none(uint64_t n) { (void)n; }
static void close_none(void) {}

#define LIBRARY_CALLS(name)                                                                              \
    static err_t name##_alloc(unsigned order, pfn_t *out)                                                \
    {                                                                                                    \
        void *p;                                                                                         \
        if (name##_alloc_at(&p, PAGE_SIZE << order, PAGE_SIZE << order) != 0)                            \
            return ERR_NOMEM;                                                                            \
        *out = pfn((uintptr_t)p >> PAGE_SHIFT);                                                          \
        return ERR_OK;                                                                                   \
    }                                                                                                    \
    static err_t name##_free(pfn_t f, unsigned order)                                                    \
    {                                                                                                    \
        (void)order;                                                                                     \
        name##_free_at((void *)(uintptr_t)(f.idx << PAGE_SHIFT)); /* NOLINT(performance-no-int-to-ptr) */ \
        return ERR_OK;                                                                                   \
    }
LIBRARY_CALLS(jemalloc)
LIBRARY_CALLS(mimalloc)

static const struct frame_ops nothing = { "nothing", nothing_alloc, nothing_free, open_none, close_none, NULL };
static const struct frame_ops octavo = { "octavo", frame_alloc, frame_free_order, octavo_open, world_close, frame_stats };
static const struct frame_ops list_buddy = { "list", list_alloc, list_free_order, list_open, list_close, list_stats };
static const struct frame_ops glibc = { "glibc", glibc_alloc, glibc_free, open_none, close_none, NULL };
static const struct frame_ops jemalloc = { "jemalloc", jemalloc_alloc, jemalloc_free, open_none, close_none, NULL };
static const struct frame_ops mimalloc = { "mimalloc", mimalloc_alloc, mimalloc_free, open_none, close_none, NULL };

static struct ptrc trace;

/* The workloads for each allocator by itself, so that its calls are direct */
#define INSTANCE(ops)                                                                                    \
    static NOINLINE void ops##_run(struct work *w, enum workload which) { work_run(w, &ops, which, &trace); } \
    static NOINLINE void ops##_pairs(unsigned n) { work_pairs_once(&ops, 0, n); }
INSTANCE(nothing)
INSTANCE(octavo)
INSTANCE(list_buddy)
INSTANCE(glibc)
INSTANCE(jemalloc)
INSTANCE(mimalloc)

enum who { NOTHING, OCTAVO, LIST, GLIBC, JEMALLOC, MIMALLOC, ALLOCATORS };

static const struct allocator {
    const struct frame_ops *ops;
    void (*run)(struct work *w, enum workload which);
    void (*pairs)(unsigned n);
} allocators[ALLOCATORS] = {
    { &nothing, nothing_run, nothing_pairs },    { &octavo, octavo_run, octavo_pairs },
    { &list_buddy, list_buddy_run, list_buddy_pairs }, { &glibc, glibc_run, glibc_pairs },
    { &jemalloc, jemalloc_run, jemalloc_pairs }, { &mimalloc, mimalloc_run, mimalloc_pairs },
};

static bool is_there(enum who who)
{
    return (who != JEMALLOC || jemalloc_alloc_at != NULL) && (who != MIMALLOC || mimalloc_alloc_at != NULL);
}

/* ---- samples ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *unit;
    double      bar;
    bool        more; /* is better */
} metrics[] = {
#define METRIC_ROW(id, name, unit, bar, more) { name, unit, bar, more },
    METRICS(METRIC_ROW)
#undef METRIC_ROW
};

static struct samples {
    unsigned n;
    double   v[ROUNDS_MAX];
} samples[METRICS_COUNT][ALLOCATORS];

static enum who current;

static void sample(enum metric m, double value)
{
    struct samples *s = &samples[m][current];

    if (s->n == ROUNDS_MAX)
        return;

    unsigned at = s->n++;

    for (; at > 0 && s->v[at - 1] > value; at--)
        s->v[at] = s->v[at - 1];
    s->v[at] = value;
}

static bool is_time(enum metric m) { return strncmp(metrics[m].unit, "ns/", 3) == 0; }

/* The figure of the table: the best time; the median of what has outliers; the worst of what must not vary */
static double figure(enum metric m, enum who who)
{
    const struct samples *s = &samples[m][who], *loop = &samples[m][NOTHING];

    if (is_time(m)) {
        double net = s->v[0] - (loop->n != 0 ? loop->v[0] : 0);

        return net > 0 ? net : 0;
    }
    if (m == M_THREADS) /* anybody else at work on the cores only lowers it */
        return s->v[s->n - 1];
    if (m == M_WORST || m == M_WORST_ALL)
        return s->v[s->n / 2];
    return metrics[m].more ? s->v[0] : s->v[s->n - 1];
}

static bool has_bar(enum metric m) { return metrics[m].bar >= 0; }

static bool is_missed(enum metric m)
{
    double got = figure(m, OCTAVO);

    return has_bar(m) && (metrics[m].more ? got < metrics[m].bar : got > metrics[m].bar);
}

/* Returns how many bars are missed */
static unsigned report(const char *title)
{
    unsigned missed = 0;

    printf("\n%-34s %9s %6s", title, "unit", "bar");
    for (enum who who = OCTAVO; who < ALLOCATORS; who++)
        printf(" %9s", allocators[who].ops->name);
    putchar('\n');
    for (enum metric m = 0; m < METRICS_COUNT; m++) {
        if (samples[m][OCTAVO].n == 0)
            continue;
        printf("%-34s %9s ", metrics[m].name, metrics[m].unit);
        if (has_bar(m))
            printf("%6.*f", metrics[m].bar == (double)(int)metrics[m].bar ? 0 : 1, metrics[m].bar);
        else
            printf("%6s", "");
        for (enum who who = OCTAVO; who < ALLOCATORS; who++)
            if (samples[m][who].n == 0)
                printf(" %9s", "-");
            else
                printf(" %9.*f", figure(m, who) >= 200 || !(is_time(m) || m == M_THREADS) ? 0 : m == M_THREADS ? 2 : 1, figure(m, who));
        missed += is_missed(m);
        puts(is_missed(m) ? "   missed" : "");
    }
    return missed;
}

static void write_csv(FILE *f, unsigned gib)
{
    for (enum metric m = 0; m < METRICS_COUNT; m++)
        for (enum who who = NOTHING; who < ALLOCATORS; who++) {
            const struct samples *s = &samples[m][who];

            if (s->n != 0)
                fprintf(f, "%u,\"%s\",%s,%g,%s,%.3f,%.3f,%.3f,%.3f,%u\n", gib, metrics[m].name + strspn(metrics[m].name, " "),
                        metrics[m].unit, metrics[m].bar, allocators[who].ops->name, figure(m, who), s->v[0], s->v[s->n / 2],
                        s->v[s->n - 1], s->n);
        }
}

/* ---- two threads -------------------------------------------------------------------------------------------- */

static _Atomic unsigned ready, go;

struct side {
    const struct allocator *a;
    unsigned                cpu;
    uint64_t                begun, ended;
};

static void *one_side(void *arg)
{
    struct side *side = arg;

    host_cpu_set(side->cpu);
    atomic_fetch_add(&ready, 1);
    while (atomic_load(&go) == 0)
        continue;
    side->begun = port_clock();
    side->a->pairs(THREAD_PAIRS);
    side->ended = port_clock();
    return NULL;
}

/* From the first one's start to the last one's end, by the wall: waiting for a lock must count */
static uint64_t pairs_together(const struct allocator *a, unsigned n)
{
    pthread_t   thread[2];
    struct side side[2];
    uint64_t    begun = UINT64_MAX, ended = 0;

    atomic_store(&ready, 0);
    atomic_store(&go, 0);
    for (unsigned i = 0; i < n; i++) {
        side[i] = (struct side){ a, i, 0, 0 };
        if (pthread_create(&thread[i], NULL, one_side, &side[i]) != 0)
            abort();
    }
    while (atomic_load(&ready) < n)
        port_relax();
    atomic_store(&go, 1);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
        begun = min_u64(begun, side[i].begun);
        ended = max_u64(ended, side[i].ended);
    }
    return ended - begun;
}

static void two_threads(struct work *w, const struct allocator *a)
{
    uint64_t best[2] = { UINT64_MAX, UINT64_MAX };
    uint64_t n = work_fill_half(w, a->ops);

    host_cpus_set(2);
    for (unsigned i = 0; i < THREAD_TRIES; i++)
        for (unsigned k = 0; k < 2; k++)
            best[k] = min_u64(best[k], pairs_together(a, k + 1));
    host_cpus_set(1);
    sample(M_THREADS, 2.0 * (double)best[0] / (double)best[1]);
    work_give(w, a->ops, 0, n, 0);
}

/* ---- the run -------------------------------------------------------------------------------------------------- */

static double tick_ns(void)
{
    uint64_t clock = port_clock(), ticks = work_ticks(), now;

    do
        now = port_clock();
    while (now - clock < 20000000);
    return (double)(now - clock) / (double)(work_ticks() - ticks);
}

static bool is_trace(enum workload which) { return which == W_trace || which == W_tight; }

static void discard(enum metric m, double value) { (void)m, (void)value; }

static void run(struct work *w, enum who who, enum workload which)
{
    current = who;
    w->seed = 1;
    allocators[who].run(w, which);
}

static void run_warm(struct work *w, enum who who, enum workload which)
{
    w->sample = discard;
    run(w, who, which);
    w->sample = sample;
}

static void run_trace(struct work *w, enum who who, enum workload which)
{
    allocators[who].ops->open(work_trace_memory(&trace, which == W_tight));
    run_warm(w, who, which);
    run(w, who, which);
    allocators[who].ops->close();
}

/*
 * 64 GiB of memory: frames that hold links cannot all be had on this computer; C libraries see no difference.
 * They have no bound either, and so nothing to count after churn.
 */
static bool fits(enum who who, enum workload which, unsigned gib)
{
    if (gib == 64)
        return who <= LIST && (which == W_huge || which == W_pairs || (which == W_singles && who != LIST));
    return (who <= LIST || (which != W_churn50 && which != W_churn25 && which != W_churn10)) &&
           (which != W_worst || who != NOTHING);
}

/* All workloads of one allocator, its memory warm */
static void measure(struct work *w, enum who who, unsigned gib)
{
    allocators[who].ops->open(w->n);
    run_warm(w, who, gib == 1 ? W_singles : W_huge);
    for (enum workload which = 0; which < WORKLOADS_COUNT; which++)
        if (fits(who, which, gib) && !is_trace(which))
            run(w, who, which);
    if (gib == 1 && who != NOTHING)
        two_threads(w, &allocators[who]);
    allocators[who].ops->close();
    for (enum workload which = W_trace; which <= W_tight && gib == 1; which++)
        run_trace(w, who, which);
}

static unsigned measure_size(unsigned gib, unsigned rounds, FILE *csv)
{
    struct work w;
    char        title[64];
    unsigned    missed;

    memset(samples, 0, sizeof samples);
    work_open(&w, gib * (GIB >> PAGE_SHIFT), sample);
    w.tick_ns = tick_ns();
    for (unsigned round = 0; round < rounds; round++)
        for (enum who who = NOTHING; who < ALLOCATORS; who++)
            if (is_there(who) && (gib == 1 || who <= LIST))
                measure(&w, who, gib);
    snprintf(title, sizeof title, "%u GiB of frames", gib);
    missed = report(title);
    if (csv != NULL)
        write_csv(csv, gib);
    work_close(&w);
    return missed;
}

/* Facts that are the same on every machine, however busy */
static int quick(void)
{
    static const enum workload facts[] = { W_mix60, W_mix85, W_shares, W_churn50, W_churn25, W_churn10 };
    struct work w;
    unsigned    missed = 0;

    work_open(&w, GIB >> PAGE_SHIFT, sample);
    octavo.open(w.n);
    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        run(&w, OCTAVO, facts[i]);
    octavo.close();
    run_trace(&w, OCTAVO, W_trace);
    run_trace(&w, OCTAVO, W_tight);
    for (enum metric m = 0; m < METRICS_COUNT; m++)
        if (samples[m][OCTAVO].n != 0 && !is_time(m)) {
            printf("%-34s %6.0f   bar %g%s\n", metrics[m].name, figure(m, OCTAVO), metrics[m].bar, is_missed(m) ? "   missed" : "");
            missed += is_missed(m);
        }
    work_close(&w);
    return missed == 0 ? 0 : 1;
}

/* Frames of the simulated memory that were ever written: the host gave pages to these alone */
static uint64_t touched(uint64_t n)
{
    unsigned char *resident = work_array(n);
    uint64_t       count = 0;

    if (mincore(port_ptr(pfn_to_pa(pfn(FIRST))), n << PAGE_SHIFT, resident) != 0)
        abort();
    for (uint64_t i = 0; i < n; i++)
        count += resident[i] & 1;
    munmap(resident, n);
    return count;
}

static void churn_round(unsigned round, uint64_t huge)
{
    printf("churn,%s,%u,%llu\n", allocators[current].ops->name, round + 1, ULL(huge));
}

/* What needs no clock: a line for each, `fact,allocator,x,value` */
static int facts(void)
{
    struct mem_range range = FREE_RAM(FIRST, GIB >> PAGE_SHIFT);
    struct mem_map   map = { .ranges = &range, .n = 1 };
    struct work      w;

    with_large_pages = false;
    work_open(&w, GIB >> PAGE_SHIFT, discard);
    puts("fact,allocator,x,value");
    printf("metadata,octavo,0,%llu\n", ULL(frame_state_bytes(&map) + 17 * PAGE_SIZE));
    printf("metadata,list,0,%llu\n", ULL(list_state_bytes(&map) - FIRST));
    for (enum who who = OCTAVO; who <= LIST; who++) {
        allocators[who].ops->open(w.n);
        run(&w, who, W_huge);
        printf("touched,%s,huge,%llu\n", allocators[who].ops->name, ULL(touched(w.n)));
        run(&w, who, W_singles);
        printf("touched,%s,singles,%llu\n", allocators[who].ops->name, ULL(touched(w.n)));
        w.round = churn_round;
        run(&w, who, W_churn50);
        w.round = NULL;
        allocators[who].ops->close();
    }
    work_close(&w);
    return 0;
}

static int only(const char *name, const char *workload)
{
    static const char *const names[] = {
#define WORKLOAD_TEXT(name) #name,
        WORKLOADS(WORKLOAD_TEXT)
#undef WORKLOAD_TEXT
    };
    struct work w;

    for (enum who who = NOTHING; who < ALLOCATORS; who++)
        for (enum workload which = 0; which < WORKLOADS_COUNT; which++)
            if (strcmp(name, allocators[who].ops->name) == 0 && strcmp(workload, names[which]) == 0 && is_there(who)) {
                work_open(&w, GIB >> PAGE_SHIFT, sample);
                allocators[who].ops->open(is_trace(which) ? work_trace_memory(&trace, which == W_tight) : w.n);
                run(&w, who, which);
                allocators[who].ops->close();
                work_close(&w);
                if (who == NOTHING)
                    printf("%llu\n", ULL(2 * next_nothing)); /* all that is taken is given back */
                return 0;
            }
    fprintf(stderr, "bench-frames: no allocator %s or no workload %s\n", name, workload);
    return 2;
}

int main(int argc, char *argv[])
{
    unsigned    rounds = 5, gib = 0;
    const char *csv_name = NULL;

    host_log_quiet(true);
    ptrc_read(&trace, TRACE);
    if (argc == 2 && strcmp(argv[1], "--quick") == 0)
        return quick();
    if (argc == 2 && strcmp(argv[1], "--facts") == 0)
        return facts();
    rivals_load(argv);
    if (argc == 4 && strcmp(argv[1], "--only") == 0)
        return only(argv[2], argv[3]);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--gib") == 0)
            gib = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--csv") == 0)
            csv_name = argv[i + 1];
        else
            rounds = 0;
    }
    if (argc % 2 == 0 || rounds == 0 || rounds > ROUNDS_MAX || (gib != 0 && gib != 1 && gib != 64)) {
        fputs("usage: bench-frames [--rounds N] [--csv FILE] [--gib 1|64] | --quick | --facts | --only ALLOCATOR WORKLOAD\n", stderr);
        return 2;
    }

    FILE    *csv = csv_name != NULL ? fopen(csv_name, "w") : NULL;
    unsigned missed = 0;

    if (csv != NULL)
        fputs("gib,metric,unit,bar,allocator,figure,min,median,max,runs\n", csv);
    if (gib != 64)
        missed += measure_size(1, rounds, csv);
    if (gib != 1)
        missed += measure_size(64, (rounds + 1) / 2, csv);
    printf("\n%u bars missed\n", missed);
    return csv != NULL && fclose(csv) != 0;
}
