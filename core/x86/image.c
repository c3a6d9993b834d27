/* SPDX-License-Identifier: MIT */
/*
 * core/x86/image.c - our own PE image as it lies in memory
 *
 * The linker made these headers and the firmware has read them already, so they are trusted here.
 * Source: Microsoft, "PE Format".
 */
#include "core/x86/image.h"

#define PE_OFFSET_AT      0x3C
#define OPTIONAL_HEADER   24 /* from the signature "PE\0\0" */
#define SECTION_BYTES     40
#define SCN_MEM_EXECUTE   0x20000000u
#define SCN_MEM_WRITE     0x80000000u

extern const uint8_t __ImageBase[]; /* the linker's name for the image's first byte */

static uint32_t load32(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static uint16_t load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static const uint8_t *pe(void) { return __ImageBase + load32(__ImageBase + PE_OFFSET_AT); }

uint64_t image_base(void) { return (uintptr_t)__ImageBase; }
uint64_t image_bytes(void) { return align_up(load32(pe() + OPTIONAL_HEADER + 56), PAGE_SIZE); }

bool image_part_at(unsigned i, struct image_part *out)
{
    const uint8_t *h = pe();
    const uint8_t *sections = h + OPTIONAL_HEADER + load16(h + 20);

    if (i > load16(h + 6))
        return false;
    *out = (struct image_part){ .start = image_base(), .name = "headers" };
    if (i == 0) {
        out->end = image_base() + align_up(load32(h + OPTIONAL_HEADER + 60), PAGE_SIZE);
        return true;
    }
    const uint8_t *s = sections + (i - 1) * (size_t)SECTION_BYTES;
    uint32_t       flags = load32(s + 36);

    for (unsigned c = 0; c < 8; c++)
        out->name[c] = (char)s[c];
    out->name[8] = '\0';
    out->start = image_base() + load32(s + 12);
    out->end = align_up(out->start + load32(s + 8), PAGE_SIZE);
    out->writable = flags & SCN_MEM_WRITE;
    out->executable = flags & SCN_MEM_EXECUTE;
    return true;
}

struct image_part image_part_of(uint64_t address)
{
    struct image_part part;

    for (unsigned i = 0; image_part_at(i, &part); i++)
        if (address >= part.start && address < part.end)
            return part;
    return (struct image_part){ .start = 0 };
}

const void *image_directory(enum image_directory which, size_t *n_bytes)
{
    const uint8_t *entry = pe() + OPTIONAL_HEADER + 112 + 8 * (size_t)which;

    *n_bytes = load32(entry + 4);
    return __ImageBase + load32(entry);
}
