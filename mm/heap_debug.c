/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_debug.c - debug mode: red zones, fill, quarantine, guard pages, and who asked for what
 *
 * Promise     With heap.debug=1 every write outside a block that stays within 32 bytes of it is found when the
 *             block is freed or the heap is checked, every write into a freed block when it leaves quarantine, and
 *             a few of them at the very instruction. Each block knows its size to the byte and its caller.
 *
 * Picture     what the caller gets, inside a block of the heap that is 64 bytes longer:
 *
 *               | red zone 32 or more | user bytes ... | red zone 32 or more |
 *               | bd bd bd ... bd bd  | a5 a5 a5 ...   | bd bd ... bd        |
 *
 *             Size, caller and place of the block are in a table outside, found by a hash of the user's address; so
 *             no overrun reaches them, and any address that is not in the table is no block.
 *
 *             A freed block is filled with 5a and waits in a ring. When the ring is full the oldest one is checked for
 *             writes and goes back to the heap. Every 64th block of up to a page gets pages of its own, ends
 *             where they end, and a page that faults follows (the source's, or a guard page of kva).
 *
 * Invariants  I1  a block in the table is in use, its red zones untouched; or it is in the ring, filled
 *             I2  n <= half of places.n
 * Locks       debug->lock, rank 8, around everything: this mode is for finding mistakes, not for speed
 * Failure     no memory for the table or the ring: the call fails, nothing has changed
 */
#include "mm/heap_core.h"
#include "mm/heap_way.h"

#define RED_ZONE   ((size_t)32)
#define RED        0xbd
#define NEW        0xa5
#define DEAD       0x5a
#define RING       384
#define RING_BYTES ((size_t)4 * MIB)
#define PLACES_MIN 1024
#define SAMPLE     64 /* every so many blocks one gets a guard page */

/* One block, in use or in quarantine */
struct record {
    uintptr_t   user;   /* what the caller got; 0: place is free         */
    size_t      size;   /* what it asked for                             */
    void       *inner;  /* what the heap gave                            */
    size_t      length; /* usable bytes there; 0: a run with a guard page */
    const void *caller;
    const void *freed_by; /* not NULL: in quarantine                     */
    const void *owner;    /* the cache it is an object of, or NULL       */
};

/* Records by user address: open addressing */
struct table {
    struct record *place; /* place[n] */
    uint64_t       n;
};

struct debug {
    struct heap_way way; /* first */
    struct irqlock  lock;
    struct table    places;
    uint64_t        n;
    uint64_t        n_calls;
    uintptr_t       ring[RING]; /* user addresses, oldest at `oldest` */
    unsigned        oldest, n_ring;
    size_t          ring_bytes;
    uint64_t        findings;
};

static struct debug *debug_of(struct heap_way *w) { return (struct debug *)(void *)w; }

/* ---- the table ----------------------------------------------------------------------------------- */

static uint64_t home_of(const struct debug *d, uintptr_t user)
{
    return ((user >> 4) * 0x9e3779b97f4a7c15u >> 20) & (d->places.n - 1);
}

static struct record *lookup(const struct debug *d, uintptr_t user)
{
    for (uint64_t i = home_of(d, user);; i = (i + 1) & (d->places.n - 1))
        if (d->places.place[i].user == user || d->places.place[i].user == 0)
            return &d->places.place[i];
}

static void drop(struct debug *d, struct record *r)
{
    uint64_t mask = d->places.n - 1;
    uint64_t hole = (uint64_t)(r - d->places.place);

    for (uint64_t i = (hole + 1) & mask; d->places.place[i].user != 0; i = (i + 1) & mask)
        if (((i - home_of(d, d->places.place[i].user)) & mask) >= ((i - hole) & mask)) {
            d->places.place[hole] = d->places.place[i];
            hole = i;
        }
    d->places.place[hole] = (struct record){ 0 };
    d->n--;
}

static uint64_t table_pages(uint64_t n_places) { return align_up(n_places * sizeof(struct record), PAGE_SIZE) >> PAGE_SHIFT; }

/* A table of n_new places; *old is the one before, for the source when no lock is held. */
static bool move_table(struct debug *d, struct heap *h, uint64_t n_new, struct table *old)
{
    bool  zeroed;
    void *p;

    if (h->map->source->ops->run_take(h->map->source, table_pages(n_new), 1, &p, &zeroed) != ERR_OK)
        return false;
    __builtin_memset(p, 0, n_new * sizeof *d->places.place);
    old->place = d->places.place;
    old->n = d->places.n;
    d->places.place = p;
    d->places.n = n_new;
    for (uint64_t i = 0; i < old->n; i++)
        if (old->place[i].user != 0)
            *lookup(d, old->place[i].user) = old->place[i];
    return true;
}

static bool grow_table(struct debug *d, struct heap *h, struct table *old)
{
    return move_table(d, h, d->places.n != 0 ? 2 * d->places.n : PLACES_MIN, old);
}

static void give_table(struct heap *h, const struct table *t)
{
    if (t->place != NULL)
        h->map->source->ops->run_give(h->map->source, t->place, table_pages(t->n));
}

/* ---- verifying ----------------------------------------------------------------------------------- */

/* First byte in [from, to) that is not `want`; `to` if all are. */
static const unsigned char *differs(const unsigned char *from, const unsigned char *to, unsigned char want)
{
    while (from < to && *from == want)
        from++;
    return from;
}

static void found(struct debug *d, struct heap *h, const struct record *r, const char *what, long long distance)
{
    d->findings++;
    port_log(PORT_ERROR, "heap", "%s: %s: block %p of %zu bytes, asked for by %p: %lld bytes %s", h->name, what, (void *)r->user, r->size,
             r->caller, distance < 0 ? -distance : distance, distance < 0 ? "before its start" : "from its start");
}

static const unsigned char *inner_end(const struct record *r)
{
    if (r->length != 0)
        return (unsigned char *)r->inner + r->length;
    return (unsigned char *)align_up(r->user + r->size, PAGE_SIZE);
}

static bool red_zones_good(struct debug *d, struct heap *h, const struct record *r)
{
    const unsigned char *user = (unsigned char *)r->user;
    const unsigned char *at = differs(r->inner, user, RED);

    if (at == user) {
        at = differs(user + r->size, inner_end(r), RED);
        if (at == inner_end(r))
            return true;
    }
    found(d, h, r, at < user ? "underrun" : "overrun", (long long)(at - user));
    return false;
}

static bool still_dead(struct debug *d, struct heap *h, const struct record *r)
{
    const unsigned char *user = (unsigned char *)r->user;
    const unsigned char *at = differs(user, user + r->size, DEAD);

    if (at == user + r->size)
        return true;
    found(d, h, r, "written to after it was freed", (long long)(at - user));
    return false;
}

/* ---- quarantine ---------------------------------------------------------------------------------- */

/* The heap gets a block back that has left the table; no lock is held, for pages may be unmapped. */
static void release(struct debug *d, struct heap *h, const struct record *gone)
{
    if (gone->length == 0) {
        if (h->map->source->ops->guard != NULL)
            h->map->source->ops->guard(h->map->source, (void *)(uintptr_t)inner_end(gone), false);
        if (!large_free(h, gone->inner))
            PANIC("a guarded block at %p is gone", gone->inner);
    } else
        (void)d->way.next->ops->free(d->way.next, h, gone->inner, gone->freed_by);
}

static struct record oldest_out(struct debug *d, struct heap *h)
{
    struct record *r = lookup(d, d->ring[d->oldest]);
    struct record  gone = *r;

    d->oldest = (d->oldest + 1) % RING;
    d->n_ring--;
    d->ring_bytes -= r->size;
    (void)(still_dead(d, h, r) && red_zones_good(d, h, r));
    drop(d, r);
    return gone;
}

/* Blocks leave quarantine until no more than these are in it. */
static void shorten(struct debug *d, struct heap *h, unsigned n_max, size_t bytes_max)
{
    for (;;) {
        uint64_t      flags = irqlock_take(&d->lock);
        bool          over = d->n_ring > n_max || d->ring_bytes > bytes_max;
        struct record gone = { 0 };

        if (over)
            gone = oldest_out(d, h);
        irqlock_drop(&d->lock, flags);
        if (!over)
            return;
        release(d, h, &gone);
    }
}

/* ---- calls --------------------------------------------------------------------------------------- */

/* Pages of their own; the block ends as near to their end as its alignment allows. */
static bool place_guarded(struct heap *h, size_t size, size_t align, struct record *r)
{
    const struct heap_pages_ops *ops = h->map->source->ops;
    size_t                       bytes = (size_t)align_up(size, PAGE_SIZE);
    bool                         zeroed;
    char                        *p = large_alloc(h, bytes + (ops->guard != NULL ? PAGE_SIZE : 0), PAGE_SIZE, &zeroed);

    if (p == NULL)
        return false;
    if (ops->guard != NULL)
        ops->guard(h->map->source, p + bytes, true);
    r->inner = p;
    r->length = 0;
    r->user = align_down((uintptr_t)p + bytes - size, align);
    return true;
}

static bool place_between_red_zones(struct debug *d, struct heap *h, size_t size, size_t align, struct record *r)
{
    size_t before = (size_t)max_u64(align, RED_ZONE);

    r->inner = d->way.next->ops->alloc(d->way.next, h, before + size + RED_ZONE, (size_t)max_u64(align, 16), r->caller);
    if (r->inner == NULL)
        return false;
    r->length = d->way.next->ops->usable(d->way.next, h, r->inner);
    r->user = (uintptr_t)r->inner + before;
    return true;
}

static void *debug_alloc(struct heap_way *w, struct heap *h, size_t size, size_t align, const void *caller)
{
    struct debug *d = debug_of(w);
    struct table  old = { 0 };
    struct record r = { .size = size, .caller = caller };
    uint64_t      flags = irqlock_take(&d->lock);
    bool          good = 2 * (d->n + 1) <= d->places.n || grow_table(d, h, &old);

    if (good && d->n_calls++ % SAMPLE == SAMPLE - 1 && size <= PAGE_SIZE && align <= PAGE_SIZE)
        good = place_guarded(h, size, align, &r);
    else if (good)
        good = place_between_red_zones(d, h, size, align, &r);
    if (good) {
        unsigned char *user = (unsigned char *)r.user;

        __builtin_memset(r.inner, RED, (size_t)(user - (unsigned char *)r.inner));
        __builtin_memset(user, NEW, size);
        __builtin_memset(user + size, RED, (size_t)(inner_end(&r) - user) - size);
        *lookup(d, r.user) = r;
        d->n++;
    }
    irqlock_drop(&d->lock, flags);
    give_table(h, &old);
    return good ? (void *)r.user : NULL;
}

static err_t debug_free(struct heap_way *w, struct heap *h, void *p, const void *caller)
{
    struct debug  *d = debug_of(w);
    uint64_t       flags = irqlock_take(&d->lock);
    struct record *r = d->places.n != 0 ? lookup(d, (uintptr_t)p) : NULL;
    err_t          err = r == NULL || r->user == 0 ? ERR_OUTSIDE : r->freed_by != NULL ? ERR_NOT_ALLOC : ERR_OK;

    if (err == ERR_NOT_ALLOC)
        port_log(PORT_ERROR, "heap", "%s: block %p of %zu bytes was freed before, by %p; asked for by %p", h->name, p, r->size, r->freed_by,
                 r->caller);
    if (err == ERR_OK) {
        (void)red_zones_good(d, h, r);
        r->freed_by = caller != NULL ? caller : p;
        __builtin_memset(p, DEAD, r->size);
        d->ring[(d->oldest + d->n_ring++) % RING] = r->user;
        d->ring_bytes += r->size;
    }
    irqlock_drop(&d->lock, flags);
    shorten(d, h, RING - PORT_CPUS_MAX, RING_BYTES); /* others may add theirs before we get to it */
    return err;
}

static size_t debug_usable(struct heap_way *w, struct heap *h, const void *p)
{
    struct debug  *d = debug_of(w);
    uint64_t       flags = irqlock_take(&d->lock);
    struct record *r = d->places.n != 0 ? lookup(d, (uintptr_t)p) : NULL;
    size_t         size = r != NULL && r->user != 0 && r->freed_by == NULL ? r->size : 0;

    (void)h;
    irqlock_drop(&d->lock, flags);
    return size;
}

static uint64_t debug_trim(struct heap_way *w, struct heap *h)
{
    struct debug *d = debug_of(w);
    struct table  old = { 0 };

    shorten(d, h, 0, 0);

    uint64_t flags = irqlock_take(&d->lock);
    uint64_t n_new = PLACES_MIN;

    while (2 * (d->n + 1) > n_new)
        n_new *= 2;
    if (n_new < d->places.n)
        (void)move_table(d, h, n_new, &old); /* or it stays as large as it is */
    irqlock_drop(&d->lock, flags);
    give_table(h, &old);
    return w->next->ops->trim(w->next, h);
}

static err_t debug_check(struct heap_way *w, struct heap *h)
{
    struct debug *d = debug_of(w);
    uint64_t      flags = irqlock_take(&d->lock);
    bool          good = d->findings == 0;

    for (uint64_t i = 0; i < d->places.n; i++) {
        struct record *r = &d->places.place[i];

        if (r->user != 0 && !red_zones_good(d, h, r))
            good = false;
        if (r->user != 0 && r->freed_by != NULL && !still_dead(d, h, r))
            good = false;
    }
    irqlock_drop(&d->lock, flags);
    err_t err = w->next->ops->check(w->next, h);
    return good ? err : ERR_CORRUPT;
}

static void debug_close(struct heap_way *w, struct heap *h)
{
    give_table(h, &debug_of(w)->places);
    w->next->ops->close(w->next, h);
}

static const struct heap_way_ops debug_ops = {
    .alloc = debug_alloc,
    .free = debug_free,
    .usable = debug_usable,
    .trim = debug_trim,
    .check = debug_check,
    .close = debug_close,
};

struct heap_way *heap_way_debug(struct heap *h)
{
    _Static_assert(sizeof(struct debug) <= PAGE_SIZE, "private memory comes in pages");
    uint64_t      flags = heap_lock(h);
    struct debug *d = heap_private(h, sizeof *d);

    heap_unlock(h, flags);
    if (d == NULL)
        return NULL;
    d->way.ops = &debug_ops;
    d->lock = (struct irqlock)IRQLOCK("heap_debug", 8);
    d->way.lock = &d->lock;
    return &d->way;
}

/* ---- who holds what ------------------------------------------------------------------------------ */

/* Add a block to its caller's line; when the lines are full, the smallest of them gives way. */
static size_t tally(struct heap_leak out[], size_t n, size_t room, const struct record *r)
{
    size_t i = 0;

    while (i < n && out[i].caller != r->caller)
        i++;
    if (i == room) {
        i = 0;
        for (size_t k = 1; k < room; k++)
            if (out[k].bytes < out[i].bytes)
                i = k;
        if (out[i].bytes >= r->size)
            return n;
    }
    if (i == n || out[i].caller != r->caller)
        out[i] = (struct heap_leak){ .caller = r->caller };
    out[i].blocks++;
    out[i].bytes += r->size;
    return i == n ? n + 1 : n;
}

/* The heap's debug mode; NULL: it has none. */
static struct debug *debug_in(const struct heap *h)
{
    for (struct heap_way *w = h->ways; w != NULL; w = w->next)
        if (w->ops == &debug_ops)
            return debug_of(w);
    return NULL;
}

size_t heap_leaks(struct heap *h, struct heap_leak out[], size_t room)
{
    struct debug *d = debug_in(h);
    size_t        n = 0;

    if (d == NULL || room == 0)
        return 0;

    uint64_t flags = irqlock_take(&d->lock);

    for (uint64_t i = 0; i < d->places.n; i++)
        if (d->places.place[i].user != 0 && d->places.place[i].freed_by == NULL)
            n = tally(out, n, room, &d->places.place[i]);
    irqlock_drop(&d->lock, flags);
    return n;
}

/* ---- objects of caches ---------------------------------------------------------------------------- */

void heap_debug_own(struct heap *h, const void *p, const void *owner)
{
    struct debug *d = debug_in(h);
    uint64_t      flags = irqlock_take(&d->lock);

    lookup(d, (uintptr_t)p)->owner = owner;
    irqlock_drop(&d->lock, flags);
}

bool heap_debug_owned(struct heap *h, const void *p, const void *owner)
{
    struct debug        *d = debug_in(h);
    uint64_t             flags = irqlock_take(&d->lock);
    const struct record *r = d->places.n != 0 ? lookup(d, (uintptr_t)p) : NULL;
    bool                 good = r != NULL && r->user != 0 && r->freed_by == NULL && r->owner == owner;

    irqlock_drop(&d->lock, flags);
    return good;
}
