/* SPDX-License-Identifier: MIT */
/*
 * core/x86/paging.c - stage 2: our own page tables and control registers
 *
 *   what is mapped                      where                   how
 *   the image, section by section       where firmware put it   W^X, global
 *   RAM that is ours or ACPI's          slot 256 + address      read, write; never executed; global
 *   the top table                       slot 511                recursive
 *
 * Page 0, the guard pages below the image's stacks, the image's own frames in the direct map (or its
 * text could be written there), and all else stay unmapped.
 *
 * Whatever the firmware left in the control registers, absolute values are written, in this order:
 * EFER.NXE before the first entry with bit 63 is used, then CR3, then CR4 with global pages (a CR4.PGE
 * that rises also drops what the TLB held), then CR0 with write protection.
 */
#include "core/x86/paging.h"

#include "core/port.h"
#include "core/x86/cpuid.h"
#include "core/x86/gdt.h"
#include "core/x86/image.h"
#include "core/x86/insn.h"
#include "mm/as.h"
#include "mm/layout.h"
#include "mm/memtype.h"

#define RFLAGS_AC ((uint64_t)1 << 18)
#define MSR_EFER  0xC0000080u
#define MSR_PAT   0x277u
#define MSR_U_CET 0x6A0u
#define MSR_S_CET 0x6A2u

struct pt kernel_pt;

static uint64_t direct_bytes;

static err_t map_identity(uint64_t start, uint64_t end, uint64_t flags)
{
    if (start >= end)
        return ERR_OK;
    return pt_map(&kernel_pt, va(start), pa_to_pfn(pa(start)), (end - start) >> PAGE_SHIFT, flags | PTE_G, NULL);
}

/* map_writable - a writable part of the image, but for the guard pages of the stacks in it */
static err_t map_writable(const struct image_part *part)
{
    uint64_t at = part->start;

    for (unsigned i = 0; i < STACKS; i++) {
        uint64_t guard = (uintptr_t)image_stacks[i].guard;

        if (guard < part->start || guard >= part->end)
            continue;
        err_t err = map_identity(at, guard, PTE_W | PTE_NX);
        if (err != ERR_OK)
            return err;
        at = guard + sizeof image_stacks[i].guard;
    }
    return map_identity(at, part->end, PTE_W | PTE_NX);
}

static err_t map_image(void)
{
    struct image_part part;
    err_t             err = ERR_OK;

    for (unsigned i = 0; err == ERR_OK && image_part_at(i, &part); i++) {
        ASSERT(!(part.writable && part.executable));
        if (part.writable)
            err = map_writable(&part);
        else
            err = map_identity(part.start, part.end, part.executable ? 0 : PTE_NX);
    }
    return err;
}

static err_t map_direct(pfn_t start, pfn_t end)
{
    if (start.idx >= end.idx)
        return ERR_OK;
    va_t at = va_add(slot_base(SLOT_DIRECT, kernel_pt.levels), pfn_to_pa(start).raw);

    direct_bytes += (end.idx - start.idx) << PAGE_SHIFT;
    return pt_map(&kernel_pt, at, start, end.idx - start.idx, PTE_W | PTE_G | PTE_NX, NULL);
}

/* map_ram - one range of RAM into the direct map, without the image's frames */
static err_t map_ram(const struct mem_range *r, pfn_t image, pfn_t image_end)
{
    pfn_t before = pfn(min_u64(r->end.idx, max_u64(r->start.idx, image.idx)));
    pfn_t after = pfn(max_u64(r->start.idx, min_u64(r->end.idx, image_end.idx)));
    err_t err = map_direct(r->start, before);

    return err == ERR_OK ? map_direct(after, r->end) : err;
}

