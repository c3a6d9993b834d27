/* SPDX-License-Identifier: MIT */
/* test/host/test_pt.c - mm/pt*.c by examples, against a page-by-page model, and starved of frames */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mm/memtype.h"
#include "mm/pt.h"
#include "test/host/port_host.h"
#include "test/host/sim_frames.h"
#include "test/host/sim_mmu.h"

#define KERNEL_FLAGS (PTE_W | PTE_G | PTE_NX)

static struct pt        pt;
static struct tlb_batch batch;
static struct sim_cpu   cpu;

static uint64_t *physical(uint64_t address) { return port_ptr(pa(address)); }

static void *through_the_tables(va_t v)
{
    struct sim_result r = sim_access(&cpu, v.raw, (struct sim_access){ .write = true }, true);

    assert_int_equal(r.outcome, SIM_OK);
    return port_ptr(pa(r.physical));
}

static const char *sound(void)
{
    const char *wrong = pt_check(&pt);

    return wrong == NULL ? "sound" : wrong;
}

/* Every test gets empty tables with the number of levels in *state, and ends with no frame in use. */
static int setup(void **state)
{
    struct pte_cpu entries = { .phys_bits = 46, .nx = true, .gib_pages = true };

    host_memory_open(SIM_FRAMES * PAGE_SIZE);
    assert_int_equal(pte_start(&entries), ERR_OK);
    assert_int_equal(pt_create(&pt, *(unsigned *)*state), ERR_OK);
    cpu = (struct sim_cpu){ .cr3 = pfn_to_pa(pt.root).raw, .maxphyaddr = 46, .la57 = pt.levels == 5, .nxe = true,
                            .wp = true, .page1gb = true, .physical = physical };
    host_va_hook = through_the_tables;
    tlb_batch_open(&batch, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tlb_batch_close(&batch);
    assert_string_equal(sound(), "sound");
    pt_destroy(&pt);
    assert_int_equal(sim_in_use, 0);
    assert_int_equal(memtype_take(pfn(0), (uint64_t)1 << 34, PTE_CACHE_WP), ERR_OK); /* nothing is left counted */
    memtype_give(pfn(0), (uint64_t)1 << 34);
    frames_until_failure = NEVER_FAIL;
    host_memory_close();
    return 0;
}

/* ---- what the software MMU sees ---------------------------------------------------------------- */

static struct sim_result look(uint64_t address)
{
    return sim_access(&cpu, address, (struct sim_access){ 0 }, false);
}

static void assert_maps(va_t v, uint64_t physical_address, unsigned page_bits)
{
    struct sim_result r = look(v.raw);
    pa_t              p;

    assert_int_equal(r.outcome, SIM_OK);
    assert_int_equal(r.physical, physical_address);
    if (page_bits != 0)
        assert_int_equal(r.page_bits, page_bits);
    assert_int_equal(pt_translate(&pt, v, &p), ERR_OK);
    assert_int_equal(p.raw, physical_address);
    assert_int_equal(pt_translate_recursive(&pt, v, &p), ERR_OK);
    assert_int_equal(p.raw, physical_address);
}

static void assert_hole(va_t v)
{
    struct sim_result r = look(v.raw);
    pa_t              p = { 77 };

    assert_int_equal(r.outcome, SIM_PAGE_FAULT);
    assert_int_equal(r.error_code, 0);
    assert_int_equal(pt_translate(&pt, v, &p), ERR_NOENT);
    assert_int_equal(pt_translate_recursive(&pt, v, &p), ERR_NOENT);
    assert_int_equal(p.raw, 77);
}

static va_t kernel(uint64_t offset) { return va_add(slot_base(SLOT_DYNAMIC, pt.levels), offset); }
static va_t user(uint64_t offset) { return va_add(slot_base(SLOT_PROCESS, pt.levels), offset); }

/* ---- examples ---------------------------------------------------------------------------------- */

static void the_largest_page_that_fits_is_used(void **state)
{
    (void)state;
    /* 2 MiB - 4 KiB to 4 GiB + 8 KiB: 1 small, 2 MiB pages to 1 GiB, three of 1 GiB, 2 small */
    uint64_t n = (4 * GIB + 8 * KIB - (2 * MIB - 4 * KIB)) / PAGE_SIZE;

    assert_int_equal(pt_map(&pt, kernel(2 * MIB - 4 * KIB), pfn(0x200000 + 511), n, KERNEL_FLAGS, NULL), ERR_OK);
    assert_maps(kernel(2 * MIB - 4 * KIB), 0x2001ff000, 12);
    assert_maps(kernel(2 * MIB), 0x200200000, 21);
    assert_maps(kernel(1 * GIB - 1), 0x23fffffff, 21);
    assert_maps(kernel(1 * GIB), 0x240000000, 30);
    assert_maps(kernel(4 * GIB - 1), 0x2ffffffff, 30);
    assert_maps(kernel(4 * GIB), 0x300000000, 12);
    assert_hole(kernel(4 * GIB + 8 * KIB));
    assert_hole(kernel(0));
    assert_int_equal(pt.n_tables, pt.levels - 3 + 1 + 2 + 2);
    assert_string_equal(sound(), "sound");
}

static void small_pages_can_be_asked_for(void **state)
{
    (void)state;
    assert_int_equal(pt_map(&pt, kernel(0), pfn(0x400), 1024, KERNEL_FLAGS | PT_SMALL, NULL), ERR_OK);
    assert_maps(kernel(0x1ff123), 0x5ff123, 12);
}

static void a_cpu_without_gib_pages_gets_2_mib(void **state)
{
    (void)state;
    pte_cpu.gib_pages = cpu.page1gb = false;
    assert_int_equal(pt_map(&pt, kernel(0), pfn(0), 1 << 18, KERNEL_FLAGS, NULL), ERR_OK);
    assert_maps(kernel(5 * MIB), 5 * MIB, 21);
}

static void wrong_ranges_are_refused_by_name(void **state)
{
    (void)state;
    unsigned top_bit = PAGE_SHIFT + 9 * pt.levels - 1;
    uint64_t hole = (uint64_t)1 << top_bit;
    va_t     last = va(~(uint64_t)0 << PAGE_SHIFT), before_hole = va(hole - PAGE_SIZE);
    va_t     tables = va(align_down(pt_entry_address(&pt, va(0), 1).raw, (uint64_t)1 << slot_shift(pt.levels)));
    uint64_t before = sim_in_use;

    assert_int_equal(pt_map(&pt, kernel(1), pfn(1), 1, 0, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(1), 0, 0, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(1), ~(uint64_t)0, 0, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(1), (uint64_t)1 << 52, 0, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, va(hole), pfn(1), 1, 0, NULL), ERR_NOT_CANON);
    assert_int_equal(pt_map(&pt, before_hole, pfn(1), 2, 0, NULL), ERR_NOT_CANON);
    assert_int_equal(pt_map(&pt, before_hole, pfn(1), (last.raw - before_hole.raw) / PAGE_SIZE, 0, NULL),
                     ERR_NOT_CANON);
    assert_int_equal(pt_map(&pt, last, pfn(1), 2, 0, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, tables, pfn(1), 1, 0, NULL), ERR_PERM);
    assert_int_equal(pt_map(&pt, va(tables.raw - PAGE_SIZE), pfn(1), 2, 0, NULL), ERR_PERM);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(((uint64_t)1 << 34) - 1), 2, 0, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(1), 1, PTE_P, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(1), 1, (uint64_t)1 << 51, NULL), ERR_INVAL);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(1), 1, PTE_U, NULL), ERR_INVAL);
    assert_int_equal(pt_unmap(&pt, kernel(0), 0, &batch), ERR_INVAL);
    assert_int_equal(pt_protect(&pt, va(hole), 1, 0, &batch), ERR_NOT_CANON);
    assert_int_equal(sim_in_use, before);
}

