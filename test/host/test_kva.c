/* SPDX-License-Identifier: MIT */
/* test/host/test_kva.c - mm/kva.c by examples and starved, mm/kva_tree.c against a page map */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mm/kva.h"
#include "mm/kva_tree.h"
#include "test/host/port_host.h"
#include "test/host/sim_frames.h"
#include "test/host/sim_mmu.h"

static struct pt      pt;
static struct sim_cpu cpu;

static uint64_t *physical(uint64_t address) { return port_ptr(pa(address)); }

static void *through_the_tables(va_t v)
{
    struct sim_result r = sim_access(&cpu, v.raw, (struct sim_access){ .write = true }, true);

    return r.outcome == SIM_OK && r.physical < SIM_FRAMES * PAGE_SIZE ? port_ptr(pa(r.physical)) : NULL;
}

static bool maps(va_t v) { return sim_access(&cpu, v.raw, (struct sim_access){ .write = true }, false).outcome == SIM_OK; }
static bool executes(va_t v)
{
    return sim_access(&cpu, v.raw, (struct sim_access){ .fetch = true }, false).outcome == SIM_OK;
}

static int setup(void **state)
{
    (void)state;
    host_memory_open(SIM_FRAMES * PAGE_SIZE);
    assert_int_equal(pt_create(&pt, 4), ERR_OK);
    cpu = (struct sim_cpu){ .cr3 = pfn_to_pa(pt.root).raw, .maxphyaddr = 36, .nxe = true, .wp = true,
                            .physical = physical };
    host_va_hook = through_the_tables;
    kva_start(&pt);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(pt_check(&pt));
    assert_int_equal(pt.n_tables, 1); /* nothing is left mapped */
    assert_int_equal(sim_in_use, 1);  /* the top table */
    pt_destroy(&pt);
    memset(sim_order, 0, sizeof sim_order);
    sim_in_use = 0;
    sim_hint = 1;
    host_memory_close();
    return 0;
}

static void memory_has_guard_pages_on_both_sides(void **state)
{
    (void)state;
    va_t a, b;

    assert_int_equal(kva_alloc(3, &a), ERR_OK);
    assert_int_equal(kva_alloc(1, &b), ERR_OK);
    assert_false(maps(va(a.raw - PAGE_SIZE)));
    assert_true(maps(a) && maps(va_add(a, 3 * PAGE_SIZE - 1)));
    assert_false(maps(va_add(a, 3 * PAGE_SIZE)));
    assert_int_equal(b.raw, a.raw + 4 * PAGE_SIZE);
    assert_false(maps(va_add(b, PAGE_SIZE)));
    assert_false(executes(a));
    assert_int_equal(kva_free(va_add(a, PAGE_SIZE)), ERR_INSIDE);
    assert_int_equal(kva_free(a), ERR_OK);
    assert_int_equal(kva_free(a), ERR_NOENT);
    assert_int_equal(kva_free(va(0x1000)), ERR_NOENT);
    assert_int_equal(kva_free(b), ERR_OK);
}

static void large_memory_uses_large_pages(void **state)
{
    (void)state;
    va_t a;

    assert_int_equal(kva_alloc(1024 + 5, &a), ERR_OK);
    assert_int_equal(sim_access(&cpu, a.raw, (struct sim_access){ 0 }, false).page_bits, 21);
    assert_int_equal(sim_access(&cpu, a.raw + 4 * MIB, (struct sim_access){ 0 }, false).page_bits, 12);
    assert_int_equal(kva_free(a), ERR_OK);
}

static void devices_keep_their_offset_and_cache_type(void **state)
{
    (void)state;
    volatile void    *p = NULL;
    struct kva_range  range;
    struct sim_result r;
    bool              guard;
    va_t              base = slot_base(SLOT_DYNAMIC, 4);

    assert_int_equal(kva_map_device(pa(0x1234), 0x2000, PTE_CACHE_UC, &p), ERR_OK);
    assert_ptr_equal(p, port_ptr(pa(0x1234)));
    assert_int_equal(kva_find(va_add(base, PAGE_SIZE), &range, &guard), ERR_OK);
    assert_false(guard);
    assert_true(range.kind == KVA_DEVICE && range.n_pages == 3);
    r = sim_access(&cpu, range.start.raw, (struct sim_access){ 0 }, false);
    assert_int_equal(r.pat_index, 3);
    assert_int_equal(kva_map_device(pa(0), 0, PTE_CACHE_UC, &p), ERR_INVAL);
    assert_int_equal(kva_map_device(pa(0), 1, PTE_W, &p), ERR_INVAL);
    assert_int_equal(kva_map_device(pa(~(uint64_t)0), ~(uint64_t)0, PTE_CACHE_UC, &p), ERR_INVAL);
    assert_int_equal(kva_free(va_add(range.start, 0x234)), ERR_OK);
}

