/* SPDX-License-Identifier: MIT */
/* test/host/test_frame.c - the frame manager (mm/frame*.c) on simulated machines */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/early.h"
#include "mm/frame.h"
#include "mm/port.h"
#include "test/host/frame_world.h"
#include "test/host/model_frame.h"
#include "test/host/port_host.h"

#define GIB_FRAMES (GIB >> PAGE_SHIFT)
#define MIB_FRAMES (MIB >> PAGE_SHIFT)

/* A PC of 6 GiB as firmware describes it, roughly */
static const struct mem_range pc[] = {
    SOME_RAM(0, 1, MEM_RESERVED),
    SOME_RAM(1, 0x9e, MEM_LOW),
    FREE_RAM(0x100, 0x700),
    SOME_RAM(0x800, 8, MEM_NVS),
    FREE_RAM(0x808, 0x7b000),
    SOME_RAM(0x7b808, 0x80, MEM_ACPI),
    SOME_RAM(0x7b888, 0x100, MEM_RUNTIME),
    SOME_RAM(0xe0000, 0x10000, MEM_MMIO),
    FREE_RAM(0x100000, 0x100000),
};

static uint64_t pc_free(void) { return 0x9e + 0x700 + 0x7b000 + 0x100000; }

static uint64_t free_now(void)
{
    struct frame_stats s;

    frame_stats(&s);
    return s.free;
}

static void all_memory_is_there_and_accounted_for(void **state)
{
    struct frame_stats s;

    (void)state;
    world_open(pc, ARRAY_LEN(pc));
    frame_stats(&s);
    assert_int_equal(s.managed, pc_free());
    assert_int_equal(s.free + s.bitmaps, pc_free());
    assert_int_equal(s.bitmaps, 2 * 17); /* the first two gigabytes are cut, the others are in one piece */
    assert_int_equal(s.blocks[18], 4);
    assert_int_equal(frame_totals().managed, s.managed);
    assert_int_equal(frame_totals().free, s.free);
    assert_int_equal(frame_query(pfn(0x50)).state, FRAME_FREE);
    assert_int_equal(frame_query(pfn(0)).state, FRAME_RESERVED);
    assert_int_equal(frame_query(pfn(0x7b808)).state, FRAME_RESERVED);
    assert_int_equal(frame_query(pfn(0xe0000)).state, FRAME_OUTSIDE);
    assert_int_equal(frame_query(pfn(0x90000)).state, FRAME_OUTSIDE);
    assert_int_equal(frame_query(pfn(UINT64_MAX >> 12)).state, FRAME_OUTSIDE);
    world_close();
}

static void zones_are_spared_from_the_top(void **state)
{
    pfn_t f;

    (void)state;
    world_open(pc, ARRAY_LEN(pc));
    assert_int_equal(frame_alloc(3, &f), ERR_OK);
    assert_true(f.idx >= 0x100000);
    assert_int_equal(frame_free(f), ERR_OK);
    for (uint64_t n = 0; n < 4; n++)
        assert_int_equal(frame_alloc(18, &f), ERR_OK);
    assert_int_equal(frame_alloc(18, &f), ERR_NOMEM);
    assert_int_equal(frame_alloc(3, &f), ERR_OK);
    assert_true(f.idx >= 16 * MIB_FRAMES && f.idx < 0x7b808);

    struct frame_request isa = { .n = 1, .highest = { 16 * MIB - 1 } };
    assert_int_equal(frame_alloc_with(&isa, &f), ERR_OK);
    assert_int_equal(f.idx, 0x100);

    struct frame_request low = { .n = 1, .highest = { 0x9ffff } };
    assert_int_equal(frame_alloc_with(&low, &f), ERR_OK);
    assert_int_equal(f.idx, 1);
    world_close();
}

