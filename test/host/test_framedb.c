/* SPDX-License-Identifier: MIT */
/* test/host/test_framedb.c - records of frames (mm/framedb.c) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame.h"
#include "mm/framedb.h"
#include "test/host/frame_world.h"
#include "test/host/model_frame.h"
#include "test/host/port_host.h"

#define FIRST 0x2000

static const struct mem_range ram[] = { FREE_RAM(FIRST, 1000) };

static uint64_t free_now(void) { return frame_totals().free; }

static void a_frame_without_a_record_has_one_owner_and_costs_nothing(void **state)
{
    uint64_t before;

    (void)state;
    world_open(ram, ARRAY_LEN(ram));
    before = free_now();
    assert_null(framedb_find(pfn(5)));
    assert_int_equal(framedb_refs(pfn(5)), 1);
    assert_int_equal(framedb_close(pfn(5)), ERR_NOENT);
    assert_int_equal(framedb_unshare(pfn(5)), 0);
    assert_int_equal(framedb_frames(), 0);
    assert_int_equal(free_now(), before);
    world_close();
}

static void sharing_counts_and_the_record_goes_with_the_last_sharer(void **state)
{
    uint64_t             before;
    struct frame_record *r;

    (void)state;
    world_open(ram, ARRAY_LEN(ram));
    before = free_now();
    assert_int_equal(framedb_share(pfn(7)), ERR_OK);
    assert_int_equal(framedb_share(pfn(7)), ERR_OK);
    assert_int_equal(framedb_refs(pfn(7)), 3);
    assert_int_equal(framedb_frames(), 4);
    assert_int_equal(framedb_unshare(pfn(7)), 2);
    assert_int_equal(framedb_unshare(pfn(7)), 1);
    assert_null(framedb_find(pfn(7)));
    assert_int_equal(free_now(), before);

    assert_int_equal(framedb_open(pfn(9), &r), ERR_OK);
    r->owner = 42;
    assert_int_equal(framedb_share(pfn(9)), ERR_OK);
    assert_int_equal(framedb_unshare(pfn(9)), 1); /* it still says whose the frame is */
    assert_ptr_equal(framedb_find(pfn(9)), r);
    assert_int_equal(r->owner, 42);
    assert_int_equal(framedb_unshare(pfn(9)), 0);
    assert_int_equal(free_now(), before);
    assert_int_equal(framedb_open(pfn((uint64_t)1 << 43), &r), ERR_INVAL);
    world_close();
}

static size_t share_many(size_t n, const pfn_t f[])
{
    struct framedb_cursor c;
    uint64_t              irq = framedb_enter(&c);
    size_t                i = 0;

    while (i < n && framedb_share_next(&c, f[i]) == ERR_OK)
        i++;
    framedb_leave(&c, irq);
    return i;
}

static void neighbours_are_shared_one_after_the_other(void **state)
{
    pfn_t    f[300], all[1000];
    uint64_t before;
    size_t   n = 0;

    (void)state;
    world_open(ram, ARRAY_LEN(ram));
    before = free_now();
    for (unsigned i = 0; i < 300; i++) /* neighbours, and every 40th far away */
        assert_int_equal(frame_alloc(0, &f[i]), ERR_OK);
    for (unsigned i = 0; i < 300; i += 40)
        f[i].idx += (uint64_t)1 << 30;
    assert_int_equal(share_many(300, f), 300);
    assert_int_equal(share_many(150, f), 150);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(framedb_refs(f[i]), i < 150 ? 3 : 2);
        assert_int_equal(framedb_unshare(f[i]), i < 150 ? 2 : 1);
        if (i < 150)
            assert_int_equal(framedb_unshare(f[i]), 1);
    }
    assert_int_equal(framedb_frames(), 0);
    assert_int_equal(free_now(), before - 300);
    while (n < ARRAY_LEN(all) && frame_alloc(0, &all[n]) == ERR_OK)
        n++;
    assert_int_equal(frames_free(4, &all[n - 4]), ERR_OK);
    assert_int_equal(share_many(300, f), 1); /* the first, far away, needs four frames; so does the second */
    assert_int_equal(framedb_refs(f[0]), 2);
    assert_int_equal(framedb_refs(f[1]), 1);
    assert_int_equal(framedb_unshare(f[0]), 1);
    world_close();
}

