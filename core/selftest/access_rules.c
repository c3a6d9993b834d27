/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/access_rules.c - the oracle of the access matrix
 *
 *   each level, from the top     P = 0                                      fault 0
 *                                a reserved bit                             fault P, RSVD
 *   then, W and U the AND of all levels, X if no level has NX
 *     ring 3      any            !U                                         fault P
 *                 write          !W                                         fault P
 *                 fetch          !X                                         fault P
 *     kernel      write          !W and CR0.WP                              fault P
 *                 fetch          !X, or U and CR4.SMEP                      fault P
 *                 data           U and CR4.SMAP and EFLAGS.AC = 0           fault P
 *     user pages  data, CR4.PKE  AD[key], or a write, WD[key], ring 3 or WP fault P, PK
 *   no fault                     A in every entry, D in the leaf on a write
 *
 * The code also says W for a write, U for ring 3, and I for a fetch if NXE or SMEP is on. Written apart
 * from mm/: it shares the numbers of the bits with the manual, and nothing with the mapper.
 */
#include "core/selftest/access_rules.h"

#define BIT(n) ((uint64_t)1 << (n))

enum { P = 0, W = 1, U = 2, A = 5, D = 6, PS = 7, NX = 63 };
enum { ERR_P = 1, ERR_W = 2, ERR_U = 4, ERR_RSVD = 8, ERR_I = 16, ERR_PK = 32 };

static uint64_t ones(unsigned low, unsigned high) { return high < low ? 0 : (BIT(high - low + 1) - 1) << low; }

static bool reserved(const struct access_case *c, uint64_t e, unsigned level)
{
    uint64_t must_be_0 = ones(c->phys_bits, 51);

    if (!c->nxe)
        must_be_0 |= BIT(NX);
    if (level >= 4)
        must_be_0 |= BIT(PS);
    if (level == 3 && (e & BIT(PS)) != 0)
        must_be_0 |= ones(13, 29);
    if (level == 2 && (e & BIT(PS)) != 0)
        must_be_0 |= ones(13, 20);
    return (e & must_be_0) != 0;
}

static bool key_refuses(const struct access_case *c, bool user_page)
{
    unsigned key = (unsigned)(c->entry[c->leaf] >> 59 & 15), rights = c->pkru >> (2 * key) & 3;

    if (!c->pke || c->fetch || !(user_page || c->keys_by_cpl))
        return false;
    return ((rights & 1) != 0 && !(c->keys_by_cpl && !c->user)) ||
           (c->write && (rights & 2) != 0 && (c->user || c->wp));
}

static bool rights_refuse(const struct access_case *c, bool w, bool u, bool x)
{
    if (c->fetch && !x)
        return true;
    if (c->user)
        return !u || (c->write && !w);
    if (c->fetch)
        return u && c->smep;
    return (c->write && !w && c->wp) || (u && c->smap && !c->ac);
}

struct access_result access_expect(const struct access_case *c)
{
    struct access_result r = { .fault = true };
    bool                 w = true, u = true, x = true;
    uint32_t             how = (c->write ? ERR_W : 0) | (c->user ? ERR_U : 0);

    if (c->fetch && (c->nxe || c->smep))
        how |= ERR_I;
    for (unsigned level = 1; level < ACCESS_LEVELS; level++)
        r.after[level] = c->entry[level];
    for (unsigned level = c->levels; level >= c->leaf; level--) {
        uint64_t e = c->entry[level];

        r.error = how;
        if ((e & BIT(P)) == 0)
            return r;
        r.error = how | ERR_P | ERR_RSVD;
        if (reserved(c, e, level))
            return r;
        w = w && (e & BIT(W)) != 0;
        u = u && (e & BIT(U)) != 0;
        x = x && (e & BIT(NX)) == 0;
    }
    r.error = how | ERR_P | (key_refuses(c, u) ? ERR_PK : 0);
    if ((r.error & ERR_PK) != 0 || rights_refuse(c, w, u, x))
        return r;
    r.fault = false;
    r.error = 0;
    for (unsigned level = c->leaf; level <= c->levels; level++)
        r.after[level] |= BIT(A);
    if (c->write)
        r.after[c->leaf] |= BIT(D);
    return r;
}
