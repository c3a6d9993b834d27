/* SPDX-License-Identifier: MIT */
/* test/host/test_pt_model.c - random operations on page tables; the software MMU is the judge */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/host/port_host.h"
#include "test/host/pt_ops.h"
#include "test/host/sim_frames.h"

#define OPS_AT_ONCE 4096

static uint64_t seed(void)
{
    const char *given = getenv("OCTAVO_SEED");

    return given != NULL ? strtoull(given, NULL, 0) : 20260801;
}

static uint64_t rounds(void)
{
    const char *given = getenv("OCTAVO_ROUNDS"); /* 4096 operations each; `make proof` asks for more */

    return given != NULL ? strtoull(given, NULL, 0) : 12;
}

static void random_operations_agree_with_the_model(void **state)
{
    static uint8_t      bytes[OPS_AT_ONCE * PT_OP_BYTES];
    struct pt_ops_stats stats = { 0 };
    uint64_t            x = seed();

    (void)state;
    host_memory_open(SIM_FRAMES * PAGE_SIZE);
    for (uint64_t round = 0; round < rounds(); round++) {
        const char *wrong;

        for (size_t i = 0; i < sizeof bytes; i++) {
            x = x * 6364136223846793005 + 1442695040888963407;
            bytes[i] = (uint8_t)(x >> 56);
        }
        /* The shadow TLB needs frames, too: where it watches there are enough, and it must lose nothing. */
        wrong = pt_ops_run(bytes, sizeof bytes, 4 + round % 2, round % 5 == 1, round % 5 == 1 ? NULL : &frames_until_failure,
                           &stats);
        if (wrong != NULL)
            fail_msg("seed %llu, round %llu, operation %llu: %s", (unsigned long long)seed(), (unsigned long long)round,
                     (unsigned long long)stats.ops % OPS_AT_ONCE, wrong);
        assert_int_equal(sim_in_use, 0);
    }
    printf("pt: %llu operations, %llu refused, %llu starved, %llu pages compared\n", (unsigned long long)stats.ops,
           (unsigned long long)stats.refused, (unsigned long long)stats.starved, (unsigned long long)stats.pages_checked);
    printf("tlb: %llu translations went stale, none was missed, %llu were not followed; %llu flushes met none\n",
           (unsigned long long)stats.stale, (unsigned long long)stats.lost, (unsigned long long)stats.superfluous);
    assert_true(stats.refused > 0 && stats.starved > 0 && stats.stale > 0);
    assert_int_equal(stats.lost, 0);
    host_memory_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_operations_agree_with_the_model) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
