/* SPDX-License-Identifier: MIT */
/*
 * core/dev/pci.c - PCI: who is there, its configuration registers, its memory, its interrupts
 *
 *   ECAM     register r of bus b, slot s, function f lies in memory: window + (b << 20 | s << 15 | f << 12 | r)
 *   ports    0xCF8 takes 1 << 31 | b << 16 | s << 11 | f << 8 | r, then 0xCFC is the register (bus 0 to 255, r < 256)
 *
 * Every bus there can be is looked at, not only those behind bridges that were found: a machine may have several
 * roots, which only AML tells. What does not exist reads as all ones.
 *
 * Interrupts are messages: the device writes a number to an address, and the local APIC takes it as a vector.
 * Configuration through ports needs two steps, and sizes of memory windows are learnt by writing: both with
 * interrupts off. CPUs that share a function agree among themselves.
 */
#include "core/dev/pci.h"

#include "core/dev/acpi.h"
#include "core/log.h"
#include "core/x86/insn.h"
#include "core/x86/irq.h"
#include "core/x86/mmio.h"
#include "mm/kva.h"
#include "mm/port.h"

#define PORT_ADDRESS 0xCF8
#define PORT_DATA    0xCFC
#define BUSES        256
#define SLOTS        32
#define FUNCTIONS    8

static struct {
    struct {
        volatile uint8_t *registers; /* of its first bus */
        uint16_t segment;
        uint8_t  first_bus, last_bus;
    } window[ACPI_ECAMS_MAX];
    unsigned          n_windows; /* 0: ports                     */
    struct pci_device device[PCI_DEVICES_MAX];
    unsigned          n, n_lost;
} pci;

/* ---- configuration registers ----------------------------------------------------------------------- */

static volatile uint8_t *ecam(const struct pci_device *d, unsigned reg)
{
    uint32_t bus = (uint32_t)d->bus - pci.window[d->ecam].first_bus;

    return pci.window[d->ecam].registers + (bus << 20 | (uint32_t)d->slot << 15 | (uint32_t)d->function << 12 | reg);
}

static uint32_t port_address(const struct pci_device *d, unsigned reg)
{
    return 1u << 31 | (uint32_t)d->bus << 16 | (uint32_t)d->slot << 11 | (uint32_t)d->function << 8 | reg;
}

uint32_t pci_read(const struct pci_device *d, unsigned reg)
{
    if (pci.n_windows != 0)
        return mmio_read32(ecam(d, reg));
    uint64_t irq = port_irq_save();

    outl(PORT_ADDRESS, port_address(d, reg));
    uint32_t value = inl(PORT_DATA);

    port_irq_restore(irq);
    return value;
}

void pci_write(const struct pci_device *d, unsigned reg, uint32_t value)
{
    if (pci.n_windows != 0) {
        mmio_write32(ecam(d, reg), value);
        return;
    }
    uint64_t irq = port_irq_save();

    outl(PORT_ADDRESS, port_address(d, reg));
    outl(PORT_DATA, value);
    port_irq_restore(irq);
}

void pci_command(const struct pci_device *d, uint32_t set, uint32_t clear)
{
    uint32_t now = pci_read(d, PCI_COMMAND) & 0xFFFF; /* the status above it is cleared by ones */

    pci_write(d, PCI_COMMAND, (now & ~clear) | set);
}

/* ---- who is there ----------------------------------------------------------------------------------- */

/* Returns whether a function answers at this address; if so it is noted. */
static bool look_at(struct pci_device d)
{
    uint32_t id = pci_read(&d, PCI_ID);

    if ((id & 0xFFFF) == 0xFFFF)
        return false;
    uint32_t class = pci_read(&d, PCI_CLASS);

    d.vendor = (uint16_t)id;
    d.device = (uint16_t)(id >> 16);
    d.class = (uint8_t)(class >> 24);
    d.subclass = (uint8_t)(class >> 16);
    d.interface = (uint8_t)(class >> 8);
    d.revision = (uint8_t)class;
    d.header = (uint8_t)(pci_read(&d, PCI_HEADER) >> 16);
    if (pci.n < PCI_DEVICES_MAX)
        pci.device[pci.n++] = d;
    else
        pci.n_lost++;
    return true;
}

