/* SPDX-License-Identifier: MIT */
/* test/host/test_elf.c - core/proc/elf.c: one good file, and every way to spoil it */
#include "core/proc/elf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <elf.h>

#include "core/proc/abi.h"

#define FILE_BYTES 0x2a00
#define N_PHDRS    4 /* text, data, PT_DYNAMIC, PT_GNU_STACK */

/* A good file: the host's <elf.h> is the second opinion about where things lie */
struct good {
    Elf64_Ehdr h;
    Elf64_Phdr p[N_PHDRS];
    uint8_t    rest[FILE_BYTES - sizeof(Elf64_Ehdr) - N_PHDRS * sizeof(Elf64_Phdr)];
};

static struct good good(void)
{
    struct good g = {
        .h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
               .e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_entry = 0x1010,
               .e_phoff = offsetof(struct good, p), .e_ehsize = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = N_PHDRS },
        .p = { { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 0x1000, .p_vaddr = 0x1000,
                 .p_filesz = 0x800, .p_memsz = 0x800, .p_align = 0x1000 },
               { .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 0x2010, .p_vaddr = 0x3010,
                 .p_filesz = 0x900, .p_memsz = 0x5000, .p_align = 0x1000 },
               { .p_type = PT_DYNAMIC, .p_flags = PF_R | PF_W, .p_offset = 0x2010, .p_vaddr = 0x3010, .p_filesz = 0x90 },
               { .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W } },
    };

    return g;
}

/* On the heap by itself, and not aligned: a read beyond its end or a wide access is seen. */
static err_t read_copy(const void *bytes, size_t n, struct elf_image *out, const char **why)
{
    uint8_t *room = malloc(n + 1);
    err_t    err;

    memcpy(room + 1, bytes, n);
    err = elf_read(room + 1, n, out, why);
    free(room);
    return err;
}

static void a_good_file_is_read(void **state)
{
    struct good      g = good();
    struct elf_image image;
    const char      *why = "untouched";

    (void)state;
    assert_int_equal(read_copy(&g, sizeof g, &image, &why), ERR_OK);
    assert_string_equal(why, "untouched");
    assert_int_equal(image.entry, 0x1010);
    assert_int_equal(image.n_segments, 2);
    assert_int_equal(image.end, 0x9000);
    assert_int_equal(image.segment[0].prot, PROT_READ | PROT_EXEC);
    assert_int_equal(image.segment[1].prot, PROT_READ | PROT_WRITE);
    assert_int_equal(image.segment[1].address, 0x3010);
    assert_int_equal(image.segment[1].offset, 0x2010);
    assert_int_equal(image.segment[1].file_bytes, 0x900);
    assert_int_equal(image.segment[1].mem_bytes, 0x5000);
}

#define H(field) offsetof(struct good, h.field), sizeof((struct good *)0)->h.field
#define P(i, field) offsetof(struct good, p[i].field), sizeof((struct good *)0)->p[i].field

static const struct {
    const char *what;
    size_t      offset, size; /* of the field that is spoilt */
    uint64_t    value;
    err_t       err;
    const char *why;
} rows[] = {
    { "magic", 0, 1, 'E', ERR_CORRUPT, "no ELF" },
    { "32-bit", EI_CLASS, 1, ELFCLASS32, ERR_NOSYS, "64-bit" },
    { "big-endian", EI_DATA, 1, ELFDATA2MSB, ERR_NOSYS, "little-endian" },
    { "version in the magic", EI_VERSION, 1, 2, ERR_NOSYS, "version" },
    { "version", H(e_version), 0, ERR_NOSYS, "version" },
    { "ABI", EI_OSABI, 1, ELFOSABI_FREEBSD, ERR_NOSYS, "another system" },
    { "ABI's version", EI_ABIVERSION, 1, 1, ERR_NOSYS, "another system" },
    { "machine", H(e_machine), EM_AARCH64, ERR_NOSYS, "another machine" },
    { "not position-independent", H(e_type), ET_EXEC, ERR_NOSYS, "-static -pie" },
    { "object file", H(e_type), ET_REL, ERR_NOSYS, "no executable" },
    { "core dump", H(e_type), ET_CORE, ERR_NOSYS, "no executable" },
    { "header's size", H(e_ehsize), 52, ERR_CORRUPT, "impossible size" },
    { "program header's size", H(e_phentsize), 32, ERR_CORRUPT, "impossible size" },
    { "no program headers", H(e_phnum), 0, ERR_CORRUPT, "without program headers" },
    { "too many program headers", H(e_phnum), 0xffff, ERR_CORRUPT, "headers outside" },
    { "program headers beyond", H(e_phoff), FILE_BYTES - 8, ERR_CORRUPT, "headers outside" },
    { "program headers wrap", H(e_phoff), UINT64_MAX - 16, ERR_CORRUPT, "headers outside" },
    { "wants a linker", P(2, p_type), PT_INTERP, ERR_NOSYS, "dynamic linker" },
    { "thread-local", P(2, p_type), PT_TLS, ERR_NOSYS, "thread-local" },
    { "executable stack", P(3, p_flags), PF_R | PF_W | PF_X, ERR_NOSYS, "executable stack" },
    { "more in the file", P(0, p_memsz), 0x7ff, ERR_CORRUPT, "more bytes in the file" },
    { "segment beyond the file", P(1, p_filesz), 0x9f1, ERR_CORRUPT, "a segment outside the file" },
    { "segment's offset beyond", P(1, p_offset), 0x10010, ERR_CORRUPT, "a segment outside the file" },
    { "segment's offset wraps", P(1, p_offset), UINT64_MAX - 0xfef, ERR_CORRUPT, "a segment outside the file" },
    { "segment wraps", P(1, p_memsz), UINT64_MAX - 0x3000, ERR_CORRUPT, "beyond the largest" },
    { "segment too high", P(1, p_vaddr), UINT64_MAX - 0xfef, ERR_CORRUPT, "beyond the largest" },
    { "segment too long", P(1, p_memsz), ELF_BYTES_MAX, ERR_CORRUPT, "beyond the largest" },
    { "not congruent", P(1, p_vaddr), 0x3000, ERR_CORRUPT, "alike in a page" },
    { "alignment of bytes", P(1, p_align), 1, ERR_CORRUPT, "alignment" },
    { "alignment of three pages", P(1, p_align), 0x3000, ERR_CORRUPT, "alignment" },
    { "alignment too large", P(0, p_align), 1ull << 40, ERR_CORRUPT, "alignment" },
    { "alignment not kept", P(1, p_align), 0x2000, ERR_CORRUPT, "alignment" },
    { "writable text", P(0, p_flags), PF_R | PF_W | PF_X, ERR_NOSYS, "writable and executable" },
    { "no rights", P(1, p_flags), 0, ERR_NOSYS, "rights" },
    { "unknown rights", P(1, p_flags), 0x10 | PF_R, ERR_NOSYS, "rights" },
    { "one address twice", P(1, p_vaddr), 0x1010, ERR_CORRUPT, "overlap" },
    { "the same page", P(0, p_memsz), 0x2001, ERR_CORRUPT, "overlap" },
    { "wrong order", P(0, p_vaddr), 0x8000, ERR_CORRUPT, "overlap" },
    { "entry in data", H(e_entry), 0x3020, ERR_CORRUPT, "entry" },
    { "entry behind the text", H(e_entry), 0x1800, ERR_CORRUPT, "entry" },
    { "entry nowhere", H(e_entry), UINT64_MAX, ERR_CORRUPT, "entry" },
    { "no code", P(0, p_type), PT_NOTE, ERR_CORRUPT, "entry" },
};