static void what_is_mapped_is_in_the_way(void **state)
{
    (void)state;
    uint64_t tables;

    assert_int_equal(pt_map(&pt, kernel(2 * MIB), pfn(0x400), 512, KERNEL_FLAGS, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, kernel(8 * MIB), pfn(0x333), 1, KERNEL_FLAGS, NULL), ERR_OK);
    tables = pt.n_tables;
    assert_int_equal(pt_map(&pt, kernel(0), pfn(0x10000), 513, KERNEL_FLAGS, NULL), ERR_EXISTS);
    assert_int_equal(pt_map(&pt, kernel(4 * MIB), pfn(0x10000), 1025, KERNEL_FLAGS, NULL), ERR_EXISTS);
    assert_int_equal(pt.n_tables, tables);
    assert_hole(kernel(0));
    assert_maps(kernel(8 * MIB), 0x333000, 12);
    assert_int_equal(pt_map(&pt, kernel(4 * MIB - PAGE_SIZE), pfn(0x10000), 2048, KERNEL_FLAGS | PT_REPLACE, &batch),
                     ERR_OK);
    assert_maps(kernel(4 * MIB - PAGE_SIZE - 1), 0x400000 + 2 * MIB - PAGE_SIZE - 1, 12);
    assert_maps(kernel(8 * MIB), 0x10000000 + 4 * MIB + PAGE_SIZE, 12);
    assert_true(batch.n_pages > 0);
}

