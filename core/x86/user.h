/* SPDX-License-Identifier: MIT */
/* core/x86/user.h - system calls, and copies from and to ring 3 */
#ifndef CORE_X86_USER_H
#define CORE_X86_USER_H

#include "core/x86/trap.h"

/* user_start - this CPU takes system calls, and ring 3 has no floating point */
void user_start(void);

/*
 * user_copy - copy n_bytes between the kernel's memory and ring 3's, whatever is there
 *
 *   Returns false when a page of ring 3's could not be touched; some of it may have been copied.
 *   The addresses have been checked: core/proc/uaccess.c alone calls this.
 */
bool user_copy(void *to, const void *from, uint64_t n_bytes);
bool user_copy_smap(void *to, const void *from, uint64_t n_bytes); /* for CPUs with SMAP */

/* What core/x86/user.S calls: the table is core/proc/syscall.c's, indexed by the number in RAX */
typedef int64_t syscall_fn(struct trap_frame *f);
extern syscall_fn *const syscall_table[];
extern const uint64_t    syscall_count;
int64_t                  syscall_unknown(struct trap_frame *f);

/* user_attention - before ring 3: let others go first, or end the process. Interrupts are off, before and after. */
void user_attention(void);

#endif
