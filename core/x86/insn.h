/* SPDX-License-Identifier: MIT */
/*
 * core/x86/insn.h - one inline function per instruction that C has no word for
 *
 * The only file with inline assembly. Sources: Intel SDM volume 2, under the instruction's name.
 */
#ifndef CORE_X86_INSN_H
#define CORE_X86_INSN_H

#include <stddef.h>
#include <stdint.h>

static inline void cpu_cli(void) { __asm__ volatile("cli" ::: "memory"); }
static inline void cpu_sti(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void cpu_hlt(void) { __asm__ volatile("hlt" ::: "memory"); }
static inline void cpu_pause(void) { __asm__ volatile("pause"); }
/* STI takes effect after the next instruction, so no interrupt slips in before the HLT */
static inline void cpu_sti_hlt(void) { __asm__ volatile("sti\n\thlt" ::: "memory"); }
static inline void cpu_mfence(void) { __asm__ volatile("mfence" ::: "memory"); }
static inline void cpu_int3(void) { __asm__ volatile("int3"); }
static inline void cpu_ud2(void) { __asm__ volatile("ud2"); }

static inline uint64_t cpu_flags(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq\n\tpopq %0" : "=r"(flags)::"memory");
    return flags;
}

static inline void cpu_set_flags(uint64_t flags)
{
    __asm__ volatile("pushq %0\n\tpopfq" ::"r"(flags) : "memory", "cc");
}

static inline uint64_t cpu_rsp(void)
{
    uint64_t rsp;

    __asm__ volatile("movq %%rsp, %0" : "=r"(rsp));
    return rsp;
}

static inline uint64_t cpu_rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

struct cpuid { uint32_t eax, ebx, ecx, edx; };

static inline struct cpuid cpu_id(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;

    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

/* ---- control registers --------------------------------------------------------------------- */

#define INSN_CR(n)                                                                                \
    static inline uint64_t read_cr##n(void)                                                       \
    {                                                                                             \
        uint64_t value;                                                                           \
                                                                                                  \
        __asm__ volatile("movq %%cr" #n ", %0" : "=r"(value)::"memory");                          \
        return value;                                                                             \
    }                                                                                             \
    static inline void write_cr##n(uint64_t value)                                                \
    {                                                                                             \
        __asm__ volatile("movq %0, %%cr" #n ::"r"(value) : "memory");                             \
    }
INSN_CR(0)
INSN_CR(2)
INSN_CR(3)
INSN_CR(4)
#undef INSN_CR

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* rights of the protection keys; only while CR4.PKE is on */
static inline void cpu_wrpkru(uint32_t rights)
{
    __asm__ volatile("wrpkru" ::"a"(rights), "c"(0), "d"(0) : "memory");
}

static inline void cpu_invlpg(uint64_t address) { __asm__ volatile("invlpg (%0)" ::"r"(address) : "memory"); }
static inline void cpu_invpcid(uint64_t type, uint64_t pcid, uint64_t address)
{
    uint64_t descriptor[2] = { pcid, address };

    __asm__ volatile("invpcid (%0), %1" ::"r"(descriptor), "r"(type) : "memory");
}
static inline void cpu_clflush(const void *p) { __asm__ volatile("clflush (%0)" ::"r"(p) : "memory"); }
static inline void cpu_wbinvd(void) { __asm__ volatile("wbinvd" ::: "memory"); }
static inline void cpu_stac(void) { __asm__ volatile("stac" ::: "memory"); }
static inline void cpu_clac(void) { __asm__ volatile("clac" ::: "memory"); }

/* ---- descriptor tables --------------------------------------------------------------------- */

struct __attribute__((packed)) table_register {
    uint16_t limit; /* bytes - 1 */
    uint64_t base;
};
_Static_assert(sizeof(struct table_register) == 10, "attributes are ignored: build with -fno-ms-extensions");

static inline void cpu_lgdt(const struct table_register *r) { __asm__ volatile("lgdt %0" ::"m"(*r)); }
static inline void cpu_lidt(const struct table_register *r) { __asm__ volatile("lidt %0" ::"m"(*r)); }
static inline void cpu_lldt(uint16_t selector) { __asm__ volatile("lldt %0" ::"r"(selector)); }
static inline void cpu_ltr(uint16_t selector) { __asm__ volatile("ltr %0" ::"r"(selector)); }
static inline uint16_t cpu_sldt(void)
{
    uint16_t selector;

    __asm__ volatile("sldt %0" : "=r"(selector));
    return selector;
}
static inline uint16_t cpu_str(void)
{
    uint16_t selector;

    __asm__ volatile("str %0" : "=r"(selector));
    return selector;
}
/* DS, ES and FS; their bases count in 32-bit code, and FS's everywhere */
#define INSN_SEGMENT(name)                                                                        \
    static inline uint16_t cpu_##name(void)                                                       \
    {                                                                                             \
        uint16_t selector;                                                                        \
                                                                                                  \
        __asm__ volatile("movw %%" #name ", %0" : "=r"(selector));                                \
        return selector;                                                                          \
    }
INSN_SEGMENT(ds)
INSN_SEGMENT(es)
INSN_SEGMENT(fs)
#undef INSN_SEGMENT
static inline void cpu_load_segments(uint16_t ds, uint16_t es, uint16_t fs)
{
    __asm__ volatile("movw %0, %%ds\n\tmovw %1, %%es\n\tmovw %2, %%fs" ::"r"(ds), "r"(es), "r"(fs) : "memory");
}
static inline struct table_register cpu_sgdt(void)
{
    struct table_register r;

    __asm__ volatile("sgdt %0" : "=m"(r));
    return r;
}

/* ---- ports --------------------------------------------------------------------------------- */

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void outb(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void outw(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }

/* ---- ring 3 -------------------------------------------------------------------------------- */

/* SYSCALL as core/proc/abi.h says: number in RAX, arguments in RDI, RSI, RDX, R10, R8; RCX and R11 are lost */
static inline int64_t cpu_syscall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;

    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory", "cc");
    return (int64_t)number;
}

/* ---- strings of memory --------------------------------------------------------------------- */

static inline void rep_stosb(void *to, uint8_t value, size_t n_bytes)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n_bytes) : "a"(value) : "memory");
}

static inline void rep_stosq(void *to, uint64_t value, size_t n_words)
{
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(n_words) : "a"(value) : "memory");
}

static inline void rep_movsb(void *to, const void *from, size_t n_bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n_bytes)::"memory");
}

static inline void rep_movsq(void *to, const void *from, size_t n_words)
{
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n_words)::"memory");
}

/* ---- this CPU's own data ------------------------------------------------------------------- */

/* GS_READ_U64 - the 64-bit word at a constant offset from GS base, where a CPU's struct cpu lies */
#define GS_READ_U64(offset)                                                                       \
    ({                                                                                            \
        uint64_t gs_value_;                                                                       \
                                                                                                  \
        __asm__("movq %%gs:%c1, %0" : "=r"(gs_value_) : "i"(offset));                             \
        gs_value_;                                                                                \
    })

#endif
