/* SPDX-License-Identifier: MIT */
/*
 * mm/pte.h - one entry of a page table: every bit by name, encoding and decoding
 *
 *    63  62:59  58:52  51:M   M-1:12              11:9  8  7   6  5  4   3   2  1  0
 *   +---+------+------+------+-------------------+-----+--+---+--+--+---+---+--+--+--+
 *   |NX | key  | avail|  0   | frame             |avail|G |PAT|D |A |PCD|PWT|U |W |P |   level 1, a 4 KiB page
 *   |NX | key  | avail|  0   | frame     0  |PAT |avail|G | 1 |D |A |PCD|PWT|U |W |P |   levels 2 and 3, a 2 MiB or 1 GiB page
 *   |NX |  children in use   | next table        |avail|- | 0 |- |A |PCD|PWT|U |W |P |   levels 2 to 5, a table
 *   +---+------+------+------+-------------------+-----+--+---+--+--+---+---+--+--+--+
 *
 * M is the CPU's MAXPHYADDR, known at run time only. Levels count from the leaf: 1 is the page table
 * (PTE), 2 the directory (PDE), 3 PDPTE, 4 PML4E, 5 PML5E. Flags given to the mapper always have the
 * cache type in its 4 KiB place; pte_leaf() moves it for large pages, pte_flags() moves it back.
 *
 * Source  SDM 3A, "4-Level Paging and 5-Level Paging", tables of the entry formats
 */
#ifndef MM_PTE_H
#define MM_PTE_H

#include <stdatomic.h>

#include "mm/err.h"
#include "mm/layout.h"
#include "mm/types.h"

typedef struct { uint64_t raw; } pte_t;

#define PTE_P         ((uint64_t)1 << 0)   /* P    present; every other bit is free to use when it is 0     */
#define PTE_W         ((uint64_t)1 << 1)   /* R/W  writes allowed                   SDM 3A "Access Rights"    */
#define PTE_U         ((uint64_t)1 << 2)   /* U/S  ring 3 may use it                SDM 3A "Access Rights"    */
#define PTE_PWT       ((uint64_t)1 << 3)   /* PWT  bit 0 of the index into the PAT  SDM 3A "Memory Typing"    */
#define PTE_PCD       ((uint64_t)1 << 4)   /* PCD  bit 1 of the index into the PAT  SDM 3A "Memory Typing"    */
#define PTE_A         ((uint64_t)1 << 5)   /* A    set by the CPU on any use        SDM 3A "Accessed and Dirty Flags" */
#define PTE_D         ((uint64_t)1 << 6)   /* D    set by the CPU on a write        SDM 3A "Accessed and Dirty Flags" */
#define PTE_PS        ((uint64_t)1 << 7)   /* PS   levels 2, 3: a page, not a table                           */
#define PTE_PAT       ((uint64_t)1 << 7)   /* PAT  level 1: bit 2 of the index into the PAT                   */
#define PTE_G         ((uint64_t)1 << 8)   /* G    survives a CR3 load; needs CR4.PGE  SDM 3A "Global Pages"  */
#define PTE_AVAIL_LOW ((uint64_t)7 << 9)   /* free for software                                               */
#define PTE_PAT_LARGE ((uint64_t)1 << 12)  /* PAT  levels 2, 3, when PS is 1                                  */
#define PTE_AVAIL     ((uint64_t)63 << 52) /* 57:52, free for software                                         */
#define PTE_TYPED     ((uint64_t)1 << 58)  /* software's, and the mapper's own: counted in mm/memtype.c         */
#define PTE_KEY_SHIFT 59                   /* protection key of a user page, CR4.PKE   SDM 3A "Protection Keys" */
#define PTE_KEY       ((uint64_t)15 << PTE_KEY_SHIFT)
#define PTE_NX        ((uint64_t)1 << 63)  /* XD   no instruction fetch; needs EFER.NXE  SDM 3A "Access Rights" */
#define PTE_ADDRESS   ((((uint64_t)1 << 52) - 1) & ~(PAGE_SIZE - 1)) /* 51:12, as wide as the architecture allows */

