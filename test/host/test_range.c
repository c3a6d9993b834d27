/* SPDX-License-Identifier: MIT */
/* test/host/test_range.c - mm/range.c: examples of each rule, real machines, broken maps against the model */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "mm/range.h"
#include "test/host/map_csv.h"
#include "test/host/model_range.h"

#define DESCS_MAX 700
#define DESC_MAX  64

static unsigned char raw[DESCS_MAX * DESC_MAX];
static struct mem_range store[MEM_MAP_CAPACITY(DESCS_MAX)];
static struct mem_map map;

#define KIB4(n) ((uint64_t)(n) << 12)
#define RUN(...)                                                                                             \
    run((const struct mem_desc[]){ __VA_ARGS__ },                                                            \
        sizeof((const struct mem_desc[]){ __VA_ARGS__ }) / sizeof(struct mem_desc))

/* Normalise n descriptors of 48 bytes into `map`, and hold the result against the model */
static void run(const struct mem_desc *d, size_t n)
{
    const char *different;

    for (size_t i = 0; i < n; i++)
        map_desc_put(raw, 48, i, d[i]);
    assert_int_equal(mem_map_read(&map, store, MEM_MAP_CAPACITY(n), raw, n * 48, 48), ERR_OK);
    different = model_range_check(&map, raw, n, 48);
    if (different != NULL)
        fail_msg("%s", different);
}

/* Range number i of `map` is what is said here */
#define EXPECT(i, k, from, to, a) expect(__LINE__, i, k, from, to, a)

static void expect(int line, size_t i, enum mem_kind kind, uint64_t from, uint64_t to, uint64_t attr)
{
    const struct mem_range *r = &map.ranges[i];

    if (i >= map.n || r->kind != kind || r->start.idx != from || r->end.idx != to || r->attr != attr)
        fail_msg("line %d: range %zu of %zu: %s %#llx-%#llx %#llx", line, i, map.n, mem_kind_name(r->kind),
                 ULL(r->start.idx), ULL(r->end.idx), ULL(r->attr));
}

static void expect_dropped(enum mem_rule rule, uint64_t pages, size_t hits)
{
    for (unsigned other = 0; other < MEM_RULES; other++) {
        assert_true(map.dropped[other] == (other == rule ? pages : 0));
        assert_int_equal(map.hits[other], other == rule ? hits : 0);
    }
}

/* ---- examples -------------------------------------------------------------------------------- */

static void an_empty_map_is_an_empty_list(void **state)
{
    (void)state;
    assert_int_equal(mem_map_read(&map, store, 0, raw, 0, 48), ERR_OK);
    assert_int_equal(map.n, 0);
    assert_true(map.pages_in == 0 && map.pages_out == 0);
    assert_null(mem_map_find(&map, pfn(0)));
    assert_int_equal(mem_map_end(&map, MEM_SET_RAM).idx, 0);
}

static void unsorted_descriptors_are_sorted(void **state)
{
    (void)state;
    RUN({ 7, MIB * 3, 256, 0xf }, { 0, MIB * 1, 256, 0 }, { 10, MIB * 2, 256, 0xf });
    assert_int_equal(map.n, 3);
    EXPECT(0, MEM_RESERVED, 0x100, 0x200, 0);
    EXPECT(1, MEM_NVS, 0x200, 0x300, 0xf);
    EXPECT(2, MEM_FREE, 0x300, 0x400, 0xf);
}

static void neighbours_of_one_kind_and_attribute_are_merged(void **state)
{
    (void)state;
    RUN({ 1, MIB, 1, 0xf }, { 2, MIB + KIB4(1), 1, 0xf }, { 3, MIB + KIB4(2), 1, 0xf },
        { 4, MIB + KIB4(3), 1, 0xf }, { 7, MIB + KIB4(4), 1, 0xf }, { 7, MIB + KIB4(5), 1, 0x1000f },
        { 7, MIB + KIB4(7), 1, 0x1000f });
    assert_int_equal(map.n, 3);
    EXPECT(0, MEM_FREE, 0x100, 0x105, 0xf);
    EXPECT(1, MEM_FREE, 0x105, 0x106, 0x1000f);
    EXPECT(2, MEM_FREE, 0x107, 0x108, 0x1000f); /* a hole between */
    assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_FREE), MEM_ATTR_MORE_RELIABLE), 2);
}

