/* SPDX-License-Identifier: MIT */
/* core/console/term.c - text with a few escape sequences, turned into a grid of coloured cells */
#include "core/console/term.h"

#define TAB_COLUMNS 8
#define PARAM_MAX   9999

/* struct term.state */
enum { PLAIN, ESCAPE, CONTROL, CONTROL_PRIVATE, SKIP };

/* struct term.head: where in the head of a log line we are */
enum { HEAD_NONE, HEAD_TIME, HEAD_GAP, HEAD_LEVEL, HEAD_GAP_2, HEAD_TAG };

static term_cell_t blank(const struct term *t)
{
    return TERM_CELL(' ', TERM_INK, t->reversed ? (unsigned)TERM_PAPER : t->paper);
}

static void touch(struct term *t, unsigned from, unsigned to)
{
    t->changed_from = from < t->changed_from ? from : t->changed_from;
    t->changed_to = to > t->changed_to ? to : t->changed_to;
}

/* Blanks the cells [from, to), counted along the rows. */
static void fill(struct term *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        term_row(t, (unsigned)(i / t->cols), 0)[i % t->cols] = blank(t);
    if (from < to)
        touch(t, (unsigned)(from / t->cols), (unsigned)((to - 1) / t->cols) + 1);
}

static void normal_colours(struct term *t)
{
    t->ink = TERM_INK;
    t->paper = TERM_PAPER;
    t->reversed = false;
}

void term_start(struct term *t, term_cell_t *cells, unsigned cols, unsigned rows, unsigned lines)
{
    *t = (struct term){ .cols = cols, .rows = rows, .lines = lines, .changed_from = rows };
    t->cells = cells;
    normal_colours(t);
    fill(t, 0, (size_t)rows * cols);
}

static void scroll(struct term *t)
{
    size_t last = (size_t)(t->rows - 1) * t->cols;

    t->top = (t->top + 1) % t->lines;
    t->n_left += t->n_left < t->lines - t->rows;
    fill(t, last, last + t->cols);
    touch(t, 0, t->rows);
}

/* Every move of the cursor goes through here; the rows it leaves and enters need drawing. */
static void cursor_to(struct term *t, unsigned x, unsigned y)
{
    touch(t, t->y, t->y + 1);
    t->x = x < t->cols ? x : t->cols - 1;
    t->y = y < t->rows ? y : t->rows - 1;
    t->wrap_pending = false;
    touch(t, t->y, t->y + 1);
}

static void line_feed(struct term *t)
{
    if (t->y + 1 == t->rows)
        scroll(t);
    cursor_to(t, 0, t->y + 1);
    t->head = HEAD_NONE;
}

/* ---- the head of a log line ---------------------------------------------------------------- */

static uint8_t level_colour(char c)
{
    return c == 'E' ? TERM_RED : c == 'W' ? TERM_YELLOW : c == 'I' ? TERM_GREEN : TERM_DIM;
}

/*
 *   in            character   next         ink of the character
 *   HEAD_NONE     [ at x = 0  HEAD_TIME    dim
 *   HEAD_TIME     ]           HEAD_GAP     dim
 *   HEAD_GAP      any         HEAD_LEVEL   (a blank)
 *   HEAD_LEVEL    any         HEAD_GAP_2   by level
 *   HEAD_GAP_2    any         HEAD_TAG     (a blank)
 *   HEAD_TAG      :           HEAD_NONE    cyan
 */
static uint8_t head_ink(struct term *t, char c)
{
    switch (t->head) {
    case HEAD_TIME:
        t->head = c == ']' ? HEAD_GAP : HEAD_TIME;
        return TERM_DIM;
    case HEAD_GAP:
    case HEAD_GAP_2:
        t->head++;
        return t->ink;
    case HEAD_LEVEL:
        t->head = HEAD_GAP_2;
        return level_colour(c);
    case HEAD_TAG:
        t->head = c == ':' ? HEAD_NONE : HEAD_TAG;
        return TERM_CYAN;
    default:
        if (c != '[' || t->x != 0 || t->wrap_pending)
            return t->ink;
        t->head = HEAD_TIME;
        return TERM_DIM;
    }
}

static void put_char(struct term *t, unsigned char c)
{
    uint8_t ink = head_ink(t, (char)c), head = t->head;

    if (t->wrap_pending) {
        line_feed(t);
        t->head = head;
    }
    term_row(t, t->y, 0)[t->x] = t->reversed ? TERM_CELL(c, t->paper, ink) : TERM_CELL(c, ink, t->paper);
    touch(t, t->y, t->y + 1);
    if (t->x + 1 < t->cols)
        t->x++;
    else
        t->wrap_pending = true;
}

/* ---- escape sequences ---------------------------------------------------------------------- */

