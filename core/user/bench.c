/* SPDX-License-Identifier: MIT */
/*
 * core/user/bench.c - what memory costs a program, in ticks of the TSC; the console's `bench programs` runs it
 *
 * Medians of many times each, less what reading the clock twice costs. Where a page is zeroed or copied, what a loop of
 * the program's own needs for that is measured, printed and taken off: the figure is the kernel's work around it.
 */
#include "core/user/ulib.h"

#define PAGES   ((uint64_t)16384) /* 64 MiB */
#define SAMPLES 1023 /* odd: there is one in the middle */

static uint64_t samples[SAMPLES], clock_ticks, zero_ticks, copy_ticks;

/* ---- measuring ----------------------------------------------------------------------------------- */

static uint64_t median(uint64_t *v, unsigned n)
{
    for (unsigned i = 1; i < n; i++) { /* insertion is quick for samples that are nearly all the same */
        uint64_t x = v[i];
        unsigned at = i;

        for (; at > 0 && v[at - 1] > x; at--)
            v[at] = v[at - 1];
        v[at] = x;
    }
    return v[n / 2];
}

static void report(const char *what, uint64_t ticks, uint64_t per)
{
    uint64_t tenths = (ticks * 10 + per / 2) / per;

    print("  %-52s %12llu.%llu\n", what, ULL(tenths / 10), ULL(tenths % 10));
}

static uint64_t less(uint64_t ticks, uint64_t more) { return ticks - min_u64(ticks, more); }

static void keep(unsigned i, uint64_t began) { samples[i] = less(cpu_rdtsc() - began, clock_ticks); }

static char *map(uint64_t n_pages)
{
    return uptr(must("map", sys_map(NULL, n_pages * PAGE_SIZE, PROT_READ | PROT_WRITE)));
}

static void unmap(char *at, uint64_t n_pages) { must("unmap", sys_unmap(at, n_pages * PAGE_SIZE)); }

static void touch_all(char *at, uint64_t n_pages)
{
    for (uint64_t i = 0; i < n_pages; i++)
        *(volatile char *)(at + i * PAGE_SIZE) = 1;
}

/* ---- what is taken off ----------------------------------------------------------------------------- */

static void yardsticks(void)
{
    char *at = map(2);

    touch_all(at, 2);
    for (unsigned i = 0; i < SAMPLES; i++)
        keep(i, cpu_rdtsc());
    clock_ticks = median(samples, SAMPLES);
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        rep_stosq(at, 0, PAGE_SIZE / 8);
        keep(i, began);
    }
    zero_ticks = median(samples, SAMPLES);
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        rep_movsq(at, at + PAGE_SIZE, PAGE_SIZE / 8);
        keep(i, began);
    }
    copy_ticks = median(samples, SAMPLES);
    unmap(at, 2);
    report("(a page zeroed by the program itself)", zero_ticks, 1);
    report("(a page copied by the program itself)", copy_ticks, 1);
}

/* ---- system calls and faults ----------------------------------------------------------------------- */

static void null_call(void)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        (void)sys_pid();
        keep(i, began);
    }
    report("null system call", median(samples, SAMPLES), 1);
}

static void first_touch(void)
{
    char *at = map(SAMPLES);

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        *(volatile char *)(at + i * PAGE_SIZE) = 1;
        keep(i, began);
    }
    report("first touch of a page, without zeroing", less(median(samples, SAMPLES), zero_ticks), 1);
    unmap(at, SAMPLES);
}

static void read_touch(void)
{
    char *at = map(SAMPLES);

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        (void)*(volatile char *)(at + i * PAGE_SIZE);
        keep(i, began);
    }
    report("read of an untouched page: the frame of zeroes", median(samples, SAMPLES), 1);
    unmap(at, SAMPLES);
}

static void stack_growth(void)
{
    volatile char here = 0, *at = &here;

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began;

        at -= PAGE_SIZE;
        began = cpu_rdtsc();
        *at = 1;
        keep(i, began);
    }
    report("growth of the stack by a page, without zeroing", less(median(samples, SAMPLES), zero_ticks), 1);
}

static void map_touch_unmap(void)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();
        char    *at = uptr(sys_map(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE));

        *(volatile char *)at = 1;
        (void)sys_unmap(at, PAGE_SIZE);
        keep(i, began);
    }
    report("map, touch, unmap a page, without zeroing", less(median(samples, SAMPLES), zero_ticks), 1);
}

