/* SPDX-License-Identifier: MIT */
/*
 * core/console/cmd_buddy.c - the buddy system as a picture
 *
 *   buddy[0]---> ###.#.xx.#xxxxxxxx#.xx###.xx########xxxx      5 free,   4 KiB, 5-byte bitmap
 *   buddy[1]---> # # # . # . x x . # . # # . # # # # x x       5 free,   8 KiB, 3-byte bitmap
 *   buddy[2]---> #   #   #   .   #   #   #   #   #   .         2 free,  16 KiB, 2-byte bitmap
 *
 * A column is 2^base frames, base 0 where the range allows it. Rows wider than the screen are folded
 * into bands; what there is to say about a whole row stands behind its last band.
 */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/machine.h"
#include "mm/frame.h"
#include "mm/picture.h"
#include "mm/range.h"

#define LABEL_COLUMNS   13 /* "buddy[10]---> "                                    */
#define SUMMARY_COLUMNS 38 /* " 123456 free, 512 KiB, 123456-byte bitmap"         */
#define BAND_MIN        16
#define BANDS_WHOLE     4                   /* of all memory: a screenful                          */
#define BANDS_RANGE     16                  /* of a range that was asked for                       */
#define COUNT_MAX       ((uint64_t)1 << 20) /* frames: counting longer rows that are not drawn takes too long */

struct picture {
    pfn_t start, end;   /* both multiples of 2^base      */
    unsigned base, top; /* orders of a column, of the last row */
    unsigned width;     /* columns in a band             */
    bool whole;         /* all memory: frame_stats() knows the counts */
};

static void print_symbol(char symbol)
{
    static const char *const coloured[] = { "\033[33m#\033[0m", "\033[92m.\033[0m", "\033[90mx\033[0m" };

    kprintf("%s", symbol == '#' ? coloured[0] : symbol == '.' ? coloured[1] : coloured[2]);
}

/* Is there a block of this order at f, as a whole in the range? */
static bool drawn(const struct picture *p, pfn_t f, unsigned order)
{
    return is_aligned(f.idx, (uint64_t)1 << order) && f.idx + ((uint64_t)1 << order) <= p->end.idx;
}

/* Free blocks of an order in the whole range; UINT64_MAX when counting them would take too long */
static uint64_t count_free(const struct picture *p, unsigned order)
{
    uint64_t n = 0, size = (uint64_t)1 << order;
    struct frame_stats s;

    if (p->whole) {
        frame_stats(&s);
        return s.blocks[order];
    }
    if ((p->end.idx - p->start.idx) >> order > COUNT_MAX)
        return UINT64_MAX;
    for (uint64_t f = align_up(p->start.idx, size); f + size <= p->end.idx; f += size)
        n += picture_symbol(pfn(f), order, p->top) == '.';
    return n;
}

static void print_summary(const struct picture *p, unsigned order)
{
    uint64_t n = count_free(p, order), bits = (p->end.idx - p->start.idx) >> order;
    char size[FMT_SIZE_BYTES];

    if (n == UINT64_MAX)
        kprintf("      ? free,");
    else
        kprintf(" %6llu free,", ULL(n));
    kprintf(" %7s, %llu-byte bitmap\n", fmt_size(size, PAGE_SIZE << order), ULL((bits + 7) / 8));
}

/* One row of one band; returns false, and prints nothing, if no block begins in it. */
static bool print_row(const struct picture *p, pfn_t first, unsigned order, bool last)
{
    bool any = last;

    for (unsigned c = 0; c < p->width && !any; c++)
        any = drawn(p, pfn_add(first, (uint64_t)c << p->base), order);
    if (!any)
        return false;
    kprintf("buddy[%u]%s--> ", order, order < 10 ? "-" : "");
    for (unsigned c = 0; c < p->width; c++) {
        pfn_t f = pfn_add(first, (uint64_t)c << p->base);

        if (drawn(p, f, order))
            print_symbol(picture_symbol(f, order, p->top));
        else
            kprintf(" ");
    }
    return true;
}

static void print_band(const struct picture *p, pfn_t first)
{
    uint64_t n = (uint64_t)p->width << p->base;
    bool last = first.idx + n >= p->end.idx;
    pfn_t end = last ? p->end : pfn_add(first, n);
    char size[FMT_SIZE_BYTES];

    kprintf(HEADING("%*s%#llx to %#llx, a column is %s\n"), LABEL_COLUMNS, "", ULL(pfn_to_pa(first).raw),
            ULL(pfn_to_pa(end).raw), fmt_size(size, PAGE_SIZE << p->base));
    for (unsigned order = p->base; order <= p->top; order++) {
        if (!print_row(p, first, order, last))
            continue;
        if (last)
            print_summary(p, order);
        else
            kprintf("\n");
    }
}

/* Columns are as narrow as the screen and the number of bands allow. */
static void lay_out(struct picture *p, unsigned bands)
{
    unsigned columns = shell_columns();
    uint64_t n = p->end.idx - p->start.idx;

    p->width = columns > LABEL_COLUMNS + SUMMARY_COLUMNS + BAND_MIN
                   ? 1u << log2_down(columns - LABEL_COLUMNS - SUMMARY_COLUMNS)
                   : BAND_MIN;
    while (p->base < FRAME_ORDER_MAX && (n - 1) >> p->base >= (uint64_t)p->width * bands)
        p->base++;
    p->start.idx = align_down(p->start.idx, (uint64_t)1 << p->base);
    p->end.idx = align_up(p->end.idx, (uint64_t)1 << p->base);
    n = p->end.idx - p->start.idx;
    p->width = (unsigned)min_u64(p->width, n >> p->base);
    p->top = log2_down(n);
    p->top = p->top < FRAME_ORDER_MAX ? p->top : FRAME_ORDER_MAX;
}

static void print_picture(struct picture *p, unsigned bands)
{
    uint64_t n;

    lay_out(p, bands);
    for (unsigned order = 0; order < p->base; order++) {
        kprintf("buddy[%u]%s-->", order, order < 10 ? "-" : "");
        print_summary(p, order);
    }
    n = (uint64_t)p->width << p->base;
    for (pfn_t first = p->start; first.idx < p->end.idx; first = pfn_add(first, n))
        print_band(p, first);
}

static err_t buddy(unsigned argc, char *argv[])
{
    pfn_t memory_end = mem_map_end(&machine_info()->map, MEM_SET(MEM_FREE) | MEM_SET(MEM_LOW));
    struct picture p = { .end = memory_end, .whole = true };
    uint64_t start, end;

    if (argc == 1) {
        print_picture(&p, BANDS_WHOLE);
        return ERR_OK;
    }
    if (argc != 3 || fmt_read_u64(argv[1], &start) != ERR_OK || fmt_read_u64(argv[2], &end) != ERR_OK)
        return ERR_SYNTAX;
    if (start >= end)
        return ERR_INVAL;
    if (start >> PAGE_SHIFT >= memory_end.idx)
        return ERR_OUTSIDE;
    p.whole = false;
    p.start = pa_to_pfn(pa(start));
    p.end.idx = min_u64(((end - 1) >> PAGE_SHIFT) + 1, memory_end.idx);
    print_picture(&p, BANDS_RANGE);
    return ERR_OK;
}

const struct command commands_buddy[] = {
    { "buddy", "[START END]", "the buddy system drawn: # taken, . free, x free as part of a larger block",
      buddy },
    { NULL, NULL, NULL, NULL },
};
