/* SPDX-License-Identifier: MIT */
/* core/proc/syscall.h - the system calls about memory and segments, for the table in syscall.c */
#ifndef CORE_PROC_SYSCALL_H
#define CORE_PROC_SYSCALL_H

#include "core/proc/abi.h"
#include "core/x86/user.h"

syscall_fn sys_map, sys_unmap, sys_protect, sys_remap, sys_brk, sys_share, sys_map_file, sys_advise, sys_lock, sys_memory, sys_segment;

#endif