/* ---- many pages -------------------------------------------------------------------------------------- */

static void bulk(void)
{
    char    *at = map(PAGES);
    uint64_t began;

    must("advise", sys_advise(at, PAGES * PAGE_SIZE, ADVISE_NO_HUGE));
    touch_all(at, PAGES);
    began = cpu_rdtsc();
    must("protect", sys_protect(at, PAGES * PAGE_SIZE, PROT_READ));
    report("protect 64 MiB, writable to read-only, a page", cpu_rdtsc() - began, PAGES);
    began = cpu_rdtsc();
    must("protect", sys_protect(at, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE));
    report("protect 64 MiB, read-only to writable, a page", cpu_rdtsc() - began, PAGES);
    began = cpu_rdtsc();
    unmap(at, PAGES);
    report("unmap 64 MiB touched, a page", cpu_rdtsc() - began, PAGES);
}

static void protect_one(void)
{
    char *at = map(1);

    touch_all(at, 1);
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        (void)sys_protect(at, PAGE_SIZE, i % 2 == 0 ? PROT_READ : PROT_READ | PROT_WRITE);
        keep(i, began);
    }
    report("protect a page", median(samples, SAMPLES), 1);
    unmap(at, 1);
}

/* ---- fork --------------------------------------------------------------------------------------------- */

/* Ticks until fork is back in the parent; the child ends at once */
static uint64_t fork_once(void)
{
    uint64_t began = cpu_rdtsc();
    int64_t  pid = must("fork", sys_fork());
    uint64_t ticks = cpu_rdtsc() - began;

    if (pid == 0)
        sys_exit(0);
    must("wait", sys_wait(pid, NULL));
    return ticks;
}

static void forks(void)
{
    uint64_t small = fork_once(), large;
    char    *at = map(PAGES);
    int64_t  pid;

    must("advise", sys_advise(at, PAGES * PAGE_SIZE, ADVISE_NO_HUGE));
    touch_all(at, PAGES);
    report("fork of this program", small, 1);
    large = fork_once();
    report("fork with 64 MiB touched, a page", less(large, small), PAGES);
    touch_all(at, PAGES); /* what was shared is this program's alone again */
    pid = must("fork", sys_fork());
    if (pid == 0) {
        must("sleep", sys_sleep(1000 * GIB)); /* its copies stay until it is killed */
        sys_exit(0);
    }
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        *(volatile char *)(at + i * PAGE_SIZE) = 2;
        keep(i, began);
    }
    report("write to a page shared by fork, without the copy", less(median(samples, SAMPLES), copy_ticks), 1);
    must("kill", sys_kill(pid));
    must("wait", sys_wait(pid, NULL));
    unmap(at, PAGES);
}

static void switches(void)
{
    int64_t pid = must("fork", sys_fork());

    if (pid == 0)
        for (;;)
            (void)sys_yield();
    (void)sys_yield();
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        (void)sys_yield();
        keep(i, began);
    }
    report("switch to another process, by a yield", median(samples, SAMPLES), 2);
    must("kill", sys_kill(pid));
    must("wait", sys_wait(pid, NULL));
}

/* ---- the program's own handler ------------------------------------------------------------------------- */

#define STORE_BYTES 3 /* of the instruction in store() */

static inline void store(volatile char *at) { __asm__ volatile("movb $1, (%%rdi)" ::"D"(at) : "memory"); }

static void skip(struct fault_info *fault) { fault->rip += STORE_BYTES; }

static void own_handler(void)
{
    char *at = uptr(must("map", sys_map(NULL, PAGE_SIZE, PROT_READ)));

    (void)*(volatile char *)at;
    must("on_fault", on_fault(skip, NULL));
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t began = cpu_rdtsc();

        store(at);
        keep(i, began);
    }
    report("a fault to the program's own handler, and back", median(samples, SAMPLES), 1);
    must("on_fault", on_fault(NULL, NULL));
    unmap(at, 1);
}

int main(void)
{
    yardsticks();
    null_call();
    forks();
    first_touch();
    read_touch();
    stack_growth();
    map_touch_unmap();
    bulk();
    protect_one();
    own_handler();
    switches();
    return 0;
}
