/* SPDX-License-Identifier: MIT */
/*
 * test/bench/frame_work.h - workloads for frame allocators
 *
 * Each workload is inlined into its caller with a constant table of calls, so that the allocator is called
 * directly, as a kernel would. Each begins and ends with all memory free, and reports what it measured
 * through w->sample(). An allocator that does nothing (a stack of numbers) tells the loops' own share.
 */
#ifndef TEST_BENCH_FRAME_WORK_H
#define TEST_BENCH_FRAME_WORK_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "mm/frame.h"
#include "mm/port.h"
#include "test/bench/ptrc.h"

#define INLINED static inline __attribute__((always_inline))

struct frame_ops {
    const char *name;
    err_t (*alloc)(unsigned order, pfn_t *out);
    err_t (*free)(pfn_t f, unsigned order);
    void (*open)(uint64_t n);               /* n frames from 4 GiB on     */
    void (*close)(void);
    void (*stats)(struct frame_stats *s);   /* NULL: its memory is not bounded */
};

/* name, what it is, unit, bar, is more better?  A negative bar is none. */
#define METRICS(X)                                                                           \
    X(TAKE, "take all frames, one by one", "ns/alloc", 4, false)                             \
    X(GIVE, "give them back in random order", "ns/free", 12, false)                          \
    X(PAIR_EMPTY, "pairs, memory empty", "ns/pair", 12, false)                               \
    X(PAIR_HALF, "pairs, half full at random", "ns/pair", 12, false)                         \
    X(THREADS, "pairs, two threads: times one", "x", 1.8, true)                              \
    X(HUGE_PAIR, "2 MiB: pairs", "ns/pair", 30, false)                                       \
    X(HUGE_TAKE, "2 MiB: take all", "ns/alloc", 10, false)                                   \
    X(HUGE_GIVE, "2 MiB: give all back", "ns/free", 10, false)                               \
    X(MIX60, "orders 0..9 mixed, 60 % held", "ns/call", 25, false)                           \
    X(MIX60_FAILED, "  requests failed", "ppm", 0, false)                                    \
    X(MIX85, "orders 0..9 mixed, 85 % held", "ns/call", 25, false)                           \
    X(MIX85_FAILED, "  requests failed", "ppm", 100, false)                                  \
    X(SHARES, "each order the same memory, 85 %", "ns/call", -1, false)                      \
    X(SHARES_FAILED, "  requests failed", "ppm", -1, false)                                  \
    X(CHURN, "churn at half load", "ns/call", -1, false)                                      \
    X(CHURN50, "  2 MiB blocks whole, 50 % live", "of 512", 256, true)                       \
    X(CHURN25, "  2 MiB blocks whole, 25 % live", "of 512", 384, true)                       \
    X(CHURN10, "  2 MiB blocks whole, 10 % live", "of 512", 460, true)                       \
    X(TRACE, "page_mix, memory = peak / 0.9", "ns/call", 10, false)                          \
    X(TRACE_FAILED, "  requests failed", "calls", 0, false)                                  \
    X(TRACE_TIGHT, "page_mix, memory = peak", "ns/call", 10, false)                          \
    X(TRACE_TIGHT_FAILED, "  requests failed", "calls", 0, false)                            \
    X(TRACE_LEFT, "  2 MiB blocks whole at the end", "of 120", 101, true)                    \
    X(WORST, "worst call, p99.9", "ns", 100, false)                                          \
    X(WORST_ALL, "worst call of all", "ns", -1, false)

enum metric {
#define METRIC_NAME(name, ...) M_##name,
    METRICS(METRIC_NAME)
#undef METRIC_NAME
    METRICS_COUNT
};

struct work {
    void (*sample)(enum metric m, double value);
    uint64_t n;        /* frames of memory               */
    pfn_t   *held;     /* held[n]: what was taken        */
    uint8_t *order;    /* order[n]: of each of these     */
    uint32_t *calls;   /* calls[n_calls]: ticks of single calls, for the worst one */
    uint64_t n_calls;
    double   tick_ns;
    void (*round)(unsigned round, uint64_t huge); /* NULL, or told after each round of churn */
    uint64_t seed;
};

#define WORK_HUGE   9 /* the order of 2 MiB      */
#define WORK_PAIRS  200000u
#define WORK_MIXED  400000u

/* ---- tools ------------------------------------------------------------------------------------------ */

/* Time of this thread alone: others on the machine do not count */
static inline double work_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline uint64_t work_ticks(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi) : : "rcx", "memory");
    return (uint64_t)hi << 32 | lo;
}

static inline uint32_t work_random(struct work *w) /* Knuth's MMIX constants; the upper half is good */
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->seed >> 32);
}

static inline uint64_t work_below(struct work *w, uint64_t n) { return work_random(w) * n >> 32; }

