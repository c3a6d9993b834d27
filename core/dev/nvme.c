/* SPDX-License-Identifier: MIT */
/*
 * core/dev/nvme.c - NVMe disks
 *
 *   A queue is two rings in memory: we put commands into one and ring its bell, the controller puts answers into
 *   the other and sends a message. An answer is new when its phase bit is not what it was the last time around.
 *
 *     commands   | .. | .. | 17 | 18 |    |    |  tail: ours, told by the bell
 *     answers    | 16 |    |    |    |    |    |  head: ours; phase turns over at each wrap
 *
 *   Each controller has a queue for its administration and one for reading and writing. A command's place in the
 *   table `slot` is the number that comes back with its answer.
 *
 * Locks       a controller's lock (its wait queue's) guards both queues; the interrupt handler takes it.
 *
 * Failure     A command that has no answer after 5 seconds: the controller is switched off and on again. What was
 *             under way has failed, whether or not it was carried out. One that can't be switched off may write to
 *             memory at any time: the frames that it was handed are never used again, nor is it.
 *
 * Source      NVM Express Base Specification 1.4, 3 "Controller Registers", 5 and 6 (commands), 7.6 (reset)
 */
#include "core/dev/nvme.h"

#include "core/dev/nvme_in.h"

#include "core/dev/iommu.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/str.h"
#include "core/x86/mmio.h"
#include "core/x86/time.h"
#include "mm/port.h"

#define TAG            "nvme"
#define CONTROLLERS    4
#define DISKS          16
#define DEPTH          NVME_DEPTH
#define PRP_BYTES      (NVME_PAGES_MAX * 8)

enum {
    REG_CAP = 0x00, REG_CC = 0x14, REG_CSTS = 0x1C, REG_AQA = 0x24, REG_ASQ = 0x28, REG_ACQ = 0x30, REG_BELLS = 0x1000,
};
#define CC_ENABLE     1u
#define CC_SIZES      (4u << 20 | 6u << 16) /* answers of 2^4 bytes, commands of 2^6; pages of 4 KiB */
#define CSTS_READY    1u
#define CSTS_FATAL    2u

enum { ADMIN_CREATE_SQ = 1, ADMIN_CREATE_CQ = 5, ADMIN_IDENTIFY = 6, ADMIN_SET_FEATURES = 9 };
enum { IDENTIFY_NAMESPACE = 0, IDENTIFY_CONTROLLER = 1, IDENTIFY_LIST = 2 };
enum { FEATURE_QUEUES = 7 };

static struct {
    struct nvme      controller[CONTROLLERS];
    struct nvme_disk disk[DISKS];
    unsigned         n, n_disks;
} nv;

/* ---- queues -------------------------------------------------------------------------------------------- */

static err_t queue_make(struct nvme *c, struct nvme_queue *q, unsigned number)
{
    unsigned stride = 4u << (mmio_read64(c->registers + REG_CAP) >> 32 & 15);
    err_t    err = dma_buffer_alloc(&c->dma, DEPTH * sizeof(struct nvme_command), &q->commands);

    if (err == ERR_OK)
        err = dma_buffer_alloc(&c->dma, DEPTH * sizeof(struct nvme_answer), &q->answers);
    if (err == ERR_OK)
        err = dma_buffer_alloc(&c->dma, DEPTH * PRP_BYTES, &q->prps);
    for (unsigned i = 0; i < 2; i++)
        q->bell[i] = (volatile uint32_t *)(c->registers + REG_BELLS + (size_t)(2 * number + i) * stride);
    return err;
}

/* Nothing is under way, and the controller begins at the start of both rings. */
static void queue_clear(struct nvme_queue *q)
{
    memset(q->answers.ptr, 0, DEPTH * sizeof(struct nvme_answer));
    q->tail = q->head = 0;
    q->phase = 1;
}

static void queue_free(struct nvme *c, struct nvme_queue *q)
{
    struct dma_buffer *all[] = { &q->commands, &q->answers, &q->prps };

    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->ptr != NULL)
            dma_buffer_free(&c->dma, all[i]);
}

