/* SPDX-License-Identifier: MIT */
/*
 * mm/memtype.c - one cache type for each frame
 *
 * Promise     A frame that is mapped write-back is not mapped uncached as well, nor the other way round, whoever
 *             maps it and wherever.
 *
 * Picture     RAM       0x1 ........ 0x1ddb0 .......... 0x7fffe           write-back for good: the direct map, the image
 *
 *             typed     0x80000 .. 0x803e8      0xfee00                   what is mapped and is not such RAM
 *             type      WC (framebuffer)        UC (local APIC)
 *             users     1                       1
 *
 *             Nearly all mappings are write-back ones of RAM: they need no record, one look says that they are right,
 *             and another type is refused for RAM. Every other mapping is counted for as long as it exists (mm/pt.c
 *             marks its entries with PTE_TYPED). Ranges are sorted and disjoint. Taking splits them at its
 *             ends, adds one user to what is there and fills the gaps; giving takes a user away, and a
 *             range without users is gone.
 *
 * Invariants  M1  ranges are sorted, disjoint and not empty      M2  a typed one has a user
 *
 * Locks       mt.lock (rank 32) guards the typed ranges: tables are held against them under their own. RAM is
 *             told once, at start-up, and read without a lock.
 *
 * Failure     decided before anything is changed: at most two ranges more for the ends, and one for each gap.
 *
 * Sources     SDM 3A "Programming the PAT": aliasing of different types is undefined
 */
#include "mm/memtype.h"

#include "mm/port.h"

struct typed {
    uint64_t start, end; /* frames */
    uint64_t cache;
    uint64_t users;
};

static struct {
    struct frame_range ram[MEMTYPE_RAM]; /* [c] M1; neighbours are one       */
    unsigned           n_ram;            /* [c] 0: not told yet              */
    _Atomic unsigned   latest;           /* [a] where the last frame asked for was found */
    struct irqlock     lock;
    struct typed       range[MEMTYPE_RANGES]; /* [lock] M1, M2 */
    unsigned           n;                     /* [lock]        */
} mt = { .lock = IRQLOCK("memtype", 32) };

/* ---- RAM --------------------------------------------------------------------------------------- */

