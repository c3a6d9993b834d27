/* SPDX-License-Identifier: MIT */
/*
 * mm/extent.c - medium blocks: first fit over a list of free extents, indexed by size
 *
 * Promise     Ranges of 32-byte grains are cut from pages and merge with their free neighbours the
 *             moment they are freed: two free extents never touch. What is asked for is placed in
 *             the lowest bin that fits, low in its extent.
 *
 * Picture     U used, F free; a page has 128 grains, here 16. S marks where an extent begins, M the
 *             first and the last grain of each free one. The bits alone tell everything:
 *
 *               grains  | U U U F F F F U U | F F F F F F F |  <- end of the pages we hold
 *               start   | S . . S . . . S . | S . . . . . . |
 *               free    | . . . M . . M . . | M . . . . . M |
 *
 *             How long is the extent at g?      up to the next S, or the end of what we hold
 *             Free it: is the one before free?  bit M of grain g - 1; the one behind? bit M of its end
 *             A bit per page ("inner": held, no S in it) lets such scans cross 256 KiB in one step.
 *
 *             Bins, eight to a doubling, hold the free extents of a range of sizes in a doubly linked list.
 *             The links lie in the free memory itself, and are never believed: each is checked against
 *             the bits and against its partner before it is followed. A link that was overwritten
 *             (by a use after free, or by running over the end of a block) is reported, and the bins
 *             are rebuilt from the bits.
 *
 *             A block that was freed a moment ago *rests*: unmerged, on no list, without M, in one of a few places
 *             by size, ready for the next request of exactly its size; whether it is there tells that it is free. The
 *             moment a heap would have to take a page, all that rests is merged.
 *
 * Invariants  I1  an extent starts at each S and nowhere else; every grain we hold is in exactly one
 *             I2  both ends of a free extent that is listed have M; no other grain has
 *             I3  a listed extent's neighbours are used, resting, foreign, or not held
 *             I4  each extent with M is on the list of bin_of(its size), once
 *             I5  inner(page) == page is held by a heap's extents and has no S
 * Locks       heap->lock. Neighbouring pages may belong to other heaps: their bits are never touched,
 *             and at a page's border the owner of the cell is asked before bits are believed.
 * Failure     no page from the source: 0 is returned, nothing has changed.
 * Sources     Knuth, TAOCP 1, 2.5 (boundary tags); Wilson et al., Dynamic Storage Allocation (1995):
 *             address-ordered and good-fit policies; Masmano et al., TLSF (2004): two-level index
 */
#include "mm/extent.h"

#include "mm/extent_fast.h"

#define NEAR_TRIES 6 /* entries of a bin looked at for one that fits, before larger bins are taken */

/* Links of a free extent, in its first bytes */
struct free_links {
    uint32_t next, prev; /* grains, 0: none */
};

/* ---- bits ---------------------------------------------------------------------------------- */

static void bit_set(uint64_t w[2], uint32_t g) { w[g >> 6 & 1] |= (uint64_t)1 << (g & 63); }
static void bit_clear(uint64_t w[2], uint32_t g) { w[g >> 6 & 1] &= ~((uint64_t)1 << (g & 63)); }

static void inner_set(struct heap_map *m, uint64_t page) { *map_inner(m, page >> 6) |= (uint64_t)1 << (page & 63); }
static void inner_clear(struct heap_map *m, uint64_t page) { *map_inner(m, page >> 6) &= ~((uint64_t)1 << (page & 63)); }

static void start_set(struct heap_map *m, uint32_t g)
{
    bit_set(page_of(m, g)->start, g);
    inner_clear(m, g / GRAINS_PER_PAGE);
}

static void start_clear(struct heap_map *m, uint32_t g)
{
    struct heap_grains *p = page_of(m, g);

    bit_clear(p->start, g);
    if ((p->start[0] | p->start[1]) == 0)
        inner_set(m, g / GRAINS_PER_PAGE);
}

/* Both ends of the free extent [g, end) */
static void mark_set(struct heap_map *m, uint32_t g, uint32_t end)
{
    bit_set(page_of(m, g)->free, g);
    bit_set(page_of(m, end - 1)->free, end - 1);
}

static void mark_clear(struct heap_map *m, uint32_t g, uint32_t end)
{
    bit_clear(page_of(m, g)->free, g);
    bit_clear(page_of(m, end - 1)->free, end - 1);
}

/* First page at or after `page` that is not inner, and the last at or before it. */
static uint64_t outer_after(const struct heap_map *m, uint64_t page)
{
    uint64_t i = page >> 6;
    uint64_t w = ~*map_inner(m, i) >> (page & 63) << (page & 63);

    while (w == 0)
        w = ~*map_inner(m, ++i);
    return i << 6 | (uint64_t)__builtin_ctzll(w);
}

