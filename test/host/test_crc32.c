/* SPDX-License-Identifier: MIT */
/* test/host/test_crc32.c - the checksum (mm/crc32.c) against its definition, a bit at a time */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/crc32.h"

static uint32_t by_definition(const uint8_t *p, size_t n)
{
    uint32_t sum = UINT32_MAX;

    for (size_t i = 0; i < 8 * n; i++) {
        uint32_t bit = (p[i / 8] >> i % 8 & 1) ^ (sum & 1);

        sum = sum >> 1 ^ (bit != 0 ? 0xEDB88320u : 0);
    }
    return ~sum;
}

static void the_check_value_is_the_published_one(void **state)
{
    (void)state;
    assert_int_equal(crc32(0, "123456789", 9), 0xCBF43926u);
    assert_int_equal(crc32(0, "", 0), 0);
}

static void random_bytes_in_random_parts_sum_to_their_definition(void **state)
{
    uint8_t bytes[512];

    (void)state;
    srand(11);
    for (unsigned round = 0; round < 500; round++) {
        size_t   n = (size_t)rand() % sizeof bytes, cut = n != 0 ? (size_t)rand() % n : 0;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)rand();
        assert_int_equal(crc32(crc32(0, bytes, cut), bytes + cut, n - cut), by_definition(bytes, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_is_the_published_one),
        cmocka_unit_test(random_bytes_in_random_parts_sum_to_their_definition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
