/* SPDX-License-Identifier: MIT */
/* core/console/cmd_devices.c - what hangs on the buses, and what it does to memory: pci, dma */
#include <stdatomic.h>

#include "core/console/commands.h"
#include "core/dev/edu.h"
#include "core/dev/pci.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/thread.h"
#include "core/str.h"
#include "core/x86/time.h"
#include "mm/frame.h"
#include "mm/port.h"

static const char *signals(const struct pci_device *d)
{
    return pci_capability(d, PCI_CAP_MSIX) != 0 ? "MSI-X" : pci_capability(d, PCI_CAP_MSI) != 0 ? "MSI" : "-";
}

static void show_bars(const struct pci_device *d)
{
    char           size[FMT_SIZE_BYTES];
    struct pci_bar bar;

    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_bar(d, i, &bar) == ERR_OK)
            kprintf("             %u  %s at %#llx, %s%s\n", i, bar.port ? "ports" : "memory", ULL(bar.base.raw),
                    fmt_size(size, bar.bytes), bar.prefetchable ? ", prefetchable" : "");
}

static err_t pci(unsigned argc, char *argv[])
{
    const struct pci_device *d;

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf(HEADING("%-12s %-9s %-6s %-6s %s\n"), "address", "id", "signal", "master", "what");
    for (unsigned i = 0; (d = pci_at(i)) != NULL; i++) {
        kprintf("%04x:%02x:%02x.%u %04x:%04x %-6s %-6s %s\n", d->segment, d->bus, d->slot, d->function, d->vendor, d->device,
                signals(d), pci_read(d, PCI_COMMAND) & PCI_COMMAND_MASTER ? "yes" : "no", pci_class_name(d));
        show_bars(d);
    }
    kprintf("through %s\n", pci_way());
    return ERR_OK;
}

/* ---- dma ------------------------------------------------------------------------------------------------ */

#define DMA_FRAMES_MAX 64
#define DMA_LINES      8 /* interrupts that are shown one by one */

/* A copy of scattered frames to scattered frames, which a thread has the engine make while the console goes on */
struct copying {
    pfn_t        from[DMA_FRAMES_MAX], to[DMA_FRAMES_MAX];
    uint64_t     n_bytes;
    uint64_t     began; /* [ticks] */
    unsigned     interrupts;
    err_t        err;
    _Atomic bool done;
};

static void show_interrupt(void *arg, const struct dma_segment *s, bool device_reads)
{
    struct copying *c = arg;
    const bool      bounce = s->address.raw != s->memory.raw;

    if (c->interrupts++ < DMA_LINES)
        kprintf("  interrupt %u after %llu ms: %u bytes %s %#llx%s\n", c->interrupts,
                ULL(time_ns(cpu_rdtsc() - c->began) / 1000000), s->n_bytes, device_reads ? "read from" : "written to",
                ULL(s->address.raw), bounce ? ", a bounce" : "");
}

static pa_t place(const pfn_t frames[], uint64_t at)
{
    return pa(pfn_to_pa(frames[at >> PAGE_SHIFT]).raw + at % PAGE_SIZE);
}

static void copy(void *arg)
{
    struct copying *c = arg;

    for (uint64_t at = 0; at < c->n_bytes && c->err == ERR_OK; at += EDU_BYTES)
        c->err = edu_copy(place(c->to, at), place(c->from, at), min_u64(c->n_bytes - at, EDU_BYTES), show_interrupt, c);
    atomic_store_explicit(&c->done, true, memory_order_release);
}

