/* SPDX-License-Identifier: MIT */
/*
 * core/console/cmd_fault.c - page faults, caused for real and told by name
 *
 *   pure       read where nothing is mapped            permission  nx, smep, smap, user, key
 *   write      write our own text                      reserved    an entry with bit 51
 *   lazy       a first touch: the one fault that is repaired, and the access repeated
 *
 * What a kind needs beyond what is there anyway (a page for ring 3, a broken entry) is made in the
 * process's part of the address space, where the kernel has nothing, and taken down again.
 */
#include "core/console/commands.h"
#include "core/console/show_walk.h"
#include "core/log.h"
#include "core/str.h"
#include "core/x86/cpuid.h"
#include "core/x86/gdt.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/ring3.h"
#include "core/x86/trap.h"
#include "mm/frame.h"
#include "mm/kva.h"

#define OP_INT3     0xCC
#define KEY         1
#define PKRU_CLOSED ((uint32_t)1 << (2 * KEY)) /* AD of key 1 */

static _Alignas(16) uint8_t ring0_stack[4096]; /* for the way back from ring 3 */

static va_t page_at(unsigned n) { return va_add(slot_base(SLOT_PROCESS, kernel_pt.levels), n * PAGE_SIZE); }

static volatile uint8_t sink;
static void read_it(void *at) { sink = *(volatile uint8_t *)at; }
static void write_it(void *at) { *(volatile uint8_t *)at = OP_INT3; }
static void run_it(void *at) { ((void (*)(void))(uintptr_t)at)(); }
static void read_from_ring3(void *at) { ring3_enter(page_at(0).raw, (uintptr_t)at, 0, 2); }

struct kind {
    const char *name;
    void (*act)(void *at);
    bool     own_page; /* a page made for it at page_at(1), with these flags */
    uint64_t flags;
};

static const struct kind kinds[] = {
    { "pure", read_it, false, 0 },
    { "write", write_it, false, 0 },
    { "nx", run_it, true, PTE_W | PTE_NX },
    { "smep", run_it, true, PTE_U },
    { "smap", read_it, true, PTE_U | PTE_W | PTE_NX },
    { "user", read_from_ring3, true, PTE_NX },
    { "key", read_from_ring3, true, PTE_U | PTE_W | PTE_NX | (uint64_t)KEY << PTE_KEY_SHIFT },
    { "reserved", read_it, true, PTE_W | PTE_NX },
};

/* Both pages of the process: a program for ring 3, and the page of the kind */
static err_t map_pages(const struct kind *k, const pfn_t frames[2])
{
    err_t err = pt_map(&kernel_pt, page_at(0), frames[0], 1, PTE_U, NULL);

    __builtin_memcpy(port_ptr(pfn_to_pa(frames[0])), ring3_probes, RING3_PROBES_BYTES);
    __builtin_memset(port_ptr(pfn_to_pa(frames[1])), OP_INT3, PAGE_SIZE);
    return err == ERR_OK ? pt_map(&kernel_pt, page_at(1), frames[1], 1, k->flags, NULL) : err;
}

/* Which address to touch, and the last touches to what lies there */
static uint64_t prepare(const struct kind *k)
{
    struct pt_walk w;
    pte_cell      *cell;

    if (strcmp(k->name, "pure") == 0)
        return page_at(2).raw;
    if (strcmp(k->name, "write") == 0)
        return (uintptr_t)&prepare;
    if (strcmp(k->name, "reserved") == 0) {
        pt_walk(&kernel_pt, page_at(1), &w);
        cell = port_ptr(w.where[LEVEL_4K]);
        pte_store(cell, (pte_t){ pte_load(cell).raw | (uint64_t)1 << 51 });
        port_tlb_page(page_at(1));
    }
    return page_at(1).raw;
}

static bool cpu_can(const struct kind *k)
{
    const struct cpu_features *f = cpu_features();

    return !(strcmp(k->name, "smep") == 0 && !f->smep) && !(strcmp(k->name, "smap") == 0 && !f->smap) &&
           !(strcmp(k->name, "key") == 0 && !f->pku) && !(strcmp(k->name, "reserved") == 0 && f->phys_bits == 52);
}

static void show(const struct trap_caught *caught)
{
    struct pt_walk w;
    struct fault   f = paging_fault(va(caught->address), caught->error, 0, &w);

    kprintf("  #PF code %#llx: %s tried to %s %#llx\n", ULL(caught->error), f.user ? "ring 3" : "the kernel",
            f.fetch ? "execute" : f.write ? "write" : "read", ULL(caught->address));
    show_walk(&kernel_pt, va(caught->address));
    kprintf("  a %s fault%s%s\n", fault_kind_name(f.kind), f.reason == FAULT_NO_REASON ? "" : ": ",
            fault_reason_words(f.reason));
}

/* Interrupts stay off: in ring 3 there is nobody to take one. */
static err_t cause(const struct kind *k)
{
    struct trap_caught caught = { .vector = TRAP_VECTORS };
    uint64_t           irq = port_irq_save(), at = prepare(k), cr4 = read_cr4();

    gdt_ring0_stack(ring0_stack + sizeof ring0_stack);
    if (cpu_features()->pku) {
        write_cr4(cr4 | CR4_PKE);
        cpu_wrpkru(PKRU_CLOSED);
    }
    (void)trap_try(k->act, (void *)at, &caught);
    write_cr4(cr4);
    port_irq_restore(irq);
    if (caught.vector != TRAP_PF) {
        kprintf("  no page fault came of it\n");
        return ERR_CORRUPT;
    }
    show(&caught);
    return ERR_OK;
}

static err_t run_kind(const struct kind *k)
{
    struct tlb_batch batch;
    pfn_t            frames[2];
    err_t            err = cpu_can(k) ? frames_alloc(ARRAY_LEN(frames), frames) : ERR_NOSYS, undo;

    if (err != ERR_OK)
        return err;
    err = map_pages(k, frames);
    if (err == ERR_OK)
        err = cause(k);
    tlb_batch_open(&batch, NULL);
    undo = pt_unmap(&kernel_pt, page_at(0), 2, &batch);
    tlb_batch_close(&batch);
    for (unsigned i = 0; i < ARRAY_LEN(frames) && undo == ERR_OK; i++)
        undo = frame_free(frames[i]);
    return err == ERR_OK ? undo : err;
}

/* The page before and after; the fault in between is seen by nobody but mm/ */
static err_t lazy(void)
{
    uint64_t n = 0;
    va_t     page;
    err_t    err = kva_alloc_lazy(1, &page), freed;

    if (err != ERR_OK)
        return err;
    show_walk(&kernel_pt, page);
    write_it((void *)page.raw);
    kprintf("  written: the fault gave the page a frame, and the write was repeated\n");
    show_walk(&kernel_pt, page);
    err = kva_resident(page, &n);
    freed = kva_free(page);
    return err != ERR_OK ? err : n != 1 ? ERR_CORRUPT : freed;
}

static err_t fault(unsigned argc, char *argv[])
{
    if (argc != 2)
        return ERR_SYNTAX;
    if (strcmp(argv[1], "lazy") == 0)
        return lazy();
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            return run_kind(&kinds[i]);
    return ERR_SYNTAX;
}

const struct command commands_fault[] = {
    { "fault", "pure|write|nx|smep|smap|user|key|reserved|lazy", "cause a page fault, survive it, and tell what it was", fault },
    { NULL, NULL, NULL, NULL },
};