static uint64_t outer_before(const struct heap_map *m, uint64_t page)
{
    uint64_t i = page >> 6;
    uint64_t w = ~*map_inner(m, i) << (63 - (page & 63)) >> (63 - (page & 63));

    while (w == 0)
        w = ~*map_inner(m, --i);
    return i << 6 | (63 - (uint64_t)__builtin_clzll(w));
}

/* Next S behind g, or where the pages that continue g's end. */
static uint32_t scan_end(const struct heap_map *m, uint32_t g)
{
    const uint64_t *start = page_of(m, g)->start;
    uint32_t        base = g & ~63u;
    uint64_t        w = start[g >> 6 & 1] & (~(uint64_t)1 << (g & 63));

    if (w != 0)
        return base + (uint32_t)__builtin_ctzll(w);
    if ((g & 64) == 0 && start[1] != 0)
        return base + 64 + (uint32_t)__builtin_ctzll(start[1]);

    uint64_t page = g / GRAINS_PER_PAGE + 1;

    if ((m->grains[page].start[0] | m->grains[page].start[1]) == 0)
        page = outer_after(m, page);
    base = (uint32_t)page * GRAINS_PER_PAGE;
    start = m->grains[page].start;
    if (start[0] != 0)
        return base + (uint32_t)__builtin_ctzll(start[0]);
    return start[1] != 0 ? base + 64 + (uint32_t)__builtin_ctzll(start[1]) : base;
}

/* Last S at or before g; 0: g's pages begin without one (private pages do). */
static uint32_t scan_start(const struct heap_map *m, uint32_t g)
{
    const uint64_t *start = page_of(m, g)->start;
    uint64_t        w = start[g >> 6 & 1] & (~(uint64_t)0 >> (63 - (g & 63)));
    uint32_t        base = g & ~63u;

    if (w != 0)
        return base + 63 - (uint32_t)__builtin_clzll(w);
    if ((g & 64) != 0 && start[0] != 0)
        return base - 1 - (uint32_t)__builtin_clzll(start[0]);

    uint64_t page = g / GRAINS_PER_PAGE;

    if ((page_of(m, g)->start[0] | page_of(m, g)->start[1]) == 0 && (*map_inner(m, page >> 6) >> (page & 63) & 1) == 0)
        return 0;
    page = outer_before(m, page - 1);
    base = (uint32_t)page * GRAINS_PER_PAGE;
    start = m->grains[page].start;
    if (start[1] != 0)
        return base + 127 - (uint32_t)__builtin_clzll(start[1]);
    return start[0] != 0 ? base + 63 - (uint32_t)__builtin_clzll(start[0]) : 0;
}

/* Is grain g (first of a page: maybe somebody else's) one of ours? */
static bool ours(const struct heap *h, uint32_t g)
{
    return g % GRAINS_PER_PAGE != 0 || map_owner(h->map, g) == h;
}

/* ---- bins ---------------------------------------------------------------------------------- */

/* 0..7 one size each, then eight to a doubling */
static unsigned bin_of(uint32_t n)
{
    if (n < 8)
        return n;
    unsigned shift = 28 - (unsigned)__builtin_clz(n);

    return shift * 8 + (n >> shift);
}

static struct free_links *links(const struct heap *h, uint32_t g) { return grain_ptr(h->map, g); }

/* May g be followed as a link? It must start a free extent of ours. */
static bool link_good(const struct heap *h, uint32_t g)
{
    const struct heap_map *m = h->map;

    return g / GRAINS_PER_PAGE < map_pages(m) && is_start(m, g) &&
           is_mark(m, g) && map_owner(m, g) == h;
}

static void bin_add(struct heap *h, uint32_t g, uint32_t n)
{
    struct extent_bins *b = &h->bins;
    unsigned            i = bin_of(n);
    uint32_t            next = b->head[i];

    *links(h, g) = (struct free_links){ .next = next, .prev = 0 };
    if (next != 0)
        links(h, next)->prev = g;
    b->head[i] = g;
    b->map[i >> 6] |= (uint64_t)1 << (i & 63);
}

/* The bits are the truth: forget all lists, and list what they say is free. */
static void bins_rebuild(struct heap *h)
{
    uint32_t end = (uint32_t)heap_page_end(h) * GRAINS_PER_PAGE;

    __builtin_memset(h->bins.head, 0, sizeof h->bins.head);
    __builtin_memset(h->bins.map, 0, sizeof h->bins.map);
    for (uint32_t g = (uint32_t)h->page_low * GRAINS_PER_PAGE; (g = extent_next(h, g, end)) < end; g++)
        if (is_mark(h->map, g))
            bin_add(h, g, scan_end(h->map, g) - g);
}

