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
    struct slab     *head[64];  /* per class: first slab with a free slot, or &slab_none     */
    uint32_t         bytes[64]; /* per class: in slabs                                       */
    uint32_t         n_slabs[64];
    _Atomic uint32_t inbox;     /* [a] slabs with remote frees, through inbox_next           */
    _Atomic uint32_t trim;      /* [a] somebody wants empty slabs given back                 */
    uint64_t         remote_frees;
};

extern struct slab     slab_none; /* the slab without slots: ends lists, saves tests */
extern struct heap_cpu cpu_none;  /* the CPU that has not been here yet              */

extern const uint8_t slab_class_of[SLAB_MAX / 16 + 1]; /* by (size + 15) / 16 */

/* slab_class_size - bytes of a slot of general class `class` */
uint32_t slab_class_size(unsigned class);

/* slab_refill - a slot when head[class] has none; interrupts off; NULL: no memory */
void *slab_refill(struct heap *h, unsigned class) MUST_USE;

/* slab_free_remote - free a slot of another CPU's slab. Errors  ERR_NOT_ALLOC  it is free already */
err_t slab_free_remote(struct heap *h, struct slab *s, uint64_t bit);

/* slab_changed - one of our own slabs got free slots, and is empty now or was full; interrupts off */
void slab_changed(struct heap *h, struct slab *s);

/* slab_used - is the slot of this bit in use? */
static inline bool slab_used(const struct slab *s, uint64_t bit)
{
    uint64_t idle = atomic_load_explicit(&s->free, memory_order_relaxed) |
                    atomic_load_explicit(&s->remote, memory_order_relaxed);

    return (idle & bit) == 0;
}

/* slab_trim - this CPU's empty slabs go back to the extents; interrupts off; returns how many */
unsigned slab_trim(struct heap *h);

/* slab_forget_all - the slabs of a heap that goes: their descriptors become unused, their cells the heap's */
void slab_forget_all(struct heap *h);

#endif
