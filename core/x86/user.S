// SPDX-License-Identifier: MIT
//
// core/x86/user.S - system calls, and copies from and to ring 3
//
// SYSCALL changes neither stack nor GS base: until both are the kernel's, nothing may be trusted but registers. It
// leaves RIP in RCX and RFLAGS in R11; SFMASK has cleared IF, TF, DF and AC. SDM 2B "SYSCALL", "SYSRET".

#include "core/x86/offsets.h"

        .text

// What is laid out is a struct trap_frame, so that a system call and an exception look alike to whoever needs all
// registers (fork, a fault handler's return). A callee keeps the other half of the registers by itself (Windows
// x64), so the way back loads only what SYSCALL or the callee may have spoilt.
        .balign 16
        .def syscall_entry; .scl 2; .type 32; .endef
        .globl syscall_entry
        .seh_proc syscall_entry
syscall_entry:
        swapgs
        movq %rsp, %gs:CPU_USER_RSP
        movq %gs:CPU_KERNEL_RSP, %rsp
        pushq $0x23             // SEL_USER_DATA, ring 3
        pushq %gs:CPU_USER_RSP
        pushq %r11
        pushq $0x2b             // SEL_USER_CODE, ring 3
        pushq %rcx
        pushq $0
        .seh_pushframe @code
        pushq $FRAME_SYSCALL
        .seh_stackalloc 8
        .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        pushq %\register
        .seh_pushreg %\register
        .endr
        .seh_stackalloc 32
        .seh_endprologue
        movq %rsp, %rcx
        sti
        subq $32, %rsp
        cmpq syscall_count(%rip), %rax
        jae 3f
        leaq syscall_table(%rip), %rdx
        callq *(%rdx, %rax, 8)
1:      cli
        cmpl $0, %gs:CPU_ATTENTION
        jne 4f
2:      movq 32+FRAME_RIP(%rsp), %rcx
        movq %rcx, %rdx         // SYSRET to an address that isn't canonical faults in ring 0, on ring 3's stack
        shrq $47, %rdx
        jne 5f
        movq 32+FRAME_RFLAGS(%rsp), %r11
        movq 32+FRAME_RDX(%rsp), %rdx
        movq 32+FRAME_R8(%rsp), %r8
        movq 32+FRAME_R9(%rsp), %r9
        movq 32+FRAME_R10(%rsp), %r10
        movq 32+FRAME_RSP(%rsp), %rsp
        swapgs
        sysretq

3:      callq syscall_unknown
        jmp 1b
4:      movq %rax, 32+FRAME_RAX(%rsp)
        callq user_attention
        movq 32+FRAME_RAX(%rsp), %rax
        jmp 2b
5:      movq %rax, 32+FRAME_RAX(%rsp)
        leaq 32(%rsp), %rcx
        jmp trap_return
        .seh_endproc

// From 32-bit code AMD's CPUs (and QEMU) enter here, Intel's raise #UD: there are no system calls for it.
        .balign 16
        .globl syscall_entry32
syscall_entry32:
        movl $-16, %eax         // -ERR_NOSYS
        sysretl

// bool user_copy(void *to, const void *from, uint64_t n_bytes), user_copy_smap likewise
//
// False: a page could not be touched, core/proc/uaccess.c has sent us to the landing. Faults are expected from
// user_copy_begin to user_copy_end and nowhere else.
        .balign 16
        .globl user_copy_begin, user_copy_end, user_copy_landing, user_copy, user_copy_smap
user_copy_smap:
        movq %rdi, %r9
        movq %rsi, %r10
        movq %rcx, %rdi
        movq %rdx, %rsi
        movq %r8, %rcx
        shrq $3, %rcx
        andl $7, %r8d
        movl $1, %eax
        stac
        callq user_copy_begin
        clac
        movq %r9, %rdi
        movq %r10, %rsi
        retq
user_copy:
        movq %rdi, %r9
        movq %rsi, %r10
        movq %rcx, %rdi
        movq %rdx, %rsi
        movq %r8, %rcx
        shrq $3, %rcx
        andl $7, %r8d
        movl $1, %eax
        callq user_copy_begin
        movq %r9, %rdi
        movq %r10, %rsi
        retq
user_copy_begin:
        rep movsq
        movl %r8d, %ecx
        rep movsb
user_copy_end:
        retq
user_copy_landing:
        xorl %eax, %eax
        retq
