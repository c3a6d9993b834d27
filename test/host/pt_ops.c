/* SPDX-License-Identifier: MIT */
/*
 * test/host/pt_ops.c - operations on page tables, decoded from bytes, against a model
 *
 *   byte 0      the operation, and whether frames run short in it
 *   byte 1      window (modulo 3), whether spans may be long in the third, how frames and spans lie to borders
 *   bytes 2-3   first cell         bytes 4-5   length, short ones more often
 *   byte 6      flags              byte 7      where to, for moves; else more flags
 *
 * Three windows of virtual memory: over a 1 GiB border in the kernel's half, over a border of the top
 * table in the user's half, and 3 GiB in cells of 128 pages, where the largest pages come to be.
 */
#include "test/host/pt_ops.h"

#include <stdio.h>
#include <string.h>

#include "mm/memtype.h"
#include "mm/pt.h"
#include "mm/tlb_shadow.h"
#include "test/host/port_host.h"
#include "test/host/sim_mmu.h"

#define CELLS   4096
#define WINDOWS 3
#define FLAGS   (PTE_W | PTE_U | PTE_G | PTE_NX | PTE_CACHE)

struct cell {
    uint64_t frame, flags;
    bool     mapped;
};

struct window {
    va_t        start;
    uint64_t    unit; /* pages to a cell */
    bool        user;
    uint64_t    low, high; /* cells that an operation has named; nothing is mapped elsewhere */
    struct cell cell[CELLS];
};

struct op {
    unsigned       what;
    struct window *w;
    uint64_t       first, n; /* cells */
    uint64_t       flags, frame;
    uint8_t        extra;
};

static struct {
    struct pt            pt;
    struct tlb_batch     batch;
    struct sim_cpu       cpu;
    struct window        window[WINDOWS];
    struct pt_ops_stats *stats;
    char                 said[200];
} ops;

static uint64_t *physical(uint64_t address) { return port_ptr(pa(address)); }

static va_t cell_va(const struct window *w, uint64_t cell) { return va_add(w->start, cell * w->unit * PAGE_SIZE); }

/* ---- the judge --------------------------------------------------------------------------------- */

static const char *differs(va_t v, const char *what, uint64_t tables, uint64_t model)
{
    snprintf(ops.said, sizeof ops.said, VA_FMT ": %s is %#llx in the tables, %#llx in the model", VA_ARG(v), what,
             ULL(tables), ULL(model));
    return ops.said;
}

static bool allowed(va_t v, bool write, bool fetch, bool user)
{
    struct sim_access a = { .write = write, .fetch = fetch, .user = user };

    return sim_access(&ops.cpu, v.raw, a, false).outcome == SIM_OK;
}

static const char *compare_page(const struct window *w, uint64_t cell, uint64_t page)
{
    const struct cell *c = &w->cell[cell];
    va_t               v = va_add(cell_va(w, cell), page * PAGE_SIZE);
    struct sim_result  r = sim_access(&ops.cpu, v.raw, (struct sim_access){ 0 }, false);
    uint64_t           frame = c->frame + page, cache = (c->flags & PTE_PAT) >> 5 | (c->flags & (PTE_PCD | PTE_PWT)) >> 3;
    pa_t               p = { 0 };

    ops.stats->pages_checked++;
    if ((r.outcome == SIM_OK) != c->mapped)
        return differs(v, "mapped", r.outcome == SIM_OK, c->mapped);
    if (!c->mapped)
        return r.error_code != 0 ? differs(v, "the fault", r.error_code, 0) : NULL;
    if (r.physical != frame * PAGE_SIZE)
        return differs(v, "the frame", r.physical / PAGE_SIZE, frame);
    if (pt_translate(&ops.pt, v, &p) != ERR_OK || p.raw != r.physical)
        return differs(v, "pt_translate", p.raw, r.physical);
    if (r.pat_index != cache || r.global != ((c->flags & PTE_G) != 0))
        return differs(v, "cache type or G", r.pat_index, cache);
    if (allowed(v, true, false, false) != ((c->flags & PTE_W) != 0))
        return differs(v, "writable", allowed(v, true, false, false), (c->flags & PTE_W) != 0);
    if (allowed(v, false, false, true) != ((c->flags & PTE_U) != 0))
        return differs(v, "user", allowed(v, false, false, true), (c->flags & PTE_U) != 0);
    if (allowed(v, false, true, false) != ((c->flags & PTE_NX) == 0))
        return differs(v, "executable", allowed(v, false, true, false), (c->flags & PTE_NX) == 0);
    return NULL;
}

