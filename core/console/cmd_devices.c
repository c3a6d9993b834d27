/* SPDX-License-Identifier: MIT */
/* core/console/cmd_devices.c - what hangs on the buses: pci */
#include "core/console/commands.h"
#include "core/dev/pci.h"
#include "core/fmt.h"
#include "core/log.h"

static const char *signals(const struct pci_device *d)
{
    return pci_capability(d, PCI_CAP_MSIX) != 0 ? "MSI-X" : pci_capability(d, PCI_CAP_MSI) != 0 ? "MSI" : "-";
}

static void show_bars(const struct pci_device *d)
{
    char           size[FMT_SIZE_BYTES];
    struct pci_bar bar;

    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_bar(d, i, &bar) == ERR_OK)
            kprintf("             %u  %s at %#llx, %s%s\n", i, bar.port ? "ports" : "memory", ULL(bar.base.raw),
                    fmt_size(size, bar.bytes), bar.prefetchable ? ", prefetchable" : "");
}

static err_t pci(unsigned argc, char *argv[])
{
    const struct pci_device *d;

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf(HEADING("%-12s %-9s %-6s %-6s %s\n"), "address", "id", "signal", "master", "what");
    for (unsigned i = 0; (d = pci_at(i)) != NULL; i++) {
        kprintf("%04x:%02x:%02x.%u %04x:%04x %-6s %-6s %s\n", d->segment, d->bus, d->slot, d->function, d->vendor, d->device,
                signals(d), pci_read(d, PCI_COMMAND) & PCI_COMMAND_MASTER ? "yes" : "no", pci_class_name(d));
        show_bars(d);
    }
    kprintf("through %s\n", pci_way());
    return ERR_OK;
}

const struct command commands_devices[] = {
    { "pci", "", "the devices on PCI: what they are, their memory, how they signal", pci },
    { NULL, NULL, NULL, NULL },
};
