/* SPDX-License-Identifier: MIT */
/*
 * mm/dma.h - memory that devices read and write by themselves
 *
 * Two ways to share memory with a device: a buffer that both see all the time (queues of commands, say), and a
 * transfer, for which memory that exists already is handed over and comes back when it is done.
 */
#ifndef MM_DMA_H
#define MM_DMA_H

#include <stdatomic.h>

#include "mm/err.h"
#include "mm/types.h"

/* What a device can reach, and how it wants its work cut; highest + 1 and the rest are multiples of align */
struct dma_limits {
    pa_t     highest;       /* no byte lies above: its address mask                                         */
    uint64_t boundary;      /* no segment crosses a multiple of this power of two; 0: it may        [bytes] */
    uint32_t segment_bytes; /* of the longest segment; 0: any                                               */
    uint32_t align;         /* segments start at and are as long as a multiple of this power of two [bytes] */
};

#define DMA_READS  1u /* the device reads memory  */
#define DMA_WRITES 2u /* the device writes memory */

/* What stands between devices and memory, if anything does: frames are opened to one device, and closed */
struct dma_guard {
    err_t (*open)(void *arg, pa_t start, uint64_t n_bytes, unsigned access);
    void (*close)(void *arg, pa_t start, uint64_t n_bytes);
};

struct dma_device {
    struct dma_limits       limits;
    const struct dma_guard *guard; /* NULL: it reaches everything below its limit */
    void                   *guard_arg;
    _Atomic uint64_t        transfers, bytes_direct, bytes_bounced; /* [a] counted by dma_map() */
};

/* ---- buffers ------------------------------------------------------------------------------------ */

struct dma_buffer {
    void    *ptr;
    pa_t     address; /* as the device knows it */
    uint64_t n_frames;
};

/*
 * dma_buffer_alloc - memory of zeroes for a device and us: one piece, no boundary in it, within its limits
 *
 *   Errors  ERR_NOMEM  no such memory      ERR_INVAL  no bytes, or more than a boundary apart
 */
err_t dma_buffer_alloc(struct dma_device *d, uint64_t n_bytes, struct dma_buffer *out) MUST_USE;

/* dma_buffer_free - the device doesn't use it any more */
void dma_buffer_free(struct dma_device *d, struct dma_buffer *b);

/* ---- transfers ---------------------------------------------------------------------------------- */

/* Memory as we know it; neighbours in physical memory */
struct dma_piece {
    pa_t     start;
    uint64_t n_bytes;
};

/* Memory as the device is told of it */
struct dma_segment {
    pa_t     address;
    uint32_t n_bytes;
    pa_t     memory; /* whose place it takes: itself, or what lies out of the device's reach */
};

struct dma_transfer {
    struct dma_segment *segment; /* [c] segment[room], the caller's: what the device is told */
    unsigned            room;    /* [c] the most that the device takes at once               */
    unsigned            n;       /* segments in use; 0: the memory is ours                   */
    struct dma_device  *device;
    unsigned            access;
};

/*
 * dma_map - hand memory over: from now on it is the device's, until dma_unmap()
 *
 *   pieces  pieces[n], in the order in which the device shall see them; their bytes together are a multiple of
 *           the device's alignment, those of each piece too
 *   access  DMA_READS, DMA_WRITES or both
 *   t       segment and room are set, n is 0; t->segment[0 .. t->n) is what to tell the device
 *
 *   Neighbours become one segment. What the device can't reach, or is not aligned, goes by way of a frame that
 *   it can reach (a bounce): copied there now, and back by dma_unmap().
 *   Errors  ERR_NOMEM  no frame for a bounce, or more segments than there is room; nothing was handed over
 *           ERR_INVAL  no bytes, or not a multiple   ERR_BUSY  t is under way already
 */
err_t dma_map(struct dma_device *d, const struct dma_piece pieces[], size_t n, unsigned access, struct dma_transfer *t) MUST_USE;

/* dma_unmap - the device is done: what it wrote is in the memory, which is ours again */
void dma_unmap(struct dma_transfer *t);

#endif