static const char *compare_cell(const struct window *w, uint64_t cell)
{
    const char *wrong;

    if (cell >= CELLS)
        return NULL;
    wrong = compare_page(w, cell, 0);
    return wrong == NULL && w->unit > 1 ? compare_page(w, cell, w->unit - 1) : wrong;
}

static const char *compare_all(void)
{
    const char *wrong = pt_check(&ops.pt);

    for (unsigned i = 0; i < WINDOWS; i++)
        for (uint64_t c = ops.window[i].low; c < ops.window[i].high && wrong == NULL; c++)
            wrong = compare_cell(&ops.window[i], c);
    return wrong;
}

static const char *compare_around(const struct window *w, uint64_t first, uint64_t n)
{
    const uint64_t at[] = { first - 1, first, first + n / 2, first + n - 1, first + n };
    const char    *wrong = NULL;

    for (size_t i = 0; i < ARRAY_LEN(at) && wrong == NULL; i++)
        wrong = compare_cell(w, at[i]);
    return wrong;
}

/* ---- the operations, on both ------------------------------------------------------------------- */

static bool any_mapped(const struct window *w, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        if (w->cell[i].mapped)
            return true;
    return false;
}

static void model_map(const struct op *o)
{
    for (uint64_t i = 0; i < o->n; i++)
        o->w->cell[o->first + i] = (struct cell){ o->frame + i * o->w->unit, o->flags, true };
}

static void named(struct window *w, uint64_t first, uint64_t n)
{
    w->low = min_u64(w->low, first);
    w->high = max_u64(w->high, first + n);
}

static err_t do_map(const struct op *o, bool replace, err_t *want)
{
    uint64_t n = o->n * o->w->unit;
    uint64_t how = (replace ? PT_REPLACE : 0) | (o->extra % 8 == 0 ? PT_SMALL : 0);
    pfn_t    list[64];
    err_t    err;

    *want = !replace && any_mapped(o->w, o->first, o->n) ? ERR_EXISTS : ERR_OK;
    if (!replace && o->extra % 8 == 1 && n <= ARRAY_LEN(list)) {
        for (uint64_t i = 0; i < n; i++)
            list[i] = pfn(o->frame + i);
        err = pt_map_frames(&ops.pt, cell_va(o->w, o->first), list, n, o->flags);
    } else {
        err = pt_map(&ops.pt, cell_va(o->w, o->first), pfn(o->frame), n, o->flags | how, &ops.batch);
    }
    if (err == ERR_OK)
        model_map(o);
    return err;
}

static err_t do_unmap(const struct op *o)
{
    err_t err = pt_unmap(&ops.pt, cell_va(o->w, o->first), o->n * o->w->unit, &ops.batch);

    if (err == ERR_OK)
        memset(&o->w->cell[o->first], 0, o->n * sizeof(struct cell));
    return err;
}

static err_t do_protect(const struct op *o, err_t *want)
{
    err_t err = pt_protect(&ops.pt, cell_va(o->w, o->first), o->n * o->w->unit, o->flags, &ops.batch);

    *want = (o->flags & PTE_CACHE) != 0 ? ERR_INVAL : ERR_OK;
    for (uint64_t i = 0; err == ERR_OK && i < o->n; i++)
        if (o->w->cell[o->first + i].mapped)
            o->w->cell[o->first + i].flags = o->flags | (o->w->cell[o->first + i].flags & PTE_CACHE);
    return err;
}

static err_t do_move(const struct op *o, err_t *want)
{
    uint64_t     to = (uint64_t)o->extra * (CELLS / 256) + o->frame % (CELLS / 256);
    struct cell *c = o->w->cell;
    bool         apart = to + o->n <= o->first || o->first + o->n <= to;
    err_t        err;

    if (to + o->n > CELLS) {
        *want = ERR_OK;
        return ERR_OK; /* out of the window: nothing to do */
    }
    named(o->w, to, o->n);
    *want = !apart ? ERR_INVAL : any_mapped(o->w, to, o->n) ? ERR_EXISTS : ERR_OK;
    err = pt_move(&ops.pt, cell_va(o->w, o->first), cell_va(o->w, to), o->n * o->w->unit, &ops.batch);
    if (err == ERR_OK) {
        memmove(&c[to], &c[o->first], o->n * sizeof *c);
        memset(&c[o->first], 0, o->n * sizeof *c);
    }
    return err;
}

