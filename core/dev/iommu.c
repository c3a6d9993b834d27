/* SPDX-License-Identifier: MIT */
/*
 * core/dev/iommu.c - Intel VT-d: between devices and memory, so that each reaches what it was handed and no more
 *
 *   a device's access                root table       context table      three or four levels, as the CPU's
 *   (bus, slot, function, address)   [ bus ] -------> [ slot.fn ] -----> [ ] -> [ ] -> [ ] -> frame, readable, writable
 *
 *   Addresses are the same on both sides: an entry either leads to the frame of its own number or is empty. So what
 *   changes is only which entries are there. An entry counts, in bits that the hardware ignores, how often its frame
 *   has been handed to the device; with the last close it is empty again, and the hardware is told to forget it.
 *
 *      63          62 61        52 51                12 11        2  1  0
 *     | ignored   |  |  count     |  frame             |  0       | W| R|
 *
 *   All units share one root table, so it doesn't matter which of them a device is behind. Tables stay until the end:
 *   one for each 2 MiB that a device ever was handed a part of.
 *
 * Locks       im.lock (rank 34) guards the tables and the registers.
 *
 * Failure     opening: what was opened is closed again. A unit that doesn't take a command within a second is broken;
 *             what it does then is unknown, and the kernel stops.
 *
 * Source      Intel VT-d 3.1: 3.4 "DMA Remapping", 6.5 "Invalidation", 9 "Translation Structure Formats", 10 "Registers"
 */
#include "core/dev/iommu.h"

#include "core/dev/acpi.h"
#include "core/log.h"
#include "core/x86/insn.h"
#include "core/x86/irq.h"
#include "core/x86/mmio.h"
#include "core/x86/time.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/port.h"

#define TAG      "iommu"
#define DOMAINS  32
#define ENTRIES  512

enum {
    REG_CAP = 0x08, REG_ECAP = 0x10, REG_COMMAND = 0x18, REG_STATUS = 0x1C, REG_ROOT = 0x20, REG_CONTEXT = 0x28,
    REG_FAULT_STATUS = 0x34, REG_FAULT_CONTROL = 0x38, REG_FAULT_DATA = 0x3C, REG_FAULT_ADDRESS = 0x40,
    REG_FAULT_UPPER = 0x44,
};
#define COMMAND_TRANSLATE ((uint32_t)1 << 31)
#define COMMAND_SET_ROOT  ((uint32_t)1 << 30)
#define COMMAND_FLUSH     ((uint32_t)1 << 27) /* of write buffers, where they are not in step */
#define COMMAND_KEPT      0x96FFFFFFu         /* of the status: what is not a command done once */
#define CONTEXT_ALL       ((uint64_t)1 << 63 | (uint64_t)1 << 61)
#define IOTLB_ALL         ((uint64_t)1 << 63 | (uint64_t)1 << 60 | (uint64_t)3 << 48) /* drain reads and writes */
#define CAP_FLUSHES       ((uint64_t)1 << 4)
#define CAP_KEEPS_EMPTY   ((uint64_t)1 << 7) /* it remembers that an entry was empty */
#define ECAP_IN_STEP      1u                 /* it sees what is in the CPU's caches  */
#define FAULT_PENDING     2u

#define ENTRY_R           1u
#define ENTRY_W           2u
#define ENTRY_ADDRESS     0x000FFFFFFFFFF000u
#define ENTRY_ONE         ((uint64_t)1 << 52)
#define ENTRY_COUNT       ((uint64_t)0x3FF << 52)

/* The tables of one device */
struct domain {
    uint16_t id; /* of its requests: bus, slot, function */
    pfn_t    root;
};

static struct {
    struct irqlock lock;
    volatile uint8_t *unit[ACPI_IOMMUS_MAX]; /* [c]                                    */
    unsigned          n;                     /* [c] 0: none in use                     */
    unsigned          levels;                /* [c]                                    */
    bool              in_step;               /* [c] all units see the CPU's caches     */
    bool              keeps_empty;           /* [c] one remembers what was empty       */
    pfn_t             root;                  /* [c]                                    */
    struct domain     domain[DOMAINS];       /* [lock]                                 */
    unsigned          n_domains;             /* [lock] domain i has the number i + 1   */
    uint64_t          tables;                /* [lock]                                 */
    _Atomic uint64_t  faults;                /* [a]                                    */
} im = { .lock = IRQLOCK("iommu", 34) };

