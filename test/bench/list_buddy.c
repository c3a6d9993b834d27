/* SPDX-License-Identifier: MIT */
/*
 * test/bench/list_buddy.c - the classic buddy manager: lists threaded through the free frames
 *
 * Promise     what textbooks and most kernels do, done well, so that mm/frame.c has an opponent: a list of
 *             free blocks for each order, last in, first out; the links lie in the free blocks' first
 *             frames; a byte for each frame says whether a block starts there, and which.
 *
 * Picture     eight frames; frames 0 and 1 are allocated, one block each
 *
 *               frame     0   1   2   3   4   5   6   7
 *               byte      U0  U0  F1  .   F2  .   .   .     U: used, F: free, and the block's order
 *               order 1   head -> 2                         the links of block 2 are in frame 2 itself
 *               order 2   head -> 4
 *
 *             Taking splits the first block of the smallest order that has one; giving back looks at the
 *             byte of the buddy (b XOR 2^k), unlinks it if it is free as a whole, and goes on one order up.
 *
 * Invariants  I1  byte F+k exactly for the first frame of a block that is on list k of its zone
 *             I2  a block lies in one zone; two free buddies of one zone never coexist below the top order
 *             I3  bit k of zone.filled is set exactly if list k is not empty
 * Locks       each zone's own, rank 40, one at a time: of the same kind as the frame manager's, so that what
 *             differs between the two is the structure and not the lock
 * Failure     ERR_NOMEM leaves everything as it was; a wrong free is refused by name and changes nothing
 * Sources     Knowlton, CACM 8(10) 1965; Knuth, TAOCP 1, 2.5, algorithms R and S
 */
#include "test/bench/list_buddy.h"

#include "mm/bias.h"

#define NONE      UINT64_MAX
#define ORDERS    (LIST_ORDER_MAX + 1)
#define LIST_LOCK 40
#define LINE      64

/* What a frame's byte says; the lower bits of B_FREE and B_USED are the order */
#define B_OUTSIDE 0x00 /* no memory                      */
#define B_INSIDE  0x01 /* in a block that starts earlier */
#define B_HELD    0x02 /* reserved                       */
#define B_FREE    0x40
#define B_USED    0x80
#define B_KIND    0xc0
#define B_ORDER   0x3f

/* The links, in the first frame of a free block: numbers of first frames */
struct link {
    uint64_t next, prev;
};

struct zone {
    struct biased lock;
    uint64_t      head[ORDERS]; /* [z] first frame of a block, or NONE */
    uint64_t      n[ORDERS];    /* [z] blocks on the list              */
    uint32_t      filled;       /* [z] orders whose list has any       */
} __attribute__((aligned(64)));

static struct {
    uint8_t         *byte; /* [z] byte[end]  */
    uint64_t         end;  /* [c]            */
    struct zone      zone[ZONES];
    _Atomic uint64_t wrong[ERR_COUNT];
} lb;

/* Each frame's links on another line of it: at the start of each they would all fight for a few sets of the cache */
static inline struct link *link_of(uint64_t f)
{
    return port_ptr(pa_add(pfn_to_pa(pfn(f)), f % (PAGE_SIZE / LINE) * LINE));
}

static inline unsigned zone_number(uint64_t f)
{
    return f >= 4 * GIB >> PAGE_SHIFT  ? ZONE_HIGH
           : f >= 16 * MIB >> PAGE_SHIFT ? ZONE_32
           : f >= 1 * MIB >> PAGE_SHIFT  ? ZONE_ISA
                                         : ZONE_LOW;
}

static uint64_t zone_lock(struct zone *z) ACQUIRES(z->lock)
{
    uint64_t flags = port_irq_save();

    biased_take(&z->lock, port_cpu());
    return flags;
}

static void zone_unlock(struct zone *z, uint64_t flags) RELEASES(z->lock)
{
    biased_drop(&z->lock, port_cpu());
    port_irq_restore(flags);
}

/* ---- blocks on lists ------------------------------------------------------------------------------ */

static inline void push(struct zone *z, uint64_t f, unsigned k)
{
    *link_of(f) = (struct link){ .next = z->head[k], .prev = NONE };
    if (z->head[k] != NONE)
        link_of(z->head[k])->prev = f;
    z->head[k] = f;
    z->n[k]++;
    z->filled |= 1u << k;
    lb.byte[f] = (uint8_t)(B_FREE | k);
}

