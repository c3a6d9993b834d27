/* SPDX-License-Identifier: MIT */
/*
 * mm/slab.c - small blocks: first fit on a bitmap
 *
 * Promise     A small block costs a handful of instructions, and less than an eighth of it is waste. The
 *             lowest free slot of the lowest slab at hand is taken first. No lock is touched in the
 *             common case, also not when a block is freed by a CPU that doesn't own its slab.
 *
 * Picture     a slab is an extent of up to 64 slots that starts at a multiple of 1 KiB; its bits lie in
 *             its descriptor, far from the slots
 *
 *               bit      0   1   2   3   4 ...                 head[class] of the CPU
 *               slot   | U | F | U | U | F | ...                    |
 *               free     0   1   0   0   1      owner's         slab 3  -> slab 9 -> none
 *               remote   0   0   0   1   0      everybody's     (each with a free slot; full ones
 *                                                                are on no list: they are aside)
 *
 *             Slot 3 was freed by another CPU: it set the bit in `remote` with one atomic OR. The CPU
 *             whose bit is the first there also puts the slab into its owner's inbox, a stack. The
 *             owner empties the inbox when its list runs dry. Bits behind the last slot are always
 *             set in `remote`: no slot that does not exist can be freed, and the same test says so.
 *
 *             One comparison tells the short way of a free that a slab is this CPU's, of this heap, and on
 *             a list: `home` is then the address of what the CPU has in the heap.
 *
 *             Slabs of a class start small and grow with the class: a new one gets a eighth of what the
 *             class has already, between 1 KiB and 64 slots. Heaps of any size waste little on
 *             half-empty slabs. A slab that becomes empty goes back to the extents, unless it is the only one on
 *             its list; then it goes when the heap is trimmed, as it is before a request fails.
 *
 * Invariants  I1  free and remote have no bit in common; at or above n_slots remote has all, free none
 *             I2  slab is not aside == it is on its owner's list of its class; then free != 0, if it was not the first there when its last slot went
 *             I3  remote has a slot's bit: the slab is in its owner's inbox, or about to be put there or taken from there
 *             I4  the cells a slab covers name it, and are its own as a whole
 * Locks       a CPU's lists and the `free` words of its slabs: interrupts off, on that CPU only.
 *             Making and unmaking slabs takes heap->lock.
 * Failure     no extent or no descriptor: NULL. A wrong free is refused before anything has changed.
 * Sources     Bonwick, The Slab Allocator (1994); Leijen, Zorn, de Moura, mimalloc (2019): frees
 *             sorted by page and sent home; here bitmaps take the place of lists in the blocks.
 */
#include "mm/slab.h"

#include "mm/heap_core.h"
#include "mm/slab_fast.h"

static struct slab no_slots = { .start = UINTPTR_MAX };
struct heap_cpu    cpu_none = { .head = { [0 ... 63] = &no_slots } };

/* ---- classes ------------------------------------------------------------------------------- */

/* 16..256 in steps of 16, then eight to a doubling: at most an eighth of waste */
#define X2(c) c, c
#define X4(c) X2(c), X2(c)
#define X8(c) X4(c), X4(c)
#define X16(c) X8(c), X8(c)
const uint8_t slab_class_of[SLAB_MAX / 16] = {
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    X2(16), X2(17), X2(18), X2(19), X2(20), X2(21), X2(22), X2(23),
    X4(24), X4(25), X4(26), X4(27), X4(28), X4(29), X4(30), X4(31),
    X8(32), X8(33), X8(34), X8(35), X8(36), X8(37), X8(38), X8(39),
    X16(40), X16(41), X16(42), X16(43), X16(44), X16(45), X16(46), X16(47),
};

uint32_t slab_class_size(unsigned class)
{
    unsigned doubling = class / 8 - 1; /* of 128 bytes, from class 16 on */

    return class < 16 ? (class + 1) * 16 : (128u << doubling) + (class % 8 + 1) * (16u << doubling);
}

/* ---- a CPU's lists ------------------------------------------------------------------------- */