/* ---- registers ---------------------------------------------------------------------------------------- */

static void await(const volatile uint8_t *reg, uint32_t mask, uint32_t wanted)
{
    uint64_t end = time_now_ns() + (uint64_t)1000 * 1000 * 1000;

    while ((mmio_read32(reg) & mask) != wanted)
        if (time_now_ns() > end)
            PANIC("the IOMMU does not take a command: %#x", mmio_read32(reg));
}

static void command(volatile uint8_t *unit, uint32_t bit)
{
    mmio_write32(unit + REG_COMMAND, (mmio_read32(unit + REG_STATUS) & COMMAND_KEPT) | bit);
    await(unit + REG_STATUS, bit, bit == COMMAND_FLUSH ? 0 : bit);
}

/* Everything that the units remember of the tables is forgotten; reads and writes under way are done. */
static void forget_all(void)
{
    for (unsigned i = 0; i < im.n; i++) {
        volatile uint8_t *unit = im.unit[i];
        volatile uint8_t *iotlb = unit + (mmio_read64(unit + REG_ECAP) >> 8 & 0x3FF) * 16 + 8;

        if ((mmio_read64(unit + REG_CAP) & CAP_FLUSHES) != 0)
            command(unit, COMMAND_FLUSH);
        mmio_write64(unit + REG_CONTEXT, CONTEXT_ALL);
        await(unit + REG_CONTEXT + 4, (uint32_t)1 << 31, 0);
        mmio_write64(iotlb, IOTLB_ALL);
        await(iotlb + 4, (uint32_t)1 << 31, 0);
    }
}

/* ---- tables ------------------------------------------------------------------------------------------- */

static uint64_t *table_at(pfn_t f) { return port_ptr(pfn_to_pa(f)); }

/* What was written must have left the CPU's caches where a unit doesn't look into them. */
static void written(const void *p, size_t n_bytes)
{
    if (!im.in_step)
        for (uintptr_t line = (uintptr_t)p & ~(uintptr_t)63; line < (uintptr_t)p + n_bytes; line += 64)
            cpu_clflush((const void *)line);
}

static void set(uint64_t *entry, uint64_t value)
{
    *(volatile uint64_t *)entry = value;
    written(entry, sizeof *entry);
}

static err_t new_table(pfn_t *out)
{
    err_t err = frame_alloc_with(&(struct frame_request){ .flags = FRAME_ZERO }, out);

    if (err == ERR_OK) {
        written(table_at(*out), PAGE_SIZE);
        im.tables++;
    }
    return err;
}

/* The table that entry `i` of a table leads to; made if `make`. NULL: there is none, or no frame for one */
static uint64_t *next_table(uint64_t *entry, uint64_t bits, bool make)
{
    pfn_t f;

    if ((*entry & bits) == 0) {
        if (!make || new_table(&f) != ERR_OK)
            return NULL;
        set(entry, pfn_to_pa(f).raw | bits);
    }
    return table_at(pa_to_pfn(pa(*entry & ENTRY_ADDRESS)));
}

/* A device's entry for a frame, NULL as above */
static uint64_t *entry_of(const struct domain *d, pfn_t f, bool make)
{
    uint64_t *table = table_at(d->root);

    for (unsigned level = im.levels; level > 1 && table != NULL; level--)
        table = next_table(&table[f.idx >> 9 * (level - 1) & (ENTRIES - 1)], ENTRY_R | ENTRY_W, make);
    return table != NULL ? &table[f.idx & (ENTRIES - 1)] : NULL;
}

static err_t open_frame(const struct domain *d, pfn_t f, unsigned access)
{
    uint64_t  bits = ((access & DMA_READS) != 0 ? ENTRY_R : 0) | ((access & DMA_WRITES) != 0 ? ENTRY_W : 0);
    uint64_t *entry = f.idx >> 9 * im.levels == 0 ? entry_of(d, f, true) : NULL;

    if (entry == NULL || (*entry & ENTRY_COUNT) == ENTRY_COUNT)
        return ERR_NOMEM;
    set(entry, ((*entry & ~ENTRY_ADDRESS) | pfn_to_pa(f).raw | bits) + ENTRY_ONE);
    return ERR_OK;
}

