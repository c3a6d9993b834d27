/* SPDX-License-Identifier: MIT */
/* mm/slab.h - small blocks: runs of equal slots with a bitmap */
#ifndef MM_SLAB_H
#define MM_SLAB_H

#include "mm/heap_map.h"

#define SLAB_SURE      512  /* sizes up to here live in slabs, always                        */
#define SLAB_MAX       4096 /* and up to here when the heap is large enough not to mind       */
#define SLAB_CLASSES   48   /* general size classes; caches come after them                   */
#define SLAB_CACHE_MAX 4096

/* What a CPU has in a heap: by its owner with interrupts off, unless said otherwise */
struct heap_cpu {
    struct slab     *head[64];  /* per class: first slab with a free slot, or one without slots */
    uint32_t         bytes[64]; /* per class: in slabs                                       */
    uint32_t         n_slabs[64];
    _Atomic uint32_t inbox;     /* [a] slabs with remote frees, through inbox_next           */
    _Atomic uint32_t trim;      /* [a] somebody wants empty slabs given back                 */
    uint64_t         remote_frees;
};

extern struct heap_cpu cpu_none; /* the CPU that has not been here yet */

extern const uint8_t slab_class_of[SLAB_MAX / 16]; /* by (size - 1) / 16 */

/* slab_class_size - bytes of a slot of general class `class` */
uint32_t slab_class_size(unsigned class);

/* slab_next - a slot when that of slab_take has none, or may have none; interrupts off; NULL: no memory */
void *slab_next(struct heap *h, unsigned class) MUST_USE;

/* slab_free - free the slot at p of any CPU's slab. Errors  ERR_NOT_ALLOC  none starts there, or it is free already */
err_t slab_free(struct heap *h, struct slab *s, const void *p);

/* slab_emptied - a slab of this CPU had no block left a moment ago; returns ERR_OK, for heap_free to return */
err_t slab_emptied(struct heap *h, struct slab *s);

/* slab_all - a bit for each slot */
static inline uint64_t slab_all(const struct slab *s) { return ~(uint64_t)0 >> (64 - s->n_slots); }

/* slab_idle - a bit for each slot that is not in use, and for each that does not exist */
static inline uint64_t slab_idle(const struct slab *s)
{
    return atomic_load_explicit(&s->free, memory_order_relaxed) | atomic_load_explicit(&s->remote, memory_order_relaxed);
}

/* slab_used - is this slot in use? */
static inline bool slab_used(const struct slab *s, unsigned slot) { return (slab_idle(s) >> slot & 1) == 0; }

/* slab_owner, slab_listed - whose it is; whether it is on the list of its class there */
static inline struct heap_cpu *slab_owner(const struct slab *s)
{
    return (struct heap_cpu *)(atomic_load_explicit(&s->home, memory_order_relaxed) & ~SLAB_ASIDE);
}

static inline bool slab_listed(const struct slab *s)
{
    return (atomic_load_explicit(&s->home, memory_order_relaxed) & SLAB_ASIDE) == 0;
}

/* slab_trim - this CPU's empty slabs go back to the extents; interrupts off; returns how many */
unsigned slab_trim(struct heap *h);

/* slab_forget_all - the slabs of a heap that goes: their descriptors become unused, their cells the heap's */
void slab_forget_all(struct heap *h);

#endif