static inline void *work_array(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        perror("bench: no memory");
        exit(1);
    }
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

static inline void work_open(struct work *w, uint64_t n, void (*sample)(enum metric m, double value))
{
    *w = (struct work){ .sample = sample, .n = n, .n_calls = WORK_MIXED, .tick_ns = 1, .seed = 1 };
    w->held = work_array(n * sizeof *w->held);
    __builtin_memset(w->held, 0xff, n * sizeof *w->held); /* so that nobody pays for its first touch */
    w->order = work_array(n);
    w->calls = work_array(n * sizeof *w->calls);
}

static inline void work_close(struct work *w)
{
    munmap(w->held, w->n * sizeof *w->held);
    munmap(w->order, w->n);
    munmap(w->calls, w->n * sizeof *w->calls);
}

static inline void work_must(err_t err, const char *what)
{
    if (err != ERR_OK) {
        fprintf(stderr, "bench: %s: %s\n", what, err_str(err));
        abort();
    }
}

static inline void work_shuffle(struct work *w, uint64_t n)
{
    for (uint64_t i = n; i > 1; i--) {
        uint64_t at = work_below(w, i);
        pfn_t    kept = w->held[i - 1];

        w->held[i - 1] = w->held[at];
        w->held[at] = kept;
    }
}

INLINED uint64_t work_take(struct work *w, const struct frame_ops *o, uint64_t from, uint64_t to, unsigned order)
{
    while (from < to && o->alloc(order, &w->held[from]) == ERR_OK)
        from++;
    return from;
}

INLINED void work_give(struct work *w, const struct frame_ops *o, uint64_t from, uint64_t to, unsigned order)
{
    for (uint64_t i = from; i < to; i++)
        work_must(o->free(w->held[i], order), "free");
}

static inline uint64_t work_huge_left(const struct frame_ops *o)
{
    struct frame_stats s;
    uint64_t           n = 0;

    o->stats(&s);
    for (unsigned k = WORK_HUGE; k <= FRAME_ORDER_MAX; k++)
        n += s.blocks[k] << (k - WORK_HUGE);
    return n;
}

/* ---- the workloads ---------------------------------------------------------------------------------- */

INLINED void work_singles(struct work *w, const struct frame_ops *o)
{
    double   begun = work_now();
    uint64_t n = work_take(w, o, 0, w->n, 0);
    double   taken = work_now();

    w->sample(M_TAKE, (taken - begun) / (double)n);
    work_shuffle(w, n);
    begun = work_now();
    work_give(w, o, 0, n, 0);
    w->sample(M_GIVE, (work_now() - begun) / (double)n);
}

INLINED void work_pairs_once(const struct frame_ops *o, unsigned order, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pfn_t f;

        work_must(o->alloc(order, &f), "pair");
        work_must(o->free(f, order), "pair");
    }
}

INLINED void work_pairs(struct work *w, const struct frame_ops *o, enum metric m, unsigned order)
{
    double begun = work_now();

    work_pairs_once(o, order, WORK_PAIRS);
    w->sample(m, (work_now() - begun) / WORK_PAIRS);
}

/* Memory half full, with the holes anywhere; ends empty */
INLINED uint64_t work_fill_half(struct work *w, const struct frame_ops *o)
{
    uint64_t n = work_take(w, o, 0, w->n, 0);

    work_shuffle(w, n);
    work_give(w, o, n / 2, n, 0);
    return n / 2;
}

INLINED void work_pairs_half(struct work *w, const struct frame_ops *o)
{
    uint64_t n = work_fill_half(w, o);

    work_pairs(w, o, M_PAIR_HALF, 0);
    work_give(w, o, 0, n, 0);
}

INLINED void work_huge(struct work *w, const struct frame_ops *o)
{
    double   take = 0, give = 0;
    uint64_t n = 0, all = 0;

    work_pairs(w, o, M_HUGE_PAIR, WORK_HUGE);
    for (unsigned round = 0; round < 40; round++, all += n) {
        double begun = work_now(), taken;

        n = work_take(w, o, 0, w->n >> WORK_HUGE, WORK_HUGE);
        taken = work_now();
        work_give(w, o, 0, n, WORK_HUGE);
        give += work_now() - taken;
        take += taken - begun;
    }
    w->sample(M_HUGE_TAKE, take / (double)all);
    w->sample(M_HUGE_GIVE, give / (double)all);
}

/*
 * Orders 0..9 mixed while `percent` of memory is held: below it a block is taken, from it on a random one is given
 * back. Each order is as likely as the others, or (shares) gets as much memory as the others: order k with
 * probability 2^-(k+1), so that single frames are half of all requests.
 */
struct work_mix {
    uint64_t target, frames, blocks, asked, failed;
    bool     shares;
};

