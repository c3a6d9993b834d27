/* SPDX-License-Identifier: MIT */
/*
 * mm/reserve.c - each CPU's word of frames to hand out
 *
 * Promise     a CPU takes and gives back single frames in a few instructions, without a lock, without
 *             an atomic operation and without a cache line that others write; and yet no frame is out
 *             of reach of another CPU, and every wrong free is refused.
 *
 * Idea        A CPU reserves *where to allocate*: the free frames of the lowest word that has any. It
 *             does not hoard what was freed: a frame goes back to where it lies, be it the bitmaps or
 *             the claim it came from. (Handing out again what was freed last scatters live frames over
 *             all memory, and no large block survives.)
 *
 *             It reserves no more than half a word at a time: while it hands that out, what is freed below
 *             waits, and of a kernel's recorded requests whole words left one block of 2 MiB fewer.
 *
 * Picture     a word of 16 frames (of 64), claimed by CPU 2 when seven of them were free
 *
 *               bit             0 1 2 3 4 5 6 7 8 9 a b c d e f
 *               in the chunk    # # h # # h h # h # # h h # # h     #: a block, h: held back
 *               claim.taken     . . 1 . . 1 1 . 1 . . 1 1 . . 1
 *               claim.bits      . . . . . . . . 1 . . 1 1 . . 1     2, 5 and 6 were handed out,
 *               claim.remote    . . . . . 1 . . . . . . . . . .     5 came back, from another CPU
 *               claim.open      . . 1 . . . 1 . 1 . . 1 1 . . 1     what the owner may touch: all but 5
 *
 *             When bits has nothing left (or the claim is taken back) the word is settled: frames that
 *             are out become blocks of one frame, the others free. Until then the chunk holds all of
 *             `taken` back, so that a free of such a frame finds its way here.
 *
 * Exactness   A frame can be given back to a claim if taken, but neither in bits nor in remote. The
 *             owner sets its bit in `bits`; any other CPU, under the chunk's lock, in `remote`. A
 *             frame whose remote bit is set is not handed out again before the word is settled: so
 *             two CPUs that wrongly free one frame at the same moment set two bits for one frame, and it
 *             is free once.
 *
 * Taking back Short of memory, any CPU can have every other's claim. The owner marks itself busy and then
 *             looks at `open`; the taker sets `open` to 0 and then looks at `busy`. Such a pair needs a full
 *             fence on both sides; the owner's would cost more than all else it does, so the taker makes
 *             every CPU run one, once (port_fence_cpus), and then waits for busy to fall. An owner that
 *             finds nothing open looks at `stop` before it gets itself a new word, and again after: that
 *             word may have been opened after the taker closed the one before.
 *
 * Invariants  I1  bits and remote are part of taken, and disjoint but for a wrong free of that moment
 *             I2  the frames of taken are held back in the chunk; no two claims share a frame
 *             I3  base and taken change under the chunk's lock only
 *             I4  open is taken without remote, or 0
 * Locks       fr.returning (38): one taker at a time. Owners take a chunk's lock while busy; a taker waits
 *             for busy without one.
 * Failure     none of its own
 * Sources     Dice, Huang, Yang, "Asymmetric Dekker Synchronization" (2001); Wrenger et al., "LLFree"
 *             (USENIX ATC 2023), which reserves places instead of caching frames
 */
#include "mm/reserve.h"

struct claim claims[2 * PORT_CPUS_MAX] = {
    [0 ... 2 * PORT_CPUS_MAX - 1] = { .base = CLAIM_NONE },
};

/* All claims that can hold anything: number 0 .. n_claims() - 1 */
static unsigned      n_claims(void) { return 2 * port_cpus(); }
static struct claim *claim_no(unsigned i) { return i % 2 == 0 ? claim_of_cpu(i / 2) : stock_of_cpu(i / 2); }

static struct fchunk *chunk_of(const struct claim *c) { return &fr.chunk[claim_get(c->base) >> CHUNK_ORDER]; }

