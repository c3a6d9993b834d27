/* SPDX-License-Identifier: MIT */
/*
 * mm/port.h - all that memory management asks of the world
 *
 * Two worlds implement it: core/port.c on the real machine, test/host/port_host.c in a Linux
 * process. One conformance test (test/host/test_port.c, and `selftest port` in the machine) holds
 * both to these contracts. A function is here only because a file in mm/ calls it.
 *
 * What is declared `static inline` is a few instructions in every world, fewer than a call: each world
 * defines it in a header of this name, in a folder that its build gives the compiler to look in
 * (core/world/, test/host/world/).
 */
#ifndef MM_PORT_H
#define MM_PORT_H

#include <stdatomic.h>

#include "mm/attr.h"
#include "mm/err.h"
#include "mm/types.h"

/* ---- reaching physical memory -------------------------------------------------------------- */

/* port_base - where physical address 0 would be: each world sets it before mm/ is called */
extern uintptr_t port_base;

/*
 * port_ptr - the pointer through which a physical address can be read and written
 *
 *   p   any byte of RAM that the direct map holds; the pointer is good to the end of its frame
 *       (and of the whole run of RAM around it)
 */
static inline void *port_ptr(pa_t p) { return (void *)(port_base + p.raw); }

/* ---- processors ---------------------------------------------------------------------------- */

#define PORT_CPUS_MAX 64

/* port_cpu - number of the CPU that runs this, 0..port_cpus()-1; stable while interrupts are off */
static inline unsigned port_cpu(void);

/* port_cpus - how many CPUs may call into mm/ (1..PORT_CPUS_MAX); never falls */
unsigned port_cpus(void);

/* port_relax - tell the CPU (and the emulator) that this is a wait loop */
void port_relax(void);

/* port_irq_save - interrupts off; returns what port_irq_restore needs to undo it; nests */
static inline uint64_t port_irq_save(void);
static inline void     port_irq_restore(uint64_t flags);

/* port_clock - a counter that rises with time (TSC); for statistics, its unit is the world's own */
uint64_t port_clock(void);

/*
 * port_fence_cpus - when it returns, every other CPU has passed a full memory fence since the call
 *
 *   This CPU passes one first: what it stored before the call is seen by whoever passed his afterwards.
 *   For a CPU that must not pay for a fence in what it does all the time; who meets it there pays for
 *   both (mm/reserve.c). Costs an interrupt to each CPU; interrupts may be off and locks be held on
 *   any of them. With one CPU there is nothing to do.
 */
void port_fence_cpus(void);

/*
 * port_va_ptr - the pointer to a virtual address of the kernel's half of the tables in use on this CPU
 *
 *   In the machine the address itself; elsewhere the tables are walked as the CPU would.
 */
static inline void *port_va_ptr(va_t v);

#include "mm/port_inline.h"

/* ---- translations -------------------------------------------------------------------------- */

/* port_tlb_page - forget this CPU's translations of one page, of any size, global ones too (INVLPG) */
void port_tlb_page(va_t page);

/* port_tlb_all - forget this CPU's translations; `globals`: the global ones as well */
void port_tlb_all(bool globals);

/* port_tlb_pcid_page - forget this CPU's translations of a page under another PCID, not global ones (INVPCID) */
void port_tlb_pcid_page(unsigned pcid, va_t page);

/*
 * port_space_load - use this top table on this CPU from now on (CR3)
 *
 *   keep   translations cached under the PCID may stay; only with PCIDs on
 */
void port_space_load(pfn_t root, unsigned pcid, bool keep);

/*
 * port_cpus_call - run fn(arg), interrupts off, on each of these CPUs; return when all have
 *
 *   cpus   bit n is CPU n; the CPU that calls is not among them
 *   Locks  the caller holds none that is taken with interrupts off
 */
void port_cpus_call(uint64_t cpus, void (*fn)(void *arg), void *arg);

/* ---- words to people ----------------------------------------------------------------------- */

enum port_level { PORT_ERROR, PORT_WARN, PORT_INFO, PORT_DEBUG };

/* port_log - one event, one line; `tag` is the file's name without its ending */
void port_log(enum port_level level, const char *tag, const char *fmt, ...) PRINTF(3, 4);

/* port_panic - a broken invariant: say where and why, stop everything */
NORETURN void port_panic(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);

#define PANIC(...) port_panic(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(cond)                                                                              \
    do {                                                                                          \
        if (UNLIKELY(!(cond)))                                                                    \
            port_panic(__FILE__, __LINE__, "assertion failed: %s", #cond);                        \
    } while (0)
#ifdef OCTAVO_DEBUG
#define DEBUG_ASSERT(cond) ASSERT(cond)
#else
#define DEBUG_ASSERT(cond) ((void)sizeof(cond))
#endif

/* ---- locks --------------------------------------------------------------------------------- */

/*
 * A lock that interrupt handlers may take: interrupts are off on this CPU while it is held. Ranks
 * are listed in docs/locking.md; a CPU takes locks in rising rank only (checked in debug builds).
 */
struct CAPABILITY("irqlock") irqlock {
    _Atomic uint32_t held;
    uint32_t         rank;
    const char      *name;
};

#define IRQLOCK(lock_name, lock_rank) { .rank = (lock_rank), .name = (lock_name) }

/* irqlock_wait - what irqlock_take does when somebody else holds the lock: wait, then take it */
void irqlock_wait(struct irqlock *l);

#ifdef OCTAVO_DEBUG
void irqlock_taken(const struct irqlock *l); /* checks that ranks rise */
void irqlock_dropped(const struct irqlock *l);
#else
static inline void irqlock_taken(const struct irqlock *l) { (void)l; }
static inline void irqlock_dropped(const struct irqlock *l) { (void)l; }
#endif

/* irqlock_take_off, irqlock_drop_off - the lock alone, for who has turned interrupts off already */
static inline void irqlock_take_off(struct irqlock *l) ACQUIRES(l) NO_LOCK_ANALYSIS
{
    if (UNLIKELY(atomic_exchange_explicit(&l->held, 1, memory_order_acquire) != 0))
        irqlock_wait(l);
    irqlock_taken(l);
}

static inline void irqlock_drop_off(struct irqlock *l) RELEASES(l) NO_LOCK_ANALYSIS
{
    irqlock_dropped(l);
    atomic_store_explicit(&l->held, 0, memory_order_release); /* pairs with the exchange above */
}

/* irqlock_take - returns the interrupt state to hand to irqlock_drop */
static inline uint64_t irqlock_take(struct irqlock *l) ACQUIRES(l) NO_LOCK_ANALYSIS
{
    uint64_t flags = port_irq_save();

    irqlock_take_off(l);
    return flags;
}

static inline void irqlock_drop(struct irqlock *l, uint64_t flags) RELEASES(l) NO_LOCK_ANALYSIS
{
    irqlock_drop_off(l);
    port_irq_restore(flags);
}

#endif
