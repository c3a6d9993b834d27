/* SPDX-License-Identifier: MIT */
/* core/panic.h - last words */
#ifndef CORE_PANIC_H
#define CORE_PANIC_H

#include "mm/attr.h"
#include "mm/types.h"

struct trap_frame;

/* panic_trap - an exception that nobody expected; port_panic() is the other way to end here */
NORETURN void panic_trap(const struct trap_frame *f);

/* panic_walk - print the page-table entries that lead to where a #PF or #DF came from, and what kind of fault it was */
void panic_walk(const struct trap_frame *f);

/* panic_exit_port - where a panic ends a test boot (QEMU's isa-debug-exit), 0 = nowhere */
void panic_exit_port(unsigned port);

#endif
