// SPDX-License-Identifier: MIT
//
// core/x86/segment_programs.S - programs for ring 3 that change segments (core/x86/segment_programs.h)
//
// CS is changed in each way there is: far jump, far return, IRET. In 32-bit code under a 64-bit kernel
// (compatibility mode) base and limit of all segments count; in 64-bit code only the bases of FS and GS.
//
// Source  SDM 3A "Compatibility Mode", "Segmentation in IA-32e Mode"; SDM 2A "JMP", "RET", "IRET"

#include "core/x86/segment_programs.h"

#define USER_CODE 0x2b

// From 64-bit code to 32-bit code at the label, by far return; DS is the parameters'
        .macro narrow to
        movl SEGPAR_DATA(%rdi), %eax
        movw %ax, %ds
        movl SEGPAR_CODE(%rdi), %eax
        pushq %rax
        movl $(\to - segment_programs), %eax
        pushq %rax
        lretq
        .endm

        .section .rdata,"dr"
        .balign 16
        .globl segment_programs
segment_programs:

tour:   narrow tour_32
        .code32
tour_32:
        movw %cs, SEGPAR_SEEN
        ljmpl *SEGPAR_JUMP              // to tour_jumped, in another segment over the same bytes
        .globl segment_tour_jumped
segment_tour_jumped:
        movw %cs, SEGPAR_SEEN + 4
        pushfl
        pushl SEGPAR_CODE
        pushl $(tour_returned - segment_programs)
        iretl
tour_returned:
        movw %cs, SEGPAR_SEEN + 8
        pushl $USER_CODE
        movl SEGPAR_HERE, %eax
        addl $(tour_wide - segment_programs), %eax
        pushl %eax
        lretl
        .code64
tour_wide:
        movw %cs, SEGPAR_SEEN + 12(%rdi)
        int3

jump:   narrow jump_32
        .code32
jump_32:
        ljmpl *SEGPAR_JUMP
        .code64

read:   narrow read_32
        .code32
read_32:
        movl SEGPAR_OFFSET, %esi
        movw SEGPAR_SELECTOR, %ax
        movw %ax, %ds
        movb (%esi), %al
        int3
        .code64

write:  narrow write_32
        .code32
write_32:
        movl SEGPAR_OFFSET, %esi
        movw SEGPAR_SELECTOR, %ax
        movw %ax, %ds
        movb $1, (%esi)
        int3
        .code64

stack:  narrow stack_32
        .code32
stack_32:
        movl SEGPAR_OFFSET, %esi
        movw SEGPAR_SELECTOR, %ax
        movw %ax, %ss
        movb %ss:(%esi), %al
        int3
        .code64

text:   narrow text_32
        .code32
text_32:
        movl SEGPAR_OFFSET, %esi
        movb $1, %cs:(%esi)
        int3
        .code64

wide_fs:
        movl SEGPAR_SELECTOR(%rdi), %eax
        movl SEGPAR_OFFSET(%rdi), %esi
        movw %ax, %fs
        movl %fs:(%rsi), %eax
        movl %eax, SEGPAR_SEEN(%rdi)
        int3

wide_ds:
        movl SEGPAR_SELECTOR(%rdi), %eax
        movl SEGPAR_OFFSET(%rdi), %esi
        movw %ax, %ds
        movb (%rsi), %al
        int3

        .globl segment_programs_end
segment_programs_end:

        .balign 4
        .globl segment_program_at
segment_program_at:
        .irp program, tour, jump, read, write, stack, text, wide_fs, wide_ds
        .long \program - segment_programs
        .endr
