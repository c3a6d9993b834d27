/* SPDX-License-Identifier: MIT */
/* core/dev/acpi.h - what the ACPI tables say about this machine, read once */
#ifndef CORE_DEV_ACPI_H
#define CORE_DEV_ACPI_H

#include "mm/err.h"
#include "mm/types.h"

#define ACPI_IOAPICS_MAX 16
#define ACPI_CPUS_MAX    256
#define ACPI_ECAMS_MAX   8
#define ACPI_IOMMUS_MAX  8
#define ACPI_DMA_RESERVED_MAX 16
#define ISA_IRQS         16

struct acpi_ioapic {
    pa_t     base;
    uint32_t first_gsi; /* global system interrupt of its pin 0 */
};

/* Where an ISA interrupt really arrives, and how */
struct acpi_isa_irq {
    uint32_t gsi;
    bool     active_low, level;
};

/* PCI configuration registers that lie in memory */
struct acpi_ecam {
    pa_t     base; /* where bus 0 would be */
    uint16_t segment;
    uint8_t  first_bus, last_bus;
};

/* Memory that a device goes on using for the firmware: a keyboard that it emulates, say */
struct acpi_dma_reserved {
    uint16_t device; /* bus, slot, function */
    pa_t     start;
    uint64_t n_bytes;
};

/* A register that lies in memory or in port space */
struct acpi_register {
    bool     in_memory;
    uint64_t address; /* 0: there is none */
};

struct acpi_info {
    bool     present;
    pa_t     lapic;                      /* xAPIC registers */
    uint32_t cpu_apic_id[ACPI_CPUS_MAX]; /* enabled ones    */
    unsigned n_cpus, n_ioapics;
    struct acpi_ioapic  ioapic[ACPI_IOAPICS_MAX];
    struct acpi_isa_irq isa[ISA_IRQS];

    struct acpi_ecam    ecam[ACPI_ECAMS_MAX];
    pa_t                iommu[ACPI_IOMMUS_MAX]; /* registers of Intel's */
    struct acpi_dma_reserved dma_reserved[ACPI_DMA_RESERVED_MAX];
    unsigned n_ecams, n_iommus, n_dma_reserved;

    uint16_t pm_timer_port;              /* 0: there is none */
    bool     pm_timer_32;                /* 32 bits wide, else 24 */
    uint16_t pm1a_control, pm1b_control; /* ports, 0: there is none */
    uint8_t  s5_type_a, s5_type_b;
    bool     s5;                         /* power-off is described */
    struct acpi_register reset;
    uint8_t  reset_value;
};

/*
 * acpi_start - read the tables; they are copied, nothing points into them afterwards
 *
 *   rsdp   physical address of the root pointer, raw 0 = none: then ISA interrupts are 1:1, at an
 *          I/O APIC where PCs have it by default
 *
 *   The tables must be readable at their physical addresses (the firmware's mapping), and trap_try
 *   must work: wrong pointers in them are survived. Whatever was read until then holds.
 *   Errors  ERR_NOENT  no root pointer      ERR_CORRUPT  a wrong checksum or pointer
 *   Source  ACPI Specification 6.5, 5.2
 */
err_t acpi_start(pa_t rsdp) MUST_USE;

/* acpi_info - what was read */
const struct acpi_info *acpi_info(void);

#endif
