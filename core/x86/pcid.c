/* SPDX-License-Identifier: MIT */
/*
 * core/x86/pcid.c - numbers for address spaces in the TLB
 *
 * CR4.PCIDE can be set only while CR3 names PCID 0, and paging can be turned off only while it is
 * clear. The kernel's own tables have PCID 0. SDM 3A "Process-Context Identifiers (PCIDs)".
 */
#include "core/x86/pcid.h"

#include "core/x86/cpuid.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "mm/tlb.h"

void pcid_start(void)
{
    const struct cpu_features *f = cpu_features();
    const struct tlb_cpu       cpu = { .pcid = f->pcid, .invpcid = f->pcid && f->invpcid };

    if (f->pcid)
        write_cr4(read_cr4() | CR4_PCIDE);
    tlb_start(&cpu);
}

bool pcid_pause(void)
{
    uint64_t cr4 = read_cr4();

    if ((cr4 & CR4_PCIDE) != 0)
        write_cr4(cr4 & ~CR4_PCIDE);
    return (cr4 & CR4_PCIDE) != 0;
}

void pcid_resume(bool was_on)
{
    if (was_on)
        write_cr4(read_cr4() | CR4_PCIDE);
}