static void each_spoilt_field_is_refused_by_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct good      g = good();
        struct elf_image image = { .entry = 7 };
        const char      *why = NULL;
        err_t            err;

        memcpy((uint8_t *)&g + rows[i].offset, &rows[i].value, rows[i].size);
        err = read_copy(&g, sizeof g, &image, &why);
        if (err != rows[i].err || why == NULL || strstr(why, rows[i].why) == NULL)
            fail_msg("%s: %s, \"%s\"; expected %s, \"%s\"", rows[i].what, err_str(err), why, err_str(rows[i].err),
                     rows[i].why);
        assert_int_equal(image.entry, 7); /* R17: output untouched */
    }
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    struct good      g = good();
    struct elf_image image;

    (void)state;
    for (size_t n = 0; n < 0x2910; n += n < sizeof g.h + sizeof g.p ? 1 : 7)
        assert_int_equal(read_copy(&g, n, &image, NULL), ERR_CORRUPT);
    assert_int_equal(read_copy(&g, 0x2910, &image, NULL), ERR_OK); /* the last byte that a segment needs */
}

static void nothing_to_load_is_refused(void **state)
{
    struct good      g = good();
    struct elf_image image;
    const char      *why;

    (void)state;
    g.p[0].p_type = g.p[1].p_type = PT_NOTE;
    assert_int_equal(read_copy(&g, sizeof g, &image, &why), ERR_CORRUPT);
    assert_string_equal(why, "nothing to load");
}

static void an_empty_segment_is_passed_over(void **state)
{
    struct good      g = good();
    struct elf_image image;

    (void)state;
    g.p[1].p_filesz = g.p[1].p_memsz = 0;
    assert_int_equal(read_copy(&g, sizeof g, &image, NULL), ERR_OK);
    assert_int_equal(image.n_segments, 1);
}

/* Text and then n more segments, each on a page of its own */
static err_t with_segments(unsigned n, const char **why)
{
    struct {
        Elf64_Ehdr h;
        Elf64_Phdr p[16];
        uint8_t    rest[0x2000];
    } f = { .h = good().h };
    struct elf_image image;

    f.h.e_phnum = (Elf64_Half)(n + 1);
    f.p[0] = good().p[0];
    for (unsigned i = 1; i <= n; i++)
        f.p[i] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = 0x1000 + 0x1000 * i, .p_memsz = 1, .p_align = 0x1000 };
    return read_copy(&f, sizeof f, &image, why);
}

static void eight_segments_are_the_most(void **state)
{
    const char *why;

    (void)state;
    assert_int_equal(with_segments(ELF_SEGMENTS_MAX - 1, NULL), ERR_OK);
    assert_int_equal(with_segments(ELF_SEGMENTS_MAX, &why), ERR_NOSYS);
    assert_string_equal(why, "more than 8 segments");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read),
        cmocka_unit_test(each_spoilt_field_is_refused_by_its_reason),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(nothing_to_load_is_refused),
        cmocka_unit_test(an_empty_segment_is_passed_over),
        cmocka_unit_test(eight_segments_are_the_most),
    };

    return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
