/* SPDX-License-Identifier: MIT */
/* core/proc/uaccess.h - the one way from ring 0 to ring 3's memory */
#ifndef CORE_PROC_UACCESS_H
#define CORE_PROC_UACCESS_H

#include "mm/err.h"
#include "mm/types.h"

struct trap_frame;

static inline uva_t uva(uint64_t raw) { return (uva_t){ raw }; }

/*
 * copy_from_user, copy_to_user - n_bytes between the kernel's memory and the process that runs
 *
 *   What is not there yet is brought in, as if the program had touched it. Each byte is read or written
 *   once: what was copied is what is judged and used.
 *   Errors  ERR_PERM  not all of it is the program's to read (to write); some may have been copied
 */
err_t copy_from_user(void *out, uva_t from, size_t n_bytes) MUST_USE;
err_t copy_to_user(uva_t to, const void *from, size_t n_bytes) MUST_USE;

/*
 * copy_string_from_user - a string up to its '\0'
 *
 *   size_bytes  room in out, for the '\0', too
 *   Errors  ERR_PERM   as above      ERR_INVAL  it is longer
 */
err_t copy_string_from_user(char *out, size_t size_bytes, uva_t from) MUST_USE;

/* uaccess_user_end - the first address above ring 3's part of the address space */
uint64_t uaccess_user_end(void);

/* uaccess_fault - a page fault of the kernel's: if it came of a copy, it is seen to here, and true is returned */
bool uaccess_fault(struct trap_frame *f);

#endif
