/* SPDX-License-Identifier: MIT */
/* test/bench/ptrc.c - reading recorded traces of a page allocator */
#include "test/bench/ptrc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *path, const char *reason)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", path, reason);
        exit(1);
    }
}

void ptrc_read(struct ptrc *t, const char *path)
{
    char     command[512], magic[8];
    uint64_t head[3];
    FILE    *pipe;

    must(strchr(path, '\'') == NULL && snprintf(command, sizeof command, "xz -dc '%s'", path) < (int)sizeof command, path,
         "not a name that a shell can be given");
    pipe = popen(command, "r"); /* NOLINT(bugprone-command-processor,cert-env33-c): a benchmark's own file */
    must(pipe != NULL && fread(magic, sizeof magic, 1, pipe) == 1 && memcmp(magic, "PTRC1\0\0", sizeof magic) == 0 &&
             fread(head, sizeof head, 1, pipe) == 1,
         path, "not a trace (PTRC1)");
    *t = (struct ptrc){ head[0], head[1], head[2], malloc(head[1] * sizeof *t->events) };
    must(t->events != NULL && fread(t->events, sizeof *t->events, t->n_events, pipe) == t->n_events && pclose(pipe) == 0, path,
         "cut short");
    for (uint64_t i = 0; i < t->n_events; i++)
        must(ptrc_slot(t->events[i]) < t->n_slots, path, "an event makes no sense");
}

void ptrc_close(struct ptrc *t) { free(t->events); }
