/* SPDX-License-Identifier: MIT */
/*
 * core/log.c - words to people: sinks, the console's output, and the log that remembers
 *
 *     port_log --> log (the last LOG_BYTES, whole lines, for `log` and for a panic)
 *         |
 *         v      pending ring                  at most one context at a time
 *     kwrite  --> [ . . text . . ]  -- drain --> serial, screen, ...
 *
 * Both rings are filled and emptied under a lock that is held for a memcpy. Devices are slow (a line
 * takes 7 ms at 115200 baud), so they are written outside it, by whoever owns `draining`; everybody
 * else leaves the text in the ring and goes on, and the owner looks again before it lets go. That
 * makes output safe in an interrupt handler that hit a CPU in the middle of printing. Should the
 * ring be full of text that only another context can drain, the rest is dropped and counted.
 *
 * A panic goes straight to the devices: the contexts that hold anything will not run again.
 */
#include "core/log.h"

#include "core/fmt.h"
#include "core/str.h"

#define LOG_BYTES     ((size_t)64 * 1024)
#define LOG_LINE      ((size_t)240) /* with its head and '\n'; a longer one is cut */
#define PENDING_BYTES ((size_t)16 * 1024)
#define PIECE_BYTES   ((size_t)128)

/* Positions only grow; a position's byte is text[position % size]. */
struct ring {
    char *text;
    size_t size;
    uint64_t head, tail; /* next byte written, oldest byte kept */
};

static char log_text[LOG_BYTES], pending_text[PENDING_BYTES];

static struct {
    struct irqlock lock;
    struct ring kept;          /* [lock] log lines                  */
    struct ring pending;       /* [lock] text for the sinks         */
    uint64_t lost;             /* [lock] bytes that found no room   */
    _Atomic uint32_t draining; /* [a] a context is writing to sinks */
    struct out_sink *sinks;    /* only ever grows, at start-up      */
    enum port_level threshold; /* [c]                               */
    uint64_t (*now_ns)(void);  /* [c]                               */
    _Atomic bool panicking;    /* [a] never back to false           */
} lg = {
    .lock = IRQLOCK("log", 90),
    .kept = { .text = log_text, .size = LOG_BYTES },
    .pending = { .text = pending_text, .size = PENDING_BYTES },
    .threshold = PORT_INFO,
};

static uint64_t lock_rings(void) NO_LOCK_ANALYSIS { return lg.panicking ? 0 : irqlock_take(&lg.lock); }

static void unlock_rings(uint64_t flags) NO_LOCK_ANALYSIS
{
    if (!lg.panicking)
        irqlock_drop(&lg.lock, flags);
}

/* Appends what fits; returns how much that was. */
static size_t ring_put(struct ring *r, const char *text, size_t n)
{
    size_t room = r->size - (size_t)(r->head - r->tail), at = (size_t)(r->head % r->size), first;

    n = n < room ? n : room;
    first = r->size - at < n ? r->size - at : n;
    memcpy(r->text + at, text, first);
    memcpy(r->text, text + first, n - first);
    r->head += n;
    return n;
}

/* Copies up to `n` bytes from position `from`, which is in [tail, head]. */
static size_t ring_get(const struct ring *r, uint64_t from, char *out, size_t n)
{
    size_t held = (size_t)(r->head - from), at = (size_t)(from % r->size), first;

    n = n < held ? n : held;
    first = r->size - at < n ? r->size - at : n;
    memcpy(out, r->text + at, first);
    memcpy(out + first, r->text, n - first);
    return n;
}

/* ---- output -------------------------------------------------------------------------------- */

static void write_sinks(const char *text, size_t n)
{
    for (struct out_sink *s = lg.sinks; s != NULL; s = s->next)
        s->write(text, n);
}

static size_t take_pending(char *piece, size_t size)
{
    uint64_t flags = lock_rings();
    size_t n = ring_get(&lg.pending, lg.pending.tail, piece, size);

    lg.pending.tail += n;
    if (n == 0 && lg.lost > 0) {
        n = fmt_string(piece, size, "\n[%llu bytes of output lost]\n", ULL(lg.lost));
        lg.lost = 0;
    }
    unlock_rings(flags);
    return n;
}

static bool anything_pending(void)
{
    uint64_t flags = lock_rings();
    bool any = lg.pending.head != lg.pending.tail || lg.lost > 0;

    unlock_rings(flags);
    return any;
}

/* Text put in between our last look and letting go of `draining` is seen by the second look. */
static void drain(void)
{
    char piece[PIECE_BYTES];
    size_t n;

    while (anything_pending()) {
        if (atomic_exchange_explicit(&lg.draining, 1, memory_order_acquire) != 0 && !lg.panicking)
            return;
        while ((n = take_pending(piece, sizeof piece)) > 0)
            write_sinks(piece, n);
        atomic_store_explicit(&lg.draining, 0, memory_order_release); /* pairs with the exchange */
    }
}

