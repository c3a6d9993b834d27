/* SPDX-License-Identifier: MIT */
/* test/host/test_segment.c - core/x86/segment.c: descriptors both ways, and addresses with their checks */
#include "core/x86/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 200000

/* Descriptors that others have written down, and what they say they mean */
static const struct {
    uint64_t       words[2];
    struct segment s;
    const char    *text;
} known[] = {
    /* Linux, arch/x86/include/asm/desc_defs.h: __KERNEL_CS, __USER_DS, __KERNEL32_CS */
    { { 0x00AF9B000000FFFF }, { .limit = 0xFFFFF, .type = 0xB, .s = true, .p = true, .l = true, .g = true },
      "code, execute/read, accessed, 64-bit" },
    { { 0x00CFF3000000FFFF }, { .limit = 0xFFFFF, .type = 3, .dpl = 3, .s = true, .p = true, .db = true, .g = true },
      "data, read/write, accessed, 32-bit" },
    { { 0x00CF9B000000FFFF }, { .limit = 0xFFFFF, .type = 0xB, .s = true, .p = true, .db = true, .g = true },
      "code, execute/read, accessed, 32-bit" },
    /* real mode's F000, as it would stand in a table: 64 KiB from 0xF0000, 16-bit */
    { { 0x00009B0F0000FFFF }, { .base = 0xF0000, .limit = 0xFFFF, .type = 0xB, .s = true, .p = true },
      "code, execute/read, accessed, 16-bit" },
    /* a TSS of 104 bytes at 0x12345678_9abcdef0 */
    { { 0x9A008BBCDEF00067, 0x12345678 }, { .base = 0x123456789ABCDEF0, .limit = 103, .type = SEGMENT_TSS_BUSY, .p = true },
      "64-bit TSS, busy" },
    { { 0x0040FE0000000001 }, { .limit = 1, .type = 0xE, .dpl = 3, .s = true, .p = true, .db = true },
      "code, execute/read, conforming, 32-bit" },
    { { 0x0000140000000000 }, { .type = 4, .s = true }, "data, read only, expands down, 16-bit, not present" },
    { { 0x0000820000000000 }, { .type = SEGMENT_LDT, .p = true }, "LDT" },
};

static void same(const struct segment *a, const struct segment *b)
{
    assert_int_equal(a->base, b->base);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->dpl, b->dpl);
    assert_int_equal(a->s << 5 | a->p << 4 | a->l << 3 | a->db << 2 | a->g << 1 | a->avl,
                     b->s << 5 | b->p << 4 | b->l << 3 | b->db << 2 | b->g << 1 | b->avl);
}

static void known_descriptors_are_read_written_and_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct segment s = segment_decode(known[i].words);
        uint64_t       words[2] = { 0 };
        char           text[SEGMENT_TEXT];

        same(&s, &known[i].s);
        assert_int_equal(segment_encode(&known[i].s, words), ERR_OK);
        assert_memory_equal(words, known[i].words, sizeof words);
        assert_string_equal(segment_describe(&s, text), known[i].text);
    }
}

