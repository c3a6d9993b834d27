/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/access.c - the access matrix: every kind of access to every kind of page, on this CPU
 *
 * For each page size: all combinations of P, W, U, NX, A, D, a reserved bit and a protection key in the
 * leaf, and of P, W, U, NX, A and a reserved bit in each table above it; times CR0.WP, EFER.NXE,
 * CR4.SMEP, SMAP and PKE with three values of PKRU; times read, write and fetch, from the kernel, from the
 * kernel with EFLAGS.AC, and from ring 3. Does it fault, with which code, and what do the entries
 * say afterwards? Each answer is compared with access_rules.c.
 *
 * With EFER.NXE off every NX bit of the kernel's own tables is a reserved bit. So all this runs on tables
 * of its own, which map the image and the direct map like the kernel's, but without NX. Interrupts are
 * off while one setting of the registers is tried: about 10,000 accesses.
 *
 * An INT3 means "no fault": what is fetched is one, and the programs of ring 3 end in one.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/selftest/access_rules.h"
#include "core/selftest/emulator.h"
#include "core/x86/cpuid.h"
#include "core/x86/gdt.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/ring3.h"
#include "core/x86/trap.h"
#include "mm/frame.h"

#define TAG       "access"
#define MSR_EFER  0xC0000080u
#define RFLAGS_AC ((uint64_t)1 << 18)
#define SLOT_TEST (SLOT_PROCESS + 1) /* the path under test hangs on this top entry */
#define SLOT_CODE (SLOT_PROCESS + 2) /* programs for ring 3                         */
#define OP_INT3   0xCC

#define PATH_OPEN (PTE_P | PTE_W | PTE_U)
#define KEY_1     ((uint64_t)1 << PTE_KEY_SHIFT)

enum { TABLES = 4, FRAMES = TABLES + 2 }; /* tables below the top, then the page, then ring 3's code */

/* What an emulator is known to do otherwise; nothing else is excused. */
enum excuse { EXCUSE_TCG_RSVD, EXCUSE_TCG_GIB_A, EXCUSE_BOCHS_PKRU, EXCUSES };
static const char *const excuse_words[EXCUSES] = {
    [EXCUSE_TCG_RSVD] = "QEMU's TCG: a reserved bit gives a code without P (8 where 9 is right)",
    [EXCUSE_TCG_GIB_A] = "QEMU's TCG: a 1 GiB page that refuses an access gets A all the same",
    [EXCUSE_BOCHS_PKRU] = "Bochs 2.7: keys bind whatever U of the page says; AD binds ring 3 alone",
};

static _Alignas(16) uint8_t ring0_stack[4096]; /* for the way back from ring 3 */

static struct {
    struct pt              pt;      /* ours, without NX                                */
    pfn_t                  frame[FRAMES];
    pte_cell              *cell[ACCESS_LEVELS]; /* where each level's entry is written */
    va_t                   at;      /* the address under test                          */
    struct access_case     c;       /* the case under test                             */
    uint64_t               n, excused[EXCUSES];
    bool                   failed, is_tcg, is_bochs;
    struct access_case     bad_case; /* the first one that failed                      */
    struct access_result   bad_want, bad_got;
} am;

/* ---- one access -------------------------------------------------------------------------------- */

static void touch(void *arg)
{
    const struct access_case *c = arg;
    volatile uint8_t         *p = (volatile uint8_t *)am.at.raw;

    if (c->user) {
        unsigned program = c->fetch ? 2 : c->write ? 1 : 0;

        ring3_enter(slot_base(SLOT_CODE, am.pt.levels).raw + 16 * program, am.at.raw, 0, 2);
    }
    if (c->ac)
        cpu_set_flags(cpu_flags() | RFLAGS_AC);
    if (c->fetch)
        ((void (*)(void))(uintptr_t)p)();
    else if (c->write)
        *p = OP_INT3;
    else
        (void)*p;
    cpu_set_flags(cpu_flags() & ~RFLAGS_AC);
}

static struct access_result try_it(const struct access_case *c)
{
    struct access_result got = { 0 };
    struct trap_caught   caught = { .vector = TRAP_BP };

