/* SPDX-License-Identifier: MIT */
/*
 * test/host/sim_mmu.c - the memory management unit of the manual, in software
 *
 * Sources  SDM 3A: "4-Level Paging and 5-Level Paging" (the walk, reserved bits), "Access Rights",
 *          "Page-Fault Exceptions" (the error code), "Accessed and Dirty Flags", "Protection Keys"
 */
#include "test/host/sim_mmu.h"

#define BIT(n) ((uint64_t)1 << (n))

static uint64_t field(uint64_t x, unsigned high, unsigned low) { return x >> low & (BIT(high - low + 1) - 1); }

/* Bits that must be 0 in a present entry. level 1 is the PTE, 5 the PML5E. */
static bool reserved_bits(const struct sim_cpu *cpu, uint64_t e, unsigned level)
{
    if (cpu->maxphyaddr < 52 && field(e, 51, cpu->maxphyaddr) != 0)
        return true;
    if (!cpu->nxe && (e & BIT(63)) != 0)
        return true;
    if ((e & BIT(7)) == 0)
        return false;
    switch (level) {
    case 5:
    case 4:
        return true;
    case 3:
        return !cpu->page1gb || field(e, 29, 13) != 0;
    case 2:
        return field(e, 20, 13) != 0;
    default:
        return false;
    }
}

static struct sim_result page_fault(const struct sim_cpu *cpu, struct sim_access a, uint32_t why, unsigned level)
{
    uint32_t code = why;

    if (a.write)
        code |= 2;
    if (a.user)
        code |= 4;
    if (a.fetch && (cpu->nxe || cpu->smep))
        code |= 16;
    return (struct sim_result){ .outcome = SIM_PAGE_FAULT, .error_code = code, .stopped_at = level };
}

/* "Access Rights": is the access refused by U/S, R/W and XD of the whole path? */
static bool refused(const struct sim_cpu *cpu, struct sim_access a, bool writable, bool user_page, bool xd)
{
    if (a.user && !user_page)
        return true;
    if (a.write && !writable && (a.user || cpu->wp))
        return true;
    if (a.fetch)
        return (cpu->nxe && xd) || (!a.user && user_page && cpu->smep);
    return !a.user && user_page && cpu->smap && !a.ac;
}

static bool key_refuses(const struct sim_cpu *cpu, struct sim_access a, bool user_page, unsigned key)
{
    bool access_disabled = (cpu->pkru >> (2 * key) & 1) != 0, write_disabled = (cpu->pkru >> (2 * key + 1) & 1) != 0;

    if (!cpu->pke || !user_page || a.fetch)
        return false;
    return access_disabled || (a.write && write_disabled && (a.user || cpu->wp));
}

struct sim_result sim_access(const struct sim_cpu *cpu, uint64_t linear, struct sim_access a, bool update)
{
    unsigned  levels = cpu->la57 ? 5 : 4, level, top_bit = cpu->la57 ? 56 : 47;
    uint64_t  table = cpu->cr3 & ~(uint64_t)4095, e = 0;
    uint64_t *used[6] = { 0 };
    bool      writable = true, user_page = true, xd = false;
    unsigned  shift;
    struct sim_result r = { .outcome = SIM_OK };

    if (field(linear, 63, top_bit) != 0 && field(linear, 63, top_bit) != BIT(64 - top_bit) - 1)
        return (struct sim_result){ .outcome = SIM_NOT_CANONICAL };
    for (level = levels;; level--) {
        shift = 12 + 9 * (level - 1);
        used[level] = cpu->physical(table + 8 * field(linear, shift + 8, shift));
        e = *used[level];
        if ((e & BIT(0)) == 0)
            return page_fault(cpu, a, 0, level);
        if (reserved_bits(cpu, e, level))
            return page_fault(cpu, a, 1 | 8, level);
        writable = writable && (e & BIT(1)) != 0;
        user_page = user_page && (e & BIT(2)) != 0;
        xd = xd || (e & BIT(63)) != 0;
        if (level == 1 || (e & BIT(7)) != 0)
            break;
        table = e & (BIT(52) - 1) & ~(uint64_t)4095;
    }
    if (key_refuses(cpu, a, user_page, (unsigned)field(e, 62, 59)))
        return page_fault(cpu, a, 1 | 32, 0);
    if (refused(cpu, a, writable, user_page, xd))
        return page_fault(cpu, a, 1, 0);
    for (unsigned i = level; update && i <= levels; i++)
        *used[i] |= BIT(5);
    if (update && a.write)
        *used[level] |= BIT(6);
    r.page_bits = shift;
    r.physical = (e & (BIT(52) - 1) & ~(BIT(shift) - 1)) | (linear & (BIT(shift) - 1));
    r.global = (e & BIT(8)) != 0;
    r.pat_index = (unsigned)(field(e, 4, 3) | field(e, level == 1 ? 7 : 12, level == 1 ? 7 : 12) << 2);
    return r;
}