/* The first range of RAM that ends behind this frame */
static unsigned find_ram(uint64_t frame)
{
    unsigned low = 0, high = mt.n_ram;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (mt.ram[middle].end <= frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

err_t memtype_ram(pfn_t first, uint64_t n)
{
    uint64_t start = first.idx, end = first.idx + n;
    unsigned at = find_ram(start), behind;

    if (at > 0 && mt.ram[at - 1].end == start)
        start = mt.ram[--at].start;
    for (behind = at; behind < mt.n_ram && mt.ram[behind].start <= end; behind++) {
        start = min_u64(start, mt.ram[behind].start);
        end = max_u64(end, mt.ram[behind].end);
    }
    if (behind == at && mt.n_ram == MEMTYPE_RAM)
        return ERR_NOMEM;
    __builtin_memmove(&mt.ram[at + 1], &mt.ram[behind], (mt.n_ram - behind) * sizeof mt.ram[0]);
    mt.n_ram = mt.n_ram + 1 - (behind - at);
    mt.ram[at] = (struct frame_range){ start, end };
    return ERR_OK;
}

bool memtype_is_ram(pfn_t first, uint64_t n, struct frame_range *around)
{
    unsigned at = atomic_load_explicit(&mt.latest, memory_order_relaxed);

    if (UNLIKELY(first.idx - mt.ram[at].start >= mt.ram[at].end - mt.ram[at].start)) {
        at = find_ram(first.idx);
        if (at < mt.n_ram)
            atomic_store_explicit(&mt.latest, at, memory_order_relaxed);
    }
    if (mt.n_ram == 0 && mt.n == 0) /* so early that there is nothing else */
        *around = (struct frame_range){ 0, UINT64_MAX };
    else
        *around = at < mt.n_ram ? mt.ram[at] : (struct frame_range){ 0, 0 };
    return around->start <= first.idx && first.idx + n <= around->end;
}

static bool touches_ram(uint64_t start, uint64_t end)
{
    unsigned at = find_ram(start);

    return at < mt.n_ram && mt.ram[at].start < end;
}

/* ---- typed ranges ------------------------------------------------------------------------------ */

/* The first range that ends behind this frame */
static unsigned find(uint64_t frame)
{
    unsigned i = 0;

    while (i < mt.n && mt.range[i].end <= frame)
        i++;
    return i;
}

static err_t check(uint64_t start, uint64_t end, uint64_t cache)
{
    if (cache != PTE_CACHE_WB && touches_ram(start, end))
        return ERR_ALIAS;
    for (unsigned i = find(start); i < mt.n && mt.range[i].start < end; i++)
        if (mt.range[i].cache != cache)
            return ERR_ALIAS;
    return ERR_OK;
}

static void insert(unsigned at, struct typed r)
{
    ASSERT(mt.n < MEMTYPE_RANGES);
    for (unsigned i = mt.n++; i > at; i--)
        mt.range[i] = mt.range[i - 1];
    mt.range[at] = r;
}

static void drop(unsigned at)
{
    mt.n--;
    for (unsigned i = at; i < mt.n; i++)
        mt.range[i] = mt.range[i + 1];
}

/* No range reaches across this frame afterwards. */
static void split(uint64_t frame)
{
    unsigned i = find(frame);

    if (i < mt.n && mt.range[i].start < frame) {
        struct typed behind = mt.range[i];

        behind.start = mt.range[i].end = frame;
        insert(i + 1, behind);
    }
}

/* Neighbours that have become alike are one range again. */
static void merge(uint64_t start, uint64_t end)
{
    unsigned i = find(start);

    for (i = i > 0 ? i - 1 : 0; i + 1 < mt.n && mt.range[i].end <= end;) {
        struct typed *a = &mt.range[i], *b = &mt.range[i + 1];

        if (a->end == b->start && a->cache == b->cache && a->users == b->users) {
            a->end = b->end;
            drop(i + 1);
        } else {
            i++;
        }
    }
}

static err_t take(uint64_t start, uint64_t end, uint64_t cache)
{
    unsigned inside = 0;
    err_t    err = check(start, end, cache);

    for (unsigned i = find(start); i < mt.n && mt.range[i].start < end; i++)
        inside++;
    if (err == ERR_OK && mt.n + inside + 3 > MEMTYPE_RANGES)
        err = ERR_NOMEM;
    if (err != ERR_OK)
        return err;
    split(start);
    split(end);
    for (uint64_t at = start; at < end;) {
        unsigned i = find(at);

        if (i < mt.n && mt.range[i].start == at)
            mt.range[i].users++;
        else
            insert(i, (struct typed){ at, i < mt.n ? min_u64(end, mt.range[i].start) : end, cache, 1 });
        at = mt.range[i].end;
    }
    merge(start, end);
    return ERR_OK;
}

err_t memtype_take(pfn_t first, uint64_t n, uint64_t cache)
{
    uint64_t irq = irqlock_take(&mt.lock);
    err_t    err = take(first.idx, first.idx + n, cache);

    irqlock_drop(&mt.lock, irq);
    return err;
}

void memtype_give(pfn_t first, uint64_t n)
{
    uint64_t irq = irqlock_take(&mt.lock), start = first.idx, end = first.idx + n;

    ASSERT(mt.n + 2 <= MEMTYPE_RANGES);
    split(start);
    split(end);
    for (unsigned i = find(start); i < mt.n && mt.range[i].start < end;) {
        if (--mt.range[i].users == 0)
            drop(i);
        else
            i++;
    }
    merge(start, end);
    irqlock_drop(&mt.lock, irq);
}