static void changing_a_part_splits_a_large_page(void **state)
{
    (void)state;
    struct sim_access write = { .write = true };

    assert_int_equal(pt_map(&pt, kernel(0), pfn(0x40000), 1 << 18, KERNEL_FLAGS | PTE_CACHE_WC, NULL), ERR_OK);
    assert_int_equal(look(kernel(0).raw).pat_index, 6);
    assert_int_equal(pt_protect(&pt, kernel(4 * MIB + PAGE_SIZE), 1, PTE_G | PTE_NX, &batch), ERR_OK);
    assert_maps(kernel(0), 0x40000000, 21);
    assert_maps(kernel(4 * MIB), 0x40400000, 12);
    assert_maps(kernel(6 * MIB), 0x40600000, 21);
    assert_int_equal(sim_access(&cpu, kernel(4 * MIB + PAGE_SIZE).raw, write, false).error_code, 3);
    assert_int_equal(sim_access(&cpu, kernel(4 * MIB).raw, write, false).outcome, SIM_OK);
    for (uint64_t at = 0; at < GIB; at += MIB)
        assert_int_equal(look(kernel(at).raw).pat_index, 6);
    assert_int_equal(pt_unmap(&pt, kernel(512 * MIB), 1, &batch), ERR_OK);
    assert_hole(kernel(512 * MIB));
    assert_maps(kernel(512 * MIB + PAGE_SIZE), 0x60001000, 12);
    assert_maps(kernel(514 * MIB), 0x60200000, 21);
}

static void equal_entries_are_joined_again(void **state)
{
    (void)state;
    uint64_t joined = 0;

    assert_int_equal(pt_map(&pt, kernel(0), pfn(0x40000), 1 << 18, KERNEL_FLAGS | PTE_CACHE_WT, NULL), ERR_OK);
    assert_int_equal(pt_protect(&pt, kernel(0x5000), 3, PTE_G | PTE_NX, &batch), ERR_OK);
    assert_int_equal(pt_join(&pt, kernel(0), 1 << 18, &batch, &joined), ERR_OK);
    assert_int_equal(joined, 0);
    (void)sim_access(&cpu, kernel(0x7123).raw, (struct sim_access){ 0 }, true);
    assert_int_equal(pt_protect(&pt, kernel(0x5000), 3, KERNEL_FLAGS, &batch), ERR_OK);
    assert_int_equal(pt_join(&pt, kernel(0), 512, &batch, &joined), ERR_OK);
    assert_int_equal(joined, 1);
    assert_maps(kernel(0x6789), 0x40006789, 21);
    assert_int_equal(pt_join(&pt, kernel(0), 1 << 18, &batch, &joined), ERR_OK);
    assert_int_equal(joined, 1); /* one of 512 directory entries was used: A differs, and is no obstacle */
    assert_maps(kernel(0x6789), 0x40006789, 30);
    assert_int_equal(look(kernel(0).raw).pat_index, 1);
}

