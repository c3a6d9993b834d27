/* SPDX-License-Identifier: MIT */
/* core/world/mm/port_inline.h - the part of mm/port.h that is a few instructions, on the real machine */
#ifndef CORE_WORLD_MM_PORT_INLINE_H
#define CORE_WORLD_MM_PORT_INLINE_H

#include "core/x86/insn.h"
#include "mm/port.h"

#define RFLAGS_IF     ((uint64_t)1 << 9)
#define GS_CPU_NUMBER 8 /* of struct cpu, which core/cpu.h holds to it */

static inline unsigned port_cpu(void) { return (unsigned)GS_READ_U64(GS_CPU_NUMBER); }

static inline uint64_t port_irq_save(void)
{
    uint64_t flags = cpu_flags() & RFLAGS_IF;

    cpu_cli();
    return flags;
}

static inline void port_irq_restore(uint64_t flags)
{
    if (flags != 0)
        cpu_sti();
}

static inline void *port_va_ptr(va_t v) { return (void *)v.raw; }

#endif
