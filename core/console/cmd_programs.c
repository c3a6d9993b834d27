/* SPDX-License-Identifier: MIT */
/* core/console/cmd_programs.c - the programs there are for ring 3, and what their files say */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/abi.h"
#include "core/proc/elf.h"
#include "core/proc/program.h"

/* "r-x 4.2 KiB" for each segment; a malformed file: why */
static err_t print_program(const struct program *p)
{
    struct elf_image image;
    const char      *why;
    char             size[FMT_SIZE_BYTES];
    err_t            err = elf_read(p->bytes, p->n_bytes, &image, &why);

    kprintf("%-12s %10s ", p->name, fmt_size(size, p->n_bytes));
    if (err != ERR_OK) {
        kprintf(" refused: %s\n", why);
        return err;
    }
    for (unsigned i = 0; i < image.n_segments; i++) {
        const struct elf_segment *s = &image.segment[i];

        kprintf("  r%c%c %s", s->prot & PROT_WRITE ? 'w' : '-', s->prot & PROT_EXEC ? 'x' : '-',
                fmt_size(size, s->mem_bytes));
    }
    kprintf("%s\n", p->brought ? "  (ESP)" : "");
    return ERR_OK;
}

static err_t programs(unsigned argc, char *argv[])
{
    const struct program *p;
    err_t                 first = ERR_OK;

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf(HEADING("%-12s %10s  %s\n"), "name", "file", "segments in memory");
    for (unsigned i = 0; (p = program_at(i)) != NULL; i++) {
        err_t err = print_program(p);

        first = first == ERR_OK ? err : first;
    }
    return first;
}

const struct command commands_programs[] = {
    { "programs", "", "the programs for ring 3: in the image, and read from the ESP", programs },
    { NULL, NULL, NULL, NULL },
};
