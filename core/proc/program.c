/* SPDX-License-Identifier: MIT */
/* core/proc/program.c - the programs there are; tools/programs.py made the table of those in the image */
#include "core/proc/program.h"

#include "core/str.h"

extern const struct program programs_embedded[];
extern const uint64_t       n_programs_embedded;

const struct program *program_at(unsigned i) { return i < n_programs_embedded ? &programs_embedded[i] : NULL; }

const struct program *program_find(const char *name)
{
    const struct program *p;

    for (unsigned i = 0; (p = program_at(i)) != NULL; i++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}
