// SPDX-License-Identifier: MIT
//
// core/x86/la57.S - through 32-bit mode, to another number of page-table levels
//
// CR4.LA57 can be changed only while paging is off, and paging off means leaving long mode. So this page is
// copied to a frame below 4 GiB that both the old and the new tables map at its own address, readable and
// executable, and called there:
//
//     64-bit, old tables --> far return --> 32-bit, paged --> CR0.PG = 0: long mode is left
//     64-bit, new tables <-- far jump   <-- 32-bit, paged <-- CR0.PG = 1  CR3 and CR4 are changed here
//
// On the way the upper halves of all registers are lost; what must survive lies in the page's own
// variables, written by core/x86/la57.c through the direct map, since here the page is read-only.
// Interrupts are off. An NMI in between would find no handler: a machine that has one there is dying.
//
// Source  SDM 3A "Initializing IA-32e Mode", "Switching Out of IA-32e Mode Operation"; "Paging-Mode
//         Enabling": LA57 with PG = 1 is #GP

        .section .rdata,"dr"
        .balign 16
        .globl la57_page
la57_page:

// void at_la57_page(uint64_t *saved_rsp), rcx = where in the direct map this page's saved_rsp is written
        pushq %rbp
        pushq %rbx
        pushq %rsi
        pushq %rdi
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, (%rcx)
        leaq la57_page(%rip), %rbx      // below 4 GiB, so its upper half is no loss
        lgdt la57_gdt_register(%rip)
        leaq la57_narrow(%rip), %rax
        pushq $0x18                     // 32-bit code
        pushq %rax
        lretq

        .code32
la57_narrow:
        movl %cr0, %eax
        andl $0x7fffffff, %eax
        movl %eax, %cr0                 // paging off; EFER.LMA goes with it
        movl %cs:(la57_cr3 - la57_page)(%ebx), %eax
        movl %eax, %cr3
        movl %cs:(la57_cr4 - la57_page)(%ebx), %eax
        movl %eax, %cr4
        movl %cr0, %eax
        orl $0x80000000, %eax
        movl %eax, %cr0                 // on again, EFER.LME is still 1
        ljmpl *%cs:(la57_wide_pointer - la57_page)(%ebx)

        .code64
la57_wide:
        movq la57_rsp(%rip), %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rdi
        popq %rsi
        popq %rbx
        popq %rbp
        retq

        .balign 16
la57_gdt:
        .quad 0
        .quad 0x00af9b000000ffff        // 0x08 64-bit code, as in the kernel's table
        .quad 0x00cf93000000ffff        // 0x10 data
        .quad 0x00cf9b000000ffff        // 0x18 32-bit code
        .balign 8
        .word 0, 0, 0                   // so that the base below is aligned
la57_gdt_register:
        .word 31
        .quad 0                         // address of la57_gdt, filled in
la57_wide_pointer:
        .long 0                         // address of la57_wide, filled in
        .word 0x08
        .balign 8
la57_rsp:
        .quad 0
la57_cr3:
        .quad 0
la57_cr4:
        .quad 0
la57_end:

// Where in the page the parts are: struct la57_parts
        .balign 4
        .globl la57_parts
la57_parts:
        .long la57_end - la57_page
        .long la57_gdt - la57_page
        .long la57_gdt_register - la57_page + 2
        .long la57_wide - la57_page
        .long la57_wide_pointer - la57_page
        .long la57_rsp - la57_page
        .long la57_cr3 - la57_page
        .long la57_cr4 - la57_page
