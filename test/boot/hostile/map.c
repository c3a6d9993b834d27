/* SPDX-License-Identifier: MIT */
/*
 * test/boot/hostile/map.c - what GetMemoryMap says
 *
 * Each call reads the firmware's true map into `map`, lets the distortion change it, and writes it out
 * with the descriptor size that is asked for. Lies go one way: memory may be claimed by more than who
 * owns it, never by fewer - but for map_conventional, where the truth is that a firmware's stack and
 * tables may lie in memory it calls free.
 */
#include "test/boot/hostile/hostile.h"

#include "core/str.h"
#include "core/x86/insn.h"

#define MAP_MAX    4096
#define HIDDEN_MAX 4
#define PLAY_PAGES 64 /* conventional pages that the distortions reserve and rename */

static struct {
    EFI_MEMORY_DESCRIPTOR d[MAP_MAX];
    UINTN n;
} map;

static struct {
    UINT64 start, pages;
} hidden[HIDDEN_MAX];
static unsigned n_hidden;
static unsigned n_calls;
static UINT64 play; /* first of PLAY_PAGES conventional pages; 0: not chosen yet */
static unsigned char raw[MAP_MAX * 48];

static EFI_STATUS read_map(UINTN *key, UINT32 *version)
{
    UINTN size = sizeof raw, desc = 0;
    EFI_STATUS status =
        h.real->BootServices->GetMemoryMap(&size, (EFI_MEMORY_DESCRIPTOR *)(void *)raw, key, &desc, version);

    map.n = 0;
    if (EFI_ERROR(status))
        return status;
    for (UINTN at = 0; at + desc <= size; at += desc)
        memcpy(&map.d[map.n++], raw + at, sizeof map.d[0]);
    return EFI_SUCCESS;
}

static void add(UINT32 type, UINT64 start, UINT64 pages, UINT64 attr)
{
    if (map.n < MAP_MAX)
        map.d[map.n++] = (EFI_MEMORY_DESCRIPTOR){
            .Type = type, .PhysicalStart = start, .NumberOfPages = pages, .Attribute = attr
        };
}

static UINT64 end_of(const EFI_MEMORY_DESCRIPTOR *d)
{
    return d->PhysicalStart + (d->NumberOfPages << EFI_PAGE_SHIFT);
}

/*
 * The start of the largest conventional region below 4 GiB. Firmware allocates from the top of memory,
 * so these pages are still free when the map is read for the last time.
 */
static UINT64 stage(void)
{
    const EFI_MEMORY_DESCRIPTOR *best = NULL;

    for (UINTN i = 0; i < map.n && play == 0; i++) {
        const EFI_MEMORY_DESCRIPTOR *d = &map.d[i];

        if (d->Type == EfiConventionalMemory && d->PhysicalStart >= 0x100000 &&
            end_of(d) <= (UINT64)1 << 32 && (best == NULL || d->NumberOfPages > best->NumberOfPages))
            best = d;
    }
    if (best != NULL)
        play = best->PhysicalStart;
    return play;
}

static void expect_once(UINT64 page, const char *kind)
{
    if (n_calls == 1)
        hostile_expect(page, kind);
}

/* Cut the stage out of the conventional region that begins with it, for claims that stand alone */
static void clear_stage(void)
{
    UINT64 at = stage();

    for (UINTN i = 0; i < map.n; i++)
        if (map.d[i].PhysicalStart == at) {
            map.d[i].PhysicalStart += PLAY_PAGES << EFI_PAGE_SHIFT;
            map.d[i].NumberOfPages -= PLAY_PAGES;
        }
}

/* Put a claim on four pages of the stage, the i-th such group; `kind` is what must come of it */
static void claim(unsigned i, UINT32 type, UINT64 attr, const char *kind)
{
    UINT64 start = stage() + ((UINT64)i * 4 << EFI_PAGE_SHIFT);

    add(type, start, 4, attr);
    expect_once(start, kind);
    expect_once(start + (3 << EFI_PAGE_SHIFT), kind);
}

void map_unsorted(void)
{
    UINT32 lottery = 12345;

    for (UINTN i = map.n; i > 1; i--) {
        UINTN j = (lottery = lottery * 1664525 + 1013904223) % i;
        EFI_MEMORY_DESCRIPTOR d = map.d[i - 1];

        map.d[i - 1] = map.d[j];
        map.d[j] = d;
    }
}