static void memory_below_one_mib_is_given_only_on_request(void **state)
{
    static const struct mem_range tiny[] = { SOME_RAM(1, 0x9e, MEM_LOW), FREE_RAM(0x100, 64) };
    pfn_t                         f;
    unsigned                      n = 0;

    (void)state;
    world_open(tiny, ARRAY_LEN(tiny));
    for (; frame_alloc(0, &f) == ERR_OK; n++)
        assert_true(f.idx >= 0x100);
    assert_int_equal(n, 64 - 17);
    assert_int_equal(free_now(), 0x9e);
    world_close();
}

static void wrong_frees_are_refused_by_name(void **state)
{
    struct frame_stats s;
    pfn_t              block, single;
    uint64_t           before;

    (void)state;
    world_open(pc, ARRAY_LEN(pc));
    assert_int_equal(frame_alloc(4, &block), ERR_OK);
    assert_int_equal(frame_alloc(0, &single), ERR_OK);
    before = free_now();
    assert_int_equal(frame_free(pfn_add(block, 1)), ERR_INSIDE);
    assert_int_equal(frame_free_order(block, 3), ERR_ORDER);
    assert_int_equal(frame_free_order(single, 1), ERR_ORDER);
    assert_int_equal(frame_free_order(single, 99), ERR_ORDER);
    assert_int_equal(frame_free(pfn_add(single, 1)), ERR_NOT_ALLOC); /* reserved by this CPU, not given out */
    assert_int_equal(frame_free(pfn(0x200)), ERR_NOT_ALLOC);
    assert_int_equal(frame_free(pfn(0x1fffff)), ERR_NOT_ALLOC); /* in a chunk that was never cut */
    assert_int_equal(frame_free(pfn(0x7b808)), ERR_RESERVED);
    assert_int_equal(frame_free(pfn(0xe0000)), ERR_OUTSIDE);
    assert_int_equal(frame_free(pfn(1000 * GIB_FRAMES)), ERR_OUTSIDE);
    assert_int_equal(free_now(), before);
    assert_int_equal(frame_free(block), ERR_OK);
    assert_int_equal(frame_free(single), ERR_OK);
    assert_int_equal(frame_free(block), ERR_NOT_ALLOC);
    assert_int_equal(frame_free(single), ERR_NOT_ALLOC);
    frame_stats(&s);
    assert_int_equal(s.wrong[ERR_INSIDE], 1);
    assert_int_equal(s.wrong[ERR_ORDER], 3);
    assert_int_equal(s.wrong[ERR_NOT_ALLOC], 5);
    assert_int_equal(s.wrong[ERR_RESERVED], 1);
    assert_int_equal(s.wrong[ERR_OUTSIDE], 2);
    world_close();
}

static void bitmaps_come_with_the_first_cut_and_go_with_the_last(void **state)
{
    static const struct mem_range two[] = { FREE_RAM(4 * GIB_FRAMES, 2 * GIB_FRAMES) };
    struct frame_stats            s;
    pfn_t                         a, b, rows;

    (void)state;
    world_open(two, ARRAY_LEN(two));
    frame_stats(&s);
    assert_int_equal(s.bitmaps, 0);
    assert_int_equal(frame_alloc(12, &rows), ERR_OK); /* whole rows need none */
    frame_stats(&s);
    assert_int_equal(s.bitmaps, 0);
    assert_int_equal(frame_free(rows), ERR_OK);

    assert_int_equal(frame_alloc(0, &a), ERR_OK);
    frame_stats(&s);
    assert_int_equal(s.bitmaps, 17);
    assert_int_equal(frame_alloc(18, &b), ERR_OK); /* the other gigabyte */
    assert_int_equal(frame_alloc(18, &rows), ERR_NOMEM);
    assert_int_equal(frame_free(a), ERR_OK);
    assert_int_equal(frame_alloc(18, &rows), ERR_OK); /* reservation and bitmaps were given back for it */
    frame_stats(&s);
    assert_int_equal(s.bitmaps, 0);
    assert_int_equal(s.free, 0);
    assert_int_equal(frame_free(rows), ERR_OK);
    assert_int_equal(frame_free(b), ERR_OK);
    assert_int_equal(free_now(), 2 * GIB_FRAMES);
    world_close();
}

