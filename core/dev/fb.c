/* SPDX-License-Identifier: MIT */
/*
 * core/dev/fb.c - the console on a linear framebuffer
 *
 *     text --> term (wanted cells) --> cells that differ from `shown` --> pixels
 *
 * The framebuffer is never read, which would be slow beyond belief on real hardware: scrolling moves
 * cells in RAM, and only those that look different afterwards are drawn. On the machine's own screen
 * of 1280 x 800 a scrolled line costs about 1 ms under emulation.
 */
#include "core/dev/fb.h"

#include "core/console/term.h"
#include "core/dev/font.h"
#include "core/log.h"
#include "core/str.h"
#include "mm/kva.h"
#include "mm/pte.h"

#define MARGIN      8 /* around the text                     [pixels] */
#define BAR_PADDING 4 /* above and below the header's text   [pixels] */
#define COLS_MIN    20
#define ROWS_MIN    4
#define KEPT_LINES  1000 /* that left at the top, to page back to            */
#define LARGE_WIDTH 2400 /* from here on the large font is used [pixels] */

/* Dark paper, soft ink, and accents of one brightness */
static const uint32_t rgb[TERM_COLOURS] = {
    [TERM_PAPER] = 0x14191f,  [TERM_RED] = 0xe06c75,  [TERM_GREEN] = 0x98c379,
    [TERM_YELLOW] = 0xe5c07b, [TERM_BLUE] = 0x61afef, [5] = 0xc678dd,
    [TERM_CYAN] = 0x56b6c2,   [TERM_INK] = 0xc5cad3,  [TERM_DIM] = 0x66707d,
    [9] = 0xf08c94,           [10] = 0xb2d89a,        [11] = 0xf0d49c,
    [12] = 0x8cc6f5,          [13] = 0xd89ae8,        [14] = 0x7fd0da,
    [TERM_BRIGHT] = 0xf2f4f7, [TERM_BAR] = 0x24303d,  [TERM_BAR_ALARM] = 0x9c2f38,
};

static struct {
    volatile uint32_t *pixels; /* NULL: no screen */
    uint32_t stride, width, height;
    const struct font *font;
    uint32_t top; /* of the text [pixels] */
    uint32_t colours[TERM_COLOURS];
    struct term term;
    term_cell_t *shown; /* rows x cols: what the pixels show             */
    unsigned back;      /* lines that the view is behind the newest      */
} fb;

static uint32_t channel(uint32_t value, uint32_t mask)
{
    unsigned shift = (unsigned)__builtin_ctz(mask);

    return (uint32_t)((uint64_t)value * (mask >> shift) / 255) << shift;
}

static uint32_t pixel_of(uint32_t colour, const struct boot_framebuffer *f)
{
    return channel(colour >> 16, f->red_mask) | channel(colour >> 8 & 0xff, f->green_mask) |
           channel(colour & 0xff, f->blue_mask);
}

static void draw_rectangle(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t pixel)
{
    for (uint32_t j = y; j < y + height; j++)
        for (uint32_t i = x; i < x + width; i++)
            fb.pixels[(size_t)j * fb.stride + i] = pixel;
}

/* Two pixels at a time: the four combinations of ink and paper are made once. */
static void draw_cell(uint32_t x, uint32_t y, term_cell_t cell)
{
    typedef uint64_t __attribute__((aligned(4))) two_pixels_t;

    uint64_t ink = fb.colours[TERM_CELL_INK(cell)], paper = fb.colours[TERM_CELL_PAPER(cell)];
    uint64_t pair[4] = { paper << 32 | paper, ink << 32 | paper, paper << 32 | ink, ink << 32 | ink };
    const uint32_t *rows = fb.font->rows + (size_t)(TERM_CELL_CH(cell) - FONT_FIRST) * fb.font->height;

    for (unsigned j = 0; j < fb.font->height; j++) {
        volatile two_pixels_t *line = (volatile two_pixels_t *)(fb.pixels + (size_t)(y + j) * fb.stride + x);

        for (unsigned bit = fb.font->width; bit > 0; bit -= 2)
            *line++ = pair[rows[j] >> (bit - 2) & 3];
    }
}

/* The cursor is a cell of its own colour. */
static term_cell_t cell_at(const struct term *t, unsigned x, unsigned y)
{
    term_cell_t cell = term_row(t, y, fb.back)[x];

    if (x == t->x && y == t->y && fb.back == 0 && !t->cursor_hidden)
        return TERM_CELL(TERM_CELL_CH(cell), TERM_PAPER, TERM_CYAN);
    return cell;
}

static void draw_changes(void)
{
    struct term *t = &fb.term;

    for (unsigned y = t->changed_from; y < t->changed_to; y++) {
        for (unsigned x = 0; x < t->cols; x++) {
            term_cell_t cell = cell_at(t, x, y), *old = &fb.shown[(size_t)y * t->cols + x];

            if (*old != cell) {
                *old = cell;
                draw_cell(MARGIN + x * fb.font->width, fb.top + y * fb.font->height, cell);
            }
        }
    }
    t->changed_from = t->rows;
    t->changed_to = 0;
}

