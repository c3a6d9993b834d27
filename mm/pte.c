/* SPDX-License-Identifier: MIT */
/*
 * mm/pte.c - what the entries of this CPU can hold, and what their bits are called
 *
 * Promise     Everything about one entry that is not arithmetic on its bits: the CPU's limits, the
 *             bits it would refuse, and words for people.
 *
 * Reserved    A present entry faults with RSVD when it has (rows apply together):
 *
 *               any level      bits 51:MAXPHYADDR
 *               any level      bit 63, while EFER.NXE is 0
 *               4 and 5        PS
 *               3, PS = 1      bits 29:13; PS itself on a CPU without 1 GiB pages
 *               2, PS = 1      bits 20:13
 *
 * Sources     SDM 3A "4-Level Paging and 5-Level Paging", "Page-Fault Exceptions"
 */
#include "mm/pte.h"

struct pte_cpu pte_cpu = { .phys_bits = 36, .nx = true };

err_t pte_start(const struct pte_cpu *cpu)
{
    if (cpu->phys_bits < 32 || cpu->phys_bits > 52)
        return ERR_INVAL;
    pte_cpu = *cpu;
    return ERR_OK;
}

/* Bits low..high, both included */
static uint64_t bits(unsigned low, unsigned high)
{
    return high < low ? 0 : (~(uint64_t)0 >> (63 - high)) & ~(((uint64_t)1 << low) - 1);
}

uint64_t pte_reserved(pte_t e, unsigned level)
{
    uint64_t mask = bits(pte_cpu.phys_bits, 51);

    if (!pte_cpu.nx)
        mask |= PTE_NX;
    if (level > LEVEL_1G)
        mask |= PTE_PS;
    else if (level > LEVEL_4K && (e.raw & PTE_PS) != 0)
        mask |= bits(13, PAGE_SHIFT + 9 * (level - 1) - 1);
    if (level == LEVEL_1G && !pte_cpu.gib_pages)
        mask |= PTE_PS;
    return e.raw & mask;
}

const struct pte_bit *pte_bits(bool leaf, unsigned level)
{
    static const struct pte_bit table[] = {
        { PTE_P, "P", "present" },          { PTE_W, "W", "writable" },
        { PTE_U, "U", "user" },             { PTE_PWT, "PWT", "write-through" },
        { PTE_PCD, "PCD", "cache-disable" }, { PTE_A, "A", "accessed" },
        { PTE_NX, "NX", "no-execute" },     { 0, NULL, NULL },
    };
    static const struct pte_bit small[] = {
        { PTE_P, "P", "present" },         { PTE_W, "W", "writable" },       { PTE_U, "U", "user" },
        { PTE_PWT, "PWT", "write-through" }, { PTE_PCD, "PCD", "cache-disable" }, { PTE_A, "A", "accessed" },
        { PTE_D, "D", "dirty" },           { PTE_PAT, "PAT", "PAT" },        { PTE_G, "G", "global" },
        { PTE_NX, "NX", "no-execute" },    { 0, NULL, NULL },
    };
    static const struct pte_bit large[] = {
        { PTE_P, "P", "present" },         { PTE_W, "W", "writable" },       { PTE_U, "U", "user" },
        { PTE_PWT, "PWT", "write-through" }, { PTE_PCD, "PCD", "cache-disable" }, { PTE_A, "A", "accessed" },
        { PTE_D, "D", "dirty" },           { PTE_PS, "PS", "huge" },         { PTE_G, "G", "global" },
        { PTE_PAT_LARGE, "PAT", "PAT" },   { PTE_NX, "NX", "no-execute" },   { 0, NULL, NULL },
    };

    return !leaf ? table : level == LEVEL_4K ? small : large;
}

const char *cache_name(uint64_t flags)
{
    static const char names[8][4] = { "WB", "WT", "UC-", "UC", "WB", "WP", "WC", "UC" };

    return names[((flags & PTE_PAT) >> 5) | ((flags & (PTE_PCD | PTE_PWT)) >> 3)];
}