static err_t map_all_ram(const struct boot_info *b, const struct mem_map *map)
{
    const unsigned wanted = MEM_SET(MEM_FREE) | MEM_SET(MEM_LOW) | MEM_SET(MEM_ACPI) | MEM_SET(MEM_NVS);
    pfn_t image = pa_to_pfn(b->image), end = pfn_add(image, b->image_bytes >> PAGE_SHIFT);

    for (size_t i = 0; i < map->n; i++) {
        struct mem_range r = map->ranges[i];

        r.end = pfn(min_u64(r.end.idx, paging_reach().idx));
        if (!(MEM_SET(r.kind) & wanted) || r.start.idx >= r.end.idx)
            continue;
        err_t err = memtype_ram(r.start, r.end.idx - r.start.idx);
        if (err == ERR_OK)
            err = map_ram(&r, image, end);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* registers_before - what must hold before the first of our entries is used */
static void registers_before(const struct cpu_features *f)
{
    uint64_t efer = rdmsr(MSR_EFER), wanted = efer | EFER_NXE | EFER_SCE;

    if (efer != wanted)
        wrmsr(MSR_EFER, wanted);
    if (read_cr4() & CR4_CET) { /* our stacks are no shadow stacks, our code has no ENDBR */
        wrmsr(MSR_S_CET, 0);
        wrmsr(MSR_U_CET, 0);
    }
    if (read_cr4() & CR4_PCIDE) /* clearing it wants PCID 0 in CR3; loading ours gives that */
        write_cr3(read_cr3() & ~(uint64_t)(PAGE_SIZE - 1));
    if (f->pat)
        wrmsr(MSR_PAT, PAT_VALUE);
}

static void registers_after(const struct cpu_features *f)
{
    uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMM;

    cr4 |= f->smep ? CR4_SMEP : 0;
    cr4 |= f->smap ? CR4_SMAP : 0;
    cr4 |= f->umip ? CR4_UMIP : 0;
    cr4 |= kernel_pt.levels == 5 ? CR4_LA57 : 0;
    write_cr4(cr4); /* PGE off: nothing global of the firmware's survives */
    write_cr4(cr4 | CR4_PGE);
    write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
}

pfn_t paging_reach(void)
{
    uint64_t direct_map = (uint64_t)(SLOT_DYNAMIC - SLOT_DIRECT) << slot_shift(KERNEL_LEVELS);

    return pa_to_pfn(pa(min_u64(direct_map, (uint64_t)1 << cpu_features()->phys_bits)));
}

err_t paging_start(const struct boot_info *b, const struct mem_map *map)
{
    const struct cpu_features *f = cpu_features();
    struct pte_cpu             cpu = { .phys_bits = f->phys_bits, .nx = true, .gib_pages = f->gib_pages };
    err_t                      err = pte_start(&cpu);

    if (err == ERR_OK)
        err = pt_create(&kernel_pt, read_cr4() & CR4_LA57 ? 5 : 4);
    if (err == ERR_OK)
        err = map_image();
    if (err == ERR_OK)
        err = map_all_ram(b, map);
    if (err != ERR_OK)
        return err;
    registers_before(f);
    write_cr3(pfn_to_pa(kernel_pt.root).raw);
    port_direct_map(slot_base(SLOT_DIRECT, kernel_pt.levels));
    registers_after(f);
    return ERR_OK;
}

struct fault paging_fault(va_t address, uint64_t error, uint64_t rflags, struct pt_walk *walk)
{
    const struct fault_cpu cpu = { .wp = (read_cr0() & CR0_WP) != 0,
                                   .smep = (read_cr4() & CR4_SMEP) != 0,
                                   .smap = (read_cr4() & CR4_SMAP) != 0,
                                   .ac = (rflags & RFLAGS_AC) != 0 };
    const struct as *as = as_current();

    pt_walk(as != NULL ? &as->pt : &kernel_pt, address, walk);
    return fault_decode(address, error, walk, cpu);
}

uint64_t paging_direct_bytes(void) { return direct_bytes; }

uint64_t boot_early_frames(uint64_t ram_bytes, uint64_t n_descriptors)
{
    uint64_t gib = min_u64(ram_bytes, pfn_to_pa(paging_reach()).raw) / GIB + 1;

    /* Tables: at both ends of each range one of 4 KiB pages, and a directory for every GiB (twice: RAM
     * need not begin at a multiple). The constant is the image's, the heap's first pages, devices. */
    return 512 + 2 * n_descriptors + 2 * gib;
}
