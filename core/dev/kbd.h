/* SPDX-License-Identifier: MIT */
/* core/dev/kbd.h - the PS/2 keyboard behind an 8042 controller */
#ifndef CORE_DEV_KBD_H
#define CORE_DEV_KBD_H

#include "mm/err.h"

/*
 * kbd_start - set up controller and keyboard; from now on got(byte) is called, by interrupt, for each
 * byte that is typed
 *
 *   Errors  ERR_NOENT  no controller answers     ERR_IO  it does not work
 *           ERR_NOSYS  no interrupt comes from it: kbd_poll()
 */
err_t kbd_start(void (*got)(char byte)) MUST_USE;

/* kbd_poll - take what was typed, after kbd_start() */
void kbd_poll(void);

#endif
