/* SPDX-License-Identifier: MIT */
/*
 * efi/tables.c - the ACPI root pointer and the framebuffer
 *
 * Both may be missing: servers have no screen, and the console splitter shows phantom ones. The screen
 * that carries the console is asked first, then any with a linear framebuffer.
 */
#include "efi/efi.h"

static EFI_GUID acpi_20 = { 0x8868e871, 0xe4f1, 0x11d3, { 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81 } };
static EFI_GUID acpi_10 = { 0xeb9d2d30, 0x2d88, 0x11d3, { 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d } };
static EFI_GUID gop_guid = { 0x9042a9de, 0x23dc, 0x4a38, { 0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a } };

static bool same_guid(const EFI_GUID *a, const EFI_GUID *b)
{
    return __builtin_memcmp(a, b, sizeof *a) == 0;
}

static pa_t find_table(const EFI_GUID *which)
{
    for (UINTN i = 0; i < efi_st->NumberOfTableEntries; i++)
        if (same_guid(&efi_st->ConfigurationTable[i].VendorGuid, which))
            return pa((uintptr_t)efi_st->ConfigurationTable[i].VendorTable);
    return pa(0);
}

/* note_screen - take a GOP's mode if it is a linear framebuffer of 32-bit pixels that makes sense */
static bool note_screen(const EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, struct boot_framebuffer *fb)
{
    if (gop->Mode == NULL || gop->Mode->Info == NULL)
        return false;
    const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *m = gop->Mode->Info;
    struct boot_framebuffer got = {
        .base = pa(gop->Mode->FrameBufferBase),
        .width = m->HorizontalResolution,
        .height = m->VerticalResolution,
        .stride = m->PixelsPerScanLine,
    };

    switch (m->PixelFormat) {
    case PixelRedGreenBlueReserved8BitPerColor:
        got.red_mask = 0x0000FF, got.green_mask = 0x00FF00, got.blue_mask = 0xFF0000;
        break;
    case PixelBlueGreenRedReserved8BitPerColor:
        got.red_mask = 0xFF0000, got.green_mask = 0x00FF00, got.blue_mask = 0x0000FF;
        break;
    case PixelBitMask:
        got.red_mask = m->PixelInformation.RedMask;
        got.green_mask = m->PixelInformation.GreenMask;
        got.blue_mask = m->PixelInformation.BlueMask;
        break;
    default: /* PixelBltOnly: no memory behind it */
        return false;
    }
    got.size_bytes = (uint64_t)got.stride * got.height * 4;
    if (got.base.raw == 0 || got.base.raw % 4 != 0 || got.width < 64 || got.height < 64 || got.stride < got.width ||
        got.stride > 65536 || got.height > 65536 || got.size_bytes > gop->Mode->FrameBufferSize ||
        got.red_mask == 0 || got.green_mask == 0 || got.blue_mask == 0)
        return false;
    *fb = got;
    return true;
}

static bool screen_of(EFI_HANDLE handle, struct boot_framebuffer *fb)
{
    void *gop;

    return !EFI_ERROR(efi_st->BootServices->HandleProtocol(handle, &gop_guid, &gop)) && gop != NULL &&
           note_screen(gop, fb);
}

static void find_screen(struct boot_framebuffer *fb)
{
    EFI_HANDLE screens[64];
    UINTN      n_bytes = sizeof screens;

    if (efi_st->ConsoleOutHandle != NULL && screen_of(efi_st->ConsoleOutHandle, fb))
        return;
    if (EFI_ERROR(efi_st->BootServices->LocateHandle(ByProtocol, &gop_guid, NULL, &n_bytes, screens)))
        return;
    for (UINTN i = 0; i < n_bytes / sizeof screens[0]; i++)
        if (screen_of(screens[i], fb))
            return;
}

void efi_tables_read(struct boot_info *b)
{
    b->rsdp = find_table(&acpi_20);
    if (b->rsdp.raw == 0)
        b->rsdp = find_table(&acpi_10);
    find_screen(&b->fb);
}
