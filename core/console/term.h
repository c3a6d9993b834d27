/* SPDX-License-Identifier: MIT */
/*
 * core/console/term.h - text with a few escape sequences, turned into a grid of coloured cells
 *
 * Portable: knows no pixels. core/dev/fb.c draws the cells; the host tests look at them.
 */
#ifndef CORE_CONSOLE_TERM_H
#define CORE_CONSOLE_TERM_H

#include "mm/types.h"

/* A cell: character (ASCII, 0x20..0x7e, or TERM_UNKNOWN), colour of ink and of paper */
typedef uint32_t term_cell_t;

#define TERM_CELL(ch, ink, paper) ((term_cell_t)(ch) | (term_cell_t)(ink) << 8 | (term_cell_t)(paper) << 16)
#define TERM_CELL_CH(cell)        ((cell)&0xff)
#define TERM_CELL_INK(cell)       ((cell) >> 8 & 0xff)
#define TERM_CELL_PAPER(cell)     ((cell) >> 16 & 0xff)
#define TERM_UNKNOWN              0x7f /* shown for a character that there is no picture for */

/* Colours: the 16 of ANSI terminals, black being the paper and white the ink, then our own */
enum term_colour {
    TERM_PAPER = 0,
    TERM_RED = 1,
    TERM_GREEN = 2,
    TERM_YELLOW = 3,
    TERM_BLUE = 4,
    TERM_CYAN = 6,
    TERM_INK = 7,
    TERM_DIM = 8,
    TERM_BRIGHT = 15,
    TERM_BAR,       /* paper of the header  */
    TERM_BAR_ALARM, /* ... after a panic    */
    TERM_COLOURS
};

#define TERM_PARAMS 8

struct term {
    term_cell_t *cells; /* lines x cols: a ring of the screen's rows and of those that left at the top */
    unsigned cols, rows, lines;
    unsigned top;      /* the ring's line that is row 0              */
    unsigned n_left;   /* rows that left at the top and are kept     */
    unsigned x, y;     /* where the next character goes              */
    bool wrap_pending; /* the last column was written: wrap first    */
    bool cursor_hidden;
    uint8_t ink, paper; /* of the next character                      */
    bool reversed;

    unsigned changed_from, changed_to; /* rows [from, to) whose cells changed; the reader resets them */

    uint8_t state; /* enum in term.c: inside an escape sequence, or a log line's head */
    uint8_t head;
    unsigned params[TERM_PARAMS], n_params;
};

/* term_start - an empty grid in cells[lines * cols]; cols, rows at least 1, lines - rows are kept to look back */
void term_start(struct term *t, term_cell_t *cells, unsigned cols, unsigned rows, unsigned lines);

/* term_row - the cells of row y as it was `back` lines ago; back is at most n_left */
static inline term_cell_t *term_row(const struct term *t, unsigned y, unsigned back)
{
    return t->cells + (size_t)((t->top + t->lines + y - back) % t->lines) * t->cols;
}

/*
 * term_write - show text: printable ASCII, BS TAB LF (which also returns to the first column) CR FF,
 * and the sequences
 *
 *   ESC [ n A B C D   cursor up, down, right, left      ESC [ n G    to column n
 *   ESC [ r ; c H     cursor to row, column             ESC [ n J    erase in screen: 0 1 2
 *   ESC [ n K         erase in line: 0 1 2              ESC [ .. m   colours, 7 reverse, 0 normal
 *   ESC [ ? 25 h l    show, hide the cursor
 *
 * Any other sequence is read to its end and ignored. A line that begins like a log line,
 * "[   0.012345] W tag: ", gets its head in quieter colours and its level in a telling one.
 */
void term_write(struct term *t, const char *text, size_t n_bytes);

#endif
