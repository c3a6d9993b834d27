/* SPDX-License-Identifier: MIT */
/*
 * mm/tlb.h - forgetting translations: who must, which, and when their frames may be used again
 *
 * A change to tables that were in use is made inside a batch:
 *
 *     struct tlb_batch batch;
 *
 *     tlb_batch_open(&batch, NULL);
 *     err = pt_unmap(&kernel_pt, start, n_pages, &batch);
 *     tlb_batch_close(&batch);
 */
#ifndef MM_TLB_H
#define MM_TLB_H

#include <stdatomic.h>

#include "mm/pte.h"

#define TLB_BATCH_PAGES 32 /* more than this and the whole TLB goes: refilling it costs less than so many INVLPG */
#define TLB_BATCH_RUNS  24 /* runs of frames that one batch can hold back                                        */

/* What the TLB knows of one address space; the kernel's half belongs to all and has none (NULL). */
struct tlb_space {
    unsigned         pcid;   /* [c] 0 without PCIDs                                                   */
    _Atomic uint64_t active; /* [a] CPUs whose CR3 holds this space                                   */
    _Atomic uint64_t stale;  /* [a] CPUs that may hold old translations under `pcid` while not active */
};

/* What this machine's TLBs can do. Set once by tlb_start(). */
struct tlb_cpu {
    bool pcid;    /* CR4.PCIDE is on                                */
    bool invpcid; /* the instruction exists  CPUID.7.0:EBX[10]      */
};
extern struct tlb_cpu tlb_cpu;

/* Neighbouring blocks of 2^order frames */
struct tlb_run {
    pfn_t    start;
    uint64_t n_blocks;
    unsigned order;
    bool     counted; /* others may share them (mm/framedb.h): freed with the last reference */
};

struct tlb_batch {
    struct tlb_space *space;                 /* NULL: the kernel's half, every CPU                   */
    va_t              page[TLB_BATCH_PAGES]; /* pages to forget, one by one ...                      */
    unsigned          n_pages;
    bool              all;                   /* ... or everything                                    */
    pfn_t             tables;                /* table frames to free, linked through their first word */
    uint64_t          n_tables;
    struct tlb_run    run[TLB_BATCH_RUNS];   /* frames to free                                       */
    unsigned          n_runs;
};

/* What closing batches did since the start, for the console and for tests; kept per machine, not per CPU */
struct tlb_stats {
    uint64_t batches, pages, alls, global_alls, calls, tables, frames;
};

void tlb_start(const struct tlb_cpu *cpu);

/* tlb_batch_open - an empty batch; space: whose user half changes, NULL for the kernel's half */
void tlb_batch_open(struct tlb_batch *b, struct tlb_space *space);

/*
 * tlb_batch_close - flush here and on every CPU that must, then free the frames and tables held back
 *
 *   The batch is open and empty again afterwards.
 *
 *   Locks  none may be held that a CPU takes with interrupts off: other CPUs must be able to answer
 *   Cost   at most TLB_BATCH_PAGES INVLPG, or one full flush, per CPU
 */
void tlb_batch_close(struct tlb_batch *b);

/* tlb_changed - the translation of a page of any size is not to be trusted any more */
static inline void tlb_changed(struct tlb_batch *b, va_t page)
{
    if (b->n_pages == TLB_BATCH_PAGES)
        b->all = true;
    else
        b->page[b->n_pages++] = page;
}

/* tlb_changed_many - more translations than anybody wants to list */
static inline void tlb_changed_many(struct tlb_batch *b) { b->all = true; }

/* tlb_room - how many more pages the batch would flush one by one */
static inline unsigned tlb_room(const struct tlb_batch *b) { return b->all ? 0 : TLB_BATCH_PAGES - b->n_pages; }

/* tlb_free_table - this empty table was unlinked; its frame is freed after the flush */
void tlb_free_table(struct tlb_batch *b, pfn_t table);

/*
 * tlb_free_block - this allocated block of 2^order frames was unmapped; it is freed after the flush
 *
 *   counted  others may share it: after the flush one less does, and it is freed with the last one
 *
 *   Returns false, and has done nothing, when the batch can hold no more: close it first.
 */
bool tlb_free_block(struct tlb_batch *b, pfn_t block, unsigned order, bool counted) MUST_USE;

/*
 * tlb_must_flush - may a CPU go wrong with the old translation where the tables say the new one?
 *
 *   old, cleared, set   bits of a present entry, of any level, that went from 1 to 0 and from 0 to 1
 *
 *   Rows are tried from the top:
 *     P cleared, or another frame, size, cache type, key or G      yes
 *     W cleared, NX set, U changed                                 yes  (SMEP and SMAP make U a restriction too)
 *     A or D cleared                                               yes  (else the CPU may not set it again)
 *     W set, NX cleared, A or D set, software's bits               no   (at most one spurious fault)
 *
 *   Source  SDM 3A "Optional Invalidation"
 */
bool tlb_must_flush(uint64_t cleared, uint64_t set);

/* tlb_switch - this CPU leaves a space for another, whose top table is `root`; keeps what may be kept */
void tlb_switch(struct tlb_space *from, struct tlb_space *to, pfn_t root);

struct tlb_stats tlb_stats(void);

#endif
