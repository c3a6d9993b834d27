/* SPDX-License-Identifier: MIT */
/* core/dev/nvme_disk.c - reading and writing NVMe disks */
#include "core/dev/nvme_in.h"

#include "core/log.h"
#include "core/str.h"
#include "mm/port.h"

const struct nvme_disk *nvme_find(const char *name)
{
    const struct nvme_disk *d;
    unsigned                i = 0;

    while ((d = nvme_disk(i)) != NULL && strcmp(d->name, name) != 0)
        i++;
    return d;
}

struct nvme_counts nvme_counts(const struct nvme_disk *disk)
{
    uint64_t           irq = irqlock_take(&disk->controller->waiting.lock);
    struct nvme_counts counts = disk->controller->counts;

    irqlock_drop(&disk->controller->waiting.lock, irq);
    return counts;
}

/* The bytes of all pieces, if they are whole blocks of the disk; 0 if not */
static uint64_t whole_blocks(const struct nvme_disk *disk, uint64_t first, const struct dma_piece pieces[], size_t n)
{
    uint64_t n_bytes = 0;

    for (size_t i = 0; i < n && n_bytes <= disk->bytes_max; i++)
        n_bytes += min_u64(pieces[i].n_bytes, disk->bytes_max + (uint64_t)1);
    uint64_t n_blocks = n_bytes / disk->block_bytes;
    bool     fits = n_bytes <= disk->bytes_max && n_bytes % disk->block_bytes == 0 && n_blocks <= disk->n_blocks &&
                first <= disk->n_blocks - n_blocks;

    return fits ? n_bytes : 0;
}

/* Only the first page may be begun in its middle, and only the last be left there: NVMe 4.3 "PRP Entry and List" */
static bool whole_pages(const struct dma_transfer *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct dma_segment *s = &t->segment[i];

        if ((i > 0 && s->address.raw % PAGE_SIZE != 0) || (i + 1 < t->n && (s->address.raw + s->n_bytes) % PAGE_SIZE != 0))
            return false;
    }
    return true;
}

err_t nvme_begin(const struct nvme_disk *disk, enum nvme_op op, uint64_t first, const struct dma_piece pieces[], size_t n,
                 struct nvme_io *io)
{
    struct nvme        *c = disk->controller;
    struct nvme_command cmd = { .op = (uint32_t)op, .id = disk->id };
    err_t               err = ERR_OK;

    io->disk = disk;
    io->first = first;
    io->opcode = (uint8_t)op;
    io->transfer = (struct dma_transfer){ .segment = io->segment, .room = NVME_PAGES_MAX + 1 };
    if (op != NVME_FLUSH) {
        uint64_t n_bytes = whole_blocks(disk, first, pieces, n);

        if (n_bytes == 0)
            return ERR_INVAL;
        err = dma_map(&c->dma, pieces, n, op == NVME_READ ? DMA_WRITES : DMA_READS, &io->transfer);
        if (err == ERR_OK && !whole_pages(&io->transfer))
            err = ERR_INVAL;
        cmd.dw10 = (uint32_t)first;
        cmd.dw11 = (uint32_t)(first >> 32);
        cmd.dw12 = (uint32_t)(n_bytes / disk->block_bytes) - 1;
    }
    if (err == ERR_OK)
        err = nvme_submit(c, &c->io, &cmd, io, false);
    if (err != ERR_OK)
        dma_unmap(&io->transfer);
    return err;
}

/* NVMe 4.6.1 "Status Field": what disks really say */
static const char *status_words(uint16_t status)
{
    switch (status & 0x7FF) { /* without "more" and "do not retry" */
    case 0x002: return "wrong field in the command";
    case 0x004: return "data transfer error";
    case 0x006: return "internal error";
    case 0x007: return "aborted";
    case 0x00B: return "wrong namespace";
    case 0x080: return "beyond its end";
    case 0x082: return "not ready";
    case 0x120: return "write to a read-only range";
    case 0x280: return "write fault";
    case 0x281: return "unrecovered read error";
    case 0x282: case 0x283: case 0x284: return "wrong check bits";
    case 0x286: return "access denied";
    case NVME_STATUS_LOST & 0x7FF: return "no answer";
    default: return "failed";
    }
}

err_t nvme_end(struct nvme_io *io)
{
    static const char *const ops[] = { "flush", "write", "read" };

    while (!nvme_await(io->disk->controller, io))
        nvme_reset(io->disk->controller);
    if (!io->lost)
        dma_unmap(&io->transfer);
    if (io->status == 0)
        return ERR_OK;
    log_error("nvme", "%s: %s at block %llu: %s (status %#x)", io->disk->name, ops[io->opcode], ULL(io->first),
              status_words(io->status), io->status);
    return ERR_IO;
}

err_t nvme_run(const struct nvme_disk *disk, enum nvme_op op, uint64_t first, const struct dma_piece pieces[], size_t n)
{
    struct nvme_io io;
    err_t          err = nvme_begin(disk, op, first, pieces, n, &io);

    return err == ERR_OK ? nvme_end(&io) : err;
}