static void finish(struct nvme *c, struct nvme_queue *q, unsigned slot, uint16_t status, uint32_t result)
{
    struct nvme_io *io = q->slot[slot];

    q->slot[slot] = NULL;
    io->status = status;
    io->result = result;
    io->done = true;
    c->counts.errors += status != 0;
}

/* Take what answers there are. The controller's lock is held. */
static void reap(struct nvme *c, struct nvme_queue *q)
{
    volatile const struct nvme_answer *ring = q->answers.ptr;
    unsigned                      before = q->head;

    while (ring != NULL && (ring[q->head].status & 1) == q->phase) {
        atomic_thread_fence(memory_order_acquire); /* the rest of an answer is there when its phase is */
        unsigned slot = ring[q->head].slot;

        if (slot < DEPTH && q->slot[slot] != NULL)
            finish(c, q, slot, ring[q->head].status >> 1 & 0x7FFF, ring[q->head].result);
        q->head = (q->head + 1) % DEPTH;
        q->phase ^= q->head == 0;
    }
    if (q->head != before)
        mmio_write32(q->bell[1], q->head);
}

static void on_interrupt(void *arg)
{
    struct nvme *c = arg;
    uint64_t     irq = irqlock_take(&c->waiting.lock);

    c->counts.interrupts++;
    reap(c, &c->admin);
    reap(c, &c->io);
    waitq_wake(&c->waiting);
    irqlock_drop(&c->waiting.lock, irq);
}

static unsigned free_slot(const struct nvme_queue *q)
{
    unsigned slot = 0;

    while (slot < DEPTH - 1 && q->slot[slot] != NULL)
        slot++;
    return slot;
}

/* The pages of memory, as the controller wants to be told: one, two, or one and a list of the others (NVMe 4.3) */
static void tell_pages(struct nvme_queue *q, unsigned slot, const struct dma_transfer *t, struct nvme_command *cmd)
{
    uint64_t *list = (uint64_t *)q->prps.ptr + (size_t)slot * NVME_PAGES_MAX;
    unsigned  n = 0;

    for (unsigned i = 0; i < t->n; i++) {
        uint64_t at = t->segment[i].address.raw, end = at + t->segment[i].n_bytes;

        for (; at < end; at = align_down(at, PAGE_SIZE) + PAGE_SIZE, n++)
            if (n == 0)
                cmd->prp[0] = at;
            else
                list[n - 1] = at;
    }
    if (n == 2)
        cmd->prp[1] = list[0];
    else if (n > 2)
        cmd->prp[1] = q->prps.address.raw + (uint64_t)slot * PRP_BYTES;
}

err_t nvme_submit(struct nvme *c, struct nvme_queue *q, struct nvme_command *cmd, struct nvme_io *io, bool resetting)
{
    uint64_t irq = irqlock_take(&c->waiting.lock);
    unsigned slot = free_slot(q);
    err_t    err = ERR_OK;

    while (err == ERR_OK && c->state != NVME_DEAD && (slot == DEPTH - 1 || (c->state == NVME_RESETTING && !resetting))) {
        err = waitq_wait(&c->waiting, 0);
        slot = free_slot(q);
    }
    if (err == ERR_OK && c->state == NVME_DEAD)
        err = ERR_IO;
    if (err == ERR_OK) {
        tell_pages(q, slot, &io->transfer, cmd);
        cmd->op |= slot << 16;
        io->done = io->lost = false;
        q->slot[slot] = io;
        ((struct nvme_command *)q->commands.ptr)[q->tail] = *cmd;
        q->tail = (q->tail + 1) % DEPTH;
        c->counts.commands++;
        atomic_thread_fence(memory_order_release); /* the command is there before the bell rings */
        mmio_write32(q->bell[0], q->tail);
    }
    irqlock_drop(&c->waiting.lock, irq);
    return err;
}

/* ---- off and on --------------------------------------------------------------------------------------------- */

