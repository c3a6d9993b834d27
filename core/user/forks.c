/* SPDX-License-Identifier: MIT */
/* core/user/forks.c - fork and copy-on-write: two processes, one memory, until one of them writes */
#include "core/user/ulib.h"

#define PAGES 64

/* What faults it took to write the first `n` pages, and whether all pages still say `expect` before */
static int write_pages(volatile uint64_t *memory, unsigned n, uint64_t expect, uint64_t value, const char *who)
{
    struct memory_info before, after;
    unsigned           wrong = 0;

    must("memory", sys_memory(&before));
    for (unsigned i = 0; i < PAGES; i++)
        wrong += memory[i * PAGE_SIZE / 8] != expect + i;
    for (unsigned i = 0; i < n; i++)
        memory[i * PAGE_SIZE / 8] = value + i;
    must("memory", sys_memory(&after));
    print("forks: %s wrote %u pages: %llu were copied, %llu it had alone; %llu pages shared before, %llu after; %u wrong\n", who, n,
          ULL(after.faults_copy - before.faults_copy), ULL(after.faults_reuse - before.faults_reuse), ULL(before.shared_pages),
          ULL(after.shared_pages), wrong);
    return wrong != 0;
}

int main(void)
{
    volatile uint64_t *memory = uptr(must("map", sys_map(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE)));
    int                status;
    int64_t            child;

    for (unsigned i = 0; i < PAGES; i++)
        memory[i * PAGE_SIZE / 8] = 1000 + i;
    child = must("fork", sys_fork());
    if (child == 0)
        return write_pages(memory, PAGES / 2, 1000, 2000, "the child");
    must("wait", sys_wait(child, &status));
    return write_pages(memory, PAGES, 1000, 3000, "the parent") != 0 || status != 0;
}
