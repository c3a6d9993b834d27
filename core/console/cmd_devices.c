/* SPDX-License-Identifier: MIT */
/* core/console/cmd_devices.c - what hangs on the buses, and what it does to memory: pci, disks, dma */
#include <stdatomic.h>

#include "core/console/commands.h"
#include "core/dev/edu.h"
#include "core/dev/gpt.h"
#include "core/dev/nvme.h"
#include "core/dev/pci.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/thread.h"
#include "core/str.h"
#include "core/x86/time.h"
#include "mm/crc32.h"
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

/* ---- disks ---------------------------------------------------------------------------------------------- */

/* A block of a disk, by way of a frame */
struct block_reader {
    const struct nvme_disk *disk;
    pfn_t                   frame;
};

static const uint8_t *read_block(void *arg, uint64_t number)
{
    const struct block_reader *r = arg;
    const struct dma_piece     piece = { pfn_to_pa(r->frame), r->disk->block_bytes };

    return nvme_run(r->disk, NVME_READ, number, &piece, 1) == ERR_OK ? port_ptr(piece.start) : NULL;
}

static void show_partitions(const struct nvme_disk *d, const struct gpt *g)
{
    char size[FMT_SIZE_BYTES], type[GPT_GUID_CHARS];

    for (unsigned i = 0; i < g->n; i++) {
        const struct gpt_partition *p = &g->partition[i];
        const char                 *name = gpt_type_name(&p->type);

        kprintf("          %10s from block %llu, %s \"%s\"\n", fmt_size(size, (p->end - p->first) * d->block_bytes),
                ULL(p->first), name != NULL ? name : gpt_guid_text(type, &p->type), p->name);
    }
}

static err_t show_table(const struct nvme_disk *d)
{
    static struct gpt   g; /* one console, one at a time */
    struct block_reader r = { .disk = d };
    err_t               err = frame_alloc(0, &r.frame);
    const char         *why;

    if (err != ERR_OK)
        return err;
    err = gpt_read(&(struct gpt_disk){ d->block_bytes, d->n_blocks, read_block, &r }, &g, &why);
    if (why != NULL)
        kprintf("          %s%s\n", why, g.backup ? "; this is what its backup says" : "");
    show_partitions(d, &g);
    return err == ERR_IO ? err : frame_free(r.frame); /* after ERR_IO the disk may still write there */
}

