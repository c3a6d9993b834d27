/* SPDX-License-Identifier: MIT */
/* test/host/world/mm/port_inline.h - the part of mm/port.h that is a few instructions, in a Linux process */
#ifndef TEST_HOST_WORLD_MM_PORT_INLINE_H
#define TEST_HOST_WORLD_MM_PORT_INLINE_H

#include "mm/port.h"

extern _Thread_local unsigned host_cpu;
extern void *(*host_va_hook)(va_t v); /* the test's software MMU walks the tables */

static inline unsigned port_cpu(void) { return host_cpu; }
static inline uint64_t port_irq_save(void) { return 0; }
static inline void     port_irq_restore(uint64_t flags) { (void)flags; }

static inline void    *port_va_ptr(va_t v) { return host_va_hook(v); }

#endif
