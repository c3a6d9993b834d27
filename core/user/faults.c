/* SPDX-License-Identifier: MIT */
/*
 * core/user/faults.c - a program that handles its own page faults, as runtimes of languages do
 *
 *   a garbage collector   protects its heap, and learns from the faults which pages were written since:
 *                         only those must be searched for pointers into the young generation
 *   a virtual machine     has a stack of its own that grows downwards, page by page, as it is used
 */
#include "core/user/ulib.h"

#define HEAP_PAGES  32
#define STACK_PAGES 64

static char *heap, *stack_low, *stack_end;
static bool  written[HEAP_PAGES];
static unsigned n_marked, n_grown;

static _Alignas(16) char handler_stack[8192];

static void handler(struct fault_info *fault)
{
    char *page = uptr((int64_t)(fault->address & ~(PAGE_SIZE - 1)));

    if (fault->vector == 14 && page >= heap && page < heap + HEAP_PAGES * PAGE_SIZE) {
        written[(size_t)(page - heap) / PAGE_SIZE] = true;
        n_marked++;
        must("protect", sys_protect(page, PAGE_SIZE, PROT_READ | PROT_WRITE));
    } else if (fault->vector == 14 && page >= stack_end - STACK_PAGES * PAGE_SIZE && page < stack_low) {
        must("map", sys_map(page, (size_t)(stack_low - page), PROT_READ | PROT_WRITE | MAP_FIXED));
        n_grown += (unsigned)((size_t)(stack_low - page) / PAGE_SIZE);
        stack_low = page;
    } else {
        print("faults: vector %llu at %#llx is not mine\n", ULL(fault->vector), ULL(fault->address));
        sys_exit(2);
    }
}

/* The collector: every third page is written after the heap was protected */
static unsigned collect(void)
{
    unsigned wrong = 0;

    heap = uptr(must("map", sys_map(NULL, HEAP_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE)));
    memset(heap, 1, HEAP_PAGES * PAGE_SIZE);
    must("protect", sys_protect(heap, HEAP_PAGES * PAGE_SIZE, PROT_READ));
    for (unsigned round = 0; round < 2; round++) /* the second time they are writable already */
        for (unsigned i = 0; i < HEAP_PAGES; i += 3)
            heap[i * PAGE_SIZE + 5] = 2;
    for (unsigned i = 0; i < HEAP_PAGES; i++)
        wrong += written[i] != (i % 3 == 0);
    print("faults: %u of %u pages were written since the last collection, found by %u faults; %u wrong\n", (HEAP_PAGES + 2) / 3, HEAP_PAGES,
          n_marked, wrong);
    return wrong;
}

/* The virtual machine: numbers are pushed onto memory that is not there yet */
static unsigned push_numbers(void)
{
    uint64_t *top, n = (STACK_PAGES - 1) * PAGE_SIZE / 8;
    unsigned  wrong = 0;
    char     *room = uptr(must("map", sys_map(NULL, STACK_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE)));

    must("unmap", sys_unmap(room, STACK_PAGES * PAGE_SIZE)); /* an address range that nobody else uses */
    stack_low = stack_end = room + STACK_PAGES * PAGE_SIZE;
    top = (uint64_t *)stack_end;
    for (uint64_t i = 0; i < n; i++)
        *(volatile uint64_t *)--top = i;
    for (uint64_t i = n; i-- > 0;)
        wrong += *top++ != i;
    print("faults: %llu numbers pushed, the stack grew by %u pages; %u wrong\n", ULL(n), n_grown, wrong);
    return wrong;
}

int main(void)
{
    unsigned wrong;

    must("on_fault", on_fault(handler, handler_stack + sizeof handler_stack));
    wrong = collect() + push_numbers();
    return wrong != 0 || n_marked != (HEAP_PAGES + 2) / 3 || n_grown != STACK_PAGES - 1;
}
