/* SPDX-License-Identifier: MIT */
/*
 * core/x86/user.c - the registers behind system calls
 *
 * SYSCALL's selectors come from STAR: CS = 47:32 and SS = CS + 8; back to ring 3, SS = 63:48 + 8 and CS = 63:48 + 16
 * (to 32-bit code, CS = 63:48). SDM 3A "Fast System Calls in 64-Bit Mode".
 */
#include "core/x86/user.h"

#include "core/x86/gdt.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"

#define MSR_STAR        0xC0000081u
#define MSR_LSTAR       0xC0000082u
#define MSR_CSTAR       0xC0000083u
#define MSR_SFMASK      0xC0000084u
#define MSR_SYSENTER_CS 0x174u

#define RFLAGS_CLEARED 0x47700u /* AC, NT, IOPL, DF, IF, TF */
#define RING3          3u

extern const uint8_t syscall_entry[], syscall_entry32[];

void user_start(void)
{
    wrmsr(MSR_STAR, (uint64_t)(SEL_USER_CODE32 | RING3) << 48 | (uint64_t)SEL_KERNEL_CODE << 32);
    wrmsr(MSR_LSTAR, (uintptr_t)syscall_entry);
    wrmsr(MSR_CSTAR, (uintptr_t)syscall_entry32);
    wrmsr(MSR_SFMASK, RFLAGS_CLEARED);
    wrmsr(MSR_SYSENTER_CS, 0); /* SYSENTER: #GP */
    write_cr0(read_cr0() | CR0_TS); /* x87, MMX, SSE: #NM. Nobody saves their registers. */
}
