/* SPDX-License-Identifier: MIT */
/* core/bench/programs.c - what memory costs a program: core/user/bench.c measures it in ring 3, and prints it */
#include "core/bench/bench.h"
#include "core/log.h"
#include "core/proc/proc.h"

static err_t run(void)
{
    static const char *const argv[] = { "bench" };
    const struct proc_want   want = { .name = argv[0], .argc = 1, .argv = argv, .parent = &proc_console };
    struct proc_end          end = { .status = 0 };
    unsigned                 pid;
    err_t                    err = proc_spawn(&want, &pid, NULL);

    if (err == ERR_OK)
        err = proc_wait(&proc_console, pid, &end);
    if (err != ERR_OK || end.status == 0)
        return err;
    kprintf("bench: %s\n", end.words);
    return ERR_CORRUPT;
}

const struct bench bench_programs = { "programs", run };