static err_t map_as(uint64_t at, uint64_t frame, uint64_t n, uint64_t cache)
{
    return pt_map(&pt, kernel(at), pfn(frame), n, KERNEL_FLAGS | cache, NULL);
}

static void a_frame_has_one_cache_type_in_all_its_mappings(void **state)
{
    (void)state;
    const pfn_t list[] = { { 0x900 }, { 0x803 }, { 0x700 } };

    assert_int_equal(map_as(0, 0x800, 16, PTE_CACHE_UC), ERR_OK);
    assert_int_equal(map_as(MIB, 0x803, 1, PTE_CACHE_WB), ERR_ALIAS);
    assert_int_equal(map_as(MIB, 0x7ff, 2, PTE_CACHE_WC), ERR_ALIAS);
    assert_int_equal(pt_map_frames(&pt, kernel(MIB), list, 3, KERNEL_FLAGS), ERR_ALIAS);
    assert_hole(kernel(MIB));
    assert_int_equal(pt_map_frames(&pt, kernel(MIB), list, 3, KERNEL_FLAGS | PTE_CACHE_UC), ERR_OK);
    assert_int_equal(pt_unmap(&pt, kernel(0), 16, &batch), ERR_OK);
    assert_int_equal(map_as(0, 0x802, 1, PTE_CACHE_WC), ERR_OK);
    assert_int_equal(map_as(PAGE_SIZE, 0x803, 1, PTE_CACHE_WC), ERR_ALIAS); /* one mapping is left */
    assert_int_equal(pt_unmap(&pt, kernel(MIB), 3, &batch), ERR_OK);
    assert_int_equal(map_as(PAGE_SIZE, 0x803, 1, PTE_CACHE_WC), ERR_OK);
    assert_int_equal(pt_protect(&pt, kernel(0), 1, KERNEL_FLAGS | PTE_CACHE_UC, &batch), ERR_INVAL);
}

static void a_cache_type_follows_splits_moves_and_whole_tables(void **state)
{
    (void)state;
    assert_int_equal(map_as(0, 0x800, 512, PTE_CACHE_WC), ERR_OK);
    assert_int_equal(pt_unmap(&pt, kernel(0x5000), 1, &batch), ERR_OK); /* splits */
    assert_int_equal(map_as(4 * MIB, 0x805, 1, PTE_CACHE_UC), ERR_OK);
    assert_int_equal(map_as(5 * MIB, 0x806, 1, PTE_CACHE_UC), ERR_ALIAS);
    assert_int_equal(pt_move(&pt, kernel(0), kernel(GIB + 0x3000), 512, &batch), ERR_OK); /* page by page */
    assert_int_equal(map_as(5 * MIB, 0x806, 1, PTE_CACHE_UC), ERR_ALIAS);
    assert_int_equal(pt_move(&pt, kernel(GIB), kernel(3 * GIB), 1024, &batch), ERR_OK); /* by the table */
    assert_int_equal(pt_unmap(&pt, kernel(3 * GIB), 512, &batch), ERR_OK);
    assert_int_equal(map_as(5 * MIB, 0x806, 1, PTE_CACHE_UC), ERR_OK);
    assert_int_equal(pt_unmap(&pt, kernel(3 * GIB), 1024, &batch), ERR_OK);
    assert_int_equal(map_as(6 * MIB, 0x9ff, 1, PTE_CACHE_UC), ERR_OK);
    assert_int_equal(map_as(8 * MIB, 0xa00, 513, PTE_CACHE_WT), ERR_OK); /* left to pt_destroy() */
}

