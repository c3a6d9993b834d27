/* SPDX-License-Identifier: MIT */
/* core/port.c - mm/port.h on the real machine (its log is in core/log.c, its panic in core/panic.c) */
#include "core/port.h"

#include "core/cpu.h"
#include "core/x86/paging.h"

uintptr_t port_base; /* 0 on the firmware's tables: they map RAM at its own addresses */

void port_direct_map(va_t base) { port_base = base.raw; }

unsigned port_cpus(void) { return 1; }
void     port_relax(void) { cpu_pause(); }
uint64_t port_clock(void) { return cpu_rdtsc(); }

void port_tlb_page(va_t page) { cpu_invlpg(page.raw); }

/* SDM 3A "Operations that Invalidate TLBs": a change of CR4.PGE drops everything, global or not */
void port_tlb_all(bool globals)
{
    uint64_t cr4 = read_cr4();

    if (globals) {
        write_cr4(cr4 ^ CR4_PGE);
        write_cr4(cr4);
    } else {
        write_cr3(read_cr3());
    }
}

void port_tlb_pcid_page(unsigned pcid, va_t page) { cpu_invpcid(0, pcid, page.raw); }

/* SDM 3A "Control Registers": CR3 bits 11:0 are the PCID; bit 63 of what is written keeps its entries */
void port_space_load(pfn_t root, unsigned pcid, bool keep)
{
    write_cr3(pfn_to_pa(root).raw | pcid | (keep ? (uint64_t)1 << 63 : 0));
}

void port_cpus_call(uint64_t cpus, void (*fn)(void *arg), void *arg)
{
    (void)fn;
    (void)arg;
    ASSERT(cpus == 0); /* port_cpus() is 1: there is nobody else */
}

void port_fence_cpus(void) { ASSERT(port_cpus() == 1); } /* nobody else */

void irqlock_wait(struct irqlock *l)
{
    do {
        while (atomic_load_explicit(&l->held, memory_order_relaxed) != 0)
            cpu_pause();
    } while (atomic_exchange_explicit(&l->held, 1, memory_order_acquire) != 0);
}

#ifdef OCTAVO_DEBUG
void irqlock_taken(const struct irqlock *l)
{
    struct cpu *c = cpu_this();

    if (c->lock_depth > 0 && c->locks[c->lock_depth - 1]->rank >= l->rank)
        PANIC("lock %s (rank %u) taken under %s (rank %u)", l->name, l->rank, c->locks[c->lock_depth - 1]->name,
              c->locks[c->lock_depth - 1]->rank);
    ASSERT(c->lock_depth < ARRAY_LEN(c->locks));
    c->locks[c->lock_depth++] = l;
}

void irqlock_dropped(const struct irqlock *l)
{
    struct cpu *c = cpu_this();

    ASSERT(c->lock_depth > 0 && c->locks[c->lock_depth - 1] == l);
    c->lock_depth--;
}
#endif