/* Wait for CSTS.RDY to be as wanted. All ones: the device was pulled out. */
static err_t await_ready(struct nvme *c, bool wanted)
{
    uint64_t end = time_now_ns() + c->ready_ns;

    for (;;) {
        uint32_t status = mmio_read32(c->registers + REG_CSTS);

        if (status == UINT32_MAX)
            return ERR_NOENT;
        if (((status & CSTS_READY) != 0) == wanted)
            return ERR_OK;
        if (time_now_ns() > end || (wanted && (status & CSTS_FATAL) != 0))
            return ERR_IO;
        if (thread_sleep_ns((uint64_t)1000 * 1000) != ERR_OK)
            thread_yield();
    }
}

static err_t switch_off(struct nvme *c)
{
    mmio_write32(c->registers + REG_CC, mmio_read32(c->registers + REG_CC) & ~CC_ENABLE);
    return await_ready(c, false);
}

static err_t switch_on(struct nvme *c)
{
    uint64_t irq = irqlock_take(&c->waiting.lock);

    queue_clear(&c->admin);
    queue_clear(&c->io);
    irqlock_drop(&c->waiting.lock, irq);
    mmio_write32(c->registers + REG_AQA, (DEPTH - 1) << 16 | (DEPTH - 1));
    mmio_write64(c->registers + REG_ASQ, c->admin.commands.address.raw);
    mmio_write64(c->registers + REG_ACQ, c->admin.answers.address.raw);
    mmio_write32(c->registers + REG_CC, CC_SIZES | CC_ENABLE);
    return await_ready(c, true);
}

bool nvme_await(struct nvme *c, const struct nvme_io *io)
{
    uint64_t deadline = cpu_rdtsc() + time_ticks(NVME_ANSWER_NS), irq = irqlock_take(&c->waiting.lock);

    while (!io->done && cpu_rdtsc() < deadline)
        if (waitq_wait(&c->waiting, deadline) == ERR_BUSY) { /* killed, but the device still uses the memory */
            irqlock_drop(&c->waiting.lock, irq);
            thread_yield();
            irq = irqlock_take(&c->waiting.lock);
        }
    irqlock_drop(&c->waiting.lock, irq);
    return io->done;
}

/* Everything under way in a queue has failed. The lock is held. */
static void fail_all(struct nvme *c, struct nvme_queue *q, bool lost)
{
    for (unsigned slot = 0; slot < DEPTH; slot++)
        if (q->slot[slot] != NULL) {
            q->slot[slot]->lost = lost;
            finish(c, q, slot, NVME_STATUS_LOST, 0);
        }
}

/*
 * One command of administration; `page`, if any, is where its 4 KiB answer goes, or the ring that it is about.
 * One without an answer is dropped by switching off.
 */
static err_t administer(struct nvme *c, struct nvme_command *cmd, const struct dma_buffer *page)
{
    struct nvme_io io = { .transfer = { .segment = io.segment, .n = page != NULL } };
    err_t          err;

    if (page != NULL)
        io.segment[0] = (struct dma_segment){ page->address, PAGE_SIZE, page->address };
    err = nvme_submit(c, &c->admin, cmd, &io, true);
    if (err == ERR_OK && !nvme_await(c, &io)) {
        err = switch_off(c) == ERR_IO ? ERR_IO : ERR_NOENT;
        uint64_t irq = irqlock_take(&c->waiting.lock);

        fail_all(c, &c->admin, err == ERR_IO);
        irqlock_drop(&c->waiting.lock, irq);
    }
    return err != ERR_OK ? err : io.status == NVME_STATUS_LOST ? ERR_IO : io.status != 0 ? ERR_NOSYS : ERR_OK;
}

/* The second queue, which the controller forgot when it was switched off */
static err_t create_queue(struct nvme *c)
{
    const uint32_t      size = (DEPTH - 1) << 16 | 1;
    struct nvme_command queues = { .op = ADMIN_SET_FEATURES, .dw10 = FEATURE_QUEUES };
    struct nvme_command answers = { .op = ADMIN_CREATE_CQ, .dw10 = size, .dw11 = (uint32_t)c->message << 16 | 3 };
    struct nvme_command commands = { .op = ADMIN_CREATE_SQ, .dw10 = size, .dw11 = 1u << 16 | 1 };
    err_t               err = administer(c, &queues, NULL);

    if (err == ERR_OK)
        err = administer(c, &answers, &c->io.answers);
    return err == ERR_OK ? administer(c, &commands, &c->io.commands) : err;
}