static void zero_length_says_nothing(void **state)
{
    (void)state;
    RUN({ 0, MIB + KIB4(2), 0, 0 }, { 7, MIB, 4, 0xf }, { 7, 0xdeadbeef, 0, 0xf });
    assert_int_equal(map.n, 1);
    EXPECT(0, MEM_FREE, 0x100, 0x104, 0xf);
    expect_dropped(MEM_RULE_ZERO_LENGTH, 0, 2);
}

static void wrapped_descriptors_are_dropped(void **state)
{
    (void)state;
    RUN({ 7, MIB, 4, 0xf }, { 7, MIB, UINT64_MAX, 0xf });
    assert_int_equal(map.n, 1);
    expect_dropped(MEM_RULE_WRAPPED, UINT64_MAX, 1);
    RUN({ 0, UINT64_MAX - 0xfff, 2, 0xf });
    assert_int_equal(map.n, 0);
    expect_dropped(MEM_RULE_WRAPPED, 2, 1);
    RUN({ 0, UINT64_MAX - 0xffe, 1, 0xf }); /* unaligned: ends one byte beyond */
    expect_dropped(MEM_RULE_WRAPPED, 1, 1);
    RUN({ 0, 0, (uint64_t)1 << 52, 0xf }, { 7, MIB, 1, 0xf }); /* all 64 bits: no wrap, everything reserved */
    assert_int_equal(map.n, 1);
    EXPECT(0, MEM_RESERVED, 0, (uint64_t)1 << 40, 0xf);
}

static void sums_of_many_wrapped_descriptors_do_not_wrap(void **state)
{
    (void)state;
    RUN({ 7, 1, UINT64_MAX, 0 }, { 7, 2, UINT64_MAX, 0 }, { 7, 3, UINT64_MAX, 0 });
    assert_true(map.pages_in == (mem_sum_t)UINT64_MAX * 3);
    assert_true(map.dropped[MEM_RULE_WRAPPED] == map.pages_in);
}

static void frames_beyond_52_bits_are_cut_off(void **state)
{
    (void)state;
    RUN({ 7, ((uint64_t)1 << 52) - KIB4(3), 5, 0xf }, { 11, (uint64_t)1 << 60, 7, 0 });
    assert_int_equal(map.n, 1);
    EXPECT(0, MEM_FREE, ((uint64_t)1 << 40) - 3, (uint64_t)1 << 40, 0xf);
    expect_dropped(MEM_RULE_BEYOND, 9, 2);
    RUN({ 7, ((uint64_t)1 << 52) - KIB4(3), 3, 0xf });
    expect_dropped(MEM_RULES, 0, 0);
}

static void free_memory_above_a_limit_is_dropped(void **state)
{
    static const struct mem_desc d[] = {
        { 7, MIB, 256, 0xf },
        { 7, MIB * 8, 256, 0xf },
        { 10, MIB * 9, 1, 0xf },
        { 7, MIB * 10, 256, 0xf },
    };

    (void)state;
    run(d, ARRAY_LEN(d));
    mem_map_limit(&map, pfn(0xb00));
    assert_int_equal(map.n, 4);
    expect_dropped(MEM_RULES, 0, 0);
    mem_map_limit(&map, pfn(0x810));
    assert_int_equal(map.n, 3);
    EXPECT(0, MEM_FREE, 0x100, 0x200, 0xf);
    EXPECT(1, MEM_FREE, 0x800, 0x810, 0xf);
    EXPECT(2, MEM_NVS, 0x900, 0x901, 0xf);
    expect_dropped(MEM_RULE_BEYOND, 0xf0 + 0x100, 2);
    assert_true(map.pages_in == map.pages_out + map.dropped[MEM_RULE_BEYOND]);
}

static void unaligned_free_memory_shrinks_and_any_other_grows(void **state)
{
    (void)state;
    RUN({ 7, MIB + 1, 4, 0xf });
    assert_int_equal(map.n, 1);
    EXPECT(0, MEM_FREE, 0x101, 0x104, 0xf);
    expect_dropped(MEM_RULE_UNALIGNED, 1, 1);
    assert_true(map.pages_in == 4 && map.pages_out == 3);
    RUN({ 7, MIB + 0x800, 1, 0xf });
    assert_int_equal(map.n, 0);
    RUN({ 10, MIB + 0xfff, 4, 0xf });
    assert_int_equal(map.n, 1);
    EXPECT(0, MEM_NVS, 0x100, 0x105, 0xf);
    assert_true(map.pages_in == 5 && map.pages_out == 5);
}

