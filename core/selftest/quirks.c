/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/quirks.c - the deviations that the access matrix excuses, each alone
 *
 * One page, one access, one look, through the mapper and not through the matrix's own tables:
 *
 *   experiment                                             the manual      who does otherwise
 *   Q1  write to a read-only page of 4 KiB, 2 MiB: A?      no              nobody
 *   Q2  the same, 1 GiB                                    no              TCG 7.2: yes; it sets A before it looks at PS
 *   Q3  kernel page (U = 0), key with WD: kernel writes    works           Bochs 2.7: #PF 0x23
 *   Q4  user page, key with AD: kernel reads, AC = 1       #PF 0x21        Bochs 2.7: works
 *   Q5  user page, key with WD: kernel writes, AC = 1      #PF 0x23        nobody
 *   Q6  an entry with bit 51: kernel reads                 #PF 0x9         TCG 7.2: #PF 0x8
 *
 * Who isn't that emulator must do as the manual says, and the emulator as it is known to: else a new version has
 * changed, and the matrix excuses too much.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/selftest/emulator.h"
#include "core/x86/cpuid.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/trap.h"
#include "mm/frame.h"

#define TAG       "quirks"
#define KEY_1     ((uint64_t)1 << PTE_KEY_SHIFT)
#define PKRU_AD   ((uint32_t)1 << 2)
#define PKRU_WD   ((uint32_t)2 << 2)
#define RFLAGS_AC ((uint64_t)1 << 18)

#define NO_FAULT 0x1000u /* no error code has this bit */

static va_t at(unsigned level) { return va_add(slot_base(SLOT_PROCESS, kernel_pt.levels), (level - 1) * 4 * GIB); }

static void write_it(void *p) { *(volatile uint8_t *)p = 1; }
static void read_it(void *p) { (void)*(volatile uint8_t *)p; }

static void with_ac(void (*act)(void *p), void *p)
{
    cpu_set_flags(cpu_flags() | RFLAGS_AC);
    act(p);
    cpu_set_flags(cpu_flags() & ~RFLAGS_AC);
}
static void write_with_ac(void *p) { with_ac(write_it, p); }
static void read_with_ac(void *p) { with_ac(read_it, p); }

/* The error code, or NO_FAULT; something other than a page fault: all ones */
static uint32_t outcome(void (*act)(void *p), va_t v)
{
    struct trap_caught caught = { 0 };

    if (trap_try(act, (void *)v.raw, &caught))
        return NO_FAULT;
    return caught.vector == TRAP_PF ? (uint32_t)caught.error : ~0u;
}

static err_t unmap(va_t v, uint64_t n)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_unmap(&kernel_pt, v, n, &b);
    tlb_batch_close(&b);
    return err;
}

/* `known` is what this emulator does; NULL: it should be as the manual says */
static err_t judge(const char *what, uint32_t got, uint32_t manual, const uint32_t *known)
{
    uint32_t want = known != NULL ? *known : manual;

    if (got == want) {
        kprintf("  %-52s %s\n", what, known == NULL ? "as the manual says" : "known to be otherwise here");
        return ERR_OK;
    }
    log_error(TAG, "%s: %#x, expected %#x", what, got, want);
    return ERR_CORRUPT;
}

/* Q1, Q2: frames from 0 on; nothing behind the page is touched, the write is refused */
static err_t refused_write_and_a(unsigned level)
{
    static const char *const what[] = { "", "a refused write sets A: page of 4 KiB", "a refused write sets A: page of 2 MiB",
                                        "a refused write sets A: page of 1 GiB" };
    const uint32_t  yes = 1;
    struct pt_walk  w;
    uint32_t        code;
    err_t           err = pt_map(&kernel_pt, at(level), pfn(level_pages(level) == 1 ? 1 : 0), level_pages(level), PTE_NX, NULL);

    if (err != ERR_OK)
        return err;
    code = outcome(write_it, va_add(at(level), 0x123));
    pt_walk(&kernel_pt, at(level), &w);
    err = unmap(at(level), level_pages(level));
    if (err == ERR_OK && (code != 3 || w.last != level))
        err = judge("a write to a read-only page", code, 3, NULL);
    if (err != ERR_OK)
        return err;
    return judge(what[level], (w.entry[level].raw & PTE_A) != 0, 0, emulator_is_tcg() && level == LEVEL_1G ? &yes : NULL);
}

