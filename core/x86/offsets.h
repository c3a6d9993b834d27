/* SPDX-License-Identifier: MIT */
/* core/x86/offsets.h - numbers that assembly and C share; the structs' own files hold them against the structs */
#ifndef CORE_X86_OFFSETS_H
#define CORE_X86_OFFSETS_H

/* struct cpu, from GS */
#define CPU_USER_RSP   24
#define CPU_KERNEL_RSP 32
#define CPU_ATTENTION  40
#define CPU_SMAP       44

/* struct trap_frame */
#define FRAME_R10    40
#define FRAME_R9     48
#define FRAME_R8     56
#define FRAME_RDX    88
#define FRAME_RAX    112
#define FRAME_RIP    136
#define FRAME_CS     144
#define FRAME_RFLAGS 152
#define FRAME_RSP    160
#define FRAME_BYTES  176

#define FRAME_SYSCALL 256 /* in `vector`: a system call, and nothing that the CPU numbers */

#endif