static void the_strictest_claim_wins_in_every_order(void **state)
{
    /* descriptors in rising order of restriction; the kinds they get */
    static const struct mem_desc d[] = {
        { 7, MIB, 8, 0xf }, { 7, MIB, 8, 0x4000f }, { 14, MIB, 8, 0xf },
        { 9, MIB, 8, 0xf }, { 10, MIB, 8, 0xf },    { 6, MIB, 8, MEM_ATTR_RUNTIME },
        { 11, MIB, 8, 1 },  { 8, MIB, 8, 0xf },     { 0, MIB, 8, 0xf },
    };
    static const enum mem_kind kinds[] = { MEM_FREE,    MEM_SPECIAL, MEM_PERSISTENT, MEM_ACPI,    MEM_NVS,
                                           MEM_RUNTIME, MEM_MMIO,    MEM_BAD,        MEM_RESERVED };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(d); i++)
        for (size_t j = 0; j < ARRAY_LEN(d); j++) {
            size_t strict = i > j ? i : j;

            RUN(d[i], d[j]);
            assert_int_equal(map.n, 1);
            EXPECT(0, kinds[strict], 0x100, 0x108, d[strict].attr);
            expect_dropped(MEM_RULE_OVERLAP, 8, 1);
        }
}

static void between_claims_of_one_kind_the_greater_attribute_wins(void **state)
{
    (void)state;
    RUN({ 5, MIB, 2, 0xf }, { 6, MIB, 1, MEM_ATTR_RUNTIME });
    assert_int_equal(map.n, 2);
    EXPECT(0, MEM_RUNTIME, 0x100, 0x101, MEM_ATTR_RUNTIME);
    EXPECT(1, MEM_RUNTIME, 0x101, 0x102, 0xf);
}

static void a_claim_inside_another_cuts_it(void **state)
{
    (void)state;
    RUN({ 7, MIB, 64, 0xf }, { 0, MIB + KIB4(8), 8, 0 }, { 10, MIB + KIB4(4), 8, 0xf },
        { 11, MIB + KIB4(60), 8, 1 });
    assert_int_equal(map.n, 5);
    EXPECT(0, MEM_FREE, 0x100, 0x104, 0xf);
    EXPECT(1, MEM_NVS, 0x104, 0x108, 0xf);
    EXPECT(2, MEM_RESERVED, 0x108, 0x110, 0);
    EXPECT(3, MEM_FREE, 0x110, 0x13c, 0xf);
    EXPECT(4, MEM_MMIO, 0x13c, 0x144, 1);
    expect_dropped(MEM_RULE_OVERLAP, 16 + 4, 3); /* counted by claims, not by frames */
}

static void a_frame_claimed_three_times_is_dropped_twice(void **state)
{
    (void)state;
    RUN({ 7, MIB, 1, 0xf }, { 7, MIB, 1, 0xf }, { 4, MIB, 1, 0xf });
    expect_dropped(MEM_RULE_OVERLAP, 2, 2);
    assert_true(map.pages_in == 3 && map.pages_out == 1);
}

static void the_first_mib_is_low_and_frame_0_reserved(void **state)
{
    (void)state;
    RUN({ 7, 0, 512, 0xf });
    assert_int_equal(map.n, 3);
    EXPECT(0, MEM_RESERVED, 0, 1, 0xf);
    EXPECT(1, MEM_LOW, 1, 256, 0xf);
    EXPECT(2, MEM_FREE, 256, 512, 0xf);
    expect_dropped(MEM_RULES, 0, 0);
    RUN({ 10, 0, 512, 0xf }); /* only free memory is split */
    assert_int_equal(map.n, 1);
}