static err_t do_join(const struct op *o)
{
    uint64_t joined;

    return pt_join(&ops.pt, cell_va(o->w, o->first), o->n * o->w->unit, &ops.batch, &joined);
}

static const uint64_t caches[8] = { PTE_CACHE_WB, PTE_CACHE_WT, PTE_CACHE_UCM, PTE_CACHE_UC,
                                    PTE_CACHE_WP, PTE_CACHE_WC, PTE_CACHE_WB,  PTE_CACHE_WB };

#define ZONE_FRAMES ((uint64_t)1 << 23)
static uint64_t zone_of(unsigned cache) { return (2 + cache) * ZONE_FRAMES; }

static struct op decode(const uint8_t *b)
{
    struct op o = { .what = b[0] % 16, .w = &ops.window[b[1] % WINDOWS], .extra = b[7] };
    uint64_t  length = (uint64_t)(b[4] | b[5] << 8), page;

    o.first = (uint64_t)(b[2] | b[3] << 8) % CELLS;
    if (b[1] & 0x80)
        o.first &= ~(uint64_t)511; /* borders meet more often */
    o.n = 1 + (b[5] & 0x80 ? length % CELLS : length % 24);
    if (b[5] & 0x40)
        o.n = align_up(o.n, o.w->unit > 1 ? 8 : 512);
    if (o.w->unit > 1 && (b[1] & 0x38) != 0x38) /* whole gigabytes are slow: not every time */
        o.n = 1 + o.n % 256;
    o.n = min_u64(o.n, CELLS - o.first);
    o.flags = (b[6] & 1 ? PTE_W : 0) | (b[6] & 2 ? PTE_NX : 0) | (b[6] & 4 ? PTE_G : 0) | caches[b[6] >> 5];
    if (o.w->user && b[6] & 8)
        o.flags |= PTE_U;
    if (o.what >= 10 && o.what <= 12 && b[7] % 8 != 0) /* protecting: a cache type is refused, now and then */
        o.flags &= ~PTE_CACHE;
    page = (o.w->start.raw >> PAGE_SHIFT) + o.first * o.w->unit;
    /* Each cache type has frames of its own: aliases are refused, which test_pt.c tries. */
    o.frame = zone_of(b[6] >> 5) +
              (uint64_t)(b[7] % 8) * ((uint64_t)1 << 20) + page % ((uint64_t)1 << 19);
    if (b[1] & 0x40)
        o.frame += o.w->unit > 1 ? 512 : 5; /* not congruent to the address: smaller pages */
    return o;
}

static const char *run_one(const uint8_t *b, int *fail_after)
{
    struct op o = decode(b);
    err_t     want = ERR_OK, err;
    bool      starve = fail_after != NULL && b[0] >= 0xd0, full;

    named(o.w, o.first, o.n);
    if (starve)
        *fail_after = b[0] % 4;
    switch (o.what) {
    case 0: case 1: case 2: case 3:
        err = do_map(&o, false, &want);
        break;
    case 4: case 5: case 6:
        err = do_map(&o, true, &want);
        break;
    case 7: case 8: case 9:
        err = do_unmap(&o);
        break;
    case 10: case 11: case 12:
        err = do_protect(&o, &want);
        break;
    case 13: case 14:
        err = do_move(&o, &want);
        break;
    default:
        err = do_join(&o);
        break;
    }
    if (starve)
        *fail_after = -1;
    ops.stats->ops++;
    ops.stats->refused += want != ERR_OK;
    ops.stats->starved += starve && err == ERR_NOMEM;
    full = err == ERR_NOMEM && o.what < 7 && o.frame >= zone_of(1); /* the record of cache types */
    ops.stats->refused += full;
    if (err != want && !full && !(starve && err == ERR_NOMEM)) {
        snprintf(ops.said, sizeof ops.said, "operation %u: \"%s\", expected \"%s\"", o.what, err_str(err), err_str(want));
        return ops.said;
    }
    if (b[0] & 0x10) {
        tlb_batch_close(&ops.batch);
        if (tlb_shadow_stats().missing != 0)
            return "a flush was missing";
    }
    return compare_around(o.w, o.first, o.n);
}

