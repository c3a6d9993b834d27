/* SPDX-License-Identifier: MIT */
/* core/proc/elf.h - reading a program's file: checked as a whole, before any of it is mapped */
#ifndef CORE_PROC_ELF_H
#define CORE_PROC_ELF_H

#include "mm/err.h"
#include "mm/types.h"

#define ELF_SEGMENTS_MAX 8
#define ELF_BYTES_MAX    (16 * GIB) /* of address space from the program's first byte to its last */

/* A piece of the file and where it goes, counted from where the program is put */
struct elf_segment {
    uint64_t address;    /* of its first byte; not always on a page's start             */
    uint64_t offset;     /* in the file; equal to `address` modulo PAGE_SIZE            */
    uint64_t file_bytes; /* from the file                                               */
    uint64_t mem_bytes;  /* in memory; what is beyond file_bytes is zero                */
    unsigned prot;       /* PROT_* (core/proc/abi.h); never PROT_WRITE with PROT_EXEC   */
};

struct elf_image {
    uint64_t           entry; /* lies in the file's bytes of an executable segment  */
    uint64_t           end;   /* of the highest segment, rounded up to a page       */
    unsigned           n_segments;
    struct elf_segment segment[ELF_SEGMENTS_MAX]; /* upwards; no two share a page */
};

/*
 * elf_read - a static position-independent ELF64 executable for x86-64: what goes where
 *
 *   bytes[n_bytes]  the file, at any alignment; nothing outside it is ever read
 *   out             written only on ERR_OK
 *   why             else what is wrong with the file, in words; NULL: not asked for
 *
 *   Errors  ERR_CORRUPT  no such file: damaged, truncated, or lying about its own parts
 *           ERR_NOSYS    whole, but of a kind that does not run here: other machine, not position-
 *                        independent, wants a dynamic linker, thread-local or executable data
 *   Source  System V ABI (gABI) "Object Files", "Program Loading"; its AMD64 supplement
 */
err_t elf_read(const void *bytes, size_t n_bytes, struct elf_image *out, const char **why) MUST_USE;

#endif