static void types_and_attributes_decide_the_kind(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t attr;
        enum mem_kind kind;
    } row[] = {
        { 0, 0xf, MEM_RESERVED },
        { 1, 0xf, MEM_FREE },
        { 2, 0xf, MEM_FREE },
        { 3, 0xf, MEM_FREE },
        { 4, 0xf, MEM_FREE },
        { 5, 0xf, MEM_RUNTIME }, /* by type, when the firmware forgot the attribute */
        { 6, 0, MEM_RUNTIME },
        { 7, 0xf, MEM_FREE },
        { 8, 0xf, MEM_BAD },
        { 9, 0xf, MEM_ACPI },
        { 10, 0xf, MEM_NVS },
        { 11, 0x8000000000000001, MEM_MMIO },
        { 12, 0x1, MEM_MMIO },
        { 13, 0xf, MEM_RESERVED },
        { 14, 0xf, MEM_PERSISTENT },
        { 14, 0, MEM_PERSISTENT },
        { 15, 0xf, MEM_RESERVED }, /* unaccepted */
        { 16, 0xf, MEM_RESERVED },
        { 0x6fffffff, 0xf, MEM_RESERVED },
        { 0x70000000, 0xf, MEM_RESERVED }, /* OEM */
        { 0x80000000, 0xf, MEM_RESERVED }, /* OS */
        { 0xffffffff, 0xf, MEM_RESERVED },
        { 7, 0, MEM_FREE }, /* says nothing: write-back */
        { 7, 0x8, MEM_FREE },
        { 7, 0x1, MEM_RESERVED }, /* not write-back */
        { 4, 0x7, MEM_RESERVED },
        { 7, 0x10000, MEM_RESERVED },
        { 7, 0x1000f, MEM_FREE }, /* more reliable */
        { 7, 0x4000f, MEM_SPECIAL },
        { 7, 0x800f, MEM_PERSISTENT },
        { 7, 0x4800f, MEM_PERSISTENT },
        { 7, 0x800000000000000f, MEM_RUNTIME }, /* by attribute, whatever the type */
        { 3, 0x800000000004800f, MEM_RUNTIME },
        { 9, 0x800000000000000f, MEM_RUNTIME },
        { 10, 0x800000000000000f, MEM_NVS },
        { 15, 0x800000000000000f, MEM_RESERVED },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        assert_int_equal(mem_kind_of(row[i].type, row[i].attr), row[i].kind);
        RUN({ row[i].type, MIB, 3, row[i].attr });
        EXPECT(0, row[i].kind, 0x100, 0x103, row[i].attr);
    }
}

static void wrong_sizes_are_refused_and_change_nothing(void **state)
{
    struct mem_map untouched = { .n = 77 };

    (void)state;
    assert_int_equal(mem_map_read(&untouched, store, 9, raw, 39 * 2, 39), ERR_INVAL);
    assert_int_equal(mem_map_read(&untouched, store, 9, raw, 0, 0), ERR_INVAL);
    assert_int_equal(mem_map_read(&untouched, store, 9, raw, 95, 48), ERR_INVAL);
    assert_int_equal(untouched.n, 77);
}

static void any_descriptor_size_from_40_and_any_alignment_is_read(void **state)
{
    (void)state;
    for (size_t size = MEM_DESC_BYTES_MIN; size <= DESC_MAX; size++)
        for (size_t shift = 0; shift < 8; shift += 3) {
            unsigned char *at = raw + shift;

            map_desc_put(at, size, 0, (struct mem_desc){ 7, MIB * 2, 256, 0xf });
            map_desc_put(at, size, 1, (struct mem_desc){ 10, MIB, 256, 0xf });
            map_desc_put(at, size, 2, (struct mem_desc){ 0x80000001, MIB * 2, 1, 0xf });
            assert_int_equal(mem_map_read(&map, store, 10, at, 3 * size, size), ERR_OK);
            assert_int_equal(map.n, 3);
            EXPECT(0, MEM_NVS, 0x100, 0x200, 0xf);
            EXPECT(1, MEM_RESERVED, 0x200, 0x201, 0xf);
            EXPECT(2, MEM_FREE, 0x201, 0x300, 0xf);
        }
}

/* The worst case: each claim but the widest cuts the widest in two, and it spans the first MiB */
static void the_promised_capacity_suffices_and_one_less_may_not(void **state)
{
    enum { N = 60 };
    struct mem_map untouched = { .n = 77 };
    size_t small;

    (void)state;
    map_desc_put(raw, 40, 0, (struct mem_desc){ 7, 0, 1000, 0xf });
    for (size_t i = 1; i < N; i++)
        map_desc_put(raw, 40, i, (struct mem_desc){ 0, KIB4(300 + 2 * i), 1, 0xf });
    assert_int_equal(mem_map_read(&map, store, MEM_MAP_CAPACITY(N), raw, N * 40, 40), ERR_OK);
    assert_int_equal(map.n, 2 * N - 1 + 2);
    assert_int_equal(N + map.n, MEM_MAP_CAPACITY(N));
    for (small = 0; small < MEM_MAP_CAPACITY(N); small++)
        assert_int_equal(mem_map_read(&untouched, store, small, raw, N * 40, 40), ERR_NOMEM);
    assert_int_equal(untouched.n, 77);
}

