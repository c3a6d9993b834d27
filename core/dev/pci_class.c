/* SPDX-License-Identifier: MIT */
/* core/dev/pci_class.c - classes of PCI functions in words (PCI Code and ID Assignment Specification 1.11) */
#include "core/dev/pci.h"

#define ANY 0xFF

/* The first row that fits is the name: special ones stand before general ones. */
static const struct {
    uint8_t     class, subclass, interface;
    const char *name;
} classes[] = {
    { 0x00, 0x01, ANY, "VGA device (old)" },
    { 0x00, ANY, ANY, "device of no class" },
    { 0x01, 0x00, ANY, "SCSI controller" },
    { 0x01, 0x01, ANY, "IDE controller" },
    { 0x01, 0x04, ANY, "RAID controller" },
    { 0x01, 0x06, 0x01, "SATA controller (AHCI)" },
    { 0x01, 0x06, ANY, "SATA controller" },
    { 0x01, 0x07, ANY, "SAS controller" },
    { 0x01, 0x08, 0x02, "NVMe controller" },
    { 0x01, 0x08, ANY, "non-volatile memory controller" },
    { 0x01, ANY, ANY, "storage controller" },
    { 0x02, 0x00, ANY, "Ethernet controller" },
    { 0x02, 0x80, ANY, "network controller" },
    { 0x02, ANY, ANY, "network controller" },
    { 0x03, 0x00, ANY, "VGA display controller" },
    { 0x03, 0x02, ANY, "3D controller" },
    { 0x03, ANY, ANY, "display controller" },
    { 0x04, 0x03, ANY, "audio device" },
    { 0x04, ANY, ANY, "multimedia device" },
    { 0x05, ANY, ANY, "memory controller" },
    { 0x06, 0x00, ANY, "host bridge" },
    { 0x06, 0x01, ANY, "bridge to ISA" },
    { 0x06, 0x04, ANY, "bridge to PCI" },
    { 0x06, ANY, ANY, "bridge" },
    { 0x07, 0x00, ANY, "serial port" },
    { 0x07, ANY, ANY, "communication controller" },
    { 0x08, 0x00, ANY, "interrupt controller" },
    { 0x08, 0x06, ANY, "IOMMU" },
    { 0x08, ANY, ANY, "system device" },
    { 0x09, ANY, ANY, "input device" },
    { 0x0A, ANY, ANY, "docking station" },
    { 0x0B, ANY, ANY, "processor" },
    { 0x0C, 0x03, 0x00, "USB controller (UHCI)" },
    { 0x0C, 0x03, 0x10, "USB controller (OHCI)" },
    { 0x0C, 0x03, 0x20, "USB controller (EHCI)" },
    { 0x0C, 0x03, 0x30, "USB controller (xHCI)" },
    { 0x0C, 0x03, ANY, "USB controller" },
    { 0x0C, 0x05, ANY, "SMBus controller" },
    { 0x0C, ANY, ANY, "serial bus controller" },
    { 0x0D, ANY, ANY, "wireless controller" },
    { 0x10, ANY, ANY, "encryption controller" },
    { 0x11, ANY, ANY, "signal processing controller" },
    { 0x12, ANY, ANY, "processing accelerator" },
    { ANY, ANY, ANY, "device of an unknown class" },
};

static bool fits(uint8_t row, uint8_t value) { return row == ANY || row == value; }

const char *pci_class_name(const struct pci_device *d)
{
    size_t i = 0;

    while (!fits(classes[i].class, d->class) || !fits(classes[i].subclass, d->subclass) ||
           !fits(classes[i].interface, d->interface))
        i++;
    return classes[i].name;
}