static uint32_t         id_of(const struct heap_map *m, const struct slab *s) { return (uint32_t)(s - m->slabs); }
static uint64_t free_bits(const struct slab *s) { return atomic_load_explicit(&s->free, memory_order_relaxed); }

static inline void unlist(struct heap *h, struct heap_cpu *c, struct slab *s)
{
    struct heap_map *m = h->map;
    struct slab     *next = map_slab(m, s->next);

    if (s->next != SLAB_NONE)
        next->prev = s->prev;
    if (s->prev != SLAB_NONE)
        map_slab(m, s->prev)->next = s->next;
    else
        c->head[s->class] = next;
    atomic_store_explicit(&s->home, (uintptr_t)c + SLAB_ASIDE, memory_order_relaxed);
}

#define LIST_STEPS 3 /* how far an address is looked for its place */

/* s is higher than the first of its list. */
static NOINLINE void list_behind(struct heap *h, struct heap_cpu *c, struct slab *s)
{
    struct heap_map *m = h->map;
    struct slab     *after = c->head[s->class];
    struct slab     *at = map_slab(m, after->next);

    for (unsigned steps = 1; at->start < s->start && steps < LIST_STEPS; steps++) {
        after = at;
        at = map_slab(m, at->next);
    }
    s->prev = id_of(m, after);
    s->next = after->next;
    after->next = id_of(m, s);
    if (s->next != SLAB_NONE)
        at->prev = after->next;
}

/* Lower slabs come first, as far as a short walk can tell; the one that ends lists is the highest. */
static inline void list(struct heap *h, struct heap_cpu *c, struct slab *s)
{
    struct slab *first = c->head[s->class];

    if (first->start < s->start) {
        list_behind(h, c, s);
    } else {
        s->prev = SLAB_NONE;
        s->next = id_of(h->map, first);
        if (s->next != SLAB_NONE)
            first->prev = id_of(h->map, s);
        c->head[s->class] = s;
    }
    atomic_store_explicit(&s->home, (uintptr_t)c, memory_order_relaxed);
}

/* ---- making and unmaking slabs ------------------------------------------------------------- */

static uint32_t cells_of(uint32_t n_slots, uint32_t size) { return (n_slots * size + (uint32_t)CELL_BYTES - 1) / (uint32_t)CELL_BYTES; }

static void name_cells(struct heap *h, const struct slab *s, uint32_t name)
{
    uint32_t *cell = &h->map->cells[(s->start - h->map->base) >> CELL_SHIFT];

    for (uint32_t *end = cell + cells_of(s->n_slots, s->size); cell < end; cell++)
        *cell = name;
}

/* How many slots a class's next slab should have: what is wanted, and what fits into the last cell. */
static uint32_t slots_wanted(const struct heap_cpu *c, unsigned class, uint32_t size)
{
    uint64_t bytes = max_u64(CELL_BYTES, c->bytes[class] / 8);
    uint32_t n = (uint32_t)min_u64(64, max_u64(bytes / size, 2));

    return (uint32_t)min_u64(64, cells_of(n, size) * CELL_BYTES / size);
}

static struct slab *slab_make(struct heap *h, struct heap_cpu *c, unsigned class) REQUIRES(&h->lock)
{
    struct heap_map *m = h->map;
    uint32_t         size = h->class_size[class];
    uint32_t         n = slots_wanted(c, class, size);
    uint32_t         id, grain;

    if (heap_map_slab_new(m, &id) != ERR_OK)
        return NULL;
    grain = extent_alloc(h, cells_of(n, size) * GRAINS_PER_CELL, GRAINS_PER_CELL);
    if (grain == 0) {
        heap_map_slab_put(m, id);
        return NULL;
    }

    struct slab *s = map_slab(m, id);

    *s = (struct slab){ .start = (uintptr_t)grain_ptr(m, grain),
                        .recip = UINT32_MAX / size + 1,
                        .home = (uintptr_t)c + SLAB_ASIDE,
                        .heap = h,
                        .size = (uint16_t)size,
                        .class = (uint8_t)class,
                        .n_slots = (uint8_t)n };
    atomic_store_explicit(&s->free, slab_all(s), memory_order_relaxed);
    atomic_store_explicit(&s->remote, ~slab_all(s), memory_order_relaxed);
    name_cells(h, s, id);
    return s;
}

