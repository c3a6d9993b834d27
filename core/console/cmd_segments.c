/* SPDX-License-Identifier: MIT */
/*
 * core/console/cmd_segments.c - segmentation: gdt, ldt, seg
 *
 *   gdt                              the table that GDTR names, descriptor by descriptor
 *   ldt 3                            the table of a process's own segments
 *   seg real F000:FFF0               segment * 16 + offset
 *   seg 2b:1000 [run [3]]            base + offset, after the checks that protected mode makes
 */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/proc.h"
#include "core/proc/segments.h"
#include "core/str.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/segment.h"

static struct segment_table gdt_now(void)
{
    struct table_register r = cpu_sgdt();

    return (struct segment_table){ (const uint64_t *)(uintptr_t)r.base, (uint64_t)r.limit + 1 };
}

/* The LDT in use is what the GDT's entry says that LDTR names */
static struct segment_table ldt_now(void)
{
    unsigned       selector = selector_offset(cpu_sldt());
    struct segment s;

    if (selector == 0)
        return (struct segment_table){ .n_bytes = 0 };
    s = segment_decode(&gdt_now().words[selector / 8]);
    return (struct segment_table){ (const uint64_t *)(uintptr_t)s.base, segment_last(&s) + 1 };
}

static void print_table(const struct segment_table *t, unsigned selector_bits)
{
    char text[SEGMENT_TEXT];

    kprintf(HEADING("%-4s %16s %5s  %s  %s\n"), "sel", "base", "limit", "G B/D L AVL  P DPL S type", "in words");
    for (unsigned at = 0; at < t->n_bytes; at += 8 * segment_words(t->words[at / 8])) {
        struct segment s = segment_decode(&t->words[at / 8]);

        kprintf("%-4x ", at | selector_bits);
        if (t->words[at / 8] == 0)
            kprintf("%51s null\n", "");
        else
            kprintf("%16llx %05x  %u %u   %u %u    %u %u   %u %x     %s\n", ULL(s.base), s.limit, s.g, s.db, s.l, s.avl, s.p, s.dpl, s.s,
                    s.type, segment_describe(&s, text));
    }
}

static err_t gdt(unsigned argc, char *argv[])
{
    struct segment_table t = gdt_now();

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf("GDTR %#llx, %llu bytes; LDTR %#x%s; TR %#x\n", ULL((uintptr_t)t.words), ULL(t.n_bytes), cpu_sldt(),
            cpu_sldt() == 0 ? " (none)" : "", cpu_str());
    print_table(&t, 0);
    return ERR_OK;
}

static err_t print_ldt(void *arg, struct process *p)
{
    const struct segments *s = p->segments;
    struct segment_table   t;

    (void)arg;
    if (s == NULL) {
        kprintf("%s has no segments of its own\n", p->name);
        return ERR_OK;
    }
    t = (struct segment_table){ s->ldt, s->n * sizeof s->ldt[0] };
    kprintf("LDT of %s: %u descriptors\n", p->name, s->n);
    print_table(&t, 7); /* as ring 3 loads them: TI and RPL */
    return ERR_OK;
}

static err_t ldt(unsigned argc, char *argv[])
{
    uint64_t pid;
    err_t    err = argc == 2 ? fmt_read_u64(argv[1], &pid) : ERR_SYNTAX;

    if (err == ERR_OK && pid >= PROC_MAX)
        err = ERR_NOENT;
    return err == ERR_OK ? proc_with((unsigned)pid, print_ldt, NULL) : err;
}

/* ---- seg --------------------------------------------------------------------------------------- */

/* read_hex - digits up to `end`, with or without 0x, as segments have always been written */
static err_t read_hex(const char *text, char end, uint64_t most, uint64_t *out, const char **rest)
{
    uint64_t value = 0;
    unsigned n = 0;

    if (text[0] == '0' && text[1] == 'x')
        text += 2;
    for (; *text != end; text++, n++) {
        char c = (char)(*text | 0x20);

        if (!(*text >= '0' && *text <= '9') && !(c >= 'a' && c <= 'f'))
            return ERR_SYNTAX;
        value = value << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        if (value > most || n == 16)
            return ERR_INVAL;
    }
    *out = value;
    *rest = text + 1;
    return n > 0 ? ERR_OK : ERR_SYNTAX;
}

