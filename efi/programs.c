/* SPDX-License-Identifier: MIT */
/*
 * efi/programs.c - \octavo\programs\*.elf of the volume we were loaded from, into loader memory
 *
 * Whatever is wrong with one file is noted, and the next is read: nobody's program keeps Octavo from booting.
 * What is in a file is looked at later, by core/proc/program.c.
 */
#include "efi/efi.h"

#define BYTES_MAX (16 * MIB) /* of one file */
#define BELOW_4G  0xFFFFFFFF

/* A directory's entry, with room for a name of 255 characters */
static union {
    EFI_FILE_INFO info;
    uint8_t       room[sizeof(EFI_FILE_INFO) + 256 * sizeof(CHAR16)];
} entry;

static void note(struct boot_info *b, const char *name, const char *why)
{
    size_t at = __builtin_strlen(b->program_notes);

    for (const char *parts[] = { name, why, "\n" }, **p = parts; p < parts + 3; p++)
        for (const char *c = *p; *c != '\0' && at < sizeof b->program_notes - 1; c++)
            b->program_notes[at++] = *c;
    b->program_notes[at] = '\0';
}

static char lower(CHAR16 c) { return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }

/*
 * read_name - the file's name without its ".elf", in small letters: FAT does not tell them from large ones
 *
 *   Returns NULL, or why it will not do
 */
static const char *read_name(const CHAR16 *from, char out[BOOT_PROGRAM_NAME])
{
    static const char end[] = ".elf";
    size_t            n = 0;

    while (from[n] != 0)
        n++;
    if (n < sizeof end)
        return "no .elf file";
    for (size_t i = 0; i < sizeof end; i++)
        if (lower(from[n + 1 - sizeof end + i]) != end[i])
            return "no .elf file";
    n -= sizeof end - 1;
    for (size_t i = 0; i < n && i < BOOT_PROGRAM_NAME - 1; i++, out[i] = '\0')
        out[i] = from[i] > ' ' && from[i] <= '~' && from[i] != ';' ? lower(from[i]) : '?';
    return n > BOOT_PROGRAM_NAME - 1 ? ": its name is too long" : NULL;
}

/* read_program - the whole file, on pages of its own that end in zeros; NULL, or why not */
static const char *read_program(EFI_FILE_HANDLE file, uint64_t n_bytes, struct boot_program *out)
{
    EFI_PHYSICAL_ADDRESS at = BELOW_4G;
    uint64_t             n_pages = align_up(n_bytes, PAGE_SIZE) >> PAGE_SHIFT;
    UINTN                n_read = n_bytes;

    if (n_bytes == 0 || n_bytes > BYTES_MAX)
        return n_bytes == 0 ? ".elf: empty" : ".elf: more than 16 MiB";
    if (EFI_ERROR(efi_st->BootServices->AllocatePages(AllocateMaxAddress, EfiLoaderData, n_pages, &at)))
        return ".elf: no memory for it";
    if (EFI_ERROR(file->Read(file, &n_read, (void *)at)) || n_read != n_bytes) {
        efi_st->BootServices->FreePages(at, n_pages);
        return ".elf: it cannot be read";
    }
    __builtin_memset((uint8_t *)at + n_bytes, 0, (n_pages << PAGE_SHIFT) - n_bytes);
    out->at = pa(at);
    out->n_bytes = n_bytes;
    return NULL;
}

/* read_entry - one entry of the folder; what is no .elf file is passed over in silence */
static void read_entry(struct boot_info *b, EFI_FILE_HANDLE folder)
{
    struct boot_program p = { .name = "" };
    const char         *why = read_name(entry.info.FileName, p.name);
    EFI_FILE_HANDLE     file;

    if ((entry.info.Attribute & EFI_FILE_DIRECTORY) != 0 || p.name[0] == '\0')
        return;
    if (why == NULL && b->n_programs == BOOT_PROGRAMS_MAX)
        why = ".elf: there are too many";
    if (why == NULL) {
        file = efi_file_open(folder, entry.info.FileName);
        why = file == NULL ? ".elf: it cannot be opened" : read_program(file, entry.info.FileSize, &p);
        if (file != NULL)
            file->Close(file);
    }
    if (why == NULL)
        b->programs[b->n_programs++] = p;
    else
        note(b, p.name, why);
}

void efi_programs_read(EFI_HANDLE image, struct boot_info *b)
{
    EFI_FILE_HANDLE root = efi_volume_root(image);
    EFI_FILE_HANDLE folder = root != NULL ? efi_file_open(root, u"octavo\\programs") : NULL;

    for (unsigned i = 0; folder != NULL && i < 8 * BOOT_PROGRAMS_MAX; i++) {
        UINTN n = sizeof entry;

        if (EFI_ERROR(folder->Read(folder, &n, &entry)) || n < offsetof(EFI_FILE_INFO, FileName))
            break; /* n = 0: that was the last */
        read_entry(b, folder);
    }
    if (folder != NULL)
        folder->Close(folder);
    if (root != NULL)
        root->Close(root);
}
