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

/* input_wait - the same for any thread; ERR_BUSY: it was killed meanwhile */
err_t input_wait(char *out) MUST_USE;

#endif
