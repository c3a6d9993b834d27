/* SPDX-License-Identifier: MIT */
/* test/bench/mtrc.c - reading recorded allocation traces */
#include "test/bench/mtrc.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_MAX ((size_t)1 << 32) /* reserved, not touched */

extern char **environ;

static void die(const char *path, const char *reason)
{
    fprintf(stderr, "%s: %s\n", path, reason);
    exit(1);
}

/* A pipe from `xz -dc path`, and its process. Allocators are measured by LD_PRELOAD: xz runs without. */
static int open_xz(const char *path, pid_t *pid)
{
    const char                *argv[] = { "xz", "-dc", path, NULL };
    char                      *env[] = { (char *)(uintptr_t) "PATH=/usr/bin:/bin", NULL };
    posix_spawn_file_actions_t actions;
    int                        fds[2];

    if (pipe(fds) != 0)
        die(path, "no pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    if (posix_spawnp(pid, "xz", &actions, NULL, (char **)(uintptr_t)argv, env) != 0)
        die(path, "cannot start xz");
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    return fds[0];
}

static size_t read_all(const char *path, unsigned char *to)
{
    size_t      n = strlen(path), got = 0;
    pid_t       pid = 0;
    int         status = 0;
    int         fd = n > 3 && strcmp(path + n - 3, ".xz") == 0 ? open_xz(path, &pid) : open(path, O_RDONLY);

    if (fd < 0)
        die(path, "cannot be opened");
    for (ssize_t k; (k = read(fd, to + got, READ_MAX - got)) > 0;)
        got += (size_t)k;
    close(fd);
    if (pid != 0 && (waitpid(pid, &status, 0) != pid || status != 0))
        die(path, "xz failed");
    return got;
}

void mtrc_read(struct mtrc *t, const char *path)
{
    static const char magic[8] = "MTRC1";
    uint64_t          head[4];
    unsigned char    *p = mmap(NULL, READ_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        die(path, "no memory");

    size_t n = read_all(path, p);

    if (n < sizeof head || memcmp(p, magic, sizeof magic) != 0)
        die(path, "not a trace (MTRC1)");
    memcpy(head, p, sizeof head);
    if (n != sizeof head + head[2] * sizeof(uint64_t))
        die(path, "cut short");
    *t = (struct mtrc){ .n_slots = head[1], .n_events = head[2], .peak_bytes = head[3] };
    t->events = (uint64_t *)(void *)(p + sizeof head);
    for (uint64_t i = 0; i < t->n_events; i++)
        if (mtrc_slot(t->events[i]) >= t->n_slots || mtrc_op(t->events[i]) > MTRC_CALLOC)
            die(path, "an event makes no sense");
}