/* Off the list; what the byte says then is up to the caller */
static inline void unlink(struct zone *z, uint64_t f, unsigned k)
{
    struct link l = *link_of(f);

    if (l.prev == NONE)
        z->head[k] = l.next;
    else
        link_of(l.prev)->next = l.next;
    if (l.next != NONE)
        link_of(l.next)->prev = l.prev;
    if (--z->n[k] == 0)
        z->filled &= ~(1u << k);
}

/* A block that is on no list becomes free; with its buddy, if that is free, and so on */
static inline void give(struct zone *z, uint64_t f, unsigned k)
{
    for (; k < LIST_ORDER_MAX; k++) {
        uint64_t buddy = f ^ (uint64_t)1 << k;

        if (buddy >= lb.end || lb.byte[buddy] != (B_FREE | k) || &lb.zone[zone_number(buddy)] != z)
            break;
        unlink(z, buddy, k);
        lb.byte[buddy | f] = B_INSIDE;
        f &= buddy;
    }
    push(z, f, k);
}

static inline bool take(struct zone *z, unsigned order, uint64_t *out)
{
    uint32_t enough = z->filled >> order << order;

    if (enough == 0)
        return false;

    unsigned k = (unsigned)__builtin_ctz(enough);
    uint64_t f = z->head[k];

    unlink(z, f, k);
    while (k > order) {
        k--;
        push(z, f + ((uint64_t)1 << k), k);
    }
    lb.byte[f] = (uint8_t)(B_USED | order);
    *out = f;
    return true;
}

/* Block f of order k is on no list: what of it lies in [lo, hi) gets `kind`, the rest becomes free */
static void carve(struct zone *z, uint64_t f, unsigned k, uint64_t lo, uint64_t hi, uint8_t kind)
{
    uint64_t end = f + ((uint64_t)1 << k);

    if (end <= lo || hi <= f) {
        push(z, f, k);
    } else if (lo <= f && end <= hi && kind == B_USED) {
        lb.byte[f] = (uint8_t)(B_USED | k);
    } else if (lo <= f && end <= hi) {
        __builtin_memset(&lb.byte[f], kind, end - f);
    } else {
        carve(z, f, k - 1, lo, hi, kind);
        carve(z, f + (end - f) / 2, k - 1, lo, hi, kind);
    }
}

/* The first frame of the block that f is inside of */
static uint64_t head_of(uint64_t f)
{
    for (unsigned k = 0; k <= LIST_ORDER_MAX; k++) {
        uint64_t head = f >> k << k;

        if ((lb.byte[head] & B_KIND) != 0)
            return head;
    }
    PANIC("frame %llx is inside of no block", ULL(f));
}

/* ---- starting ----------------------------------------------------------------------------------------- */

size_t list_state_bytes(const struct mem_map *map) { return mem_map_end(map, MEM_SET_RAM).idx; }

static void add_free(uint64_t f, uint64_t end)
{
    while (f < end) {
        struct zone *z = &lb.zone[zone_number(f)];
        unsigned     k = 0;

        while (k < LIST_ORDER_MAX && is_aligned(f, (uint64_t)2 << k) && f + ((uint64_t)2 << k) <= end &&
               zone_number(f) == zone_number(f + ((uint64_t)2 << k) - 1))
            k++;
        push(z, f, k);
        f += (uint64_t)1 << k;
    }
}

err_t list_start(const struct mem_map *map, void *state, size_t bytes)
{
    if (bytes < list_state_bytes(map))
        return ERR_INVAL;
    lb.byte = state;
    lb.end = list_state_bytes(map);
    __builtin_memset(lb.byte, B_OUTSIDE, lb.end);
    for (unsigned i = 0; i < ZONES; i++) {
        lb.zone[i] = (struct zone){ .lock = BIASED("list zone", LIST_LOCK) };
        __builtin_memset(lb.zone[i].head, 0xff, sizeof lb.zone[i].head);
    }
    for (size_t i = 0; i < map->n; i++) {
        const struct mem_range *r = &map->ranges[i];
        uint64_t                end = min_u64(r->end.idx, lb.end);
        bool                    free = r->kind == MEM_FREE || r->kind == MEM_LOW;

        if (r->kind == MEM_MMIO || r->start.idx >= end)
            continue;
        __builtin_memset(&lb.byte[r->start.idx], free ? B_INSIDE : B_HELD, end - r->start.idx);
        if (free)
            add_free(r->start.idx, end);
    }
    return ERR_OK;
}

