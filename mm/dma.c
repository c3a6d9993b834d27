/* SPDX-License-Identifier: MIT */
/*
 * mm/dma.c - memory that devices read and write by themselves
 *
 * Promise     A device is told only of addresses that it can reach, cut as it wants them, and what it reads and
 *             writes there is the memory that was meant.
 *
 * Picture     three pieces for a device that reaches 256 MiB and takes 4 KiB at a time
 *
 *               pieces     [ 8 KiB at 64 MiB ]   [ 4 KiB at 6 GiB ]   [ 4 KiB right behind the first ]
 *                             |         |                |                        |
 *               segments   [ 4 KiB ] [ 4 KiB ]     [ a bounce: a     ]       [ 4 KiB ]
 *                                                  [ frame below 256 ]
 *                                                  [ MiB, a copy     ]
 *
 * Ownership   Between dma_map() and dma_unmap() the memory is the device's: who reads it sees old bytes where a
 *             bounce is in between, who writes it loses what he wrote. PCs keep caches and devices in step, so
 *             nothing is flushed.
 *
 * Bounces     are filled whatever the direction: a device that writes less than it was asked to leaves the rest
 *             as it was, and no old bytes of other owners get into it. Each takes a frame; a piece that is not
 *             aligned goes through bounces wholly.
 *
 * Guard       Where an IOMMU stands in between, a device reaches the frames it was handed and no others, for as
 *             long as it has them.
 *
 * Locks       none of its own: a transfer is used by one thread at a time.
 *
 * Failure     nothing was handed over.
 */
#include "mm/dma.h"

#include "mm/frame.h"
#include "mm/port.h"

static uint64_t pages(uint64_t n_bytes) { return (n_bytes + PAGE_SIZE - 1) >> PAGE_SHIFT; }

static bool multiple(uint64_t x, uint64_t power) { return power == 0 || (x & (power - 1)) == 0; }

static err_t guard_open(struct dma_device *d, pa_t start, uint64_t n_bytes, unsigned access)
{
    return d->guard != NULL ? d->guard->open(d->guard_arg, start, n_bytes, access) : ERR_OK;
}

static void guard_close(struct dma_device *d, pa_t start, uint64_t n_bytes)
{
    if (d->guard != NULL)
        d->guard->close(d->guard_arg, start, n_bytes);
}

/* Frames that the device reaches; boundary in frames, for a limit below a page none is crossed anyway */
static err_t take(const struct dma_limits *l, uint64_t n, unsigned flags, pfn_t *out)
{
    return frame_alloc_with(&(struct frame_request){ .n = n,
                                                     .align = pages(l->align) > 1 ? pages(l->align) : 0,
                                                     .boundary = l->boundary >> PAGE_SHIFT,
                                                     .highest = l->highest,
                                                     .flags = flags }, out);
}

static void give(pfn_t first, uint64_t n)
{
    if (frame_free_run(first, n) != ERR_OK)
        PANIC("frames of a device's can't be given back");
}

/* ---- buffers ------------------------------------------------------------------------------------ */

err_t dma_buffer_alloc(struct dma_device *d, uint64_t n_bytes, struct dma_buffer *out)
{
    uint64_t n = pages(n_bytes);
    pfn_t    first;

    if (n_bytes == 0 || n_bytes > UINT64_MAX - PAGE_SIZE || (d->limits.boundary != 0 && n_bytes > d->limits.boundary))
        return ERR_INVAL;
    err_t err = take(&d->limits, n, FRAME_ZERO, &first);

    if (err != ERR_OK)
        return err;
    err = guard_open(d, pfn_to_pa(first), n << PAGE_SHIFT, DMA_READS | DMA_WRITES);
    if (err != ERR_OK) {
        give(first, n);
        return err;
    }
    *out = (struct dma_buffer){ port_ptr(pfn_to_pa(first)), pfn_to_pa(first), n };
    return ERR_OK;
}

void dma_buffer_free(struct dma_device *d, struct dma_buffer *b)
{
    guard_close(d, b->address, b->n_frames << PAGE_SHIFT);
    give(pa_to_pfn(b->address), b->n_frames);
    *b = (struct dma_buffer){ NULL, pa(0), 0 };
}

/* ---- transfers ---------------------------------------------------------------------------------- */

static bool bounced(const struct dma_segment *s) { return s->address.raw != s->memory.raw; }

/* How many of n bytes from here the device takes as one segment */
static uint32_t cut(const struct dma_limits *l, pa_t address, uint64_t n)
{
    uint64_t longest = l->segment_bytes != 0 ? l->segment_bytes : (uint64_t)1 << 31;

    if (l->boundary != 0)
        longest = min_u64(longest, l->boundary - (address.raw & (l->boundary - 1)));
    return (uint32_t)min_u64(n, longest);
}

