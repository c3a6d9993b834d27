/* SPDX-License-Identifier: MIT */
/*
 * mm/frame_stat.c - looking at the frame manager: states, counts, zones, fragmentation, a full check
 *
 * Nothing is counted while frames are taken and given back but each chunk's number of free frames. What
 * is asked here is derived from the bitmaps at that moment, one chunk after the other.
 */
#include "mm/frame_in.h"
#include "mm/reserve.h"

static const struct {
    const char *name;
    uint64_t    start; /* [bytes]; a zone ends where the next one starts */
} zones[ZONES] = {
    [ZONE_LOW] = { "low", 0 },
    [ZONE_ISA] = { "isa", 1 * MIB },
    [ZONE_32] = { "32-bit", 16 * MIB },
    [ZONE_HIGH] = { "high", 4 * GIB },
};

static const char *const state_names[] = {
    [FRAME_FREE] = "free",         [FRAME_BLOCK] = "block",     [FRAME_INSIDE] = "inside",
    [FRAME_RESERVED] = "reserved", [FRAME_OUTSIDE] = "outside",
};

const char *frame_state_name(enum frame_state s)
{
    return (size_t)s < ARRAY_LEN(state_names) ? state_names[s] : "?";
}

const char *frame_zone_name(enum frame_zone zone) { return (size_t)zone < ZONES ? zones[zone].name : "?"; }

uint64_t frame_chunks(void) { return fr.n_chunks; }

struct frame_span frame_zone_span(enum frame_zone zone)
{
    uint64_t all = fr.n_chunks << CHUNK_ORDER;
    uint64_t start = min_u64(zones[zone].start >> PAGE_SHIFT, all);
    uint64_t end = zone + 1 < ZONES ? min_u64(zones[zone + 1].start >> PAGE_SHIFT, all) : all;

    return (struct frame_span){ pfn(start), end - start };
}

/* What is known of a frame that is held back */
static struct frame_info not_ours(pfn_t f)
{
    return (struct frame_info){ frame_is_memory(f) ? FRAME_RESERVED : FRAME_OUTSIDE, f, 0 };
}

struct frame_info frame_query(pfn_t f)
{
    struct frame_info info;
    bool              out;

    if (chunk_no(f) >= fr.n_chunks)
        return not_ours(f);

    if (chunk_fresh(chunk_no(f)))
        return (struct frame_info){ FRAME_FREE, pfn(align_down(f.idx, CHUNK_FRAMES)), CHUNK_ORDER };

    struct fchunk    *z = &fr.chunk[chunk_no(f)];
    uint64_t          flags = chunk_lock(z);
    struct chunk_look look = chunk_look(&z->c, chunk_at(f));

    info = (struct frame_info){ look.state, chunk_pfn(z, look.first), look.order };
    if (look.state == FRAME_RESERVED)
        info = claim_look(z, f, &out) ? (struct frame_info){ out ? FRAME_BLOCK : FRAME_FREE, f, 0 } : not_ours(f);
    chunk_unlock(z, flags);
    return info;
}

struct frame_totals frame_totals(void)
{
    struct frame_totals t = { 0, claims_count(0, UINT64_MAX - 1).ready };

    for (uint64_t i = 0; i < fr.n_chunks; i++) {
        bool fresh = chunk_fresh(i);

        t.managed += fresh ? CHUNK_FRAMES : __atomic_load_n(&fr.chunk[i].managed, __ATOMIC_RELAXED);
        t.free += fresh ? CHUNK_FRAMES : __atomic_load_n(&fr.chunk[i].c.n_free, __ATOMIC_RELAXED);
    }
    return t;
}

