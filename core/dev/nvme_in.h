/* SPDX-License-Identifier: MIT */
/* core/dev/nvme_in.h - NVMe: what nvme.c (controllers and their queues) and nvme_disk.c (reading and writing) share */
#ifndef CORE_DEV_NVME_IN_H
#define CORE_DEV_NVME_IN_H

#include "core/dev/nvme.h"
#include "core/dev/pci.h"
#include "core/proc/thread.h"

#define NVME_DEPTH       64 /* of each ring; one less is in use */
#define NVME_ANSWER_NS   ((uint64_t)5 * 1000 * 1000 * 1000)
#define NVME_STATUS_LOST 0xFFFFu /* ours: the controller was reset before it answered */

struct nvme_command {
    uint32_t op, id;
    uint64_t reserved, metadata, prp[2];
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};

struct nvme_answer {
    uint32_t result, reserved;
    uint16_t sq_head, sq;
    uint16_t slot, status; /* bit 0 of status: phase */
};
_Static_assert(sizeof(struct nvme_command) == 64 && sizeof(struct nvme_answer) == 16, "NVMe 4.2 and 4.6");

struct nvme_queue {
    struct dma_buffer  commands, answers, prps;
    volatile uint32_t *bell[2];          /* [c] commands' tail, answers' head */
    struct nvme_io    *slot[NVME_DEPTH]; /* [lock] NULL: free                 */
    unsigned           tail, head;       /* [lock]                            */
    uint16_t           phase;            /* [lock] of answers that are new    */
};

struct nvme {
    const struct pci_device *device;
    volatile uint8_t        *registers;
    struct dma_device        dma;
    struct waitq             waiting;  /* its lock guards what is marked [lock]         */
    struct nvme_queue        admin, io;
    enum { NVME_RUNNING, NVME_RESETTING, NVME_DEAD } state; /* [lock]                   */
    struct nvme_counts       counts;   /* [lock]                                        */
    uint64_t                 ready_ns; /* [c] how long switching on or off may take     */
    uint16_t                 message;  /* [c] by which the second queue signals         */
    uint32_t                 bytes_max;
    char                     name[8], model[41];
};

/*
 * nvme_submit - put a command into its ring; its number and its pages (io->transfer) are filled in
 *
 *   resetting   by the thread that brings the controller back: all others wait until it is
 *   Errors  ERR_IO  the controller is dead      ERR_BUSY  the thread is killed
 */
err_t nvme_submit(struct nvme *c, struct nvme_queue *q, struct nvme_command *cmd, struct nvme_io *io, bool resetting) MUST_USE;

/* nvme_await - until the command is done; false when its time is over */
bool nvme_await(struct nvme *c, const struct nvme_io *io) MUST_USE;

/* nvme_reset - switch the controller off and on; what is under way has failed when it returns */
void nvme_reset(struct nvme *c);

#endif
