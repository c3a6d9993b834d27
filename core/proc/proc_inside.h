/* SPDX-License-Identifier: MIT */
/* core/proc/proc_inside.h - what the files of core/proc/ know of one another */
#ifndef CORE_PROC_PROC_INSIDE_H
#define CORE_PROC_PROC_INSIDE_H

#include "core/proc/proc.h"
#include "core/proc/program.h"

/* proc_new - room for a process, its pid taken; it is no one's yet. ERR_NOMEM */
err_t proc_new(const char *name, struct process *parent, struct process **out) MUST_USE;

/* proc_go - it has a space: a thread that runs fn(p). ERR_NOMEM: it is as if it had never been, but its space */
err_t proc_go(struct process *p, void (*fn)(void *p)) MUST_USE;

/* proc_drop - a process of proc_new() that never went, back; its space is gone */
void proc_drop(struct process *p);

/* proc_exit - the process that calls ends; words as fmt_string() */
NORETURN void proc_exit(unsigned status, const char *fmt, ...) PRINTF(2, 3);

/* proc_fork - a copy of the process that calls, which goes on from `f` with 0 in RAX. ERR_NOMEM */
err_t proc_fork(const struct trap_frame *f, unsigned *pid) MUST_USE;

/* proc_enter - to ring 3 for the first time */
NORETURN void proc_enter(struct process *p);

/* proc_file - the file of a program, for mapping. ERR_NOMEM */
err_t proc_file(const struct program *program, const struct image_file **out) MUST_USE;

/*
 * proc_page_fault - ring 3, or the kernel for it, could not access an address; interrupts are on
 *
 *   Errors  as as_fault(), but ERR_NOMEM: only when it is this process that has to go
 */
err_t proc_page_fault(uint64_t address, uint64_t error) MUST_USE;

/* user_trap - an exception in ring 3, seen to; core/x86/trap.c calls it */
void user_trap(struct trap_frame *f);

/* user_fault_return - SYS_FAULT_RETURN */
int64_t user_fault_return(struct trap_frame *f);

/* proc_end_other - it ends on its way to ring 3, with this status and these words; the first to say so counts */
void proc_end_other(struct process *p, unsigned status, const char *words);

#endif