static void a_copy_leaves_out_what_is_not_plain_ram(void **state)
{
    (void)state;
    uint64_t  slot = (uint64_t)1 << (slot_shift(pt.levels) - PAGE_SHIFT);
    struct pt to;
    pa_t      p;

    assert_int_equal(pt_map(&pt, user(0), pfn(0x800), 2, PTE_U | PTE_W, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, user(2 * PAGE_SIZE), pfn(0x900), 1, PTE_U | PTE_CACHE_UC, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, user(GIB), pfn(0xa00), 1, PTE_U | PTE_CACHE_UC, NULL), ERR_OK);
    assert_int_equal(pt_create(&to, pt.levels), ERR_OK);
    assert_int_equal(pt_copy(&to, &pt, user(0), slot, PTE_W), ERR_OK);
    assert_null(pt_check(&to));
    assert_int_equal(to.n_tables, pt.levels); /* none for the second gigabyte */
    assert_int_equal(pt_translate(&to, user(PAGE_SIZE), &p), ERR_OK);
    assert_int_equal(pt_translate(&to, user(2 * PAGE_SIZE), &p), ERR_NOENT);
    assert_int_equal(pt_translate(&to, user(GIB), &p), ERR_NOENT);
    pt_destroy(&to);
}

static void a_starved_or_refused_mapping_leaves_no_cache_type(void **state)
{
    (void)state;
    assert_int_equal(map_as(0, 0x100, 1, PTE_CACHE_WB), ERR_OK);
    assert_int_equal(map_as(0, 0x800, 1, PTE_CACHE_UC), ERR_EXISTS);
    frames_until_failure = 0;
    assert_int_equal(map_as(GIB, 0x800, 1, PTE_CACHE_UC), ERR_NOMEM);
    frames_until_failure = NEVER_FAIL;
    assert_int_equal(map_as(GIB, 0x800, 1, PTE_CACHE_WC), ERR_OK);
    assert_int_equal(pt_map(&pt, kernel(GIB), pfn(0x900), 1, KERNEL_FLAGS | PTE_CACHE_UC | PT_REPLACE, &batch), ERR_OK);
    assert_int_equal(map_as(2 * GIB, 0x800, 1, PTE_CACHE_UC), ERR_OK);
}

static void empty_tables_are_freed(void **state)
{
    (void)state;
    assert_int_equal(pt_map(&pt, user(0), pfn(1), 1, PTE_U | PTE_W, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, kernel(2 * MIB - PAGE_SIZE), pfn(1), 2, KERNEL_FLAGS, NULL), ERR_OK);
    assert_int_equal(pt.n_tables, 1 + 2 * (pt.levels - 1) + 1);
    assert_int_equal(pt_unmap(&pt, kernel(2 * MIB), 1, &batch), ERR_OK);
    assert_int_equal(pt.n_tables, 1 + 2 * (pt.levels - 1));
    assert_int_equal(pt_unmap(&pt, kernel(0), 512, &batch), ERR_OK);
    assert_int_equal(pt_unmap(&pt, user(0), (uint64_t)1 << 27, &batch), ERR_OK);
    assert_int_equal(pt.n_tables, 1);
    assert_int_equal(batch.n_tables, 2 * (pt.levels - 1) + 1);
    tlb_batch_close(&batch);
    assert_int_equal(sim_in_use, 1);
}

static void a_walk_says_at_which_level_nothing_is(void **state)
{
    (void)state;
    struct pt_walk w;

    pt_walk(&pt, kernel(0), &w);
    assert_true(w.canonical && !w.mapped && w.last == pt.levels);
    assert_int_equal(pt_map(&pt, kernel(0), pfn(0x200), 512, PTE_G | PTE_NX, NULL), ERR_OK);
    pt_walk(&pt, kernel(5), &w);
    assert_true(w.mapped && w.last == 2 && w.pa.raw == 0x200005 && !w.w && !w.u && !w.x);
    pt_walk(&pt, kernel(2 * MIB), &w);
    assert_true(!w.mapped && w.last == 2);
    pt_walk(&pt, kernel(GIB), &w);
    assert_true(!w.mapped && w.last == 3);
    pt_walk(&pt, va((uint64_t)1 << 60), &w);
    assert_true(!w.canonical && !w.mapped);
}

