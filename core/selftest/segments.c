/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/segments.c - segmentation on the machine: a 32-bit program in ring 3 with an LDT of its own
 *
 * First the tour: CS is changed by far return, far jump, IRET and far return again, from 64-bit to 32-bit
 * code and back; what the program writes shows that the base of its data segment counts. Then each row
 * of `rows` uses a segment in one way, and ends with the exception that the manual gives, or with none.
 *
 * The LDT is loaded, and the program's two pages are mapped, while this runs and no longer. A segment's
 * base has 32 bits: the pages lie below 4 GiB, at the first free address.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/selftest/emulator.h"
#include "core/x86/gdt.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/ring3.h"
#include "core/x86/segment.h"
#include "core/x86/segment_programs.h"
#include "core/x86/trap.h"
#include "mm/frame.h"

#define TAG      "segments"
#define LIMIT    0x7FF      /* of code and data: the last byte inside */
#define MARK     0x0C7A0000u
#define MARK_AT  0x100
#define STACK_AT 0xFF0

/* The LDT, in selectors of ring 3 */
enum { LDT_CODE = 0x07, LDT_AGAIN = 0x0F, LDT_DATA = 0x17, LDT_GONE = 0x1F, LDT_READ = 0x27, LDT_DOWN = 0x2F, LDT_CODE0 = 0x37,
       LDT_BEYOND = 0x3F, LDT_ENTRIES = 7 };

static _Alignas(16) uint8_t ring0_stack[4096]; /* for the way back from ring 3 */
static uint64_t             ldt[LDT_ENTRIES];

static const struct row {
    const char *what;
    unsigned    program, selector;
    uint32_t    offset;
    unsigned    vector, error; /* #PF: the address instead of the error code */
    bool        unchecked;     /* by QEMU's TCG; the page's rights still are */
} rows[] = {
    { "read the last byte inside the limit", SEGPROG_READ, LDT_DATA, LIMIT, TRAP_BP, 0, false },
    { "read beyond the limit", SEGPROG_READ, LDT_DATA, LIMIT + 1, TRAP_GP, 0, true },
    { "write beyond the limit", SEGPROG_WRITE, LDT_DATA, LIMIT + 1, TRAP_GP, 0, true },
    { "read the stack beyond its limit", SEGPROG_STACK, LDT_DATA, LIMIT + 1, TRAP_SS, 0, true },
    { "read below a segment that expands down", SEGPROG_READ, LDT_DOWN, LIMIT, TRAP_GP, 0, true },
    { "read inside a segment that expands down", SEGPROG_READ, LDT_DOWN, LIMIT + 1, TRAP_BP, 0, false },
    { "write to a segment that is read only", SEGPROG_WRITE, LDT_READ, 0, TRAP_GP, 0, true },
    { "write to the code segment", SEGPROG_TEXT, 0, 0, TRAP_GP, 0, true },
    { "load DS: a segment that is not present", SEGPROG_READ, LDT_GONE, 0, TRAP_NP, LDT_GONE & ~3u, false },
    { "load DS: beyond the LDT's limit", SEGPROG_READ, LDT_BEYOND, 0, TRAP_GP, LDT_BEYOND & ~3u, false },
    { "load DS: a segment of ring 0", SEGPROG_READ, SEL_KERNEL_DATA | 3, 0, TRAP_GP, SEL_KERNEL_DATA, false },
    { "load SS: null", SEGPROG_STACK, 0, 0, TRAP_GP, 0, false },
    { "load SS: read-only data", SEGPROG_STACK, LDT_READ, 0, TRAP_GP, LDT_READ & ~3u, false },
    { "far jump beyond the limit", SEGPROG_JUMP, LDT_CODE, LIMIT + 1, TRAP_GP, 0, false },
    { "far jump to data", SEGPROG_JUMP, LDT_DATA, 0, TRAP_GP, LDT_DATA & ~3u, false },
    { "far jump to code of ring 0", SEGPROG_JUMP, LDT_CODE0, 0, TRAP_GP, LDT_CODE0 & ~3u, false },
    { "far jump to the kernel's code", SEGPROG_JUMP, SEL_KERNEL_CODE, 0, TRAP_GP, SEL_KERNEL_CODE, false },
    { "far jump to the null selector", SEGPROG_JUMP, 0, 0, TRAP_GP, 0, false },
    { "far jump to a TSS", SEGPROG_JUMP, SEL_TSS, 0, TRAP_GP, SEL_TSS, false },
    { "64-bit code: the base of FS counts", SEGPROG_WIDE_FS, LDT_DATA, MARK_AT, TRAP_BP, 0, false },
    { "64-bit code: the base of DS does not", SEGPROG_WIDE_DS, LDT_DATA, MARK_AT, TRAP_PF, MARK_AT, false },
};

