/* SPDX-License-Identifier: MIT */
/*
 * core/x86/timer.c - the local APIC's timer: one interrupt, when it is wanted
 *
 * Where the CPU can, the APIC compares the TSC itself (TSC deadline). Else it counts down by its bus clock, whose
 * speed is measured here against the TSC. Nothing is set, nothing comes: a CPU with one thread to run
 * isn't disturbed. Sources: SDM 3A "APIC Timer".
 */
#include "core/x86/timer.h"

#include "core/x86/apic.h"
#include "core/x86/cpuid.h"
#include "core/x86/insn.h"
#include "core/x86/time.h"
#include "core/x86/trap.h"
#include "mm/port.h"

#define VECTOR_TIMER     0x80u
#define MSR_TSC_DEADLINE 0x6E0u
#define LVT_TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_16     3u
#define CALIBRATE_NS     500000u

static struct {
    bool     by_tsc;
    uint64_t count_per_tick_32; /* APIC counts a tick of the TSC, 32 bits after the point */
} tmr;

/* The APIC counts down from the top for a while; how far did it come? */
static uint64_t measure(void)
{
    uint64_t wanted = time_ticks(CALIBRATE_NS), began, ticks;

    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR_TIMER);
    began = cpu_rdtsc();
    apic_write(APIC_TIMER_COUNT, UINT32_MAX);
    while ((ticks = cpu_rdtsc() - began) < wanted)
        cpu_pause();
    uint64_t counted = UINT32_MAX - apic_read(APIC_TIMER_NOW);

    apic_write(APIC_TIMER_COUNT, 0);
    return (counted << 32) / ticks;
}

err_t timer_start(void (*fn)(void *arg), void *arg)
{
    uint64_t irq = port_irq_save();

    trap_handler_set(VECTOR_TIMER, fn, arg);
    tmr.by_tsc = cpu_features()->tsc_deadline;
    if (!tmr.by_tsc)
        tmr.count_per_tick_32 = measure();
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER | (tmr.by_tsc ? LVT_TSC_DEADLINE : 0));
    cpu_mfence(); /* SDM: the mode is set in memory, the deadline in an MSR, and nothing else orders the two */
    port_irq_restore(irq);
    return tmr.by_tsc || tmr.count_per_tick_32 != 0 ? ERR_OK : ERR_NOSYS;
}

void timer_set(uint64_t deadline)
{
    if (tmr.by_tsc) {
        wrmsr(MSR_TSC_DEADLINE, deadline);
        return;
    }
    uint64_t now = cpu_rdtsc(), ticks = deadline > now ? deadline - now : 0;
    uint64_t count = (uint64_t)(((unsigned __int128)ticks * tmr.count_per_tick_32) >> 32);

    apic_write(APIC_TIMER_COUNT, (uint32_t)min_u64(count + 1, UINT32_MAX));
}

const char *timer_source(void) { return tmr.by_tsc ? "TSC deadline" : "APIC count"; }