/* Settle the word: what is out becomes blocks, what is not becomes free */
static void settle(struct fchunk *z, struct claim *c) REQUIRES(z->lock)
{
    uint64_t taken = claim_get(c->taken);

    claim_put(c->open, 0);
    uint64_t back = claim_get(c->bits) | atomic_load_explicit(&c->remote, memory_order_acquire);

    chunk_unclaim(&z->c, word_of(chunk_at(pfn(claim_get(c->base)))), taken & ~back, back);
    claim_put(c->base, CLAIM_NONE);
    claim_put(c->taken, 0);
    claim_put(c->bits, 0);
    claim_put(c->remote, 0);
    claim_put(c->clean, 0);
}

void claim_retire(struct claim *c)
{
    if (claim_get(c->base) == CLAIM_NONE)
        return;

    struct fchunk *z = chunk_of(c);
    uint64_t       flags = chunk_lock(z);

    settle(z, c);
    chunk_drop(z, flags);
}

static bool claim_word(struct fchunk *z, struct claim *c, unsigned lo, unsigned hi) REQUIRES(z->lock)
{
    unsigned word;
    uint64_t mask;
    bool     placed;

    do {
        if (!chunk_lowest(&z->c, lo, hi, &word, &mask) || !chunk_cut_ready(z, word << CHUNK_W0, 1, &placed))
            return false;
    } while (placed);
    mask = bits_lowest(mask, CLAIM_FRAMES);
    chunk_claim(&z->c, word, mask);
    claim_put(c->base, chunk_pfn(z, word << CHUNK_W0).idx);
    claim_put(c->taken, mask);
    claim_put(c->bits, mask);
    chunk_settled(z);
    /* One order for all CPUs: either we see stop, or the taker's 0 comes after our mask */
    atomic_store_explicit(&c->open, mask, memory_order_seq_cst); /* pairs with claim_stop */
    if (UNLIKELY(atomic_load_explicit(&c->stop, memory_order_seq_cst) != 0))
        claim_put(c->open, 0);
    return true;
}

bool claim_refill(struct claim *c, uint64_t lo, uint64_t hi)
{
    if (UNLIKELY(atomic_load_explicit(&c->stop, memory_order_acquire) != 0)) /* pairs with claims_return */
        return false;
    claim_retire(c);
    for (uint64_t i = lo >> CHUNK_ORDER; (i = chunks_next(0, i, hi)) != BITS_NONE; i++) {
        struct fchunk *z = chunk_get(i);
        unsigned       window[2];

        chunk_window(i, lo, hi, window);

        uint64_t flags = chunk_lock(z);
        bool     found = claim_word(z, c, window[0], window[1]);

        chunk_unlock(z, flags);
        if (found)
            return true;
    }
    return false;
}

/* The claim that holds f, NULL if none; base and taken stand still while the chunk is locked */
static struct claim *claim_of(pfn_t f)
{
    for (unsigned k = 0; k < n_claims(); k++) {
        struct claim *c = claim_no(k);
        uint64_t      i = f.idx - claim_get(c->base);

        if (i < BITS_WORD && (claim_get(c->taken) & bit((unsigned)i)) != 0)
            return c;
    }
    return NULL;
}

err_t claim_give_remote(struct fchunk *z, pfn_t f, bool single)
{
    struct claim *c = claim_of(f);

    (void)z;
    if (c == NULL)
        return ERR_RESERVED;

    uint64_t me = bit((unsigned)(f.idx - claim_get(c->base)));

    if (((claim_get(c->bits) | claim_get(c->remote)) & me) != 0)
        return ERR_NOT_ALLOC;
    if (!single)
        return ERR_ORDER;
    /* release: what was done with the frame is done before the next owner has it (acquired in settle) */
    if ((atomic_fetch_or_explicit(&c->remote, me, memory_order_acq_rel) & me) != 0)
        return ERR_NOT_ALLOC;
    atomic_fetch_and_explicit(&c->open, ~me, memory_order_relaxed);
    return ERR_OK;
}