static struct {
    va_t      page[2]; /* programs, parameters: neighbours */
    pfn_t     frame[2];
    uint8_t  *parameters;
    uint64_t  n_unchecked;
} sg;

static void put32(unsigned at, uint32_t value) { __builtin_memcpy(sg.parameters + at, &value, sizeof value); }
static uint32_t get32(unsigned at)
{
    uint32_t value;

    __builtin_memcpy(&value, sg.parameters + at, sizeof value);
    return value;
}

static void put_segment(unsigned selector, uint64_t base, unsigned type, unsigned dpl, bool present)
{
    const struct segment s = { .base = base, .limit = LIMIT, .type = type, .dpl = dpl, .s = true, .p = present, .db = true };
    uint64_t             words[2];

    if (segment_encode(&s, words) != ERR_OK)
        PANIC("segment of base %#llx", ULL(base));
    ldt[selector / 8] = words[0];
}

static void fill_ldt(void)
{
    uint64_t code = sg.page[0].raw, data = sg.page[1].raw;
    unsigned text = SEGMENT_CODE | SEGMENT_WRITABLE;

    put_segment(LDT_CODE, code, text, 3, true);
    put_segment(LDT_AGAIN, code, text, 3, true);
    put_segment(LDT_DATA, data, SEGMENT_WRITABLE, 3, true);
    put_segment(LDT_GONE, data, SEGMENT_WRITABLE, 3, false);
    put_segment(LDT_READ, data, 0, 3, true);
    put_segment(LDT_DOWN, data, SEGMENT_WRITABLE | SEGMENT_DOWN, 3, true);
    put_segment(LDT_CODE0, code, text, 0, true);
}

static void enter(void *program)
{
    ring3_enter(sg.page[0].raw + segment_program_at[*(const unsigned *)program], sg.page[1].raw, sg.page[1].raw + STACK_AT, 2);
}

/*
 * Interrupts are off: in ring 3 nobody would take them, and no other thread may find this LDT. TCG 7.2 pops
 * what a far return or IRET takes in ring 3 with the kernel's rights, which SMAP then refuses: off with it there.
 */
static struct trap_caught run_program(unsigned program)
{
    struct trap_caught caught = { .vector = TRAP_VECTORS };
    uint64_t           irq = port_irq_save(), cr4 = read_cr4();

    gdt_ring0_stack(ring0_stack + sizeof ring0_stack);
    gdt_ldt_load(ldt, LDT_ENTRIES);
    if (emulator_is_tcg())
        write_cr4(cr4 & ~CR4_SMAP);
    (void)trap_try(enter, &program, &caught);
    write_cr4(cr4);
    cpu_load_segments(SEL_KERNEL_DATA, SEL_KERNEL_DATA, SEL_KERNEL_DATA);
    gdt_ldt_load(NULL, 0);
    port_irq_restore(irq);
    return caught;
}

static void set_parameters(unsigned selector, uint32_t offset)
{
    put32(SEGPAR_CODE, LDT_CODE);
    put32(SEGPAR_DATA, LDT_DATA);
    put32(SEGPAR_HERE, (uint32_t)sg.page[0].raw);
    put32(SEGPAR_SELECTOR, selector);
    put32(SEGPAR_OFFSET, offset);
    put32(SEGPAR_JUMP, offset);
    put32(SEGPAR_JUMP + 4, selector);
    __builtin_memset(sg.parameters + SEGPAR_SEEN, 0, 16);
    put32(MARK_AT, MARK);
}

extern const uint8_t segment_tour_jumped[];

