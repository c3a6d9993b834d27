/* SPDX-License-Identifier: MIT */
/* efi/file.c - the volume we were loaded from */
#include "efi/efi.h"

static EFI_GUID loaded_image_guid = { 0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static EFI_GUID file_system_guid = { 0x964e5b22, 0x6459, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };

static void *protocol(EFI_HANDLE handle, EFI_GUID *guid)
{
    void *p;

    return EFI_ERROR(efi_st->BootServices->HandleProtocol(handle, guid, &p)) ? NULL : p;
}

const EFI_LOADED_IMAGE *efi_loaded_image(EFI_HANDLE image) { return protocol(image, &loaded_image_guid); }

EFI_FILE_HANDLE efi_volume_root(EFI_HANDLE image)
{
    const EFI_LOADED_IMAGE *loaded = efi_loaded_image(image);
    EFI_FILE_IO_INTERFACE  *fs = loaded != NULL ? protocol(loaded->DeviceHandle, &file_system_guid) : NULL;
    EFI_FILE_HANDLE         root;

    return fs == NULL || EFI_ERROR(fs->OpenVolume(fs, &root)) ? NULL : root;
}

EFI_FILE_HANDLE efi_file_open(EFI_FILE_HANDLE folder, const CHAR16 *path)
{
    EFI_FILE_HANDLE file;

    return EFI_ERROR(folder->Open(folder, &file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0)) ? NULL : file;
}
