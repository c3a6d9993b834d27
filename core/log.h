/* SPDX-License-Identifier: MIT */
/*
 * core/log.h - words to people: sinks, the console's output, and the log that remembers
 *
 * Output never waits for a lock: who finds another context printing leaves the text with it. So it
 * may be called from anywhere, interrupt handlers included.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "mm/port.h" /* enum port_level */

/* A place that text goes to. write() gets any number of bytes, '\n' ends a line; it may be called
 * from interrupt handlers and from a panic, and never waits for ever. */
struct out_sink {
    void (*write)(const char *text, size_t n_bytes);
    struct out_sink *next;
};

/* out_attach - add a sink; it first gets what the log holds already, down to the log's threshold */
void out_attach(struct out_sink *sink);

/* out_panic - from now on text goes straight to the sinks, past locks that nobody may ever drop */
void out_panic(void);

/* kprintf - print to every sink, without a log line's head; "%s %d %u %x %llx %p %c %zu" and widths */
void kprintf(const char *fmt, ...) PRINTF(1, 2);
void kwrite(const char *text, size_t n_bytes);

/* log lines: "[   0.012345] I frame: ..." */
#define log_error(tag, ...) port_log(PORT_ERROR, tag, __VA_ARGS__)
#define log_warn(tag, ...)  port_log(PORT_WARN, tag, __VA_ARGS__)
#define log_info(tag, ...)  port_log(PORT_INFO, tag, __VA_ARGS__)
#define log_debug(tag, ...) port_log(PORT_DEBUG, tag, __VA_ARGS__)

/* log_threshold - lines less important than this are kept, not printed */
void log_threshold(enum port_level least);

/* log_clock - where log lines get their time from [ns since boot]; until then they say 0 */
void log_clock(uint64_t (*now_ns)(void));

/* log_replay - the last n_lines that were logged (0 = all that is kept), to write() */
void log_replay(void (*write)(const char *text, size_t n_bytes), unsigned n_lines);

#endif
