/* SPDX-License-Identifier: MIT */
/*
 * mm/tlb_shadow.h - a TLB that never forgets by itself (tlb.check=1)
 *
 * The mapper tells it every present entry that changes, mm/tlb.c every invalidation. What changed and was not
 * invalidated where a CPU could have it cached is a missing flush, whether or not this CPU happened to
 * have it; an invalidation that met nothing is a superfluous one.
 */
#ifndef MM_TLB_SHADOW_H
#define MM_TLB_SHADOW_H

#include "mm/pte.h"

struct tlb_space;

/* Off until tlb_shadow_start(): one test of a flag is all it costs then. */
extern bool tlb_shadow_on;

struct tlb_shadow_stats {
    uint64_t changes;     /* present entries that changed so that a CPU could go wrong      */
    uint64_t missing;     /* pages of those that were not flushed when their batch was closed */
    uint64_t superfluous; /* invalidations that met nothing                                 */
    uint64_t lost;        /* changes not followed: no memory for them                       */
};

/* tlb_shadow_start - from now on, with everything before believed flushed; false: stop */
void tlb_shadow_start(bool on);

struct tlb_shadow_stats tlb_shadow_stats(void);

/* tlb_shadow_name - from now on, every superfluous flush is told in the log; false: only counted */
void tlb_shadow_name(bool on);

/* A page of `bytes` at v had the entry `old` and has `new` (raw), in this space (NULL: the kernel's half) */
void tlb_shadow_page(const struct tlb_space *space, va_t v, uint64_t bytes, uint64_t old, uint64_t new);

/* The entry that led to a table for [v, v + bytes) leads there no more */
void tlb_shadow_table(const struct tlb_space *space, va_t v, uint64_t bytes);

/* The same, and all pages below it went to another address with it */
void tlb_shadow_moved(const struct tlb_space *space, va_t v, uint64_t bytes);

/* What this CPU invalidated */
void tlb_shadow_invlpg(va_t v);
void tlb_shadow_invpcid(const struct tlb_space *space, va_t v); /* pages of this space; no tables */
void tlb_shadow_all(bool globals);
void tlb_shadow_load(const struct tlb_space *space, bool keep);

/* The batch of this space is closed: what is left of its changes was forgotten. */
void tlb_shadow_closed(const struct tlb_space *space);

#endif