static void bulk_is_all_or_nothing(void **state)
{
    static const struct mem_range small[] = { FREE_RAM(0x2000, 1000) };
    static pfn_t                  f[1000];
    pfn_t                         one;
    size_t                        all = 1000 - 17;

    (void)state;
    world_open(small, ARRAY_LEN(small));
    assert_int_equal(frame_alloc(0, &one), ERR_OK);
    assert_int_equal(frames_alloc(all, f), ERR_NOMEM);
    assert_int_equal(free_now(), all - 1);
    assert_int_equal(frames_alloc(all - 1, f), ERR_OK);
    assert_int_equal(free_now(), 0);
    for (size_t i = 0; i < all - 1; i++) {
        assert_true(f[i].idx >= 0x2000 && f[i].idx < 0x2000 + 1000);
        assert_int_equal(frame_query(f[i]).state, FRAME_BLOCK);
    }
    f[all - 1] = f[3]; /* a frame twice: the second is refused, the others are free */
    assert_int_equal(frames_free(all, f), ERR_NOT_ALLOC);
    assert_int_equal(free_now(), all - 1);
    assert_int_equal(frame_free(one), ERR_OK);
    world_close();
}

static void runs_keep_to_their_conditions(void **state)
{
    pfn_t f;

    (void)state;
    world_open(pc, ARRAY_LEN(pc));

    struct frame_request odd = { .n = 100, .flags = FRAME_ZERO };
    memset(port_ptr(pa(4 * GIB + 17 * PAGE_SIZE)), 0xee, 200 * PAGE_SIZE);
    assert_int_equal(frame_alloc_with(&odd, &f), ERR_OK);
    assert_int_equal(f.idx, 4 * GIB_FRAMES + 17);
    for (uint64_t i = 0; i < 100 * PAGE_SIZE; i++)
        assert_int_equal(((unsigned char *)port_ptr(pfn_to_pa(f)))[i], 0);
    assert_int_equal(frame_free_run(f, 98), ERR_ORDER);
    assert_int_equal(frame_free_run(f, 100), ERR_OK);

    struct frame_request dma = { .n = 12, .boundary = 16, .highest = { 16 * MIB - 1 } };
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(frame_alloc_with(&dma, &f), ERR_OK);
        assert_true(f.idx / 16 == (f.idx + 11) / 16 && f.idx + 12 <= 16 * MIB_FRAMES);
    }

    struct frame_request wide = { .n = 3 * GIB_FRAMES - 5, .align = 512 };
    assert_int_equal(frame_alloc_with(&wide, &f), ERR_OK);
    assert_int_equal(f.idx % 512, 0);
    assert_int_equal(frame_query(pfn_add(f, wide.n - 1)).state, FRAME_BLOCK);
    assert_int_equal(frame_free_run(f, wide.n), ERR_OK);

    struct frame_request near = { .n = 8, .align = 8, .near = { 5 * GIB_FRAMES }, .flags = FRAME_NEAR };
    assert_int_equal(frame_alloc_with(&near, &f), ERR_OK);
    assert_int_equal(f.idx / GIB_FRAMES, 5);

    struct frame_request bad[] = { { .align = 3 }, { .boundary = 12 }, { .n = 9, .boundary = 8 } };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(frame_alloc_with(&bad[i], &f), ERR_INVAL);
    world_close();
}

