// SPDX-License-Identifier: MIT
//
// core/x86/ring3.S - the way down to ring 3, and the three smallest programs there are

        .text

// noreturn void ring3_enter(uint64_t rip, uint64_t rdi, uint64_t rsp, uint64_t rflags)
//
// SDM 2A "IRET": in 64-bit mode SS:RSP, RFLAGS, CS:RIP are popped whatever the privilege. The way back
// is an exception or interrupt, on the stack that the TSS names.
        .balign 16
        .globl ring3_enter
ring3_enter:
        pushq $0x23             // SEL_USER_DATA, ring 3
        pushq %r8
        pushq %r9
        pushq $0x2b             // SEL_USER_CODE, ring 3
        pushq %rcx
        movq %rdx, %rdi
        xorl %eax, %eax         // nothing of the kernel's goes down
        xorl %ebx, %ebx
        xorl %ecx, %ecx
        xorl %edx, %edx
        xorl %esi, %esi
        xorl %ebp, %ebp
        xorl %r8d, %r8d
        xorl %r9d, %r9d
        xorl %r10d, %r10d
        xorl %r11d, %r11d
        xorl %r12d, %r12d
        xorl %r13d, %r13d
        xorl %r14d, %r14d
        xorl %r15d, %r15d
        cli
        swapgs                  // core/x86/trap.S undoes it
        iretq

// Programs for a user page: one access to where RDI points, then INT3. 16 bytes each: read, write,
// fetch. What is fetched, and written, is an INT3, too.
        .section .rdata,"dr"
        .balign 16
        .globl ring3_probes
ring3_probes:
        movb (%rdi), %al
        int3
        .balign 16
        movb $0xcc, (%rdi)
        int3
        .balign 16
        jmpq *%rdi
        .balign 16