/* Functions 1 to 7 are looked for only where function 0 says that there are several. */
static void look_at_slot(struct pci_device d)
{
    if (!look_at(d) || !(pci_read(&d, PCI_HEADER) >> 16 & 0x80))
        return;
    for (d.function = 1; d.function < FUNCTIONS; d.function++)
        look_at(d);
}

static void look_at_buses(uint8_t window, uint16_t segment, unsigned first, unsigned last)
{
    for (unsigned bus = first; bus <= last; bus++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            look_at_slot((struct pci_device){
                .segment = segment, .bus = (uint8_t)bus, .slot = (uint8_t)slot, .ecam = window });
}

static void map_windows(void)
{
    const struct acpi_info *a = acpi_info();

    for (unsigned i = 0; i < a->n_ecams; i++) {
        const struct acpi_ecam *e = &a->ecam[i];
        uint64_t                bytes = (uint64_t)(e->last_bus - e->first_bus + 1) << 20;
        volatile void          *registers;
        err_t err = kva_map_device(pa(e->base.raw + ((uint64_t)e->first_bus << 20)), bytes, PTE_CACHE_UC, &registers);

        if (err != ERR_OK) {
            log_warn("pci", "registers of buses %u to %u at %#llx: %s", e->first_bus, e->last_bus, ULL(e->base.raw), err_str(err));
            continue;
        }
        pci.window[pci.n_windows].registers = registers;
        pci.window[pci.n_windows].segment = e->segment;
        pci.window[pci.n_windows].first_bus = e->first_bus;
        pci.window[pci.n_windows++].last_bus = e->last_bus;
    }
}

void pci_start(void)
{
    map_windows();
    for (unsigned i = 0; i < pci.n_windows; i++)
        look_at_buses((uint8_t)i, pci.window[i].segment, pci.window[i].first_bus, pci.window[i].last_bus);
    if (pci.n_windows == 0)
        look_at_buses(0, 0, 0, BUSES - 1);
    log_info("pci", "%u functions, through %s", pci.n, pci_way());
    if (pci.n_lost != 0)
        log_warn("pci", "%u more functions are not used", pci.n_lost);
}

const char *pci_way(void) { return pci.n_windows != 0 ? "ECAM" : "ports"; }

const struct pci_device *pci_at(unsigned i) { return i < pci.n ? &pci.device[i] : NULL; }

static unsigned after_index(const struct pci_device *d) { return d == NULL ? 0 : (unsigned)(d - pci.device) + 1; }

const struct pci_device *pci_find(const struct pci_device *after, uint8_t class, uint8_t subclass)
{
    for (unsigned i = after_index(after); i < pci.n; i++)
        if (pci.device[i].class == class && pci.device[i].subclass == subclass)
            return &pci.device[i];
    return NULL;
}

const struct pci_device *pci_find_id(const struct pci_device *after, uint16_t vendor, uint16_t device)
{
    for (unsigned i = after_index(after); i < pci.n; i++)
        if (pci.device[i].vendor == vendor && pci.device[i].device == device)
            return &pci.device[i];
    return NULL;
}

/* ---- its memory -------------------------------------------------------------------------------------- */

#define BAR_PORT         1u
#define BAR_TYPE         6u
#define BAR_64           4u
#define BAR_PREFETCHABLE 8u

/* Of a window that is a power of two: the lowest address bit that can be set; 0 for no window */
static uint64_t lowest_bit(uint64_t mask) { return mask & (0 - mask); }

err_t pci_bar(const struct pci_device *d, unsigned i, struct pci_bar *out)
{
    unsigned reg = PCI_BAR + 4 * i, n_bars = (d->header & 0x7F) == 0 ? PCI_BARS : (d->header & 0x7F) == 1 ? 2 : 0;

    if (i >= n_bars)
        return ERR_NOENT;
    uint64_t irq = port_irq_save();
    uint32_t command = pci_read(d, PCI_COMMAND) & 0xFFFF, old = pci_read(d, reg);
    bool     port = old & BAR_PORT, wide = !port && (old & BAR_TYPE) == BAR_64 && i + 1 < n_bars;
    uint32_t upper = wide ? pci_read(d, reg + 4) : 0, flags = port ? 3 : 15;

    pci_write(d, PCI_COMMAND, command & ~(PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY));
    pci_write(d, reg, UINT32_MAX);
    uint64_t mask = pci_read(d, reg) & ~flags;

    pci_write(d, reg, old);
    if (wide) {
        pci_write(d, reg + 4, UINT32_MAX);
        mask |= (uint64_t)pci_read(d, reg + 4) << 32;
        pci_write(d, reg + 4, upper);
    }
    pci_write(d, PCI_COMMAND, command);
    port_irq_restore(irq);
    if (mask == 0)
        return ERR_NOENT;
    *out = (struct pci_bar){ pa((uint64_t)upper << 32 | (old & ~flags)), lowest_bit(mask), port,
                             !port && (old & BAR_PREFETCHABLE) };
    return ERR_OK;
}

err_t pci_map(const struct pci_device *d, unsigned i, volatile void **out)
{
    struct pci_bar bar;
    err_t          err = pci_bar(d, i, &bar);

    if (err == ERR_OK && (bar.port || bar.base.raw == 0))
        err = ERR_NOENT;
    return err == ERR_OK ? kva_map_device(bar.base, bar.bytes, PTE_CACHE_UC, out) : err;
}

/* ---- its interrupts ---------------------------------------------------------------------------------- */

unsigned pci_capability(const struct pci_device *d, uint8_t id)
{
    unsigned at = pci_read(d, PCI_COMMAND) >> 20 & 1 ? pci_read(d, PCI_CAPABILITIES) & 0xFC : 0;

    for (unsigned seen = 0; at >= 0x40 && seen < 48; seen++) { /* 48 fit: the list of a broken device may be a ring */
        uint32_t head = pci_read(d, at);

        if ((head & 0xFF) == id)
            return at;
        at = head >> 8 & 0xFC;
    }
    return 0;
}

/* MSI-X: an entry of the table in the device's memory is { address, address high, number, masked } */
static err_t msix_set(const struct pci_device *d, unsigned cap, unsigned n, const struct irq_message *m)
{
    uint32_t       control = pci_read(d, cap), where = pci_read(d, cap + 4);
    volatile void *memory;

    if (n > (control >> 16 & 0x7FF))
        return ERR_INVAL;
    err_t err = pci_map(d, where & 7, &memory);

    if (err != ERR_OK)
        return err;
    volatile uint8_t *entry = (volatile uint8_t *)memory + (where & ~7u) + (size_t)16 * n;

    mmio_write32(entry, (uint32_t)m->address);
    mmio_write32(entry + 4, (uint32_t)(m->address >> 32));
    mmio_write32(entry + 8, m->data);
    mmio_write32(entry + 12, 0);
    pci_write(d, cap, (control & ~(1u << 30)) | 1u << 31);
    return kva_free(va((uintptr_t)memory));
}

static void msi_set(const struct pci_device *d, unsigned cap, const struct irq_message *m)
{
    uint32_t control = pci_read(d, cap);
    bool     wide = control >> 23 & 1;

    pci_write(d, cap + 4, (uint32_t)m->address);
    if (wide)
        pci_write(d, cap + 8, (uint32_t)(m->address >> 32));
    pci_write(d, cap + (wide ? 12 : 8), m->data);
    pci_write(d, cap, (control & ~(7u << 20)) | 1u << 16); /* one message, enabled */
}

err_t pci_interrupt(const struct pci_device *d, unsigned n, void (*fn)(void *arg), void *arg)
{
    unsigned           msix = pci_capability(d, PCI_CAP_MSIX), msi = pci_capability(d, PCI_CAP_MSI);
    struct irq_message m;

    if (msix == 0 && msi == 0)
        return ERR_NOSYS;
    if (msix == 0 && n != 0)
        return ERR_INVAL;
    err_t err = irq_attach_message(fn, arg, &m);

    if (err != ERR_OK)
        return err;
    if (msix != 0)
        err = msix_set(d, msix, n, &m);
    else
        msi_set(d, msi, &m);
    if (err == ERR_OK)
        pci_command(d, PCI_COMMAND_NO_INT, 0);
    else
        irq_detach_message(&m);
    return err;
}
