/* SPDX-License-Identifier: MIT */
/* core/console/cmd_machine.c - the machine around the memory: cpu, log, panic, reboot, poweroff */
#include "core/console/commands.h"
#include "core/dev/iommu.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/power.h"
#include "core/str.h"
#include "core/x86/apic.h"
#include "core/x86/cpuid.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/time.h"

#define MSR_EFER 0xC0000080u

struct bit_name {
    uint64_t bit;
    const char *name;
};

static const struct bit_name cr0_bits[] = {
    { CR0_PG, "PG" }, { CR0_WP, "WP" }, { CR0_NE, "NE" }, { CR0_ET, "ET" },
    { CR0_TS, "TS" }, { CR0_MP, "MP" }, { CR0_PE, "PE" }, { 0, NULL },
};
static const struct bit_name cr4_bits[] = {
    { CR4_CET, "CET" },   { CR4_SMAP, "SMAP" }, { CR4_SMEP, "SMEP" },      { CR4_PCIDE, "PCIDE" },
    { CR4_LA57, "LA57" }, { CR4_UMIP, "UMIP" }, { CR4_OSXMM, "OSXMMEXC" }, { CR4_OSFXSR, "OSFXSR" },
    { CR4_PGE, "PGE" },   { CR4_MCE, "MCE" },   { CR4_PAE, "PAE" },        { 0, NULL },
};
static const struct bit_name efer_bits[] = {
    { EFER_NXE, "NXE" }, { EFER_LMA, "LMA" }, { EFER_LME, "LME" }, { EFER_SCE, "SCE" }, { 0, NULL },
};

/* "CR0   0x80010033  PG WP ..."; what the firmware had left stands behind it */
static void print_register(const char *name, uint64_t value, uint64_t left, const struct bit_name *bits)
{
    kprintf("%-10s %#-12llx firmware left %#-12llx ", name, ULL(value), ULL(left));
    for (; bits->name != NULL; bits++)
        if ((value & bits->bit) != 0)
            kprintf(" %s", bits->name);
    kprintf("\n");
}

static void print_features(const struct cpu_features *f)
{
    const struct {
        const char *name;
        bool has;
    } all[] = {
        { "NX", f->nx },           { "PGE", f->pge },
        { "PAT", f->pat },         { "1GiB-pages", f->gib_pages },
        { "SMEP", f->smep },       { "SMAP", f->smap },
        { "UMIP", f->umip },       { "LA57", f->la57 },
        { "PKU", f->pku },         { "PCID", f->pcid },
        { "INVPCID", f->invpcid }, { "x2APIC", f->x2apic },
        { "CET-SS", f->cet_ss },   { "CET-IBT", f->cet_ibt },
        { "ERMS", f->erms },       { "invariant-TSC", f->tsc_invariant },
        { "TSC-deadline", f->tsc_deadline },
    };

    for (unsigned has = 0; has < 2; has++) {
        kprintf("%-10s", has == 0 ? "features" : "without");
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            if (all[i].has == (has == 0))
                kprintf(" %s", all[i].name);
        kprintf("\n");
    }
}

static void print_iommu(void)
{
    struct iommu_info i = iommu_info();

    if (i.n_units == 0)
        kprintf("%-10s none in use: devices reach all memory\n", "IOMMU");
    else
        kprintf("%-10s VT-d, %u unit%s, %u devices with tables of %u levels in %llu frames, %llu accesses blocked\n", "IOMMU",
                i.n_units, i.n_units == 1 ? "" : "s", i.n_devices, i.levels, ULL(i.tables), ULL(i.faults));
}

static err_t cpu(unsigned argc, char *argv[])
{
    const struct cpu_features *f = cpu_features();
    const struct boot_info *b = machine_info()->boot;

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf("%-10s %s %s%s\n", "cpu", f->vendor, f->brand, f->hypervisor ? " (under a hypervisor)" : "");
    kprintf("%-10s %u bits virtual, %u bits physical\n", "addresses", f->virt_bits, f->phys_bits);
    print_features(f);
    print_register("CR0", read_cr0(), b->fw_cr0, cr0_bits);
    print_register("CR4", read_cr4(), b->fw_cr4, cr4_bits);
    print_register("EFER", rdmsr(MSR_EFER), b->fw_efer, efer_bits);
    kprintf("%-10s %#-12llx firmware left %#-12llx  %u levels\n", "CR3", ULL(read_cr3()), ULL(b->fw_cr3),
            (read_cr4() & CR4_LA57) != 0 ? 5 : 4);
    kprintf("%-10s %#-12llx firmware left %#llx\n", "RSP", ULL(cpu_rsp()), ULL(b->fw_rsp));
    kprintf("%-10s %s, id %u\n", "APIC", apic_mode(), apic_id());
    print_iommu();
    kprintf("%-10s %u.%03u MHz by %s\n", "TSC", time_tsc_khz() / 1000, time_tsc_khz() % 1000, time_source());
    kprintf("%-10s %s %u.%u\n", "firmware", b->firmware, b->firmware_revision >> 16,
            b->firmware_revision & 0xffff);
    return ERR_OK;
}

static err_t log(unsigned argc, char *argv[])
{
    static const char *const levels[] = { "error", "warn", "info", "debug" };
    uint64_t n_lines = 0;

    if (argc > 2)
        return ERR_SYNTAX;
    for (unsigned level = 0; argc == 2 && level < ARRAY_LEN(levels); level++)
        if (strcmp(argv[1], levels[level]) == 0) {
            log_threshold((enum port_level)level);
            return ERR_OK;
        }
    if (argc == 2 && fmt_read_u64(argv[1], &n_lines) != ERR_OK)
        return ERR_SYNTAX;
    log_replay(kwrite, (unsigned)min_u64(n_lines, UINT32_MAX));
    return ERR_OK;
}

static err_t reboot(unsigned argc, char *argv[])
{
    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    power_reboot();
}

static err_t poweroff(unsigned argc, char *argv[])
{
    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    power_off(shell_exec_status());
}

/* For seeing what a panic shows, and for the test that it does */
static err_t panic(unsigned argc, char *argv[])
{
    static volatile uintptr_t nowhere; /* 0, which the compiler must not know */

    if (argc > 2 || (argc == 2 && strcmp(argv[1], "fault") != 0))
        return ERR_SYNTAX;
    if (argc == 2)
        *(volatile uint8_t *)nowhere = 1; /* NOLINT(clang-analyzer-core.NullDereference): the point */
    PANIC("asked for at the console");
}

const struct command commands_machine[] = {
    { "cpu", "", "what this CPU can do, how it is set, and how the firmware left it", cpu },
    { "log", "[LINES|error|warn|info|debug]",
      "what was logged, or the last LINES; or print from this level on", log },
    { "panic", "[fault]", "end as after a broken invariant, or after an exception in the kernel", panic },
    { "reboot", "", "start the machine again", reboot },
    { "poweroff", "", "switch the machine off; the exit status says if a command of octavo.conf failed",
      poweroff },
    { NULL, NULL, NULL, NULL },
};
