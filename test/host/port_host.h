/* SPDX-License-Identifier: MIT */
/*
 * test/host/port_host.h - the second world: mm/port.h inside a Linux process
 *
 * Physical memory is one reserved range of address space that costs nothing until it is touched;
 * each thread is a CPU.
 */
#ifndef TEST_HOST_PORT_HOST_H
#define TEST_HOST_PORT_HOST_H

#include <setjmp.h>

#include "mm/types.h"

/* Physical 0 lies at a multiple of this: a frame's pointer is as aligned as the frame, up to here */
#define HOST_MEMORY_ALIGN ((uint64_t)1 * GIB)

/*
 * host_memory_open - physical addresses [0, n_bytes) become usable through port_ptr(); whole pages
 *
 *   Ends the process with a message when the range cannot be had. Contents start as zeroes.
 */
void host_memory_open(uint64_t n_bytes);

/* host_memory_close - give the range back; what was in it is gone */
void host_memory_close(void);

/* host_cpu_set - the calling thread is CPU `cpu` from now on (0 for the first thread by itself) */
void host_cpu_set(unsigned cpu);

/* host_cpus_set - what port_cpus() answers; 1 to start with */
void host_cpus_set(unsigned n_cpus);

/*
 * host_expect_panic - run fn(arg); true if it panicked, and then *message is what it said
 *
 *   Locks that were held stay held: good only for a last look at a structure.
 */
bool host_expect_panic(void (*fn)(void *arg), void *arg, const char **message);

/* host_log_quiet - log lines are dropped (true) or go to standard error (false, the start) */
void host_log_quiet(bool quiet);

/* What port_tlb_page and port_tlb_all were asked, for tests that count flushes */
extern _Atomic uint64_t host_tlb_pages, host_tlb_alls;

/* Every flush and every load of a space, for tests that play the TLB; NULL: nobody listens */
enum host_tlb_kind { HOST_TLB_PAGE, HOST_TLB_ALL, HOST_TLB_PCID_PAGE, HOST_TLB_LOAD };
struct host_tlb_event {
    enum host_tlb_kind kind;
    unsigned           cpu;
    uint64_t           what; /* a page's address; the root's frame number for a load */
    unsigned           pcid;
    bool               flag; /* globals too; for a load: keep                        */
};
extern void (*host_tlb_hook)(const struct host_tlb_event *event);

/* What port_va_ptr() answers: the test's software MMU walks the tables */
extern void *(*host_va_hook)(va_t v);

#endif