static void ranges_are_held_back_and_released(void **state)
{
    uint64_t before;
    pfn_t    f;

    (void)state;
    world_open(pc, ARRAY_LEN(pc));
    before = free_now();
    assert_int_equal(frame_reserve(pfn(4 * GIB_FRAMES + 5), 1), ERR_OK); /* one bad frame cuts a gigabyte */
    assert_int_equal(free_now(), before - 1 - 17);
    assert_int_equal(frame_reserve(pfn(4 * GIB_FRAMES), 100), ERR_BUSY);
    assert_int_equal(frame_free(pfn(4 * GIB_FRAMES + 5)), ERR_RESERVED);
    assert_int_equal(frame_release(pfn(4 * GIB_FRAMES + 4), 2), ERR_NOENT);
    assert_int_equal(frame_release(pfn(4 * GIB_FRAMES + 5), 1), ERR_OK);
    assert_int_equal(frame_reserve(pfn(5 * GIB_FRAMES - 100), GIB_FRAMES + 200), ERR_OK); /* three chunks */
    assert_int_equal(frame_release(pfn(5 * GIB_FRAMES - 100), GIB_FRAMES + 200), ERR_OK);
    assert_int_equal(frame_release(pfn(0x7b808), 0x80), ERR_OK); /* the ACPI tables were read */
    assert_int_equal(frame_alloc(0, &f), ERR_OK);
    assert_int_equal(frame_reserve(f, 1), ERR_BUSY);
    assert_int_equal(frame_reserve(pfn_add(f, 1), 1), ERR_OK); /* reserved by a CPU is free */
    assert_int_equal(frame_reserve(pfn(1000 * GIB_FRAMES), 1), ERR_OUTSIDE);
    world_close();
}

static void a_block_becomes_single_frames(void **state)
{
    struct frame_stats s;
    pfn_t              f;

    (void)state;
    world_open(pc, ARRAY_LEN(pc));
    for (unsigned order = 6; order < 12; order++) {
        assert_int_equal(frame_alloc(order, &f), ERR_OK);
        assert_int_equal(frame_split(f, order - 1), order == 6 ? ERR_INVAL : ERR_ORDER);
        assert_int_equal(frame_split(pfn_add(f, 64), 6), order == 6 ? ERR_NOT_ALLOC : ERR_INSIDE);
        assert_int_equal(frame_split(f, order), ERR_OK);
        assert_null(frame_check());
        assert_int_equal(frame_split(f, order), ERR_ORDER);
        for (uint64_t i = 1; i <= (uint64_t)1 << order; i++) {
            pfn_t one = pfn_add(f, ((i * 37) & (((uint64_t)1 << order) - 1)));

            assert_int_equal(frame_query(one).state, FRAME_BLOCK);
            assert_int_equal(frame_free_order(one, 0), ERR_OK);
        }
    }
    assert_int_equal(frame_split(f, 12), ERR_INVAL);
    assert_int_equal(frame_split(pfn(1000 * GIB_FRAMES), 9), ERR_OUTSIDE);
    frame_stats(&s);
    assert_int_equal(s.free + s.bitmaps, pc_free());
    world_close();
}

static void what_the_early_distributor_gave_can_be_freed(void **state)
{
    static const struct frame_span image = { { 0x5000 }, 300 };
    pfn_t                          f[3];

    (void)state;
    early_start(pfn(0x3000), 1000);
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        assert_int_equal(frame_alloc(0, &f[i]), ERR_OK); /* served by the distributor */
    world_open_with(pc, ARRAY_LEN(pc), &image, 1);
    assert_int_equal(frame_free(pfn(0x5000)), ERR_RESERVED);
    assert_int_equal(free_now(), pc_free() - 300 - 3 - 2 * 17);
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        assert_int_equal(frame_free(f[i]), ERR_OK);
    assert_int_equal(frame_free(f[0]), ERR_NOT_ALLOC);
    assert_int_equal(frame_free(pfn(0x3003)), ERR_NOT_ALLOC);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_memory_is_there_and_accounted_for),
        cmocka_unit_test(zones_are_spared_from_the_top),
        cmocka_unit_test(memory_below_one_mib_is_given_only_on_request),
        cmocka_unit_test(wrong_frees_are_refused_by_name),
        cmocka_unit_test(bitmaps_come_with_the_first_cut_and_go_with_the_last),
        cmocka_unit_test(bulk_is_all_or_nothing),
        cmocka_unit_test(runs_keep_to_their_conditions),
        cmocka_unit_test(ranges_are_held_back_and_released),
        cmocka_unit_test(a_block_becomes_single_frames),
        cmocka_unit_test(what_the_early_distributor_gave_can_be_freed),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
