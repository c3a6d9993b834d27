/* SPDX-License-Identifier: MIT */
/* core/proc/segments.h - segments of a process's own: its LDT, and the memory below 4 GiB that they lie in */
#ifndef CORE_PROC_SEGMENTS_H
#define CORE_PROC_SEGMENTS_H

#include "mm/as.h"

#define SEGMENTS_MAX 8

/* A process has one once it has made its first segment; only its thread changes it */
struct segments {
    uint64_t ldt[SEGMENTS_MAX];
    pfn_t    frame[SEGMENTS_MAX]; /* each segment's memory: one page        */
    va_t     at[SEGMENTS_MAX];
    unsigned n;
    uint16_t ds, es, fs;          /* while another thread runs              */
};

/* segments_leave, segments_enter - a context switch: what the one that runs has loaded, and the other had; not NULL */
void segments_leave(struct segments *s);
void segments_enter(const struct segments *s);

/* segments_end - a process ends: its segments' memory goes back; NULL: it has none. `as` is in use on no CPU. */
void segments_end(struct segments *s, struct as *as);

#endif