static void close_frame(const struct domain *d, pfn_t f)
{
    uint64_t *entry = entry_of(d, f, false);

    ASSERT(entry != NULL && (*entry & ENTRY_COUNT) != 0);
    set(entry, (*entry & ENTRY_COUNT) == ENTRY_ONE ? 0 : *entry - ENTRY_ONE);
}

static uint64_t frame_end(pa_t start, uint64_t n_bytes) { return pa_to_pfn(pa(start.raw + n_bytes - 1)).idx + 1; }

static err_t guard_open(void *arg, pa_t start, uint64_t n_bytes, unsigned access)
{
    uint64_t irq = irqlock_take(&im.lock), first = pa_to_pfn(start).idx, at = first;
    err_t    err = ERR_OK;

    while (at < frame_end(start, n_bytes) && err == ERR_OK) {
        err = open_frame(arg, pfn(at), access);
        at += err == ERR_OK;
    }
    while (err != ERR_OK && at > first)
        close_frame(arg, pfn(--at));
    if (err != ERR_OK || im.keeps_empty)
        forget_all();
    irqlock_drop(&im.lock, irq);
    return err;
}

static void guard_close(void *arg, pa_t start, uint64_t n_bytes)
{
    uint64_t irq = irqlock_take(&im.lock);

    for (uint64_t at = pa_to_pfn(start).idx; at < frame_end(start, n_bytes); at++)
        close_frame(arg, pfn(at));
    forget_all();
    irqlock_drop(&im.lock, irq);
}

static const struct dma_guard guard = { guard_open, guard_close };

/* ---- devices ------------------------------------------------------------------------------------------- */

/* Lead a function's requests to tables of its own: VT-d 9.3 "Context Entry". The lock is held. */
static err_t lead(struct domain *d, unsigned number)
{
    uint64_t *root = table_at(im.root) + (size_t)2 * (d->id >> 8);
    uint64_t *context = next_table(root, 1, true);

    if (context == NULL || new_table(&d->root) != ERR_OK)
        return ERR_NOMEM;
    context += (size_t)2 * (d->id & 0xFF);
    set(&context[1], (uint64_t)number << 8 | (im.levels - 2));
    set(&context[0], pfn_to_pa(d->root).raw | 1);
    forget_all();
    return ERR_OK;
}

static err_t domain_of(uint16_t id, struct domain **out)
{
    unsigned i = 0;
    err_t    err = ERR_OK;

    while (i < im.n_domains && im.domain[i].id != id)
        i++;
    if (i == DOMAINS)
        return ERR_NOMEM;
    if (i == im.n_domains) {
        im.domain[i].id = id;
        err = lead(&im.domain[i], i + 1);
        im.n_domains += err == ERR_OK;
    }
    if (err == ERR_OK)
        *out = &im.domain[i];
    return err;
}

err_t iommu_guard(const struct pci_device *d, struct dma_device *dma)
{
    struct domain *domain;

    if (im.n == 0)
        return ERR_OK;
    uint64_t irq = irqlock_take(&im.lock);
    err_t    err = domain_of((uint16_t)(d->bus << 8 | d->slot << 3 | d->function), &domain);

    irqlock_drop(&im.lock, irq);
    if (err == ERR_OK) {
        dma->guard = &guard;
        dma->guard_arg = domain;
        dma->limits.highest = pa(min_u64(dma->limits.highest.raw, ((uint64_t)1 << (PAGE_SHIFT + 9 * im.levels)) - 1));
    }
    return err;
}

/* What the firmware reserves for a device stays open to it for good: VT-d 8.4 "Reserved Memory Region". */
static void open_reserved(const struct acpi_dma_reserved *r)
{
    struct domain *domain;
    uint64_t       irq = irqlock_take(&im.lock);
    err_t          err = domain_of(r->device, &domain);

    irqlock_drop(&im.lock, irq);
    if (err == ERR_OK)
        err = guard_open(domain, r->start, r->n_bytes, DMA_READS | DMA_WRITES);
    log_info(TAG, "device %02x:%02x.%u keeps %llu KiB at " PA_FMT ": %s", r->device >> 8, r->device >> 3 & 31, r->device & 7,
             ULL(r->n_bytes / KIB), PA_ARG(r->start), err_str(err));
}

/* ---- what was blocked ----------------------------------------------------------------------------------- */

