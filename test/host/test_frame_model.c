/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_frame_model.c - the whole frame manager against one byte for each frame
 *
 * Random machines with holes, random calls of every kind. What is given must be free and fit the request;
 * a request may fail only if the model has nothing either; every free is answered as the model would.
 * Which of several places is given is test_chunk's and test/proof's subject.
 *
 * OCTAVO_SEED chooses the machines and calls, OCTAVO_OPS how many calls there are in all (docs/proof.md has
 * the run of ten million).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/frame.h"
#include "test/host/frame_calls.h"
#include "test/host/model_frame.h"
#include "test/host/port_host.h"

#define MACHINES 6
#define OPS      400000
#define WRONG    1000000

static void random_calls_agree_with_the_model(void **state)
{
    const char *ops = getenv("OCTAVO_OPS");
    uint64_t    n_ops = (ops != NULL ? strtoull(ops, NULL, 0) : OPS) / MACHINES + 1;

    (void)state;
    rnd_seed_from("test_frame_model");
    for (unsigned machine = 0; machine < MACHINES; machine++) {
        frame_calls_open(machine == 0 ? 20000 : 3000);
        for (uint64_t i = 0; i < n_ops; i++) {
            frame_calls_one();
            if (i % 4096 == 0)
                frame_calls_check();
        }
        frame_calls_check();
        frame_calls_close();
    }
    printf("%llu calls on %d machines\n", (unsigned long long)n_ops * MACHINES, MACHINES);
}

/*
 * One wrong free of frame `at`, of any call: if its free would answer err it must do so; if it would find a
 * block of this order, another order is claimed. (frame_free_run takes back what a CPU has reserved before it
 * refuses such a frame: that is not wrong, but the fingerprint would show it.)
 */
static void free_wrongly(unsigned at, err_t err, unsigned order)
{
    unsigned call = (unsigned)rnd_below(4), claimed = (unsigned)rnd_below(FRAME_ORDER_MAX + 2);
    pfn_t    f = pfn(at);

    if (call == 0 && err != ERR_OK)
        assert_int_equal(frame_free(f), err);
    else if (call == 1 && (err != ERR_OK || order != 0))
        assert_int_equal(frames_free(1, &f), err != ERR_OK ? err : ERR_ORDER);
    else if (call == 2 && (err == ERR_INSIDE || (err == ERR_OK && order != 0)))
        assert_int_equal(frame_free_run(f, 1), err != ERR_OK ? err : ERR_ORDER);
    else if (err != ERR_OK && claimed <= FRAME_ORDER_MAX)
        assert_int_equal(frame_free_order(f, claimed), err);
    else
        assert_int_equal(frame_free_order(f, claimed == order ? order + 1 : claimed), ERR_ORDER);
}

static void none_of_a_million_wrong_frees_is_accepted_or_changes_a_bit(void **state)
{
    uint64_t before;
    unsigned order = 0;

    (void)state;
    rnd_seed_from("wrong frees");
    frame_calls_open(3000);
    for (unsigned i = 0; i < 3000; i++)
        frame_calls_one();
    before = frame_calls_fingerprint();
    for (unsigned i = 1; i <= WRONG; i++) {
        unsigned at = frame_calls_frame();
        err_t    err = frame_calls_expect(at, &order);

        free_wrongly(at, err, order);
        if (i % 50000 == 0)
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