static void a_second_cache_type_is_refused(void **state)
{
    (void)state;
    volatile void *uc, *wc;

    assert_int_equal(kva_map_device(pa(0x5000), 0x3000, PTE_CACHE_UC, &uc), ERR_OK);
    assert_int_equal(kva_map_device(pa(0x7000), 0x3000, PTE_CACHE_WC, &wc), ERR_ALIAS);
    assert_int_equal(pt_map(&pt, slot_base(SLOT_DYNAMIC + 1, 4), pfn(7), 1, PTE_W, NULL), ERR_ALIAS);
    assert_int_equal(kva_free(va_add(slot_base(SLOT_DYNAMIC, 4), PAGE_SIZE)), ERR_OK);
    assert_int_equal(kva_map_device(pa(0x7000), 0x3000, PTE_CACHE_WC, &wc), ERR_OK);
    assert_int_equal(kva_free(va_add(slot_base(SLOT_DYNAMIC, 4), PAGE_SIZE)), ERR_OK);
}

static void a_guard_page_is_known_as_one(void **state)
{
    (void)state;
    struct kva_range range;
    bool             guard;
    va_t             a, top;

    assert_int_equal(kva_alloc(1, &a), ERR_OK);
    assert_int_equal(kva_alloc_stack(4, &top), ERR_OK);
    assert_int_equal(kva_find(va(top.raw - 4 * PAGE_SIZE - 8), &range, &guard), ERR_OK);
    assert_true(guard && range.kind == KVA_STACK && range.start.raw == top.raw - 4 * PAGE_SIZE);
    assert_int_equal(kva_find(va(top.raw - 8), &range, &guard), ERR_OK);
    assert_false(guard);
    assert_int_equal(kva_find(va(top.raw + 8), &range, &guard), ERR_OK);
    assert_true(guard);
    assert_int_equal(kva_find(va(top.raw + PAGE_SIZE), &range, &guard), ERR_NOENT);
    assert_int_equal(kva_find(va(0), &range, &guard), ERR_NOENT);
    assert_int_equal(kva_free(a), ERR_OK);
    assert_int_equal(kva_free(top), ERR_OK);
}

static uint64_t frame_at(va_t v) { return sim_access(&cpu, v.raw, (struct sim_access){ 0 }, false).physical; }

static void growing_keeps_every_frame(void **state)
{
    (void)state;
    const uint64_t sizes[] = { 1, 5, 600, 1300 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        va_t     a, wall, b;
        uint64_t n = sizes[i], frames[1300];

        assert_int_equal(kva_alloc(n, &a), ERR_OK);
        for (uint64_t k = 0; k < n; k++)
            frames[k] = frame_at(va_add(a, k * PAGE_SIZE));
        assert_int_equal(kva_resize(a, n + 3, &b), ERR_OK);
        assert_int_equal(b.raw, a.raw); /* there is room behind it */
        assert_int_equal(kva_alloc(n < 512 ? 1 : 512, &wall), ERR_OK); /* right behind it */
        assert_int_equal(kva_resize(a, 2 * n + 7, &b), ERR_OK);
        assert_int_not_equal(b.raw, a.raw); /* there was none */
        assert_false(maps(a));
        for (uint64_t k = 0; k < n; k++)
            assert_int_equal(frame_at(va_add(b, k * PAGE_SIZE)), frames[k]);
        assert_true(maps(va_add(b, (2 * n + 7) * PAGE_SIZE - 1)));
        assert_false(maps(va_add(b, (2 * n + 7) * PAGE_SIZE)));
        assert_int_equal(kva_resize(b, 1, &a), ERR_OK);
        assert_int_equal(a.raw, b.raw);
        assert_int_equal(frame_at(a), frames[0]);
        assert_int_equal(kva_resize(a, 0, &b), ERR_INVAL);
        assert_int_equal(kva_resize(va_add(a, PAGE_SIZE), 1, &b), ERR_NOENT);
        assert_int_equal(kva_free(wall), ERR_OK);
        assert_int_equal(kva_free(a), ERR_OK);
    }
}

static void a_large_page_is_not_cut_by_shrinking(void **state)
{
    (void)state;
    struct kva_range range;
    bool             guard;
    va_t             a, b;

    assert_int_equal(kva_alloc(1536, &a), ERR_OK);
    assert_int_equal(kva_resize(a, 700, &b), ERR_OK);
    assert_int_equal(kva_find(a, &range, &guard), ERR_OK);
    assert_int_equal(range.n_pages, 1024);
    assert_false(maps(va_add(a, 1024 * PAGE_SIZE)));
    assert_int_equal(kva_free(a), ERR_OK);
}

