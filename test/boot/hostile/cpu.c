/* SPDX-License-Identifier: MIT */
/*
 * test/boot/hostile/cpu.c - the state in which Octavo finds the processor
 *
 * The firmware's page tables cannot simply be bent (their NX bits fault once EFER.NXE is off), so most of
 * these switch to an identity map of our own first. It lies in one 2 MiB page of memory that is then
 * reported as conventional, as real firmware does. The firmware goes on running on it until the exit.
 */
#include "test/boot/hostile/hostile.h"

#include "core/str.h"
#include "core/x86/insn.h"

#define PTE_P  ((UINT64)1 << 0)
#define PTE_W  ((UINT64)1 << 1)
#define PTE_PS ((UINT64)1 << 7)
#define PTE_NX ((UINT64)1 << 63)
#define LARGE  ((UINT64)2 * MIB)

#define CR0_BARE       0x80000011 /* PG, ET, PE: as measured on firmware that is not EDK2   */
#define CR4_BARE       0x620      /* PAE, OSFXSR, OSXMMEXCPT                                */
#define CR0_WP         ((UINT64)1 << 16)
#define CR0_AM         ((UINT64)1 << 18)
#define MSR_APIC_BASE  0x1B
#define APIC_BASE_EXTD ((UINT64)1 << 10)
#define MSR_EFER       0xC0000080
#define RFLAGS_IOPL    ((UINT64)3 << 12)
#define RFLAGS_AC      ((UINT64)1 << 18)
#define EFER_NXE       ((UINT64)1 << 11)

#define LAPIC_LVT_TIMER     0xFEE00320 /* SDM 3A, "Local APIC Register Address Map" */
#define LAPIC_INITIAL_COUNT 0xFEE00380
#define LAPIC_EOI           0xFEE000B0
#define TIMER_VECTOR        0x68
#define LVT_PERIODIC        ((uint32_t)1 << 17)

#define POOL_PAGES  512 /* one large page                     */
#define STACK_PAGES 16  /* of the firmware's, below RSP       */

static struct {
    unsigned char *base;
    UINTN n_used;
} pool;

/* One bit for each page of the first 4 GiB: code may run there */
static UINT64 executable[((UINT64)1 << 20) / 64];

UINT16 EFIAPI cpu_cs(void);
void EFIAPI cpu_raise_flags(UINT64 flags);

/* cpu_enter_la57 - switch to five levels; everything it needs lies below 4 GiB */
void EFIAPI cpu_enter_la57(UINT64 pml5, UINT64 code32_selector);

/* ---- an identity map ------------------------------------------------------------------------- */

static UINT64 *table(void)
{
    if (pool.base == NULL) {
        pool.base = hostile_pages(POOL_PAGES, EfiBootServicesData, POOL_PAGES);
        map_hide((UINT64)pool.base, POOL_PAGES);
    }
    if (pool.n_used == POOL_PAGES)
        hostile_give_up("too many page tables");
    return (UINT64 *)(pool.base + PAGE_SIZE * pool.n_used++);
}

static bool may_execute(UINT64 page) { return executable[page / 64] >> (page % 64) & 1; }

static void mark(UINT64 page, UINT64 end, bool may)
{
    for (; page < end && page < (UINT64)1 << 20; page++)
        if (may)
            executable[page / 64] |= (UINT64)1 << (page % 64);
        else
            executable[page / 64] &= ~((UINT64)1 << (page % 64));
}

/* Firmware keeps some of its code in boot services' data */
static void mark_code(const EFI_MEMORY_DESCRIPTOR *d)
{
    UINT64 page = d->PhysicalStart >> EFI_PAGE_SHIFT;

    if (d->Type == EfiLoaderCode || d->Type == EfiBootServicesCode || d->Type == EfiBootServicesData ||
        d->Type == EfiRuntimeServicesCode)
        mark(page, page + d->NumberOfPages, true);
}

