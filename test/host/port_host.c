/* SPDX-License-Identifier: MIT */
/* test/host/port_host.c - mm/port.h inside a Linux process */
#include "test/host/port_host.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mm/port.h"

uintptr_t port_base;
_Atomic uint64_t host_tlb_pages, host_tlb_alls;

static struct {
    unsigned char *base; /* physical address 0 */
    uint64_t       n_bytes;
    unsigned       n_cpus;
    bool           quiet;
} host = { .n_cpus = 1 };

_Thread_local unsigned            host_cpu;
static _Thread_local jmp_buf     *panic_exit;
static _Thread_local char         panic_text[512];

void host_memory_open(uint64_t n_bytes)
{
    unsigned char *p = mmap(NULL, n_bytes + HOST_MEMORY_ALIGN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        perror("port_host: cannot reserve simulated physical memory");
        exit(1);
    }
    host.base = (unsigned char *)align_up((uintptr_t)p, HOST_MEMORY_ALIGN);
    if (host.base > p)
        munmap(p, (size_t)(host.base - p));
    munmap(host.base + n_bytes, (size_t)(p + HOST_MEMORY_ALIGN - host.base));
    port_base = (uintptr_t)host.base;
    host.n_bytes = n_bytes;
}

void host_memory_close(void)
{
    munmap(host.base, host.n_bytes);
    host.base = NULL;
    host.n_bytes = 0;
}

void host_cpu_set(unsigned cpu) { host_cpu = cpu; }
void host_cpus_set(unsigned n_cpus) { host.n_cpus = n_cpus; }
void host_log_quiet(bool quiet) { host.quiet = quiet; }

unsigned port_cpus(void) { return host.n_cpus; }
void     port_relax(void) { sched_yield(); }

void *(*host_va_hook)(va_t v);
void (*host_tlb_hook)(const struct host_tlb_event *event);

static void tlb_event(enum host_tlb_kind kind, uint64_t what, unsigned pcid, bool flag)
{
    if (host_tlb_hook != NULL)
        host_tlb_hook(&(struct host_tlb_event){ kind, host_cpu, what, pcid, flag });
}

void port_tlb_page(va_t page)
{
    host_tlb_pages++;
    tlb_event(HOST_TLB_PAGE, page.raw, 0, true);
}

void port_tlb_all(bool globals)
{
    host_tlb_alls++;
    tlb_event(HOST_TLB_ALL, 0, 0, globals);
}

void port_tlb_pcid_page(unsigned pcid, va_t page) { tlb_event(HOST_TLB_PCID_PAGE, page.raw, pcid, false); }

void port_space_load(pfn_t root, unsigned pcid, bool keep) { tlb_event(HOST_TLB_LOAD, root.idx, pcid, keep); }

void port_cpus_call(uint64_t cpus, void (*fn)(void *arg), void *arg)
{
    unsigned caller = host_cpu;

    for (host_cpu = 0; host_cpu < host.n_cpus; host_cpu++)
        if ((cpus >> host_cpu & 1) != 0)
            fn(arg);
    host_cpu = caller;
}


void port_fence_cpus(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
        return;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0 ||
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        PANIC("this Linux has no membarrier()");
}

uint64_t port_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void port_log(enum port_level level, const char *tag, const char *fmt, ...)
{
    va_list args;

    if (host.quiet)
        return;
    fprintf(stderr, "%c %s: ", "EWID"[level], tag);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void port_panic(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    int     n = snprintf(panic_text, sizeof panic_text, "%s:%d: ", file, line);

    va_start(args, fmt);
    vsnprintf(panic_text + n, sizeof panic_text - (size_t)n, fmt, args);
    va_end(args);
    if (panic_exit != NULL)
        longjmp(*panic_exit, 1);
    fprintf(stderr, "panic: %s\n", panic_text);
    abort();
}

bool host_expect_panic(void (*fn)(void *arg), void *arg, const char **message)
{
    jmp_buf       here;
    volatile bool panicked = true;

    panic_exit = &here;
    if (setjmp(here) == 0) {
        fn(arg);
        panicked = false;
    }
    panic_exit = NULL;
    *message = panicked ? panic_text : NULL;
    return panicked;
}

void irqlock_wait(struct irqlock *l)
{
    do {
        while (atomic_load_explicit(&l->held, memory_order_relaxed) != 0)
            port_relax();
    } while (atomic_exchange_explicit(&l->held, 1, memory_order_acquire) != 0);
}

#ifdef OCTAVO_DEBUG
static _Thread_local uint32_t ranks[16];
static _Thread_local unsigned n_ranks;

void irqlock_taken(const struct irqlock *l)
{
    if (n_ranks == ARRAY_LEN(ranks))
        PANIC("more than %zu locks held", ARRAY_LEN(ranks));
    if (n_ranks > 0 && ranks[n_ranks - 1] >= l->rank)
        PANIC("lock %s (rank %u) taken under rank %u", l->name, l->rank, ranks[n_ranks - 1]);
    ranks[n_ranks++] = l->rank;
}

void irqlock_dropped(const struct irqlock *l)
{
    if (n_ranks == 0 || ranks[n_ranks - 1] != l->rank)
        PANIC("lock %s dropped out of order", l->name);
    n_ranks--;
}
#endif
