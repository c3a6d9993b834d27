/* SPDX-License-Identifier: MIT */
/* core/console/show_walk.h - page tables for people: one walk, and what must not be in them */
#ifndef CORE_CONSOLE_SHOW_WALK_H
#define CORE_CONSOLE_SHOW_WALK_H

#include "mm/pt.h"

/* show_walk - print every entry on the way to v, bit by bit, and what comes of it */
void show_walk(const struct pt *pt, va_t v);

/* range_finding - what is dangerous about a range of the kernel's tables, in words; NULL: nothing */
const char *range_finding(const struct pt_range *r);

#endif
