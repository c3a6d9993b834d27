/* SPDX-License-Identifier: MIT */
/* test/host/test_tlb.c - who flushes what, when frames come back, and the shadow TLB that watches */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mm/framedb.h"
#include "mm/tlb.h"
#include "mm/tlb_shadow.h"
#include "test/host/port_host.h"
#include "test/host/sim_frames.h"

static struct host_tlb_event seen[256];
static unsigned              n_seen;
static uint64_t              frames_at_flush; /* frames in use when the last flush came */

static void remember(const struct host_tlb_event *e)
{
    if (n_seen < ARRAY_LEN(seen))
        seen[n_seen++] = *e;
    frames_at_flush = sim_in_use;
}

static int setup(void **state)
{
    const struct tlb_cpu plain = { 0 };

    (void)state;
    host_memory_open(SIM_FRAMES * PAGE_SIZE);
    tlb_start(&plain);
    host_tlb_hook = remember;
    host_log_quiet(true);
    n_seen = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tlb_shadow_start(false);
    host_cpus_set(1);
    host_cpu_set(0);
    host_tlb_hook = NULL;
    host_log_quiet(false);
    assert_int_equal(sim_in_use, 0);
    host_memory_close();
    return 0;
}

static unsigned count_seen(enum host_tlb_kind kind, unsigned cpu)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_seen; i++)
        n += seen[i].kind == kind && seen[i].cpu == cpu;
    return n;
}

/* ---- what must flush: the table in mm/tlb.h, row by row ------------------------------------------ */

