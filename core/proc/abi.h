/* SPDX-License-Identifier: MIT */
/*
 * core/proc/abi.h - what a program in ring 3 and the kernel agree on; both include it
 *
 * A call: SYSCALL with the number in RAX, arguments in RDI, RSI, RDX, R10, R8, R9. RAX comes back with the
 * result, or with minus an err_t (mm/err.h). RCX and R11 are lost (SYSCALL's), all else is kept.
 * docs/syscalls.md tells what each one does.
 */
#ifndef CORE_PROC_ABI_H
#define CORE_PROC_ABI_H

#include <stdint.h>

enum syscall_number {
    SYS_EXIT,         /* (status)                              does not return                       */
    SYS_WRITE,        /* (text, n_bytes)                       n_bytes, to the console               */
    SYS_READ,         /* (out, n_bytes)                        bytes read; waits for the first       */
    SYS_MAP,          /* (address or 0, n_bytes, prot | map)   address                               */
    SYS_UNMAP,        /* (address, n_bytes)                                                          */
    SYS_PROTECT,      /* (address, n_bytes, prot)                                                    */
    SYS_REMAP,        /* (address, old_bytes, new_bytes, map)  address: "memory resizing"            */
    SYS_BRK,          /* (end or 0)                            the heap's end                        */
    SYS_FORK,         /* ()                                    the child's pid, 0 in the child       */
    SYS_SPAWN,        /* (name, arguments[], n_arguments)      the child's pid                       */
    SYS_WAIT,         /* (pid or 0 for any, status out)        pid of the child that ended           */
    SYS_YIELD,        /* ()                                                                          */
    SYS_SLEEP,        /* (nanoseconds)                                                               */
    SYS_KILL,         /* (pid)                                                                       */
    SYS_PID,          /* ()                                    own pid: the null system call         */
    SYS_CLOCK,        /* ()                                    nanoseconds since power-on            */
    SYS_SHARE,        /* (name, n_bytes, prot, address or 0)   address; one memory for each name     */
    SYS_MAP_FILE,     /* (name, offset, n_bytes, prot | map)   address; a program file's bytes       */
    SYS_ADVISE,       /* (address, n_bytes, enum advice)                                             */
    SYS_LOCK,         /* (address, n_bytes, 1 or 0)            resident until unlocked               */
    SYS_MEMORY,       /* (struct memory_info out, its bytes)                                         */
    SYS_ON_FAULT,     /* (handler or 0, stack top or 0)        void handler(struct fault_info *)     */
    SYS_FAULT_RETURN, /* (struct fault_info)                   goes on with its registers            */
    SYS_SEGMENT,      /* (enum segment_of, bytes, n, limit)    base << 16 | selector in the LDT      */
    SYS_CALLS
};

/* prot and map of SYS_MAP, SYS_PROTECT, SYS_REMAP, SYS_SHARE, SYS_MAP_FILE */
#define PROT_READ   1u
#define PROT_WRITE  2u
#define PROT_EXEC   4u
#define MAP_FIXED   8u  /* at this address or not at all                                  */
#define MAP_SHARED  16u /* SYS_MAP_FILE: writes go to all who map it; else each has its own */
#define MAP_MOVE    32u /* SYS_REMAP: the mapping may move                                 */

enum segment_of { SEGMENT_OF_DATA, SEGMENT_OF_CODE }; /* 32-bit */
enum advice { ADVISE_NORMAL, ADVISE_WILL_NEED, ADVISE_DONT_NEED, ADVISE_HUGE, ADVISE_NO_HUGE };

/* SYS_MEMORY */
struct memory_info {
    uint64_t resident_pages; /* mapped to frames of its own or shared, the zero frame not counted */
    uint64_t shared_pages;   /* of these, in other address spaces too                             */
    uint64_t swapped_pages;
    uint64_t working_set_pages;
    uint64_t huge_pages;     /* of 2 MiB                                                          */
    uint64_t table_pages;    /* page tables                                                       */
    uint64_t limit_pages;
    uint64_t free_pages;     /* of the machine                                                    */
    uint64_t faults_zero;    /* page faults by what they led to: shared zero frame mapped,        */
    uint64_t faults_new;     /* ... a fresh frame,                                                */
    uint64_t faults_copy;    /* ... a copy,                                                       */
    uint64_t faults_reuse;   /* ... made writable: no one shared it any more,                     */
    uint64_t faults_image;   /* ... filled from a file,                                           */
    uint64_t faults_swap;    /* ... brought back from disk,                                       */
    uint64_t faults_grow;    /* of the above: grew the stack or was the first on a heap page      */
};

/* What SYS_ON_FAULT's handler is given, on its stack; SYS_FAULT_RETURN loads the registers from it */
struct fault_info {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t rip, rflags, rsp;
    uint64_t vector; /* 14: page fault                            */
    uint64_t error;  /* as the CPU pushed it                      */
    uint64_t address; /* that faulted, for a page fault           */
};

#endif