    for (unsigned level = c->leaf; level <= c->levels; level++)
        pte_store(am.cell[level], (pte_t){ c->entry[level] });
    cpu_invlpg(am.at.raw); /* and with it all that is cached of upper entries */
    (void)trap_try(touch, (void *)(uintptr_t)c, &caught);
    got.fault = caught.vector != TRAP_BP;
    got.error = got.fault ? (uint32_t)caught.error : 0;
    if (got.fault && (caught.vector != TRAP_PF || caught.address != am.at.raw))
        got.error = ~0u;
    for (unsigned level = c->leaf; level <= c->levels; level++)
        got.after[level] = pte_load(am.cell[level]).raw;
    return got;
}

static bool same(const struct access_case *c, const struct access_result *want, const struct access_result *got)
{
    if (want->fault != got->fault || want->error != got->error)
        return false;
    for (unsigned level = c->leaf; level <= c->levels; level++) {
        uint64_t free = want->fault && level > c->leaf ? PTE_A & ~want->after[level] : 0;

        if (((want->after[level] ^ got->after[level]) & ~free) != 0)
            return false;
    }
    return true;
}

/* The first deviation that makes the answer right, EXCUSES if none does */
static enum excuse excuse_for(const struct access_case *c, const struct access_result *want,
                              const struct access_result *got)
{
    struct access_result other = *want;
    struct access_case   by_cpl = *c;

    if (am.is_tcg && (want->error & 9) == 9) {
        other.error &= ~1u;
        if (same(c, &other, got))
            return EXCUSE_TCG_RSVD;
    }
    if (am.is_tcg && c->leaf == LEVEL_1G && want->fault) { /* with the code right, or 8 for 9 */
        other.after[LEVEL_1G] |= PTE_A;
        if (same(c, &other, got))
            return EXCUSE_TCG_GIB_A;
    }
    by_cpl.keys_by_cpl = true;
    other = access_expect(&by_cpl);
    if (am.is_bochs && same(c, &other, got))
        return EXCUSE_BOCHS_PKRU;
    return EXCUSES;
}

static void try_and_compare(const struct access_case *c)
{
    struct access_result want = access_expect(c), got = try_it(c);
    enum excuse          excuse;

    am.n++;
    if (same(c, &want, &got))
        return;
    excuse = excuse_for(c, &want, &got);
    if (excuse != EXCUSES) {
        am.excused[excuse]++;
    } else if (!am.failed) {
        am.failed = true;
        am.bad_case = *c;
        am.bad_want = want;
        am.bad_got = got;
    }
}

/* Read, write and fetch from the kernel, the kernel with AC, and ring 3 */
static void try_accesses(struct access_case *c)
{
    for (unsigned i = 0; i < 9; i++) {
        c->write = i % 3 == 1;
        c->fetch = i % 3 == 2;
        c->ac = i / 3 == 1;
        c->user = i / 3 == 2;
        try_and_compare(c);
    }
}

/* ---- the paths --------------------------------------------------------------------------------- */

static uint64_t reserved_bit(unsigned level, unsigned leaf)
{
    if (level > LEVEL_1G)
        return PTE_PS;
    if (level == leaf && level > LEVEL_4K)
        return level == LEVEL_2M ? (uint64_t)1 << 13 : (uint64_t)1 << 21;
    return pte_cpu.phys_bits < 52 ? (uint64_t)1 << 51 : 0;
}

/* Bit i of `which` chooses the i-th of these */
static uint64_t choose(unsigned which, unsigned level, unsigned leaf)
{
    const uint64_t bits[] = { PTE_P, PTE_W, PTE_U, PTE_NX, PTE_A, reserved_bit(level, leaf), PTE_D, KEY_1 };
    uint64_t       e = 0;

    for (unsigned i = 0; i < ARRAY_LEN(bits); i++)
        e |= (which >> i & 1) != 0 ? bits[i] : 0;
    return e;
}