void kwrite(const char *text, size_t n_bytes)
{
    while (n_bytes > 0) {
        uint64_t flags = lock_rings();
        size_t n = ring_put(&lg.pending, text, n_bytes);

        if (n == 0) /* full, and the drain below did not help: its owner is somebody else */
            lg.lost += n_bytes;
        unlock_rings(flags);
        drain();
        if (n == 0)
            return;
        text += n;
        n_bytes -= n;
    }
}

/* fmt_emit's pieces are single words: gather them, devices like to get more at once */
struct gathered {
    char text[PIECE_BYTES];
    size_t n;
};

static void gather(void *arg, const char *piece, size_t n)
{
    struct gathered *g = arg;

    for (size_t i = 0; i < n; i++) {
        if (g->n == sizeof g->text) {
            kwrite(g->text, g->n);
            g->n = 0;
        }
        g->text[g->n++] = piece[i];
    }
}

void kprintf(const char *fmt, ...)
{
    struct gathered g;
    va_list args;

    g.n = 0;
    va_start(args, fmt);
    fmt_emit(gather, &g, fmt, args);
    va_end(args);
    kwrite(g.text, g.n);
}

void out_panic(void) { lg.panicking = true; }

/* ---- the log ------------------------------------------------------------------------------- */

void log_threshold(enum port_level least) { lg.threshold = least; }
void log_clock(uint64_t (*now_ns)(void)) { lg.now_ns = now_ns; }

/* Makes room by dropping whole lines from the old end. */
static void keep_line(const char *line, size_t n)
{
    struct ring *r = &lg.kept;
    uint64_t flags = lock_rings();

    while (r->size - (size_t)(r->head - r->tail) < n)
        while (r->text[r->tail++ % r->size] != '\n')
            ;
    ring_put(r, line, n);
    unlock_rings(flags);
}

void port_log(enum port_level level, const char *tag, const char *fmt, ...)
{
    char line[LOG_LINE];
    uint64_t us = lg.now_ns != NULL ? lg.now_ns() / 1000 : 0;
    size_t n;
    va_list args;

    n = fmt_string(line, sizeof line, "[%4llu.%06llu] %c %s: ", ULL(us / 1000000), ULL(us % 1000000),
                   "EWID"[level & 3], tag);
    n = n < sizeof line ? n : sizeof line - 1;
    va_start(args, fmt);
    n += fmt_vstring(line + n, sizeof line - n, fmt, args);
    va_end(args);
    n = n < sizeof line ? n : sizeof line - 1;
    for (size_t i = 0; i < n; i++) /* one event, one line */
        line[i] = line[i] == '\n' ? ' ' : line[i];
    line[n++] = '\n';

    keep_line(line, n);
    if (level <= lg.threshold)
        kwrite(line, n);
}

/* Reads the line at *position and moves on to the next; 0 at the end. Lines that were dropped while
 * we were writing are skipped. */
static size_t next_line(uint64_t *position, char *line)
{
    uint64_t flags = lock_rings();
    size_t n, held;

    *position = max_u64(*position, lg.kept.tail);
    held = ring_get(&lg.kept, *position, line, LOG_LINE);
    for (n = 0; n < held && line[n] != '\n';)
        n++;
    n += n < held;
    *position += n;
    unlock_rings(flags);
    return n;
}

static unsigned count_lines(void)
{
    unsigned n = 0;
    uint64_t flags = lock_rings();

    for (uint64_t p = lg.kept.tail; p != lg.kept.head; p++)
        n += lg.kept.text[p % lg.kept.size] == '\n';
    unlock_rings(flags);
    return n;
}

void log_replay(void (*write)(const char *text, size_t n_bytes), unsigned n_lines)
{
    char line[LOG_LINE];
    unsigned n_kept = count_lines(), skip = n_lines == 0 || n_lines > n_kept ? 0 : n_kept - n_lines;
    uint64_t position = 0;
    size_t n;

    while ((n = next_line(&position, line)) > 0) {
        if (skip > 0)
            skip--;
        else
            write(line, n);
    }
}

/* Would the line have been printed? Its level stands after the "] " that ends the time. */
static bool line_was_shown(const char *line, size_t n)
{
    size_t i = 0;

    while (i + 2 < n && line[i] != ']')
        i++;
    for (unsigned level = 0; i + 2 < n && level <= (unsigned)lg.threshold; level++)
        if (line[i + 2] == "EWID"[level])
            return true;
    return false;
}

void out_attach(struct out_sink *sink)
{
    char line[LOG_LINE];
    uint64_t position = 0;
    size_t n;

    while ((n = next_line(&position, line)) > 0)
        if (line_was_shown(line, n))
            sink->write(line, n);
    sink->next = lg.sinks;
    lg.sinks = sink;
}