/* ---- taking ------------------------------------------------------------------------------------------- */

err_t list_alloc(unsigned order, pfn_t *out)
{
    if (UNLIKELY(order > LIST_ORDER_MAX))
        return ERR_INVAL;
    for (unsigned i = ZONE_HIGH; i > ZONE_LOW; i--) {
        struct zone *z = &lb.zone[i];
        uint64_t     flags = zone_lock(z), f;
        bool         found = take(z, order, &f);

        zone_unlock(z, flags);
        if (LIKELY(found)) {
            *out = pfn(f);
            return ERR_OK;
        }
    }
    return ERR_NOMEM;
}

err_t lists_alloc(size_t n, pfn_t out[])
{
    size_t got = 0;

    for (unsigned i = ZONE_HIGH; i > ZONE_LOW && got < n; i--) {
        struct zone *z = &lb.zone[i];
        uint64_t     flags = zone_lock(z), f;

        while (got < n && take(z, 0, &f))
            out[got++] = pfn(f);
        zone_unlock(z, flags);
    }
    if (got == n)
        return ERR_OK;
    if (lists_free(got, out) != ERR_OK)
        PANIC("frames just taken cannot be given back");
    return ERR_NOMEM;
}

static bool power_of_two(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }

/* The first block on the lists of at least this order whose first n frames lie below hi */
static bool take_below(struct zone *z, unsigned order, uint64_t n, uint64_t hi, uint64_t *out)
{
    for (unsigned k = order; k <= LIST_ORDER_MAX; k++)
        for (uint64_t f = z->head[k]; f != NONE; f = link_of(f)->next)
            if (f + n <= hi) {
                unlink(z, f, k);
                carve(z, f, k, f, f + n, B_USED);
                *out = f;
                return true;
            }
    return false;
}

err_t list_alloc_with(const struct frame_request *req, pfn_t *out)
{
    uint64_t n = max_u64(req->n, 1), align = max_u64(req->align, 1), boundary = req->boundary;
    uint64_t hi = req->highest.raw != 0 ? (req->highest.raw >> PAGE_SHIFT) + ((req->highest.raw + 1) % PAGE_SIZE == 0) : lb.end;
    unsigned order = 0, lowest = hi <= MIB >> PAGE_SHIFT ? ZONE_LOW : ZONE_ISA;
    uint64_t f = 0;
    bool     found = false;

    if (!power_of_two(align) || (boundary != 0 && (!power_of_two(boundary) || n > boundary)))
        return ERR_INVAL;
    while ((uint64_t)1 << order < max_u64(n, align) && order <= LIST_ORDER_MAX)
        order++;
    for (unsigned i = ZONES; i-- > lowest && !found;) {
        uint64_t flags = zone_lock(&lb.zone[i]);

        found = take_below(&lb.zone[i], order, n, hi, &f);
        zone_unlock(&lb.zone[i], flags);
    }
    if (!found)
        return ERR_NOMEM;
    if ((req->flags & FRAME_ZERO) != 0)
        __builtin_memset(port_ptr(pfn_to_pa(pfn(f))), 0, n * PAGE_SIZE);
    *out = pfn(f);
    return ERR_OK;
}

/* ---- giving back ---------------------------------------------------------------------------------------- */

static err_t refuse(err_t err)
{
    atomic_fetch_add_explicit(&lb.wrong[err], 1, memory_order_relaxed);
    return err;
}

/* Why no allocated block starts at f; its zone is locked */
static err_t why_not(uint64_t f)
{
    switch (lb.byte[f]) {
    case B_OUTSIDE:
        return ERR_OUTSIDE;
    case B_HELD:
        return ERR_RESERVED;
    case B_INSIDE:
        return (lb.byte[head_of(f)] & B_KIND) == B_USED ? ERR_INSIDE : ERR_NOT_ALLOC;
    default:
        return ERR_NOT_ALLOC;
    }
}

#define ANY_ORDER UINT32_MAX

static inline err_t free_block(uint64_t f, unsigned order)
{
    if (UNLIKELY(f >= lb.end))
        return refuse(ERR_OUTSIDE);

    struct zone *z = &lb.zone[zone_number(f)];
    uint64_t     flags = zone_lock(z);
    uint8_t      byte = lb.byte[f];
    err_t        err = ERR_OK;

    if (UNLIKELY((byte & B_KIND) != B_USED))
        err = why_not(f);
    else if (UNLIKELY(order != ANY_ORDER && order != (byte & B_ORDER)))
        err = ERR_ORDER;
    else
        give(z, f, byte & B_ORDER);
    zone_unlock(z, flags);
    return LIKELY(err == ERR_OK) ? ERR_OK : refuse(err);
}