INLINED void work_mix_step(struct work *w, const struct frame_ops *o, struct work_mix *mix)
{
    uint32_t r = work_random(w);

    if (mix->frames < mix->target) {
        unsigned order = mix->shares ? (unsigned)__builtin_ctz(r >> 8 | 1u << 9) : (r >> 8) % 10;

        mix->asked++;
        if (o->alloc(order, &w->held[mix->blocks]) == ERR_OK) {
            w->order[mix->blocks++] = (uint8_t)order;
            mix->frames += (uint64_t)1 << order;
            return;
        }
        mix->failed++;
    }

    uint64_t at = r * mix->blocks >> 32;
    pfn_t    f = w->held[at];
    unsigned order = w->order[at];

    w->held[at] = w->held[--mix->blocks];
    w->order[at] = w->order[mix->blocks];
    mix->frames -= (uint64_t)1 << order;
    work_must(o->free(f, order), "mixed");
}

INLINED struct work_mix work_mix_open(struct work *w, const struct frame_ops *o, unsigned percent, bool shares)
{
    struct work_mix mix = { .target = w->n * percent / 100, .shares = shares };

    while (mix.frames < mix.target)
        work_mix_step(w, o, &mix);
    return mix;
}

INLINED void work_mix_close(struct work *w, const struct frame_ops *o, struct work_mix *mix)
{
    for (uint64_t i = 0; i < mix->blocks; i++)
        work_must(o->free(w->held[i], w->order[i]), "mixed");
}

INLINED void work_mixed(struct work *w, const struct frame_ops *o, enum metric m, unsigned percent, bool shares)
{
    struct work_mix mix = work_mix_open(w, o, percent, shares);
    double          begun;

    for (unsigned i = 0; i < WORK_MIXED; i++) /* forget the tidy start */
        work_mix_step(w, o, &mix);
    mix.asked = mix.failed = 0;
    begun = work_now();
    for (unsigned i = 0; i < WORK_MIXED; i++)
        work_mix_step(w, o, &mix);
    w->sample(m, (work_now() - begun) / WORK_MIXED);
    if (o->stats != NULL)
        w->sample(m + 1, (double)mix.failed * 1e6 / (double)mix.asked);
    work_mix_close(w, o, &mix);
}

/*
 * Fill, give back at random until `percent` of memory is in use, replace a tenth of that 200 times. Frames that
 * the allocator uses itself count as in use: so 256 of 512 blocks can be whole at 50 %, for everybody.
 */
INLINED void work_churn(struct work *w, const struct frame_ops *o, enum metric blocks, unsigned percent)
{
    uint64_t n = work_take(w, o, 0, w->n, 0), live = w->n * percent / 100, tenth, calls = 0;
    double   begun;

    live -= w->n - n;
    tenth = live / 10;
    work_shuffle(w, n);
    work_give(w, o, live, n, 0);
    begun = work_now();
    for (unsigned round = 0; round < 200; round++, calls += 2 * tenth) {
        for (uint64_t i = 0; i < tenth; i++) {
            uint64_t at = i + work_below(w, live - i);
            pfn_t    f = w->held[at];

            w->held[at] = w->held[i];
            w->held[i] = f;
            work_must(o->free(f, 0), "churn");
        }
        if (work_take(w, o, 0, tenth, 0) != tenth)
            work_must(ERR_NOMEM, "churn");
        if (w->round != NULL)
            w->round(round, work_huge_left(o));
    }
    if (percent == 50)
        w->sample(M_CHURN, (work_now() - begun) / (double)calls);
    if (o->stats != NULL)
        w->sample(blocks, (double)work_huge_left(o));
    work_give(w, o, 0, live, 0);
}

/* Give back what a slot of the trace holds: a frame's number, and the order from bit 56 on; 0 is nothing */
INLINED void work_slot_free(const struct frame_ops *o, uint64_t *slot)
{
    if (*slot != 0)
        work_must(o->free(pfn(*slot & (((uint64_t)1 << 56) - 1)), (unsigned)(*slot >> 56)), "trace");
    *slot = 0;
}

/* Memory for a trace: what it needs at its peak, or that is 90 % of it; in whole pieces of 16 MiB */
static inline uint64_t work_trace_memory(const struct ptrc *t, bool tight)
{
    return align_up(tight ? t->peak_frames : t->peak_frames * 10 / 9, 16 * MIB >> PAGE_SHIFT);
}

