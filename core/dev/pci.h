/* SPDX-License-Identifier: MIT */
/* core/dev/pci.h - PCI: who is there, its configuration registers, its memory, its interrupts */
#ifndef CORE_DEV_PCI_H
#define CORE_DEV_PCI_H

#include "mm/err.h"
#include "mm/types.h"

#define PCI_DEVICES_MAX 128
#define PCI_BARS        6

/* One function of a device */
struct pci_device {
    uint16_t segment;
    uint8_t  bus, slot, function;
    uint16_t vendor, device;
    uint8_t  class, subclass, interface, revision;
    uint8_t  header; /* layout of its registers: 0 a device, 1 a bridge to another bus */
    uint8_t  ecam;   /* which of the windows it is reached through                   */
};

struct pci_bar {
    pa_t     base;  /* a physical address, or a port */
    uint64_t bytes; /* 0: there is none              */
    bool     port, prefetchable;
};

/* Registers of every function: PCI Local Bus Specification 3.0, 6.1 "Configuration Space Organization" */
enum {
    PCI_ID = 0x00, PCI_COMMAND = 0x04, PCI_CLASS = 0x08, PCI_HEADER = 0x0C, PCI_BAR = 0x10, PCI_SUBSYSTEM = 0x2C,
    PCI_CAPABILITIES = 0x34,
};
#define PCI_COMMAND_PORTS  1u
#define PCI_COMMAND_MEMORY 2u
#define PCI_COMMAND_MASTER 4u
#define PCI_COMMAND_NO_INT 0x400u /* no interrupt by wire */

/* Capabilities */
enum { PCI_CAP_MSI = 0x05, PCI_CAP_MSIX = 0x11 };

/*
 * pci_start - look at every bus there can be
 *
 *   Through ECAM (all registers in memory) where ACPI's MCFG says so, else through ports 0xCF8 and 0xCFC.
 *   More than PCI_DEVICES_MAX functions are counted, not kept.
 *   Source  PCI Firmware Specification 3.0, 4.1.2 "MCFG Table Description"
 */
void pci_start(void);

/* pci_way - "ECAM" or "ports" */
const char *pci_way(void);

/* pci_at - the i-th function that was found; NULL after the last */
const struct pci_device *pci_at(unsigned i);

/* pci_find - the first function after `after` (NULL: from the start) with this class and subclass; NULL: none */
const struct pci_device *pci_find(const struct pci_device *after, uint8_t class, uint8_t subclass);

/* pci_find_id - the same by vendor and device */
const struct pci_device *pci_find_id(const struct pci_device *after, uint16_t vendor, uint16_t device);

/* pci_read, pci_write - a configuration register; reg is a multiple of 4 */
uint32_t pci_read(const struct pci_device *d, unsigned reg);
void     pci_write(const struct pci_device *d, unsigned reg, uint32_t value);

/* pci_command - set and clear bits of the command register: PCI_COMMAND_* */
void pci_command(const struct pci_device *d, uint32_t set, uint32_t clear);

/*
 * pci_bar - what base address register i asks for; interrupts are off and the device does not answer while it is asked
 *
 *   ERR_NOENT  it is unused, or the upper half of the one before
 */
err_t pci_bar(const struct pci_device *d, unsigned i, struct pci_bar *out) MUST_USE;

/* pci_map - the registers behind base address register i, mapped uncached; errors of pci_bar() and kva_map_device() */
err_t pci_map(const struct pci_device *d, unsigned i, volatile void **out) MUST_USE;

/* pci_capability - where in configuration space capability `id` lies; 0: the function has none */
unsigned pci_capability(const struct pci_device *d, uint8_t id);

/*
 * pci_interrupt - from now on the function signals with its message n, and fn(arg) is called, interrupts off
 *
 *   n       by MSI-X up to what its table holds; by MSI 0
 *   Errors  ERR_NOSYS  it can't signal by messages    ERR_INVAL  no such message    ERR_NOMEM  no vector is left
 *   Source  PCI Local Bus Specification 3.0, 6.8 "Message Signaled Interrupts"
 */
err_t pci_interrupt(const struct pci_device *d, unsigned n, void (*fn)(void *arg), void *arg) MUST_USE;

/* pci_class_name - "NVMe controller", "bridge to ISA", ... in words; never NULL */
const char *pci_class_name(const struct pci_device *d);

#endif