/* Q3 to Q5: one page with key 1, under PKRU */
static err_t key(const char *what, pfn_t frame, uint64_t flags, uint32_t pkru, void (*act)(void *p), uint32_t manual,
                 const uint32_t *known)
{
    uint64_t irq, cr4;
    uint32_t got;
    err_t    err = pt_map(&kernel_pt, at(1), frame, 1, PTE_W | PTE_NX | KEY_1 | flags, NULL);

    if (err != ERR_OK)
        return err;
    irq = port_irq_save();
    cr4 = read_cr4();
    write_cr4(cr4 | CR4_PKE);
    cpu_wrpkru(pkru);
    got = outcome(act, at(1));
    cpu_wrpkru(0);
    write_cr4(cr4);
    port_irq_restore(irq);
    err = unmap(at(1), 1);
    return err == ERR_OK ? judge(what, got, manual, known) : err;
}

static err_t keys(pfn_t frame)
{
    const uint32_t refused = 0x23, none = NO_FAULT, *q3 = NULL, *q4 = NULL;
    err_t          err;

    if (!cpu_features()->pku)
        return ERR_OK;
    if (emulator_is_bochs()) {
        q3 = &refused;
        q4 = &none;
    }
    err = key("WD of a kernel page's key: the kernel writes", frame, 0, PKRU_WD, write_it, none, q3);
    if (err == ERR_OK)
        err = key("AD of a user page's key: the kernel reads", frame, PTE_U, PKRU_AD, read_with_ac, 0x21, q4);
    return err == ERR_OK ? key("WD of a user page's key: the kernel writes", frame, PTE_U, PKRU_WD, write_with_ac, 0x23, NULL)
                         : err;
}

/* Q6 */
static err_t reserved_bit(pfn_t frame)
{
    const uint32_t without_p = 0x8;
    struct pt_walk w;
    uint32_t       got;
    err_t          err = cpu_features()->phys_bits < 52 ? pt_map(&kernel_pt, at(1), frame, 1, PTE_NX, NULL) : ERR_NOSYS;

    if (err != ERR_OK)
        return err == ERR_NOSYS ? ERR_OK : err;
    pt_walk(&kernel_pt, at(1), &w);
    pte_store(port_ptr(w.where[LEVEL_4K]), (pte_t){ w.entry[LEVEL_4K].raw | (uint64_t)1 << 51 });
    port_tlb_page(at(1));
    got = outcome(read_it, at(1));
    pte_store(port_ptr(w.where[LEVEL_4K]), w.entry[LEVEL_4K]);
    err = unmap(at(1), 1);
    return err == ERR_OK ? judge("a reserved bit, read by the kernel", got, 0x9, emulator_is_tcg() ? &without_p : NULL) : err;
}

static err_t run(void)
{
    pfn_t frame;
    err_t err = frame_alloc(0, &frame), freed;

    if (err != ERR_OK)
        return err;
    for (unsigned level = LEVEL_4K; level <= (pte_cpu.gib_pages ? LEVEL_1G : LEVEL_2M) && err == ERR_OK; level++)
        err = refused_write_and_a(level);
    if (err == ERR_OK)
        err = keys(frame);
    if (err == ERR_OK)
        err = reserved_bit(frame);
    freed = frame_free(frame);
    return err == ERR_OK ? freed : err;
}

const struct selftest selftest_quirks = { "quirks", run };
