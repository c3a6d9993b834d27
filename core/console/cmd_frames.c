/* SPDX-License-Identifier: MIT */
/* core/console/cmd_frames.c - physical frames: frames, alloc, free */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/str.h"
#include "mm/frame.h"
#include "mm/port.h"
#include "mm/zero.h"

#define OWN_MAX      4096 /* blocks that `alloc` may hold at a time            */
#define COLUMN_BYTES 16   /* an address, and the gap to the next   [characters] */

/* What `alloc` took and `free` may give back: everything else belongs to somebody who still uses it. */
static struct {
    pfn_t block[OWN_MAX];
    unsigned n;
} own;

/* ---- frames -------------------------------------------------------------------------------- */

static void print_zones(void)
{
    char managed[FMT_SIZE_BYTES], free[FMT_SIZE_BYTES], used[FMT_SIZE_BYTES];

    kprintf(HEADING("%-8s %-14s %-14s %12s %12s %12s\n"), "zone", "start", "end", "memory", "free", "used");
    for (unsigned zone = 0; zone < ZONES; zone++) {
        struct frame_span span = frame_zone_span((enum frame_zone)zone);
        struct frame_stats s;

        frame_stats_zone((enum frame_zone)zone, &s);
        if (s.managed == 0)
            continue;
        kprintf("%-8s 0x%012llx 0x%012llx %12s %12s %12s\n", frame_zone_name((enum frame_zone)zone),
                ULL(pfn_to_pa(span.start).raw), ULL(pfn_to_pa(pfn_add(span.start, span.n)).raw),
                fmt_size(managed, s.managed * PAGE_SIZE), fmt_size(free, s.free * PAGE_SIZE),
                fmt_size(used, (s.managed - s.free) * PAGE_SIZE));
    }
}

/* A row for each order that has free blocks, a column for each zone */
static void print_orders(const struct frame_stats *all)
{
    struct frame_stats zones[ZONES];
    char size[FMT_SIZE_BYTES];

    kprintf(HEADING_ON "\n%-6s %-10s", "order", "block");
    for (unsigned zone = 0; zone < ZONES; zone++) {
        frame_stats_zone((enum frame_zone)zone, &zones[zone]);
        if (zones[zone].managed > 0)
            kprintf(" %8s", frame_zone_name((enum frame_zone)zone));
    }
    kprintf(" %8s %12s %11s" HEADING_OFF "\n", "free", "frames", "unusable");
    for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
        unsigned unusable = frame_unusable(all, order);

        kprintf("%5u  %-10s", order, fmt_size(size, PAGE_SIZE << order));
        for (unsigned zone = 0; zone < ZONES; zone++)
            if (zones[zone].managed > 0)
                kprintf(" %8llu", ULL(zones[zone].blocks[order]));
        kprintf(" %8llu %12llu %8u.%u %%\n", ULL(all->blocks[order]), ULL(all->blocks[order] << order),
                unusable / 10, unusable % 10);
    }
}

static void print_totals(const struct frame_stats *s)
{
    uint64_t n_refused = 0;
    char free[FMT_SIZE_BYTES], bitmaps[FMT_SIZE_BYTES];

    for (unsigned err = 0; err < ERR_COUNT; err++)
        n_refused += s->wrong[err];
    kprintf("\n%llu frames managed, %llu free (%s, %llu of them reserved by CPUs, %llu zeroed), %s of bitmaps\n",
            ULL(s->managed), ULL(s->free), fmt_size(free, s->free * PAGE_SIZE), ULL(s->cached),
            ULL(frame_zero_stock()), fmt_size(bitmaps, s->bitmaps * PAGE_SIZE));
    kprintf("%llu wrong frees refused", ULL(n_refused));
    for (unsigned err = 0; err < ERR_COUNT; err++)
        if (s->wrong[err] > 0)
            kprintf(", %llu: %s", ULL(s->wrong[err]), err_str((err_t)err));
    kprintf("\n");
}

