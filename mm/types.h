/* SPDX-License-Identifier: MIT */
/*
 * mm/types.h - the nouns of memory
 *
 * Numbers that could be confused with one another are structs of their own: passing a frame number
 * where an address belongs does not compile, and the struct travels in a register like the integer.
 */
#ifndef MM_TYPES_H
#define MM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/attr.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE  ((uint64_t)1 << PAGE_SHIFT)
#define KIB        ((uint64_t)1 << 10)
#define MIB        ((uint64_t)1 << 20)
#define GIB        ((uint64_t)1 << 30)

typedef struct { uint64_t raw; } pa_t;  /* physical address                         [bytes]  */
typedef struct { uint64_t raw; } va_t;  /* canonical virtual address                [bytes]  */
typedef struct { uint64_t raw; } uva_t; /* what ring 3 claims is an address                  */
typedef struct { uint64_t idx; } pfn_t; /* physical frame number                    [frames] */
typedef struct { uint64_t idx; } vpn_t; /* virtual page number, canonical address >> 12      */

_Static_assert(sizeof(void *) == 8, "Octavo is a 64-bit kernel");

static inline pa_t  pa(uint64_t raw) { return (pa_t){ raw }; }
static inline va_t  va(uint64_t raw) { return (va_t){ raw }; }
static inline pfn_t pfn(uint64_t idx) { return (pfn_t){ idx }; }
static inline pa_t  pfn_to_pa(pfn_t f) { return (pa_t){ f.idx << PAGE_SHIFT }; }
static inline pfn_t pa_to_pfn(pa_t p) { return (pfn_t){ p.raw >> PAGE_SHIFT }; }
static inline pa_t  pa_add(pa_t p, uint64_t bytes) { return (pa_t){ p.raw + bytes }; }
static inline va_t  va_add(va_t v, uint64_t bytes) { return (va_t){ v.raw + bytes }; }
static inline pfn_t pfn_add(pfn_t f, uint64_t frames) { return (pfn_t){ f.idx + frames }; }
static inline va_t  va_of(const void *p) { return (va_t){ (uintptr_t)p }; }

/* A power of two is meant by `align` in both. */
static inline uint64_t align_down(uint64_t x, uint64_t align) { return x & ~(align - 1); }
static inline uint64_t align_up(uint64_t x, uint64_t align) { return (x + align - 1) & ~(align - 1); }
static inline bool     is_aligned(uint64_t x, uint64_t align) { return (x & (align - 1)) == 0; }
static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* printf formats for the types above: printf("frame at " PA_FMT "\n", PA_ARG(p)) */
#define PA_FMT     "pa:%012llx"
#define PA_ARG(p)  ((unsigned long long)(p).raw)
#define VA_FMT     "va:%016llx"
#define VA_ARG(v)  ((unsigned long long)(v).raw)
#define PFN_FMT    "pfn:%llx"
#define PFN_ARG(f) ((unsigned long long)(f).idx)
#define ULL(x)     ((unsigned long long)(x))

#endif
