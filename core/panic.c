/* SPDX-License-Identifier: MIT */
/*
 * core/panic.c - last words
 *
 * They go straight to the devices, past every lock. Each part may fault in its turn, when the machine is
 * really broken: a second panic says only where, a third nothing.
 */
#include "core/panic.h"

#include <stdarg.h>

#include "core/cpu.h"
#include "core/dev/fb.h"
#include "core/dev/serial.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/x86/paging.h"
#include "core/x86/trap.h"
#include "core/x86/unwind.h"
#include "mm/frame.h"

#define DEBUG_EXIT_PANIC 0x12
#define LAST_LINES       32

static struct {
    unsigned exit_port, depth;
} pan;

void panic_exit_port(unsigned port) { pan.exit_port = port; }

void panic_walk(const struct trap_frame *f)
{
    uint64_t       address = read_cr2();
    struct pt_walk w;
    struct fault   fault;

    if (kernel_pt.levels == 0)
        return;
    fault = paging_fault(va(address), f->error, f->rflags, &w);
    if (!w.canonical) {
        kprintf("  %#llx is not canonical\n", ULL(address));
        return;
    }
    for (unsigned level = w.levels; level >= w.last; level--)
        kprintf("  level %u entry %016llx\n", level, ULL(w.entry[level].raw));
    if (f->vector == TRAP_PF)
        kprintf("  a %s fault, decided at level %u%s%s\n", fault_kind_name(fault.kind), fault.level,
                fault.reason == FAULT_NO_REASON ? "" : ": ", fault_reason_words(fault.reason));
    if (w.last == LEVEL_4K && !w.mapped && (w.entry[LEVEL_4K].raw & PTE_LAZY) != 0)
        kprintf("  a page that gets its frame at the first touch: no frame is free\n");
}

/* begin - true the first time; later ones must not trust much */
static bool begin(void)
{
    cpu_cli();
    out_panic();
    if (pan.depth++ > 0)
        return false;
    fb_alarm("Octavo: panic");
    kprintf("\033[0m\n");
    return true;
}

static NORETURN void end(void)
{
    if (pan.depth == 1) {
        struct frame_totals t = frame_totals();

#ifdef OCTAVO_DEBUG
        for (unsigned i = 0; i < cpu_this()->lock_depth; i++)
            kprintf("lock held: %s, rank %u\n", cpu_this()->locks[i]->name, cpu_this()->locks[i]->rank);
#endif
        kprintf("frames: %llu free of %llu\n", ULL(t.free), ULL(t.managed));
        log_replay(serial_write, LAST_LINES); /* on the screen they would push the panic out */
    }
    kprintf("octavo: panic\n");
    if (pan.exit_port != 0)
        outb((uint16_t)pan.exit_port, DEBUG_EXIT_PANIC);
    for (;;)
        cpu_hlt();
}

void panic_trap(const struct trap_frame *f)
{
    if (begin()) {
        kprintf("PANIC on CPU %u: an exception that nobody expected\n", port_cpu());
        trap_dump(f);
    } else if (pan.depth == 2) {
        kprintf("panic in panic: %s at %#llx, cr2 %#llx\n", trap_name((unsigned)f->vector), ULL(f->rip), ULL(read_cr2()));
    }
    end();
}

void port_panic(const char *file, int line, const char *fmt, ...)
{
    char    text[256];
    va_list args;

    bool first = begin();
    va_start(args, fmt);
    fmt_vstring(text, sizeof text, fmt, args);
    va_end(args);
    kprintf("PANIC on CPU %u at %s:%d: %s\n", port_cpu(), file, line, text);
    if (first)
        unwind_here();
    end();
}
