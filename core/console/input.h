/* SPDX-License-Identifier: MIT */
/* core/console/input.h - bytes typed on any keyboard, in the order they came */
#ifndef CORE_CONSOLE_INPUT_H
#define CORE_CONSOLE_INPUT_H

#include "mm/err.h"
#include "mm/types.h"

/* input_start - listen to the serial line and to the keyboard; either may be missing */
void input_start(void);

/* input_get - the next byte, for the console's thread, which sleeps until there is one */
char input_get(void);

/*
 * input_read - for any thread: wait for the first byte, then take what is there, up to `room` (at least 1)
 *
 *   Errors  ERR_BUSY  the thread was killed meanwhile
 */
err_t input_read(char *out, size_t room, size_t *n) MUST_USE;

/* input_on_break - what Ctrl-C does from now on, in an interrupt handler; NULL: it is typed like any other byte */
void input_on_break(void (*fn)(void));

#endif