static const char *reason_words(unsigned reason)
{
    switch (reason) {
    case 1: case 2: return "it was handed nothing";
    case 5: return "it was not handed this to write";
    case 6: return "it was not handed this to read";
    default: return "its tables or its address are wrong";
    }
}

static void on_fault(void *arg)
{
    volatile uint8_t *unit = arg;
    uint64_t          cap = mmio_read64(unit + REG_CAP);
    volatile uint8_t *record = unit + (cap >> 24 & 0x3FF) * 16;

    for (unsigned i = 0; i <= (cap >> 40 & 0xFF); i++, record += 16) {
        uint64_t what = mmio_read64(record + 8);
        unsigned id = what & 0xFFFF;

        if (what >> 63 == 0)
            continue;
        atomic_fetch_add_explicit(&im.faults, 1, memory_order_relaxed);
        log_warn(TAG, "device %02x:%02x.%u, %s at " PA_FMT ", blocked: %s", id >> 8, id >> 3 & 31, id & 7,
                 what >> 62 & 1 ? "read" : "write", PA_ARG(pa(mmio_read64(record) & ENTRY_ADDRESS)),
                 reason_words(what >> 32 & 0xFF));
        mmio_write64(record + 8, (uint64_t)1 << 63);
    }
    mmio_write32(unit + REG_FAULT_STATUS, mmio_read32(unit + REG_FAULT_STATUS));
}

static err_t report_faults(volatile uint8_t *unit)
{
    struct irq_message m;
    err_t              err = irq_attach_message(on_fault, (void *)unit, &m);

    if (err != ERR_OK)
        return err;
    mmio_write32(unit + REG_FAULT_DATA, m.data);
    mmio_write32(unit + REG_FAULT_ADDRESS, (uint32_t)m.address);
    mmio_write32(unit + REG_FAULT_UPPER, (uint32_t)(m.address >> 32));
    mmio_write32(unit + REG_FAULT_CONTROL, 0);
    return ERR_OK;
}

/* ---- start ------------------------------------------------------------------------------------------------ */

static err_t map_units(void)
{
    const struct acpi_info *a = acpi_info();
    uint64_t                widths = ~(uint64_t)0;

    im.in_step = true;
    for (unsigned i = 0; i < a->n_iommus; i++) {
        volatile void *registers;
        err_t          err = kva_map_device(a->iommu[i], PAGE_SIZE, PTE_CACHE_UC, &registers);

        if (err != ERR_OK)
            return err;
        im.unit[i] = registers;
        uint64_t cap = mmio_read64(im.unit[i] + REG_CAP), ecap = mmio_read64(im.unit[i] + REG_ECAP);

        widths &= cap >> 8 & 0x1F;
        im.in_step &= ecap & ECAP_IN_STEP;
        im.keeps_empty |= (cap & CAP_KEEPS_EMPTY) != 0;
        if (cap == UINT64_MAX || (ecap >> 8 & 0x3FF) * 16 + 16 > PAGE_SIZE || ((cap >> 24 & 0x3FF) + (cap >> 40 & 0xFF) + 1) * 16 > PAGE_SIZE)
            return ERR_NOSYS; /* some of its registers are behind its first page */
    }
    im.levels = widths & 4 ? 4 : widths & 2 ? 3 : 0;
    return im.levels != 0 ? ERR_OK : ERR_NOSYS;
}

err_t iommu_start(void)
{
    const struct acpi_info *a = acpi_info();
    err_t                   err = a->n_iommus == 0 ? ERR_NOENT : map_units();

    if (err == ERR_OK)
        err = new_table(&im.root);
    for (unsigned i = 0; i < a->n_iommus && err == ERR_OK; i++) {
        err = report_faults(im.unit[i]);
        mmio_write64(im.unit[i] + REG_ROOT, pfn_to_pa(im.root).raw);
        command(im.unit[i], COMMAND_SET_ROOT);
    }
    if (err != ERR_OK)
        return err;
    im.n = a->n_iommus;
    for (unsigned i = 0; i < a->n_dma_reserved; i++)
        open_reserved(&a->dma_reserved[i]);
    forget_all();
    for (unsigned i = 0; i < im.n; i++)
        command(im.unit[i], COMMAND_TRANSLATE);
    return ERR_OK;
}

struct iommu_info iommu_info(void)
{
    return (struct iommu_info){ im.n, im.levels, im.n_domains, im.tables,
                                atomic_load_explicit(&im.faults, memory_order_relaxed) };
}
