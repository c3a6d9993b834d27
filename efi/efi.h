/* SPDX-License-Identifier: MIT */
/* efi/efi.h - gnu-efi's headers, and the parts of efi/ that know each other */
#ifndef EFI_EFI_H
#define EFI_EFI_H

#include <efi.h>

#include "core/boot_info.h"

/* gnu-efi deletes __attribute__ for this target unless it is built with -fno-ms-extensions */
struct __attribute__((packed)) efi_attribute_check { char a; int b; };
_Static_assert(sizeof(struct efi_attribute_check) == 5, "attributes are ignored: build with -fno-ms-extensions");

extern EFI_SYSTEM_TABLE *efi_st; /* [c] */

/* efi_say - a line of plain ASCII on the firmware's console */
void efi_say(const char *text);

/* file.c: what the firmware says of the image; NULL: nothing */
const EFI_LOADED_IMAGE *efi_loaded_image(EFI_HANDLE image);

/* file.c: the root folder of the volume that `image` was loaded from, and a file in a folder; NULL: there is none */
EFI_FILE_HANDLE efi_volume_root(EFI_HANDLE image);
EFI_FILE_HANDLE efi_file_open(EFI_FILE_HANDLE folder, const CHAR16 *path);

/* config.c: octavo.conf from the volume that `image` was loaded from, then its LoadOptions */
void efi_config_read(EFI_HANDLE image, struct boot_config *config);

/* programs.c: \octavo\programs\*.elf of that volume */
void efi_programs_read(EFI_HANDLE image, struct boot_info *b);

/* tables.c: ACPI root pointer and framebuffer; both may be missing */
void efi_tables_read(struct boot_info *b);

/*
 * memmap.c: take what must be reserved while firmware runs: the map's buffer, room for its normalised
 * form, the frame distributor's block, pages for real-mode start-up.
 *
 *   Returns NULL, or why it could not, in one sentence
 */
const char *efi_memory_take(struct boot_info *b);

/* memmap.c: GetMemoryMap and ExitBootServices, again while the key is stale; false: it never worked */
bool efi_exit(EFI_HANDLE image, struct boot_info *b);

/* runtime.c: b->reset, where the firmware offers it */
void efi_runtime_note(struct boot_info *b);

#endif
