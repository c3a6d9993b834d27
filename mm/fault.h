/* SPDX-License-Identifier: MIT */
/* mm/fault.h - page faults: what happened, in the words of the notes */
#ifndef MM_FAULT_H
#define MM_FAULT_H

#include "mm/pt.h"

/* The error code that the CPU pushes: SDM 3A "Page-Fault Exceptions" */
#define FAULT_ERR_P    ((uint64_t)1 << 0) /* a present entry refused; 0: an entry was not present */
#define FAULT_ERR_W    ((uint64_t)1 << 1) /* the access was a write                               */
#define FAULT_ERR_U    ((uint64_t)1 << 2) /* ... by ring 3                                        */
#define FAULT_ERR_RSVD ((uint64_t)1 << 3) /* an entry has a reserved bit                          */
#define FAULT_ERR_I    ((uint64_t)1 << 4) /* the access was an instruction fetch                  */
#define FAULT_ERR_PK   ((uint64_t)1 << 5) /* a protection key refused                             */
#define FAULT_ERR_SS   ((uint64_t)1 << 6) /* the access was to a shadow stack                     */

enum fault_kind {
    FAULT_PURE,       /* nothing is mapped there                                  */
    FAULT_WRITE,      /* a write to a read-only page                              */
    FAULT_PERMISSION, /* mapped, but not for this access; `reason` says which way */
    FAULT_RESERVED,   /* the tables are broken                                    */
    FAULT_SPURIOUS,   /* the tables allow it: a stale translation, or another CPU was faster */
    FAULT_KINDS
};

enum fault_reason {
    FAULT_NO_REASON,
    FAULT_SUPERVISOR_PAGE, /* ring 3 touched a page of the kernel's   */
    FAULT_NX,              /* a fetch from a page that holds no code  */
    FAULT_SMEP,            /* the kernel fetched from a user page     */
    FAULT_SMAP,            /* the kernel touched a user page, AC = 0  */
    FAULT_KEY,             /* the page's protection key is closed     */
    FAULT_SHADOW_STACK,
    FAULT_REASONS
};

/* How the CPU judges, as far as the error code doesn't tell */
struct fault_cpu {
    bool wp, smep, smap;
    bool ac; /* EFLAGS.AC at the fault */
};

struct fault {
    va_t              address;
    enum fault_kind   kind;
    enum fault_reason reason;
    unsigned          level; /* pure: level of the entry that is not present; reserved: that has the bit; else the page's */
    bool              write, fetch, user;
};

/*
 * fault_decode - what happened
 *
 *   error   as the CPU pushed it
 *   walk    pt_walk() of the address, in the tables the CPU used
 *
 *   Rows, tried from the top; see mm/fault.c.
 */
struct fault fault_decode(va_t address, uint64_t error, const struct pt_walk *walk, struct fault_cpu cpu);

/* fault_kind_name - "pure", "write", "permission", "reserved bit", "spurious" */
const char *fault_kind_name(enum fault_kind kind);

/* fault_reason_words - "the kernel fetched from a user page (SMEP)"; "" for FAULT_NO_REASON */
const char *fault_reason_words(enum fault_reason reason);

#endif
