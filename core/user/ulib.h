/* SPDX-License-Identifier: MIT */
/*
 * core/user/ulib.h - what a program has: the system calls, printing, memory
 *
 * A program is one C file with `int main(int argc, char **argv)`; docs/tour.md tells how to make your own.
 * Strings are those of core/str.h, numbers are read and written by core/fmt.h, as in the kernel.
 */
#ifndef CORE_USER_ULIB_H
#define CORE_USER_ULIB_H

#include "core/fmt.h"
#include "core/proc/abi.h"
#include "core/str.h"
#include "core/x86/insn.h"
#include "mm/err.h"
#include "mm/types.h"

/* ---- printing ---------------------------------------------------------------------------------- */

/* print - to the console; a line at a time stays together when several programs print */
void print(const char *fmt, ...) PRINTF(1, 2);

/* fail - "NAME: what: error in words", and the program's end with status 1 */
NORETURN void fail(const char *what, int64_t result);

/* must - `result` of a system call if it succeeded, else fail() */
int64_t must(const char *what, int64_t result);

/* ---- memory ------------------------------------------------------------------------------------ */

void *malloc(size_t n_bytes); /* NULL: the heap cannot grow any more */
void *calloc(size_t n, size_t each_bytes);
void *realloc(void *p, size_t n_bytes);
void  free(void *p);

/* ---- system calls: docs/syscalls.md. Negative results are minus an err_t ------------------------ */

typedef void fault_handler(struct fault_info *fault);

static inline uint64_t uaddr(const volatile void *p) { return (uint64_t)(uintptr_t)p; }
static inline void *uptr(int64_t address) { return (void *)(uintptr_t)address; }

NORETURN void sys_exit(int status);
int64_t       sys_write(const char *text, size_t n_bytes);
int64_t       sys_read(char *out, size_t n_bytes);
int64_t       sys_map(void *at, size_t n_bytes, unsigned prot);
int64_t       sys_unmap(void *at, size_t n_bytes);
int64_t       sys_protect(void *at, size_t n_bytes, unsigned prot);
int64_t       sys_remap(void *at, size_t old_bytes, size_t new_bytes, unsigned map);
int64_t       sys_brk(void *end);
int64_t       sys_fork(void);
int64_t       sys_spawn(const char *name, char *const arguments[], size_t n_arguments);
int64_t       sys_wait(int64_t pid, int *status);
int64_t       sys_yield(void);
int64_t       sys_sleep(uint64_t nanoseconds);
int64_t       sys_kill(int64_t pid);
int64_t       sys_pid(void);
int64_t       sys_clock(void);
int64_t       sys_share(const char *name, size_t n_bytes, unsigned prot, void *at);
int64_t       sys_map_file(const char *name, uint64_t offset, size_t n_bytes, unsigned prot);
int64_t       sys_advise(void *at, size_t n_bytes, enum advice advice);
int64_t       sys_lock(void *at, size_t n_bytes, bool lock);
int64_t       sys_memory(struct memory_info *out);
int64_t       sys_segment(enum segment_of what, const void *bytes, size_t n_bytes, uint64_t limit);

/*
 * on_fault - from now on the program's own faults call handler(fault), on the stack that ends at stack_top
 *
 *   When the handler returns, the program goes on with the registers that stand in *fault: at the
 *   instruction that faulted unless the handler moved rip. NULL: no handler any more.
 *   stack_top  NULL: the stack in use. A handler that makes the stack grow needs one of its own.
 */
int64_t on_fault(fault_handler *handler, void *stack_top);

#endif