/* An empty slab's memory goes back to the extents. */
static void slab_unmake(struct heap *h, struct heap_cpu *c, struct slab *s) REQUIRES(&h->lock)
{
    uint32_t grain = grain_of(h->map, (void *)s->start);

    c->bytes[s->class] -= (uint32_t)s->n_slots * s->size;
    c->n_slabs[s->class]--;
    heap_cache_leave(h, s);
    name_cells(h, s, h->tag);
    heap_map_slab_put(h->map, id_of(h->map, s));
    if (!extent_free(h, grain))
        PANIC("the memory of a slab is free already");
}

/* Every empty slab on this CPU's lists goes. */
static unsigned unmake_empty(struct heap *h, struct heap_cpu *c) REQUIRES(&h->lock)
{
    unsigned n = 0;

    for (unsigned class = 0; class < HEAP_CLASSES; class++)
        for (struct slab *s = c->head[class], *next; s->n_slots != 0; s = next) {
            next = map_slab(h->map, s->next);
            if (free_bits(s) == slab_all(s)) {
                unlist(h, c, s);
                slab_unmake(h, c, s);
                n++;
            }
        }
    return n;
}

void slab_forget_all(struct heap *h)
{
    struct heap_map *m = h->map;

    for (uint64_t cell = h->page_low * CELLS_PER_PAGE; cell < heap_page_end(h) * CELLS_PER_PAGE; cell++) {
        uint32_t     id = m->cells[cell];
        struct slab *s = map_slab(m, id);

        if (s->heap == h && id != h->tag) {
            name_cells(h, s, h->tag);
            heap_map_slab_put(m, id);
        }
    }
}

/* ---- frees ----------------------------------------------------------------------------------- */

/* An empty slab goes, unless it is the only one on its list. */
static NOINLINE void unmake_if_empty(struct heap *h, struct heap_cpu *c, struct slab *s)
{
    if (free_bits(s) != slab_all(s) || (s->next | s->prev) == SLAB_NONE)
        return;

    uint64_t flags = heap_lock(h);

    unlist(h, c, s);
    slab_unmake(h, c, s);
    heap_unlock(h, flags);
}

/* Much may have happened since it was emptied: an interrupt, or this thread runs on another CPU now. */
NOINLINE err_t slab_emptied(struct heap *h, struct slab *s)
{
    uint64_t         flags = port_irq_save();
    struct heap_cpu *c = slab_cpu(h);

    if (atomic_load_explicit(&s->home, memory_order_relaxed) == (uintptr_t)c)
        unmake_if_empty(h, c, s);
    port_irq_restore(flags);
    return ERR_OK;
}

/* One of our own slabs got free slots. */
static inline void changed(struct heap *h, struct heap_cpu *c, struct slab *s, uint64_t idle)
{
    if (!slab_listed(s))
        list(h, c, s);
    if (UNLIKELY(idle == ~(uint64_t)0))
        unmake_if_empty(h, c, s);
}

/* Frees from other CPUs come home. */
static void inbox_empty(struct heap *h, struct heap_cpu *c)
{
    uint32_t id = atomic_exchange_explicit(&c->inbox, SLAB_NONE, memory_order_acquire); /* pairs with post() */

    while (id != SLAB_NONE) {
        struct slab *s = map_slab(h->map, id);

        /* Once `remote` has no slot's bit the slab may be posted again at any time: its link is read before. */
        id = atomic_load_explicit(&s->inbox_next, memory_order_relaxed);

        uint64_t none = ~slab_all(s);
        uint64_t bits = atomic_exchange_explicit(&s->remote, none, memory_order_acquire) & ~none;

        c->remote_frees += (uint64_t)__builtin_popcountll(bits);
        atomic_store_explicit(&s->free, free_bits(s) | bits, memory_order_relaxed);
        changed(h, c, s, slab_idle(s));
    }
}

