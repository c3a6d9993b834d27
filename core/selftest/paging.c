/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/paging.c - the promises of stage 2, tried from inside
 *
 * Each row does what must not be possible, and compares the fault with the one the manual gives:
 *
 *   write to text                       #PF 0x3   P, W
 *   execute data, heap, direct map      #PF 0x11  P, I
 *   touch page 0, a guard page, a hole  #PF 0x0, 0x2 for a write
 *   a non-canonical address             #GP 0
 *   run a stack into its guard page     #DF, on a stack of its own
 */
#include "core/console/selftest.h"
#include "core/console/show_walk.h"
#include "core/log.h"
#include "core/str.h"
#include "core/x86/cpuid.h"
#include "core/x86/gdt.h"
#include "core/x86/image.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/trap.h"
#include "mm/kva.h"
#include "mm/layout.h"

#define TAG      "selftest"
#define MSR_EFER 0xC0000080u
#define OP_RET   0xC3

enum { NO_FAULT = 255 };

struct attempt {
    const char *what;
    void (*act)(void *at);
    uint64_t at;
    unsigned vector;
    uint64_t error;
};

static volatile uint8_t sink;
static uint8_t          data_page[64] = { OP_RET };

static void read_it(void *at) { sink = *(volatile uint8_t *)at; }
static void write_it(void *at) { *(volatile uint8_t *)at = OP_RET; }
static void call_it(void *at) { ((void (*)(void))(uintptr_t)at)(); }

/* dig - as deep as asked; the sum keeps the call from becoming a jump */
static uint64_t dig(volatile uint8_t *outer, uint64_t depth)
{
    volatile uint8_t inner[1024];

    inner[0] = *outer;
    return depth == 0 ? 0 : dig(inner, depth - 1) + inner[0];
}

static void overflow(void *at) { sink = (uint8_t)dig(at, STACK_BYTES); }

static err_t try_one(const struct attempt *a)
{
    struct trap_caught got = { .vector = NO_FAULT };

    trap_try(a->act, (void *)a->at, &got);
    if (got.vector == a->vector && (got.vector == NO_FAULT || got.vector == TRAP_DF || got.error == a->error) &&
        (a->vector != TRAP_PF || got.address == a->at)) {
        kprintf("  %-42s %s\n", a->what, got.vector == NO_FAULT ? "works" : trap_name((unsigned)got.vector));
        return ERR_OK;
    }
    log_error(TAG, "%s: vector %llu error %#llx at %#llx, expected vector %u error %#llx at %#llx", a->what, ULL(got.vector),
              ULL(got.error), ULL(got.address), a->vector, ULL(a->error), ULL(a->at));
    return ERR_CORRUPT;
}

/* unmapped - an address in the kernel's dynamic area where nothing is mapped */
static uint64_t unmapped(void) { return slot_base(SLOT_RECURSIVE, kernel_pt.levels).raw - 4 * PAGE_SIZE; }