/* What the CPU does meanwhile: primes, by division */
static bool is_prime(uint64_t n)
{
    for (uint64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return n > 1;
}

static uint64_t primes_until(const _Atomic bool *done)
{
    uint64_t n = 0, found = 0;

    while (!atomic_load_explicit(done, memory_order_acquire))
        found += is_prime(n++);
    return found;
}

static uint64_t pattern(uint64_t i) { return (i + 1) * 0x9E3779B97F4A7C15u; }

static uint64_t *word_at(const pfn_t frames[], uint64_t i) { return port_ptr(place(frames, 8 * i)); }

/* Bytes that are not what they must be: up to n_bytes the pattern, then zeroes */
static uint64_t wrong_bytes(const struct copying *c, uint64_t n_frames)
{
    uint64_t wrong = 0;

    for (uint64_t i = 0; i < n_frames * PAGE_SIZE; i++) {
        uint8_t want = i < c->n_bytes ? (uint8_t)(pattern(i / 8) >> 8 * (i % 8)) : 0;

        wrong += (uint8_t)(*word_at(c->to, i / 8) >> 8 * (i % 8)) != want;
    }
    return wrong;
}

static err_t copy_by_engine(struct copying *c, uint64_t n_frames)
{
    const struct dma_device *d = edu_dma();
    uint64_t                 direct = d->bytes_direct, bounced = d->bytes_bounced, primes, wrong;
    struct thread           *t;

    for (uint64_t i = 0; i < n_frames * PAGE_SIZE / 8; i++) {
        *word_at(c->from, i) = pattern(i);
        *word_at(c->to, i) = 0;
    }
    c->began = cpu_rdtsc();
    err_t err = thread_create("dma", NULL, copy, c, &t);

    if (err != ERR_OK)
        return err;
    primes = primes_until(&c->done);
    thread_join(t);
    if (c->err != ERR_OK)
        return c->err;
    wrong = wrong_bytes(c, n_frames);
    kprintf("%llu bytes copied with %u interrupts in %llu ms: %llu moved directly, %llu by bounces\n", ULL(c->n_bytes),
            c->interrupts, ULL(time_ns(cpu_rdtsc() - c->began) / 1000000), ULL(d->bytes_direct - direct),
            ULL(d->bytes_bounced - bounced));
    kprintf("meanwhile the CPU found %llu primes; %llu bytes are wrong\n", ULL(primes), ULL(wrong));
    return wrong == 0 ? ERR_OK : ERR_CORRUPT;
}

static err_t dma(unsigned argc, char *argv[])
{
    static struct copying copying; /* one console, one at a time */
    struct copying       *c = &copying;
    uint64_t              n_bytes = 4 * PAGE_SIZE, n_frames;
    err_t                 err;

    if (argc > 2 || (argc == 2 && fmt_read_u64(argv[1], &n_bytes) != ERR_OK))
        return ERR_SYNTAX;
    if (n_bytes == 0 || n_bytes > DMA_FRAMES_MAX * PAGE_SIZE) {
        kprintf("from 1 to %llu bytes\n", ULL(DMA_FRAMES_MAX * PAGE_SIZE));
        return ERR_INVAL;
    }
    if (edu_device() == NULL) {
        kprintf("this machine has no DMA engine that we know: QEMU has one, --device edu\n");
        return ERR_NOSYS;
    }
    memset(c, 0, sizeof *c);
    c->n_bytes = n_bytes;
    n_frames = (n_bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    err = frames_alloc(n_frames, c->from);
    if (err != ERR_OK)
        return err;
    err = frames_alloc(n_frames, c->to);
    if (err == ERR_OK) {
        err = copy_by_engine(c, n_frames);
        if (err != ERR_IO && frames_free(n_frames, c->to) != ERR_OK) /* after ERR_IO the engine may still write there */
            PANIC("frames just taken can't be given back");
    }
    if (frames_free(n_frames, c->from) != ERR_OK)
        PANIC("frames just taken can't be given back");
    return err;
}

const struct command commands_devices[] = {
    { "pci", "", "the devices on PCI: what they are, their memory, how they signal", pci },
    { "dma", "[BYTES]", "have a device copy memory while the CPU does something else, and signal with an interrupt", dma },
    { NULL, NULL, NULL, NULL },
};
