/* SPDX-License-Identifier: MIT */
/* core/dev/fb.h - the console on a linear framebuffer */
#ifndef CORE_DEV_FB_H
#define CORE_DEV_FB_H

#include "core/boot_info.h"
#include "mm/err.h"

/*
 * fb_start - map the framebuffer write-combining, clear the screen, show what the log holds and
 * everything printed from now on
 *
 *   Errors  ERR_NOENT  there is no framebuffer
 *           ERR_INVAL  too small for a line of text, or its pixels cannot be understood
 *           and those of kva_map_device()
 */
err_t fb_start(const struct boot_framebuffer *fb) MUST_USE;

/* fb_columns - characters in a line, 0 without a screen */
unsigned fb_columns(void);

/* fb_header - the bar at the top: text at its left and at its right end; "" for none */
void fb_header(const char *left, const char *right);

/* fb_page - look so many pages further down, or up when negative; what is printed next ends that */
void fb_page(int pages);

/* fb_alarm - the bar turns red and says so: for a panic */
void fb_alarm(const char *text);

#endif