/* The entry for 2 MiB: one page, or a table where only part may be executed */
static UINT64 large_entry(UINT64 start)
{
    UINT64 first = start >> EFI_PAGE_SHIFT;
    UINT64 *entries;
    UINTN n = 0;

    for (UINTN i = 0; i < 512; i++)
        n += may_execute(first + i);
    if (n == 512 || n == 0)
        return start | PTE_P | PTE_W | PTE_PS | (n == 0 ? PTE_NX : 0);
    entries = table();
    for (UINTN i = 0; i < 512; i++)
        entries[i] = (first + i) << EFI_PAGE_SHIFT | PTE_P | PTE_W | (may_execute(first + i) ? 0 : PTE_NX);
    return (UINT64)entries | PTE_P | PTE_W;
}

/* The first 4 GiB, and with gigabyte pages the first 512; returns the PML4 */
static UINT64 *identity_map(bool nx, bool above_4g)
{
    UINT64 *pml4 = table(), *pdpt = table();
    bool has_1g = cpu_id(0x80000000, 0).eax >= 0x80000001 && (cpu_id(0x80000001, 0).edx >> 26 & 1);

    pml4[0] = (UINT64)pdpt | PTE_P | PTE_W;
    for (UINT64 g = 0; g < 4; g++) {
        UINT64 *pd = table();

        pdpt[g] = (UINT64)pd | PTE_P | PTE_W;
        for (UINT64 i = 0; i < 512; i++) {
            UINT64 start = g * GIB + i * LARGE;

            pd[i] = nx ? large_entry(start) : start | PTE_P | PTE_W | PTE_PS;
        }
    }
    for (UINT64 g = 4; g < 512 && above_4g && has_1g; g++)
        pdpt[g] = g * GIB | PTE_P | PTE_W | PTE_PS;
    return pml4;
}

static void use_map(bool nx, bool above_4g) { write_cr3((UINT64)identity_map(nx, above_4g)); }

/* ---- the parts ------------------------------------------------------------------------------- */

void cpu_wp_off(void) { write_cr0(read_cr0() & ~CR0_WP); }

void cpu_nxe_off(void)
{
    use_map(false, true);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
}

void cpu_bare(void)
{
    cpu_nxe_off();
    write_cr0(CR0_BARE);
    write_cr4(CR4_BARE);
}

/* Everything that this CPU has, whether or not it makes sense here */
void cpu_full(void)
{
    static const struct {
        unsigned leaf, word, bit, cr4;
    } features[] = {
        { 1, 3, 1, 0 },   /* VME        */
        { 1, 3, 2, 3 },   /* DE         */
        { 1, 3, 7, 6 },   /* MCE        */
        { 1, 3, 13, 7 },  /* PGE        */
        { 1, 2, 17, 17 }, /* PCID       */
        { 1, 2, 26, 18 }, /* OSXSAVE    */
        { 7, 1, 0, 16 },  /* FSGSBASE   */
        { 7, 1, 7, 20 },  /* SMEP       */
        { 7, 1, 20, 21 }, /* SMAP       */
        { 7, 2, 2, 11 },  /* UMIP       */
        { 7, 2, 3, 22 },  /* PKE        */
    };
    UINT64 cr4 = 0;

    for (UINTN i = 0; i < ARRAY_LEN(features); i++) {
        struct cpuid c = cpu_id(features[i].leaf, 0);
        uint32_t words[] = { c.eax, c.ebx, c.ecx, c.edx };

        if (cpu_id(0, 0).eax >= features[i].leaf && (words[features[i].word] >> features[i].bit & 1))
            cr4 |= (UINT64)1 << features[i].cr4;
    }
    use_map(false, true);
    write_cr0(read_cr0() | CR0_WP | CR0_AM);
    write_cr4(read_cr4() | cr4);
    hostile_say("CR4 is 0x%llx", ULL(read_cr4()));
}

