/* SPDX-License-Identifier: MIT */
/*
 * test/boot/hostile/asm.S - what C has no words for
 *
 * cpu_cs - the code segment we run in
 *
 * cpu_raise_flags - set bits in RFLAGS, here and in our caller
 *
 * cpu_enter_la57 - from four levels to five
 *
 * CR4.LA57 cannot change while paging is on in long mode, so: to 32-bit code, paging off, the bit, paging
 * on, back. Code, stack and tables lie below 4 GiB; the upper halves of registers do not survive.
 * Source: SDM 3A, "Switching Out of IA-32e Mode Operation" and "Paging-Mode Enabling"
 *
 *   rcx  the PML5        rdx  selector of a 32-bit code segment
 */
        .intel_syntax noprefix
        .text
        .globl  cpu_enter_la57
        .globl  cpu_cs
        .p2align 4
cpu_cs:
        mov     eax, cs
        ret

        .globl  cpu_raise_flags
        .p2align 4
cpu_raise_flags:
        pushfq
        or      [rsp], rcx
        popfq
        ret

        .p2align 4
cpu_enter_la57:
        push    rbx
        push    rsi
        pushfq
        cli
        mov     ebx, cs
        lea     rsi, [rip + four_done]
        lea     rax, [rip + four]
        push    rdx
        push    rax
        retfq

        .code32
four:
        mov     eax, cr0
        btr     eax, 31
        mov     cr0, eax
        mov     cr3, ecx
        mov     eax, cr4
        bts     eax, 12
        mov     cr4, eax
        mov     eax, cr0
        bts     eax, 31
        mov     cr0, eax
        push    ebx
        push    esi
        retf

        .code64
four_done:
        popfq
        pop     rsi
        pop     rbx
        ret
