/* SPDX-License-Identifier: MIT */
/* core/user/primes.c - the primes below N, by a sieve in mapped memory: primes [N], a million by default */
#include "core/user/ulib.h"

int main(int argc, char **argv)
{
    uint64_t n = 1000000, count = 0, last = 0;
    uint8_t *composite;

    if (argc > 1 && fmt_read_u64(argv[1], &n) != ERR_OK)
        fail("primes [N]", -ERR_SYNTAX);
    composite = uptr(must("map", sys_map(NULL, n + 1, PROT_READ | PROT_WRITE)));
    for (uint64_t i = 2; i < n; i++) {
        if (composite[i])
            continue;
        count++;
        last = i;
        for (uint64_t k = i * i; i < (uint64_t)1 << 32 && k < n; k += i)
            composite[k] = 1;
    }
    print("primes: %llu below %llu, the last is %llu\n", ULL(count), ULL(n), ULL(last));
    return 0;
}
