/* SPDX-License-Identifier: MIT */
/*
 * test/boot/hostile/screen.c - graphics output that is missing, useless, or padded
 */
#include "test/boot/hostile/hostile.h"

#include "core/x86/insn.h"

/* The display of Bochs and of QEMU's -vga std: "Bochs VBE Extensions", docs/specs of Bochs */
#define VBE_INDEX      0x1CE
#define VBE_DATA       0x1CF
#define VBE_ID         0
#define VBE_VIRT_WIDTH 6

static EFI_GUID gop_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;

static EFI_GRAPHICS_OUTPUT_PROTOCOL gop;
static EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE mode;
static EFI_GRAPHICS_OUTPUT_MODE_INFORMATION info;

/* Octavo sees copies of the firmware's screen, to be changed */
static void copy_screen(void)
{
    void *real = NULL;

    if (EFI_ERROR(h.real->BootServices->LocateProtocol(&gop_guid, NULL, &real)))
        hostile_give_up("no screen");
    gop = *(EFI_GRAPHICS_OUTPUT_PROTOCOL *)real;
    mode = *gop.Mode;
    info = *mode.Info;
    gop.Mode = &mode;
    mode.Info = &info;
    protocol_replace(&gop_guid, &gop, NULL);
}

void screen_missing(void) { protocol_replace(&gop_guid, NULL, NULL); }

void screen_blt_only(void)
{
    copy_screen();
    info.PixelFormat = PixelBltOnly;
    mode.FrameBufferBase = 0;
    mode.FrameBufferSize = 0;
}

void screen_modeless(void)
{
    copy_screen();
    gop.Mode = NULL;
}

/* The console's own handle shows a screen without memory; the real one is on another */
void screen_phantom(void)
{
    screen_blt_only();
    protocol_replace(&gop_guid, &gop, h.real->ConsoleOutHandle);
}

static UINT16 vbe(UINT16 index)
{
    outw(VBE_INDEX, index);
    return inw(VBE_DATA);
}

/* The lines of the real screen become longer than they are wide */
void screen_wide_stride(void)
{
    copy_screen();
    if ((vbe(VBE_ID) & 0xFFF0) != 0xB0C0)
        hostile_give_up("not the display of an emulator");
    outw(VBE_INDEX, VBE_VIRT_WIDTH);
    outw(VBE_DATA, (UINT16)(info.HorizontalResolution + 72));
    info.PixelsPerScanLine = vbe(VBE_VIRT_WIDTH);
    mode.FrameBufferSize = (UINTN)info.PixelsPerScanLine * info.VerticalResolution * 4;
    hostile_say("%u pixels wide, %u apart", info.HorizontalResolution, info.PixelsPerScanLine);
}

/* Lines that would overlap: no framebuffer can be like that */
void screen_narrow_stride(void)
{
    copy_screen();
    info.PixelsPerScanLine = info.HorizontalResolution - 1;
}