static err_t read_pair(const char *text, uint64_t offset_most, uint64_t *segment, uint64_t *offset)
{
    const char *rest;
    err_t       err = strchr(text, ':') == NULL ? ERR_SYNTAX : read_hex(text, ':', UINT16_MAX, segment, &rest);

    return err == ERR_OK ? read_hex(rest, '\0', offset_most, offset, &rest) : err;
}

static err_t seg_real(const char *text)
{
    uint64_t segment, offset;
    err_t    err = read_pair(text, UINT16_MAX, &segment, &offset);
    uint32_t at;

    if (err != ERR_OK)
        return err;
    at = segment_real((uint16_t)segment, (uint16_t)offset);
    kprintf("  %04llx * 10 + %04llx = physical %x", ULL(segment), ULL(offset), at);
    if (at > 0xFFFFF)
        kprintf(" (%x where the A20 line is held down)", at & 0xFFFFF);
    kprintf("\n");
    return ERR_OK;
}

static void print_physical(uint64_t linear)
{
    pa_t at;

    if (pt_translate(&kernel_pt, va(linear), &at) == ERR_OK)
        kprintf("physical %llx\n", ULL(at.raw));
    else
        kprintf("no page is mapped there\n");
}

static err_t seg_protected(const struct segment_request *r)
{
    struct segment s = { .s = false };
    uint64_t       linear;
    const char    *why;
    char           text[SEGMENT_TEXT];
    err_t          err = segment_linear(r, &s, &linear, &why);

    if (s.p)
        kprintf("  entry %u of the %s: base %llx, last offset %llx, %s\n", selector_offset(r->selector) / 8,
                selector_in_ldt(r->selector) ? "LDT" : "GDT", ULL(s.base), ULL(segment_last(&s)), segment_describe(&s, text));
    if (err != ERR_OK) {
        kprintf("  refused: %s\n", why);
        return err;
    }
    if (s.l)
        kprintf("  64-bit code: base and limit do not count, linear %llx, ", ULL(linear));
    else
        kprintf("  %llx + %llx = linear %llx, ", ULL(s.base), ULL(r->offset), ULL(linear));
    print_physical(linear);
    return ERR_OK;
}

static err_t seg(unsigned argc, char *argv[])
{
    static const char *const accesses[] = { [SEGMENT_READ] = "read", [SEGMENT_WRITE] = "write", [SEGMENT_FETCH] = "run" };
    struct segment_request   r = { .gdt = gdt_now(), .ldt = ldt_now(), .n_bytes = 1 };
    uint64_t                 selector, cpl = 0;
    err_t                    err;

    if (argc == 3 && strcmp(argv[1], "real") == 0)
        return seg_real(argv[2]);
    if (argc < 2 || argc > 4)
        return ERR_SYNTAX;
    err = read_pair(argv[1], UINT64_MAX, &selector, &r.offset);
    for (r.access = SEGMENT_READ; argc > 2 && strcmp(argv[2], accesses[r.access]) != 0; r.access++)
        if (r.access == SEGMENT_FETCH)
            return ERR_SYNTAX;
    if (err == ERR_OK && argc > 3)
        err = fmt_read_u64(argv[3], &cpl);
    if (err != ERR_OK || cpl > 3)
        return err != ERR_OK ? err : ERR_INVAL;
    r.selector = (unsigned)selector;
    r.cpl = (unsigned)cpl;
    return seg_protected(&r);
}

const struct command commands_segments[] = {
    { "gdt", "", "the segment descriptors in use, field by field and in words", gdt },
    { "ldt", "PID", "the descriptors of a process's own segments", ldt },
    { "seg", "real|SELECTOR:OFFSET [SEGMENT:OFFSET|read|write|run] [RING]", "the address behind a segment and an offset", seg },
    { NULL, NULL, NULL, NULL },
};