/* Conventional memory covers what is not free, and some of it is reported twice */
void map_overlapping(void)
{
    UINTN n = map.n;

    for (UINTN i = 0; i < n; i++) {
        EFI_MEMORY_DESCRIPTOR d = map.d[i];

        if (d.Type == EfiRuntimeServicesData || d.Type == EfiRuntimeServicesCode) {
            expect_once(d.PhysicalStart, "runtime");
            add(EfiConventionalMemory, d.PhysicalStart, d.NumberOfPages, 0xF);
        } else if (d.Type == EfiACPIMemoryNVS || d.Type == EfiACPIReclaimMemory) {
            expect_once(d.PhysicalStart, d.Type == EfiACPIMemoryNVS ? "nvs" : "acpi");
            add(EfiBootServicesData, d.PhysicalStart, d.NumberOfPages, 0xF);
        } else if (d.Type == EfiConventionalMemory && d.PhysicalStart >= 0x100000) {
            add(EfiConventionalMemory, d.PhysicalStart, d.NumberOfPages, 0xF); /* twice the same */
        }
    }
    claim(0, EfiReservedMemoryType, 0xF, "reserved");
    claim(2, EfiUnusableMemory, 0xF, "bad");
}

/* Islands in conventional memory, islands in the islands, and a free island in the firmware's own */
void map_nested(void)
{
    UINT64 at = stage();
    UINTN n = map.n;

    add(EfiACPIMemoryNVS, at + 0x4000, 16, 0xF);
    add(EfiReservedMemoryType, at + 0x8000, 4, 0xF);
    add(EfiConventionalMemory, at + 0x9000, 1, 0xF);
    expect_once(at + 0x4000, "nvs");
    expect_once(at + 0x8000, "reserved");
    expect_once(at + 0x9000, "reserved");
    expect_once(at + 0xC000, "nvs");
    for (UINTN i = 0; i < n; i++)
        if (map.d[i].Type == EfiRuntimeServicesCode && map.d[i].NumberOfPages > 2) {
            add(EfiConventionalMemory, map.d[i].PhysicalStart + EFI_PAGE_SIZE, 1, 0xF);
            expect_once(map.d[i].PhysicalStart + EFI_PAGE_SIZE, "runtime");
        }
}

void map_zero_length(void)
{
    UINTN n = map.n;

    for (UINTN i = 0; i < n; i++) {
        add(map.d[i].Type, map.d[i].PhysicalStart + EFI_PAGE_SIZE, 0, 0xF);
        add(EfiReservedMemoryType, map.d[i].PhysicalStart, 0, 0xF);
    }
    add(EfiConventionalMemory, 0, 0, 0);
    expect_once(stage() + EFI_PAGE_SIZE, "free");
}

void map_overflowing(void)
{
    add(EfiConventionalMemory, 0xFFFFFFFFFFFFF000, 2, 0xF);
    add(EfiConventionalMemory, 0x100000, ~(UINT64)0, 0xF);
    add(EfiConventionalMemory, 0x100000, (UINT64)1 << 52, 0xF);
    add(EfiReservedMemoryType, stage() + 0x3000, ~(UINT64)0 >> 1, 0xF);
    add(EfiConventionalMemory, (UINT64)1 << 60, 4096, 0xF); /* no wrap, but more than 52 bits */
    add(EfiMemoryMappedIO, 0xFFFFFFFFFFFFF000, 1, 0);
    expect_once(stage() + 0x3000, "free");
}

/* Memory that begins where the CPU's physical addresses end */
void map_boundless(void)
{
    unsigned phys_bits = cpu_id(0x80000008, 0).eax & 0xFF;

    add(EfiConventionalMemory, (UINT64)1 << phys_bits, (UINT64)1 << 38, 0xF);
    add(EfiRuntimeServicesData, (UINT64)1 << 51, 1, 0x800000000000000F);
    expect_once((UINT64)1 << 51, "runtime");
}

/* Conventional memory in single pages, of types that all come back, until there are 600 descriptors */
static void split_pages(UINTN n)
{
    static const UINT32 types[] = { EfiConventionalMemory, EfiBootServicesData, EfiLoaderData,
                                    EfiBootServicesCode };
    UINT64 at = stage();

    for (UINTN i = 0; i < map.n; i++)
        if (map.d[i].PhysicalStart == at && map.d[i].NumberOfPages > n) {
            map.d[i].PhysicalStart += n << EFI_PAGE_SHIFT;
            map.d[i].NumberOfPages -= n;
            break;
        }
    for (UINTN i = 0; i < n; i++)
        add(types[i % 4], at + (i << EFI_PAGE_SHIFT), 1, 0xF);
}

