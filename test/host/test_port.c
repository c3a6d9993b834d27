/* SPDX-License-Identifier: MIT */
/* test/host/test_port.c - the host's port under the test that the machine's passes, and its panic */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/console/selftest.h"
#include "mm/port.h"
#include "test/host/frame_world.h"
#include "test/host/port_host.h"

static void the_host_keeps_the_contracts(void **state)
{
    (void)state;
    world_open(&(struct mem_range)FREE_RAM(256, 4096), 1);
    assert_int_equal(selftest_port.run(), ERR_OK);
    world_close();
}

static void panic_now(void *arg) { PANIC("%s", (const char *)arg); }

static void a_panic_says_where_and_why(void **state)
{
    const char *said;

    (void)state;
    assert_true(host_expect_panic(panic_now, (void *)"why", &said));
    assert_non_null(strstr(said, "test_port.c"));
    assert_non_null(strstr(said, "why"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_keeps_the_contracts),
        cmocka_unit_test(a_panic_says_where_and_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