/* Not present, in the kernel's half: the first touch gets a frame of zeroes (mm/pt_lazy.c) */
#define PTE_LAZY ((uint64_t)1 << 10)

/* In an entry of level 2 that leads to a table: some page in it is PTE_TYPED, or was. */
#define PTE_TYPED_BELOW ((uint64_t)1 << 9)

/* Above bit 51 a table's entry is free for software: there it counts the entries of the table that are not 0. */
#define PTE_COUNT_SHIFT 52
#define PTE_COUNT_ONE   ((uint64_t)1 << PTE_COUNT_SHIFT)
#define PTE_COUNT       ((uint64_t)1023 << PTE_COUNT_SHIFT)

/*
 * Cache types, by index into the PAT as Octavo programs it. The first four entries are those of
 * reset. A type that needs the PAT bit has the same type, or the next stricter one, where that bit is
 * off: a CPU that ignores it is slower, never wrong.
 */
#define PTE_CACHE_WB  ((uint64_t)0)            /* write-back             PA0                             */
#define PTE_CACHE_WT  PTE_PWT                  /* write-through          PA1                             */
#define PTE_CACHE_UCM PTE_PCD                  /* UC-: MTRRs may say WC  PA2                             */
#define PTE_CACHE_UC  (PTE_PCD | PTE_PWT)      /* uncached               PA3                             */
#define PTE_CACHE_WP  (PTE_PAT | PTE_PWT)      /* write-protected        PA5 (write-through without PAT) */
#define PTE_CACHE_WC  (PTE_PAT | PTE_PCD)      /* write-combining        PA6 (UC- without PAT)           */
#define PTE_CACHE     (PTE_PAT | PTE_PCD | PTE_PWT)

/* What IA32_PAT must hold: PA7..PA0 = UC WC WP WB UC UC- WT WB     SDM 3A "Page Attribute Table (PAT)" */
#define PAT_VALUE ((uint64_t)0x0001050600070406)

/* What a caller may say about a page; the rest of an entry is the mapper's business */
#define PTE_FLAGS (PTE_W | PTE_U | PTE_CACHE | PTE_A | PTE_D | PTE_G | PTE_AVAIL_LOW | PTE_AVAIL | PTE_KEY | PTE_NX)

#define PT_LEVELS_MAX 5
#define LEVEL_4K      1
#define LEVEL_2M      2
#define LEVEL_1G      3

/* What this CPU's entries can hold. Set once by pte_start(), before the first table is built. */
struct pte_cpu {
    unsigned phys_bits; /* MAXPHYADDR, 32..52  CPUID.80000008H:EAX[7:0] */
    bool     nx;        /* bit 63 may be set   EFER.NXE                 */
    bool     gib_pages; /* 1 GiB pages         CPUID.80000001H:EDX[26]  */
};
extern struct pte_cpu pte_cpu;

/*
 * pte_start - say what the CPU's entries can hold
 *
 *   Errors  ERR_INVAL  phys_bits outside 32..52
 */
err_t pte_start(const struct pte_cpu *cpu) MUST_USE;

/* level_pages - pages under one entry of this level: 1, 512, 262144, ... */
static inline uint64_t level_pages(unsigned level) { return (uint64_t)1 << (9 * (level - 1)); }

static inline bool pte_present(pte_t e) { return (e.raw & PTE_P) != 0; }

/* pte_is_leaf - a page, not a table; the entry is present */
static inline bool pte_is_leaf(pte_t e, unsigned level)
{
    return level == LEVEL_4K || (level <= LEVEL_1G && (e.raw & PTE_PS) != 0);
}

/* pte_frame_limit - first frame number that no entry can hold */
static inline uint64_t pte_frame_limit(void) { return (uint64_t)1 << (pte_cpu.phys_bits - PAGE_SHIFT); }