void map_many(void)
{
    if (map.n < 600)
        split_pages(600 - map.n);
    expect_once(stage(), "free");
}

void map_growing(void) { split_pages(8 * n_calls); }

/* Between the call that measures and the last one, the map grows beyond any reserve */
void map_bursting(void)
{
    if (n_calls >= 3)
        split_pages(3000);
}

/* After the first call of ExitBootServices no buffer could be large enough */
void map_outgrown(void)
{
    if (exit_was_called())
        split_pages(3000);
}

void map_types(void)
{
    clear_stage();
    claim(0, 15, 0xF, "reserved"); /* unaccepted */
    claim(1, 16, 0xF, "reserved");
    claim(2, 0x70000001, 0xF, "reserved");
    claim(3, 0x80000001, 0xF, "reserved");
    claim(4, 0xFFFFFFFF, 0xF, "reserved");
    claim(5, EfiPalCode, 0xF, "reserved");
    claim(6, 14, 0xF, "persistent");
    claim(7, EfiUnusableMemory, 0xF, "bad");
    claim(8, EfiMemoryMappedIOPortSpace, 1, "mmio");
    claim(9, EfiACPIMemoryNVS, 0xF, "nvs");
    claim(10, EfiRuntimeServicesData, 0xF, "runtime"); /* without EFI_MEMORY_RUNTIME */
}

void map_attributes(void)
{
    clear_stage();
    claim(0, EfiConventionalMemory, 0, "free");
    claim(1, EfiConventionalMemory, 0x1, "reserved");
    claim(2, EfiConventionalMemory, 0x4000F, "special");
    claim(3, EfiConventionalMemory, 0x800F, "persistent");
    claim(4, EfiConventionalMemory, 0x800000000000000F, "runtime");
    claim(5, EfiBootServicesData, 0x800000000000000F, "runtime");
    claim(6, EfiConventionalMemory, 0x1000F, "free");
}

/* The stack and the tables that everything runs on lie in memory that is said to be free */
void map_conventional(void)
{
    for (UINTN i = 0; i < map.n; i++)
        if (map.d[i].Type == EfiBootServicesCode || map.d[i].Type == EfiBootServicesData)
            map.d[i].Type = EfiConventionalMemory;
}

void map_unreadable(void) { map.n = 0; }

void map_hide(UINT64 start, UINT64 pages)
{
    if (n_hidden < HIDDEN_MAX) {
        hidden[n_hidden].start = start;
        hidden[n_hidden++].pages = pages;
    }
}

static void hide_pages(void)
{
    for (unsigned k = 0; k < n_hidden; k++)
        for (UINTN i = 0; i < map.n; i++)
            if (map.d[i].PhysicalStart < hidden[k].start + (hidden[k].pages << EFI_PAGE_SHIFT) &&
                hidden[k].start < end_of(&map.d[i]))
                map.d[i].Type = EfiConventionalMemory;
}

void map_each(void (*f)(const EFI_MEMORY_DESCRIPTOR *d))
{
    UINTN key;
    UINT32 version;

    if (EFI_ERROR(read_map(&key, &version)))
        hostile_give_up("the memory map cannot be read");
    for (UINTN i = 0; i < map.n; i++)
        f(&map.d[i]);
}

static EFI_STATUS EFIAPI get_memory_map(UINTN *size, EFI_MEMORY_DESCRIPTOR *out, UINTN *key,
                                        UINTN *desc_bytes, UINT32 *version)
{
    UINTN unit = h.is->desc_bytes != 0 ? h.is->desc_bytes : 48, room = *size;
    EFI_STATUS status = read_map(key, version);

    if (EFI_ERROR(status))
        return status;
    n_calls++;
    hide_pages();
    if (h.is->shape != NULL)
        h.is->shape();
    if (map.n == 0)
        return EFI_DEVICE_ERROR;
    *desc_bytes = unit;
    *size = map.n * unit;
    if (room < *size)
        return EFI_BUFFER_TOO_SMALL;
    if (out == NULL)
        return EFI_INVALID_PARAMETER;
    memset(out, 0xEE, *size);
    for (UINTN i = 0; i < map.n; i++)
        memcpy((unsigned char *)out + i * unit, &map.d[i], unit < sizeof map.d[i] ? unit : sizeof map.d[i]);
    return EFI_SUCCESS;
}

void map_start(void) { h.bs->GetMemoryMap = get_memory_map; }
