/* SPDX-License-Identifier: MIT */
/*
 * core/dev/nvme.h - NVMe disks
 *
 * Reading and writing block the thread that asks, not the CPU. Who wants several commands under way at once begins
 * them all, then ends them all.
 */
#ifndef CORE_DEV_NVME_H
#define CORE_DEV_NVME_H

#include "mm/dma.h"

#define NVME_PAGES_MAX 64 /* of memory in one command */

struct nvme;

/* A namespace, which is what NVMe calls a disk */
struct nvme_disk {
    struct nvme *controller;
    uint32_t     id;          /* of the namespace                       */
    uint32_t     block_bytes; /* 512 to 4096                            */
    uint32_t     bytes_max;   /* of one command                         */
    uint64_t     n_blocks;
    char         name[16];    /* "nvme0n1"                              */
    char         model[41];   /* what the controller calls itself       */
};

/* A command under way; the caller keeps it until nvme_end(). Its fields are the driver's. */
struct nvme_io {
    const struct nvme_disk *disk;
    struct dma_transfer     transfer;
    struct dma_segment      segment[NVME_PAGES_MAX + 1];
    uint64_t                first;  /* block                                */
    uint32_t                result; /* what some commands answer            */
    uint16_t                status; /* as the controller says, 0: all right */
    uint8_t                 opcode;
    bool                    done;
    bool                    lost;   /* the controller may still use the memory */
};

enum nvme_op { NVME_FLUSH = 0, NVME_WRITE = 1, NVME_READ = 2 };

/*
 * nvme_start - every NVMe controller on PCI, and its disks
 *
 *   What does not answer, or answers wrongly, is logged and left alone. Threads are there.
 *   Source  NVM Express Base Specification 1.4
 */
void nvme_start(void);

/* nvme_disk - the i-th disk, NULL after the last */
const struct nvme_disk *nvme_disk(unsigned i);

/* nvme_find - the disk of that name, or NULL */
const struct nvme_disk *nvme_find(const char *name);

/*
 * nvme_begin - have the disk start reading into, or writing from, memory
 *
 *   first    block
 *   pieces   pieces[n]: whole blocks together, at most disk->bytes_max. All but the first start at a page's
 *            start, all but the last end at a page's end, each is a multiple of 4 bytes
 *   io       what to hand to nvme_end(); not touched before
 *   NVME_FLUSH has no blocks and no pieces: what was written before is on the disk when it ends
 *
 *   Errors  ERR_INVAL  not so, or beyond the disk's end    ERR_NOMEM  no bounce frame
 *           ERR_IO     the controller is dead              ERR_BUSY   the thread is killed
 *           nothing was begun
 */
err_t nvme_begin(const struct nvme_disk *disk, enum nvme_op op, uint64_t first, const struct dma_piece pieces[], size_t n,
                 struct nvme_io *io) MUST_USE;

/*
 * nvme_end - wait until it is done; the memory is ours again
 *
 *   A controller that does not answer within 5 seconds is reset: then all that was under way has failed.
 *   Errors  ERR_IO  logged with the disk, the block, and what the controller says
 */
err_t nvme_end(struct nvme_io *io) MUST_USE;

/* nvme_run - begin and end */
err_t nvme_run(const struct nvme_disk *disk, enum nvme_op op, uint64_t first, const struct dma_piece pieces[],
               size_t n) MUST_USE;

/* nvme_interrupts - how many have come from a disk's controller, and how often it was reset */
struct nvme_counts {
    uint64_t interrupts, commands, errors, resets;
};
struct nvme_counts nvme_counts(const struct nvme_disk *disk);

#endif
