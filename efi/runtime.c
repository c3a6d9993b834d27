/* SPDX-License-Identifier: MIT */
/*
 * efi/runtime.c - what stays usable of the firmware after ExitBootServices: reset and power-off
 *
 * SetVirtualAddressMap is never called: firmware is known to run boot services' code in it, and an
 * identity mapping needs none. core/power.c maps the runtime regions before it calls in here.
 * Source: UEFI Specification 2.10, 8.5.1 "ResetSystem()"; 4.6.2 "EFI_RT_PROPERTIES_TABLE".
 */
#include "efi/efi.h"

#define RT_SUPPORTED_RESET_SYSTEM 0x0400u

static EFI_GUID rt_properties = { 0xeb66918a, 0x7eef, 0x402a, { 0x84, 0x2e, 0x93, 0x1d, 0x21, 0xc3, 0x8a, 0xe9 } };

struct rt_properties { UINT16 version, length; UINT32 supported; };

static void reset(enum boot_reset how)
{
    efi_st->RuntimeServices->ResetSystem(how == BOOT_RESET_POWER_OFF ? EfiResetShutdown : EfiResetCold, EFI_SUCCESS,
                                         0, NULL);
}

void efi_runtime_note(struct boot_info *b)
{
    const EFI_RUNTIME_SERVICES *rt = efi_st->RuntimeServices;

    if (rt == NULL || rt->ResetSystem == NULL)
        return;
    for (UINTN i = 0; i < efi_st->NumberOfTableEntries; i++) {
        const EFI_CONFIGURATION_TABLE *t = &efi_st->ConfigurationTable[i];
        const struct rt_properties    *p = t->VendorTable;

        if (__builtin_memcmp(&t->VendorGuid, &rt_properties, sizeof rt_properties) == 0 &&
            !(p->supported & RT_SUPPORTED_RESET_SYSTEM))
            return;
    }
    b->reset = reset;
}