static uint64_t random_word(void) { return (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand(); }

static void every_descriptor_comes_back_as_it_was(void **state)
{
    (void)state;
    srand(1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t       words[2] = { random_word(), random_word() & UINT32_MAX }, again[2] = { 0, words[1] };
        struct segment s = segment_decode(words);
        char           text[SEGMENT_TEXT];
        err_t          err = segment_encode(&s, again);

        assert_int_equal(err, s.l && s.db ? ERR_INVAL : ERR_OK);
        if (err == ERR_OK)
            assert_memory_equal(words, again, sizeof words);
        assert_true(strlen(segment_describe(&s, text)) > 0);
    }
}

static void what_has_no_room_is_refused(void **state)
{
    const struct segment bad[] = {
        { .s = true, .base = (uint64_t)1 << 32 }, { .limit = 1 << 20 }, { .type = 16 }, { .dpl = 4 }, { .s = true, .l = true, .db = true },
    };
    uint64_t words[2] = { 7, 7 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(segment_encode(&bad[i], words), ERR_INVAL);
    assert_int_equal(words[0], 7);
    assert_int_equal(words[1], 7);
}

static void real_mode_multiplies_by_sixteen(void **state)
{
    (void)state;
    assert_int_equal(segment_real(0xF000, 0xFFF0), 0xFFFF0); /* where a PC begins       */
    assert_int_equal(segment_real(0xFFFF, 0x0000), 0xFFFF0); /* segments overlap        */
    assert_int_equal(segment_real(0x07C0, 0x0000), segment_real(0x0000, 0x7C00));
    assert_int_equal(segment_real(0xFFFF, 0xFFFF), 0x10FFEF); /* the high memory area   */
}

/* A table with one segment of each kind; the comments are the selectors */
enum { NONE, CODE0 = 0x08, DATA0 = 0x10, CODE3 = 0x18, DATA3 = 0x20, RO3 = 0x28, XO3 = 0x30, DOWN3 = 0x38, GONE3 = 0x40, CONF0 = 0x48,
       TSS = 0x50, LDT_DATA3 = 0x0C };

static uint64_t gdt[12], ldt[2];

static void put(uint64_t *table, unsigned selector, struct segment s)
{
    assert_int_equal(segment_encode(&s, &table[selector_offset(selector) / 8]), ERR_OK);
}

static int make_tables(void **state)
{
    const struct segment code = { .base = 0x1000, .limit = 0xFFF, .type = 0xA, .s = true, .p = true, .db = true };
    struct segment       s = code;

    (void)state;
    put(gdt, CODE0, s);
    s.dpl = 3;
    put(gdt, CODE3, s);
    s.type = 8;
    put(gdt, XO3, s);
    s.type = 0xE, s.dpl = 0;
    put(gdt, CONF0, s);
    s.type = 2, s.base = 0xFFFFF000, s.limit = 1, s.g = true; /* two pages that wrap at 4 GiB */
    put(gdt, DATA0, s);
    s.dpl = 3;
    put(gdt, DATA3, s);
    s.type = 0;
    put(gdt, RO3, s);
    s.type = 6, s.g = false, s.limit = 0xFFF, s.base = 0;
    put(gdt, DOWN3, s);
    s.p = false;
    put(gdt, GONE3, s);
    s = (struct segment){ .type = SEGMENT_TSS, .limit = 103, .p = true };
    put(gdt, TSS, s);
    s = (struct segment){ .base = 0x5000, .limit = 15, .type = 2, .dpl = 3, .s = true, .p = true };
    put(ldt, LDT_DATA3, s);
    return 0;
}

static const struct {
    unsigned            selector;
    uint64_t            offset;
    unsigned            n_bytes;
    enum segment_access access;
    unsigned            cpl;
    bool                long_mode;
    err_t               err;
    uint64_t            linear;
    const char         *why;
} rows[] = {
    { CODE0, 0x10, 1, SEGMENT_FETCH, 0, false, ERR_OK, 0x1010, NULL },
    { CODE0, 0xFFF, 1, SEGMENT_READ, 0, false, ERR_OK, 0x1FFF, NULL },
    { CODE0, 0xFFF, 2, SEGMENT_READ, 0, false, ERR_OUTSIDE, 0, "beyond the limit" },
    { CODE0, UINT64_MAX, 2, SEGMENT_READ, 0, false, ERR_OUTSIDE, 0, "beyond the limit" },
    { CODE0, 0, 1, SEGMENT_WRITE, 0, false, ERR_PERM, 0, "never writable" },
    { CODE0 | 3, 0, 1, SEGMENT_READ, 3, false, ERR_PERM, 0, "DPL" },
    { CODE3 | 3, 0, 1, SEGMENT_FETCH, 0, false, ERR_PERM, 0, "DPL" }, /* ring 0 runs ring 0's code only */
    { CODE3 | 3, 8, 1, SEGMENT_FETCH, 3, false, ERR_OK, 0x1008, NULL },
    { CODE3 | 3, 0x7FFFFFFF1000, 1, SEGMENT_FETCH, 3, true, ERR_OK, 0x7FFFFFFF1000, NULL },
    { CONF0 | 3, 0, 1, SEGMENT_FETCH, 3, false, ERR_OK, 0x1000, NULL },
    { XO3 | 3, 0, 1, SEGMENT_READ, 3, false, ERR_PERM, 0, "execute only" },
    { XO3 | 3, 0, 1, SEGMENT_FETCH, 3, false, ERR_OK, 0x1000, NULL },
    { DATA0, 0, 4, SEGMENT_WRITE, 0, false, ERR_OK, 0xFFFFF000, NULL },
    { DATA0 | 3, 0, 4, SEGMENT_WRITE, 0, false, ERR_PERM, 0, "DPL" }, /* RPL weakens who asks */
    { DATA3 | 3, 0x1FFF, 1, SEGMENT_WRITE, 3, false, ERR_OK, 0xFFF, NULL }, /* wraps */
    { DATA3 | 3, 0x2000, 1, SEGMENT_READ, 3, false, ERR_OUTSIDE, 0, "beyond the limit" },
    { DATA3 | 3, 0x2000, 1, SEGMENT_READ, 3, true, ERR_OK, 0x2000, NULL },
    { DATA3, 0, 1, SEGMENT_FETCH, 3, false, ERR_INVAL, 0, "nothing to execute" },
    { RO3, 0, 1, SEGMENT_WRITE, 3, false, ERR_PERM, 0, "read only" },
    { DOWN3, 0xFFF, 1, SEGMENT_READ, 3, false, ERR_OUTSIDE, 0, "beyond the limit" },
    { DOWN3, 0x1000, 1, SEGMENT_WRITE, 3, false, ERR_OK, 0x1000, NULL },
    { DOWN3, UINT32_MAX, 2, SEGMENT_READ, 3, false, ERR_OUTSIDE, 0, "beyond the limit" },
    { GONE3, 0x1000, 1, SEGMENT_READ, 3, false, ERR_NOENT, 0, "not present" },
    { TSS, 0, 1, SEGMENT_READ, 0, false, ERR_INVAL, 0, "system segment" },
    { NONE, 0, 1, SEGMENT_READ, 0, false, ERR_INVAL, 0, "null selector" },
    { NONE | 3, 0, 1, SEGMENT_READ, 3, false, ERR_INVAL, 0, "null selector" },
    { 0x60, 0, 1, SEGMENT_READ, 0, false, ERR_NOENT, 0, "beyond the table" },
    { LDT_DATA3, 0xF, 1, SEGMENT_READ, 3, false, ERR_OK, 0x500F, NULL },
    { LDT_DATA3, 0x10, 1, SEGMENT_READ, 3, false, ERR_OUTSIDE, 0, "beyond the limit" },
    { 0x14, 0, 1, SEGMENT_READ, 3, false, ERR_NOENT, 0, "beyond the table" },
};

static struct segment_request request(size_t i)
{
    return (struct segment_request){ .gdt = { gdt, sizeof gdt }, .ldt = { ldt, sizeof ldt }, .selector = rows[i].selector,
                                     .offset = rows[i].offset, .n_bytes = rows[i].n_bytes, .access = rows[i].access,
                                     .cpl = rows[i].cpl, .long_mode = rows[i].long_mode };
}

static void addresses_are_computed_and_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct segment_request r = request(i);
        uint64_t               linear = 7;
        const char            *why = "";
        err_t                  err = segment_linear(&r, NULL, &linear, &why);

        if (err != rows[i].err || linear != (err == ERR_OK ? rows[i].linear : 7) ||
            (rows[i].why != NULL && strstr(why, rows[i].why) == NULL))
            fail_msg("row %zu: %s, %#llx, \"%s\"", i, err_str(err), ULL(linear), why);
    }
}

static void without_an_ldt_its_selectors_mean_nothing(void **state)
{
    struct segment_request r = { .gdt = { gdt, sizeof gdt }, .selector = LDT_DATA3, .n_bytes = 1 };
    const char            *why;
    uint64_t               linear;

    (void)state;
    assert_int_equal(segment_linear(&r, NULL, &linear, &why), ERR_NOENT);
    assert_string_equal(why, "no LDT is loaded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_descriptors_are_read_written_and_told),
        cmocka_unit_test(every_descriptor_comes_back_as_it_was),
        cmocka_unit_test(what_has_no_room_is_refused),
        cmocka_unit_test(real_mode_multiplies_by_sixteen),
        cmocka_unit_test(addresses_are_computed_and_checked),
        cmocka_unit_test(without_an_ldt_its_selectors_mean_nothing),
    };

    return cmocka_run_group_tests_name("segment", tests, make_tables, NULL);
}
