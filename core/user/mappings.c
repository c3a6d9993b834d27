/* SPDX-License-Identifier: MIT */
/* core/user/mappings.c - a tour of the calls about memory, each with what it did to the resident pages */
#include "core/user/ulib.h"

#define BYTES (4 * MIB)

static struct memory_info last;

/* What has changed since the last line */
static void tell(const char *what)
{
    struct memory_info now;

    must("memory", sys_memory(&now));
    print("mappings: %-34s resident %+5lld  huge %+3lld  zero %3llu  new %4llu  copy %3llu\n", what,
          (long long)(now.resident_pages - last.resident_pages), (long long)(now.huge_pages - last.huge_pages),
          ULL(now.faults_zero - last.faults_zero), ULL(now.faults_new - last.faults_new), ULL(now.faults_copy - last.faults_copy));
    last = now;
}

static unsigned sum_of_pages(const volatile char *at)
{
    unsigned sum = 0;

    for (size_t i = 0; i < BYTES; i += PAGE_SIZE)
        sum += (unsigned)at[i];
    return sum;
}

static unsigned check(const char *what, bool holds)
{
    if (!holds)
        print("mappings: WRONG: %s\n", what);
    return !holds;
}

int main(void)
{
    unsigned       wrong = 0;
    volatile char *at;

    must("memory", sys_memory(&last));
    at = uptr(must("map", sys_map(NULL, BYTES, PROT_READ | PROT_WRITE)));
    tell("mapped 4 MiB: nothing is there");
    wrong += check("new memory is zero", sum_of_pages(at) == 0);
    tell("read: one zero frame for all");
    for (size_t i = 0; i < BYTES; i += PAGE_SIZE)
        at[i] = 1;
    tell("written: each page its own");
    wrong += check("what was written is there", sum_of_pages(at) == BYTES / PAGE_SIZE);
    at = uptr(must("remap", sys_remap((void *)(uintptr_t)at, BYTES, 2 * BYTES, MAP_MOVE)));
    tell("resized to 8 MiB");
    wrong += check("resizing keeps the contents", sum_of_pages(at) == BYTES / PAGE_SIZE);
    must("protect", sys_protect((void *)(uintptr_t)at, BYTES, PROT_READ));
    tell("protected: read only");
    wrong += check("a protected page is still read", at[0] == 1);
    must("protect", sys_protect((void *)(uintptr_t)at, BYTES, PROT_READ | PROT_WRITE));
    must("advise", sys_advise((void *)(uintptr_t)at, BYTES, ADVISE_DONT_NEED));
    tell("not needed any more");
    wrong += check("what was given up is zero again", sum_of_pages(at) == 0);
    must("advise", sys_advise((void *)(uintptr_t)(at + BYTES), BYTES, ADVISE_WILL_NEED));
    tell("will be needed");
    must("lock", sys_lock((void *)(uintptr_t)at, 16 * PAGE_SIZE, true));
    tell("16 pages locked");
    must("unmap", sys_unmap((void *)(uintptr_t)at, 2 * BYTES));
    tell("unmapped");
    return wrong != 0;
}
