/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_console.c - any bytes as what is typed: line editor, terminal and parser together
 *
 * The bytes go to the editor, what it sends to a terminal of 30 columns, and each finished line to the
 * parser of commands; the same bytes go to a second terminal directly.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/console/line.h"
#include "core/console/term.h"
#include "core/console/words.h"

#define COLS  30
#define ROWS  6
#define LINES 9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct line line;
static struct term term, direct;
static term_cell_t cells[COLS * LINES], direct_cells[COLS * LINES];
static const char *names[] = { "alloc", "buddy", "free", "frames", NULL };

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_console: %s\n", what);
    abort();
}

static const char *candidate(const char *text, size_t start, unsigned i)
{
    return start < 8 && *text != ' ' ? names[i] : NULL;
}

static void to_terminal(const char *text, size_t n) { term_write(&term, text, n); }

static void check_term(const struct term *t)
{
    must(t->x < t->cols && t->y < t->rows && t->n_left <= t->lines - t->rows, "the terminal's cursor");
    for (size_t i = 0; i < (size_t)COLS * LINES; i++)
        must(TERM_CELL_CH(t->cells[i]) >= 0x20 && TERM_CELL_CH(t->cells[i]) <= TERM_UNKNOWN &&
                 TERM_CELL_INK(t->cells[i]) < TERM_COLOURS && TERM_CELL_PAPER(t->cells[i]) < TERM_COLOURS,
             "a cell");
}

/* On the heap by itself, so that a step beyond its end is seen */
static void parse(const char *text)
{
    char *copy = strdup(text), *rest = copy;
    struct words w;

    while (rest != NULL) {
        err_t err = words_split(&rest, &w);

        must(err == ERR_OK || err == ERR_SYNTAX || err == ERR_NOMEM, "the parser's answer");
        must(w.n <= WORDS_MAX && w.word[w.n] == NULL, "the list of words");
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < (size_t)COLS * LINES; i++)
        cells[i] = direct_cells[i] = TERM_CELL(' ', TERM_INK, TERM_PAPER);
    term_start(&term, cells, COLS, ROWS, LINES);
    term_start(&direct, direct_cells, COLS, ROWS, LINES);
    line_open(&line, "> ", COLS, candidate, to_terminal);
    line_begin(&line);
    for (size_t i = 0; i < size; i++) {
        if (line_feed(&line, (char)data[i])) {
            parse(line.text);
            line_begin(&line);
        }
        must(line.cursor <= line.n && strlen(line.text) == line.n, "the line's length");
    }
    term_write(&direct, (const char *)data, size);
    check_term(&term);
    check_term(&direct);
    return 0;
}