void cpu_readonly_tables(void)
{
    UINT64 *pml4 = identity_map(false, true), *pdpt, *pd;

    pdpt = (UINT64 *)(pml4[0] & ~(PAGE_SIZE - 1));
    pd = (UINT64 *)(pdpt[(UINT64)pool.base / GIB] & ~(PAGE_SIZE - 1));
    pd[(UINT64)pool.base % GIB / LARGE] &= ~PTE_W;
    write_cr3((UINT64)pml4);
    write_cr0(read_cr0() | CR0_WP);
}

void cpu_nx_data(void)
{
    UINT64 stack = cpu_rsp() >> EFI_PAGE_SHIFT;

    map_each(mark_code);
    mark(stack - STACK_PAGES, stack + 1, false);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    use_map(true, false);
}

void cpu_4g_only(void)
{
    if ((UINT64)h.octavo->ImageBase >> 32 != 0)
        hostile_give_up("Octavo was loaded above 4 GiB");
    use_map(false, false);
}

/*
 * Five levels. The firmware's GDT goes on being used, in a copy with a 32-bit code segment behind it:
 * its interrupt gates name its own selectors.
 */
void cpu_la57(void)
{
    struct table_register gdtr = cpu_sgdt();
    unsigned char *gdt = (unsigned char *)table();
    UINT64 *pml5 = table(), code32 = 0x00CF9A000000FFFF;

    if (!(cpu_id(7, 0).ecx >> 16 & 1))
        hostile_give_up("this CPU has no LA57");
    if ((UINT64)h.self->ImageBase >> 32 != 0 || cpu_rsp() >> 32 != 0)
        hostile_give_up("the shim was loaded above 4 GiB, where its 32-bit code cannot run");
    memcpy(gdt, (const void *)gdtr.base, gdtr.limit + 1u);
    memcpy(gdt + gdtr.limit + 1, &code32, sizeof code32);
    pml5[0] = (UINT64)identity_map(false, true) | PTE_P | PTE_W;
    gdtr.base = (UINT64)gdt;
    gdtr.limit = (uint16_t)(gdtr.limit + sizeof code32);
    cpu_lgdt(&gdtr);
    cpu_enter_la57((UINT64)pml5, gdtr.limit + 1u - sizeof code32);
}

void cpu_x2apic(void)
{
    if (!(cpu_id(1, 0).ecx >> 21 & 1))
        hostile_give_up("this CPU has no x2APIC");
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD);
}

/* ---- after the exit -------------------------------------------------------------------------- */

struct interrupt_frame;
static volatile unsigned n_ticks;

static __attribute__((interrupt)) void tick(struct interrupt_frame *frame)
{
    (void)frame;
    n_ticks++;
    *(volatile uint32_t *)LAPIC_EOI = 0;
}

/*
 * The timer ticks on and interrupts are on; the handler lies in loader code, which Octavo will give away.
 * (The firmware's own handler does not survive its exit.)
 */
void cpu_interrupts(void)
{
    static struct {
        UINT16 offset_0, selector, flags, offset_16;
        UINT32 offset_32, zero;
    } idt[256];
    UINT64 handler = (UINT64)tick;
    const struct table_register idtr = { sizeof idt - 1, (UINT64)idt };

    for (unsigned i = 0; i < ARRAY_LEN(idt); i++) {
        idt[i].offset_0 = (UINT16)handler;
        idt[i].offset_16 = (UINT16)(handler >> 16);
        idt[i].offset_32 = (UINT32)(handler >> 32);
        idt[i].selector = cpu_cs();
        idt[i].flags = 0x8E00; /* present, interrupt gate */
    }
    cpu_lidt(&idtr);
    *(volatile uint32_t *)LAPIC_LVT_TIMER = LVT_PERIODIC | TIMER_VECTOR;
    *(volatile uint32_t *)LAPIC_INITIAL_COUNT = 100000;
    cpu_sti();
    while (n_ticks < 3)
        cpu_pause();
    hostile_say("the timer ticks");
}

/* Access rights that nobody asked for: AC switches SMAP off, IOPL opens the ports to ring 3 */
void cpu_flags_set(void) { cpu_raise_flags(RFLAGS_AC | RFLAGS_IOPL); }