static err_t disks(unsigned argc, char *argv[])
{
    const struct nvme_disk *d;
    char                    size[FMT_SIZE_BYTES];
    err_t                   err = ERR_OK;

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf(HEADING("%-9s %10s %6s %9s %7s %7s  %s\n"), "name", "size", "block", "commands", "errors", "resets", "model");
    for (unsigned i = 0; (d = nvme_disk(i)) != NULL; i++) {
        struct nvme_counts n = nvme_counts(d);

        kprintf("%-9s %10s %6u %9llu %7llu %7llu  %s\n", d->name, fmt_size(size, d->n_blocks * d->block_bytes), d->block_bytes,
                ULL(n.commands), ULL(n.errors), ULL(n.resets), d->model);
        err_t last = show_table(d);

        err = err == ERR_OK ? last : err;
    }
    return err;
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

static err_t dma_edu(uint64_t n_bytes)
{
    static struct copying copying; /* one console, one at a time */
    struct copying       *c = &copying;
    uint64_t              n_frames = (n_bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    err_t                 err;

    if (edu_device() == NULL) {
        kprintf("this machine has no DMA engine that copies: QEMU has one, --device edu\n");
        return ERR_NOSYS;
    }
    memset(c, 0, sizeof *c);
    c->n_bytes = n_bytes;
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

/* A device that goes astray: what stands between it and a frame that it was not handed? */
static err_t dma_stray(void)
{
    pfn_t f;
    err_t err = edu_device() == NULL ? ERR_NOSYS
                                     : frame_alloc_with(&(struct frame_request){ .highest = edu_dma()->limits.highest }, &f);

    if (err != ERR_OK)
        return err;
    uint64_t *word = port_ptr(pfn_to_pa(f)), before = *word = pattern(f.idx);

    err = edu_stray(pfn_to_pa(f));
    if (err != ERR_OK)
        return err; /* it may still write there */
    bool same = *(volatile uint64_t *)word == before;

    kprintf("the device wrote to %#llx, which it was not handed: the memory %s\n", ULL(pfn_to_pa(f).raw),
            same ? "is as it was" : "has changed, nothing stands in between");
    return frame_free(f);
}

/* ---- the same with a disk: several commands under way, scattered frames ------------------------------------ */

#define READ_PAGES 8 /* of a command */
#define READS      (DMA_FRAMES_MAX / READ_PAGES)

struct reading {
    const struct nvme_disk *disk;
    pfn_t                   frames[DMA_FRAMES_MAX];
    uint64_t                n_frames;
    struct nvme_io          io[READS];
    err_t                   err;
    _Atomic bool            done;
};

static err_t begin_read(struct reading *r, unsigned i)
{
    struct dma_piece pieces[READ_PAGES];
    unsigned         n = (unsigned)min_u64(r->n_frames - (uint64_t)i * READ_PAGES, READ_PAGES);

    for (unsigned p = 0; p < n; p++)
        pieces[p] = (struct dma_piece){ pfn_to_pa(r->frames[i * READ_PAGES + p]), PAGE_SIZE };
    return nvme_begin(r->disk, NVME_READ, (uint64_t)i * READ_PAGES * PAGE_SIZE / r->disk->block_bytes, pieces, n, &r->io[i]);
}

static void read_all(void *arg)
{
    struct reading *r = arg;
    unsigned        begun = 0;

    while (begun * READ_PAGES < r->n_frames && r->err == ERR_OK) {
        r->err = begin_read(r, begun);
        begun += r->err == ERR_OK;
    }
    for (unsigned i = 0; i < begun; i++) {
        err_t err = nvme_end(&r->io[i]);

        r->err = r->err == ERR_OK ? err : r->err;
    }
    atomic_store_explicit(&r->done, true, memory_order_release);
}

static err_t read_by_disk(struct reading *r)
{
    struct nvme_counts before = nvme_counts(r->disk), after;
    uint64_t           began = cpu_rdtsc(), primes;
    uint32_t           sum = 0;
    struct thread     *t;
    err_t              err = thread_create("dma", NULL, read_all, r, &t);

    if (err != ERR_OK)
        return err;
    primes = primes_until(&r->done);
    thread_join(t);
    if (r->err != ERR_OK)
        return r->err;
    uint64_t us = time_ns(cpu_rdtsc() - began) / 1000;

    after = nvme_counts(r->disk);
    for (uint64_t i = 0; i < r->n_frames; i++)
        sum = crc32(sum, port_ptr(pfn_to_pa(r->frames[i])), PAGE_SIZE);
    kprintf("%llu bytes read with %llu commands and %llu interrupts in %llu us, CRC-32 %08x\n",
            ULL(r->n_frames << PAGE_SHIFT), ULL(after.commands - before.commands), ULL(after.interrupts - before.interrupts),
            ULL(us), sum);
    kprintf("meanwhile the CPU found %llu primes\n", ULL(primes));
    return ERR_OK;
}

static err_t dma_disk(const struct nvme_disk *disk, uint64_t n_bytes)
{
    static struct reading reading; /* one console, one at a time */
    struct reading       *r = &reading;

    if (n_bytes % PAGE_SIZE != 0) {
        kprintf("from a disk: whole pages of %llu bytes\n", ULL(PAGE_SIZE));
        return ERR_INVAL;
    }
    memset(r, 0, sizeof *r);
    r->disk = disk;
    r->n_frames = n_bytes >> PAGE_SHIFT;
    err_t err = frames_alloc(r->n_frames, r->frames);

    if (err != ERR_OK)
        return err;
    err = read_by_disk(r);
    bool lost = false; /* a disk that could not be switched off may still write there */

    for (unsigned i = 0; i < READS; i++)
        lost |= r->io[i].lost;
    if (!lost && frames_free(r->n_frames, r->frames) != ERR_OK)
        PANIC("frames just taken can't be given back");
    return err;
}

static err_t dma(unsigned argc, char *argv[])
{
    const struct nvme_disk *disk = argc > 1 ? nvme_find(argv[1]) : NULL;
    uint64_t                n_bytes = 4 * PAGE_SIZE;
    unsigned                number = disk != NULL ? 2 : 1;

    if (argc == 2 && strcmp(argv[1], "stray") == 0)
        return dma_stray();
    if (argc > number + 1 || (argc == number + 1 && fmt_read_u64(argv[number], &n_bytes) != ERR_OK))
        return ERR_SYNTAX;
    if (n_bytes == 0 || n_bytes > DMA_FRAMES_MAX * PAGE_SIZE) {
        kprintf("from 1 to %llu bytes\n", ULL(DMA_FRAMES_MAX * PAGE_SIZE));
        return ERR_INVAL;
    }
    return disk != NULL ? dma_disk(disk, n_bytes) : dma_edu(n_bytes);
}

const struct command commands_devices[] = {
    { "pci", "", "the devices on PCI: what they are, their memory, how they signal", pci },
    { "disks", "", "the disks, their partitions, and what was asked of them", disks },
    { "dma", "[DISK] [BYTES]|stray", "a device copies memory, or reads a disk, while the CPU does something else; it signals when it stops",
      dma },
    { NULL, NULL, NULL, NULL },
};
