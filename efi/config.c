/* SPDX-License-Identifier: MIT */
/*
 * efi/config.c - octavo.conf from the volume we were loaded from, then LoadOptions, which override it
 *
 * A missing file, a volume without a file system, LoadOptions of a boot manager's own binary kind: all
 * are as good as an empty configuration.
 */
#include "efi/config_parse.h"
#include "efi/efi.h"

static EFI_GUID loaded_image_guid = { 0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static EFI_GUID file_system_guid = { 0x964e5b22, 0x6459, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };

static char text[4096];

static void *protocol(EFI_HANDLE handle, EFI_GUID *guid)
{
    void *p;

    return EFI_ERROR(efi_st->BootServices->HandleProtocol(handle, guid, &p)) ? NULL : p;
}

/* read_file - at most sizeof text bytes of a file in the volume's root */
static size_t read_file(EFI_HANDLE volume, const CHAR16 *path)
{
    EFI_FILE_IO_INTERFACE *fs = protocol(volume, &file_system_guid);
    EFI_FILE_HANDLE        root, file;
    UINTN                  n = sizeof text;

    if (fs == NULL || EFI_ERROR(fs->OpenVolume(fs, &root)))
        return 0;
    if (EFI_ERROR(root->Open(root, &file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0))) {
        n = 0;
    } else {
        if (EFI_ERROR(file->Read(file, &n, text)))
            n = 0;
        file->Close(file);
    }
    root->Close(root);
    return n;
}

/* options_text - LoadOptions as ASCII; 0 when they are no text */
static size_t options_text(const EFI_LOADED_IMAGE *image)
{
    const CHAR16 *options = image->LoadOptions;
    size_t        n = 0;

    for (; n < image->LoadOptionsSize / sizeof *options && n < sizeof text && options[n] != 0; n++) {
        if (options[n] != '\t' && (options[n] < ' ' || options[n] > '~'))
            return 0;
        text[n] = (char)options[n];
    }
    return n;
}

void efi_config_read(EFI_HANDLE image, struct boot_config *config)
{
    const EFI_LOADED_IMAGE *loaded = protocol(image, &loaded_image_guid);

    config_defaults(config);
    if (loaded == NULL)
        return;
    config_parse_file(config, text, read_file(loaded->DeviceHandle, u"octavo.conf"));
    if (loaded->LoadOptions != NULL)
        config_parse_options(config, text, options_text(loaded));
}
