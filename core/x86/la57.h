/* SPDX-License-Identifier: MIT */
/* core/x86/la57.h - four or five levels of page tables, changed while the system runs */
#ifndef CORE_X86_LA57_H
#define CORE_X86_LA57_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * la57_switch - the kernel's tables have this many levels from now on; every address keeps its meaning
 *
 *   levels  4 or 5; what they have already is fine
 *
 *   Errors  ERR_NOSYS  the CPU has no five levels      ERR_BUSY  address spaces share the kernel's tables
 *           ERR_NOMEM  no two frames below 4 GiB       ERR_INVAL  another number
 */
err_t la57_switch(unsigned levels) MUST_USE;

#endif
