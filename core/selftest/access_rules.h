/* SPDX-License-Identifier: MIT */
/* core/selftest/access_rules.h - the oracle of the access matrix: what one access must do, by the manual */
#ifndef CORE_SELFTEST_ACCESS_RULES_H
#define CORE_SELFTEST_ACCESS_RULES_H

#include <stdbool.h>
#include <stdint.h>

#define ACCESS_LEVELS 6 /* entries by level, 1 .. 5 */

/* One access on one path of entries under one setting of the control registers */
struct access_case {
    unsigned levels, leaf; /* the path goes from `levels` down to `leaf`: 1, 2 or 3 */
    uint64_t entry[ACCESS_LEVELS];
    unsigned phys_bits;
    bool     wp, nxe, smep, smap, pke;
    uint32_t pkru;
    bool     write, fetch, user, ac; /* neither write nor fetch: a read */
    bool     keys_by_cpl;            /* a deviation: keys bind on all pages, AD only ring 3 */
};

struct access_result {
    bool     fault;
    uint32_t error;
    uint64_t after[ACCESS_LEVELS]; /* the entries, with A and D as they must be */
};

/*
 * access_expect - what must happen
 *
 *   After a fault, entries above the leaf may have A set or not: they are given without.
 *   Source  SDM 3A "Access Rights", "Page-Fault Exceptions", "Accessed and Dirty Flags", "Protection Keys"
 */
struct access_result access_expect(const struct access_case *c);

#endif
