/* SPDX-License-Identifier: MIT */
/* core/console/input.h - bytes typed on any keyboard, in the order they came */
#ifndef CORE_CONSOLE_INPUT_H
#define CORE_CONSOLE_INPUT_H

#include "mm/types.h"

/* input_start - listen to the serial line and to the keyboard; either may be missing */
void input_start(void);

/* input_get - the next byte; halts the CPU until there is one. Not for interrupt handlers. */
char input_get(void);

/* input_try - the next byte, if there is one */
bool input_try(char *out);

#endif
