/* SPDX-License-Identifier: MIT */
/*
 * core/dev/acpi.c - what the ACPI tables say about this machine
 *
 *   RSDP -> XSDT (or RSDT) -> MADT   processors, I/O APICs, where ISA interrupts arrive
 *                          -> MCFG   where PCI's configuration registers lie
 *                          -> DMAR   IOMMUs of Intel's, and what devices reach in spite of them
 *                          -> FADT   power management ports, reset register -> DSDT: the \_S5 package
 *
 * The tables are read before stage 2, through the firmware's own mapping, and under trap_try: they are
 * somebody else's data. Of AML only \_S5 is needed, which every firmware writes as a plain package.
 */
#include "core/dev/acpi.h"

#include "core/str.h"
#include "core/x86/trap.h"

#define HEADER_BYTES    36
#define IOAPIC_DEFAULT  0xFEC00000 /* MultiProcessor Specification 1.4, 3.6.5 */
#define TABLE_BYTES_MAX ((uint32_t)16 * 1024 * 1024)

static struct acpi_info acpi;

static uint64_t load(const uint8_t *p, unsigned n_bytes)
{
    uint64_t value = 0;

    while (n_bytes-- > 0)
        value = value << 8 | p[n_bytes];
    return value;
}
static uint16_t load16(const uint8_t *p) { return (uint16_t)load(p, 2); }
static uint32_t load32(const uint8_t *p) { return (uint32_t)load(p, 4); }

static bool sums_to_zero(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;

    while (n-- > 0)
        sum = (uint8_t)(sum + *p++);
    return sum == 0;
}

/* table_at - a table with the wanted signature and a right checksum, else NULL */
static const uint8_t *table_at(uint64_t address, const char *signature)
{
    const uint8_t *t = (const uint8_t *)address;

    if (address == 0 || memcmp(t, signature, 4) != 0)
        return NULL;
    uint32_t n = load32(t + 4);

    return n >= HEADER_BYTES && n <= TABLE_BYTES_MAX && sums_to_zero(t, n) ? t : NULL;
}

static void note_isa_override(const uint8_t *e)
{
    uint8_t  irq = e[3];
    uint16_t flags = load16(e + 8);

    if (irq >= ISA_IRQS)
        return;
    acpi.isa[irq] = (struct acpi_isa_irq){
        .gsi = load32(e + 4),
        .active_low = (flags & 3) == 3,
        .level = (flags >> 2 & 3) == 3,
    };
}

static void note_cpu(uint32_t apic_id, uint32_t flags)
{
    if ((flags & 1) && acpi.n_cpus < ACPI_CPUS_MAX)
        acpi.cpu_apic_id[acpi.n_cpus++] = apic_id;
}

/* read_madt - ACPI 5.2.12 "Multiple APIC Description Table" */
static void read_madt(const uint8_t *t)
{
    const uint8_t *end = t + load32(t + 4);

    acpi.lapic = pa(load32(t + 36));
    for (const uint8_t *e = t + 44; e + 2 <= end && e[1] >= 2 && e + e[1] <= end; e += e[1]) {
        if (e[0] == 0 && e[1] >= 8)
            note_cpu(e[3], load32(e + 4));
        else if (e[0] == 1 && e[1] >= 12 && acpi.n_ioapics < ACPI_IOAPICS_MAX)
            acpi.ioapic[acpi.n_ioapics++] = (struct acpi_ioapic){ pa(load32(e + 4)), load32(e + 8) };
        else if (e[0] == 2 && e[1] >= 10)
            note_isa_override(e);
        else if (e[0] == 5 && e[1] >= 12)
            acpi.lapic = pa(load(e + 4, 8));
        else if (e[0] == 9 && e[1] >= 16)
            note_cpu(load32(e + 4), load32(e + 8));
    }
}

/* read_mcfg - PCI Firmware Specification 3.0, 4.1.2 */
static void read_mcfg(const uint8_t *t)
{
    const uint8_t *end = t + load32(t + 4);

    for (const uint8_t *e = t + 44; e + 16 <= end && acpi.n_ecams < ACPI_ECAMS_MAX; e += 16)
        if (load(e, 8) != 0 && e[10] <= e[11])
            acpi.ecam[acpi.n_ecams++] = (struct acpi_ecam){ pa(load(e, 8)), load16(e + 8), e[10], e[11] };
}

/* Devices directly on a bus only: what lies behind bridges has its bus number from who set the bridge up. */
static void note_dma_reserved(const uint8_t *e, uint16_t n)
{
    uint64_t start = load(e + 8, 8), last = load(e + 16, 8);

    for (const uint8_t *scope = e + 24; scope + 8 <= e + n && scope[1] >= 8; scope += scope[1])
        if (scope[0] == 1 && scope[1] == 8 && start < last && acpi.n_dma_reserved < ACPI_DMA_RESERVED_MAX)
            acpi.dma_reserved[acpi.n_dma_reserved++] = (struct acpi_dma_reserved){
                (uint16_t)(scope[5] << 8 | (scope[6] & 31) << 3 | (scope[7] & 7)), pa(start), last - start + 1 };
}

