/* SPDX-License-Identifier: MIT */
/* core/dev/iommu.h - Intel VT-d: between devices and memory, so that each reaches what it was handed and no more */
#ifndef CORE_DEV_IOMMU_H
#define CORE_DEV_IOMMU_H

#include "core/dev/pci.h"
#include "mm/dma.h"

/*
 * iommu_start - if ACPI tells of one, from now on no device on PCI reaches any memory
 *
 *   But for what the firmware reserves for single devices (RMRR: a keyboard that it emulates, a screen).
 *   Errors  ERR_NOENT  there is none      ERR_NOSYS  it has no tables that we can make      ERR_NOMEM
 *           ERR_IO     it does not follow
 *   Source  Intel Virtualization Technology for Directed I/O 3.1
 */
err_t iommu_start(void) MUST_USE;

/*
 * iommu_guard - what this function is handed through `dma` from now on, it reaches
 *
 *   Its limit is lowered to what the IOMMU's tables hold. Without an IOMMU nothing stands in between, and nothing
 *   is done.
 *   Errors  ERR_NOMEM  no tables, or too many devices
 */
err_t iommu_guard(const struct pci_device *d, struct dma_device *dma) MUST_USE;

struct iommu_info {
    unsigned n_units, levels; /* of the devices' tables; 0 units: none is in use */
    unsigned n_devices;       /* that have tables of their own                   */
    uint64_t tables;          /* frames                                          */
    uint64_t faults;          /* accesses that were blocked, as far as reported  */
};
struct iommu_info iommu_info(void);

#endif
