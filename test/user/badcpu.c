/* SPDX-License-Identifier: MIT */
/*
 * test/user/badcpu.c - instructions that ring 3 has no right to, or that upset a careless kernel: badcpu WHAT
 *
 * The first kind ends by an exception; the second is answered by the kernel, and the program ends with 0.
 */
#include "core/user/ulib.h"

#define RFLAGS_TF ((uint64_t)1 << 8)
#define RFLAGS_IF ((uint64_t)1 << 9)
#define RFLAGS_DF ((uint64_t)1 << 10)
#define RFLAGS_NT ((uint64_t)1 << 14)
#define RFLAGS_AC ((uint64_t)1 << 18)

static struct table_register table = { 0xFFFF, 0 };

static void hlt(void) { cpu_hlt(); }
static void cli(void) { cpu_cli(); }
static void sti(void) { cpu_sti(); }
static void mov_from_cr0(void) { (void)read_cr0(); }
static void mov_cr0(void) { write_cr0(0); }
static void mov_cr3(void) { write_cr3(0); }
static void mov_cr4(void) { write_cr4(0); }
static void mov_dr7(void) { __asm__ volatile("movq %0, %%dr7" ::"r"((uint64_t)0x400)); }
static void do_rdmsr(void) { (void)rdmsr(0xC0000080); }
static void do_wrmsr(void) { wrmsr(0xC0000082, (uintptr_t)do_rdmsr); } /* LSTAR: where system calls go */
static void lgdt(void) { cpu_lgdt(&table); }
static void lidt(void) { cpu_lidt(&table); }
static void lldt(void) { cpu_lldt(0); }
static void ltr(void) { cpu_ltr(0x30); }
static void invlpg(void) { cpu_invlpg(0); }
static void wbinvd(void) { cpu_wbinvd(); }
static void stac(void) { cpu_stac(); }
static void swapgs(void) { __asm__ volatile("swapgs"); }
static void sysretq(void) { __asm__ volatile("sysretq" ::"c"(0)); }
static void in_port(void) { (void)inb(0x60); }
static void out_port(void) { outb(0xCF9, 6); } /* reset, on a PC that lets it */
static void out_word(void) { outw(0x604, 0x2000); } /* power off, on QEMU */
static void int_page_fault(void) { __asm__ volatile("int $14"); }
static void int_timer(void) { __asm__ volatile("int $32"); }
static void int_double_fault(void) { __asm__ volatile("int $8"); }
static void sysenter(void) { __asm__ volatile("sysenter" ::: "rsp", "memory"); }
static void breakpoint(void) { cpu_int3(); }
static void undefined(void) { cpu_ud2(); }
static void divide(void) { __asm__ volatile("xorl %%ecx, %%ecx\n\tdivl %%ecx" ::: "eax", "ecx", "edx"); }
static void fpu(void) { __asm__ volatile("fninit"); }
static void sse(void) { __asm__ volatile("xorps %xmm0, %xmm0"); }
static void wrgsbase(void) { __asm__ volatile("wrgsbase %0" ::"r"((uint64_t)0)); }

/* IRET and far return to ring 0's code, with an address of the kernel's choosing */
static void iret_to_ring0(void)
{
    __asm__ volatile("pushq $0x10\n\tpushq %%rsp\n\tpushq $2\n\tpushq $0x08\n\tpushq $0x1000\n\tiretq" ::: "memory");
}
static void lret_to_ring0(void) { __asm__ volatile("pushq $0x08\n\tpushq $0x1000\n\tlretq" ::: "memory"); }

static void jump_not_canonical(void) { ((void (*)(void))(uintptr_t)0x8000000000000000)(); }
static void stack_not_canonical(void)
{
    __asm__ volatile("movq %0, %%rsp\n\tpushq $0" ::"r"((uint64_t)0x8000000000000000) : "memory");
}

static void single_step(void) { cpu_set_flags(cpu_flags() | RFLAGS_TF); }

/* ---- the second kind: the kernel must not be upset -------------------------------------------------- */

static void with_flags(uint64_t flags)
{
    cpu_set_flags(cpu_flags() | flags);
    for (unsigned i = 0; i < 100; i++)
        (void)sys_pid();
    (void)sys_yield();
    (void)sys_sleep(1000000);
    cpu_set_flags(2);
    sys_exit(0);
}

static void flag_nt(void) { with_flags(RFLAGS_NT); }
static void flag_df(void) { with_flags(RFLAGS_DF); }
static void flag_ac(void) { with_flags(RFLAGS_AC); }

/* POPF in ring 3 leaves IF as it is and says nothing */
static void flag_if(void)
{
    cpu_set_flags(cpu_flags() & ~RFLAGS_IF);
    sys_exit((cpu_flags() & RFLAGS_IF) != 0 ? 0 : 1);
}

/* The CPU's own GS base, were the kernel to use what ring 3 left there */
static void load_gs(void)
{
    for (unsigned selector = 0; selector < 4; selector++) {
        __asm__ volatile("movw %w0, %%gs" ::"r"(selector));
        (void)sys_pid();
    }
    __asm__ volatile("movw %w0, %%gs" ::"r"(0x23));
    for (unsigned i = 0; i < 3; i++)
        (void)sys_sleep(1000000);
    sys_exit(0);
}

/* RSP means nothing when SYSCALL enters the kernel */
static void wild_stack(void)
{
    __asm__ volatile("movq %%rsp, %%rbx\n\tmovq %0, %%rsp\n\tmovl %1, %%eax\n\tsyscall\n\tmovq %%rbx, %%rsp" ::"r"((uint64_t)0xFFFF800000100000),
                     "i"(SYS_PID)
                     : "rax", "rbx", "rcx", "r11", "memory");
    sys_exit(0);
}

static const struct {
    const char *name;
    void (*act)(void);
} deeds[] = {
    { "hlt", hlt }, { "cli", cli }, { "sti", sti }, { "from-cr0", mov_from_cr0 }, { "cr0", mov_cr0 }, { "cr3", mov_cr3 },
    { "cr4", mov_cr4 }, { "dr7", mov_dr7 }, { "rdmsr", do_rdmsr }, { "wrmsr", do_wrmsr }, { "lgdt", lgdt }, { "lidt", lidt },
    { "lldt", lldt }, { "ltr", ltr }, { "invlpg", invlpg }, { "wbinvd", wbinvd }, { "stac", stac }, { "swapgs", swapgs },
    { "sysret", sysretq }, { "in", in_port }, { "out", out_port }, { "out-word", out_word }, { "int-pf", int_page_fault },
    { "int-timer", int_timer }, { "int-df", int_double_fault }, { "sysenter", sysenter }, { "int3", breakpoint }, { "ud2", undefined },
    { "divide", divide }, { "fpu", fpu }, { "sse", sse }, { "wrgsbase", wrgsbase }, { "iret-ring0", iret_to_ring0 },
    { "lret-ring0", lret_to_ring0 }, { "jump-wild", jump_not_canonical }, { "stack-wild", stack_not_canonical }, { "step", single_step },
    { "nt", flag_nt }, { "df", flag_df }, { "ac", flag_ac }, { "if", flag_if }, { "gs", load_gs }, { "rsp", wild_stack },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(deeds); i++)
        if (strcmp(argv[1], deeds[i].name) == 0) {
            deeds[i].act();
            print("badcpu %s: nobody stopped me\n", argv[1]);
            return 1;
        }
    fail("WHAT", -ERR_SYNTAX);
}