/* The entries of an open path to a page of this size, and where they are written */
static void open_path(struct access_case *c, unsigned leaf)
{
    pa_t     page = pfn_to_pa(am.frame[TABLES]);
    uint64_t inside = (level_pages(leaf) << PAGE_SHIFT) - 1;

    c->levels = am.pt.levels;
    c->leaf = leaf;
    for (unsigned level = leaf; level <= c->levels; level++) {
        pfn_t own = level == c->levels ? am.pt.root : am.frame[level - 1], below = am.frame[(level + TABLES - 2) % TABLES];

        am.cell[level] = (pte_cell *)port_ptr(pfn_to_pa(own)) + (level == c->levels ? SLOT_TEST : 1);
        c->entry[level] = pfn_to_pa(below).raw | PATH_OPEN;
    }
    c->entry[leaf] = (page.raw & ~inside) | PATH_OPEN | KEY_1 | (leaf > LEVEL_4K ? PTE_PS : 0);
    am.at = slot_base(SLOT_TEST, c->levels);
    for (unsigned level = leaf; level < c->levels; level++)
        am.at.raw += level_pages(level) << PAGE_SHIFT;
    am.at.raw += page.raw & inside;
}

static void try_paths(struct access_case *c)
{
    for (unsigned leaf = LEVEL_4K; leaf <= (pte_cpu.gib_pages ? LEVEL_1G : LEVEL_2M); leaf++) {
        uint64_t keep;

        open_path(c, leaf);
        keep = c->entry[leaf] & ~(PATH_OPEN | KEY_1);
        for (unsigned which = 0; which < 256; which++) {
            c->entry[leaf] = keep | choose(which, leaf, leaf);
            try_accesses(c);
        }
        c->entry[leaf] = keep | PATH_OPEN | KEY_1;
        for (unsigned level = leaf + 1; level <= c->levels; level++) {
            uint64_t open = c->entry[level];

            for (unsigned which = 0; which < 64; which++) {
                c->entry[level] = (open & ~PATH_OPEN) | choose(which, level, leaf);
                try_accesses(c);
            }
            c->entry[level] = open;
        }
        pte_store(am.cell[c->levels], (pte_t){ 0 });
    }
}

/* ---- the settings ------------------------------------------------------------------------------ */

/* PKE off with everything closed in PKRU: then it must not count; then PKE on, with key 1 open, AD, WD */
static const struct { bool pke; uint32_t pkru; } keys[] = { { false, 0xC }, { true, 0 }, { true, 0x4 }, { true, 0x8 } };

static void try_setting(struct access_case *c)
{
    uint64_t irq = port_irq_save(), cr0 = read_cr0(), cr4 = read_cr4(), efer = rdmsr(MSR_EFER), cr3 = read_cr3();
    uint64_t plain4 = cr4 & ~(CR4_SMEP | CR4_SMAP | CR4_PKE);

    gdt_ring0_stack(ring0_stack + sizeof ring0_stack);
    write_cr3(pfn_to_pa(am.pt.root).raw);
    wrmsr(MSR_EFER, c->nxe ? efer | EFER_NXE : efer & ~EFER_NXE);
    if (cpu_features()->pku) {
        write_cr4(plain4 | CR4_PKE);
        cpu_wrpkru(c->pkru);
    }
    write_cr4(plain4 | (c->smep ? CR4_SMEP : 0) | (c->smap ? CR4_SMAP : 0) | (c->pke ? CR4_PKE : 0));
    write_cr0(c->wp ? cr0 | CR0_WP : cr0 & ~CR0_WP);
    write_cr3(pfn_to_pa(am.pt.root).raw);
    try_paths(c);
    write_cr0(cr0);
    wrmsr(MSR_EFER, efer);
    write_cr4(cr4);
    write_cr3(cr3);
    port_irq_restore(irq);
}

static void try_settings(void)
{
    const struct cpu_features *f = cpu_features();
    struct access_case        *c = &am.c;

    for (unsigned i = 0; i < 16 * ARRAY_LEN(keys); i++) {
        *c = (struct access_case){ .phys_bits = pte_cpu.phys_bits };
        c->wp = i & 1;
        c->nxe = i & 2;
        c->smep = i & 4;
        c->smap = i & 8;
        c->pke = keys[i / 16].pke;
        c->pkru = keys[i / 16].pkru;
        if ((!c->smep || f->smep) && (!c->smap || f->smap) && (!c->pke || f->pku))
            try_setting(c);
    }
}

