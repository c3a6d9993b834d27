/* SPDX-License-Identifier: MIT */
/*
 * efi/config.c - octavo.conf from the volume we were loaded from, then LoadOptions, which override it
 *
 * A missing file, a volume without a file system, LoadOptions of a boot manager's own binary kind: all
 * are as good as an empty configuration.
 */
#include "efi/config_parse.h"
#include "efi/efi.h"

static char text[4096];

/* read_file - at most sizeof text bytes of a file in the volume's root */
static size_t read_file(EFI_HANDLE image, const CHAR16 *path)
{
    EFI_FILE_HANDLE root = efi_volume_root(image), file;
    UINTN           n = sizeof text;

    if (root == NULL)
        return 0;
    file = efi_file_open(root, path);
    if (file == NULL || EFI_ERROR(file->Read(file, &n, text)))
        n = 0;
    if (file != NULL)
        file->Close(file);
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
    const EFI_LOADED_IMAGE *loaded = efi_loaded_image(image);

    config_defaults(config);
    if (loaded == NULL)
        return;
    config_parse_file(config, text, read_file(image, u"octavo.conf"));
    if (loaded->LoadOptions != NULL)
        config_parse_options(config, text, options_text(loaded));
}
