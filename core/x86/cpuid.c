/* SPDX-License-Identifier: MIT */
/* core/x86/cpuid.c - what this CPU can do. Source: SDM 2A "CPUID"; AMD APM 3, appendix E */
#include "core/x86/cpuid.h"

#include "core/boot_info.h"
#include "core/str.h"
#include "core/x86/insn.h"

#define MSR_EFER    0xC0000080u
#define MSR_AMD_SEV 0xC0010131u

static bool bit(uint32_t word, unsigned n) { return word >> n & 1; }

static void words_to_text(char *out, const uint32_t *words, unsigned n)
{
    memcpy(out, words, n * sizeof *words);
    out[n * sizeof *words] = '\0';
}

static void read_names(struct cpu_features *f, uint32_t max_ext)
{
    struct cpuid id = cpu_id(0, 0);

    words_to_text(f->vendor, (uint32_t[]){ id.ebx, id.edx, id.ecx }, 3);
    for (uint32_t i = 0; max_ext >= 0x80000004 && i < 3; i++) {
        id = cpu_id(0x80000002 + i, 0);
        words_to_text(f->brand + 16 * i, (uint32_t[]){ id.eax, id.ebx, id.ecx, id.edx }, 4);
    }
}

static void read_features(struct cpu_features *f)
{
    uint32_t     max = cpu_id(0, 0).eax, max_ext = cpu_id(0x80000000, 0).eax;
    struct cpuid id = cpu_id(1, 0);

    f->pge = bit(id.edx, 13);
    f->pat = bit(id.edx, 16);
    f->pcid = bit(id.ecx, 17);
    f->x2apic = bit(id.ecx, 21);
    f->tsc_deadline = bit(id.ecx, 24);
    f->hypervisor = bit(id.ecx, 31);
    if (max >= 7) {
        id = cpu_id(7, 0);
        f->smep = bit(id.ebx, 7);
        f->erms = bit(id.ebx, 9);
        f->invpcid = bit(id.ebx, 10);
        f->smap = bit(id.ebx, 20);
        f->umip = bit(id.ecx, 2);
        f->pku = bit(id.ecx, 3);
        f->cet_ss = bit(id.ecx, 7);
        f->la57 = bit(id.ecx, 16);
        f->cet_ibt = bit(id.edx, 20);
    }
    if (max >= 0x15) {
        id = cpu_id(0x15, 0); /* TSC frequency = ECX * EBX / EAX */
        if (id.eax != 0 && id.ebx != 0 && id.ecx != 0)
            f->tsc_khz = (uint32_t)((uint64_t)id.ecx * id.ebx / id.eax / 1000);
    }
    if (max_ext >= 0x80000001) {
        id = cpu_id(0x80000001, 0);
        f->nx = bit(id.edx, 20);
        f->gib_pages = bit(id.edx, 26);
    }
    if (max_ext >= 0x80000007)
        f->tsc_invariant = bit(cpu_id(0x80000007, 0).edx, 8);
    f->phys_bits = 36, f->virt_bits = 48;
    if (max_ext >= 0x80000008) {
        id = cpu_id(0x80000008, 0);
        f->phys_bits = id.eax & 0xFF;
        f->virt_bits = id.eax >> 8 & 0xFF;
    }
    read_names(f, max_ext);
}

const struct cpu_features *cpu_features(void)
{
    static struct cpu_features f;

    if (f.phys_bits == 0)
        read_features(&f);
    return &f;
}

/* memory_is_encrypted - SEV or TDX: page tables and memory follow rules that we do not know */
static bool memory_is_encrypted(void)
{
    if (cpu_id(0x80000000, 0).eax >= 0x8000001F && bit(cpu_id(0x8000001F, 0).eax, 1) && (rdmsr(MSR_AMD_SEV) & 1))
        return true;
    if (cpu_id(0, 0).eax >= 0x21) {
        struct cpuid id = cpu_id(0x21, 0);
        char name[13];

        words_to_text(name, (uint32_t[]){ id.ebx, id.edx, id.ecx }, 3);
        return strcmp(name, "IntelTDX    ") == 0;
    }
    return false;
}

const char *boot_refusal(void)
{
    const struct cpu_features *f = cpu_features();

    if (!f->nx)
        return "this CPU has no NX bit (no-execute pages), or the firmware's set-up hides it.";
    if (!f->pge)
        return "this CPU has no global pages (CR4.PGE).";
    if (!f->pat)
        return "this CPU has no page attribute table (PAT).";
    if (memory_is_encrypted())
        return "this is a confidential virtual machine (SEV or TDX), whose encrypted memory Octavo cannot manage.";
    return NULL;
}

void boot_note_cpu(struct boot_info *b)
{
    b->tsc_entry = cpu_rdtsc();
    b->fw_cr0 = read_cr0();
    b->fw_cr3 = read_cr3();
    b->fw_cr4 = read_cr4();
    b->fw_efer = rdmsr(MSR_EFER);
    b->fw_rsp = cpu_rsp();
}