static void links_damaged(struct heap *h, uint32_t g)
{
    port_log(PORT_ERROR, "heap", "%s: free memory at %p was written to (use after free, or a block overrun before it)",
             h->name, grain_ptr(h->map, g));
    bins_rebuild(h);
}

/* Links of g agree with their partners, and with the head of bin i. */
static bool links_good(const struct heap *h, uint32_t g, unsigned i)
{
    const struct free_links *l = links(h, g);

    if (l->next != 0 && (!link_good(h, l->next) || links(h, l->next)->prev != g))
        return false;
    if (l->prev == 0)
        return h->bins.head[i] == g;
    return link_good(h, l->prev) && links(h, l->prev)->next == g;
}

/* Whatever has been written over the links of g, they are good now. */
static struct free_links links_mend(struct heap *h, uint32_t g, unsigned i)
{
    if (UNLIKELY(!links_good(h, g, i)))
        links_damaged(h, g);
    return *links(h, g);
}

static void bin_remove(struct heap *h, uint32_t g, uint32_t n)
{
    struct extent_bins *b = &h->bins;
    unsigned            i = bin_of(n);
    struct free_links   l = links_mend(h, g, i);

    if (l.next != 0)
        links(h, l.next)->prev = l.prev;
    if (l.prev != 0)
        links(h, l.prev)->next = l.next;
    else if ((b->head[i] = l.next) == 0)
        b->map[i >> 6] &= ~((uint64_t)1 << (i & 63));
}

/* The entry g of bin i stands at `to` from now on. */
static void bin_move(struct heap *h, uint32_t g, uint32_t to, unsigned i)
{
    struct free_links l = links_mend(h, g, i);

    *links(h, to) = l;
    if (l.next != 0)
        links(h, l.next)->prev = to;
    if (l.prev != 0)
        links(h, l.prev)->next = to;
    else
        h->bins.head[i] = to;
}

/* ---- free extents -------------------------------------------------------------------------- */

static void free_add(struct heap *h, uint32_t g, uint32_t end)
{
    mark_set(h->map, g, end);
    bin_add(h, g, end - g);
    h->bins.n_free++;
    h->bins.free_grains += end - g;
}

static void free_remove(struct heap *h, uint32_t g, uint32_t end)
{
    bin_remove(h, g, end - g);
    mark_clear(h->map, g, end);
    h->bins.n_free--;
    h->bins.free_grains -= end - g;
}

/* The free extent [g, end) is [g2, end2) from now on. Most of the time that leaves it in its bin. */
static void free_change(struct heap *h, uint32_t g, uint32_t end, uint32_t g2, uint32_t end2)
{
    unsigned i = bin_of(end - g);
    bool     stays = i == bin_of(end2 - g2);

    if (!stays)
        bin_remove(h, g, end - g);
    else if (g != g2)
        bin_move(h, g, g2, i);
    mark_clear(h->map, g, end);
    mark_set(h->map, g2, end2);
    if (!stays)
        bin_add(h, g2, end2 - g2);
    h->bins.free_grains += end2 - g2;
    h->bins.free_grains -= end - g;
}

/* [g, end) has just one start bit, at g. Merge it with what is free around it, and list it. */
static void free_merge(struct heap *h, uint32_t g, uint32_t end, uint32_t *g_out, uint32_t *end_out)
{
    struct heap_map *m = h->map;
    bool             before = is_mark(m, g - 1) && (g % GRAINS_PER_PAGE != 0 || map_owner(m, g - 1) == h);
    bool             behind = is_mark(m, end) && ours(h, end);
    uint32_t         first = before ? scan_start(m, g - 1) : g;
    uint32_t         last = behind ? scan_end(m, end) : end;

    if (before && behind)
        free_remove(h, end, last);
    if (before)
        free_change(h, first, g, first, last);
    else if (behind)
        free_change(h, end, last, g, last);
    else
        free_add(h, g, end);
    if (before)
        start_clear(m, g);
    if (behind)
        start_clear(m, end);
    *g_out = first;
    *end_out = last;
}