static err_t frames(unsigned argc, char *argv[])
{
    struct frame_stats s;

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    frame_stats(&s);
    print_zones();
    print_orders(&s);
    print_totals(&s);
    return ERR_OK;
}

/* ---- alloc, free --------------------------------------------------------------------------- */

static void print_blocks(const pfn_t block[], unsigned n)
{
    unsigned columns = shell_columns() / COLUMN_BYTES;

    for (unsigned i = 0; i < n; i++)
        if ((i + 1) % columns == 0 || i + 1 == n)
            kprintf("%#llx\n", ULL(pfn_to_pa(block[i]).raw));
        else
            kprintf("%#-*llx", COLUMN_BYTES, ULL(pfn_to_pa(block[i]).raw));
}

/* n blocks of an order behind those that we own, all or none */
static err_t take(unsigned n, unsigned order)
{
    unsigned i;
    err_t err = ERR_OK;

    if (order == 0)
        return frames_alloc(n, own.block + own.n);
    for (i = 0; i < n && err == ERR_OK; i++)
        err = frame_alloc(order, &own.block[own.n + i]);
    for (i = i - 1; err != ERR_OK && i > 0; i--)
        ASSERT(frame_free(own.block[own.n + i - 1]) == ERR_OK);
    return err;
}

static err_t alloc(unsigned argc, char *argv[])
{
    uint64_t n, order = 0;
    err_t err;

    if (argc < 2 || argc > 3 || fmt_read_u64(argv[1], &n) != ERR_OK ||
        (argc == 3 && fmt_read_u64(argv[2], &order) != ERR_OK))
        return ERR_SYNTAX;
    if (n == 0 || order > FRAME_ORDER_MAX)
        return ERR_INVAL;
    if (n > OWN_MAX - own.n) {
        kprintf("alloc holds at most %u blocks at a time, %u of them now; \"free all\" gives them back\n",
                OWN_MAX, own.n);
        return ERR_NOMEM;
    }
    err = take((unsigned)n, (unsigned)order);
    if (err != ERR_OK)
        return err;
    print_blocks(own.block + own.n, (unsigned)n);
    own.n += (unsigned)n;
    return ERR_OK;
}

/* The errors of frame_free() come first: they say more than that the block is not ours. */
static err_t free_block(pfn_t f)
{
    struct frame_info info = frame_query(f);

    if (info.state != FRAME_BLOCK)
        return frame_free(f);
    for (unsigned i = 0; i < own.n; i++)
        if (own.block[i].idx == f.idx) {
            own.block[i] = own.block[--own.n];
            return frame_free(f);
        }
    kprintf("%#llx is in use by the kernel, not taken by \"alloc\"\n", ULL(pfn_to_pa(f).raw));
    return ERR_PERM;
}

static err_t free_all(void)
{
    err_t err = ERR_OK;

    kprintf("%u blocks given back\n", own.n);
    while (own.n > 0 && err == ERR_OK)
        err = free_block(own.block[own.n - 1]);
    return err;
}

static err_t free(unsigned argc, char *argv[])
{
    if (argc < 2)
        return ERR_SYNTAX;
    if (argc == 2 && strcmp(argv[1], "all") == 0)
        return free_all();
    for (unsigned i = 1; i < argc; i++) {
        uint64_t address;
        err_t err;

        if (fmt_read_u64(argv[i], &address) != ERR_OK)
            return ERR_SYNTAX;
        err = is_aligned(address, PAGE_SIZE) ? free_block(pa_to_pfn(pa(address))) : ERR_INSIDE;
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

const struct command commands_frames[] = {
    { "frames", "", "physical memory, free and used, by zone and by order", frames },
    { "alloc", "N [ORDER]", "take N single frames, or N blocks of 2^ORDER, and print their addresses",
      alloc },
    { "free", "ADDRESS ...|all", "give back what alloc took; a wrong free is refused by name", free },
    { NULL, NULL, NULL, NULL },
};
