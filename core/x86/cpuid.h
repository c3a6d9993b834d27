/* SPDX-License-Identifier: MIT */
/* core/x86/cpuid.h - what this CPU can do, asked once */
#ifndef CORE_X86_CPUID_H
#define CORE_X86_CPUID_H

#include "mm/types.h"

struct cpu_features {
    bool nx, pge, pat, gib_pages, smep, smap, umip, la57, pku, pcid, invpcid, x2apic, cet_ss, cet_ibt, erms, tsc_invariant, tsc_deadline;
    bool hypervisor;
    unsigned phys_bits, virt_bits;
    uint32_t tsc_khz;         /* from CPUID leaf 15H, 0 = it does not say */
    char     vendor[13], brand[49];
};

/* cpu_features - the same answer for ever; the first call asks the CPU */
const struct cpu_features *cpu_features(void);

#endif
