/* SPDX-License-Identifier: MIT */
/*
 * core/x86/time.c - the time stamp counter as a clock, calibrated once
 *
 * Measured against the ACPI power management timer (3.579545 MHz), else the PIT's channel 2 (1.193182
 * MHz); each of them may be missing or stand still, so every wait counts its turns. Then what CPUID
 * says; then a guess of 1 GHz, which is exact under QEMU's -icount shift=0.
 * Sources: ACPI 4.8.2.1 "Power Management Timer"; SDM 3B "Time-Stamp Counter".
 */
#include "core/x86/time.h"

#include "core/dev/acpi.h"
#include "core/x86/cpuid.h"
#include "core/x86/insn.h"

#define PM_HZ      3579545u
#define PIT_HZ     1193182u
#define WAIT_MS    5u
#define TURNS_MAX  1000000u
#define PIT_CH2    0x42
#define PIT_MODE   0x43
#define PIT_GATE   0x61
#define NS_MAX     ((uint64_t)1 << 60) /* 36 years */

static struct {
    uint32_t    khz;
    uint64_t    ns_per_tick_32; /* nanoseconds a tick, 32 bits after the point */
    uint64_t    ticks_per_ns_32;
    const char *source;
} clk;

/* by_pm_timer - ticks of the TSC in WAIT_MS; 0 when the timer stands still */
static uint64_t by_pm_timer(uint16_t port, bool wide)
{
    uint32_t mask = wide ? UINT32_MAX : 0xFFFFFF, wanted = PM_HZ / 1000 * WAIT_MS;
    uint32_t begin = inl(port), now = begin;

    for (unsigned turn = 0; now == begin; now = inl(port)) /* begin at an edge */
        if (++turn == TURNS_MAX)
            return 0;
    uint64_t tsc = cpu_rdtsc();

    begin = now;
    for (unsigned turn = 0; ((now - begin) & mask) < wanted; now = inl(port))
        if (++turn == TURNS_MAX)
            return 0;
    return (cpu_rdtsc() - tsc) * wanted / ((now - begin) & mask);
}

/* by_pit - the same with channel 2 in mode 0: its output rises when it has counted down */
static uint64_t by_pit(void)
{
    uint16_t count = (uint16_t)(PIT_HZ / 1000 * WAIT_MS);
    uint8_t  gate = inb(PIT_GATE);

    outb(PIT_GATE, (uint8_t)((gate & ~2u) | 1u)); /* speaker off, counting on */
    outb(PIT_MODE, 0xB0);
    outb(PIT_CH2, (uint8_t)count);
    outb(PIT_CH2, (uint8_t)(count >> 8));
    uint64_t tsc = cpu_rdtsc(), ticks = 0;

    for (unsigned turn = 0; turn < TURNS_MAX; turn++)
        if (inb(PIT_GATE) & 0x20) {
            ticks = turn == 0 ? 0 : cpu_rdtsc() - tsc; /* up at once: there is no PIT */
            break;
        }
    outb(PIT_GATE, gate);
    return ticks;
}

void time_start(void)
{
    const struct acpi_info *a = acpi_info();
    uint64_t ticks = 0;

    if (a->pm_timer_port != 0 && (ticks = by_pm_timer(a->pm_timer_port, a->pm_timer_32)) != 0)
        clk.source = "ACPI timer";
    else if ((ticks = by_pit()) != 0)
        clk.source = "PIT";
    clk.khz = (uint32_t)(ticks / WAIT_MS);
    if (clk.khz == 0) {
        clk.khz = cpu_features()->tsc_khz != 0 ? cpu_features()->tsc_khz : 1000000;
        clk.source = cpu_features()->tsc_khz != 0 ? "CPUID" : "a guess";
    }
    clk.ns_per_tick_32 = ((uint64_t)1000000 << 32) / clk.khz;
    clk.ticks_per_ns_32 = ((uint64_t)clk.khz << 32) / 1000000;
}

uint64_t time_ns(uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * clk.ns_per_tick_32) >> 32);
}

uint64_t time_ticks(uint64_t ns)
{
    return (uint64_t)(((unsigned __int128)min_u64(ns, NS_MAX) * clk.ticks_per_ns_32) >> 32) + 1;
}

uint64_t    time_now_ns(void) { return time_ns(cpu_rdtsc()); }
uint32_t    time_tsc_khz(void) { return clk.khz; }
const char *time_source(void) { return clk.source; }