/* Tell the owner that s has remote frees. */
static void post(struct heap *h, struct slab *s)
{
    struct heap_cpu *owner = slab_owner(s);
    uint32_t         first = atomic_load_explicit(&owner->inbox, memory_order_relaxed);

    do
        atomic_store_explicit(&s->inbox_next, first, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&owner->inbox, &first, id_of(h->map, s), memory_order_release,
                                                  memory_order_relaxed)); /* pairs with inbox_empty() */
}

static err_t free_remote(struct heap *h, struct slab *s, uint64_t bit)
{
    uint64_t none = ~slab_all(s); /* read before it is freed: then it is the owner's, who may unmake it */

    if ((free_bits(s) & bit) != 0)
        return ERR_NOT_ALLOC;

    uint64_t before = atomic_fetch_or_explicit(&s->remote, bit, memory_order_release); /* pairs with inbox_empty() */

    if (UNLIKELY((before & bit) != 0))
        return ERR_NOT_ALLOC;
    if (before == none)
        post(h, s);
    return ERR_OK;
}

err_t slab_free(struct heap *h, struct slab *s, const void *p)
{
    uint64_t         flags = port_irq_save();
    struct heap_cpu *c = slab_cpu(h);
    err_t            err = ERR_NOT_ALLOC;
    uint64_t         idle;
    unsigned         slot;

    if (LIKELY(slab_owner(s) == c)) {
        idle = slab_give(s, p);
        if (LIKELY(idle != 0)) {
            changed(h, c, s, idle);
            err = ERR_OK;
        }
    } else if (slab_exact(s, p, &slot)) {
        err = free_remote(h, s, (uint64_t)1 << slot);
    }
    port_irq_restore(flags);
    return err;
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* This CPU's first visit. */
static struct heap_cpu *cpu_enter(struct heap *h)
{
    uint64_t         flags = heap_lock(h);
    struct heap_cpu *c = heap_private(h, sizeof *c);

    if (c != NULL) {
        for (unsigned class = 0; class < ARRAY_LEN(c->head); class++)
            c->head[class] = map_slab(h->map, SLAB_NONE);
        h->cpu[port_cpu()] = c;
    }
    heap_unlock(h, flags);
    return c;
}

/* A new slab: the list of its class has run dry. */
static bool slab_new(struct heap *h, struct heap_cpu *c, unsigned class)
{
    uint64_t     flags = heap_lock(h);
    struct slab *s = slab_make(h, c, class);

    heap_unlock(h, flags);
    if (s == NULL)
        return false;
    c->bytes[class] += (uint32_t)s->n_slots * s->size;
    c->n_slabs[class]++;
    heap_cache_enter(h, s);
    list(h, c, s);
    return true;
}

/* The lists have nothing: what other CPUs freed comes home, or a new slab is made. */
static NOINLINE void *refill(struct heap *h, unsigned class)
{
    struct heap_cpu *c = slab_cpu(h);

    if (UNLIKELY(c == &cpu_none)) {
        c = cpu_enter(h);
        if (c == NULL)
            return NULL;
    }
    if (UNLIKELY(atomic_load_explicit(&c->trim, memory_order_relaxed) != 0))
        (void)slab_trim(h);
    if (atomic_load_explicit(&c->inbox, memory_order_relaxed) != SLAB_NONE)
        inbox_empty(h, c);

    if (free_bits(c->head[class]) == 0 && !slab_new(h, c, class))
        return NULL;
    return slab_take(c->head[class]);
}

void *slab_next(struct heap *h, unsigned class)
{
    struct heap_cpu *c = slab_cpu(h);
    struct slab     *s = c->head[class];

    for (; free_bits(s) == 0 && s->n_slots != 0; s = c->head[class])
        unlist(h, c, s);

    void *p = slab_take(s);

    return LIKELY(p != NULL) ? p : refill(h, class);
}

unsigned slab_trim(struct heap *h)
{
    struct heap_cpu *c = slab_cpu(h);

    if (c == &cpu_none)
        return 0;
    atomic_store_explicit(&c->trim, 0, memory_order_relaxed);
    inbox_empty(h, c);

    uint64_t flags = heap_lock(h);
    unsigned n = unmake_empty(h, c);

    heap_unlock(h, flags);
    return n;
}
