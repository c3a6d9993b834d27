/* SPDX-License-Identifier: MIT */
/* core/x86/ring3.h - the way down to ring 3 */
#ifndef CORE_X86_RING3_H
#define CORE_X86_RING3_H

#include "mm/types.h"

/*
 * ring3_enter - go on at `rip` in ring 3, with rdi, rsp and rflags as given and all else zero
 *
 *   The next exception or interrupt comes back to ring 0, on the stack that the TSS names.
 */
NORETURN void ring3_enter(uint64_t rip, uint64_t rdi, uint64_t rsp, uint64_t rflags);

/* Programs of 16 bytes: read, write, jump to where RDI points, then INT3 */
#define RING3_PROBES_BYTES 48
extern const uint8_t ring3_probes[RING3_PROBES_BYTES];

#endif