static void questions_are_answered(void **state)
{
    (void)state;
    RUN({ 7, MIB, 256, 0xf }, { 11, (uint64_t)0xfd << 32, 0x300000, 1 }, { 9, MIB * 3, 2, 0xf },
        { 7, KIB4(4), 1, 0xf });
    assert_int_equal(mem_map_find(&map, pfn(4))->kind, MEM_LOW);
    assert_null(mem_map_find(&map, pfn(3)));
    assert_null(mem_map_find(&map, pfn(5)));
    assert_int_equal(mem_map_find(&map, pfn(0x1ff))->kind, MEM_FREE);
    assert_null(mem_map_find(&map, pfn(0x200)));
    assert_null(mem_map_find(&map, pfn(UINT64_MAX)));
    assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_FREE), 0), 256);
    assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_FREE) | MEM_SET(MEM_LOW), 0), 257);
    assert_int_equal(mem_map_pages(&map, ~0u, 0), map.pages_out);
    assert_int_equal(mem_map_end(&map, MEM_SET(MEM_FREE)).idx, 0x200);
    assert_int_equal(mem_map_end(&map, MEM_SET_RAM).idx, 0x302); /* not the window for devices */
    assert_int_equal(mem_map_end(&map, MEM_SET(MEM_BAD)).idx, 0);
}

static void everything_has_a_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MEM_KINDS; i++)
        assert_true(strlen(mem_kind_name((enum mem_kind)i)) > 1);
    for (unsigned i = 0; i < MEM_RULES; i++)
        assert_true(strlen(mem_rule_name((enum mem_rule)i)) > 1);
    assert_string_equal(mem_kind_name(MEM_KINDS), "?");
    assert_string_equal(mem_rule_name(MEM_RULES), "?");
    assert_string_equal(mem_type_name(7), "Conventional");
    assert_string_equal(mem_type_name(15), "Unaccepted");
    assert_string_equal(mem_type_name(16), "unknown");
    assert_string_equal(mem_type_name(0x7fffffff), "OEM");
    assert_string_equal(mem_type_name(0x80000000), "OS");
}

/* ---- real machines --------------------------------------------------------------------------- */

/* Counted from the files by other means (sort, awk); the maps overlap nowhere */
static const struct {
    const char *name;
    size_t n_descriptors, n_ranges;
    uint64_t free, low, acpi, nvs, runtime, mmio; /* [pages] */
    uint64_t ram_end;                             /* [bytes] */
} machines[] = {
    { "acer-v3-571g-1", 100, 25, 1020095, 135, 64, 256, 792, 17300, 0x15f600000 },
    { "apple-intelmac2006-kernel-1", 35, 19, 519018, 158, 21, 559, 83, 53, 0x7ef00000 },
    { "apple-macmini31-1", 198, 72, 457605, 158, 19, 540, 71, 1025, 0x7ff00000 },
    { "asrock-880gpro3-1", 146, 3, 9201, 159, 0, 0, 0, 0, 0x24f1000 },
    { "asus-ux391fa-1", 49, 20, 4145916, 158, 125, 181, 2402, 36887, 0x47e000000 },
    { "dell-e7240-1", 118, 27, 2072826, 157, 82, 235, 1986, 20490, 0x21ee00000 },
    { "hp-pavilion15-amd-1", 77, 23, 842927, 131, 64, 258, 1064, 17412, 0x12f000000 },
    { "hp-stream13-1", 54, 23, 496261, 132, 64, 257, 851, 1154, 0x7a000000 },
    { "hp-superdome2-1", 70, 38, 3221195503, 157, 512, 9218, 3328, 2294276, 0xc2000000000 },
    { "intel-brickland-1", 50, 19, 134185319, 157, 393, 8722, 3072, 65540, 0x8080000000 },
    { "lenovo-b570-1", 50, 15, 1550728, 158, 96, 170, 503, 5, 0x1bfe00000 },
    { "lenovo-t14g3-amd-1", 163, 19, 4117104, 158, 208, 3072, 7872, 65536, 0x45f800000 },
    { "nutanix-ahv-1", 116, 13, 3144541, 159, 31, 128, 644, 0, 0x380000000 },
    { "qemu-ovmf-secboot-1", 127, 19, 1301098, 125, 16, 4161, 965, 0, 0x1c0000000 },
    { "xen-unnamed-34gib-1", 83, 23, 8335767, 158, 640, 270, 3291, 69684, 0x8c0800000 },
};

