/* SPDX-License-Identifier: MIT */
/*
 * core/proc/program.c - the programs there are
 *
 * tools/programs.py made the table of those in the image. Those of the ESP lie where efi/programs.c read them
 * to, in frames that stage 4 kept; they are reached through the direct map.
 */
#include "core/proc/program.h"

#include "core/log.h"
#include "core/proc/elf.h"
#include "core/str.h"

#define TAG "program"

extern const struct program programs_embedded[];
extern const uint64_t       n_programs_embedded;

static struct {
    struct program program[BOOT_PROGRAMS_MAX];
    unsigned       n;
} brought;

static void complain(const char *line)
{
    for (size_t n; *line != '\0'; line += n + (line[n] == '\n')) {
        for (n = 0; line[n] != '\n' && line[n] != '\0';)
            n++;
        log_warn(TAG, "%.*s; it is left out", (int)n, line);
    }
}

void program_start(const struct boot_info *b)
{
    complain(b->program_notes);
    for (unsigned i = 0; i < b->n_programs; i++) {
        const struct boot_program *from = &b->programs[i];
        struct program             p = { from->name, port_ptr(from->at), from->n_bytes, true };
        struct elf_image           image;
        const char                *why;

        if (elf_read(p.bytes, p.n_bytes, &image, &why) == ERR_OK)
            brought.program[brought.n++] = p;
        else
            log_warn(TAG, "%s.elf: %s; it is left out", p.name, why);
    }
    if (brought.n > 0)
        log_info(TAG, "%u program%s from the ESP", brought.n, brought.n == 1 ? "" : "s");
}

const struct program *program_at(unsigned i)
{
    if (i < brought.n)
        return &brought.program[i];
    return i - brought.n < n_programs_embedded ? &programs_embedded[i - brought.n] : NULL;
}

const struct program *program_find(const char *name)
{
    const struct program *p;

    for (unsigned i = 0; (p = program_at(i)) != NULL; i++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}