/* read_dmar - VT-d 3.1, 8.1 "DMA Remapping Reporting Structure" */
static void read_dmar(const uint8_t *t)
{
    const uint8_t *end = t + load32(t + 4);

    for (const uint8_t *e = t + 48; e + 4 <= end && load16(e + 2) >= 16 && e + load16(e + 2) <= end; e += load16(e + 2))
        if (load16(e) == 0 && acpi.n_iommus < ACPI_IOMMUS_MAX)
            acpi.iommu[acpi.n_iommus++] = pa(load(e + 8, 8));
        else if (load16(e) == 1 && load16(e + 2) >= 24)
            note_dma_reserved(e, load16(e + 2));
}

/* aml_small - an integer of at most a byte: ZeroOp, OneOp or BytePrefix */
static const uint8_t *aml_small(const uint8_t *p, uint8_t *value)
{
    if (*p == 0x0A)
        p++;
    *value = *p++;
    return p;
}

/* read_s5 - Name (\_S5, Package () { type a, type b, ... }): ACPI 7.4.2 and 20.2 */
static void read_s5(const uint8_t *dsdt)
{
    const uint8_t *end = dsdt + load32(dsdt + 4);

    for (const uint8_t *p = dsdt + HEADER_BYTES; p + 16 <= end; p++) {
        if (memcmp(p, "_S5_", 4) != 0 || p[4] != 0x12)
            continue;
        const uint8_t *q = p + 5;

        q += 1 + (*q >> 6) + 1; /* PkgLength, NumElements */
        q = aml_small(q, &acpi.s5_type_a);
        aml_small(q, &acpi.s5_type_b);
        acpi.s5 = true;
        return;
    }
}

/* read_fadt - ACPI 5.2.9 "Fixed ACPI Description Table" */
static void read_fadt(const uint8_t *t)
{
    uint32_t n = load32(t + 4), flags = n >= 116 ? load32(t + 112) : 0;
    uint64_t dsdt = n >= 148 ? load(t + 140, 8) : 0;

    if (n < 92)
        return;
    acpi.pm1a_control = load16(t + 64);
    acpi.pm1b_control = load16(t + 68);
    acpi.pm_timer_port = load16(t + 76);
    acpi.pm_timer_32 = flags >> 8 & 1;
    if ((flags >> 10 & 1) && n >= 129 && t[116] <= 1) { /* RESET_REG_SUP; memory or port space */
        acpi.reset = (struct acpi_register){ t[116] == 0, load(t + 120, 8) };
        acpi.reset_value = t[128];
    }
    const uint8_t *d = table_at(dsdt != 0 ? dsdt : load32(t + 40), "DSDT");

    if (d != NULL)
        read_s5(d);
}

static err_t read_all(const uint8_t *rsdp)
{
    if (memcmp(rsdp, "RSD PTR ", 8) != 0 || !sums_to_zero(rsdp, 20))
        return ERR_CORRUPT;
    bool           wide = rsdp[15] >= 2 && load(rsdp + 24, 8) != 0;
    unsigned       size = wide ? 8 : 4;
    const uint8_t *root = wide ? table_at(load(rsdp + 24, 8), "XSDT") : table_at(load32(rsdp + 16), "RSDT");

    if (root == NULL)
        return ERR_CORRUPT;
    acpi.present = true;
    for (const uint8_t *e = root + HEADER_BYTES; e + size <= root + load32(root + 4); e += size) {
        const uint8_t *t;

        if ((t = table_at(load(e, size), "APIC")) != NULL)
            read_madt(t);
        else if ((t = table_at(load(e, size), "FACP")) != NULL)
            read_fadt(t);
        else if ((t = table_at(load(e, size), "MCFG")) != NULL)
            read_mcfg(t);
        else if ((t = table_at(load(e, size), "DMAR")) != NULL)
            read_dmar(t);
    }
    return ERR_OK;
}

struct attempt { pa_t rsdp; err_t err; };

static void attempt(void *arg)
{
    struct attempt *a = arg;

    a->err = read_all((const uint8_t *)a->rsdp.raw);
}

err_t acpi_start(pa_t rsdp)
{
    struct attempt     a = { rsdp, ERR_NOENT };
    struct trap_caught caught;

    for (unsigned irq = 0; irq < ISA_IRQS; irq++)
        acpi.isa[irq].gsi = irq;
    if (rsdp.raw != 0 && !trap_try(attempt, &a, &caught))
        a.err = ERR_CORRUPT;
    if (acpi.n_ioapics == 0)
        acpi.ioapic[acpi.n_ioapics++] = (struct acpi_ioapic){ pa(IOAPIC_DEFAULT), 0 };
    return a.err;
}

const struct acpi_info *acpi_info(void) { return &acpi; }