/* Add what [lo, hi) of chunk i holds */
static void count(uint64_t i, uint64_t lo, uint64_t hi, struct frame_stats *s)
{
    struct fchunk *z = chunk_get(i);
    unsigned       window[2];
    uint64_t       blocks[CHUNK_ORDER + 1] = { 0 }, base = i << CHUNK_ORDER, n_free = 0;
    struct claims_count claimed;

    chunk_window(i, lo, hi, window);

    uint64_t flags = chunk_lock(z);
    uint64_t held = chunk_count(&z->c, window[0], window[1], blocks);

    claimed = claims_count(base + window[0], base + window[1]);
    if (z->c.maps != NULL && z->maps_at >= window[0] && z->maps_at < window[1]) {
        s->bitmaps += MAPS_FRAMES;
        s->managed += MAPS_FRAMES;
    }
    chunk_unlock(z, flags);

    for (unsigned k = 0; k <= CHUNK_ORDER; k++) {
        s->blocks[k] += blocks[k];
        n_free += blocks[k] << k;
    }
    s->blocks[0] += claimed.ready;
    s->cached += claimed.ready;
    s->free += n_free + claimed.ready;
    s->managed += window[1] - window[0] - held + claimed.taken;
}

/* Add a chunk that nobody has touched */
static void count_fresh(struct frame_stats *s)
{
    s->blocks[CHUNK_ORDER]++;
    s->free += CHUNK_FRAMES;
    s->managed += CHUNK_FRAMES;
}

static void count_between(uint64_t lo, uint64_t hi, struct frame_stats *s)
{
    *s = (struct frame_stats){ 0 };
    hi = min_u64(hi, fr.n_chunks << CHUNK_ORDER);
    for (uint64_t i = lo >> CHUNK_ORDER; i << CHUNK_ORDER < hi; i++)
        if (chunk_fresh(i) && lo <= i << CHUNK_ORDER && (i + 1) << CHUNK_ORDER <= hi)
            count_fresh(s);
        else
            count(i, lo, hi, s);
    for (unsigned e = 0; e < ERR_COUNT; e++)
        s->wrong[e] = atomic_load_explicit(&fr.wrong[e], memory_order_relaxed);
}

void frame_stats(struct frame_stats *s) { count_between(0, UINT64_MAX, s); }

void frame_stats_zone(enum frame_zone zone, struct frame_stats *s)
{
    struct frame_span span = frame_zone_span(zone);

    count_between(span.start.idx, span.start.idx + span.n, s);
}

err_t frame_stats_chunk(uint64_t i, struct frame_stats *s)
{
    struct frame_stats here;

    if (i >= fr.n_chunks)
        return ERR_NOENT;
    count_between(i << CHUNK_ORDER, (i + 1) << CHUNK_ORDER, &here);
    if (here.managed == 0)
        return ERR_NOENT;
    *s = here;
    return ERR_OK;
}

unsigned frame_unusable(const struct frame_stats *s, unsigned order)
{
    uint64_t usable = 0, all = 0;

    for (unsigned k = 0; k <= FRAME_ORDER_MAX; k++) {
        all += s->blocks[k] << k;
        usable += k >= order ? s->blocks[k] << k : 0;
    }
    return all == 0 ? 0 : (unsigned)((all - usable) * 1000 / all);
}

static const char *check_fresh(uint64_t i)
{
    for (unsigned k = 0; k <= CHUNK_ORDER; k++)
        if (!bits_test(&fr.with[k], i))
            return "the index does not know a fresh chunk";
    return NULL;
}

const char *frame_check(void)
{
    for (uint64_t i = 0; i < fr.n_chunks; i++) {
        if (chunk_fresh(i)) {
            if (check_fresh(i) != NULL)
                return check_fresh(i);
            continue;
        }

        struct fchunk *z = &fr.chunk[i];
        uint64_t       flags = chunk_lock(z);
        const char    *wrong = chunk_check(&z->c);
        int            order = chunk_order(&z->c);

        if (wrong == NULL && z->c.order != order)
            wrong = "a chunk's order is not what the index holds";
        if (wrong == NULL && z->c.maps != NULL && !chunk_is_reserved(&z->c, z->maps_at, MAPS_FRAMES))
            wrong = "a chunk's bitmaps are not held back";
        if (wrong == NULL && z->c.maps == NULL && z->c.cut != 0)
            wrong = "a chunk is cut and has no bitmaps";
        for (int k = 0; wrong == NULL && k <= CHUNK_ORDER; k++)
            if (bits_test(&fr.with[k], i) != (k <= order))
                wrong = "the index is wrong";
        if (wrong == NULL)
            wrong = claims_check(z);
        chunk_unlock(z, flags);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}
