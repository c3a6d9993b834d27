/* SPDX-License-Identifier: MIT */
/* core/console/cmd_pages.c - page tables seen: walk, tables */
#include "core/console/commands.h"
#include "core/console/show_walk.h"
#include "core/console/term.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/x86/la57.h"
#include "core/x86/paging.h"
#include "mm/tlb_shadow.h"

/* ---- walk -------------------------------------------------------------------------------------- */

static void show_bits(pte_t e, bool leaf, unsigned level)
{
    for (const struct pte_bit *b = pte_bits(leaf, level); b->name != NULL; b++)
        if ((e.raw & b->mask) != 0)
            kprintf(" %s", b->words);
    if (leaf && (e.raw & PTE_KEY) != 0)
        kprintf(" key %u", (unsigned)((e.raw & PTE_KEY) >> PTE_KEY_SHIFT));
    if (leaf && (e.raw & (PTE_AVAIL | PTE_AVAIL_LOW)) != 0)
        kprintf(" software %#llx", ULL(e.raw & (PTE_AVAIL | PTE_AVAIL_LOW)));
    if (pte_reserved(e, level) != 0)
        kprintf(" RESERVED %#llx", ULL(pte_reserved(e, level)));
}

static const char *level_size(unsigned level)
{
    return level == LEVEL_4K ? "4 KiB" : level == LEVEL_2M ? "2 MiB" : "1 GiB";
}

static void show_entry(const struct pt_walk *w, va_t v, unsigned level)
{
    pte_t    e = w->entry[level];
    unsigned index = (unsigned)(v.raw >> (PAGE_SHIFT + 9 * (level - 1))) % TABLE_ENTRIES;
    bool     leaf = pte_present(e) && pte_is_leaf(e, level);

    kprintf("  level %u  entry %3u at %012llx  %016llx ", level, index, ULL(w->where[level].raw), ULL(e.raw));
    if (!pte_present(e))
        kprintf("not present%s", (e.raw & PTE_LAZY) != 0 && level == LEVEL_4K ? ", its frame comes at the first touch" : "");
    else if (leaf)
        kprintf("%s page at %#llx:", level_size(level), ULL(pfn_to_pa(pte_frame(e, level)).raw));
    else
        kprintf("table at %#llx, %u in use:", ULL(pfn_to_pa(pte_frame(e, level)).raw), pte_count(e));
    if (pte_present(e))
        show_bits(e, leaf, level);
    kprintf("\n");
}

void show_walk(const struct pt *pt, va_t v)
{
    struct pt_walk w;

    pt_walk(pt, v, &w);
    if (!w.canonical) {
        kprintf("  %#llx is not canonical: no table is read\n", ULL(v.raw));
        return;
    }
    for (unsigned level = w.levels; level >= w.last; level--)
        show_entry(&w, v, level);
    if (w.mapped)
        kprintf("  %#llx is at physical %#llx: %s, %s, %s, %s\n", ULL(v.raw), ULL(w.pa.raw), w.u ? "user" : "kernel",
                w.w ? "writable" : "read-only", w.x ? "executable" : "no-execute",
                cache_name(pte_flags(w.entry[w.last], w.last)));
    else
        kprintf("  nothing is mapped: level %u %s\n", w.last, w.reserved ? "has a reserved bit" : "is not present");
}

static err_t walk(unsigned argc, char *argv[])
{
    uint64_t address;
    err_t    err;

    if (argc != 2)
        return ERR_SYNTAX;
    err = fmt_read_u64(argv[1], &address);
    if (err == ERR_OK)
        show_walk(&kernel_pt, va(address));
    return err;
}

/* ---- tables ------------------------------------------------------------------------------------ */

struct shown {
    unsigned n_ranges, n_findings;
    uint64_t n_pages;
};

static const char *place_of(va_t v)
{
    const unsigned levels = kernel_pt.levels;
    unsigned       shift = slot_shift(levels);

    if (v.raw < slot_base(SLOT_DIRECT, levels).raw) /* the image may lie in a slot of the process's on giants */
        return v.raw >> shift == 0 || v.raw >> shift == va_of(&place_of).raw >> shift ? "image" : "process";
    return v.raw < slot_base(SLOT_DYNAMIC, levels).raw ? "direct map"
           : v.raw < slot_base(SLOT_HEAP, levels).raw  ? "dynamic"
                                                       : "heap";
}

const char *range_finding(const struct pt_range *r)
{
    bool process = place_of(r->start)[0] == 'p';

    if ((r->flags & PTE_W) != 0 && (r->flags & PTE_NX) == 0)
        return "WRITABLE AND EXECUTABLE";
    if ((r->flags & PTE_U) != 0 && !process)
        return "OPEN TO RING 3";
    if ((r->flags & PTE_U) == 0 && process)
        return "KERNEL PAGE AMONG THE PROCESS'S";
    if ((r->flags & PTE_G) == 0 && !process)
        return "NOT GLOBAL";
    return NULL;
}