static void a_walk_stops_at_a_reserved_bit(void **state)
{
    (void)state;
    struct pt_walk w;
    uint64_t      *entry;

    assert_int_equal(pt_map(&pt, kernel(0), pfn(0x200), 1, KERNEL_FLAGS, NULL), ERR_OK);
    pt_walk(&pt, kernel(0), &w);
    entry = port_ptr(w.where[1]);
    *entry |= (uint64_t)1 << 51;
    pt_walk(&pt, kernel(0), &w);
    assert_true(w.reserved && !w.mapped && w.last == 1);
    assert_int_equal(look(kernel(0).raw).error_code, 9);
    assert_string_equal(pt_check(&pt), "I1: an entry has a reserved bit");
    *entry &= ~((uint64_t)1 << 51);
}

struct seen {
    unsigned        n;
    struct pt_range range[8];
};

static bool remember(void *arg, const struct pt_range *range)
{
    struct seen *s = arg;

    s->range[s->n++] = *range;
    return s->n < 8;
}

static void ranges_are_merged_over_table_borders(void **state)
{
    (void)state;
    struct seen s = { 0 };

    assert_int_equal(pt_map(&pt, kernel(2 * MIB - PAGE_SIZE), pfn(0x200 + 511), 514, KERNEL_FLAGS, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, kernel(4 * MIB + PAGE_SIZE), pfn(7), 1, KERNEL_FLAGS, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, kernel(4 * MIB + 2 * PAGE_SIZE), pfn(8), 1, PTE_G, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, user(0), pfn(9), 1, PTE_U, NULL), ERR_OK);
    assert_int_equal(pt_ranges(&pt, va(0), ~(uint64_t)0, remember, &s), ERR_OK);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.range[0].start.raw, user(0).raw);
    assert_int_equal(s.range[0].flags, PTE_U);
    assert_int_equal(s.range[1].start.raw, kernel(2 * MIB - PAGE_SIZE).raw);
    assert_int_equal(s.range[1].n_pages, 515);
    assert_int_equal(s.range[1].flags, KERNEL_FLAGS);
    assert_int_equal(s.range[1].n_leaf[1], 3);
    assert_int_equal(s.range[1].n_leaf[2], 1);
    assert_false(s.range[1].contiguous);
    assert_int_equal(s.range[2].flags, PTE_G);
    assert_true(s.range[2].contiguous);
}

static void the_recursive_slot_is_as_the_notes_have_it(void **state)
{
    (void)state;
    va_t v = kernel(3 * GIB + 5 * MIB + 7 * PAGE_SIZE);

    assert_int_equal(pt_map(&pt, v, pfn(99), 1, KERNEL_FLAGS, NULL), ERR_OK);
    for (unsigned level = 1; level <= pt.levels; level++) {
        va_t           at = pt_entry_address(&pt, v, level);
        struct pt_walk w;

        pt_walk(&pt, v, &w);
        assert_int_equal(look(at.raw).physical, w.where[level].raw);
        for (unsigned i = 0; i < level; i++) /* the first `level` indexes are the recursive slot */
            assert_int_equal(at.raw >> (slot_shift(pt.levels) - 9 * i) & 511, pt.levels == 4 ? 511 : 510);
    }
    if (pt.levels == 4)
        assert_int_equal(pt_entry_address(&pt, va(0), 1).raw, 0xffffff8000000000);
}