static err_t try_faults(void)
{
    va_t  page;
    err_t err = kva_alloc(1, &page);
    pa_t  frame;

    if (err != ERR_OK)
        return err;
    err = pt_translate(&kernel_pt, page, &frame);
    if (err != ERR_OK)
        return err;
    uint64_t direct = (uintptr_t)port_ptr(frame), text = (uintptr_t)&read_it;
    uint64_t hole = (uint64_t)1 << (PAGE_SHIFT + 9 * kernel_pt.levels);
    const struct attempt attempts[] = {
        { "read our text", read_it, text, NO_FAULT, 0 },
        { "write to our text", write_it, text, TRAP_PF, 0x3 },
        { "write to read-only data", write_it, (uintptr_t)TAG, TRAP_PF, 0x3 },
        { "execute our data", call_it, (uintptr_t)data_page, TRAP_PF, 0x11 },
        { "write to a kernel page", write_it, page.raw, NO_FAULT, 0 },
        { "execute a kernel page", call_it, page.raw, TRAP_PF, 0x11 },
        { "read it through the direct map", read_it, direct, NO_FAULT, 0 },
        { "execute it through the direct map", call_it, direct, TRAP_PF, 0x11 },
        { "read below a kernel page (guard)", read_it, page.raw - 1, TRAP_PF, 0x0 },
        { "write above a kernel page (guard)", write_it, page.raw + PAGE_SIZE, TRAP_PF, 0x2 },
        { "read page 0", read_it, 0, TRAP_PF, 0x0 },
        { "write page 0", write_it, 8, TRAP_PF, 0x2 },
        { "execute page 0", call_it, 0, TRAP_PF, 0x10 },
        { "read the direct map's page 0", read_it, slot_base(SLOT_DIRECT, kernel_pt.levels).raw, TRAP_PF, 0x0 },
        { "read where nothing is mapped", read_it, unmapped(), TRAP_PF, 0x0 },
        { "read the guard page of the #DF stack", read_it, (uintptr_t)image_stacks[STACK_DF].guard, TRAP_PF, 0x0 },
        { "write the guard page of the boot stack", write_it, (uintptr_t)image_stacks[STACK_BOOT].guard, TRAP_PF, 0x2 },
        { "read a non-canonical address", read_it, hole, TRAP_GP, 0 },
        { "run the stack into its guard page", overflow, (uintptr_t)data_page, TRAP_DF, 0 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(attempts); i++) {
        err_t one = try_one(&attempts[i]);

        err = err == ERR_OK ? one : err;
    }
    err_t freed = kva_free(page);

    return err == ERR_OK ? freed : err;
}

/* pt_ranges() stops at the first range that `tables` would name */
static bool is_harmless(void *arg, const struct pt_range *r)
{
    err_t      *err = arg;
    const char *wrong = range_finding(r);

    if (wrong != NULL) {
        log_error(TAG, "%s: flags %#llx at " VA_FMT ", %llu pages", wrong, ULL(r->flags), VA_ARG(r->start), ULL(r->n_pages));
        *err = ERR_CORRUPT;
    }
    return wrong == NULL;
}

/* What `tables` names, and what it doesn't */
static err_t check_findings(void)
{
    const va_t kernel = slot_base(SLOT_DYNAMIC, kernel_pt.levels), process = slot_base(SLOT_PROCESS, kernel_pt.levels);
    const struct {
        va_t        at;
        uint64_t    flags;
        const char *want; /* NULL: nothing is wrong */
    } rows[] = {
        { kernel, PTE_W | PTE_G | PTE_NX, NULL },
        { kernel, PTE_G, NULL },
        { kernel, PTE_W | PTE_G, "WRITABLE AND EXECUTABLE" },
        { kernel, PTE_U | PTE_G | PTE_NX, "OPEN TO RING 3" },
        { kernel, PTE_W | PTE_NX, "NOT GLOBAL" },
        { process, PTE_U | PTE_W | PTE_NX, NULL },
        { process, PTE_U | PTE_W, "WRITABLE AND EXECUTABLE" },
        { process, PTE_W | PTE_NX, "KERNEL PAGE AMONG THE PROCESS'S" },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct pt_range r = { .start = rows[i].at, .n_pages = 1, .flags = rows[i].flags };
        const char     *got = range_finding(&r);

        if ((got == NULL) != (rows[i].want == NULL) || (got != NULL && strcmp(got, rows[i].want) != 0)) {
            log_error(TAG, "flags %#llx at " VA_FMT " are \"%s\"", ULL(r.flags), VA_ARG(r.start), got != NULL ? got : "harmless");
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

static err_t check_ranges(void)
{
    uint64_t half = (uint64_t)1 << (9 * kernel_pt.levels - 1); /* pages in half of the address space */
    err_t    found = ERR_OK;
    err_t    err = pt_ranges(&kernel_pt, va(0), half, is_harmless, &found);

    if (err == ERR_OK && found == ERR_OK)
        err = pt_ranges(&kernel_pt, slot_base(SLOT_KERNEL_HALF, kernel_pt.levels), half, is_harmless, &found);
    if (found == ERR_OK && err == ERR_OK)
        kprintf("  %-42s none\n", "mappings that `tables` would name");
    return err != ERR_OK ? err : found;
}

/* Bits of RFLAGS that firmware may have left set: NT, IOPL, DF, TF, and AC, which switches SMAP off */
#define STRAY_FLAGS ((uint64_t)0x47500)

static err_t check_registers(void)
{
    const struct cpu_features *f = cpu_features();
    uint64_t cr0 = read_cr0(), cr4 = read_cr4(), efer = rdmsr(MSR_EFER);
    uint64_t want4 = CR4_PAE | CR4_PGE | (f->smep ? CR4_SMEP : 0) | (f->smap ? CR4_SMAP : 0) | (f->umip ? CR4_UMIP : 0);

    if ((cr0 & (CR0_WP | CR0_PG | CR0_PE)) != (CR0_WP | CR0_PG | CR0_PE) || (cr4 & want4) != want4 || !(efer & EFER_NXE) ||
        (cpu_flags() & STRAY_FLAGS) != 0) {
        log_error(TAG, "cr0 %#llx cr4 %#llx efer %#llx flags %#llx", ULL(cr0), ULL(cr4), ULL(efer), ULL(cpu_flags()));
        return ERR_CORRUPT;
    }
    kprintf("  %-42s WP PGE NXE%s%s%s\n", "control registers", f->smep ? " SMEP" : "", f->smap ? " SMAP" : "",
            f->umip ? " UMIP" : "");
    return ERR_OK;
}

/* check_recursive - slot 511 leads to the top table itself, and both ways translate alike */
static err_t check_recursive(void)
{
    va_t probes[] = { va((uintptr_t)&check_recursive), va((uintptr_t)data_page), va((uintptr_t)port_ptr(pfn_to_pa(kernel_pt.root))) };

    for (unsigned i = 0; i < ARRAY_LEN(probes); i++) {
        pa_t  direct = { 0 }, recursive = { 1 };
        err_t a = pt_translate(&kernel_pt, probes[i], &direct), b = pt_translate_recursive(&kernel_pt, probes[i], &recursive);

        if (a != ERR_OK || b != ERR_OK || direct.raw != recursive.raw) {
            log_error(TAG, VA_FMT ": " PA_FMT " directly, " PA_FMT " recursively", VA_ARG(probes[i]), PA_ARG(direct), PA_ARG(recursive));
            return ERR_CORRUPT;
        }
    }
    kprintf("  %-42s agree\n", "direct map and recursive slot");
    return ERR_OK;
}

static err_t run(void)
{
    err_t (*const parts[])(void) = { check_registers, try_faults, check_findings, check_ranges, check_recursive };
    err_t err = ERR_OK;

    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        err_t one = parts[i]();

        err = err == ERR_OK ? one : err;
    }
    return err;
}

const struct selftest selftest_paging = { "paging", run };
