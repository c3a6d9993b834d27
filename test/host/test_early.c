/* SPDX-License-Identifier: MIT */
/* test/host/test_early.c - the frame distributor */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mm/early.h"

static void frames_come_in_order_and_once(void **state)
{
    pfn_t f;

    (void)state;
    early_start(pfn(100), 5);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(early_alloc(1, &f), ERR_OK);
        assert_int_equal(f.idx, 100 + i);
    }
}

static void an_empty_block_refuses_and_leaves_the_output_alone(void **state)
{
    pfn_t f = { 7 };

    (void)state;
    early_start(pfn(100), 0);
    assert_int_equal(early_alloc(1, &f), ERR_NOMEM);
    assert_int_equal(f.idx, 7);
}

static void many_come_all_or_none(void **state)
{
    pfn_t f[6] = { { 7 } };

    (void)state;
    early_start(pfn(100), 5);
    assert_int_equal(early_alloc(6, f), ERR_NOMEM);
    assert_int_equal(f[0].idx, 7);
    assert_int_equal(early_alloc(5, f), ERR_OK);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(f[i].idx, 100 + i);
    assert_int_equal(early_alloc(1, f), ERR_NOMEM);
    assert_int_equal(early_alloc(0, f), ERR_OK);
}

static void the_state_tells_given_from_left(void **state)
{
    pfn_t f;

    (void)state;
    early_start(pfn(8), 10);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(early_alloc(1, &f), ERR_OK);
    struct early_state now = early_look();
    assert_int_equal(now.first.idx, 8);
    assert_int_equal(now.next.idx, 12);
    assert_int_equal(now.end.idx, 18);
}

static void after_the_finish_nothing_is_handed_out(void **state)
{
    pfn_t f = { 7 };

    (void)state;
    early_start(pfn(8), 10);
    assert_int_equal(early_alloc(1, &f), ERR_OK);
    struct early_state last = early_finish();
    assert_int_equal(last.next.idx - last.first.idx, 1);
    assert_int_equal(last.end.idx - last.next.idx, 9);
    assert_int_equal(early_alloc(1, &f), ERR_NOMEM);
    last = early_finish();
    assert_int_equal(last.first.idx, last.end.idx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_in_order_and_once),
        cmocka_unit_test(an_empty_block_refuses_and_leaves_the_output_alone),
        cmocka_unit_test(many_come_all_or_none),
        cmocka_unit_test(the_state_tells_given_from_left),
        cmocka_unit_test(after_the_finish_nothing_is_handed_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