static void machines_come_out_as_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
        struct map_csv csv;
        char path[128];
        FILE *file;
        const char *different;

        snprintf(path, sizeof path, "test/data/maps/%s.csv", machines[i].name);
        file = fopen(path, "r");
        if (file == NULL)
            fail_msg("%s is missing; tests start in the project's folder", path);
        assert_int_equal(map_csv_read(&csv, file, path, 48, stderr), ERR_OK);
        fclose(file);
        assert_int_equal(csv.n, machines[i].n_descriptors);
        assert_int_equal(mem_map_read(&map, store, ARRAY_LEN(store), csv.descriptors, csv.n * 48, 48),
                         ERR_OK);
        different = model_range_check(&map, csv.descriptors, csv.n, 48);
        if (different != NULL)
            fail_msg("%s: %s", path, different);
        assert_int_equal(map.n, machines[i].n_ranges);
        assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_FREE), 0), machines[i].free);
        assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_LOW), 0), machines[i].low);
        assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_ACPI), 0), machines[i].acpi);
        assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_NVS), 0), machines[i].nvs);
        assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_RUNTIME), 0), machines[i].runtime);
        assert_int_equal(mem_map_pages(&map, MEM_SET(MEM_MMIO), 0), machines[i].mmio);
        assert_int_equal(pfn_to_pa(mem_map_end(&map, MEM_SET_RAM)).raw, machines[i].ram_end);
        expect_dropped(MEM_RULES, 0, 0);
        map_csv_free(&csv);
    }
}

/* ---- random maps ----------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

/* A descriptor in a world of `frames` frames from `base`; one in `wild` ends far outside or is unaligned */
static struct mem_desc random_desc(uint64_t base, uint64_t frames, uint64_t wild)
{
    static const uint32_t types[] = { 0,  1,  2,  3,  4,          5,          6,          7,
                                      7,  7,  7,  8,  9,          10,         11,         12,
                                      13, 14, 15, 16, 0x70000000, 0x7fffffff, 0x80000000, 0xffffffff };
    static const uint64_t attrs[] = { 0,
                                      0xf,
                                      0xf,
                                      0xf,
                                      0x8,
                                      0x1,
                                      0x7,
                                      0x800f,
                                      0x1000f,
                                      0x4000f,
                                      0x10000,
                                      0x8000000000000001,
                                      0x800000000000000f };
    struct mem_desc d = { types[random_below(ARRAY_LEN(types))], base + KIB4(random_below(frames)),
                          random_below(random_below(frames) + 1), attrs[random_below(ARRAY_LEN(attrs))] };

    if (random_below(wild) == 0)
        d.start += random_below(4096);
    if (random_below(wild) == 0)
        d.pages = UINT64_MAX >> random_below(64);
    if (random_below(wild) == 0)
        d.start |= UINT64_MAX << random_below(64);
    if (random_below(wild) == 0)
        d.start = 0 - KIB4(random_below(4) + 1);
    return d;
}

static void random_maps_agree_with_the_model(void **state)
{
    static const uint64_t bases[] = { 0, 0, MIB, GIB, ((uint64_t)1 << 52) - KIB4(200) };

    (void)state;
    for (uint64_t round = 1; round <= 4000; round++) {
        size_t n, desc_bytes = 40 + 8 * (round % 4);
        uint64_t base, frames, wild;
        const char *different;

        seed = round * 0x9e3779b97f4a7c15;
        n = random_below(round % 500 == 0 ? DESCS_MAX + 1 : 1 + round % 40);
        base = bases[random_below(ARRAY_LEN(bases))];
        frames = 1 + random_below(round % 3 == 0 ? 20 : 700);
        wild = round % 2 == 0 ? UINT32_MAX : 20;
        for (size_t i = 0; i < n; i++)
            map_desc_put(raw, desc_bytes, i, random_desc(base, frames, wild));
        assert_int_equal(mem_map_read(&map, store, MEM_MAP_CAPACITY(n), raw, n * desc_bytes, desc_bytes),
                         ERR_OK);
        different = model_range_check(&map, raw, n, desc_bytes);
        if (different != NULL)
            fail_msg("round %llu: %s", ULL(round), different);
    }
}

