/* SPDX-License-Identifier: MIT */
/*
 * efi/entry.c - efi_main: from a firmware's application to the machine's owner, on one screen
 *
 * Up to efi_exit() everything can still end with one sentence and a return to the firmware. After its
 * first call of ExitBootServices, nothing but GetMemoryMap and ExitBootServices may be used.
 * Source: UEFI Specification 2.10, 7.4.6 "EFI_BOOT_SERVICES.ExitBootServices()".
 */
#include "efi/efi.h"

EFI_SYSTEM_TABLE *efi_st;

static struct boot_info boot;

/* A loader that does not clear the tail of .data would break everything later, and quietly. */
static volatile uint64_t zero_canary;

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

void efi_say(const char *text)
{
    CHAR16 line[128];
    unsigned n = 0;

    if (efi_st->ConOut == NULL)
        return;
    for (; n < ARRAY_LEN(line) - 3 && text[n] != '\0'; n++)
        line[n] = (CHAR16)text[n];
    line[n++] = '\r';
    line[n++] = '\n';
    line[n] = 0;
    efi_st->ConOut->OutputString(efi_st->ConOut, line);
}

static EFI_STATUS refuse(const char *why)
{
    efi_say("Octavo cannot run here:");
    efi_say(why);
    return EFI_UNSUPPORTED;
}

static void note_firmware(struct boot_info *b)
{
    unsigned n = 0;

    for (const CHAR16 *c = efi_st->FirmwareVendor; c != NULL && *c != 0 && n < sizeof b->firmware - 1; c++)
        b->firmware[n++] = *c >= ' ' && *c <= '~' ? (char)*c : '?';
    b->firmware[n] = '\0';
    b->firmware_revision = efi_st->FirmwareRevision;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
    efi_st = st;
    if (zero_canary != 0)
        return refuse("the firmware did not clear our uninitialised data");
    boot_note_cpu(&boot);
    st->BootServices->SetWatchdogTimer(0, 0x10000, 0, NULL);
    note_firmware(&boot);

    const char *why = boot_refusal();
    if (why != NULL)
        return refuse(why);
    efi_config_read(image, &boot.config);
    efi_programs_read(image, &boot);
    efi_tables_read(&boot);
    efi_runtime_note(&boot);
    why = efi_memory_take(&boot);
    if (why != NULL)
        return refuse(why);

    if (!efi_exit(image, &boot)) {
        if (boot.exit_tries > 1)
            return EFI_LOAD_ERROR; /* half gone: printing is not allowed any more */
        return refuse("the firmware's memory map outgrew the room we made for it");
    }
    kmain_enter(&boot);
}