static void growing_out_of_frames_loses_nothing(void **state)
{
    (void)state;
    va_t a, wall, b = { 9 };

    assert_int_equal(kva_alloc(600, &a), ERR_OK);
    assert_int_equal(kva_alloc(512, &wall), ERR_OK); /* right behind it */
    for (int n = 0;; n++) {
        uint64_t in_use = sim_in_use, first = frame_at(a), last = frame_at(va_add(a, 599 * PAGE_SIZE));
        err_t    err;

        frames_until_failure = n;
        err = kva_resize(a, 1200, &b);
        frames_until_failure = NEVER_FAIL;
        assert_null(pt_check(&pt));
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(b.raw, 9);
        assert_int_equal(sim_in_use, in_use);
        assert_int_equal(frame_at(a), first);
        assert_int_equal(frame_at(va_add(a, 599 * PAGE_SIZE)), last);
    }
    assert_int_equal(kva_free(b), ERR_OK);
    assert_int_equal(kva_free(wall), ERR_OK);
}

static void lazy_memory_gets_a_frame_of_zeroes_at_the_first_touch(void **state)
{
    (void)state;
    uint64_t in_use, n = 9;
    va_t     a, page;

    assert_int_equal(kva_alloc_lazy(700, &a), ERR_OK);
    in_use = sim_in_use;
    assert_int_equal(kva_resident(a, &n), ERR_OK);
    assert_int_equal(n, 0);
    page = va_add(a, 699 * PAGE_SIZE);
    assert_false(maps(page));
    assert_int_equal(kva_fault(va_add(page, 5)), ERR_OK);
    assert_true(maps(page) && !executes(page));
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        assert_int_equal(((uint64_t *)port_va_ptr(page))[i], 0);
    assert_int_equal(kva_fault(page), ERR_OK); /* another CPU was faster */
    assert_int_equal(sim_in_use, in_use + 1);
    assert_int_equal(kva_resident(page, &n), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(kva_fault(va(a.raw - 1)), ERR_NOENT); /* guard pages */
    assert_int_equal(kva_fault(va_add(a, 700 * PAGE_SIZE)), ERR_NOENT);
    assert_int_equal(kva_fault(va(0x1000)), ERR_NOENT);
    assert_int_equal(kva_free(page), ERR_INSIDE);
    assert_null(pt_check(&pt));
    assert_int_equal(kva_free(a), ERR_OK);
}

static void lazy_memory_grows_with_what_was_written(void **state)
{
    (void)state;
    va_t     a, wall, b;
    uint64_t n = 0;

    assert_int_equal(kva_alloc_lazy(600, &a), ERR_OK);
    assert_int_equal(kva_alloc(512, &wall), ERR_OK); /* right behind it */
    for (uint64_t i = 0; i < 600; i += 7) {
        assert_int_equal(kva_fault(va_add(a, i * PAGE_SIZE)), ERR_OK);
        *(uint64_t *)port_va_ptr(va_add(a, i * PAGE_SIZE)) = i;
    }
    assert_int_equal(kva_resize(a, 1300, &b), ERR_OK);
    assert_int_not_equal(a.raw, b.raw);
    assert_int_equal(kva_fault(a), ERR_NOENT);
    for (uint64_t i = 0; i < 600; i++)
        if (i % 7 == 0)
            assert_int_equal(*(uint64_t *)port_va_ptr(va_add(b, i * PAGE_SIZE)), i);
        else
            assert_false(maps(va_add(b, i * PAGE_SIZE)));
    assert_int_equal(kva_fault(va_add(b, 1299 * PAGE_SIZE)), ERR_OK);
    assert_int_equal(kva_resident(b, &n), ERR_OK);
    assert_int_equal(n, 86 + 1);
    assert_int_equal(kva_resize(b, 1, &a), ERR_OK);
    assert_int_equal(kva_resident(a, &n), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(kva_free(wall), ERR_OK);
    assert_int_equal(kva_free(a), ERR_OK);
}

static void a_first_touch_without_frames_can_be_repeated(void **state)
{
    (void)state;
    va_t a = { 5 };

    for (int n = 0; a.raw == 5; n++) {
        uint64_t in_use = sim_in_use;

        frames_until_failure = n;
        if (kva_alloc_lazy(1030, &a) == ERR_NOMEM)
            assert_int_equal(sim_in_use, in_use);
    }
    frames_until_failure = 0;
    assert_int_equal(kva_fault(a), ERR_NOMEM);
    assert_false(maps(a));
    frames_until_failure = NEVER_FAIL;
    assert_int_equal(kva_fault(a), ERR_OK);
    assert_true(maps(a));
    assert_int_equal(kva_free(a), ERR_OK);
}

static void out_of_frames_changes_nothing(void **state)
{
    (void)state;
    const uint64_t sizes[] = { 1, 70, 512, 1500 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int n = 0;; n++) {
            uint64_t in_use = sim_in_use;
            va_t     a = { 5 };
            err_t    err;

            frames_until_failure = n;
            err = kva_alloc(sizes[i], &a);
            frames_until_failure = NEVER_FAIL;
            if (err == ERR_OK) {
                assert_int_equal(kva_free(a), ERR_OK);
                break;
            }
            assert_int_equal(err, ERR_NOMEM);
            assert_int_equal(a.raw, 5);
            assert_int_equal(sim_in_use, in_use);
            assert_int_equal(pt.n_tables, 1);
        }
}

/* ---- the tree against a map of pages ----------------------------------------------------------- */

#define AREA 600

static unsigned char taken[AREA + 1]; /* of each page: 0, or 1 + the kind */
static uint64_t      random_state;

static uint64_t random_below(uint64_t n)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (random_state >> 33) % n;
}

static bool model_place(uint64_t n, uint64_t align, uint64_t *page)
{
    for (uint64_t at = 1, run = 0; at < AREA; at++) {
        run = taken[at] == 0 ? run + 1 : 0;
        if (run >= n + align - 1) { /* where the tree looks: room wherever the gap begins */
            *page = align_up(at + 1 - run, align);
            return true;
        }
    }
    return false;
}

static void the_tree_agrees_with_a_map_of_pages(void **state)
{
    struct kva_tree t;
    struct kva_span live[AREA];
    size_t          n_live = 0;

    (void)state;
    random_state = 4711;
    memset(taken, 0, sizeof taken);
    kva_tree_start(&t, 1, AREA);
    for (int step = 0; step < 60000; step++) {
        uint64_t n = 1 + random_below(step % 1000 < 500 ? 12 : 60), align = (uint64_t)1 << random_below(5), want = 0, got = 0;
        bool     fits;

        if (n_live > 0 && random_below(100) < (step % 2000 < 1000 ? 40u : 60u)) {
            size_t          i = random_below(n_live);
            struct kva_span s;

            assert_true(kva_tree_find(&t, live[i].page + random_below(live[i].end - live[i].page), &s));
            assert_true(s.page == live[i].page && s.end == live[i].end && s.kind == live[i].kind);
            if (random_below(3) == 0) { /* resize */
                uint64_t end = live[i].page + n, k = live[i].end;

                while (k < end && k < AREA && taken[k] == 0)
                    k++;
                assert_int_equal(kva_tree_resize(&t, s.page, end), k >= end ? ERR_OK : ERR_EXISTS);
                if (k >= end) {
                    memset(&taken[s.page], 0, s.end - s.page);
                    memset(&taken[s.page], 1 + (int)s.kind, n);
                    live[i].end = end;
                }
            } else {
                kva_tree_remove(&t, s.page);
                memset(&taken[s.page], 0, s.end - s.page);
                live[i] = live[--n_live];
            }
        } else {
            fits = model_place(n, align, &want);
            assert_int_equal(kva_tree_place(&t, n, align, 2, &got), fits ? ERR_OK : ERR_NOMEM);
            if (fits) {
                assert_int_equal(got, want);
                memset(&taken[got], 3, n);
                live[n_live++] = (struct kva_span){ got, got + n, 2 };
            }
        }
        if (span_tree_check(&t.spans) != NULL)
            fail_msg("step %d: %s", step, span_tree_check(&t.spans));
    }
    while (n_live > 0)
        kva_tree_remove(&t, live[--n_live].page);
}

#define TEST(test) { #test, test, setup, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_has_guard_pages_on_both_sides), TEST(large_memory_uses_large_pages),
        TEST(devices_keep_their_offset_and_cache_type), TEST(a_guard_page_is_known_as_one),
        TEST(a_second_cache_type_is_refused),
        TEST(growing_keeps_every_frame), TEST(a_large_page_is_not_cut_by_shrinking),
        TEST(lazy_memory_gets_a_frame_of_zeroes_at_the_first_touch), TEST(lazy_memory_grows_with_what_was_written),
        TEST(a_first_touch_without_frames_can_be_repeated),
        TEST(growing_out_of_frames_loses_nothing), TEST(out_of_frames_changes_nothing), TEST(the_tree_agrees_with_a_map_of_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