static void *through_the_tables(va_t v)
{
    struct sim_result r = sim_access(&ops.cpu, v.raw, (struct sim_access){ .write = true }, true);

    return r.outcome == SIM_OK ? port_ptr(pa(r.physical)) : NULL;
}

static err_t start(unsigned levels)
{
    const struct pte_cpu entries = { .phys_bits = 46, .nx = true, .gib_pages = true };
    err_t                err = pte_start(&entries);

    if (err == ERR_OK)
        err = pt_create(&ops.pt, levels);
    if (err != ERR_OK)
        return err;
    ops.cpu = (struct sim_cpu){ .cr3 = pfn_to_pa(ops.pt.root).raw, .maxphyaddr = 46, .la57 = levels == 5, .nxe = true,
                                .wp = true, .page1gb = true, .physical = physical };
    host_va_hook = through_the_tables;
    for (unsigned i = 0; i < ARRAY_LEN(caches) && err == ERR_OK; i++)
        if (caches[i] == PTE_CACHE_WB && i != 7) /* the last is write-back, but no RAM */
            err = memtype_ram(pfn(zone_of(i)), ZONE_FRAMES);
    memset(ops.window, 0, sizeof ops.window);
    for (unsigned i = 0; i < WINDOWS; i++)
        ops.window[i].low = CELLS;
    ops.window[0].start = va_add(slot_base(SLOT_DYNAMIC, levels), GIB - 7 * MIB);
    ops.window[0].unit = 1;
    ops.window[1].start = va(slot_base(SLOT_PROCESS + 1, levels).raw - 5 * MIB);
    ops.window[1].unit = 1;
    ops.window[1].user = true;
    ops.window[2].start = va_add(slot_base(SLOT_DYNAMIC, levels), 8 * GIB);
    ops.window[2].unit = 128;
    tlb_batch_open(&ops.batch, NULL);
    return err;
}

const char *pt_ops_run(const uint8_t *data, size_t n_bytes, unsigned levels, bool shadow, int *fail_after,
                       struct pt_ops_stats *stats)
{
    const char *wrong = NULL;

    ops.stats = stats;
    tlb_shadow_start(shadow);
    if (start(levels) != ERR_OK)
        return "no frame for the top table";
    for (size_t i = 0; wrong == NULL && (i + 1) * PT_OP_BYTES <= n_bytes; i++) {
        ops.pt.way = i % 8 == 0 ? PT_BOTH : PT_DIRECT;
        wrong = run_one(data + i * PT_OP_BYTES, fail_after);
        if (wrong == NULL && i % 2048 == 2047)
            wrong = compare_all();
    }
    ops.pt.way = PT_DIRECT;
    if (wrong == NULL)
        wrong = compare_all();
    if (wrong != NULL)
        return wrong;
    for (unsigned i = 0; i < WINDOWS && wrong == NULL; i++)
        if (pt_unmap(&ops.pt, ops.window[i].start, CELLS * ops.window[i].unit, &ops.batch) != ERR_OK)
            return "the end: a window can't be unmapped";
    tlb_batch_close(&ops.batch);
    stats->stale += tlb_shadow_stats().changes;
    stats->superfluous += tlb_shadow_stats().superfluous;
    stats->lost += tlb_shadow_stats().lost;
    if (tlb_shadow_stats().missing != 0)
        return "the end: a flush was missing";
    if (tlb_shadow_stats().lost != 0 && fail_after == NULL)
        return "the end: the shadow TLB lost a change";
    tlb_shadow_start(false);
    if (ops.pt.n_tables != 1)
        return "the end: tables are left though nothing is mapped";
    pt_destroy(&ops.pt);
    for (unsigned i = 1; i < ARRAY_LEN(caches); i++) {
        if (i == 6)
            continue; /* RAM */
        if (memtype_take(pfn(zone_of(i)), ZONE_FRAMES, caches[(i + 1) % 6]) != ERR_OK)
            return "the end: a cache type is left counted";
        memtype_give(pfn(zone_of(i)), ZONE_FRAMES);
    }
    return NULL;
}
