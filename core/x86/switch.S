// SPDX-License-Identifier: MIT
//
// core/x86/switch.S - from one kernel stack to another

        .text

// void thread_switch(uint64_t *save_rsp, uint64_t load_rsp)
//
// Leaves what a callee must preserve (Windows x64: RSI and RDI, too) on the old stack, and takes it from the new
// one: there the same function was called, or core/proc/thread.c laid out a struct switch_frame.
        .balign 16
        .def thread_switch; .scl 2; .type 32; .endef
        .globl thread_switch
        .seh_proc thread_switch
thread_switch:
        pushq %rbp
        .seh_pushreg %rbp
        pushq %rbx
        .seh_pushreg %rbx
        pushq %rsi
        .seh_pushreg %rsi
        pushq %rdi
        .seh_pushreg %rdi
        pushq %r12
        .seh_pushreg %r12
        pushq %r13
        .seh_pushreg %r13
        pushq %r14
        .seh_pushreg %r14
        pushq %r15
        .seh_pushreg %r15
        .seh_endprologue
        movq %rsp, (%rcx)
        movq %rdx, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rdi
        popq %rsi
        popq %rbx
        popq %rbp
        retq
        .seh_endproc