/* Pages [first, last) inside the free extent [g, end) go back to the source. */
static void give_pages(struct heap *h, uint32_t g, uint32_t end, uint64_t first, uint64_t last)
{
    struct heap_map *m = h->map;
    uint32_t         cut = (uint32_t)first * GRAINS_PER_PAGE;
    uint32_t         rest = (uint32_t)last * GRAINS_PER_PAGE;

    free_remove(h, g, end);
    if (rest < end) {
        start_set(m, rest);
        free_add(h, rest, end);
    }
    if (g < cut)
        free_add(h, g, cut);
    else
        bit_clear(page_of(m, g)->start, g);
    for (uint64_t page = first; page < last; page++)
        inner_clear(m, page);
    heap_pages_give(h, first, last - first);
}

/* Enough whole pages in one piece are worth giving back at once. */
#define GIVE_AT_ONCE 64

static uint64_t give_free(struct heap *h, uint32_t g, uint32_t end, uint64_t at_least)
{
    uint64_t first = (g + GRAINS_PER_PAGE - 1) / GRAINS_PER_PAGE;
    uint64_t last = end / GRAINS_PER_PAGE;

    if (last < first + at_least)
        return 0;
    give_pages(h, g, end, first, last);
    return last - first;
}

static void free_now(struct heap *h, uint32_t g, uint32_t end)
{
    free_merge(h, g, end, &g, &end);
    if (UNLIKELY(end - g >= GIVE_AT_ONCE * GRAINS_PER_PAGE))
        (void)give_free(h, g, end, GIVE_AT_ONCE);
}

bool extent_free(struct heap *h, uint32_t g)
{
    uint32_t end = scan_end(h->map, g);
    uint32_t n = end - g;

    if (n <= REST_MAX) {
        struct extent_resting *r = extent_place(h, n);
        struct extent_resting  old = *r;

        if (UNLIKELY(old.g == g))
            return false;
        *r = (struct extent_resting){ .g = g, .n = n };
        if (old.g == 0)
            return true;
        g = old.g;
        end = old.g + old.n;
    }
    free_now(h, g, end);
    return true;
}

bool extent_settle(struct heap *h)
{
    bool any = false;

    for (unsigned i = 0; i < EXTENT_RESTING; i++) {
        struct extent_resting r = h->bins.resting[i];

        if (r.g == 0)
            continue;
        h->bins.resting[i] = (struct extent_resting){ 0 };
        free_now(h, r.g, r.g + r.n);
        any = true;
    }
    return any;
}

uint64_t extent_trim(struct heap *h)
{
    struct heap_map *m = h->map;
    uint32_t         end = (uint32_t)heap_page_end(h) * GRAINS_PER_PAGE;
    uint64_t         n = 0;

    (void)extent_settle(h);
    for (uint32_t g = (uint32_t)h->page_low * GRAINS_PER_PAGE; (g = extent_next(h, g, end)) < end;) {
        uint32_t next = scan_end(m, g);

        if (is_mark(m, g))
            n += give_free(h, g, next, 1);
        g = next;
    }
    return n;
}

/* ---- taking -------------------------------------------------------------------------------- */

/* Where n grains, aligned, would stand in the free extent [g, end); 0: they don't fit. */
static uint32_t fit(uint32_t g, uint32_t end, uint32_t n, uint32_t align)
{
    uint32_t at = (g + align - 1) & ~(align - 1);

    return at <= end && end - at >= n ? at : 0;
}

/* Cut [at, at + n) out of the free extent [g, end). */
static uint32_t carve(struct heap *h, uint32_t g, uint32_t end, uint32_t at, uint32_t n)
{
    uint32_t behind = at + n;

    if (g < at)
        free_change(h, g, end, g, at);
    else if (behind < end)
        free_change(h, g, end, behind, end);
    else
        free_remove(h, g, end);
    if (g < at)
        start_set(h->map, at);
    if (behind < end)
        start_set(h->map, behind);
    if (g < at && behind < end)
        free_add(h, behind, end);
    return at;
}

static unsigned bin_after(const struct extent_bins *b, unsigned i)
{
    unsigned word = i >> 6;
    uint64_t w = b->map[word] & (~(uint64_t)0 << (i & 63));

    while (w == 0) {
        if (++word == ARRAY_LEN(b->map))
            return EXTENT_BINS;
        w = b->map[word];
    }
    return word * 64 + (unsigned)__builtin_ctzll(w);
}

/* From bin i on, the first entry that fits, looking at a few entries of each. */
static uint32_t take_free(struct heap *h, uint32_t n, uint32_t align)
{
    for (unsigned i = bin_of(n); (i = bin_after(&h->bins, i)) < EXTENT_BINS; i++) {
        uint32_t g = h->bins.head[i];

        for (unsigned tries = NEAR_TRIES; g != 0 && tries > 0; tries--) {
            if (UNLIKELY(!link_good(h, g))) {
                links_damaged(h, g);
                break;
            }
            uint32_t end = scan_end(h->map, g);
            uint32_t at = fit(g, end, n, align);

            if (at != 0)
                return carve(h, g, end, at, n);
            g = links(h, g)->next;
        }
    }
    return 0;
}

