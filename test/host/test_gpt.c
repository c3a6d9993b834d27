/* SPDX-License-Identifier: MIT */
/* test/host/test_gpt.c - partition tables (core/dev/gpt.c): one that is right, and every way to be wrong */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/dev/gpt.h"
#include "mm/crc32.h"

#define BLOCKS 200

static struct {
    uint8_t  bytes[BLOCKS * 4096];
    uint32_t block_bytes;
    uint64_t unreadable; /* this block can't be read */
} disk;

static const uint8_t *block(void *arg, uint64_t number)
{
    (void)arg;
    assert_true(number < BLOCKS);
    return number == disk.unreadable ? NULL : disk.bytes + number * disk.block_bytes;
}

static uint8_t *at(uint64_t number, unsigned offset) { return disk.bytes + number * disk.block_bytes + offset; }

static void put(uint8_t *p, uint64_t value, unsigned n)
{
    for (; n > 0; n--, value >>= 8)
        *p++ = (uint8_t)value;
}

static uint64_t entries_of(uint64_t header) { return header == 1 ? 2 : BLOCKS - 33; }

/* Make both sums of a table right for what it says now. */
static void sums(uint64_t header)
{
    put(at(header, 88), crc32(0, at(entries_of(header), 0), (size_t)128 * 128), 4);
    put(at(header, 16), 0, 4);
    put(at(header, 16), crc32(0, at(header, 0), 92), 4);
}

static void add(unsigned i, uint64_t first, uint64_t last, const char *name)
{
    static const uint8_t esp[16] = { 0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B };

    for (uint64_t header = 1; header < BLOCKS; header += BLOCKS - 2) {
        uint8_t *entry = at(entries_of(header), i * 128);

        memcpy(entry, esp, 16);
        memset(entry + 16, (int)i + 1, 16);
        put(entry + 32, first, 8);
        put(entry + 40, last, 8);
        for (unsigned c = 0; name[c] != '\0'; c++)
            put(entry + 56 + 2 * c, (uint8_t)name[c], 2);
    }
}

static void make(uint32_t block_bytes)
{
    memset(&disk, 0, sizeof disk);
    disk.block_bytes = block_bytes;
    disk.unreadable = UINT64_MAX;
    put(at(0, 446 + 4), 0xEE, 1);
    put(at(0, 510), 0xAA55, 2);
    for (uint64_t header = 1; header < BLOCKS; header += BLOCKS - 2) {
        memcpy(at(header, 0), "EFI PART", 8);
        put(at(header, 8), 0x10000, 4);
        put(at(header, 12), 92, 4);
        put(at(header, 24), header, 8);
        put(at(header, 32), BLOCKS - header, 8);
        put(at(header, 40), 34, 8);
        put(at(header, 48), BLOCKS - 34, 8);
        put(at(header, 72), entries_of(header), 8);
        put(at(header, 80), 128, 4);
        put(at(header, 84), 128, 4);
    }
    add(0, 34, 99, "boot");
    add(2, 100, 140, "a \xC3 name of thirty-six characters !!");
    sums(1);
    sums(BLOCKS - 1);
}

static struct gpt  table;
static const char *why;

static err_t read_it(void)
{
    const struct gpt_disk d = { .block_bytes = disk.block_bytes, .n_blocks = BLOCKS, .block = block };

    why = NULL;
    return gpt_read(&d, &table, &why);
}