static void a_dropped_run_frees_what_nobody_shares(void **state)
{
    pfn_t    block;
    uint64_t before;

    (void)state;
    world_open(ram, ARRAY_LEN(ram));
    before = free_now();
    assert_int_equal(frame_alloc_with(&(struct frame_request){ .n = 8, .align = 8 }, &block), ERR_OK);
    assert_int_equal(framedb_share(block), ERR_OK);
    assert_int_equal(framedb_drop_run(block, 1, 2), ERR_OK); /* one shares it still: its order is not looked at */
    assert_int_equal(framedb_drop_run(block, 1, 2), ERR_ORDER);
    assert_int_equal(framedb_drop_run(block, 1, 3), ERR_OK);
    assert_int_equal(free_now(), before);
    world_close();
}

static void random_records_agree_with_an_array(void **state)
{
    enum { N = 600 };
    uint64_t before;
    unsigned refs[N] = { 0 };

    (void)state;
    rnd_seed_from("test_framedb");
    world_open(ram, ARRAY_LEN(ram));
    before = free_now();
    for (unsigned step = 0; step < 60000; step++) {
        unsigned             i = (unsigned)rnd_below(N);
        pfn_t                f = pfn(i < 300 ? i : (uint64_t)i << 25); /* near one another, and far */
        struct frame_record *r;

        switch (rnd_below(step < 30000 ? 3 : 5)) {
        case 0:
            if (framedb_open(f, &r) == ERR_OK) {
                assert_int_equal(r->where, refs[i] == 0 ? 0 : i + 1);
                r->where = i + 1;
                refs[i] += refs[i] == 0;
            }
            break;
        case 1:
            if (framedb_find(f) != NULL && framedb_share(f) == ERR_OK)
                refs[i]++;
            break;
        case 2:
            assert_int_equal(framedb_refs(f), refs[i] == 0 ? 1 : refs[i]);
            break;
        case 3:
            refs[i] -= refs[i] > 0;
            assert_int_equal(framedb_unshare(f), refs[i]);
            break;
        default:
            assert_int_equal(framedb_close(f), refs[i] == 0 ? ERR_NOENT : ERR_OK);
            refs[i] = 0;
        }
        assert_int_equal(free_now() + framedb_frames(), before);
    }
    for (unsigned i = 0; i < N; i++)
        if (refs[i] != 0)
            assert_int_equal(framedb_close(pfn(i < 300 ? i : (uint64_t)i << 25)), ERR_OK);
    assert_int_equal(framedb_frames(), 0);
    assert_int_equal(free_now(), before);
    world_close();
}

static void without_memory_nothing_changes(void **state)
{
    pfn_t                f[1000];
    struct frame_record *r;
    size_t               n = 1000 - 17;

    (void)state;
    world_open(ram, ARRAY_LEN(ram));
    assert_int_equal(frames_alloc(n, f), ERR_OK);
    for (unsigned have = 0; have < 4; have++) { /* it takes four frames: with 0, 1, 2, 3 it must fail */
        assert_int_equal(framedb_open(pfn(1), &r), ERR_NOMEM);
        assert_int_equal(framedb_frames(), 0);
        assert_int_equal(free_now(), have);
        assert_int_equal(frame_free(f[--n]), ERR_OK);
    }
    assert_int_equal(framedb_open(pfn(1), &r), ERR_OK);
    assert_int_equal(free_now(), 0);
    assert_int_equal(framedb_open(pfn(2), &r), ERR_OK); /* the same leaf */
    assert_int_equal(framedb_open(pfn(2000), &r), ERR_NOMEM);
    assert_int_equal(framedb_frames(), 4);
    assert_int_equal(framedb_close(pfn(1)), ERR_OK);
    assert_int_equal(framedb_close(pfn(2)), ERR_OK);
    assert_int_equal(framedb_frames(), 0);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_without_a_record_has_one_owner_and_costs_nothing),
        cmocka_unit_test(sharing_counts_and_the_record_goes_with_the_last_sharer),
        cmocka_unit_test(neighbours_are_shared_one_after_the_other),
        cmocka_unit_test(a_dropped_run_frees_what_nobody_shares),
        cmocka_unit_test(random_records_agree_with_an_array),
        cmocka_unit_test(without_memory_nothing_changes),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
