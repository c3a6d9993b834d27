/* SPDX-License-Identifier: MIT */
/*
 * test/boot/hostile/entry.c - choose the part, load Octavo, play it
 *
 * /hostile.txt on the boot volume names the distortion; Octavo lies at /EFI/OCTAVO/OCTAVO.EFI and reads
 * its own configuration from the same volume.
 */
#include "test/boot/hostile/hostile.h"

#include "core/fmt.h"
#include "core/str.h"
#include "core/x86/insn.h"

#define COM1      0x3F8
#define COM1_LSR  (COM1 + 5)
#define LSR_THRE  0x20
#define SPINS_MAX 1000000

static const struct distortion distortions[] = {
    { .name = "none" },
    /* what GetMemoryMap says */
    { "unsorted", .shape = map_unsorted },
    { "overlapping", .shape = map_overlapping },
    { "nested", .shape = map_nested },
    { "zero-length", .shape = map_zero_length },
    { "overflowing", .shape = map_overflowing },
    { "boundless", .shape = map_boundless },
    { "many", .shape = map_many },
    { "growing", .shape = map_growing },
    { "bursting", .shape = map_bursting },
    { "types", .shape = map_types },
    { "attributes", .shape = map_attributes },
    { "conventional", .shape = map_conventional },
    { "desc-32", .desc_bytes = 32 },
    { "desc-40", .desc_bytes = 40 },
    { "desc-48", .desc_bytes = 48 },
    { "desc-56", .desc_bytes = 56 },
    { "desc-64", .desc_bytes = 64 },
    { "map-fails", .shape = map_unreadable },
    /* how ExitBootServices ends */
    { "exit-fails-1", .refusals = 1 },
    { "exit-fails-3", .refusals = 3 },
    { "exit-fails-growing", .refusals = 3, .shape = map_growing },
    { "exit-fails-outgrown", .refusals = 1, .shape = map_outgrown },
    { "exit-fails-always", .refusals = ~0u },
    { "interrupts", .exited = cpu_interrupts },
    { "flags", .exited = cpu_flags_set },
    /* the state of the CPU */
    { "wp-off", .cpu = cpu_wp_off },
    { "nxe-off", .cpu = cpu_nxe_off },
    { "bare-cpu", .cpu = cpu_bare },
    { "full-cpu", .cpu = cpu_full },
    { "readonly-tables", .cpu = cpu_readonly_tables },
    { "nx-data", .cpu = cpu_nx_data },
    { "4g-only", .cpu = cpu_4g_only },
    { "la57", .cpu = cpu_la57 },
    { "x2apic", .cpu = cpu_x2apic },
    /* what is not there */
    { "no-screen", .tables = screen_missing },
    { "blt-only", .tables = screen_blt_only },
    { "modeless", .tables = screen_modeless },
    { "phantom-screen", .tables = screen_phantom },
    { "wide-stride", .tables = screen_wide_stride },
    { "narrow-stride", .tables = screen_narrow_stride },
    { "no-runtime", .tables = runtime_missing },
    { "unsupported-runtime", .tables = runtime_unsupported },
    { "crashing-runtime", .tables = runtime_crashing },
    { "no-acpi", .tables = acpi_missing },
    { "broken-acpi", .tables = acpi_broken },
    { "no-memory", .tables = memory_none },
    { "no-low-memory", .tables = memory_no_low },
    { "page-zero", .tables = memory_page_zero },
    { "dirty-bss", .tables = bss_dirty },
    { "no-vendor", .tables = vendor_missing },
    { "no-console", .tables = console_missing },
    { "no-files", .tables = files_missing },
};

struct hostile h;

static EFI_HANDLE self_handle;
static EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

/* ---- words ----------------------------------------------------------------------------------- */

static void put(void *arg, const char *piece, size_t n_bytes)
{
    (void)arg;
    for (size_t i = 0; i < n_bytes; i++) {
        for (unsigned spins = 0; !(inb(COM1_LSR) & LSR_THRE) && spins < SPINS_MAX; spins++)
            cpu_pause();
        outb(COM1, (uint8_t)piece[i]);
    }
}

void hostile_say(const char *fmt, ...)
{
    va_list args;

    put(NULL, "hostile: ", 9);
    va_start(args, fmt);
    fmt_emit(put, NULL, fmt, args);
    va_end(args);
    put(NULL, "\r\n", 2);
}

void hostile_expect(UINT64 address, const char *kind) { hostile_say("expect 0x%llx %s", ULL(address), kind); }

NORETURN void hostile_give_up(const char *why)
{
    hostile_say("cannot play this part: %s", why);
    h.real->BootServices->Exit(self_handle, EFI_UNSUPPORTED, 0, NULL);
    for (;;)
        cpu_hlt();
}

void *hostile_pages(UINTN n_pages, EFI_MEMORY_TYPE type, UINTN align_pages)
{
    EFI_PHYSICAL_ADDRESS at = 0xFFFFFFFF; /* below 4 GiB: LA57 is switched in 32-bit code */

    if (EFI_ERROR(
            h.real->BootServices->AllocatePages(AllocateMaxAddress, type, n_pages + align_pages - 1, &at)))
        hostile_give_up("out of memory");
    at = align_up(at, align_pages * PAGE_SIZE);
    memset((void *)at, 0, n_pages * PAGE_SIZE);
    return (void *)at;
}