static void a_right_table_is_listed(void **state)
{
    char text[GPT_GUID_CHARS];

    (void)state;
    for (uint32_t size = 512; size <= 4096; size *= 2) {
        make(size);
        assert_int_equal(read_it(), ERR_OK);
        assert_true(table.n == 2 && !table.backup && why == NULL);
        assert_true(table.partition[0].first == 34 && table.partition[0].end == 100);
        assert_string_equal(table.partition[0].name, "boot");
        assert_string_equal(table.partition[1].name, "a ? name of thirty-six characters !!");
        assert_string_equal(gpt_type_name(&table.partition[0].type), "EFI system");
        assert_null(gpt_type_name(&table.partition[0].id));
        assert_string_equal(gpt_guid_text(text, &table.partition[0].type), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
    }
}

/* One field of the first table, what it becomes, and what is said of it. Sums are made right again, but where not. */
static const struct {
    unsigned    offset, n;
    uint64_t    value;
    bool        sums;
    const char *why;
} damages[] = {
    { 0, 1, 'X', true, "there is no table" },
    { 8, 4, 0x20000, true, "a header of another revision or size" },
    { 12, 4, 91, true, "a header of another revision or size" },
    { 12, 4, 513, true, "a header of another revision or size" },
    { 12, 4, UINT32_MAX, true, "a header of another revision or size" },
    { 16, 1, 1, false, "the header's checksum is wrong" },
    { 56, 1, 1, false, "the header's checksum is wrong" },
    { 24, 8, 2, true, "the header is that of another block" },
    { 84, 4, 64, true, "entries of another size" },
    { 84, 4, 192, true, "entries of another size" },
    { 84, 4, 0x80000000, true, "entries of another size" },
    { 80, 4, 0, true, "no entries, or too many" },
    { 80, 4, UINT32_MAX, true, "no entries, or too many" },
    { 48, 8, BLOCKS, true, "its partitions' space is beyond the disk's end" },
    { 48, 8, 33, true, "its partitions' space is beyond the disk's end" },
    { 48, 8, BLOCKS - 1, true, "its partitions' space holds a header" },
    { 40, 8, 1, true, "its partitions' space holds a header" },
    { 72, 8, 1, true, "its entries are beyond the disk's end" },
    { 72, 8, BLOCKS - 31, true, "its entries are beyond the disk's end" },
    { 72, 8, UINT64_MAX, true, "its entries are beyond the disk's end" },
    { 72, 8, 3, true, "its entries lie among the partitions" },
    { 88, 4, 1, false, "the header's checksum is wrong" },
    { 1024 - 512 + 32, 8, 33, true, "a partition beyond the space for them" },
    { 1024 - 512 + 32, 8, 100, true, "a partition beyond the space for them" },
    { 1024 - 512 + 40, 8, BLOCKS - 33, true, "a partition beyond the space for them" },
    { 1024 - 512 + 40, 8, UINT64_MAX, true, "a partition beyond the space for them" },
    { 1024 - 512 + 40, 8, 100, true, "partitions overlap" },
    { 1024 - 512 + 56, 1, 'x', false, "the entries' checksum is wrong" },
};

static void every_damage_is_named_and_the_backup_read_instead(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        make(512);
        put(at(1, damages[i].offset), damages[i].value, damages[i].n);
        if (damages[i].sums)
            sums(1);
        assert_int_equal(read_it(), ERR_OK);
        assert_non_null(why);
        assert_string_equal(why, damages[i].why);
        assert_true(table.backup && table.n == 2 && table.partition[1].first == 100);
        put(at(BLOCKS - 1, 20), 1, 1); /* now the backup too */
        assert_int_equal(read_it(), ERR_CORRUPT);
        assert_string_equal(why, damages[i].why);
        assert_true(table.n == 0 && !table.backup);
    }
}

static void a_disk_without_a_table_or_of_another_kind_has_none(void **state)
{
    (void)state;
    make(512);
    put(at(0, 446 + 4), 0x83, 1); /* partitioned anew in the old way, the GPT left behind */
    assert_int_equal(read_it(), ERR_NOENT);
    assert_string_equal(why, "no protective MBR");
    make(512);
    put(at(0, 510), 0, 2);
    assert_int_equal(read_it(), ERR_NOENT);
    make(512);
    memset(at(1, 0), 0, 512);
    memset(at(BLOCKS - 1, 0), 0, 512);
    assert_int_equal(read_it(), ERR_NOENT);
    assert_string_equal(why, "there is no table");
}

static void blocks_that_cannot_be_read_are_an_error(void **state)
{
    (void)state;
    make(512);
    disk.unreadable = 0;
    assert_int_equal(read_it(), ERR_IO);
    for (disk.unreadable = 1; disk.unreadable <= 33; disk.unreadable++) {
        assert_int_equal(read_it(), ERR_OK);
        assert_true(table.backup && table.n == 2);
        assert_string_equal(why, "the disk can't be read");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_table_is_listed),
        cmocka_unit_test(every_damage_is_named_and_the_backup_read_instead),
        cmocka_unit_test(a_disk_without_a_table_or_of_another_kind_has_none),
        cmocka_unit_test(blocks_that_cannot_be_read_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
