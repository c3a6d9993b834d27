// SPDX-License-Identifier: MIT
//
// core/x86/trap.S - where the CPU enters on an exception or interrupt, and how trap_try comes back
//
// Each vector has an entry of 16 bytes that makes the stack look alike for all of them:
//
//        ss rsp rflags cs rip        pushed by the CPU
//        error                       pushed by the CPU for some exceptions, else 0 here
//        vector                      pushed here
//        rax rbx ... r15             pushed by trap_common; RSP now points at a struct trap_frame
//
// The .seh lines describe that to the unwinder (core/x86/unwind.c): a backtrace runs through traps.

        .text

// Exceptions with an error code: SDM 3A table "Protected-Mode Exceptions and Interrupts"
        .balign 16
        .globl trap_entries
trap_entries:
        .set vector, 0
        .rept 256
        .balign 16
        .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
        .else
        pushq $0
        .endif
        pushq $vector
        jmp trap_common
        .set vector, vector + 1
        .endr

        .balign 16
        .def trap_common; .scl 2; .type 32; .endef
        .globl trap_common
        .seh_proc trap_common
trap_common:
        .seh_pushframe @code
        .seh_stackalloc 8
        pushq %rax
        .seh_pushreg %rax
        pushq %rbx
        .seh_pushreg %rbx
        pushq %rcx
        .seh_pushreg %rcx
        pushq %rdx
        .seh_pushreg %rdx
        pushq %rsi
        .seh_pushreg %rsi
        pushq %rdi
        .seh_pushreg %rdi
        pushq %rbp
        .seh_pushreg %rbp
        pushq %r8
        .seh_pushreg %r8
        pushq %r9
        .seh_pushreg %r9
        pushq %r10
        .seh_pushreg %r10
        pushq %r11
        .seh_pushreg %r11
        pushq %r12
        .seh_pushreg %r12
        pushq %r13
        .seh_pushreg %r13
        pushq %r14
        .seh_pushreg %r14
        pushq %r15
        .seh_pushreg %r15
        subq $32, %rsp          // the callee's home space (Windows x64 calling convention)
        .seh_stackalloc 32
        .seh_endprologue
        cld
        leaq 32(%rsp), %rcx
        callq trap_dispatch
        addq $32, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rbp
        popq %rdi
        popq %rsi
        popq %rdx
        popq %rcx
        popq %rbx
        popq %rax
        addq $16, %rsp
        iretq
        .seh_endproc

// bool trap_try_run(void (*fn)(void *), void *arg, uint64_t *rsp_out)
//
// Saves what a callee must preserve, notes the stack, calls fn(arg), returns true. An exception in fn
// makes trap_dispatch return to trap_try_abort with that stack: the same way out, but false.
        .balign 16
        .def trap_try_run; .scl 2; .type 32; .endef
        .globl trap_try_run
        .seh_proc trap_try_run
trap_try_run:
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
        subq $40, %rsp          // home space, and RSP a multiple of 16
        .seh_stackalloc 40
        .seh_endprologue
        movq %rsp, (%r8)
        movq %rcx, %rax
        movq %rdx, %rcx
        callq *%rax
        movl $1, %eax
        jmp try_out
        .globl trap_try_abort
trap_try_abort:
        xorl %eax, %eax
try_out:
        addq $40, %rsp
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

// void gdt_load(const struct table_register *gdt, uint64_t code_selector, uint64_t data_selector)
        .balign 16
        .globl gdt_load
gdt_load:
        lgdt (%rcx)
        movw %r8w, %ds
        movw %r8w, %es
        movw %r8w, %ss
        xorl %eax, %eax
        movw %ax, %fs
        movw %ax, %gs
        popq %rax
        pushq %rdx
        pushq %rax
        lretq

// noreturn void stack_switch(void *arg, void (*fn)(void *), void *stack_top)
// Flags start clear: firmware may have left AC set, and with it SMAP would mean nothing.
        .balign 16
        .globl stack_switch
stack_switch:
        movq %r8, %rsp
        pushq $2
        popfq
        xorl %ebp, %ebp
        subq $32, %rsp
        pushq $0                // no caller: a backtrace ends here
        jmpq *%rdx

// void unwind_capture(struct unwind_start *out)
        .balign 16
        .globl unwind_capture
unwind_capture:
        movq (%rsp), %rax
        movq %rax, (%rcx)
        leaq 8(%rsp), %rax
        movq %rax, 8(%rcx)
        movq %rbp, 16(%rcx)
        movq %rbx, 24(%rcx)
        movq %rsi, 32(%rcx)
        movq %rdi, 40(%rcx)
        movq %r12, 48(%rcx)
        movq %r13, 56(%rcx)
        movq %r14, 64(%rcx)
        movq %r15, 72(%rcx)
        retq