/* ---- files ----------------------------------------------------------------------------------- */

void *hostile_protocol(EFI_HANDLE handle, EFI_GUID *guid)
{
    void *p = NULL;

    if (EFI_ERROR(h.real->BootServices->HandleProtocol(handle, guid, &p)) || p == NULL)
        hostile_give_up("a protocol is missing");
    return p;
}

UINTN hostile_file(const CHAR16 *path, char *out, UINTN room)
{
    EFI_FILE_IO_INTERFACE *fs = hostile_protocol(h.self->DeviceHandle, &file_system_guid);
    EFI_FILE_HANDLE root, file;

    if (EFI_ERROR(fs->OpenVolume(fs, &root)) ||
        EFI_ERROR(root->Open(root, &file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0)) ||
        EFI_ERROR(file->Read(file, &room, out)))
        hostile_give_up("a file cannot be read");
    return room;
}

/* The first word of /hostile.txt */
static const char *read_name(void)
{
    static char name[64];
    UINTN n = hostile_file(u"\\hostile.txt", name, sizeof name - 1), end = 0;

    while (end < n && name[end] > ' ')
        end++;
    name[end] = '\0';
    return name;
}

/* The device path of our volume, then a path on it */
static EFI_DEVICE_PATH *path_of(const CHAR16 *file, UINTN file_bytes)
{
    const unsigned char *volume = hostile_protocol(h.self->DeviceHandle, &device_path_guid);
    unsigned char *path = hostile_pages(1, EfiBootServicesData, 1);
    UINTN n = 0;
    EFI_DEVICE_PATH *node;

    for (const EFI_DEVICE_PATH *p = (const EFI_DEVICE_PATH *)volume; p->Type != END_DEVICE_PATH_TYPE;
         p = (const EFI_DEVICE_PATH *)(volume + n))
        n += (UINTN)p->Length[0] | (UINTN)p->Length[1] << 8;
    memcpy(path, volume, n);
    node = (EFI_DEVICE_PATH *)(path + n);
    *node = (EFI_DEVICE_PATH){ MEDIA_DEVICE_PATH,
                               MEDIA_FILEPATH_DP,
                               { (UINT8)(file_bytes + sizeof *node),
                                 (UINT8)((file_bytes + sizeof *node) >> 8) } };
    memcpy(node + 1, file, file_bytes);
    node = (EFI_DEVICE_PATH *)(path + n + sizeof *node + file_bytes);
    *node = (EFI_DEVICE_PATH){ END_DEVICE_PATH_TYPE, END_ENTIRE_DEVICE_PATH_SUBTYPE, { sizeof *node, 0 } };
    return (EFI_DEVICE_PATH *)path;
}

/* ---- the play -------------------------------------------------------------------------------- */

static void copy_tables(void)
{
    unsigned char *room = hostile_pages(1, EfiRuntimeServicesData, 1);

    _Static_assert(sizeof *h.st + sizeof *h.bs + sizeof *h.rt < PAGE_SIZE, "one page holds the copies");
    h.st = (EFI_SYSTEM_TABLE *)room;
    h.bs = (EFI_BOOT_SERVICES *)(h.st + 1);
    h.rt = (EFI_RUNTIME_SERVICES *)(h.bs + 1);
    *h.st = *h.real;
    *h.bs = *h.real->BootServices;
    *h.rt = *h.real->RuntimeServices;
    h.st->BootServices = h.bs;
    h.st->RuntimeServices = h.rt;
}

/* A changed table needs a fresh checksum, which is computed over itself as zero */
static void sign(EFI_TABLE_HEADER *table)
{
    UINT32 crc = 0;

    table->CRC32 = 0;
    h.real->BootServices->CalculateCrc32(table, table->HeaderSize, &crc);
    table->CRC32 = crc;
}

static const struct distortion *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(distortions); i++)
        if (strcmp(name, distortions[i].name) == 0)
            return &distortions[i];
    hostile_say("no distortion is called '%s'", name);
    hostile_give_up("unknown");
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
    static const CHAR16 octavo_path[] = u"\\EFI\\OCTAVO\\OCTAVO.EFI";
    EFI_HANDLE octavo;
    EFI_STATUS status;

    self_handle = image;
    h.real = st;
    h.self = hostile_protocol(image, &loaded_image_guid);
    h.is = find(read_name());
    status =
        st->BootServices->LoadImage(FALSE, image, path_of(octavo_path, sizeof octavo_path), NULL, 0, &octavo);
    if (EFI_ERROR(status))
        hostile_give_up("/EFI/OCTAVO/OCTAVO.EFI cannot be loaded");
    h.octavo = hostile_protocol(octavo, &loaded_image_guid);
    copy_tables();
    map_start();
    exit_start();
    if (h.is->tables != NULL)
        h.is->tables();
    sign(&h.bs->Hdr);
    if (h.st->RuntimeServices != NULL)
        sign(&h.rt->Hdr);
    sign(&h.st->Hdr);
    h.octavo->SystemTable = h.st;
    hostile_say("playing '%s'", h.is->name);
    if (h.is->cpu != NULL)
        h.is->cpu();
    status = st->BootServices->StartImage(octavo, NULL, NULL);
    hostile_say("Octavo returned with status 0x%llx", ULL(status));
    return status;
}
