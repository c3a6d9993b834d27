/* SPDX-License-Identifier: MIT */
/*
 * core/dev/gpt.c - the partitions of a disk, as its GUID partition table says; portable
 *
 *   block  0               1         2 ...                                  ... last - 1     last
 *        | protective MBR | header  | entries |  partitions            | entries again | header again |
 *
 * A header names the block that it lies in, where its entries are, and the checksums of itself and of them. All this
 * is somebody else's data: each number is held against the disk before it is used.
 */
#include "core/dev/gpt.h"

#include "core/fmt.h"
#include "core/str.h"
#include "mm/crc32.h"

#define HEADER_BYTES_MIN  92
#define ENTRY_BYTES       128
#define ENTRY_BYTES_MAX   512
#define ENTRIES_MAX       1024

struct header {
    uint64_t first_usable, last_usable, entries;
    uint32_t n_entries, entry_bytes, entries_sum;
};

static uint64_t load(const uint8_t *p, unsigned n_bytes)
{
    uint64_t value = 0;

    while (n_bytes-- > 0)
        value = value << 8 | p[n_bytes];
    return value;
}

static uint32_t load32(const uint8_t *p) { return (uint32_t)load(p, 4); }

/* A disk whose first block doesn't say that all of it is GPT's belongs to another table: UEFI 5.2.3 */
static bool protective(const uint8_t *block)
{
    bool found = false;

    for (unsigned i = 0; i < 4; i++)
        found |= block[446 + 16 * i + 4] == 0xEE;
    return found && block[510] == 0x55 && block[511] == 0xAA;
}

static uint32_t header_sum(const uint8_t *block, uint32_t n_bytes)
{
    static const uint8_t zeroes[4];
    uint32_t             sum = crc32(0, block, 16);

    sum = crc32(sum, zeroes, 4); /* the sum's own place */
    return crc32(sum, block + 20, n_bytes - 20);
}

/* Rows are tried from the top. */
static const char *header_wrong(const struct gpt_disk *disk, const uint8_t *block, uint64_t at, const struct header *h)
{
    uint32_t n_bytes = load32(block + 12);
    uint64_t size = (uint64_t)h->n_entries * h->entry_bytes, n = (size + disk->block_bytes - 1) / disk->block_bytes;

    if (memcmp(block, "EFI PART", 8) != 0)
        return "there is no table";
    if (n_bytes < HEADER_BYTES_MIN || n_bytes > disk->block_bytes || load32(block + 8) >> 16 != 1)
        return "a header of another revision or size";
    if (header_sum(block, n_bytes) != load32(block + 16))
        return "the header's checksum is wrong";
    if (load(block + 24, 8) != at)
        return "the header is that of another block";
    if (h->entry_bytes < ENTRY_BYTES || h->entry_bytes > ENTRY_BYTES_MAX || (h->entry_bytes & (h->entry_bytes - 1)) != 0)
        return "entries of another size";
    if (h->n_entries == 0 || h->n_entries > ENTRIES_MAX)
        return "no entries, or too many";
    if (h->first_usable > h->last_usable || h->last_usable >= disk->n_blocks)
        return "its partitions' space is beyond the disk's end";
    if (h->first_usable < 2 || h->last_usable == disk->n_blocks - 1)
        return "its partitions' space holds a header";
    if (h->entries < 2 || n > disk->n_blocks || h->entries > disk->n_blocks - n)
        return "its entries are beyond the disk's end";
    if (h->entries <= h->last_usable && h->entries + n > h->first_usable)
        return "its entries lie among the partitions";
    return NULL;
}

static struct header header_of(const uint8_t *block)
{
    return (struct header){ load(block + 40, 8), load(block + 48, 8), load(block + 72, 8),
                            load32(block + 80), load32(block + 84), load32(block + 88) };
}

static bool is_zero(const struct gpt_guid *g)
{
    static const struct gpt_guid zero;

    return memcmp(g, &zero, sizeof zero) == 0;
}

static struct gpt_partition partition_of(const uint8_t *entry)
{
    struct gpt_partition p = { .first = load(entry + 32, 8), .end = load(entry + 40, 8) + 1 };

    memcpy(&p.type, entry, 16);
    memcpy(&p.id, entry + 16, 16);
    for (unsigned i = 0; i < sizeof p.name - 1; i++) {
        uint16_t c = (uint16_t)load(entry + 56 + 2 * (size_t)i, 2);

        if (c == 0)
            break;
        p.name[i] = c >= ' ' && c < 0x7F ? (char)c : '?';
    }
    return p;
}

/* What is wrong with one more partition beside those that are there */
static const char *partition_wrong(const struct header *h, const struct gpt *g, const struct gpt_partition *p)
{
    if (g->n == GPT_PARTITIONS_MAX)
        return "too many partitions";
    if (p->first < h->first_usable || p->end == 0 || p->end - 1 > h->last_usable || p->first >= p->end)
        return "a partition beyond the space for them";
    for (unsigned i = 0; i < g->n; i++)
        if (p->first < g->partition[i].end && g->partition[i].first < p->end)
            return "partitions overlap";
    return NULL;
}

