/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_log.c - core/log.c, with text sinks and "interrupts" that print
 *
 * The file itself is compiled in, under another name for port_log, which the host has one of already.
 */
#define port_log port_log_tested
#include "core/log.c" /* NOLINT(bugprone-suspicious-include): its state is reset between tests */
#undef port_log

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char got[256 * 1024];
static size_t n_got;
static void (*interrupt)(void); /* called once, in the middle of writing */

static void take(const char *text, size_t n)
{
    assert_true(n_got + n < sizeof got);
    memcpy(got + n_got, text, n);
    n_got += n;
    got[n_got] = '\0';
    if (interrupt != NULL) {
        void (*handler)(void) = interrupt;

        interrupt = NULL;
        handler();
    }
}

static struct out_sink sink = { .write = take };

static void forget(void)
{
    n_got = 0;
    got[0] = '\0';
}

static int start(void **state)
{
    (void)state;
    lg.kept.head = lg.kept.tail = lg.pending.head = lg.pending.tail = lg.lost = 0;
    lg.sinks = NULL;
    lg.threshold = PORT_INFO;
    lg.now_ns = NULL;
    lg.panicking = false;
    lg.draining = 0;
    interrupt = NULL;
    forget();
    return 0;
}

static uint64_t clock_ns(void) { return 1234567891; }

static void a_log_line_has_time_level_and_tag(void **state)
{
    (void)state;
    out_attach(&sink);
    log_clock(clock_ns);
    port_log_tested(PORT_WARN, "frame", "zone %u is short", 1u);
    assert_string_equal(got, "[   1.234567] W frame: zone 1 is short\n");
}

static void unimportant_lines_are_kept_but_not_printed(void **state)
{
    (void)state;
    out_attach(&sink);
    port_log_tested(PORT_DEBUG, "x", "details");
    assert_string_equal(got, "");
    log_replay(take, 0);
    assert_string_equal(got, "[   0.000000] D x: details\n");
}

static void a_new_sink_gets_what_was_printed_before(void **state)
{
    (void)state;
    port_log_tested(PORT_INFO, "x", "early");
    port_log_tested(PORT_DEBUG, "x", "quiet ] E");
    out_attach(&sink);
    assert_string_equal(got, "[   0.000000] I x: early\n");
}

static void long_lines_are_cut_and_stay_lines(void **state)
{
    (void)state;
    out_attach(&sink);
    port_log_tested(PORT_INFO, "x", "%0500u\n%s", 7u, "more");
    assert_int_equal(n_got, LOG_LINE);
    assert_int_equal(got[n_got - 1], '\n');
}

static void the_log_keeps_the_newest_whole_lines(void **state)
{
    unsigned n = 5000, first = 0, lines = 0;

    (void)state;
    for (unsigned i = 0; i < n; i++)
        port_log_tested(PORT_INFO, "x", "line %u %0*u", i, (int)(i % 90), 0u);
    log_replay(take, 0);
    assert_true(n_got <= LOG_BYTES && n_got > LOG_BYTES - LOG_LINE);
    for (char *line = strtok(got, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        unsigned number = 0;

        assert_int_equal(sscanf(line, "[ 0.000000] I x: line %u", &number), 1);
        first = lines == 0 ? number : first;
        assert_int_equal(number, first + lines);
    }
    assert_int_equal(first + lines, n);
    forget();
    log_replay(take, 2);
    assert_non_null(strstr(got, "line 4998 "));
    assert_null(strstr(got, "line 4997 "));
}

static void long_text_arrives_whole(void **state)
{
    static char text[PENDING_BYTES * 3];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 23);
    out_attach(&sink);
    kwrite(text, sizeof text);
    assert_int_equal(n_got, sizeof text);
    assert_memory_equal(got, text, sizeof text);
    forget();
    kprintf("<%.*s>", 1000, text);
    assert_int_equal(n_got, 1002);
}

static void print_a_word(void) { kprintf("<word>"); }

static void an_interrupt_that_prints_is_printed_after(void **state)
{
    (void)state;
    out_attach(&sink);
    interrupt = print_a_word;
    kprintf("text\n");
    assert_string_equal(got, "text\n<word>");
}

static void print_too_much(void)
{
    for (size_t i = 0; i < PENDING_BYTES; i++)
        kprintf("12");
}

static void what_finds_no_room_is_counted(void **state)
{
    (void)state;
    out_attach(&sink);
    interrupt = print_too_much;
    kprintf("text\n");
    assert_non_null(strstr(got, "\n[16384 bytes of output lost]\n"));
    assert_int_equal(n_got, 5 + PENDING_BYTES + strlen("\n[16384 bytes of output lost]\n"));
}

static void panic_now(void)
{
    out_panic();
    kprintf("panic\n");
}

static void a_panic_prints_past_everybody(void **state)
{
    (void)state;
    out_attach(&sink);
    (void)irqlock_take(&lg.lock); /* whoever holds it will never run again */
    lg.draining = 1;
    panic_now();
    log_replay(take, 0);
    assert_string_equal(got, "panic\n");
    irqlock_drop(&lg.lock, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_log_line_has_time_level_and_tag),
        TEST(unimportant_lines_are_kept_but_not_printed),
        TEST(a_new_sink_gets_what_was_printed_before),
        TEST(long_lines_are_cut_and_stay_lines),
        TEST(the_log_keeps_the_newest_whole_lines),
        TEST(long_text_arrives_whole),
        TEST(an_interrupt_that_prints_is_printed_after),
        TEST(what_finds_no_room_is_counted),
        TEST(a_panic_prints_past_everybody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
