/* SPDX-License-Identifier: MIT */
/* core/x86/trap.h - exceptions and interrupts */
#ifndef CORE_X86_TRAP_H
#define CORE_X86_TRAP_H

#include "core/x86/offsets.h"
#include "mm/err.h"
#include "mm/types.h"

/* Vectors of exceptions: SDM 3A "Protected-Mode Exceptions and Interrupts" */
enum {
    TRAP_DE = 0, TRAP_DB = 1, TRAP_NMI = 2, TRAP_BP = 3, TRAP_OF = 4, TRAP_BR = 5, TRAP_UD = 6,
    TRAP_NM = 7, TRAP_DF = 8, TRAP_TS = 10, TRAP_NP = 11, TRAP_SS = 12, TRAP_GP = 13, TRAP_PF = 14,
    TRAP_MF = 16, TRAP_AC = 17, TRAP_MC = 18, TRAP_XM = 19, TRAP_VE = 20, TRAP_CP = 21,
    TRAP_EXCEPTIONS = 32,
    TRAP_VECTORS = 256,
};

/* What trap.S leaves on the stack; the order is known there */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss; /* pushed by the CPU */
};
_Static_assert(offsetof(struct trap_frame, r10) == FRAME_R10 && offsetof(struct trap_frame, r9) == FRAME_R9 &&
               offsetof(struct trap_frame, r8) == FRAME_R8 && offsetof(struct trap_frame, rdx) == FRAME_RDX &&
               offsetof(struct trap_frame, rax) == FRAME_RAX && offsetof(struct trap_frame, rip) == FRAME_RIP &&
               offsetof(struct trap_frame, cs) == FRAME_CS &&
               offsetof(struct trap_frame, rflags) == FRAME_RFLAGS && offsetof(struct trap_frame, rsp) == FRAME_RSP &&
               sizeof(struct trap_frame) == FRAME_BYTES, "core/x86/offsets.h");

/* idt_start - all 256 vectors go to trap.S; #DF, NMI and #MC on stacks of their own */
void idt_start(void);

/* trap_handler_set - what to call for an interrupt vector (32..255); it runs with interrupts off */
void trap_handler_set(unsigned vector, void (*fn)(void *arg), void *arg);

/* trap_name - "#PF page fault" */
const char *trap_name(unsigned vector);

/* What trap_try caught */
struct trap_caught {
    uint64_t vector, error;
    uint64_t address; /* CR2, for a page fault */
    uint64_t rip;
};

/*
 * trap_try - run fn(arg) and survive an exception in it
 *
 *   caught  written only when an exception ended fn
 *
 *   Returns true when fn returned by itself, false when an exception ended it: then the stack is
 *   back here, and locks that fn took are still held. Calls nest.
 */
bool trap_try(void (*fn)(void *arg), void *arg, struct trap_caught *caught);

/* trap_return - go on where the frame says, with all its registers, in ring 3 or ring 0; it may lie anywhere */
NORETURN void trap_return(const struct trap_frame *f);

/* trap_dump - an exception in full: name, error code in words, registers, page walk, backtrace */
void trap_dump(const struct trap_frame *f);

#endif
