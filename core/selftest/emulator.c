/* SPDX-License-Identifier: MIT */
/* core/selftest/emulator.c - which emulator this is */
#include "core/selftest/emulator.h"

#include "core/x86/cpuid.h"
#include "core/x86/insn.h"

/* CPUID's hypervisor leaf */
bool emulator_is_tcg(void)
{
    struct cpuid id = cpu_id(0x40000000, 0);

    return cpu_features()->hypervisor && id.ebx == 0x54474354 && id.ecx == 0x43544743 && id.edx == 0x47435447; /* "TCGTCGTCGTCG" */
}

/* No CPU that owns up to no hypervisor and has protection keys ever sat on an i440FX, but Bochs' have. */
bool emulator_is_bochs(void)
{
    outl(0xCF8, 0x80000000); /* PCI configuration, device 0: vendor and device */
    return !cpu_features()->hypervisor && inl(0xCFC) == 0x12378086;
}
