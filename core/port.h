/* SPDX-License-Identifier: MIT */
/* core/port.h - what only core/ may tell its implementation of mm/port.h */
#ifndef CORE_PORT_H
#define CORE_PORT_H

#include "mm/port.h"

/* port_direct_map - port_ptr() adds this from now on; until then physical addresses are pointers */
void port_direct_map(va_t base);

#endif
