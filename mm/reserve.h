/* SPDX-License-Identifier: MIT */
/*
 * mm/reserve.h - each CPU's word of frames to hand out (internal to the frame manager)
 *
 * mm/reserve.c tells how it works and why it is safe.
 */
#ifndef MM_RESERVE_H
#define MM_RESERVE_H

#include "mm/frame_in.h"

#define CLAIM_NONE   UINT64_MAX
#define CLAIM_FRAMES (WORD_FRAMES / 2) /* the most that is reserved at once */

/*
 * Frames of one word that a CPU hands out. Bit i stands for frame `base` + i. Only its CPU writes the
 * first four, under `busy`; all are atomics because others look.
 */
struct claim {
    _Atomic uint64_t base;   /* [z] first frame of the word; CLAIM_NONE: no claim; written under the chunk's lock */
    _Atomic uint64_t taken;  /* [z] the frames that were claimed; they are held back in the chunk  */
    _Atomic uint64_t bits;   /* [p] those of them still to be handed out                         */
    _Atomic uint64_t open;   /* [a] taken without remote; 0 while another CPU wants the claim      */
    _Atomic uint32_t busy;   /* [p] this CPU is at work on the claim                             */
    _Atomic uint32_t stop;   /* [a] another CPU wants it: no new word                            */
    _Atomic uint64_t remote; /* [a] frames that were handed out and that other CPUs gave back    */
    _Atomic uint64_t clean;  /* [p] of a stock of zeroed frames (mm/zero.c): those of bits that are zeroed */
} __attribute__((aligned(64)));

/* Each CPU's claim, and behind them each CPU's stock of zeroed frames */
extern struct claim claims[2 * PORT_CPUS_MAX];

static inline struct claim *claim_of_cpu(unsigned cpu) { return &claims[cpu]; }
static inline struct claim *stock_of_cpu(unsigned cpu) { return &claims[PORT_CPUS_MAX + cpu]; }

/* Relaxed loads and stores of a claim's fields: plain moves */
#define claim_get(field)    atomic_load_explicit(&(field), memory_order_relaxed)
#define claim_put(field, x) atomic_store_explicit(&(field), (x), memory_order_relaxed)

/*
 * claim_enter - this CPU is at work on its claim until claim_leave(). Interrupts are off.
 *
 *   The store to `busy` and the load of `open` that follows need a full fence between them; the CPU that sets
 *   `open` to 0 provides it for both with port_fence_cpus(), because it comes here once in a million times.
 */
static inline void claim_enter(struct claim *c)
{
    claim_put(c->busy, 1);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void claim_leave(struct claim *c)
{
    atomic_store_explicit(&c->busy, 0, memory_order_release); /* pairs with claims_return's wait */
}

/* claim_take - one frame from the claim, if it has any; entered */
static inline bool claim_take(struct claim *c, pfn_t *out)
{
    uint64_t bits = claim_get(c->bits), ready = bits & claim_get(c->open);

    if (UNLIKELY(ready == 0))
        return false;
    out->idx = claim_get(c->base) + bits_first(ready);
    claim_put(c->bits, bits & ~bit(bits_first(ready)));
    return true;
}

/* claim_give - f was handed out by this claim and not given back yet: so now it is given back; entered */
static inline bool claim_give(struct claim *c, pfn_t f)
{
    uint64_t i = f.idx - claim_get(c->base), bits = claim_get(c->bits);

    if (i >= BITS_WORD || (claim_get(c->open) & ~bits & bit((unsigned)i)) == 0)
        return false;
    claim_put(c->bits, bits | bit((unsigned)i));
    return true;
}

/* claim_refill - a new word for this CPU's claim, from [lo, hi); entered; false: none is free there, or it is stopped */
bool claim_refill(struct claim *c, uint64_t lo, uint64_t hi);

/* claim_refill_default - the same from where requests without a limit look */
bool claim_refill_default(struct claim *c);

/* claim_retire - give back what the claim has left; entered (or stopped by us) */
void claim_retire(struct claim *c);

/*
 * claim_give_remote - frame f, held back in chunk z, may have been handed out by some CPU's claim
 *
 *   single  the caller means a block of one frame
 *
 *   ERR_OK: it is given back.  ERR_NOT_ALLOC: it was not handed out.  ERR_RESERVED: no claim has it.
 *   ERR_ORDER: it is a block of one frame
 */
err_t claim_give_remote(struct fchunk *z, pfn_t f, bool single) REQUIRES(z->lock);

/* claim_look - is f reserved by a CPU? Then *out tells whether it was handed out */
bool claim_look(const struct fchunk *z, pfn_t f, bool *out) REQUIRES(z->lock);

/* claims_return - take back all reservations of all CPUs; true if any frame became free by it */
bool claims_return(void);

/* claims_hold - does a CPU's claim have a frame of [at, at + n)? */
bool claims_hold(const struct fchunk *z, unsigned at, unsigned n) REQUIRES(z->lock);

/* claims_forget - no CPU has a claim: for frame_start() */
void claims_forget(void);

/* claims_count - of the frames in [lo, hi): how many CPUs claimed, and have not handed out */
struct claims_count {
    uint64_t taken, ready;
};
struct claims_count claims_count(uint64_t lo, uint64_t hi);

/* claims_check - the claims on words of chunk z are as they should be; NULL or what is wrong */
const char *claims_check(const struct fchunk *z) REQUIRES(z->lock);

#endif