/* The same without the model's shortcut: every frame of a small world is asked */
static void random_maps_agree_page_by_page(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 300; round++) {
        size_t n = round % 30;

        seed = round * 0xd1342543de82ef95;
        for (size_t i = 0; i < n; i++)
            map_desc_put(raw, 48, i, random_desc(0, 600, 10));
        assert_int_equal(mem_map_read(&map, store, MEM_MAP_CAPACITY(n), raw, n * 48, 48), ERR_OK);
        for (uint64_t f = 0; f < 1300; f++) {
            struct model_frame want = model_frame(raw, n, 48, f);
            const struct mem_range *got = mem_map_find(&map, pfn(f));

            if ((want.n_claims > 0) != (got != NULL) ||
                (got && (got->kind != want.kind || got->attr != want.attr)))
                fail_msg("round %llu: frame %llu", ULL(round), ULL(f));
        }
    }
}

static void the_order_of_descriptors_does_not_matter(void **state)
{
    static unsigned char mixed[sizeof raw];
    static struct mem_range other_store[MEM_MAP_CAPACITY(50)];
    struct mem_map other;

    (void)state;
    for (uint64_t round = 1; round <= 200; round++) {
        size_t n = 50;

        seed = round * 0x2545f4914f6cdd1d;
        for (size_t i = 0; i < n; i++)
            map_desc_put(raw, 40, i, random_desc(0, 600, 20));
        memcpy(mixed, raw, n * 40);
        for (size_t i = n; i > 1; i--) {
            size_t j = random_below(i);
            struct mem_desc d = mem_desc_get(mixed, 40, i - 1);

            map_desc_put(mixed, 40, i - 1, mem_desc_get(mixed, 40, j));
            map_desc_put(mixed, 40, j, d);
        }
        assert_int_equal(mem_map_read(&map, store, MEM_MAP_CAPACITY(n), raw, n * 40, 40), ERR_OK);
        assert_int_equal(mem_map_read(&other, other_store, MEM_MAP_CAPACITY(n), mixed, n * 40, 40), ERR_OK);
        assert_int_equal(map.n, other.n);
        for (size_t i = 0; i < map.n; i++)
            EXPECT(i, other.ranges[i].kind, other.ranges[i].start.idx, other.ranges[i].end.idx,
                   other.ranges[i].attr);
    }
}

/* A million descriptors: neither the stack nor the clock may show it */
static void very_long_maps_are_read_in_n_log_n(void **state)
{
    size_t n = 1000000;
    unsigned char *many = malloc(n * 40);
    struct mem_range *room = malloc(MEM_MAP_CAPACITY(n) * sizeof *room);

    (void)state;
    seed = 1;
    for (size_t i = 0; i < n; i++)
        map_desc_put(many, 40, i,
                     (struct mem_desc){ (uint32_t)random_below(16), KIB4(random_below(n * 8)),
                                        random_below(64), 0xf });
    assert_int_equal(mem_map_read(&map, room, MEM_MAP_CAPACITY(n), many, n * 40, 40), ERR_OK);
    assert_true(map.n > n / 4);
    free(many);
    free(room);
}

/* ---- maps as text ---------------------------------------------------------------------------- */

/* Read text as a file; the complaint, or "" */
static const char *complaint(const char *text, size_t length, struct map_csv *csv)
{
    static char out[256];
    FILE *file = fmemopen((void *)(uintptr_t)text, length, "r"), *errors = fmemopen(out, sizeof out, "w");

    out[0] = '\0';
    (void)!map_csv_read(csv, file, "F", 48, errors);
    fclose(file);
    fclose(errors);
    out[strcspn(out, "\n")] = '\0';
    return out;
}

