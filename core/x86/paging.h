/* SPDX-License-Identifier: MIT */
/* core/x86/paging.h - stage 2: our own page tables and control registers */
#ifndef CORE_X86_PAGING_H
#define CORE_X86_PAGING_H

#include "core/boot_info.h"
#include "mm/err.h"
#include "mm/fault.h"
#include "mm/pt.h"
#include "mm/range.h"

/* Control register bits: SDM 3A "Control Registers" */
#define CR0_PE     ((uint64_t)1 << 0)
#define CR0_MP     ((uint64_t)1 << 1)
#define CR0_TS     ((uint64_t)1 << 3)
#define CR0_ET     ((uint64_t)1 << 4)
#define CR0_NE     ((uint64_t)1 << 5)
#define CR0_WP     ((uint64_t)1 << 16)
#define CR0_PG     ((uint64_t)1 << 31)
#define CR4_PAE    ((uint64_t)1 << 5)
#define CR4_MCE    ((uint64_t)1 << 6)
#define CR4_PGE    ((uint64_t)1 << 7)
#define CR4_OSFXSR ((uint64_t)1 << 9)
#define CR4_OSXMM  ((uint64_t)1 << 10)
#define CR4_UMIP   ((uint64_t)1 << 11)
#define CR4_LA57   ((uint64_t)1 << 12)
#define CR4_PCIDE  ((uint64_t)1 << 17)
#define CR4_SMEP   ((uint64_t)1 << 20)
#define CR4_SMAP   ((uint64_t)1 << 21)
#define CR4_PKE    ((uint64_t)1 << 22)
#define CR4_CET    ((uint64_t)1 << 23)
#define EFER_SCE   ((uint64_t)1 << 0)
#define EFER_LME   ((uint64_t)1 << 8)
#define EFER_LMA   ((uint64_t)1 << 10)
#define EFER_NXE   ((uint64_t)1 << 11)

/* The kernel's tables; set by paging_start() */
extern struct pt kernel_pt;

/*
 * paging_start - build the kernel's tables from early frames and move onto them
 *
 *   map   what the direct map holds: free, low, ACPI and NVS memory, but the image
 *
 *   On ERR_OK CR3, CR0, CR4, EFER and PAT are ours, and port_ptr() goes through the direct map.
 *   Errors  ERR_NOMEM  the early block is used up
 */
err_t paging_start(const struct boot_info *b, const struct mem_map *map) MUST_USE;

/* paging_reach - the frame after the last one that this CPU can address and the direct map can hold */
pfn_t paging_reach(void);

/*
 * paging_fault - what a page fault was: decoded against the tables in use and the settings of this CPU
 *
 *   error, rflags  as the CPU pushed them
 *   walk           how it went to the address
 */
struct fault paging_fault(va_t address, uint64_t error, uint64_t rflags, struct pt_walk *walk);

/* paging_direct_bytes - how much memory the direct map holds */
uint64_t paging_direct_bytes(void);

#endif