void nvme_reset(struct nvme *c)
{
    uint64_t irq = irqlock_take(&c->waiting.lock);
    bool     mine = c->state == NVME_RUNNING;

    c->state = mine ? NVME_RESETTING : c->state;
    irqlock_drop(&c->waiting.lock, irq);
    while (!mine && c->state == NVME_RESETTING)
        thread_yield();
    if (!mine)
        return;
    log_warn(TAG, "%s does not answer: switched off", c->name);
    err_t err = switch_off(c);

    irq = irqlock_take(&c->waiting.lock);
    fail_all(c, &c->admin, err == ERR_IO);
    fail_all(c, &c->io, err == ERR_IO);
    waitq_wake(&c->waiting);
    irqlock_drop(&c->waiting.lock, irq);
    if (err == ERR_OK)
        err = switch_on(c);
    if (err == ERR_OK)
        err = create_queue(c);
    if (err != ERR_OK)
        log_error(TAG, "%s %s: it is not used any more", c->name, err == ERR_NOENT ? "is gone" : "stays silent");
    irq = irqlock_take(&c->waiting.lock);
    c->counts.resets++;
    c->state = err == ERR_OK ? NVME_RUNNING : NVME_DEAD;
    waitq_wake(&c->waiting);
    irqlock_drop(&c->waiting.lock, irq);
}

/* ---- finding them --------------------------------------------------------------------------------------- */

/* Text of a device's: ASCII, filled up with blanks */
static void copy_text(char *out, const uint8_t *text, unsigned n)
{
    unsigned end = 0;

    for (unsigned i = 0; i < n; i++) {
        out[i] = text[i] >= ' ' && text[i] < 0x7F ? (char)text[i] : '?';
        end = text[i] > ' ' ? i + 1 : end;
    }
    out[end] = '\0';
}

static err_t identify(struct nvme *c, const struct dma_buffer *page, uint32_t what, uint32_t id)
{
    struct nvme_command cmd = { .op = ADMIN_IDENTIFY, .id = id, .dw10 = what };

    memset(page->ptr, 0, PAGE_SIZE);
    return administer(c, &cmd, page);
}

static err_t identify_controller(struct nvme *c, const struct dma_buffer *page)
{
    const uint8_t *answer = page->ptr;
    err_t          err = identify(c, page, IDENTIFY_CONTROLLER, 0);

    if (err != ERR_OK)
        return err;
    copy_text(c->model, answer + 24, 40);
    c->bytes_max = NVME_PAGES_MAX * PAGE_SIZE;
    if (answer[77] != 0 && answer[77] < 6) /* MDTS: 2^n pages */
        c->bytes_max = (uint32_t)PAGE_SIZE << answer[77];
    return ERR_OK;
}

/* A namespace with blocks of 512 to 4096 bytes and nothing beside them becomes a disk. */
static void add_disk(struct nvme *c, const struct dma_buffer *page, uint32_t id)
{
    const uint8_t *answer = page->ptr;

    if (identify(c, page, IDENTIFY_NAMESPACE, id) != ERR_OK)
        return;
    uint64_t n_blocks;
    uint32_t format;

    memcpy(&n_blocks, answer, 8);
    memcpy(&format, answer + 128 + (size_t)4 * (answer[26] & 15), 4);
    unsigned shift = format >> 16 & 0xFF;

    if (n_blocks == 0)
        return;
    if ((format & 0xFFFF) != 0 || shift < 9 || shift > PAGE_SHIFT || nv.n_disks == DISKS) {
        log_warn(TAG, "%sn%u is not used: %s", c->name, id, nv.n_disks == DISKS ? "too many disks" : "its blocks");
        return;
    }
    struct nvme_disk *d = &nv.disk[nv.n_disks++];

    *d = (struct nvme_disk){ .controller = c, .id = id, .block_bytes = 1u << shift, .bytes_max = c->bytes_max,
                             .n_blocks = n_blocks };
    memcpy(d->model, c->model, sizeof d->model);
    fmt_string(d->name, sizeof d->name, "%sn%u", c->name, id);
}