/*
 * pte_leaf - the entry that maps a page of this level
 *
 *   frame   its first frame, a multiple of level_pages(level), below pte_frame_limit()
 *   flags   PTE_FLAGS and PTE_TYPED only, cache type in the 4 KiB place
 */
static inline pte_t pte_leaf(pfn_t frame, uint64_t flags, unsigned level)
{
    if (level > LEVEL_4K) /* PAT moves from bit 7 to bit 12 */
        flags = (flags & ~PTE_PAT) | (flags & PTE_PAT) << 5 | PTE_PS;
    return (pte_t){ frame.idx << PAGE_SHIFT | flags | PTE_P };
}

/*
 * pte_table - the entry that leads to a table
 *
 *   user    entries below it may be for ring 3. Writing and fetching are always allowed here and
 *           refused, where they are, in the leaf alone.
 *   in_use  how many of the table's entries are not 0
 */
static inline pte_t pte_table(pfn_t frame, bool user, unsigned in_use)
{
    return (pte_t){ frame.idx << PAGE_SHIFT | PTE_P | PTE_W | PTE_A | (user ? PTE_U : 0) |
                    (uint64_t)in_use << PTE_COUNT_SHIFT };
}

/* pte_frame - the frame of a page, or of the table that a present entry leads to */
static inline pfn_t pte_frame(pte_t e, unsigned level)
{
    uint64_t address = e.raw & PTE_ADDRESS;

    if (level > LEVEL_4K && pte_is_leaf(e, level))
        address &= ~(uint64_t)PTE_PAT_LARGE;
    return pfn(address >> PAGE_SHIFT);
}

/* pte_flags - the flags that pte_leaf() was given, A and D as the CPU left them */
static inline uint64_t pte_flags(pte_t e, unsigned level)
{
    uint64_t flags = e.raw & (PTE_FLAGS | PTE_TYPED);

    if (level > LEVEL_4K)
        flags = (flags & ~PTE_PAT) | (e.raw & PTE_PAT_LARGE) >> 5;
    return flags;
}

/* pte_count - entries in use in the table that this entry leads to */
static inline unsigned pte_count(pte_t e) { return (unsigned)((e.raw & PTE_COUNT) >> PTE_COUNT_SHIFT); }

/* pte_reserved - the bits that make a present entry of this level fault with RSVD */
uint64_t pte_reserved(pte_t e, unsigned level);

/* The name of each bit, for people: "W" and "writable". Ends with a NULL name. */
struct pte_bit {
    uint64_t    mask;
    const char *name, *words;
};

/* pte_bits - the bits of a page (leaf) or of a table's entry, lowest first */
const struct pte_bit *pte_bits(bool leaf, unsigned level);

/* cache_name - "WB", "WT", "UC-", "UC", "WP" or "WC" for flags as pte_flags() gives them */
const char *cache_name(uint64_t flags);

/* ---- entries in memory ------------------------------------------------------------------------ */

/* The CPU itself sets A and D, at any moment, by a locked operation; so do we change what is present. */
typedef struct { _Atomic uint64_t raw; } pte_cell;

_Static_assert(sizeof(pte_cell) == 8, "an entry has eight bytes");

static inline pte_t pte_load(const pte_cell *c)
{
    return (pte_t){ atomic_load_explicit(&c->raw, memory_order_relaxed) };
}
static inline void pte_store(pte_cell *c, pte_t e)
{
    atomic_store_explicit(&c->raw, e.raw, memory_order_relaxed);
}
/* pte_publish - a store before which all earlier ones to the new table are seen (by the CPU's walk) */
static inline void pte_publish(pte_cell *c, pte_t e)
{
    atomic_store_explicit(&c->raw, e.raw, memory_order_release);
}
static inline pte_t pte_swap(pte_cell *c, pte_t e)
{
    return (pte_t){ atomic_exchange_explicit(&c->raw, e.raw, memory_order_acq_rel) };
}

#endif