static void both_ways_agree_in_every_operation(void **state)
{
    (void)state;
    uint64_t joined;

    pt.way = PT_BOTH;
    assert_int_equal(pt_map(&pt, kernel(0), pfn(0x40000), 1 << 18, KERNEL_FLAGS, NULL), ERR_OK);
    assert_int_equal(pt_protect(&pt, kernel(5 * PAGE_SIZE), 700, PTE_G, &batch), ERR_OK);
    assert_int_equal(pt_protect(&pt, kernel(5 * PAGE_SIZE), 700, KERNEL_FLAGS, &batch), ERR_OK);
    assert_int_equal(pt_join(&pt, kernel(0), 1 << 18, &batch, &joined), ERR_OK);
    pt.way = PT_RECURSIVE;
    assert_int_equal(pt_unmap(&pt, kernel(5 * PAGE_SIZE), 1, &batch), ERR_OK);
    assert_hole(kernel(5 * PAGE_SIZE));
    assert_maps(kernel(6 * PAGE_SIZE), 0x40006000, 12);
    pt.way = PT_DIRECT;
}

static const char *difference;
static void        read_both_ways(void *arg)
{
    pt_walk(&pt, kernel(0), arg);
}

static void a_difference_between_the_ways_panics(void **state)
{
    (void)state;
    struct pt_walk w;

    assert_int_equal(pt_map(&pt, kernel(0), pfn(1), 1, KERNEL_FLAGS, NULL), ERR_OK);
    pt_walk(&pt, kernel(0), &w);
    cpu.cr3 = pfn_to_pa(pfn(0)).raw; /* another table than the mapper's: frame 0 is all zeroes ... */
    *(uint64_t *)port_ptr(pa(recursive_slot(pt.levels) * 8)) = 3; /* ... but for its recursive slot */
    pt.way = PT_BOTH;
    assert_true(host_expect_panic(read_both_ways, &w, &difference));
    pt.way = PT_DIRECT;
    cpu.cr3 = pfn_to_pa(pt.root).raw;
}

/* ---- four levels to five, and back ---------------------------------------------------------------- */

static void load_root(void *arg, pfn_t root)
{
    (void)arg;
    cpu.cr3 = pfn_to_pa(root).raw;
    cpu.la57 = !cpu.la57;
}

static err_t change_levels(void)
{
    pfn_t root;
    err_t err = frame_alloc(0, &root);

    if (err != ERR_OK)
        return err;
    err = pt_change_levels(&pt, root, load_root, NULL);
    if (err != ERR_OK)
        assert_int_equal(frame_free(root), ERR_OK);
    return err;
}

static void addresses_mean_the_same_with_another_number_of_levels(void **state)
{
    const va_t image = va(0x7f0000000), process = va(0x7fff00000000);
    unsigned   before = *(unsigned *)*state;
    uint64_t   tables;

    assert_int_equal(pt_map(&pt, kernel(3 * GIB), pfn(0x1234), 700, KERNEL_FLAGS, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, image, pfn(0x7f0000), 3, PTE_G, NULL), ERR_OK);
    assert_int_equal(pt_map(&pt, process, pfn(0x999), 1, PTE_U, NULL), ERR_OK);
    tables = pt.n_tables;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(change_levels(), ERR_OK);
        assert_int_equal(pt.levels, i % 2 == 0 ? 9 - before : before);
        assert_string_equal(sound(), "sound");
        assert_maps(kernel(3 * GIB + 5), 0x1234005, 12);
        assert_maps(va_add(image, 0x2345), 0x7f0002345, 12);
        assert_maps(process, 0x999000, 12);
        assert_hole(va_add(process, PAGE_SIZE));
        assert_hole(kernel(0));
        assert_int_equal(sim_in_use, pt.n_tables);
    }
    assert_int_equal(pt.n_tables, tables);
}

static void what_four_levels_cannot_say_stays_with_five(void **state)
{
    va_t far = va((uint64_t)1 << 50);

    if (*(unsigned *)*state == 4)
        assert_int_equal(change_levels(), ERR_OK);
    assert_int_equal(pt_map(&pt, far, pfn(5), 1, PTE_U, NULL), ERR_OK);
    assert_int_equal(change_levels(), ERR_BUSY);
    assert_int_equal(pt.levels, 5);
    assert_maps(far, 0x5000, 12);
    assert_int_equal(pt_unmap(&pt, far, 1, &batch), ERR_OK);
    assert_int_equal(change_levels(), ERR_OK);
}

