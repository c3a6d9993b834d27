/* SPDX-License-Identifier: MIT */
/*
 * mm/range.h - the memory map: what firmware reports, made trustworthy
 *
 * mem_map_read() turns the descriptors of GetMemoryMap, however broken, into a sorted list of disjoint
 * ranges of frames with one kind each; the rest asks questions about that list.
 */
#ifndef MM_RANGE_H
#define MM_RANGE_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * What a frame may be used for, in rising order of restriction: where descriptors overlap, the greater
 * kind wins.
 */
enum mem_kind {
    MEM_FREE,       /* general RAM at and above 1 MiB, ours once boot services are gone              */
    MEM_LOW,        /* general RAM below 1 MiB, without frame 0: kept for starting processors         */
    MEM_SPECIAL,    /* RAM with a purpose (high bandwidth, far away): EFI_MEMORY_SP                   */
    MEM_PERSISTENT, /* keeps its contents without power: type 14 or EFI_MEMORY_NV                     */
    MEM_ACPI,       /* ACPI tables: free once they were read                                          */
    MEM_NVS,        /* ACPI's own memory, kept for ever                                               */
    MEM_RUNTIME,    /* code and data of the runtime services, by type or by EFI_MEMORY_RUNTIME        */
    MEM_MMIO,       /* device registers and I/O ports                                                 */
    MEM_BAD,        /* the firmware found errors in it                                                */
    MEM_RESERVED,   /* everything else: unknown, unaccepted, not cacheable, frame 0                   */
    MEM_KINDS
};

/* Sets of kinds for the questions below: MEM_SET(MEM_FREE) | MEM_SET(MEM_LOW) */
#define MEM_SET(kind) (1u << (kind))
#define MEM_SET_RAM                                                                                          \
    (MEM_SET(MEM_FREE) | MEM_SET(MEM_LOW) | MEM_SET(MEM_SPECIAL) | MEM_SET(MEM_PERSISTENT) |                 \
     MEM_SET(MEM_ACPI) | MEM_SET(MEM_NVS) | MEM_SET(MEM_RUNTIME))

/* Why pages of a descriptor are not in the list */
enum mem_rule {
    MEM_RULE_ZERO_LENGTH, /* no pages: the descriptor says nothing                                    */
    MEM_RULE_WRAPPED,     /* ends beyond 2^64 bytes: the descriptor is dropped                        */
    MEM_RULE_UNALIGNED,   /* free memory from the middle of a frame: the two pieces at its ends       */
    MEM_RULE_BEYOND,      /* frames that cannot be addressed: 52 bits, or what mem_map_limit() said   */
    MEM_RULE_OVERLAP,     /* claimed more than once: each claim after the first                       */
    MEM_RULES
};

/* Attribute bits that decide something (UEFI 2.10, "EFI_BOOT_SERVICES.GetMemoryMap()") */
#define MEM_ATTR_WB            ((uint64_t)1 << 3)  /* can be cached write-back                        */
#define MEM_ATTR_NV            ((uint64_t)1 << 15) /* persistent                                      */
#define MEM_ATTR_MORE_RELIABLE ((uint64_t)1 << 16) /* mirrored, say; reported, decides nothing        */
#define MEM_ATTR_SP            ((uint64_t)1 << 18) /* specific purpose                                */
#define MEM_ATTR_RUNTIME       ((uint64_t)1 << 63) /* must stay mapped for the runtime services       */

#define MEM_DESC_BYTES_MIN 40 /* bytes of a descriptor that are defined; firmware may use more        */

/* One descriptor as the firmware wrote it */
struct mem_desc {
    uint32_t type;
    uint64_t start; /* [bytes]           */
    uint64_t pages; /* [pages of 4 KiB]  */
    uint64_t attr;
};

/* A run of frames of one kind and attribute */
struct mem_range {
    pfn_t start, end; /* half-open                                    */
    uint64_t attr;    /* as the firmware gave it                      */
    enum mem_kind kind;
};

/* Sums of claims: a wrapped descriptor alone may claim 2^64 - 1 pages */
typedef unsigned __int128 mem_sum_t;

/*
 * pages_in == pages_out + the sum of dropped[]: nothing is lost silently. A descriptor that starts in
 * the middle of a frame and is not free counts every frame it touches, one more than it says.
 */
struct mem_map {
    struct mem_range *ranges; /* ranges[n]: sorted, disjoint, neighbours differ in kind or attribute     */
    size_t n;
    size_t n_descriptors; /* that were read                                             */
    mem_sum_t pages_in;
    uint64_t pages_out;
    mem_sum_t dropped[MEM_RULES]; /* pages                                                      */
    size_t hits[MEM_RULES];       /* descriptors the rule applied to (overlap: that start inside */
                                  /* another)                                                   */
};

/* MEM_MAP_CAPACITY - a store of so many ranges is enough for n descriptors, whatever is in them */
#define MEM_MAP_CAPACITY(n) (3 * (n) + 1)

/*
 * mem_map_read - normalise a firmware memory map
 *
 *   m            written only on ERR_OK; m->ranges is then store
 *   store        store[capacity]: room to work in, and for the result
 *   capacity     MEM_MAP_CAPACITY(n) always suffices; n + (ranges of the result) does, too
 *   descriptors  n = bytes / desc_bytes descriptors in any order; need not be aligned
 *   desc_bytes   the firmware's DescriptorSize, at least MEM_DESC_BYTES_MIN; not sizeof anything
 *
 *   Errors  ERR_INVAL  desc_bytes too small, or bytes no multiple of it
 *           ERR_NOMEM  store too small; its contents are lost
 *   Locks   none; the store is the caller's
 *   Cost    O(n log n) time, no recursion
 *   Source  UEFI 2.10, "EFI_BOOT_SERVICES.GetMemoryMap()" and "Memory Type Usage after ExitBootServices()"
 */
err_t mem_map_read(struct mem_map *m, struct mem_range *store, size_t capacity, const void *descriptors,
                   size_t bytes, size_t desc_bytes) MUST_USE;

/*
 * mem_map_limit - free memory from frame `end` on cannot be addressed by this machine: drop it
 *
 *   Firmware may claim more than the CPU has address lines. Other kinds stay: they say what not to touch.
 */
void mem_map_limit(struct mem_map *m, pfn_t end);

/* mem_desc_get - descriptor number i of a raw map */
struct mem_desc mem_desc_get(const void *descriptors, size_t desc_bytes, size_t i);

/*
 * mem_kind_of - the kind a descriptor's memory has, wherever it lies
 *
 *   Never MEM_LOW: that, and what becomes of frame 0, is decided by address.
 */
enum mem_kind mem_kind_of(uint32_t type, uint64_t attr);

/* mem_map_find - the range that holds frame f, NULL when no descriptor claims it; O(log n) */
const struct mem_range *mem_map_find(const struct mem_map *m, pfn_t f);

/* mem_map_pages - how many frames have a kind of the set `kinds` and every bit of `attr` (0: any) */
uint64_t mem_map_pages(const struct mem_map *m, unsigned kinds, uint64_t attr);

/* mem_map_end - the frame after the highest one whose kind is in the set `kinds`; frame 0 if there is none */
pfn_t mem_map_end(const struct mem_map *m, unsigned kinds);

/* Names for people: "free", "zero-length", "BootServicesCode"; never NULL, whatever the argument */
const char *mem_kind_name(enum mem_kind kind);
const char *mem_rule_name(enum mem_rule rule);
const char *mem_type_name(uint32_t type);

#endif