err_t list_free(pfn_t f) { return free_block(f.idx, ANY_ORDER); }

err_t list_free_order(pfn_t f, unsigned order)
{
    return order <= LIST_ORDER_MAX ? free_block(f.idx, order) : refuse(ERR_ORDER);
}

err_t lists_free(size_t n, const pfn_t in[])
{
    err_t err = ERR_OK;

    for (size_t i = 0; i < n && err == ERR_OK; i++)
        err = free_block(in[i].idx, 0);
    return err;
}

/* ---- ranges: every zone is locked, in turn -------------------------------------------------------------- */

static bool span_is_known(uint64_t start, uint64_t n) { return n != 0 && n <= lb.end && start <= lb.end - n; }

/* The part of [start, end) that lies in one zone */
static uint64_t part_end(uint64_t start, uint64_t end)
{
    static const uint64_t next[ZONES] = { 1 * MIB >> PAGE_SHIFT, 16 * MIB >> PAGE_SHIFT, 4 * GIB >> PAGE_SHIFT, UINT64_MAX };

    return min_u64(end, next[zone_number(start)]);
}

/* Run fn on each part under its zone's lock, up to the first that fails; returns how far it came */
static uint64_t each_part(uint64_t start, uint64_t end, err_t (*fn)(struct zone *z, uint64_t lo, uint64_t hi), err_t *err)
{
    *err = ERR_OK;
    while (start < end) {
        uint64_t     stop = part_end(start, end);
        struct zone *z = &lb.zone[zone_number(start)];
        uint64_t     flags = zone_lock(z);

        *err = fn(z, start, stop);
        zone_unlock(z, flags);
        if (*err != ERR_OK)
            break;
        start = stop;
    }
    return start;
}

static uint64_t block_end(uint64_t head) { return head + ((uint64_t)1 << (lb.byte[head] & B_ORDER)); }

static err_t check_part(struct zone *z, uint64_t lo, uint64_t hi)
{
    (void)z;
    for (uint64_t f = lo; f < hi; f = block_end(f)) {
        if ((lb.byte[f] & B_KIND) != B_USED)
            return why_not(f);
        if (block_end(f) > hi)
            return ERR_ORDER;
    }
    return ERR_OK;
}

static err_t give_part(struct zone *z, uint64_t lo, uint64_t hi)
{
    for (uint64_t f = lo, next; f < hi; f = next) {
        next = block_end(f);
        give(z, f, lb.byte[f] & B_ORDER);
    }
    return ERR_OK;
}

err_t list_free_run(pfn_t f, uint64_t n)
{
    err_t err = ERR_OUTSIDE;

    if (span_is_known(f.idx, n))
        (void)each_part(f.idx, f.idx + n, check_part, &err);
    if (err == ERR_OK)
        (void)each_part(f.idx, f.idx + n, give_part, &err);
    return err == ERR_OK ? ERR_OK : refuse(err);
}

static bool is_free(uint64_t f)
{
    return (lb.byte[f] & B_KIND) == B_FREE || (lb.byte[f] == B_INSIDE && (lb.byte[head_of(f)] & B_KIND) == B_FREE);
}

static err_t release_part(struct zone *z, uint64_t lo, uint64_t hi)
{
    for (uint64_t f = lo; f < hi; f++)
        if (lb.byte[f] != B_HELD)
            return ERR_NOENT;
    for (uint64_t f = lo; f < hi; f++)
        give(z, f, 0);
    return ERR_OK;
}

static err_t reserve_part(struct zone *z, uint64_t lo, uint64_t hi)
{
    for (uint64_t f = lo; f < hi; f++)
        if (!is_free(f))
            return lb.byte[f] == B_OUTSIDE ? ERR_OUTSIDE : ERR_BUSY;
    for (uint64_t f = lo; f < hi;) {
        uint64_t head = lb.byte[f] == B_INSIDE ? head_of(f) : f, end = block_end(head);

        unlink(z, head, lb.byte[head] & B_ORDER);
        carve(z, head, lb.byte[head] & B_ORDER, lo, hi, B_HELD);
        f = end;
    }
    return ERR_OK;
}

