/* SPDX-License-Identifier: MIT */
/* core/console/show_walk.h - a walk of page tables for people */
#ifndef CORE_CONSOLE_SHOW_WALK_H
#define CORE_CONSOLE_SHOW_WALK_H

#include "mm/pt.h"

/* show_walk - print every entry on the way to v, bit by bit, and what comes of it */
void show_walk(const struct pt *pt, va_t v);

#endif