static bool show_range(void *arg, const struct pt_range *r)
{
    struct shown *s = arg;
    const char   *wrong = range_finding(r);
    char          size[FMT_SIZE_BYTES];

    kprintf("  %016llx %016llx %9s  %c%c%c %s %-3s %-10s", ULL(r->start.raw),
            ULL(r->start.raw + (r->n_pages << PAGE_SHIFT)), fmt_size(size, r->n_pages << PAGE_SHIFT),
            (r->flags & PTE_U) != 0 ? 'u' : 'k', (r->flags & PTE_W) != 0 ? 'w' : 'r', (r->flags & PTE_NX) != 0 ? '-' : 'x',
            (r->flags & PTE_G) != 0 ? "G" : "-", cache_name(r->flags), place_of(r->start));
    for (unsigned level = LEVEL_1G; level >= LEVEL_4K; level--)
        if (r->n_leaf[level] != 0)
            kprintf(" %llu x %s", ULL(r->n_leaf[level]), level_size(level));
    kprintf("%s%s\n", wrong != NULL ? "  <-- " : "", wrong != NULL ? wrong : "");
    s->n_ranges++;
    s->n_pages += r->n_pages;
    s->n_findings += wrong != NULL;
    return true;
}

static err_t tables(unsigned argc, char *argv[])
{
    struct shown s = { 0 };
    uint64_t     start = 0, end = 0; /* 0: the end of it all */
    char         size[FMT_SIZE_BYTES];
    err_t        err = ERR_OK;

    if (argc == 2 || argc > 3)
        return ERR_SYNTAX;
    if (argc == 3) {
        err = fmt_read_u64(argv[1], &start);
        if (err == ERR_OK)
            err = fmt_read_u64(argv[2], &end);
        if (err == ERR_OK && end <= start)
            err = ERR_INVAL;
    }
    if (err == ERR_OK) {
        start = align_down(start, PAGE_SIZE);
        kprintf(HEADING("  %-16s %-16s %9s  %-3s %s %-3s %-10s %s\n"), "start", "end", "size", "rwx", "G", "mem", "place",
                "pages");
        err = pt_ranges(&kernel_pt, va(start), ((end - start - 1) >> PAGE_SHIFT) + 1, show_range, &s);
    }
    if (err != ERR_OK)
        return err;
    kprintf("%u ranges, %s; %llu tables of %u levels; %u findings\n", s.n_ranges, fmt_size(size, s.n_pages << PAGE_SHIFT),
            ULL(kernel_pt.n_tables), kernel_pt.levels, s.n_findings);
    return s.n_findings == 0 ? ERR_OK : ERR_CORRUPT;
}

/* ---- tlb --------------------------------------------------------------------------------------- */

static err_t tlb(unsigned argc, char *argv[])
{
    struct tlb_stats        s = tlb_stats();
    struct tlb_shadow_stats w = tlb_shadow_stats();

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf("%llu batches: %llu pages flushed, everything %llu times, with globals %llu times, other CPUs called %llu times\n",
            ULL(s.batches), ULL(s.pages), ULL(s.alls), ULL(s.global_alls), ULL(s.calls));
    kprintf("%llu tables and %llu frames given back after a flush; PCIDs %s, INVPCID %s\n", ULL(s.tables), ULL(s.frames),
            tlb_cpu.pcid ? "on" : "off", tlb_cpu.invpcid ? "on" : "off");
    if (tlb_shadow_on)
        kprintf("watched: %llu translations went stale (%llu not followed), %llu flushes MISSING, %llu superfluous\n",
                ULL(w.changes), ULL(w.lost), ULL(w.missing), ULL(w.superfluous));
    else
        kprintf("not watched (tlb.check=1 in octavo.conf watches every flush)\n");
    return w.missing == 0 && w.lost == 0 ? ERR_OK : ERR_CORRUPT;
}

/* ---- paging ------------------------------------------------------------------------------------ */

static err_t paging(unsigned argc, char *argv[])
{
    uint64_t levels;
    err_t    err = ERR_OK;

    if (argc > 2)
        return ERR_SYNTAX;
    if (argc == 2) {
        err = fmt_read_u64(argv[1], &levels);
        if (err != ERR_OK || (levels != 4 && levels != 5))
            return ERR_SYNTAX;
        err = la57_switch((unsigned)levels);
    }
    kprintf("%u levels, top table at %#llx, %llu tables\n", kernel_pt.levels, ULL(pfn_to_pa(kernel_pt.root).raw),
            ULL(kernel_pt.n_tables));
    return err;
}

const struct command commands_pages[] = {
    { "walk", "ADDRESS", "the way from the top table to what an address maps, entry by entry, in words", walk },
    { "tables", "[START END]", "all that is mapped, as ranges with equal rights; what is dangerous is named", tables },
    { "tlb", "", "what was flushed from the CPU's memory of translations, and whether a flush was missing", tlb },
    { "paging", "[4|5]", "how many levels the page tables have; with a number, change it while the system runs", paging },
    { NULL, NULL, NULL, NULL },
};
