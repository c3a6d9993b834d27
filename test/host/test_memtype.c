/* SPDX-License-Identifier: MIT */
/* test/host/test_memtype.c - cache types of frames against a count for each frame */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mm/memtype.h"

#define FRAMES 120
#define LIVE   20

static void a_second_type_is_refused(void **state)
{
    (void)state;
    assert_int_equal(memtype_take(pfn(100), 50, PTE_CACHE_WB), ERR_OK);
    assert_int_equal(memtype_take(pfn(149), 2, PTE_CACHE_UC), ERR_ALIAS);
    assert_int_equal(memtype_take(pfn(0), 101, PTE_CACHE_WC), ERR_ALIAS);
    assert_int_equal(memtype_take(pfn(150), 2, PTE_CACHE_UC), ERR_OK);
    assert_int_equal(memtype_take(pfn(151), 1, PTE_CACHE_UC), ERR_OK);
    memtype_give(pfn(150), 2);
    assert_int_equal(memtype_take(pfn(150), 1, PTE_CACHE_WB), ERR_OK);
    assert_int_equal(memtype_take(pfn(151), 1, PTE_CACHE_WB), ERR_ALIAS); /* one user is left */
    memtype_give(pfn(151), 1);
    memtype_give(pfn(100), 51);
    assert_int_equal(memtype_take(pfn(0), 1000, PTE_CACHE_UC), ERR_OK);
    memtype_give(pfn(0), 1000);
}

static bool is_ram(uint64_t first, uint64_t n)
{
    struct frame_range around;

    return memtype_is_ram(pfn(first), n, &around);
}

static void ram_is_write_back_and_nothing_else(void **state)
{
    (void)state;
    assert_true(is_ram(0, 1000)); /* nobody has told yet */
    assert_int_equal(memtype_ram(pfn(2000), 100), ERR_OK);
    assert_int_equal(memtype_ram(pfn(2300), 100), ERR_OK);
    assert_false(is_ram(0, 1) || is_ram(1999, 2) || is_ram(2099, 2) || is_ram(2200, 1) || is_ram(2400, 1));
    assert_true(is_ram(2000, 100) && is_ram(2399, 1));
    assert_int_equal(memtype_take(pfn(2099), 2, PTE_CACHE_UC), ERR_ALIAS);
    assert_int_equal(memtype_take(pfn(2100), 200, PTE_CACHE_UC), ERR_OK);
    memtype_give(pfn(2100), 200);
    assert_int_equal(memtype_ram(pfn(2100), 200), ERR_OK); /* the gap: one range */
    assert_true(is_ram(2000, 400));
    assert_int_equal(memtype_ram(pfn(1990), 1000), ERR_OK); /* over it all */
    assert_true(is_ram(1990, 1000));
    for (uint64_t i = 0; i < MEMTYPE_RAM - 1; i++)
        assert_int_equal(memtype_ram(pfn(10000 + 2 * i), 1), ERR_OK);
    assert_int_equal(memtype_ram(pfn(100), 1), ERR_NOMEM);
    assert_true(is_ram(10000, 1) && !is_ram(10001, 1) && is_ram(10000 + 2 * (MEMTYPE_RAM - 2), 1));
}

static void it_agrees_with_counts_for_each_frame(void **state)
{
    static const uint64_t caches[] = { PTE_CACHE_WB, PTE_CACHE_UC, PTE_CACHE_WC };
    struct { uint64_t first, n, cache; } live[LIVE];
    unsigned users[FRAMES] = { 0 }, n_live = 0;
    uint64_t type[FRAMES] = { 0 }, x = 99;

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t first, n, cache;
        bool     alias = false;

        x = x * 6364136223846793005 + 1442695040888963407;
        first = (x >> 33) % FRAMES;
        n = 1 + (x >> 45) % (FRAMES - first);
        cache = caches[(x >> 60) % 3];
        if (n_live == LIVE || (n_live > 0 && (x >> 20) % 5 < 2)) {
            unsigned i = (unsigned)(x >> 24) % n_live;

            memtype_give(pfn(live[i].first), live[i].n);
            for (uint64_t f = live[i].first; f < live[i].first + live[i].n; f++)
                users[f]--;
            live[i] = live[--n_live];
            continue;
        }
        for (uint64_t f = first; f < first + n; f++)
            alias |= users[f] > 0 && type[f] != cache;
        assert_int_equal(memtype_take(pfn(first), n, cache), alias ? ERR_ALIAS : ERR_OK);
        for (uint64_t f = first; f < first + n && !alias; f++) {
            users[f]++;
            type[f] = cache;
        }
        if (!alias) {
            live[n_live].first = first;
            live[n_live].n = n;
            live[n_live++].cache = cache;
        }
    }
    while (n_live-- > 0)
        memtype_give(pfn(live[n_live].first), live[n_live].n);
    assert_int_equal(memtype_take(pfn(0), FRAMES, PTE_CACHE_WT), ERR_OK);
    memtype_give(pfn(0), FRAMES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_type_is_refused),
        cmocka_unit_test(it_agrees_with_counts_for_each_frame),
        cmocka_unit_test(ram_is_write_back_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