/* Take pages from the source; they become a free extent, merged with its neighbours. */
static bool grow(struct heap *h, size_t n_pages)
{
    struct heap_map *m = h->map;
    uint64_t         page;

    if (heap_pages_take(h, n_pages, &page) != ERR_OK)
        return false;

    uint32_t g = (uint32_t)page * GRAINS_PER_PAGE;
    uint32_t end = g + (uint32_t)n_pages * GRAINS_PER_PAGE;

    for (uint64_t p = page + 1; p < page + n_pages; p++)
        inner_set(m, p);
    start_set(m, g);
    free_merge(h, g, end, &g, &end);
    return true;
}

uint32_t extent_alloc(struct heap *h, uint32_t n, uint32_t align)
{
    uint32_t at = take_free(h, n, align);

    if (at == 0 && extent_settle(h))
        at = take_free(h, n, align);
    if (LIKELY(at != 0))
        return at;

    size_t need = ((size_t)n + (align > GRAINS_PER_PAGE ? align : 0) + GRAINS_PER_PAGE - 1) / GRAINS_PER_PAGE;
    size_t ahead = (size_t)min_u64(h->pages / 16, 32); /* the larger the heap, the larger its steps */

    if (!(ahead > need && grow(h, ahead)) && !grow(h, need))
        return 0;
    return take_free(h, n, align);
}

bool extent_resize(struct heap *h, uint32_t g, uint32_t n)
{
    struct heap_map *m = h->map;
    uint32_t         end = scan_end(m, g);
    uint32_t         want = g + n;

    if (want < end) { /* the tail becomes an extent of its own, and is freed */
        start_set(m, want);
        free_now(h, want, end);
        return true;
    }
    if (want == end)
        return true;
    if (!is_mark(m, end) || !ours(h, end))
        return false;

    uint32_t end2 = scan_end(m, end);

    if (want > end2)
        return false;
    free_remove(h, end, end2);
    start_clear(m, end);
    if (want < end2) {
        start_set(m, want);
        free_add(h, want, end2);
    }
    return true;
}

/* ---- looking ------------------------------------------------------------------------------- */

bool extent_rests(const struct heap *h, uint32_t g)
{
    const struct extent_resting *r = h->bins.resting;

    while (r < h->bins.resting + EXTENT_RESTING && r->g != g)
        r++;
    return r < h->bins.resting + EXTENT_RESTING;
}

bool     extent_is_free(const struct heap *h, uint32_t g) { return is_mark(h->map, g) || extent_rests(h, g); }
uint32_t extent_end(const struct heap *h, uint32_t g) { return scan_end(h->map, g); }
uint32_t extent_around(const struct heap *h, uint32_t g) { return scan_start(h->map, g); }

uint32_t extent_next(const struct heap *h, uint32_t g, uint32_t end)
{
    const struct heap_map *m = h->map;

    for (uint32_t page = g / GRAINS_PER_PAGE; page < end / GRAINS_PER_PAGE; page++, g = page * GRAINS_PER_PAGE) {
        uint32_t base = page * GRAINS_PER_PAGE;

        if (map_owner(m, base) != h)
            continue;
        for (unsigned i = g >> 6 & 1; i < 2; i++) {
            uint64_t w = m->grains[page].start[i];

            if (base + i * 64 < g)
                w = w >> (g & 63) << (g & 63);
            if (w != 0)
                return base + i * 64 + (uint32_t)__builtin_ctzll(w);
        }
    }
    return end;
}

err_t extent_check(struct heap *h)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < EXTENT_BINS; i++) {
        if ((h->bins.head[i] != 0) != (h->bins.map[i >> 6] >> (i & 63) & 1)) {
            port_log(PORT_ERROR, "heap", "check: map of bin %u", i);
            return ERR_CORRUPT;
        }
        for (uint32_t g = h->bins.head[i]; g != 0; g = links(h, g)->next, n++)
            if (!link_good(h, g) || !links_good(h, g, i) || bin_of(scan_end(h->map, g) - g) != i) {
                port_log(PORT_ERROR, "heap", "check: bin %u lists %p", i, grain_ptr(h->map, g));
                return ERR_CORRUPT;
            }
    }
    if (n != h->bins.n_free) {
        port_log(PORT_ERROR, "heap", "check: %llu extents in bins, %llu free", ULL(n), ULL(h->bins.n_free));
        return ERR_CORRUPT;
    }
    return ERR_OK;
}