static err_t read_entries(const struct gpt_disk *disk, const struct header *h, struct gpt *out, const char **why)
{
    uint64_t left = (uint64_t)h->n_entries * h->entry_bytes;
    uint32_t sum = 0;

    *why = NULL;
    for (uint64_t at = h->entries; left > 0; at++) {
        const uint8_t *block = disk->block(disk->arg, at);
        uint32_t       n = (uint32_t)min_u64(left, disk->block_bytes);

        if (block == NULL)
            return ERR_IO;
        sum = crc32(sum, block, n);
        for (uint32_t e = 0; e + h->entry_bytes <= n; e += h->entry_bytes) {
            struct gpt_partition p = partition_of(block + e);
            const char          *wrong = is_zero(&p.type) ? NULL : partition_wrong(h, out, &p);

            *why = *why == NULL ? wrong : *why;
            if (!is_zero(&p.type) && wrong == NULL)
                out->partition[out->n++] = p;
        }
        left -= n;
    }
    if (sum != h->entries_sum)
        *why = "the entries' checksum is wrong";
    return *why == NULL ? ERR_OK : ERR_CORRUPT;
}

/* The table whose header is in this block */
static err_t read_table(const struct gpt_disk *disk, uint64_t at, struct gpt *out, const char **why)
{
    const uint8_t *block = disk->block(disk->arg, at);

    out->n = 0;
    if (block == NULL) {
        *why = "the disk can't be read";
        return ERR_IO;
    }
    struct header h = header_of(block);

    *why = header_wrong(disk, block, at, &h);
    if (*why != NULL)
        return memcmp(block, "EFI PART", 8) != 0 ? ERR_NOENT : ERR_CORRUPT;
    err_t err = read_entries(disk, &h, out, why);

    if (err == ERR_IO)
        *why = "the disk can't be read";
    return err;
}

err_t gpt_read(const struct gpt_disk *disk, struct gpt *out, const char **why)
{
    const uint8_t *first = disk->n_blocks >= 3 ? disk->block(disk->arg, 0) : NULL;
    const char    *primary_why;

    out->n = 0;
    out->backup = false;
    *why = disk->n_blocks >= 3 ? "the disk can't be read" : "the disk is too small";
    if (first == NULL)
        return disk->n_blocks >= 3 ? ERR_IO : ERR_NOENT;
    *why = "no protective MBR";
    if (!protective(first))
        return ERR_NOENT;
    err_t primary = read_table(disk, 1, out, why);

    if (primary == ERR_OK)
        return ERR_OK;
    primary_why = *why;
    err_t backup = read_table(disk, disk->n_blocks - 1, out, why);

    *why = primary_why;
    out->backup = backup == ERR_OK;
    out->n = out->backup ? out->n : 0;
    return out->backup ? ERR_OK : primary == ERR_NOENT && backup == ERR_CORRUPT ? ERR_CORRUPT : primary;
}

/* ---- words ------------------------------------------------------------------------------------------------- */

const char *gpt_guid_text(char out[GPT_GUID_CHARS], const struct gpt_guid *g)
{
    const uint8_t *b = g->byte; /* the first three parts are little-endian numbers, the rest is bytes */

    fmt_string(out, GPT_GUID_CHARS, "%08X-%04X-%04X-%04X-%04X%08X", load32(b), (unsigned)load(b + 4, 2), (unsigned)load(b + 6, 2),
               (unsigned)(b[8] << 8 | b[9]), (unsigned)(b[10] << 8 | b[11]),
               (unsigned)b[12] << 24 | (unsigned)b[13] << 16 | (unsigned)b[14] << 8 | b[15]);
    return out;
}

const char *gpt_type_name(const struct gpt_guid *type)
{
    static const struct {
        const char *guid, *name;
    } types[] = {
        { "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EFI system" },
        { "21686148-6449-6E6F-744E-656564454649", "BIOS boot" },
        { "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "Microsoft reserved" },
        { "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "Microsoft data" },
        { "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", "Windows recovery" },
        { "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "Linux" },
        { "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "Linux swap" },
        { "E6D6D379-F507-44C2-A23C-238F2A3DF928", "Linux LVM" },
        { "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "Linux root" },
        { "48465300-0000-11AA-AA11-00306543ECAC", "Apple HFS+" },
        { "7C3457EF-0000-11AA-AA11-00306543ECAC", "Apple APFS" },
    };
    char text[GPT_GUID_CHARS];

    gpt_guid_text(text, type);
    for (unsigned i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].guid, text) == 0)
            return types[i].name;
    return NULL;
}