err_t list_reserve(pfn_t start, uint64_t n)
{
    err_t err = ERR_OUTSIDE, undo;

    if (span_is_known(start.idx, n)) {
        uint64_t came = each_part(start.idx, start.idx + n, reserve_part, &err);

        if (err != ERR_OK)
            (void)each_part(start.idx, came, release_part, &undo);
    }
    return err;
}

err_t list_release(pfn_t start, uint64_t n)
{
    err_t err = ERR_OUTSIDE, undo;

    if (span_is_known(start.idx, n)) {
        uint64_t came = each_part(start.idx, start.idx + n, release_part, &err);

        if (err != ERR_OK)
            (void)each_part(start.idx, came, reserve_part, &undo);
    }
    return err;
}

/* ---- inspection ------------------------------------------------------------------------------------------ */

struct frame_info list_query(pfn_t f)
{
    struct frame_info info = { FRAME_OUTSIDE, f, 0 };

    if (f.idx >= lb.end || lb.byte[f.idx] == B_OUTSIDE)
        return info;

    struct zone *z = &lb.zone[zone_number(f.idx)];
    uint64_t     flags = zone_lock(z), head = f.idx;

    if (lb.byte[head] == B_HELD) {
        info.state = FRAME_RESERVED;
    } else {
        head = lb.byte[head] == B_INSIDE ? head_of(head) : head;
        info.first = pfn(head);
        info.order = lb.byte[head] & B_ORDER;
        info.state = (lb.byte[head] & B_KIND) == B_FREE ? FRAME_FREE : head == f.idx ? FRAME_BLOCK : FRAME_INSIDE;
    }
    zone_unlock(z, flags);
    return info;
}

void list_stats(struct frame_stats *s)
{
    *s = (struct frame_stats){ 0 };
    for (uint64_t f = 0; f < lb.end; f++)
        s->managed += lb.byte[f] != B_OUTSIDE && lb.byte[f] != B_HELD;
    for (unsigned i = 0; i < ZONES; i++) {
        uint64_t flags = zone_lock(&lb.zone[i]);

        for (unsigned k = 0; k < ORDERS; k++) {
            s->blocks[k] += lb.zone[i].n[k];
            s->free += lb.zone[i].n[k] << k;
        }
        zone_unlock(&lb.zone[i], flags);
    }
    for (unsigned i = 0; i < ERR_COUNT; i++)
        s->wrong[i] = lb.wrong[i];
}

static const char *check_list(const struct zone *z, unsigned k, uint64_t *n_free)
{
    uint64_t prev = NONE, n = 0;

    for (uint64_t f = z->head[k]; f != NONE; prev = f, f = link_of(f)->next, n++) {
        uint64_t buddy = f ^ (uint64_t)1 << k;

        if (f >= lb.end || lb.byte[f] != (B_FREE | k) || &lb.zone[zone_number(f)] != z)
            return "a list holds what is no free block of its order and zone";
        if (link_of(f)->prev != prev)
            return "links do not agree";
        if (k < LIST_ORDER_MAX && buddy < lb.end && lb.byte[buddy] == (B_FREE | k) && &lb.zone[zone_number(buddy)] == z)
            return "two buddies are free and not merged";
    }
    *n_free += n << k;
    if (n != z->n[k] || (n != 0) != (z->filled >> k & 1))
        return "a list is not as long as its count says";
    return NULL;
}

const char *list_check(void)
{
    uint64_t    on_lists = 0, by_bytes = 0;
    const char *wrong = NULL;

    for (unsigned i = 0; i < ZONES; i++)
        for (unsigned k = 0; k < ORDERS && wrong == NULL; k++)
            wrong = check_list(&lb.zone[i], k, &on_lists);
    for (uint64_t f = 0; f < lb.end && wrong == NULL;) {
        bool block = (lb.byte[f] & B_KIND) != 0;

        if (lb.byte[f] == B_INSIDE)
            return "a frame is inside of no block";
        for (uint64_t i = f + 1; block && i < block_end(f); i++)
            if (lb.byte[i] != B_INSIDE)
                return "a block has another one inside";
        if ((lb.byte[f] & B_KIND) == B_FREE)
            by_bytes += block_end(f) - f;
        f = block ? block_end(f) : f + 1;
    }
    return wrong == NULL && on_lists != by_bytes ? "a free block is on no list" : wrong;
}
