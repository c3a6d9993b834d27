/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/port.c - mm/port.h keeps its contracts
 *
 * The same file runs in the machine (`selftest port`) and on the host (test/host/test_port.c), so that
 * both worlds are held to the same words.
 */
#include "core/console/selftest.h"
#include "mm/frame.h"
#include "mm/port.h"

#define TAG "selftest"

static err_t complain(const char *what)
{
    port_log(PORT_ERROR, TAG, "port: %s", what);
    return ERR_CORRUPT;
}

/* A frame is 4096 bytes of memory of its own, the same each time it is asked for. */
static err_t memory(void)
{
    pfn_t f[2];
    err_t err = frames_alloc(2, f);

    if (err != ERR_OK)
        return err;
    volatile uint8_t *a = port_ptr(pfn_to_pa(f[0])), *b = port_ptr(pfn_to_pa(f[1]));

    for (unsigned i = 0; i < PAGE_SIZE; i++)
        a[i] = (uint8_t)i, b[i] = (uint8_t)~i;
    for (unsigned i = 0; i < PAGE_SIZE && err == ERR_OK; i++)
        if (a[i] != (uint8_t)i || b[i] != (uint8_t)~i)
            err = complain("two frames share a byte");
    if (err == ERR_OK && (a != port_ptr(pfn_to_pa(f[0])) || a + 100 != port_ptr(pa_add(pfn_to_pa(f[0]), 100))))
        err = complain("port_ptr is not the same twice, or not linear inside a frame");
    err_t freed = frames_free(2, f);

    return err == ERR_OK ? freed : err;
}

static err_t processors(void)
{
    unsigned n = port_cpus();

    if (n == 0 || n > PORT_CPUS_MAX)
        return complain("port_cpus is out of its range");
    if (port_cpu() >= n)
        return complain("port_cpu is not below port_cpus");
    port_fence_cpus();
    port_relax();
    return ERR_OK;
}

/* Interrupt states nest: only the outermost restore may turn them on again. */
static err_t interrupts(void)
{
    uint64_t outer = port_irq_save();
    uint64_t inner = port_irq_save();

    port_irq_restore(inner);
    uint64_t again = port_irq_save();
    bool     kept = again == inner;

    port_irq_restore(again);
    port_irq_restore(outer);
    return kept ? ERR_OK : complain("an inner port_irq_restore turned interrupts on");
}

static err_t clock_rises(void)
{
    uint64_t last = port_clock(), first = last;

    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = port_clock();

        if (now < last)
            return complain("port_clock went back");
        last = now;
    }
    return last > first ? ERR_OK : complain("port_clock stands still");
}

static err_t locks(void)
{
    struct irqlock outer = IRQLOCK("outer", 1), inner = IRQLOCK("inner", 2);
    uint64_t       a = irqlock_take(&outer), b = irqlock_take(&inner);
    bool           held = outer.held == 1 && inner.held == 1;

    irqlock_drop(&inner, b);
    irqlock_drop(&outer, a);
    return held && outer.held == 0 && inner.held == 0 ? ERR_OK : complain("a lock is not what was done to it");
}

static err_t run(void)
{
    err_t (*const parts[])(void) = { memory, processors, interrupts, clock_rises, locks };
    err_t err = ERR_OK;

    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        err_t one = parts[i]();

        err = err == ERR_OK ? one : err;
    }
    return err;
}

const struct selftest selftest_port = { "port", run };
