/* SPDX-License-Identifier: MIT */
/* mm/slab.h - small blocks: runs of equal slots with a bitmap */
#ifndef MM_SLAB_H
#define MM_SLAB_H

#include "mm/heap_map.h"

#define SLAB_MAX       512 /* largest general size                        */
#define SLAB_CLASSES   24  /* general size classes; caches come after them */
#define SLAB_CACHE_MAX 4096

struct slab_class {
    uint32_t size;  /* of a slot, 0: class is not in use                 */
    uint32_t recip; /* ceil(2^32 / size): offset * recip >> 32 = slot     */
};

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

/* slab_classes - fill in the general size classes */
void slab_classes(struct slab_class class[SLAB_CLASSES]);

static inline uint32_t slab_recip(uint32_t size) { return (uint32_t)((((uint64_t)1 << 32) + size - 1) / size); }

/* slab_slot - take the lowest free slot, `free` being the slab's bits, not 0 */
static inline void *slab_slot(const struct heap_map *m, struct slab *s, uint64_t free, uint32_t size)
{
    atomic_store_explicit(&s->free, free & (free - 1), memory_order_relaxed);
    return (char *)grain_ptr(m, s->grain) + (uint32_t)__builtin_ctzll(free) * size;
}

/* slab_refill - a slot when head[class] has none; interrupts off; NULL: no memory */
void *slab_refill(struct heap *h, unsigned class) MUST_USE;

/* slab_find - slot of s that holds p: ERR_OK only for the start of a slot (used or free), else ERR_INSIDE */
err_t slab_find(const struct heap *h, const struct slab *s, const void *p, unsigned *slot) MUST_USE;

/* slab_free - free a slot; interrupts off. Errors  ERR_NOT_ALLOC  it is free already */
err_t slab_free(struct heap *h, struct slab *s, unsigned slot);

/* slab_used - is the slot in use? */
static inline bool slab_used(const struct slab *s, unsigned slot)
{
    uint64_t idle = atomic_load_explicit(&s->free, memory_order_relaxed) |
                    atomic_load_explicit(&s->remote, memory_order_relaxed);

    return (idle >> slot & 1) == 0;
}

/* slab_trim - this CPU's empty slabs go back to the extents; interrupts off; returns how many */
unsigned slab_trim(struct heap *h);

/* slab_forget_all - the slabs of a heap that goes: their descriptors become unused, their cells the heap's */
void slab_forget_all(struct heap *h);

#endif
