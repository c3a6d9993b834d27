/* SPDX-License-Identifier: MIT */
/*
 * core/x86/la57.c - four or five levels of page tables, changed while the system runs
 *
 * mm/pt_levels.c builds the other tables and says when to change over. Here is the change: the program
 * of la57.S, in a frame below 4 GiB that is mapped in place for the time it takes.
 */
#include "core/x86/la57.h"

#include "core/x86/cpuid.h"
#include "core/x86/gdt.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/pcid.h"
#include "mm/frame.h"

extern const uint8_t la57_page[];
extern const struct {
    uint32_t bytes, gdt, gdt_base, wide, wide_pointer, rsp, cr3, cr4; /* offsets in the page */
} la57_parts;

struct change {
    pfn_t    low;
    unsigned levels;
};

static void *part(pfn_t low, uint32_t offset) { return (uint8_t *)port_ptr(pfn_to_pa(low)) + offset; }

/* The program in the low frame, its variables filled in */
static void lay_out(const struct change *c, pfn_t root)
{
    uint32_t base = (uint32_t)pfn_to_pa(c->low).raw, wide = base + la57_parts.wide;
    uint64_t gdt = base + la57_parts.gdt, cr3 = pfn_to_pa(root).raw, cr4 = read_cr4() & ~CR4_LA57;

    cr4 |= c->levels == 5 ? CR4_LA57 : 0;
    __builtin_memcpy(part(c->low, 0), la57_page, la57_parts.bytes);
    __builtin_memcpy(part(c->low, la57_parts.gdt_base), &gdt, sizeof gdt);
    __builtin_memcpy(part(c->low, la57_parts.wide_pointer), &wide, sizeof wide);
    __builtin_memcpy(part(c->low, la57_parts.cr3), &cr3, sizeof cr3);
    __builtin_memcpy(part(c->low, la57_parts.cr4), &cr4, sizeof cr4);
}

/* Turning paging off and on drops every cached translation, global or not. */
static void load(void *arg, pfn_t root)
{
    const struct change *c = arg;

    bool                 pcid = pcid_pause();

    lay_out(c, root);
    ((void (*)(uint64_t *))(uintptr_t)pfn_to_pa(c->low).raw)(part(c->low, la57_parts.rsp));
    gdt_start();
    pcid_resume(pcid);
}

static err_t with_root(struct change *c, pfn_t root)
{
    err_t err = pt_change_levels(&kernel_pt, root, load, c), freed;

    if (err == ERR_OK)
        return err;
    freed = frame_free(root);
    return freed == ERR_OK ? err : freed;
}

/* With the program's frame mapped in place, readable and executable */
static err_t with_program(struct change *c, const struct frame_request *below)
{
    va_t             in_place = va(pfn_to_pa(c->low).raw);
    struct tlb_batch batch;
    pfn_t            root;
    err_t            err = pt_map(&kernel_pt, in_place, c->low, 1, PTE_G, NULL), unmapped;

    if (err != ERR_OK)
        return err;
    err = frame_alloc_with(below, &root);
    if (err == ERR_OK)
        err = with_root(c, root);
    tlb_batch_open(&batch, NULL);
    unmapped = pt_unmap(&kernel_pt, in_place, 1, &batch);
    tlb_batch_close(&batch);
    return err == ERR_OK ? unmapped : err;
}

err_t la57_switch(unsigned levels)
{
    const struct frame_request below = { .highest = { 4 * GIB - 1 } };
    struct change              c = { .levels = levels };
    err_t                      err, freed;

    if (levels != 4 && levels != 5)
        return ERR_INVAL;
    if (levels == kernel_pt.levels)
        return ERR_OK;
    if (levels == 5 && !cpu_features()->la57)
        return ERR_NOSYS;
    err = frame_alloc_with(&below, &c.low);
    if (err != ERR_OK)
        return err;
    err = with_program(&c, &below);
    freed = frame_free(c.low);
    return err == ERR_OK ? freed : err;
}
