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
 *               remote   0   0   0   1   0      everybody's     (each with a free slot;
 *                                                                full ones are on no list)
 *
 *             Slot 3 was freed by another CPU: it set the bit in `remote` with one atomic OR. The CPU
 *             that turns `remote` from 0 to something also puts the slab into its owner's inbox,
 *             a stack. The owner empties the inbox when its list runs dry.
 *
 *             Slabs of a class start small and grow with the class: a new one gets a eighth of what the
 *             class has already, between 1 KiB and 64 slots. Heaps of any size waste little on
 *             half-empty slabs. A slab that becomes empty goes back to the extents, unless it is the only one on
 *             its list; then it goes when the heap would have to grow otherwise, or is trimmed.
 *
 * Invariants  I1  free and remote have no bit in common, and none at or above n_slots
 *             I2  slab is listed == it is on its owner's list of its class; then (but for the head) free != 0
 *             I3  remote != 0: the slab is in its owner's inbox, or about to be put there or taken from there
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

struct slab     slab_none;
struct heap_cpu cpu_none = {
    .head = { [0 ... 63] = &slab_none },
};

/* ---- classes ------------------------------------------------------------------------------- */

/* 16..256 in steps of 16, then eight to a doubling: at most an eighth of waste */
#define X2(c) c, c
#define X4(c) X2(c), X2(c)
#define X8(c) X4(c), X4(c)
#define X16(c) X8(c), X8(c)
const uint8_t slab_class_of[SLAB_MAX / 16 + 1] = {
    0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
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

static struct heap_cpu *this_cpu(const struct heap *h) { return h->cpu[port_cpu()]; }
static uint32_t         id_of(const struct heap_map *m, const struct slab *s) { return (uint32_t)(s - m->slabs); }
static uint64_t free_bits(const struct slab *s) { return atomic_load_explicit(&s->free, memory_order_relaxed); }

static void unlist(struct heap *h, struct heap_cpu *c, struct slab *s)
{
    struct heap_map *m = h->map;

    if (s->next != SLAB_NONE)
        map_slab(m, s->next)->prev = s->prev;
    if (s->prev != SLAB_NONE)
        map_slab(m, s->prev)->next = s->next;
    else
        c->head[s->class] = s->next != SLAB_NONE ? map_slab(m, s->next) : &slab_none;
    s->listed = false;
}

#define LIST_STEPS 3 /* how far an address is looked for its place */

/* Lower slabs come first, as far as a short walk can tell. */
static void list(struct heap *h, struct heap_cpu *c, struct slab *s)
{
    struct heap_map *m = h->map;
    struct slab     *after = NULL;
    struct slab     *at = c->head[s->class];

    for (unsigned steps = 0; at != &slab_none && at->grain < s->grain && steps < LIST_STEPS; steps++) {
        after = at;
        at = at->next != SLAB_NONE ? map_slab(m, at->next) : &slab_none;
    }
    s->next = at != &slab_none ? id_of(m, at) : SLAB_NONE;
    if (at != &slab_none)
        at->prev = id_of(m, s);
    s->prev = after != NULL ? id_of(m, after) : SLAB_NONE;
    if (after != NULL)
        after->next = id_of(m, s);
    else
        c->head[s->class] = s;
    s->listed = true;
}

/* ---- making and unmaking slabs ------------------------------------------------------------- */

static uint32_t cells_of(uint32_t n_slots, uint32_t size) { return (n_slots * size + (uint32_t)CELL_BYTES - 1) / (uint32_t)CELL_BYTES; }

static void name_cells(struct heap *h, const struct slab *s, uint32_t name)
{
    uint32_t cell = s->grain / GRAINS_PER_CELL;

    for (uint32_t end = cell + cells_of(s->n_slots, s->size); cell < end; cell++)
        h->map->cells[cell] = name;
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

    *s = (struct slab){ .all = ~(uint64_t)0 >> (64 - n),
                        .heap = h,
                        .grain = grain,
                        .recip = (uint32_t)((((uint64_t)1 << 32) + size - 1) / size),
                        .size = (uint16_t)size,
                        .class = (uint8_t)class,
                        .owner = (uint8_t)port_cpu(),
                        .n_slots = (uint8_t)n };
    atomic_store_explicit(&s->free, s->all, memory_order_relaxed);
    name_cells(h, s, id);
    return s;
}

/* An empty slab's memory goes back to the extents. */
static void slab_unmake(struct heap *h, struct heap_cpu *c, struct slab *s)
{
    uint64_t flags = heap_lock(h);
    uint32_t grain = s->grain;

    c->bytes[s->class] -= (uint32_t)s->n_slots * s->size;
    c->n_slabs[s->class]--;
    heap_cache_leave(h, s);
    name_cells(h, s, h->tag);
    heap_map_slab_put(h->map, id_of(h->map, s));
    extent_free(h, grain);
    heap_unlock(h, flags);
}

/* Every empty slab on this CPU's lists goes. */
static unsigned unmake_empty(struct heap *h, struct heap_cpu *c)
{
    unsigned n = 0;

    for (unsigned class = 0; class < HEAP_CLASSES; class++)
        for (struct slab *s = c->head[class], *next; s != &slab_none; s = next) {
            next = s->next != SLAB_NONE ? map_slab(h->map, s->next) : &slab_none;
            if (free_bits(s) == s->all) {
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

void slab_changed(struct heap *h, struct slab *s)
{
    struct heap_cpu *c = this_cpu(h);

    if (!s->listed)
        list(h, c, s);
    if (free_bits(s) == s->all && (s->next != SLAB_NONE || s->prev != SLAB_NONE)) {
        unlist(h, c, s);
        slab_unmake(h, c, s);
    }
}

/* Frees from other CPUs come home. */
static void inbox_empty(struct heap *h, struct heap_cpu *c)
{
    uint32_t id = atomic_exchange_explicit(&c->inbox, SLAB_NONE, memory_order_acquire); /* pairs with post() */

    while (id != SLAB_NONE) {
        struct slab *s = map_slab(h->map, id);

        /* Once `remote` is 0 the slab may be posted again at any time: its link is read before. */
        id = atomic_load_explicit(&s->inbox_next, memory_order_relaxed);

        uint64_t bits = atomic_exchange_explicit(&s->remote, 0, memory_order_acquire);

        c->remote_frees += (uint64_t)__builtin_popcountll(bits);
        atomic_store_explicit(&s->free, free_bits(s) | bits, memory_order_relaxed);
        slab_changed(h, s);
    }
}

/* Tell the owner that s has remote frees. */
static void post(struct heap *h, struct slab *s)
{
    struct heap_cpu *owner = h->cpu[s->owner];
    uint32_t         first = atomic_load_explicit(&owner->inbox, memory_order_relaxed);

    do
        atomic_store_explicit(&s->inbox_next, first, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&owner->inbox, &first, id_of(h->map, s), memory_order_release,
                                                  memory_order_relaxed)); /* pairs with inbox_empty() */
}

err_t slab_free_remote(struct heap *h, struct slab *s, uint64_t bit)
{
    uint64_t before = atomic_fetch_or_explicit(&s->remote, bit, memory_order_release); /* pairs with inbox_empty() */

    if (UNLIKELY((before & bit) != 0))
        return ERR_NOT_ALLOC;
    if (before == 0)
        post(h, s);
    return ERR_OK;
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* This CPU's first visit. */
static struct heap_cpu *cpu_enter(struct heap *h)
{
    uint64_t         flags = heap_lock(h);
    struct heap_cpu *c = heap_private(h, sizeof *c);

    if (c != NULL) {
        __builtin_memcpy(c, &cpu_none, sizeof *c);
        h->cpu[port_cpu()] = c;
    }
    heap_unlock(h, flags);
    return c;
}

/* A new slab, after everything that is empty has been offered to the extents if the heap had to grow. */
static struct slab *slab_new(struct heap *h, struct heap_cpu *c, unsigned class)
{
    uint64_t     flags = heap_lock(h);
    struct slab *s = slab_make(h, c, class);

    heap_unlock(h, flags);
    if (s == NULL && unmake_empty(h, c) > 0) {
        flags = heap_lock(h);
        s = slab_make(h, c, class);
        heap_unlock(h, flags);
    }
    if (s == NULL)
        return NULL;
    c->bytes[class] += (uint32_t)s->n_slots * s->size;
    c->n_slabs[class]++;
    heap_cache_enter(h, s);
    list(h, c, s);
    return s;
}

void *slab_refill(struct heap *h, unsigned class)
{
    struct heap_cpu *c = this_cpu(h);

    if (UNLIKELY(c == &cpu_none)) {
        c = cpu_enter(h);
        if (c == NULL)
            return NULL;
    }
    if (UNLIKELY(atomic_load_explicit(&c->trim, memory_order_relaxed) != 0))
        (void)slab_trim(h);

    for (;;) {
        void        *p = slab_take(h, class);
        struct slab *s = c->head[class];

        if (p != NULL)
            return p;
        if (s != &slab_none)
            unlist(h, c, s);
        else if (atomic_load_explicit(&c->inbox, memory_order_relaxed) != SLAB_NONE)
            inbox_empty(h, c);
        else if (slab_new(h, c, class) == NULL)
            return NULL;
    }
}

unsigned slab_trim(struct heap *h)
{
    struct heap_cpu *c = this_cpu(h);

    if (c == &cpu_none)
        return 0;
    atomic_store_explicit(&c->trim, 0, memory_order_relaxed);
    inbox_empty(h, c);
    return unmake_empty(h, c);
}