static void text_maps_are_read_with_and_without_header_and_carriage_returns(void **state)
{
    static const char *const good[] = {
        "type,physical_start,pages,attribute\n7,0x1000,2,0xf\n",
        "7,0x1000,2,0xf",
        "type,physical_start,pages,attribute\r\n7,4096,2,15\r\n\r\n",
        "# from a bug report\n\n 0x7 , 0X1000 , 0x2 , 0xF \n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct map_csv csv;
        struct mem_desc d;

        assert_string_equal(complaint(good[i], strlen(good[i]), &csv), "");
        assert_int_equal(csv.n, 1);
        d = mem_desc_get(csv.descriptors, 48, 0);
        assert_true(d.type == 7 && d.start == 4096 && d.pages == 2 && d.attr == 15);
        map_csv_free(&csv);
    }
}

static void malformed_text_is_refused_with_file_line_and_reason(void **state)
{
    static const struct {
        const char *text, *complaint;
    } bad[] = {
        { "\n", "F:1: no descriptor" },
        { "type,physical_start,pages,attribute\n", "F:1: no descriptor" },
        { "7,0x1000,2,0xf\n7,0x1000,2\n",
          "F:2: expected 4 fields (type,physical_start,pages,attribute), found 3" },
        { "7,0,1,0,\n", "F:1: expected 4 fields (type,physical_start,pages,attribute), found 5" },
        { "7,0x,1,0\n", "F:1: physical_start is missing: '0x'" },
        { "7,0,,0\n", "F:1: pages is missing: ''" },
        { "7,0,-1,0\n", "F:1: pages is not a number: '-1'" },
        { "7,0,1f,0\n", "F:1: pages is not a number: '1f'" },
        { "x,0,1,0\n", "F:1: type is not a number: 'x'" },
        { "4294967296,0,1,0\n", "F:1: type is too large: '4294967296'" },
        { "7,0x10000000000000000,1,0\n", "F:1: physical_start is too large: '0x10000000000000000'" },
        { "7,0,18446744073709551616,0\n", "F:1: pages is too large: '18446744073709551616'" },
        { "7,0,1,0\ntype,physical_start,pages,attribute\n", "F:2: type is not a number: 'type'" },
    };
    struct map_csv csv;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_string_equal(complaint(bad[i].text, strlen(bad[i].text), &csv), bad[i].complaint);
    assert_string_equal(complaint("7,0,1,0\0\n", 9, &csv), "F:1: not text: a zero byte");
    assert_string_equal(complaint("7,0,18446744073709551615,0", 26, &csv), "");
    map_csv_free(&csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_is_an_empty_list),
        cmocka_unit_test(unsorted_descriptors_are_sorted),
        cmocka_unit_test(neighbours_of_one_kind_and_attribute_are_merged),
        cmocka_unit_test(zero_length_says_nothing),
        cmocka_unit_test(wrapped_descriptors_are_dropped),
        cmocka_unit_test(sums_of_many_wrapped_descriptors_do_not_wrap),
        cmocka_unit_test(frames_beyond_52_bits_are_cut_off),
        cmocka_unit_test(free_memory_above_a_limit_is_dropped),
        cmocka_unit_test(unaligned_free_memory_shrinks_and_any_other_grows),
        cmocka_unit_test(the_strictest_claim_wins_in_every_order),
        cmocka_unit_test(between_claims_of_one_kind_the_greater_attribute_wins),
        cmocka_unit_test(a_claim_inside_another_cuts_it),
        cmocka_unit_test(a_frame_claimed_three_times_is_dropped_twice),
        cmocka_unit_test(the_first_mib_is_low_and_frame_0_reserved),
        cmocka_unit_test(types_and_attributes_decide_the_kind),
        cmocka_unit_test(wrong_sizes_are_refused_and_change_nothing),
        cmocka_unit_test(any_descriptor_size_from_40_and_any_alignment_is_read),
        cmocka_unit_test(the_promised_capacity_suffices_and_one_less_may_not),
        cmocka_unit_test(questions_are_answered),
        cmocka_unit_test(everything_has_a_name),
        cmocka_unit_test(machines_come_out_as_counted),
        cmocka_unit_test(random_maps_agree_with_the_model),
        cmocka_unit_test(random_maps_agree_page_by_page),
        cmocka_unit_test(the_order_of_descriptors_does_not_matter),
        cmocka_unit_test(very_long_maps_are_read_in_n_log_n),
        cmocka_unit_test(text_maps_are_read_with_and_without_header_and_carriage_returns),
        cmocka_unit_test(malformed_text_is_refused_with_file_line_and_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
