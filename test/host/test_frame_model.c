/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_frame_model.c - the whole frame manager against one byte for each frame
 *
 * Random machines with holes, random calls of every kind. What is given must be free and fit the request;
 * a request may fail only if the model has nothing either; every free is answered as the model would.
 * Which of several places is given is test_chunk's and test/proof's subject.
 *
 * OCTAVO_SEED chooses the machines and calls, OCTAVO_OPS how many calls there are on each of the machines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/frame.h"
#include "test/host/frame_calls.h"
#include "test/host/model_frame.h"
#include "test/host/port_host.h"

#define MACHINES 6

static void random_calls_agree_with_the_model(void **state)
{
    const char *ops = getenv("OCTAVO_OPS");
    uint64_t    n_ops = ops != NULL ? strtoull(ops, NULL, 0) : 60000;

    (void)state;
    rnd_seed_from("test_frame_model");
    for (unsigned machine = 0; machine < MACHINES; machine++) {
        frame_calls_open(3000);
        for (uint64_t i = 0; i < n_ops; i++) {
            frame_calls_one();
            if (i % (n_ops / 16 + 1) == 0)
                frame_calls_check();
        }
        frame_calls_check();
        frame_calls_close();
    }
}

static void none_of_a_million_wrong_frees_is_accepted_or_changes_a_bit(void **state)
{
    uint64_t before;
    unsigned order = 0;

    (void)state;
    rnd_seed_from("wrong frees");
    frame_calls_open(3000);
    for (unsigned i = 0; i < 3000; i++) {
        frame_calls_alloc();
        if (i % 3 == 0)
            frame_calls_free();
    }
    before = frame_calls_fingerprint();
    for (unsigned i = 0; i < 1000000;) {
        unsigned at = frame_calls_frame(), claimed = (unsigned)rnd_below(FRAME_ORDER_MAX + 2);
        err_t    err = frame_calls_expect(at, &order);

        if (err == ERR_OK && claimed == order)
            continue;
        if (err != ERR_OK && rnd_below(2) == 0)
            assert_int_equal(frame_free(pfn(at)), err);
        else
            assert_true(frame_free_order(pfn(at), claimed) != ERR_OK);
        i++;
        if (i % 100000 == 0)
            assert_int_equal(frame_calls_fingerprint(), before);
    }
    frame_calls_check();
    frame_calls_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_agree_with_the_model),
        cmocka_unit_test(none_of_a_million_wrong_frees_is_accepted_or_changes_a_bit),
    };

    host_log_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
