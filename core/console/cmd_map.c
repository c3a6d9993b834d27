/* SPDX-License-Identifier: MIT */
/* core/console/cmd_map.c - the memory map: as the firmware tells it, and as we use it */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/str.h"
#include "mm/port.h"
#include "mm/range.h"

static const char *size_text(char out[FMT_SIZE_BYTES], uint64_t pages)
{
    return pages >> (64 - PAGE_SHIFT) == 0 ? fmt_size(out, pages << PAGE_SHIFT) : "absurd";
}

/* The attributes that decide something, as a word of letters */
static void print_attributes(uint64_t attr)
{
    kprintf("%s%s%s%s%s", (attr & MEM_ATTR_RUNTIME) != 0 ? " runtime" : "",
            (attr & MEM_ATTR_WB) != 0 ? " wb" : "", (attr & MEM_ATTR_SP) != 0 ? " special" : "",
            (attr & MEM_ATTR_NV) != 0 ? " persistent" : "",
            (attr & MEM_ATTR_MORE_RELIABLE) != 0 ? " reliable" : "");
}

static void print_firmware_map(const struct boot_info *b)
{
    const void *descriptors = port_ptr(b->map);
    size_t n = b->map_bytes / b->map_desc_bytes;
    char size[FMT_SIZE_BYTES];

    kprintf("firmware map: %zu descriptors of %llu bytes\n", n, ULL(b->map_desc_bytes));
    kprintf(HEADING("  %-18s %12s %12s  %-24s %s\n"), "start", "pages", "size", "type", "attributes");
    for (size_t i = 0; i < n; i++) {
        struct mem_desc d = mem_desc_get(descriptors, b->map_desc_bytes, i);

        kprintf("  0x%016llx %12llu %12s  %-24s", ULL(d.start), ULL(d.pages), size_text(size, d.pages),
                mem_type_name(d.type));
        print_attributes(d.attr);
        kprintf("\n");
    }
}

static void print_normalised_map(const struct mem_map *m)
{
    char size[FMT_SIZE_BYTES];

    kprintf("normalised map: %zu ranges\n", m->n);
    kprintf(HEADING("  %-18s %-18s %12s %12s  %-12s %s\n"), "start", "end", "pages", "size", "kind",
            "attributes");
    for (size_t i = 0; i < m->n; i++) {
        const struct mem_range *r = &m->ranges[i];
        uint64_t pages = r->end.idx - r->start.idx;

        kprintf("  0x%016llx 0x%016llx %12llu %12s  %-12s", ULL(pfn_to_pa(r->start).raw),
                ULL(pfn_to_pa(r->end).raw), ULL(pages), size_text(size, pages), mem_kind_name(r->kind));
        print_attributes(r->attr);
        kprintf("\n");
    }
}

/* A sum of claims may have more than 64 bits; then it is not worth its digits. */
static const char *sum_text(char out[24], mem_sum_t sum)
{
    if (sum >> 64 != 0)
        return "over 2^64";
    fmt_string(out, 24, "%llu", ULL(sum));
    return out;
}

static void print_sums(const struct mem_map *m)
{
    char size[FMT_SIZE_BYTES], sum[24];

    kprintf("by kind:\n");
    for (unsigned kind = 0; kind < MEM_KINDS; kind++) {
        uint64_t pages = mem_map_pages(m, MEM_SET(kind), 0);

        if (pages > 0)
            kprintf("  %-12s %12llu pages %12s\n", mem_kind_name((enum mem_kind)kind), ULL(pages),
                    size_text(size, pages));
    }
    kprintf("pages in %s, out %llu", sum_text(sum, m->pages_in), ULL(m->pages_out));
    for (unsigned rule = 0; rule < MEM_RULES; rule++)
        if (m->hits[rule] > 0)
            kprintf(", dropped %s by %s (%zu times)", sum_text(sum, m->dropped[rule]),
                    mem_rule_name((enum mem_rule)rule), m->hits[rule]);
    kprintf("\n");
}

static err_t map(unsigned argc, char *argv[])
{
    const struct machine *seen = machine_info();
    bool firmware = argc < 2 || strcmp(argv[1], "firmware") == 0;
    bool normalised = argc < 2 || strcmp(argv[1], "normalised") == 0;

    if (argc > 2 || (!firmware && !normalised))
        return ERR_SYNTAX;
    if (firmware)
        print_firmware_map(seen->boot);
    if (normalised) {
        print_normalised_map(&seen->map);
        print_sums(&seen->map);
    }
    return ERR_OK;
}

const struct command commands_map[] = {
    { "map", "[firmware|normalised]", "the firmware's memory map, what became of it, and the sums", map },
    { NULL, NULL, NULL, NULL },
};
