/* SPDX-License-Identifier: MIT */
/* core/dev/edu.h - QEMU's "edu" device, for what it has of a DMA engine */
#ifndef CORE_DEV_EDU_H
#define CORE_DEV_EDU_H

#include "core/dev/pci.h"
#include "mm/dma.h"

#define EDU_BYTES 2048 /* at a time: its buffer has 4096, but QEMU up to 8 ends the machine when all are used */

/*
 * edu_start - find the device, and listen to its interrupt
 *
 *   Errors  ERR_NOENT  there is none     and those of pci_map() and pci_interrupt()
 *   Source  QEMU docs/specs/edu
 */
err_t edu_start(void) MUST_USE;

/* edu_device - where it is on PCI, NULL: there is none; edu_dma - what it can reach */
const struct pci_device *edu_device(void);
const struct dma_device *edu_dma(void);

/* Called in the thread that waited, when the engine has stopped: what it moved, and where */
typedef void edu_seen(void *arg, const struct dma_segment *s, bool device_reads);

/*
 * edu_copy - the engine copies n_bytes of memory, through its buffer; the thread sleeps until it has
 *
 *   n_bytes  1..EDU_BYTES; one thread at a time
 *   Errors   ERR_NOENT  no engine    ERR_NOMEM  no bounce    ERR_BUSY  the thread is killed
 *            ERR_IO     the engine has not stopped within ten seconds; it is not used any more
 */
err_t edu_copy(pa_t to, pa_t from, uint64_t n_bytes, edu_seen *seen, void *arg) MUST_USE;

/*
 * edu_stray - the engine writes 8 bytes to memory that it was not handed: to see what an IOMMU does about that
 *
 *   to  within its reach; nobody else's. Errors as edu_copy()
 */
err_t edu_stray(pa_t to) MUST_USE;

#endif
