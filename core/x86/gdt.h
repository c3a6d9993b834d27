/* SPDX-License-Identifier: MIT */
/* core/x86/gdt.h - segments, the task state segment, and the stacks it names */
#ifndef CORE_X86_GDT_H
#define CORE_X86_GDT_H

#include "mm/types.h"

/* Selectors; the order of the user ones is what SYSRET wants (SDM 2B "SYSRET") */
enum {
    SEL_KERNEL_CODE = 0x08,
    SEL_KERNEL_DATA = 0x10,
    SEL_USER_CODE32 = 0x18,
    SEL_USER_DATA = 0x20,
    SEL_USER_CODE = 0x28,
    SEL_TSS = 0x30,
    SEL_LDT = 0x40,
};

/* Numbers in the interrupt stack table, 0 = stay on the current stack */
enum { IST_NONE, IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_DEBUG, IST_STACKS = IST_DEBUG };

/* gdt_start - our own GDT and TSS are in use when it returns; GS base is kept */
void gdt_start(void);

/* gdt_ldt_load - selectors with bit 2 name entries of ldt[n_entries] from now on; 0 entries: there are none */
void gdt_ldt_load(const uint64_t ldt[], unsigned n_entries);

/* gdt_ring0_stack - where the CPU goes on when an exception, an interrupt or a system call ends ring 3 */
void gdt_ring0_stack(void *top);

/* A kernel stack that lies in the image, with a page below it that stage 2 leaves unmapped */
#define STACK_BYTES ((uint64_t)32 * 1024)
struct guarded_stack {
    _Alignas(4096) uint8_t guard[4096];
    uint8_t bytes[STACK_BYTES];
};
_Static_assert(sizeof(struct guarded_stack) == 4096 + 32768, "alignment is ignored: build with -fno-ms-extensions");

enum { STACK_BOOT, STACK_DF, STACK_NMI, STACK_MC, STACK_DB, STACKS };
extern struct guarded_stack image_stacks[STACKS];

/* stack_owner - whose guard page holds this address: "boot", "#DF", ...; NULL when none's */
const char *stack_owner(uint64_t address);

/* stack_switch - go on with fn(arg) on another stack */
NORETURN void stack_switch(void *arg, void (*fn)(void *arg), void *stack_top);

#endif