/* ---- our tables -------------------------------------------------------------------------------- */

static bool copy_range(void *arg, const struct pt_range *r)
{
    err_t *err = arg;

    if (r->contiguous) /* the image and the direct map; what is scattered is nothing that runs here */
        *err = pt_map(&am.pt, r->start, r->frame, r->n_pages, r->flags & ~PTE_NX, NULL);
    return *err == ERR_OK;
}

static err_t copy_tables(void)
{
    const uint64_t half = (uint64_t)1 << (9 * kernel_pt.levels - 1);
    err_t          copied = ERR_OK, err = pt_ranges(&kernel_pt, va(0), half, copy_range, &copied);

    if (err == ERR_OK && copied == ERR_OK)
        err = pt_ranges(&kernel_pt, slot_base(SLOT_KERNEL_HALF, kernel_pt.levels), half, copy_range, &copied);
    return err != ERR_OK ? err : copied;
}

static err_t build(void)
{
    err_t err = copy_tables();

    for (unsigned i = 0; i < TABLES; i++)
        __builtin_memset(port_ptr(pfn_to_pa(am.frame[i])), 0, PAGE_SIZE);
    __builtin_memset(port_ptr(pfn_to_pa(am.frame[TABLES])), OP_INT3, PAGE_SIZE);
    __builtin_memcpy(port_ptr(pfn_to_pa(am.frame[TABLES + 1])), ring3_probes, RING3_PROBES_BYTES);
    if (err == ERR_OK)
        err = pt_map(&am.pt, slot_base(SLOT_CODE, am.pt.levels), am.frame[TABLES + 1], 1, PTE_U, NULL);
    return err;
}

static void report(void)
{
    const struct access_case *c = &am.bad_case;

    kprintf("  %llu combinations", ULL(am.n));
    for (unsigned i = 0; i < EXCUSES; i++)
        if (am.excused[i] != 0)
            kprintf("\n  %llu times: %s", ULL(am.excused[i]), excuse_words[i]);
    kprintf("\n");
    if (!am.failed)
        return;
    kprintf("  first mismatch: %s%s %s, WP %u NXE %u SMEP %u SMAP %u PKE %u PKRU %x, page of level %u\n",
            c->user ? "ring 3" : "the kernel", c->ac ? " with AC" : "", c->fetch ? "fetches" : c->write ? "writes" : "reads",
            c->wp, c->nxe, c->smep, c->smap, c->pke, c->pkru, c->leaf);
    kprintf("  expected %s %#x, got %s %#x\n", am.bad_want.fault ? "fault" : "none", am.bad_want.error,
            am.bad_got.fault ? "fault" : "none", am.bad_got.error);
    for (unsigned level = c->levels; level >= c->leaf; level--)
        kprintf("  level %u entry %016llx, then %016llx, expected %016llx\n", level, ULL(c->entry[level]),
                ULL(am.bad_got.after[level]), ULL(am.bad_want.after[level]));
}

static err_t run(void)
{
    err_t err = frames_alloc(FRAMES, am.frame);

    if (err != ERR_OK)
        return err;
    am.n = 0;
    am.failed = false;
    __builtin_memset(am.excused, 0, sizeof am.excused);
    am.is_tcg = emulator_is_tcg();
    am.is_bochs = emulator_is_bochs();
    err = pt_create(&am.pt, kernel_pt.levels);
    if (err == ERR_OK) {
        err = build();
        if (err == ERR_OK) {
            try_settings();
            report();
        }
        pt_destroy(&am.pt);
    }
    for (unsigned i = 0; i < FRAMES; i++) {
        err_t freed = frame_free(am.frame[i]);

        err = err == ERR_OK ? freed : err;
    }
    return err == ERR_OK && am.failed ? ERR_CORRUPT : err;
}

const struct selftest selftest_access = { "access", run };