bool claim_look(const struct fchunk *z, pfn_t f, bool *out)
{
    const struct claim *c = claim_of(f);

    (void)z;
    if (c == NULL)
        return false;
    *out = ((claim_get(c->bits) | claim_get(c->remote)) >> (f.idx - claim_get(c->base)) & 1) == 0;
    return true;
}

static bool has_frames(const struct claim *c) { return (claim_get(c->bits) | claim_get(c->remote)) != 0; }

/* Keep the owner off its claim, from the next fence of its CPU on */
static void claim_stop(struct claim *c)
{
    atomic_store_explicit(&c->stop, 1, memory_order_seq_cst);
    atomic_store_explicit(&c->open, 0, memory_order_seq_cst);
}

bool claims_return(void)
{
    uint64_t flags = irqlock_take(&fr.returning);
    unsigned me = port_cpu(), n = n_claims();
    bool     any = false;

    for (unsigned i = 0; i < n; i++)
        if (i / 2 != me)
            claim_stop(claim_no(i));
    if (port_cpus() > 1)
        port_fence_cpus();
    for (unsigned i = 0; i < n; i++) {
        struct claim *c = claim_no(i);

        while (i / 2 != me && atomic_load_explicit(&c->busy, memory_order_acquire) != 0) /* pairs with claim_leave */
            port_relax();
        any = any || has_frames(c);
        claim_retire(c);
        atomic_store_explicit(&c->stop, 0, memory_order_release); /* pairs with claim_refill */
    }
    irqlock_drop(&fr.returning, flags);
    return any;
}

bool claims_hold(const struct fchunk *z, unsigned at, unsigned n)
{
    uint64_t lo = chunk_pfn(z, at).idx;

    for (unsigned i = 0; i < n_claims(); i++) {
        uint64_t base = claim_get(claim_no(i)->base);

        for (uint64_t x = base == CLAIM_NONE ? 0 : claim_get(claim_no(i)->taken); x != 0; x &= x - 1)
            if (base + bits_first(x) - lo < n)
                return true;
    }
    return false;
}

void claims_forget(void)
{
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        claim_put(claims[i].base, CLAIM_NONE);
        claim_put(claims[i].taken, 0);
        claim_put(claims[i].open, 0);
        claim_put(claims[i].bits, 0);
        claim_put(claims[i].remote, 0);
        claim_put(claims[i].clean, 0);
    }
}

struct claims_count claims_count(uint64_t lo, uint64_t hi)
{
    struct claims_count n = { 0, 0 };

    for (unsigned i = 0; i < n_claims(); i++) {
        const struct claim *c = claim_no(i);
        uint64_t            base = claim_get(c->base), ready = claim_get(c->bits) | claim_get(c->remote);

        if (base >= lo && base < hi) {
            n.taken += bits_count(claim_get(c->taken));
            n.ready += bits_count(ready);
        }
    }
    return n;
}

const char *claims_check(const struct fchunk *z)
{
    for (unsigned i = 0; i < n_claims(); i++) {
        const struct claim *c = claim_no(i);
        uint64_t            base = claim_get(c->base), taken = claim_get(c->taken);

        if (base == CLAIM_NONE ? taken != 0 : taken == 0)
            return "a claim without a word, or a word without a claim";
        if (((claim_get(c->bits) | claim_get(c->remote)) & ~taken) != 0)
            return "a claim hands out what it has not taken";
        if (claim_get(c->open) != (taken & ~claim_get(c->remote)))
            return "a claim's owner may touch too much, or too little";
        if (base == CLAIM_NONE || base >> CHUNK_ORDER != (uint64_t)(z - fr.chunk))
            continue;
        for (uint64_t x = taken; x != 0; x &= x - 1)
            if (!chunk_is_reserved(&z->c, chunk_at(pfn(base)) + bits_first(x), 1))
                return "a claimed frame is not held back";
        for (unsigned other = 0; other < i; other++)
            if (claim_get(claim_no(other)->base) == base && (claim_get(claim_no(other)->taken) & taken) != 0)
                return "two claims share a frame";
    }
    return NULL;
}
