/* SPDX-License-Identifier: MIT */
/* core/dev/font.h - the console's typeface; tools/mkfont.py makes the pictures at build time */
#ifndef CORE_DEV_FONT_H
#define CORE_DEV_FONT_H

#include <stdint.h>

#define FONT_FIRST  0x20 /* the blank                                       */
#define FONT_GLYPHS 96   /* ASCII, and a box for everything else, at 0x7f   */

struct font {
    unsigned width, height; /* [pixels]; width is at most 32                                            */
    const uint32_t *rows;   /* FONT_GLYPHS x height; the leftmost pixel is bit width - 1, 1 means ink   */
};

extern const struct font font_small, font_large;

#endif