/* The n-th parameter; one that is missing or 0 counts as `otherwise`. */
static unsigned param(const struct term *t, unsigned n, unsigned otherwise)
{
    return n < t->n_params && t->params[n] != 0 ? t->params[n] : otherwise;
}

static void set_colour(struct term *t, unsigned code)
{
    if (code == 0)
        normal_colours(t);
    else if (code == 7 || code == 27)
        t->reversed = code == 7;
    else if (code >= 30 && code <= 37)
        t->ink = (uint8_t)(code - 30);
    else if (code == 39)
        t->ink = TERM_INK;
    else if (code >= 40 && code <= 47)
        t->paper = (uint8_t)(code - 40);
    else if (code == 49)
        t->paper = TERM_PAPER;
    else if (code >= 90 && code <= 97)
        t->ink = (uint8_t)(code - 90 + 8);
    else if (code >= 100 && code <= 107)
        t->paper = (uint8_t)(code - 100 + 8);
}

static void erase(struct term *t, size_t begin, size_t end)
{
    size_t here = (size_t)t->y * t->cols + t->x;

    switch (param(t, 0, 0)) {
    case 0:
        fill(t, here, end);
        break;
    case 1:
        fill(t, begin, here + 1);
        break;
    case 2:
        fill(t, begin, end);
        break;
    default:
        break;
    }
}

static void control(struct term *t, char final)
{
    unsigned n = param(t, 0, 1);
    size_t row = (size_t)t->y * t->cols;

    switch (final) {
    case 'A':
        cursor_to(t, t->x, t->y > n ? t->y - n : 0);
        break;
    case 'B':
        cursor_to(t, t->x, t->y + n);
        break;
    case 'C':
        cursor_to(t, t->x + n, t->y);
        break;
    case 'D':
        cursor_to(t, t->x > n ? t->x - n : 0, t->y);
        break;
    case 'G':
        cursor_to(t, n - 1, t->y);
        break;
    case 'H':
        cursor_to(t, param(t, 1, 1) - 1, n - 1);
        break;
    case 'J':
        erase(t, 0, (size_t)t->rows * t->cols);
        break;
    case 'K':
        erase(t, row, row + t->cols);
        break;
    case 'm':
        for (unsigned i = 0; i < t->n_params; i++)
            set_colour(t, t->params[i]);
        break;
    default:
        break;
    }
}

static void control_private(struct term *t, char final)
{
    if (param(t, 0, 0) == 25 && (final == 'h' || final == 'l')) {
        t->cursor_hidden = final == 'l';
        touch(t, t->y, t->y + 1);
    }
}

/* Bytes of a control sequence: parameters 0x30..0x3f, intermediates 0x20..0x2f, one final 0x40..0x7e */
static void control_byte(struct term *t, unsigned char c)
{
    unsigned *p = &t->params[t->n_params - 1];

    if (c >= '0' && c <= '9') {
        *p = *p * 10 + (c - '0');
        *p = *p < PARAM_MAX ? *p : PARAM_MAX;
    } else if (c == ';' && t->n_params < TERM_PARAMS) {
        t->params[t->n_params++] = 0;
    } else if (c == '?' && t->state == CONTROL) {
        t->state = CONTROL_PRIVATE;
    } else if (c >= 0x40 && c <= 0x7e) {
        if (t->state == CONTROL)
            control(t, (char)c);
        else
            control_private(t, (char)c);
        t->state = PLAIN;
    } else {
        t->state = SKIP;
    }
}

static void plain_byte(struct term *t, unsigned char c)
{
    switch (c) {
    case '\n':
        line_feed(t);
        break;
    case '\r':
        cursor_to(t, 0, t->y);
        t->head = HEAD_NONE;
        break;
    case '\b':
        cursor_to(t, t->x > 0 ? t->x - 1 : 0, t->y);
        break;
    case '\t':
        cursor_to(t, (t->x / TAB_COLUMNS + 1) * TAB_COLUMNS, t->y);
        break;
    case '\f':
        fill(t, 0, (size_t)t->rows * t->cols);
        cursor_to(t, 0, 0);
        break;
    default:
        if (c >= 0x20)
            put_char(t, c < 0x7f ? c : TERM_UNKNOWN);
        break;
    }
}

static void term_byte(struct term *t, unsigned char c)
{
    if (c == 0x1b) {
        t->state = ESCAPE;
        return;
    }
    switch (t->state) {
    case ESCAPE:
        t->state = c == '[' ? CONTROL : PLAIN;
        t->n_params = 1;
        t->params[0] = 0;
        break;
    case CONTROL:
    case CONTROL_PRIVATE:
        control_byte(t, c);
        break;
    case SKIP:
        t->state = c >= 0x40 && c <= 0x7e ? PLAIN : SKIP;
        break;
    default:
        plain_byte(t, c);
        break;
    }
}

void term_write(struct term *t, const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        term_byte(t, (unsigned char)text[i]);
}
