/* SPDX-License-Identifier: MIT */
/* test/host/test_zero.c - the stock of zeroed frames (mm/zero.c) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/port.h"
#include "mm/zero.h"
#include "test/host/frame_world.h"
#include "test/host/port_host.h"

#define FIRST 0x2000
#define N     1024

static const struct mem_range ram[] = { FREE_RAM(FIRST, N), FREE_RAM(FIRST + 2048, 17) /* for the bitmaps */ };

static void open_dirty(void)
{
    world_open(ram, ARRAY_LEN(ram));
    memset(port_ptr(pa(FIRST * PAGE_SIZE)), 0xee, N * PAGE_SIZE);
}

static bool is_zero(pfn_t f)
{
    const unsigned char *p = port_ptr(pfn_to_pa(f));

    return p[0] == 0 && memcmp(p, p + 1, PAGE_SIZE - 1) == 0;
}

static uint64_t free_now(void) { return frame_totals().free; }

static void with_stock_or_without_a_frame_is_zero(void **state)
{
    pfn_t f[300];

    (void)state;
    open_dirty();
    for (unsigned i = 0; i < ARRAY_LEN(f); i++) {
        if (i == 3)
            while (frame_zero_idle())
                ;
        if (i % 7 == 0)
            (void)frame_zero_idle();
        assert_int_equal(frame_alloc_zeroed(&f[i]), ERR_OK);
        assert_true(is_zero(f[i]));
        memset(port_ptr(pfn_to_pa(f[i])), 0xdd, PAGE_SIZE);
        if (i > 0 && i % 3 == 0)
            assert_int_equal(frame_free(f[i - 1]), ERR_OK);
    }
    world_close();
}

static void the_stock_is_free_memory_and_not_yet_given_out(void **state)
{
    uint64_t before;
    unsigned n = 0;
    pfn_t    f, again;

    (void)state;
    open_dirty();
    before = free_now();
    assert_int_equal(frame_zero_stock(), 0);
    while (frame_zero_idle())
        assert_int_equal(frame_zero_stock(), ++n);
    assert_int_equal(n, 32); /* half of the first word */
    assert_int_equal(free_now(), before);
    assert_int_equal(frame_free(pfn(FIRST + 20)), ERR_NOT_ALLOC);
    assert_int_equal(frame_alloc_zeroed(&f), ERR_OK);
    assert_int_equal(f.idx, FIRST);
    assert_int_equal(frame_query(f).state, FRAME_BLOCK);
    assert_int_equal(frame_zero_stock(), n - 1);
    assert_int_equal(frame_free_order(f, 1), ERR_ORDER);
    assert_int_equal(frame_free(f), ERR_OK);
    assert_int_equal(frame_free(f), ERR_NOT_ALLOC);
    assert_int_equal(frame_alloc_zeroed(&again), ERR_OK);
    assert_int_not_equal(again.idx, f.idx); /* it is dirty now */
    assert_int_equal(free_now(), before - 1);
    world_close();
}

static void short_of_memory_the_stock_is_given_back(void **state)
{
    unsigned n;
    pfn_t    f;

    (void)state;
    open_dirty();
    while (frame_zero_idle())
        ;
    for (n = 0; frame_alloc(0, &f) == ERR_OK; n++)
        ;
    assert_int_equal(n, N);
    assert_false(frame_zero_idle());
    assert_int_equal(frame_alloc_zeroed(&f), ERR_NOMEM);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_stock_or_without_a_frame_is_zero),
        cmocka_unit_test(the_stock_is_free_memory_and_not_yet_given_out),
        cmocka_unit_test(short_of_memory_the_stock_is_given_back),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