static void every_row_of_must_flush(void **state)
{
    (void)state;
    const struct { uint64_t cleared, set; bool flush; } rows[] = {
        { PTE_P, 0, true },
        { 0x1000, 0, true },
        { 0, 0x1000, true },
        { PTE_PWT, 0, true },
        { 0, PTE_PCD, true },
        { 0, PTE_G, true },
        { PTE_G, 0, true },
        { (uint64_t)1 << PTE_KEY_SHIFT, 0, true },
        { PTE_W, 0, true },
        { 0, PTE_NX, true },
        { 0, PTE_U, true },
        { PTE_U, 0, true },
        { PTE_A, 0, true },
        { PTE_D, 0, true },
        { 0, PTE_W, false },
        { PTE_NX, 0, false },
        { 0, PTE_A | PTE_D, false },
        { PTE_AVAIL, PTE_AVAIL_LOW, false },
        { 0, 0, false },
        { PTE_NX, PTE_W | PTE_A, false },
        { PTE_NX | PTE_W, 0, true },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (tlb_must_flush(rows[i].cleared, rows[i].set) != rows[i].flush)
            fail_msg("row %zu", i);
}

/* ---- batches ------------------------------------------------------------------------------------- */

static void few_pages_are_flushed_one_by_one(void **state)
{
    (void)state;
    struct tlb_batch b;

    tlb_batch_open(&b, NULL);
    for (uint64_t i = 0; i < TLB_BATCH_PAGES; i++)
        tlb_changed(&b, va(0xffff800000000000 + i * PAGE_SIZE));
    tlb_batch_close(&b);
    assert_int_equal(count_seen(HOST_TLB_PAGE, 0), TLB_BATCH_PAGES);
    assert_int_equal(count_seen(HOST_TLB_ALL, 0), 0);
    assert_int_equal(seen[3].what, 0xffff800000003000);
}

static void many_pages_are_flushed_at_once_with_the_globals(void **state)
{
    (void)state;
    struct tlb_batch b;

    tlb_batch_open(&b, NULL);
    for (uint64_t i = 0; i <= TLB_BATCH_PAGES; i++)
        tlb_changed(&b, va(i * PAGE_SIZE));
    tlb_batch_close(&b);
    assert_int_equal(n_seen, 1);
    assert_true(seen[0].kind == HOST_TLB_ALL && seen[0].flag);
}

static void an_empty_batch_flushes_nothing(void **state)
{
    (void)state;
    struct tlb_batch b;

    tlb_batch_open(&b, NULL);
    tlb_batch_close(&b);
    assert_int_equal(n_seen, 0);
}

static void frames_and_tables_come_back_after_the_flush_only(void **state)
{
    (void)state;
    struct tlb_batch b;
    pfn_t            f[3], block, table[2];

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(frame_alloc(0, &f[i]), ERR_OK);
    assert_int_equal(frame_alloc(9, &block), ERR_OK);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(frame_alloc(0, &table[i]), ERR_OK);
    tlb_batch_open(&b, NULL);
    tlb_changed(&b, va(0x5000));
    for (unsigned i = 0; i < 3; i++)
        assert_true(tlb_free_block(&b, f[i], 0, false));
    assert_int_equal(b.n_runs, 1); /* neighbours */
    assert_true(tlb_free_block(&b, block, 9, false));
    for (unsigned i = 0; i < 2; i++) {
        tlb_free_table(&b, table[i]);
        assert_false(pte_present(pte_load(port_ptr(pfn_to_pa(table[i]))))); /* a CPU may still come by */
    }
    assert_int_equal(sim_in_use, 3 + 512 + 2);
    tlb_batch_close(&b);
    assert_int_equal(frames_at_flush, 3 + 512 + 2);
    assert_int_equal(sim_in_use, 0);
}

static void a_shared_frame_goes_with_its_last_reference(void **state)
{
    (void)state;
    struct tlb_batch b;
    pfn_t            f;

    assert_int_equal(frame_alloc(0, &f), ERR_OK);
    assert_int_equal(framedb_share(f), ERR_OK);
    for (unsigned sharers = 2; sharers > 0; sharers--) {
        assert_int_equal(framedb_refs(f), sharers);
        tlb_batch_open(&b, NULL);
        assert_true(tlb_free_block(&b, f, 0, true));
        tlb_batch_close(&b);
    }
    assert_int_equal(sim_in_use, 0);
}

static void a_full_batch_takes_no_more_frames(void **state)
{
    (void)state;
    struct tlb_batch b;
    pfn_t            f[2 * TLB_BATCH_RUNS + 2];

    assert_int_equal(frames_alloc(ARRAY_LEN(f), f), ERR_OK);
    tlb_batch_open(&b, NULL);
    for (unsigned i = 0; i < TLB_BATCH_RUNS; i++)
        assert_true(tlb_free_block(&b, f[2 * i], 0, false)); /* every second: no neighbours */
    assert_false(tlb_free_block(&b, f[2 * TLB_BATCH_RUNS], 0, false));
    tlb_batch_close(&b);
    for (unsigned i = 0; i < ARRAY_LEN(f); i++)
        if (i % 2 == 1 || i >= 2 * TLB_BATCH_RUNS)
            assert_int_equal(frame_free(f[i]), ERR_OK);
}

/* ---- who ----------------------------------------------------------------------------------------- */

static void the_kernels_half_is_flushed_everywhere(void **state)
{
    (void)state;
    struct tlb_batch b;

    host_cpus_set(5);
    host_cpu_set(2);
    tlb_batch_open(&b, NULL);
    tlb_changed(&b, va(0x7000));
    tlb_batch_close(&b);
    for (unsigned cpu = 0; cpu < 5; cpu++)
        assert_int_equal(count_seen(HOST_TLB_PAGE, cpu), 1);
    assert_int_equal(n_seen, 5);
}

static void an_inactive_space_needs_no_flush_without_pcids(void **state)
{
    (void)state;
    struct tlb_space s = { 0 };
    struct tlb_batch b;

    tlb_batch_open(&b, &s);
    tlb_changed(&b, va(0x7000));
    tlb_batch_close(&b);
    assert_int_equal(n_seen, 0);
}

static void with_invpcid_this_cpus_other_spaces_lose_pages_only(void **state)
{
    (void)state;
    const struct tlb_cpu cpu = { .pcid = true, .invpcid = true };
    struct tlb_space     s = { .pcid = 7 }, kernel = { .pcid = 0 };
    struct tlb_batch     b;

    tlb_start(&cpu);
    tlb_batch_open(&b, &s);
    tlb_changed(&b, va(0x7000));
    tlb_batch_close(&b);
    assert_int_equal(n_seen, 1);
    assert_true(seen[0].kind == HOST_TLB_PCID_PAGE && seen[0].pcid == 7 && seen[0].what == 0x7000);
    n_seen = 0;
    tlb_switch(&kernel, &s, pfn(9));
    assert_true(seen[0].kind == HOST_TLB_LOAD && seen[0].flag); /* nothing is stale here */
    tlb_switch(&s, &kernel, pfn(8));
    host_cpus_set(2);
    host_cpu_set(1);
    n_seen = 0;
    tlb_switch(&kernel, &s, pfn(9));
    assert_false(seen[0].flag); /* there it may be */
    tlb_switch(&s, &kernel, pfn(8));
}

static void a_kernel_table_under_pcids_takes_everything_along(void **state)
{
    (void)state;
    const struct tlb_cpu cpu = { .pcid = true };
    struct tlb_batch     b;
    pfn_t                table;

    tlb_start(&cpu);
    assert_int_equal(frame_alloc(0, &table), ERR_OK);
    tlb_batch_open(&b, NULL);
    tlb_changed(&b, va(0x7000));
    tlb_free_table(&b, table);
    tlb_batch_close(&b);
    assert_int_equal(n_seen, 1);
    assert_true(seen[0].kind == HOST_TLB_ALL && seen[0].flag);
}

/* ---- the shadow ---------------------------------------------------------------------------------- */

#define PAGE_OLD (0x5000 | PTE_P | PTE_W | PTE_G)

static void a_missing_flush_is_named(void **state)
{
    (void)state;
    struct tlb_batch b;

    tlb_shadow_start(true);
    tlb_batch_open(&b, NULL);
    for (uint64_t i = 0; i < 4; i++) {
        tlb_shadow_page(NULL, va(0x10000 + i * PAGE_SIZE), PAGE_SIZE, PAGE_OLD + i * PAGE_SIZE, 0);
        if (i != 2)
            tlb_changed(&b, va(0x10000 + i * PAGE_SIZE));
    }
    tlb_batch_close(&b);
    assert_int_equal(tlb_shadow_stats().missing, 1);
    assert_int_equal(tlb_shadow_stats().superfluous, 0);
}

static void a_cr3_load_leaves_global_pages_stale(void **state)
{
    (void)state;
    tlb_shadow_start(true);
    tlb_shadow_page(NULL, va(0x10000), PAGE_SIZE, PAGE_OLD, 0);
    tlb_shadow_page(NULL, va(0x20000), PAGE_SIZE, PAGE_OLD & ~PTE_G, 0);
    tlb_shadow_all(false);
    tlb_shadow_closed(NULL);
    assert_int_equal(tlb_shadow_stats().missing, 1);
    tlb_shadow_page(NULL, va(0x10000), PAGE_SIZE, PAGE_OLD, 0);
    tlb_shadow_all(true);
    tlb_shadow_closed(NULL);
    assert_int_equal(tlb_shadow_stats().missing, 1);
}

static void more_rights_need_no_flush_and_get_none(void **state)
{
    (void)state;
    tlb_shadow_start(true);
    tlb_shadow_page(NULL, va(0x10000), PAGE_SIZE, PTE_P | PTE_NX, PTE_P | PTE_W | PTE_A | PTE_D);
    tlb_shadow_page(NULL, va(0x20000), PAGE_SIZE, 0, PTE_P | PTE_W);
    tlb_shadow_closed(NULL);
    assert_int_equal(tlb_shadow_stats().changes, 0);
    tlb_shadow_invlpg(va(0x10000));
    assert_int_equal(tlb_shadow_stats().superfluous, 1);
}

static void invlpg_anywhere_forgets_a_large_page_and_all_tables(void **state)
{
    (void)state;
    tlb_shadow_start(true);
    tlb_shadow_page(NULL, va(0x200000), 2 * MIB, PAGE_OLD, 0);
    tlb_shadow_table(NULL, va(0x40000000), GIB);
    tlb_shadow_invlpg(va(0x2ff000));
    tlb_shadow_closed(NULL);
    assert_int_equal(tlb_shadow_stats().missing, 0);
}

static void a_cpu_that_did_not_flush_is_missed(void **state)
{
    (void)state;
    host_cpus_set(2);
    tlb_shadow_start(true);
    tlb_shadow_page(NULL, va(0x10000), PAGE_SIZE, PAGE_OLD, 0);
    tlb_shadow_invlpg(va(0x10000)); /* CPU 0 only */
    tlb_shadow_closed(NULL);
    assert_int_equal(tlb_shadow_stats().missing, 1);
}

/* Every second page: no two are one run */
static void thousands_of_scattered_changes_are_all_followed(void **state)
{
    const uint64_t n = 3000;
    uint64_t       in_use = sim_in_use;

    (void)state;
    tlb_shadow_start(true);
    for (uint64_t i = 0; i < n; i++)
        tlb_shadow_page(NULL, va(i * 2 * PAGE_SIZE), PAGE_SIZE, PAGE_OLD, 0);
    assert_true(sim_in_use > in_use);
    for (uint64_t i = 0; i < n; i++)
        if (i != 2500)
            tlb_shadow_invlpg(va(i * 2 * PAGE_SIZE));
    tlb_shadow_closed(NULL);
    assert_int_equal(tlb_shadow_stats().missing, 1);
    assert_int_equal(tlb_shadow_stats().lost, 0);
    assert_int_equal(tlb_shadow_stats().superfluous, 0);
    assert_int_equal(sim_in_use, in_use);
}

static void what_there_is_no_memory_to_follow_is_counted_as_lost(void **state)
{
    (void)state;
    tlb_shadow_start(true);
    frames_until_failure = 0;
    for (uint64_t i = 0; i < 200; i++)
        tlb_shadow_page(NULL, va(i * 2 * PAGE_SIZE), PAGE_SIZE, PAGE_OLD, 0);
    frames_until_failure = NEVER_FAIL;
    tlb_shadow_all(true);
    tlb_shadow_closed(NULL);
    assert_int_equal(tlb_shadow_stats().missing, 0);
    assert_int_equal(tlb_shadow_stats().lost, 72); /* 128 runs are always there */
}

static void keeping_a_stale_pcid_is_missed_at_the_load(void **state)
{
    (void)state;
    const struct tlb_cpu cpu = { .pcid = true };
    struct tlb_space     s = { .pcid = 3 };

    tlb_start(&cpu);
    tlb_shadow_start(true);
    tlb_shadow_page(&s, va(0x10000), PAGE_SIZE, PAGE_OLD & ~PTE_G, 0);
    tlb_shadow_closed(&s); /* not current anywhere: nothing is missing yet */
    assert_int_equal(tlb_shadow_stats().missing, 0);
    tlb_shadow_load(&s, true);
    assert_int_equal(tlb_shadow_stats().missing, 1);
}

#define TEST(test) { #test, test, setup, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_row_of_must_flush),
        TEST(few_pages_are_flushed_one_by_one),
        TEST(many_pages_are_flushed_at_once_with_the_globals),
        TEST(an_empty_batch_flushes_nothing),
        TEST(frames_and_tables_come_back_after_the_flush_only),
        TEST(a_shared_frame_goes_with_its_last_reference),
        TEST(a_full_batch_takes_no_more_frames),
        TEST(the_kernels_half_is_flushed_everywhere),
        TEST(an_inactive_space_needs_no_flush_without_pcids),
        TEST(with_invpcid_this_cpus_other_spaces_lose_pages_only),
        TEST(a_kernel_table_under_pcids_takes_everything_along),
        TEST(a_missing_flush_is_named),
        TEST(a_cr3_load_leaves_global_pages_stale),
        TEST(more_rights_need_no_flush_and_get_none),
        TEST(invlpg_anywhere_forgets_a_large_page_and_all_tables),
        TEST(a_cpu_that_did_not_flush_is_missed),
        TEST(thousands_of_scattered_changes_are_all_followed),
        TEST(what_there_is_no_memory_to_follow_is_counted_as_lost),
        TEST(keeping_a_stale_pcid_is_missed_at_the_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
