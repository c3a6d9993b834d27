/* SPDX-License-Identifier: MIT */
/* core/proc/program.h - the programs there are: in the image, and read from the ESP */
#ifndef CORE_PROC_PROGRAM_H
#define CORE_PROC_PROGRAM_H

#include "core/boot_info.h"

/* An ELF file in memory. It starts on a page's start, and what follows it up to the next is zero:
 * its frames can be mapped into a process as they are. tools/programs.py writes such structs, too. */
struct program {
    const char    *name;
    const uint8_t *bytes;
    uint64_t       n_bytes;
    bool           brought; /* from the ESP */
};

/* program_start - add the programs that were read from the ESP; a malformed one is logged and left out */
void program_start(const struct boot_info *b);

/* program_find - the program of that name, NULL if there is none; those of the ESP come first */
const struct program *program_find(const char *name);

/* program_at - the i-th program, NULL after the last */
const struct program *program_at(unsigned i);

#endif