static void find_disks(struct nvme *c)
{
    struct dma_buffer list = { 0 }, page = { 0 };
    err_t             err = dma_buffer_alloc(&c->dma, PAGE_SIZE, &list);

    if (err == ERR_OK)
        err = dma_buffer_alloc(&c->dma, PAGE_SIZE, &page);
    if (err == ERR_OK)
        err = identify_controller(c, &page);
    if (err == ERR_OK)
        err = identify(c, &list, IDENTIFY_LIST, 0);
    for (uint32_t i = 0, id; err == ERR_OK && i < PAGE_SIZE / 4 && (id = ((const uint32_t *)list.ptr)[i]) != 0; i++)
        add_disk(c, &page, id);
    if (page.ptr != NULL)
        dma_buffer_free(&c->dma, &page);
    if (list.ptr != NULL)
        dma_buffer_free(&c->dma, &list);
    if (err != ERR_OK)
        log_warn(TAG, "%s does not say what it has: %s", c->name, err_str(err));
}

/* Its interrupts: one for each queue where it has several, else one for both */
static err_t listen(struct nvme *c)
{
    err_t err = pci_interrupt(c->device, 0, on_interrupt, c);

    if (err == ERR_OK && pci_interrupt(c->device, 1, on_interrupt, c) == ERR_OK)
        c->message = 1;
    return err;
}

static err_t start(struct nvme *c)
{
    uint64_t cap = mmio_read64(c->registers + REG_CAP);

    if (cap == UINT64_MAX || (cap & 0xFFFF) < DEPTH - 1 || (cap >> 48 & 15) != 0 || !(cap >> 37 & 1))
        return ERR_NOSYS; /* shorter rings, no pages of 4 KiB, or no commands of NVMe's own */
    c->ready_ns = ((cap >> 24 & 0xFF) + 1) * 500 * 1000 * 1000;
    pci_command(c->device, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    err_t err = switch_off(c); /* the firmware used it */

    if (err == ERR_OK)
        err = queue_make(c, &c->admin, 0);
    if (err == ERR_OK)
        err = queue_make(c, &c->io, 1);
    if (err == ERR_OK)
        err = listen(c);
    if (err == ERR_OK)
        err = switch_on(c);
    if (err == ERR_OK)
        err = create_queue(c);
    if (err != ERR_OK && switch_off(c) == ERR_OK) {
        queue_free(c, &c->admin);
        queue_free(c, &c->io);
    }
    return err;
}

static void add_controller(const struct pci_device *d)
{
    struct nvme   *c = &nv.controller[nv.n];
    volatile void *registers;
    err_t          err = pci_map(d, 0, &registers);

    fmt_string(c->name, sizeof c->name, "nvme%u", nv.n);
    if (err == ERR_OK) {
        c->device = d;
        c->registers = registers;
        c->waiting = (struct waitq)WAITQ("nvme");
        c->dma.limits = (struct dma_limits){ .highest = pa(UINT64_MAX), .align = 4 };
        err = iommu_guard(d, &c->dma);
    }
    if (err == ERR_OK)
        err = start(c);
    if (err == ERR_OK) {
        nv.n++;
        find_disks(c);
        log_info(TAG, "%s: %s", c->name, c->model);
    } else {
        log_warn(TAG, "a controller at %02x:%02x.%u is not used: %s", d->bus, d->slot, d->function, err_str(err));
    }
}

void nvme_start(void)
{
    const struct pci_device *d = NULL;

    while (nv.n < CONTROLLERS && (d = pci_find(d, 1, 8)) != NULL)
        if (d->interface == 2)
            add_controller(d);
}

const struct nvme_disk *nvme_disk(unsigned i) { return i < nv.n_disks ? &nv.disk[i] : NULL; }
