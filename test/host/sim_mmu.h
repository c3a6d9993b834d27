/* SPDX-License-Identifier: MIT */
/*
 * test/host/sim_mmu.h - the memory management unit of the manual, in software
 *
 * Reads page tables in simulated physical memory as a CPU does. Written from SDM 3A alone: it shares
 * no line, no constant and no header with the mapper, only the word "page".
 */
#ifndef TEST_HOST_SIM_MMU_H
#define TEST_HOST_SIM_MMU_H

#include "mm/types.h"

struct sim_cpu {
    uint64_t  cr3;
    unsigned  maxphyaddr;
    bool      la57, nxe, wp, smep, smap, pke, page1gb;
    uint32_t  pkru;
    uint64_t *(*physical)(uint64_t address); /* eight bytes of memory at a physical address */
};

struct sim_access {
    bool write, fetch; /* neither: a read */
    bool user;         /* CPL is 3        */
    bool ac;           /* EFLAGS.AC       */
};

enum sim_outcome { SIM_OK, SIM_PAGE_FAULT, SIM_NOT_CANONICAL };

struct sim_result {
    enum sim_outcome outcome;
    uint32_t         error_code; /* of a page fault                                */
    uint64_t         physical;   /* SIM_OK                                         */
    unsigned         page_bits;  /* 12, 21 or 30                                   */
    bool             global;
    unsigned         pat_index;  /* PAT, PCD, PWT of the entry that maps the page  */
    unsigned         stopped_at; /* not present or reserved: level of that entry, the page table being 1 */
};

/* sim_access - one access; sets A and D as the CPU does if `update` is true */
struct sim_result sim_access(const struct sim_cpu *cpu, uint64_t linear, struct sim_access access, bool update);

#endif
