/* SPDX-License-Identifier: MIT */
/* core/x86/unwind.h - who called whom */
#ifndef CORE_X86_UNWIND_H
#define CORE_X86_UNWIND_H

#include "mm/types.h"

/* Where to begin: the registers that a callee preserves, as they are in the frame to start from */
struct unwind_start {
    uint64_t rip, rsp, rbp, rbx, rsi, rdi;
    uint64_t r12_15[4];
};

/* unwind_print - a backtrace with function names, at most 32 frames; wild registers only end it */
void unwind_print(const struct unwind_start *start);

/* unwind_capture - the registers of its caller, as they are at the call (trap.S) */
void unwind_capture(struct unwind_start *out);

/* unwind_here - the backtrace of whoever calls this */
void unwind_here(void);

/* symbol_name - the function that holds an address: name and offset in it; NULL when none does */
const char *symbol_name(uint64_t address, uint64_t *offset);

#endif