static void look_back(unsigned back)
{
    if (back == fb.back)
        return;
    fb.back = back;
    fb.term.changed_from = 0;
    fb.term.changed_to = fb.term.rows;
}

static void fb_write(const char *text, size_t n_bytes)
{
    look_back(0);
    term_write(&fb.term, text, n_bytes);
    draw_changes();
}

void fb_page(int pages)
{
    int64_t back = (int64_t)fb.back - (int64_t)pages * (fb.term.rows - 1);

    if (fb.pixels == NULL)
        return;
    look_back(back < 0 ? 0 : back > fb.term.n_left ? fb.term.n_left : (unsigned)back);
    draw_changes();
}

static struct out_sink fb_sink = { .write = fb_write };

static uint32_t bar_height(void) { return fb.font->height + 2 * BAR_PADDING; }

/* Draws n characters into the header, from column `from`; what does not fit is left out. */
static void draw_in_bar(const char *text, size_t n, size_t from, enum term_colour ink, enum term_colour bar)
{
    for (size_t i = 0; i < n && from + i < fb.term.cols; i++) {
        unsigned char c = (unsigned char)text[i];

        draw_cell(MARGIN + (uint32_t)(from + i) * fb.font->width, BAR_PADDING,
                  TERM_CELL(c >= 0x20 && c < 0x7f ? c : TERM_UNKNOWN, ink, bar));
    }
}

void fb_header(const char *left, const char *right)
{
    size_t n = strlen(right);

    if (fb.pixels == NULL)
        return;
    draw_rectangle(0, 0, fb.width, bar_height(), fb.colours[TERM_BAR]);
    draw_in_bar(left, strlen(left), 0, TERM_BRIGHT, TERM_BAR);
    if (n < fb.term.cols)
        draw_in_bar(right, n, fb.term.cols - n, TERM_INK, TERM_BAR);
}

void fb_alarm(const char *text)
{
    if (fb.pixels == NULL)
        return;
    draw_rectangle(0, 0, fb.width, bar_height(), fb.colours[TERM_BAR_ALARM]);
    draw_in_bar(text, strlen(text), 0, TERM_BRIGHT, TERM_BAR_ALARM);
}

unsigned fb_columns(void) { return fb.pixels != NULL ? fb.term.cols : 0; }

static bool pixels_make_sense(const struct boot_framebuffer *f)
{
    return f->red_mask != 0 && f->green_mask != 0 && f->blue_mask != 0 && f->stride >= f->width &&
           f->size_bytes / sizeof(uint32_t) / f->stride >= f->height;
}

/* Memory for the cells wanted and the cells shown, one behind the other */
static err_t make_cells(unsigned cols, unsigned rows)
{
    size_t lines = rows + KEPT_LINES;
    va_t cells;
    err_t err =
        kva_alloc(align_up((lines + rows) * cols * sizeof(term_cell_t), PAGE_SIZE) >> PAGE_SHIFT, &cells);

    if (err != ERR_OK)
        return err;
    term_start(&fb.term, (term_cell_t *)(uintptr_t)cells.raw, cols, rows, (unsigned)lines);
    fb.shown = fb.term.cells + lines * cols;
    for (size_t i = 0; i < (size_t)rows * cols; i++)
        fb.shown[i] = TERM_CELL(' ', TERM_INK, TERM_PAPER);
    return ERR_OK;
}

err_t fb_start(const struct boot_framebuffer *f)
{
    const struct font *font = f->width >= LARGE_WIDTH ? &font_large : &font_small;
    uint32_t top = font->height + 2 * BAR_PADDING + MARGIN, cols, rows;
    volatile void *pixels;
    err_t err;

    if (f->base.raw == 0 || f->width == 0)
        return ERR_NOENT;
    if (!pixels_make_sense(f) || f->width < 2 * MARGIN || f->height < top + MARGIN)
        return ERR_INVAL;
    cols = (f->width - 2 * MARGIN) / font->width;
    rows = (f->height - top - MARGIN) / font->height;
    if (cols < COLS_MIN || rows < ROWS_MIN)
        return ERR_INVAL;
    err = make_cells(cols, rows);
    if (err == ERR_OK)
        err = kva_map_device(f->base, (uint64_t)f->stride * f->height * sizeof(uint32_t), PTE_CACHE_WC,
                             &pixels);
    if (err != ERR_OK)
        return err;

    fb.stride = f->stride;
    fb.width = f->width;
    fb.height = f->height;
    fb.font = font;
    fb.top = top;
    fb.pixels = pixels;
    for (unsigned i = 0; i < TERM_COLOURS; i++)
        fb.colours[i] = pixel_of(rgb[i], f);
    draw_rectangle(0, 0, fb.width, fb.height, fb.colours[TERM_PAPER]);
    fb_header("Octavo", "");
    out_attach(&fb_sink);
    return ERR_OK;
}
