/* SPDX-License-Identifier: MIT */
/*
 * efi/memmap.c - GetMemoryMap into a roomy buffer, ExitBootServices, again when the key is stale
 *
 * The map changes under our hands: printing, timers and drivers allocate. So the buffer is twice the
 * reported size and more, taken before the first try; after a refusal the map is read again into the
 * same buffer. Some machines need several tries. All we reserve is loader data below 4 GiB: firmware
 * need not map RAM above, and nothing but loader data is certain to be free of the firmware's own
 * tables and stack.
 */
#include "efi/efi.h"

#define DESCRIPTOR_BYTES_MIN 40 /* EFI_MEMORY_DESCRIPTOR of version 1 */
#define DESCRIPTORS_SPARE    64
#define RANGE_BYTES          32 /* of a normalised range; kmain checks the room again */
#define EARLY_FRAMES_MIN     256 /* real machines' maps need 60 to 100 */
#define EXIT_TRIES_MAX       128
#define LOW_FRAMES           4  /* trampoline, its GDT and stack, and page 0 should we be handed it */
#define BELOW_1M             0x9FFFF
#define BELOW_4G             0xFFFFFFFF

static bool take(uint64_t frames, EFI_PHYSICAL_ADDRESS below, pa_t *out)
{
    EFI_PHYSICAL_ADDRESS at = below;

    if (EFI_ERROR(efi_st->BootServices->AllocatePages(AllocateMaxAddress, EfiLoaderData, frames, &at)))
        return false;
    *out = pa(at);
    return true;
}

/* map_size - bytes and descriptor size as the firmware reports them, without a buffer */
static bool map_size(uint64_t *n_bytes, uint64_t *desc_bytes)
{
    UINTN  size = 0, key, desc = 0;
    UINT32 version;

    if (efi_st->BootServices->GetMemoryMap(&size, NULL, &key, &desc, &version) != EFI_BUFFER_TOO_SMALL)
        return false;
    *n_bytes = size;
    *desc_bytes = desc;
    return true;
}

static bool map_read(struct boot_info *b, UINTN *key)
{
    UINTN  size = b->map_room, desc = 0;
    UINT32 version = 0;

    if (EFI_ERROR(efi_st->BootServices->GetMemoryMap(&size, (EFI_MEMORY_DESCRIPTOR *)b->map.raw, key, &desc, &version)))
        return false;
    b->map_bytes = size;
    b->map_desc_bytes = desc;
    b->map_desc_version = version;
    return true;
}

/* ram_bytes - what may be RAM: everything but device registers and persistent or reserved memory */
static uint64_t ram_bytes(const struct boot_info *b)
{
    uint64_t sum = 0;

    for (uint64_t at = 0; at + b->map_desc_bytes <= b->map_bytes; at += b->map_desc_bytes) {
        const EFI_MEMORY_DESCRIPTOR *d = (const EFI_MEMORY_DESCRIPTOR *)(b->map.raw + at);
        bool ram = (d->Type >= EfiLoaderCode && d->Type <= EfiConventionalMemory) || d->Type == EfiACPIReclaimMemory ||
                   d->Type == EfiACPIMemoryNVS;

        if (ram && d->NumberOfPages < (uint64_t)1 << 40)
            sum += d->NumberOfPages << PAGE_SHIFT;
    }
    return sum;
}

const char *efi_memory_take(struct boot_info *b)
{
    uint64_t n_bytes, desc_bytes;
    UINTN    key;

    if (!map_size(&n_bytes, &desc_bytes))
        return "the firmware gives no memory map";
    if (desc_bytes < DESCRIPTOR_BYTES_MIN || desc_bytes % 8 != 0 || desc_bytes > PAGE_SIZE)
        return "the firmware's memory descriptors have an impossible size";
    uint64_t n_most = 2 * (n_bytes / desc_bytes) + DESCRIPTORS_SPARE;

    b->map_room = align_up(n_most * desc_bytes, PAGE_SIZE);
    b->ranges_bytes = align_up((3 * n_most + 1) * RANGE_BYTES, PAGE_SIZE); /* MEM_MAP_CAPACITY */
    if (!take(b->map_room >> PAGE_SHIFT, BELOW_4G, &b->map) || !take(b->ranges_bytes >> PAGE_SHIFT, BELOW_4G, &b->ranges) ||
        !map_read(b, &key))
        return "the firmware has no memory left for its own memory map";
    /* The estimate allows for the worst map of so many descriptors: where memory is scarce, less will do. */
    b->early_frames = boot_early_frames(ram_bytes(b), n_most);
    while (!take(b->early_frames, BELOW_4G, &b->early)) {
        if (b->early_frames / 2 < EARLY_FRAMES_MIN)
            return "too little memory below 4 GiB to start with";
        b->early_frames /= 2;
    }
    if (take(LOW_FRAMES, BELOW_1M, &b->low))
        b->low_frames = LOW_FRAMES;
    return NULL;
}

bool efi_exit(EFI_HANDLE image, struct boot_info *b)
{
    for (b->exit_tries = 1; b->exit_tries <= EXIT_TRIES_MAX; b->exit_tries++) {
        UINTN key;

        if (!map_read(b, &key))
            return false;
        if (!EFI_ERROR(efi_st->BootServices->ExitBootServices(image, key)))
            return true;
    }
    return false;
}
