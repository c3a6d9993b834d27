// SPDX-License-Identifier: MIT
//
// core/user/crt0.S - a program's first instructions in ring 3
//
// In   rdi = n_arguments, rsi = arguments[], rsp a multiple of 16
//
// The program is linked to address 0 and may be put anywhere: it adds where it is to the pointers in its
// data by itself, before any C runs. All of them are R_X86_64_RELATIVE, since nothing else is left in a
// static executable: no loader, no symbols. What it writes becomes its own by copy-on-write.
//
// Source  System V ABI, AMD64 supplement, "Relocation"; gABI "Dynamic Section"

        .set DT_RELA, 7
        .set DT_RELASZ, 8

        .text
        .globl _start
        .type _start, @function
_start:
        xorl %ebp, %ebp                 // a backtrace ends here
        leaq __ehdr_start(%rip), %rcx   // where address 0 is now
        leaq _DYNAMIC(%rip), %rdx
        xorl %r8d, %r8d                 // table
        xorl %r9d, %r9d                 // its bytes
1:      movq (%rdx), %rax
        cmpq $DT_RELA, %rax
        cmoveq 8(%rdx), %r8
        cmpq $DT_RELASZ, %rax
        cmoveq 8(%rdx), %r9
        addq $16, %rdx
        testq %rax, %rax
        jnz 1b

        addq %rcx, %r8
        addq %r8, %r9                   // its end
2:      cmpq %r9, %r8
        jae 3f
        movq (%r8), %rdx                // r_offset
        movq 16(%r8), %rax              // r_addend
        addq %rcx, %rax
        movq %rax, (%rdx, %rcx)
        addq $24, %r8
        jmp 2b

3:      callq ulib_start
        ud2
        .size _start, . - _start

        .hidden __ehdr_start
        .hidden _DYNAMIC
        .section .note.GNU-stack, "", @progbits
