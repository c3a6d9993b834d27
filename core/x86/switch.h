/* SPDX-License-Identifier: MIT */
/* core/x86/switch.h - from one kernel stack to another */
#ifndef CORE_X86_SWITCH_H
#define CORE_X86_SWITCH_H

#include "mm/types.h"

/* What lies on the stack of a thread that doesn't run, from its RSP upwards */
struct switch_frame {
    uint64_t r15, r14, r13, r12, rdi, rsi, rbx, rbp;
    uint64_t rip;       /* where it goes on                                                              */
    uint64_t no_caller; /* 0: a backtrace ends here; RSP is 8 below a multiple of 16, as in any function */
    uint64_t home[4];   /* the callee's                                                                  */
};
_Static_assert(sizeof(struct switch_frame) % 16 == 0, "RSP on entry to a function");

/* thread_switch - save this stack's RSP, go on with another; returns when somebody switches back */
void thread_switch(uint64_t *save_rsp, uint64_t load_rsp);

#endif
