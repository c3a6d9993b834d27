/* SPDX-License-Identifier: MIT */
/*
 * core/x86/gdt.c - segments, the task state segment, and the stacks it names
 *
 * Long mode keeps of segmentation only privilege and code size. Four exceptions get a stack of their
 * own, since they can come when the current one cannot be trusted: #DF (a stack that ran into its
 * guard page arrives as that), NMI, #MC, and #DB, which some CPUs raise for a SYSCALL with TF set, on
 * ring 3's stack. SDM 3A "Task Management in 64-bit Mode".
 */
#include "core/x86/gdt.h"

#include "core/cpu.h"

#define MSR_GS_BASE 0xC0000101u

/* Descriptor bits: SDM 3A "Segment Descriptors" */
#define SEG_TYPE_CODE ((uint64_t)0xB << 40) /* execute, read, accessed */
#define SEG_TYPE_DATA ((uint64_t)0x3 << 40) /* read, write, accessed   */
#define SEG_TYPE_TSS  ((uint64_t)0x9 << 40) /* 64-bit TSS, available   */
#define SEG_TYPE_LDT  ((uint64_t)0x2 << 40)
#define SEG_S         ((uint64_t)1 << 44)   /* code or data            */
#define SEG_DPL3      ((uint64_t)3 << 45)
#define SEG_P         ((uint64_t)1 << 47)
#define SEG_L         ((uint64_t)1 << 53)   /* 64-bit code             */
#define SEG_DB        ((uint64_t)1 << 54)   /* 32-bit                  */
#define SEG_G         ((uint64_t)1 << 55)   /* limit in pages          */
#define SEG_FLAT      ((uint64_t)0x000F00000000FFFF | SEG_G)

struct __attribute__((packed)) tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM 3A \"64-Bit TSS Format\"");

void gdt_load(const struct table_register *gdt, uint64_t code_selector, uint64_t data_selector);

struct guarded_stack image_stacks[STACKS];

static struct {
    uint64_t   gdt[10];
    struct tss tss;
} seg = {
    .gdt = {
        [SEL_KERNEL_CODE / 8] = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_L | SEG_FLAT,
        [SEL_KERNEL_DATA / 8] = SEG_P | SEG_S | SEG_TYPE_DATA | SEG_DB | SEG_FLAT,
        [SEL_USER_CODE32 / 8] = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_DB | SEG_DPL3 | SEG_FLAT,
        [SEL_USER_DATA / 8] = SEG_P | SEG_S | SEG_TYPE_DATA | SEG_DB | SEG_DPL3 | SEG_FLAT,
        [SEL_USER_CODE / 8] = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_L | SEG_DPL3 | SEG_FLAT,
    },
};

/* put_system - a system segment's descriptor: two entries, with 64 bits of base */
static void put_system(unsigned selector, uint64_t type, uint64_t base, uint64_t n_bytes)
{
    seg.gdt[selector / 8] = SEG_P | type | (n_bytes - 1) | (base & 0xFFFFFF) << 16 | (base >> 24 & 0xFF) << 56;
    seg.gdt[selector / 8 + 1] = base >> 32;
}

/* Where an exception with a stack of its own begins; above lies whose CPU it is: core/x86/trap.S */
static uint64_t ist_top(unsigned stack)
{
    uint64_t top = (uintptr_t)&image_stacks[stack] + sizeof image_stacks[stack] - 16;

    *(struct cpu **)top = cpu_this();
    return top;
}

void gdt_start(void)
{
    uint64_t gs = rdmsr(MSR_GS_BASE);
    struct table_register r = { sizeof seg.gdt - 1, (uintptr_t)seg.gdt };

    seg.tss.ist[IST_DOUBLE_FAULT - 1] = ist_top(STACK_DF);
    seg.tss.ist[IST_NMI - 1] = ist_top(STACK_NMI);
    seg.tss.ist[IST_MACHINE_CHECK - 1] = ist_top(STACK_MC);
    seg.tss.ist[IST_DEBUG - 1] = ist_top(STACK_DB);
    seg.tss.io_map = sizeof seg.tss; /* beyond the limit: no port for ring 3 */
    put_system(SEL_TSS, SEG_TYPE_TSS, (uintptr_t)&seg.tss, sizeof seg.tss);
    gdt_load(&r, SEL_KERNEL_CODE, SEL_KERNEL_DATA);
    wrmsr(MSR_GS_BASE, gs); /* loading GS cleared it */
    cpu_lldt(0);
    cpu_ltr(SEL_TSS);
}

void gdt_ldt_load(const uint64_t ldt[], unsigned n_entries)
{
    if (n_entries > 0)
        put_system(SEL_LDT, SEG_TYPE_LDT, (uintptr_t)ldt, 8 * (uint64_t)n_entries);
    cpu_lldt(n_entries > 0 ? SEL_LDT : 0);
}

void gdt_ring0_stack(void *top)
{
    seg.tss.rsp[0] = (uintptr_t)top;
    cpu_this()->kernel_rsp = (uintptr_t)top;
}

const char *stack_owner(uint64_t address)
{
    static const char *const names[STACKS] = {
        [STACK_BOOT] = "boot", [STACK_DF] = "#DF", [STACK_NMI] = "NMI", [STACK_MC] = "#MC",
        [STACK_DB] = "#DB",
    };

    for (unsigned i = 0; i < STACKS; i++)
        if (address - (uintptr_t)image_stacks[i].guard < sizeof image_stacks[i].guard)
            return names[i];
    return NULL;
}