/* What a kernel did; m is M_TRACE or M_TRACE_TIGHT */
INLINED void work_trace(struct work *w, const struct frame_ops *o, const struct ptrc *t, enum metric m)
{
    uint64_t *slot = work_array(t->n_slots * sizeof *slot), failed = 0;
    double    begun = work_now();

    for (uint64_t i = 0; i < t->n_events; i++) {
        uint32_t e = t->events[i];
        pfn_t    f;

        if (ptrc_is_free(e))
            work_slot_free(o, &slot[ptrc_slot(e)]);
        else if (o->alloc(ptrc_order(e), &f) == ERR_OK)
            slot[ptrc_slot(e)] = f.idx | (uint64_t)ptrc_order(e) << 56;
        else
            failed++;
    }
    w->sample(m, (work_now() - begun) / (double)t->n_events);
    if (o->stats != NULL) {
        w->sample(m + 1, (double)failed);
        if (m == M_TRACE_TIGHT)
            w->sample(M_TRACE_LEFT, (double)work_huge_left(o));
    }
    for (uint64_t i = 0; i < t->n_slots; i++) /* what is live at the end */
        work_slot_free(o, &slot[i]);
    munmap(slot, t->n_slots * sizeof *slot);
}

/* ---- the worst call --------------------------------------------------------------------------------- */

static inline int work_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Reading the clock is taken off. The worst of a whole run may be an interrupt of the host. */
static inline void work_worst_of(struct work *w, uint64_t n, double *p999, double *worst)
{
    uint64_t clock = UINT64_MAX, in_a_thousand = n - 1 - n / 1000;

    for (unsigned i = 0; i < 1000; i++) {
        uint64_t begun = work_ticks();

        clock = min_u64(clock, work_ticks() - begun);
    }
    qsort(w->calls, n, sizeof *w->calls, work_compare);

    double at = (double)w->calls[in_a_thousand] * w->tick_ns - (double)clock * w->tick_ns;

    *p999 = at > *p999 ? at : *p999;
    at = (double)w->calls[n - 1] * w->tick_ns - (double)clock * w->tick_ns;
    *worst = at > *worst ? at : *worst;
}

/* Each call timed by itself: taking all, giving back at random, orders mixed at 85 % */
INLINED void work_worst(struct work *w, const struct frame_ops *o)
{
    double   p999 = 0, worst = 0;
    uint64_t n = 0;
    err_t    err = ERR_OK;

    while (n < w->n && err == ERR_OK) {
        uint64_t begun = work_ticks();

        err = o->alloc(0, &w->held[n]);
        w->calls[n] = (uint32_t)min_u64(work_ticks() - begun, UINT32_MAX);
        n += err == ERR_OK;
    }
    work_worst_of(w, n, &p999, &worst);
    work_shuffle(w, n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t begun = work_ticks();

        err = o->free(w->held[i], 0);
        w->calls[i] = (uint32_t)min_u64(work_ticks() - begun, UINT32_MAX);
        work_must(err, "free");
    }
    work_worst_of(w, n, &p999, &worst);

    struct work_mix mix = work_mix_open(w, o, 85, false);

    for (uint64_t i = 0; i < w->n; i++) {
        uint64_t begun = work_ticks();

        work_mix_step(w, o, &mix);
        w->calls[i] = (uint32_t)min_u64(work_ticks() - begun, UINT32_MAX);
    }
    work_mix_close(w, o, &mix);
    work_worst_of(w, w->n, &p999, &worst);
    w->sample(M_WORST, p999);
    w->sample(M_WORST_ALL, worst);
}

/* ---- all of them, by number --------------------------------------------------------------------------- */

#define WORKLOADS(X) \
    X(none) X(singles) X(pairs) X(half) X(huge) X(mix60) X(mix85) X(shares) X(churn50) X(churn25) X(churn10) X(trace) X(tight) X(worst)

enum workload {
#define WORKLOAD_NAME(name) W_##name,
    WORKLOADS(WORKLOAD_NAME)
#undef WORKLOAD_NAME
    WORKLOADS_COUNT
};

INLINED void work_run(struct work *w, const struct frame_ops *o, enum workload which, const struct ptrc *t)
{
    switch (which) {
    case W_singles: work_singles(w, o); break;
    case W_pairs: work_pairs(w, o, M_PAIR_EMPTY, 0); break;
    case W_half: work_pairs_half(w, o); break;
    case W_huge: work_huge(w, o); break;
    case W_mix60: work_mixed(w, o, M_MIX60, 60, false); break;
    case W_mix85: work_mixed(w, o, M_MIX85, 85, false); break;
    case W_shares: work_mixed(w, o, M_SHARES, 85, true); break;
    case W_churn50: work_churn(w, o, M_CHURN50, 50); break;
    case W_churn25: work_churn(w, o, M_CHURN25, 25); break;
    case W_churn10: work_churn(w, o, M_CHURN10, 10); break;
    case W_trace: work_trace(w, o, t, M_TRACE); break;
    case W_tight: work_trace(w, o, t, M_TRACE_TIGHT); break;
    case W_worst: work_worst(w, o); break;
    default: break;
    }
}

#endif
