/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_elf.c - any bytes as a program's file: what is accepted keeps elf_read()'s promises
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/proc/abi.h"
#include "core/proc/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_elf: %s\n", what);
    abort();
}

/* Every byte that a loader would take from the file is read, so that the sanitizer sees where it lies. */
static void check_segments(const uint8_t *data, const struct elf_image *image)
{
    volatile uint8_t byte = 0;
    uint64_t         end = 0;
    bool             entry = false;

    for (unsigned i = 0; i < image->n_segments; i++) {
        const struct elf_segment *s = &image->segment[i];

        must((s->prot & (PROT_WRITE | PROT_EXEC)) != (PROT_WRITE | PROT_EXEC), "writable and executable");
        must(s->mem_bytes > 0 && s->file_bytes <= s->mem_bytes, "more in the file than in memory");
        must(s->address / PAGE_SIZE * PAGE_SIZE >= end, "a page shared");
        must((s->address ^ s->offset) % PAGE_SIZE == 0, "not congruent");
        end = (s->address + s->mem_bytes + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
        must(end > s->address && end <= ELF_BYTES_MAX, "beyond the largest program");
        for (uint64_t at = 0; at < s->file_bytes; at++)
            byte = data[s->offset + at];
        entry |= (s->prot & PROT_EXEC) != 0 && image->entry - s->address < s->file_bytes;
    }
    must(end == image->end, "the end");
    must(entry, "the entry");
    (void)byte;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_image image;
    const char      *why = NULL;

    if (elf_read(data, size, &image, &why) == ERR_OK)
        check_segments(data, &image);
    else
        must(why != NULL && *why != '\0', "refused without a reason");
    return 0;
}
