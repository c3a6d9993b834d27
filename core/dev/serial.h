/* SPDX-License-Identifier: MIT */
/* core/dev/serial.h - the first serial port: a 16550 at 0x3f8, 115200 baud, 8N1 */
#ifndef CORE_DEV_SERIAL_H
#define CORE_DEV_SERIAL_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * serial_start - look for the port, set it up and send everything printed from now on there
 *
 *   Errors  ERR_NOENT  no port answers: nothing was changed, everything works without
 */
err_t serial_start(void) MUST_USE;

/* serial_drain - wait until all that was printed has left, but not for ever: before power goes */
void serial_drain(void);

/*
 * serial_listen - from now on got(byte) is called, by interrupt, for each byte that arrives
 *
 *   Errors  ERR_NOENT  there is no port      ERR_NOSYS  no interrupt comes from it: serial_poll()
 */
err_t serial_listen(void (*got)(char byte)) MUST_USE;

/* serial_poll - take what has arrived, after serial_listen() */
void serial_poll(void);

/* serial_write - to the serial line alone; what there is to say after a panic is too long for a screen */
void serial_write(const char *text, size_t n_bytes);

#endif