/* with five, what is mapped above a slot is more than four can say */
static err_t starved_levels(void) { return pt.levels == 4 ? change_levels() : ERR_OK; }

/* ---- starved: allocation 1, 2, 3 ... fails in turn ---------------------------------------------- */

static va_t  hungry; /* a 1 GiB page begins here, and nothing is mapped a slot above */
static err_t starved_map(void)
{
    return pt_map(&pt, va_add(hungry, ((uint64_t)1 << slot_shift(pt.levels)) + 2 * MIB - PAGE_SIZE), pfn(0x777), 2, 0,
                  NULL);
}
static err_t starved_protect(void) { return pt_protect(&pt, va_add(hungry, PAGE_SIZE), (1 << 18) - 2, PTE_NX, &batch); }
static err_t starved_unmap(void) { return pt_unmap(&pt, va_add(hungry, PAGE_SIZE), 1, &batch); }
static err_t starved_replace(void)
{
    return pt_map(&pt, va_add(hungry, PAGE_SIZE), pfn(0x999), 1, PTE_U | PT_REPLACE, &batch);
}

static void out_of_frames_changes_nothing(void **state)
{
    (void)state;
    err_t (*const ops[])(void) = { starved_map, starved_protect, starved_unmap, starved_replace,
                                     starved_levels };
    int failures = 0;

    for (size_t op = 0; op < ARRAY_LEN(ops); op++) {
        hungry = user(op * GIB);
        assert_int_equal(pt_map(&pt, hungry, pfn(0x40000), 1 << 18, PTE_U | PTE_W, NULL), ERR_OK);
        for (int n = 0;; n++) {
            uint64_t tables = pt.n_tables, in_use = sim_in_use;
            err_t    err;

            frames_until_failure = n;
            err = ops[op]();
            frames_until_failure = NEVER_FAIL;
            assert_string_equal(sound(), "sound");
            if (err == ERR_OK)
                break;
            failures++;
            assert_int_equal(err, ERR_NOMEM);
            assert_int_equal(pt.n_tables, tables);
            assert_int_equal(sim_in_use, in_use);
            assert_int_equal(batch.n_pages, 0);
            assert_maps(va_add(hungry, PAGE_SIZE), 0x40001000, 30);
        }
        tlb_batch_close(&batch);
    }
    assert_true(failures >= 10);
}

#define BOTH(test)                                                                                                     \
    { #test " (4 levels)", test, setup, teardown, &four }, { #test " (5 levels)", test, setup, teardown, &five }

int main(void)
{
    static unsigned         four = 4, five = 5;
    const struct CMUnitTest tests[] = {
        BOTH(the_largest_page_that_fits_is_used),
        BOTH(small_pages_can_be_asked_for),
        BOTH(a_cpu_without_gib_pages_gets_2_mib),
        BOTH(wrong_ranges_are_refused_by_name),
        BOTH(what_is_mapped_is_in_the_way),
        BOTH(changing_a_part_splits_a_large_page),
        BOTH(equal_entries_are_joined_again),
        BOTH(a_frame_has_one_cache_type_in_all_its_mappings),
        BOTH(a_cache_type_follows_splits_moves_and_whole_tables),
        BOTH(a_copy_leaves_out_what_is_not_plain_ram),
        BOTH(a_starved_or_refused_mapping_leaves_no_cache_type),
        BOTH(empty_tables_are_freed),
        BOTH(a_walk_says_at_which_level_nothing_is),
        BOTH(a_walk_stops_at_a_reserved_bit),
        BOTH(ranges_are_merged_over_table_borders),
        BOTH(the_recursive_slot_is_as_the_notes_have_it),
        BOTH(both_ways_agree_in_every_operation),
        BOTH(a_difference_between_the_ways_panics),
        BOTH(addresses_mean_the_same_with_another_number_of_levels),
        BOTH(what_four_levels_cannot_say_stays_with_five),
        BOTH(out_of_frames_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