static err_t tour(void)
{
    static const char *const ways[] = { "far return", "far jump", "IRET", "far return" };
    const unsigned           want[] = { LDT_CODE, LDT_AGAIN, LDT_CODE, SEL_USER_CODE | 3 };
    struct trap_caught       caught;
    char                     text[SEGMENT_TEXT];
    struct table_register    gdt = cpu_sgdt();

    set_parameters(LDT_AGAIN, (uint32_t)((uintptr_t)segment_tour_jumped - (uintptr_t)segment_programs));
    caught = run_program(SEGPROG_TOUR);
    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        unsigned        got = get32(SEGPAR_SEEN + 4 * i);
        const uint64_t *table = selector_in_ldt(want[i]) ? ldt : (const uint64_t *)gdt.base;
        struct segment  s = segment_decode(&table[selector_offset(want[i]) / 8]);

        kprintf("  %-10s CS = %#04x  base %08llx limit %05x  %s\n", ways[i], got, ULL(s.base), s.limit, segment_describe(&s, text));
        if (got != want[i]) {
            log_error(TAG, "CS is %#x after %s, expected %#x (vector %llu at %#llx)", got, ways[i], want[i], ULL(caught.vector),
                      ULL(caught.rip));
            return ERR_CORRUPT;
        }
    }
    return caught.vector == TRAP_BP ? ERR_OK : ERR_CORRUPT;
}

static err_t try_row(const struct row *r)
{
    struct trap_caught got;
    uint64_t           second;

    set_parameters(r->selector, r->offset);
    got = run_program(r->program);
    second = got.vector == TRAP_PF ? got.address : got.vector == TRAP_BP ? 0 : got.error;
    if (r->unchecked && (got.vector == TRAP_BP || got.vector == TRAP_PF) && emulator_is_tcg()) {
        sg.n_unchecked++;
        return ERR_OK;
    }
    if (got.vector == r->vector && second == r->error && (r->program != SEGPROG_WIDE_FS || get32(SEGPAR_SEEN) == MARK)) {
        kprintf("  %-40s %s\n", r->what, got.vector == TRAP_BP ? "works" : trap_name((unsigned)got.vector));
        return ERR_OK;
    }
    log_error(TAG, "%s: vector %llu error %#llx at %#llx, expected vector %u, %#x", r->what, ULL(got.vector), ULL(second), ULL(got.rip),
              r->vector, r->error);
    return ERR_CORRUPT;
}

static err_t try_all(void)
{
    err_t err = tour();

    sg.n_unchecked = 0;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        err_t one = try_row(&rows[i]);

        err = err == ERR_OK ? one : err;
    }
    if (sg.n_unchecked != 0)
        kprintf("  %llu times: QEMU's TCG checks neither limits nor rights where data is accessed\n", ULL(sg.n_unchecked));
    return err;
}

/* Two neighbouring pages below 4 GiB where nothing is */
static err_t map_pages(void)
{
    err_t err = ERR_EXISTS;

    for (uint64_t at = 4 * MIB; at < 4 * GIB && err == ERR_EXISTS; at += 2 * MIB) {
        sg.page[0] = va(at);
        sg.page[1] = va(at + PAGE_SIZE);
        err = pt_map(&kernel_pt, sg.page[0], sg.frame[0], 1, PTE_U, NULL);
        if (err != ERR_OK)
            continue;
        err = pt_map(&kernel_pt, sg.page[1], sg.frame[1], 1, PTE_U | PTE_W | PTE_NX, NULL);
    }
    return err;
}

static err_t unmap_pages(void)
{
    struct tlb_batch batch;
    err_t            err;

    tlb_batch_open(&batch, NULL);
    err = pt_unmap(&kernel_pt, sg.page[0], 2, &batch);
    tlb_batch_close(&batch);
    return err;
}

static err_t run(void)
{
    err_t err = frames_alloc(ARRAY_LEN(sg.frame), sg.frame), undo;

    if (err != ERR_OK)
        return err;
    __builtin_memcpy(port_ptr(pfn_to_pa(sg.frame[0])), segment_programs, (uintptr_t)segment_programs_end - (uintptr_t)segment_programs);
    sg.parameters = port_ptr(pfn_to_pa(sg.frame[1]));
    err = map_pages();
    if (err == ERR_OK) {
        fill_ldt();
        err = try_all();
    }
    undo = unmap_pages();
    for (unsigned i = 0; i < ARRAY_LEN(sg.frame) && undo == ERR_OK; i++)
        undo = frame_free(sg.frame[i]);
    return err == ERR_OK ? undo : err;
}

const struct selftest selftest_segments = { "segments", run };
