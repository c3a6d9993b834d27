/* SPDX-License-Identifier: MIT */
/*
 * core/dev/edu.c - QEMU's "edu" device, for what it has of a DMA engine
 *
 *        memory  --- reads --->  [ 4 KiB buffer at 0x40000 ]  --- writes --->  memory
 *                                          |
 *                                          +--- interrupt each time it stops, about 0.1 s later
 *
 * Its addresses have 28 bits, so on most machines most memory is out of its reach, and mm/dma.c bounces.
 */
#include "core/dev/edu.h"

#include "core/dev/iommu.h"
#include "core/log.h"
#include "core/proc/thread.h"
#include "core/x86/mmio.h"
#include "core/x86/time.h"
#include "mm/port.h"

#define EDU_VENDOR 0x1234
#define EDU_ID     0x11E8
#define TIMEOUT_NS ((uint64_t)10 * 1000 * 1000 * 1000)

enum {
    REG_IDENTITY = 0x00, REG_IRQ_STATUS = 0x24, REG_IRQ_DONE = 0x64, REG_FROM = 0x80, REG_TO = 0x88, REG_COUNT = 0x90,
    REG_COMMAND = 0x98,
    BUFFER = 0x40000,
};
#define COMMAND_START  1u
#define COMMAND_WRITES 2u /* from its buffer to memory; else the other way */
#define COMMAND_SIGNAL 4u
#define IDENTITY       0xEDu /* lowest byte */

static struct {
    const struct pci_device *device; /* [c] NULL: there is none */
    volatile uint8_t        *registers;
    struct dma_device        dma;
    struct waitq             waiting;
    bool                     stopped; /* [waiting.lock] since it was last started */
} edu = { .waiting = WAITQ("edu"), .dma = { .limits = { .highest = { 0x0FFFFFFF }, .segment_bytes = EDU_BYTES } } };

static void on_interrupt(void *arg)
{
    uint64_t irq = irqlock_take(&edu.waiting.lock);

    (void)arg;
    mmio_write32(edu.registers + REG_IRQ_DONE, mmio_read32(edu.registers + REG_IRQ_STATUS));
    edu.stopped = true;
    waitq_wake(&edu.waiting);
    irqlock_drop(&edu.waiting.lock, irq);
}

err_t edu_start(void)
{
    const struct pci_device *d = pci_find_id(NULL, EDU_VENDOR, EDU_ID);
    volatile void           *registers;
    err_t                    err = d != NULL ? pci_map(d, 0, &registers) : ERR_NOENT;

    if (err != ERR_OK)
        return err;
    edu.registers = registers;
    if ((mmio_read32(edu.registers + REG_IDENTITY) & 0xFF) != IDENTITY)
        return ERR_NOENT;
    pci_command(d, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    err = iommu_guard(d, &edu.dma);
    if (err == ERR_OK)
        err = pci_interrupt(d, 0, on_interrupt, NULL);
    if (err == ERR_OK)
        edu.device = d;
    return err;
}

const struct pci_device *edu_device(void) { return edu.device; }

const struct dma_device *edu_dma(void) { return &edu.dma; }

/* Start the engine on one segment, and sleep until it signals. */
static err_t run(const struct dma_segment *s, uint64_t in_buffer, bool reads)
{
    uint64_t deadline = cpu_rdtsc() + time_ticks(TIMEOUT_NS);
    uint64_t irq = irqlock_take(&edu.waiting.lock);
    err_t    err = ERR_OK;

    edu.stopped = false;
    mmio_write64(edu.registers + REG_FROM, reads ? s->address.raw : BUFFER + in_buffer);
    mmio_write64(edu.registers + REG_TO, reads ? BUFFER + in_buffer : s->address.raw);
    mmio_write64(edu.registers + REG_COUNT, s->n_bytes);
    mmio_write64(edu.registers + REG_COMMAND, COMMAND_START | COMMAND_SIGNAL | (reads ? 0 : COMMAND_WRITES));
    while (!edu.stopped && err == ERR_OK)
        err = waitq_wait(&edu.waiting, deadline);
    err = edu.stopped ? ERR_OK : err;
    irqlock_drop(&edu.waiting.lock, irq);
    return err == ERR_NOENT ? ERR_IO : err;
}

/* Memory to the buffer, or the buffer to memory */
static err_t move(pa_t memory, uint64_t n_bytes, bool reads, edu_seen *seen, void *arg)
{
    struct dma_segment  room[2]; /* as much as a page lies in at most two */
    struct dma_transfer t = { .segment = room, .room = ARRAY_LEN(room) };
    uint64_t            in_buffer = 0;
    err_t err = dma_map(&edu.dma, &(struct dma_piece){ memory, n_bytes }, 1, reads ? DMA_READS : DMA_WRITES, &t);

    for (unsigned i = 0; i < t.n && err == ERR_OK; in_buffer += t.segment[i].n_bytes, i++) {
        err = run(&t.segment[i], in_buffer, reads);
        if (err == ERR_OK)
            seen(arg, &t.segment[i], reads);
    }
    if (err == ERR_IO || err == ERR_BUSY)
        edu.device = NULL; /* it may still write: its frames are never ours again */
    else
        dma_unmap(&t);
    return err;
}

err_t edu_copy(pa_t to, pa_t from, uint64_t n_bytes, edu_seen *seen, void *arg)
{
    if (edu.device == NULL)
        return ERR_NOENT;
    if (n_bytes == 0 || n_bytes > EDU_BYTES)
        return ERR_INVAL;
    err_t err = move(from, n_bytes, true, seen, arg);

    return err == ERR_OK ? move(to, n_bytes, false, seen, arg) : err;
}

err_t edu_stray(pa_t to)
{
    return edu.device == NULL ? ERR_NOENT : run(&(struct dma_segment){ to, 8, to }, 0, false);
}