/* Returns whether the bytes at `address` could be told as the end of the last segment. */
static bool extend(struct dma_transfer *t, pa_t address, uint32_t n)
{
    struct dma_segment *last = &t->segment[t->n - 1];

    if (t->n == 0 || bounced(last) || last->address.raw + last->n_bytes != address.raw ||
        cut(&t->device->limits, last->address, (uint64_t)last->n_bytes + n) != last->n_bytes + n)
        return false;
    last->n_bytes += n;
    return true;
}

/* Tell the device of n bytes at `address`, which stand for those at `memory`. */
static err_t tell(struct dma_transfer *t, pa_t address, pa_t memory, uint64_t n)
{
    while (n > 0) {
        uint32_t part = cut(&t->device->limits, address, n);

        if (address.raw != memory.raw || !extend(t, address, part)) {
            if (t->n == t->room)
                return ERR_NOMEM;
            t->segment[t->n++] = (struct dma_segment){ address, part, memory };
        }
        address.raw += part;
        memory.raw += part;
        n -= part;
    }
    return ERR_OK;
}

/* A frame stands in for at most a frame's bytes. */
static err_t bounce(struct dma_transfer *t, pa_t memory, uint64_t n)
{
    unsigned before = t->n;
    pfn_t    frame;
    err_t    err = take(&t->device->limits, 1, 0, &frame);

    if (err != ERR_OK)
        return err;
    __builtin_memcpy(port_ptr(pfn_to_pa(frame)), port_ptr(memory), n);
    err = tell(t, pfn_to_pa(frame), memory, n);
    if (err != ERR_OK) {
        t->n = before;
        give(frame, 1);
    }
    return err;
}

static err_t map_piece(struct dma_transfer *t, struct dma_piece p)
{
    pa_t  highest = t->device->limits.highest;
    bool  aligned = multiple(p.start.raw, t->device->limits.align);
    err_t err = ERR_OK;

    while (p.n_bytes > 0 && err == ERR_OK) {
        bool     direct = aligned && p.start.raw <= highest.raw;
        uint64_t n = min_u64(p.n_bytes - 1, direct ? highest.raw - p.start.raw : PAGE_SIZE - 1) + 1;

        err = direct ? tell(t, p.start, p.start, n) : bounce(t, p.start, n);
        p.start.raw += n;
        p.n_bytes -= n;
    }
    return err;
}

static err_t open_all(struct dma_transfer *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        err_t err = guard_open(t->device, t->segment[i].address, t->segment[i].n_bytes, t->access);

        if (err == ERR_OK)
            continue;
        while (i-- > 0)
            guard_close(t->device, t->segment[i].address, t->segment[i].n_bytes);
        return err;
    }
    return ERR_OK;
}

/* The frame of a bounce that was cut goes with its last part. */
static bool last_of_frame(const struct dma_transfer *t, unsigned i)
{
    return i + 1 == t->n || pa_to_pfn(t->segment[i].address).idx != pa_to_pfn(t->segment[i + 1].address).idx;
}

static void end(struct dma_transfer *t)
{
    for (unsigned i = 0; i < t->n; i++)
        if (bounced(&t->segment[i]) && last_of_frame(t, i))
            give(pa_to_pfn(t->segment[i].address), 1);
    t->n = 0;
}

static void count(struct dma_transfer *t)
{
    atomic_fetch_add_explicit(&t->device->transfers, 1, memory_order_relaxed);
    for (unsigned i = 0; i < t->n; i++)
        atomic_fetch_add_explicit(bounced(&t->segment[i]) ? &t->device->bytes_bounced : &t->device->bytes_direct,
                                  t->segment[i].n_bytes, memory_order_relaxed);
}

err_t dma_map(struct dma_device *d, const struct dma_piece pieces[], size_t n, unsigned access, struct dma_transfer *t)
{
    err_t err = n == 0 || access == 0 ? ERR_INVAL : ERR_OK;

    if (t->n != 0)
        return ERR_BUSY;
    for (size_t i = 0; i < n && err == ERR_OK; i++)
        if (pieces[i].n_bytes == 0 || !multiple(pieces[i].n_bytes, d->limits.align) ||
            pieces[i].start.raw + (pieces[i].n_bytes - 1) < pieces[i].start.raw)
            err = ERR_INVAL;
    t->device = d;
    t->access = access;
    for (size_t i = 0; i < n && err == ERR_OK; i++)
        err = map_piece(t, pieces[i]);
    if (err == ERR_OK)
        err = open_all(t);
    if (err == ERR_OK)
        count(t);
    else
        end(t);
    return err;
}

void dma_unmap(struct dma_transfer *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct dma_segment *s = &t->segment[i];

        guard_close(t->device, s->address, s->n_bytes);
        if (bounced(s) && (t->access & DMA_WRITES) != 0)
            __builtin_memcpy(port_ptr(s->memory), port_ptr(s->address), s->n_bytes);
    }
    end(t);
}
