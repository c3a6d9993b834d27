// SPDX-License-Identifier: MIT
//
// core/x86/trap.S - where the CPU enters on an exception or interrupt, and how trap_try comes back
//
// Each vector has an entry of 16 bytes that makes the stack look alike for all of them:
//
//        ss rsp rflags cs rip        pushed by the CPU
//        error                       pushed by the CPU for some exceptions, else 0 here
//        vector                      pushed here
//        rax rbx ... r15             pushed by both ways in; RSP now points at a struct trap_frame
//
// The .seh lines describe that to the unwinder (core/x86/unwind.c): a backtrace runs through traps.
//
// GS base is the CPU's own in ring 0 and the program's in ring 3: an entry from ring 3 and the way back to it
// exchange the two. #DF, NMI, #MC and #DB may come in between, when CS doesn't tell which one it is. They put the CPU's
// own there, which the first word of their stacks holds, and put back afterwards what they found.

#include "core/x86/offsets.h"

#define MSR_GS_BASE 0xc0000101
#define TRAP_DB     1
#define TRAP_NMI    2
#define TRAP_DF     8
#define TRAP_MC     18

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
        .if (vector == TRAP_NMI) || (vector == TRAP_DF) || (vector == TRAP_MC)
        jmp trap_any_gs
        .elseif vector == TRAP_DB
        jmp trap_debug
        .else
        jmp trap_common
        .endif
        .set vector, vector + 1
        .endr

        .macro push_registers
        .seh_pushframe @code
        .seh_stackalloc 8
        .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        pushq %\register
        .seh_pushreg %\register
        .endr
        subq $32, %rsp          // the callee's home space (Windows x64 calling convention)
        .seh_stackalloc 32
        .seh_endprologue
        .endm

        .macro pop_registers
        .irp register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
        popq %\register
        .endr
        addq $16, %rsp
        .endm

        // SMAP binds the kernel only while AC is clear, and ring 3 can set it
        .macro clear_ac
        cmpb $0, %gs:CPU_SMAP
        je 1f
        clac
1:
        .endm

        .balign 16
        .def trap_common; .scl 2; .type 32; .endef
        .globl trap_common
        .seh_proc trap_common
trap_common:
        push_registers
        testb $3, 32+FRAME_CS(%rsp)
        je 2f
        swapgs
2:
        clear_ac
        cld
        leaq 32(%rsp), %rcx
        callq trap_dispatch
        addq $32, %rsp
trap_out:
        testb $3, FRAME_CS(%rsp)
        je 3f
        swapgs
3:
        pop_registers
        iretq
        .seh_endproc

        .balign 16
        .def trap_any_gs; .scl 2; .type 32; .endef
        .seh_proc trap_any_gs
trap_any_gs:
        push_registers
        movl $MSR_GS_BASE, %ecx
        rdmsr
        movl %eax, %r12d        // kept by who is called
        movl %edx, %r13d
        movl 32+FRAME_BYTES(%rsp), %eax
        movl 32+FRAME_BYTES+4(%rsp), %edx
        wrmsr
        clear_ac
        cld
        leaq 32(%rsp), %rcx
        callq trap_dispatch
        movl $MSR_GS_BASE, %ecx
        movl %r12d, %eax
        movl %r13d, %edx
        wrmsr
        addq $32, %rsp
        pop_registers
        iretq
        .seh_endproc

// #DB from ring 3 goes on where any exception would, on the thread's stack; from ring 0, see above.
        .balign 16
trap_debug:
        testb $3, 24(%rsp)
        je trap_any_gs
        pushq %rax
        movq %rsp, %rax
        swapgs
        movq %gs:CPU_KERNEL_RSP, %rsp
        swapgs
        .irp offset, 56, 48, 40, 32, 24, 16, 8      // SS down to the vector
        pushq \offset(%rax)
        .endr
        movq (%rax), %rax
        jmp trap_common

// noreturn void trap_return(const struct trap_frame *f)
//
// To where the frame says, with all its registers. The frame may lie anywhere: until IRET it is the stack.
        .balign 16
        .globl trap_return
trap_return:
        cli
        movq %rcx, %rsp
        jmp trap_out

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
