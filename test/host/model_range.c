/* SPDX-License-Identifier: MIT */
/* test/host/model_range.c - the memory map by the book */
#include "test/host/model_range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 u128;

#define LIMIT ((u128)1 << 52) /* first byte that no page-table entry can name */

/* Every type that is not reserved */
static const struct {
    uint32_t type;
    enum mem_kind kind;
} kinds[] = {
    { 1, MEM_FREE },    { 2, MEM_FREE },    { 3, MEM_FREE },        { 4, MEM_FREE }, { 7, MEM_FREE },
    { 5, MEM_RUNTIME }, { 6, MEM_RUNTIME }, { 8, MEM_BAD },         { 9, MEM_ACPI }, { 10, MEM_NVS },
    { 11, MEM_MMIO },   { 12, MEM_MMIO },   { 14, MEM_PERSISTENT },
};

static enum mem_kind kind_of(struct mem_desc d)
{
    enum mem_kind kind = MEM_RESERVED;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].type == d.type)
            kind = kinds[i].kind;
    if ((kind == MEM_FREE || kind == MEM_ACPI) && (d.attr >> 63) == 1)
        return MEM_RUNTIME;
    if (kind != MEM_FREE)
        return kind;
    if (d.attr & 0x8000)
        return MEM_PERSISTENT;
    if (d.attr & 0x40000)
        return MEM_SPECIAL;
    return d.attr != 0 && (d.attr & 8) == 0 ? MEM_RESERVED : MEM_FREE;
}

static struct mem_desc get(const void *descriptors, size_t desc_bytes, size_t i)
{
    const char *p = (const char *)descriptors + i * desc_bytes;
    struct mem_desc d;

    memcpy(&d.type, p, 4);
    memcpy(&d.start, p + 8, 8);
    memcpy(&d.pages, p + 24, 8);
    memcpy(&d.attr, p + 32, 8);
    return d;
}

static u128 end_of(struct mem_desc d) { return (u128)d.start + (u128)d.pages * 4096; }
static bool is_wrapped(struct mem_desc d) { return end_of(d) > (u128)1 << 64; }

/* Free memory owns the frames that lie in it, any other kind those it touches */
static bool claims(struct mem_desc d, u128 frame)
{
    u128 from = frame * 4096, to = from + 4096;

    if (d.pages == 0 || is_wrapped(d))
        return false;
    if (kind_of(d) == MEM_FREE)
        return d.start <= from && to <= end_of(d);
    return d.start < to && from < end_of(d);
}

struct model_frame model_frame(const void *descriptors, size_t n, size_t desc_bytes, uint64_t frame)
{
    struct model_frame f = { 0 };

    if ((u128)frame * 4096 >= LIMIT)
        return f;
    for (size_t i = 0; i < n; i++) {
        struct mem_desc d = get(descriptors, desc_bytes, i);
        enum mem_kind kind = kind_of(d);

        if (!claims(d, frame))
            continue;
        if (f.n_claims == 0 || kind > f.kind || (kind == f.kind && d.attr > f.attr)) {
            f.kind = kind;
            f.attr = d.attr;
        }
        f.n_claims++;
    }
    if (f.kind == MEM_FREE && frame < 256)
        f.kind = frame == 0 ? MEM_RESERVED : MEM_LOW;
    return f;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static char text[256];
#define DIFFERENT(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Every frame number at which what is said about a frame can change; sorted */
static size_t cuts_of(uint64_t *cuts, const void *descriptors, size_t n, size_t desc_bytes)
{
    size_t k = 0;

    cuts[k++] = 0;
    cuts[k++] = 1;
    cuts[k++] = 256;
    cuts[k++] = (uint64_t)(LIMIT / 4096);
    for (size_t i = 0; i < n; i++) {
        struct mem_desc d = get(descriptors, desc_bytes, i);

        if (is_wrapped(d))
            continue;
        cuts[k++] = d.start / 4096;
        cuts[k++] = d.start / 4096 + 1;
        cuts[k++] = (uint64_t)(end_of(d) / 4096);
        cuts[k++] = (uint64_t)(end_of(d) / 4096) + 1;
    }
    qsort(cuts, k, sizeof *cuts, compare);
    return k;
}

static const char *check_frames(const struct mem_map *m, const void *descriptors, size_t n, size_t desc_bytes,
                                uint64_t from, uint64_t to)
{
    struct model_frame want = model_frame(descriptors, n, desc_bytes, from);
    const struct mem_range *got = mem_map_find(m, pfn(from));

    if (want.n_claims == 0)
        return got == NULL && mem_map_find(m, pfn(to - 1)) == NULL
                   ? NULL
                   : DIFFERENT("frames %#llx-%#llx are in the map, nobody claims them", ULL(from), ULL(to));
    if (got == NULL || got->end.idx < to)
        return DIFFERENT("frames %#llx-%#llx: %s, not in the map", ULL(from), ULL(to),
                         mem_kind_name(want.kind));
    if (got->kind != want.kind || got->attr != want.attr)
        return DIFFERENT("frames %#llx-%#llx: %s %#llx, should be %s %#llx", ULL(from), ULL(to),
                         mem_kind_name(got->kind), ULL(got->attr), mem_kind_name(want.kind), ULL(want.attr));
    return NULL;
}

static const char *check_form(const struct mem_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct mem_range *r = &m->ranges[i];

        if (r->start.idx >= r->end.idx)
            return DIFFERENT("range %zu is empty", i);
        if (i > 0 && r[-1].end.idx > r->start.idx)
            return DIFFERENT("ranges %zu and %zu overlap", i - 1, i);
        if (i > 0 && r[-1].end.idx == r->start.idx && r[-1].kind == r->kind && r[-1].attr == r->attr)
            return DIFFERENT("ranges %zu and %zu are not merged", i - 1, i);
    }
    return NULL;
}

/* The totals, from the descriptors (all rules but overlap) and from the frames (overlap, out) */
static const char *check_sums(const struct mem_map *m, const void *descriptors, size_t n, size_t desc_bytes,
                              u128 overlap, u128 out)
{
    u128 in = 0, dropped[MEM_RULES] = { [MEM_RULE_OVERLAP] = overlap };

    for (size_t i = 0; i < n; i++) {
        struct mem_desc d = get(descriptors, desc_bytes, i);
        u128 first = d.start / 4096, end = (end_of(d) + 4095) / 4096;

        if (d.pages == 0)
            continue;
        if (is_wrapped(d)) {
            in += d.pages;
            dropped[MEM_RULE_WRAPPED] += d.pages;
            continue;
        }
        if (d.start % 4096 != 0 && kind_of(d) == MEM_FREE) {
            in += 1;
            dropped[MEM_RULE_UNALIGNED] += 1;
            first++;
            end--;
        }
        in += end - first;
        if (end > LIMIT / 4096)
            dropped[MEM_RULE_BEYOND] += end - (first > LIMIT / 4096 ? first : LIMIT / 4096);
    }
    if (m->n_descriptors != n || m->pages_in != in || m->pages_out != out)
        return DIFFERENT("%zu descriptors, %llu pages in, %llu out; should be %zu, %llu, %llu",
                         m->n_descriptors, ULL(m->pages_in), ULL(m->pages_out), n, ULL(in), ULL(out));
    for (unsigned rule = 0; rule < MEM_RULES; rule++) {
        if (m->dropped[rule] != dropped[rule] || (dropped[rule] > 0 && m->hits[rule] == 0))
            return DIFFERENT("%s dropped %llu pages, should be %llu", mem_rule_name(rule),
                             ULL(m->dropped[rule]), ULL(dropped[rule]));
        in -= m->dropped[rule];
    }
    return in == m->pages_out ? NULL : DIFFERENT("pages were lost: in is not out plus dropped");
}

const char *model_range_check(const struct mem_map *m, const void *descriptors, size_t n, size_t desc_bytes)
{
    uint64_t *cuts = calloc(4 * n + 4, sizeof *cuts);
    const char *different = check_form(m);
    size_t n_cuts = cuts_of(cuts, descriptors, n, desc_bytes);
    u128 overlap = 0, out = 0;

    for (size_t i = 0; different == NULL && i + 1 < n_cuts; i++) {
        uint64_t n_claims = model_frame(descriptors, n, desc_bytes, cuts[i]).n_claims;

        if (cuts[i] == cuts[i + 1])
            continue;
        different = check_frames(m, descriptors, n, desc_bytes, cuts[i], cuts[i + 1]);
        if (n_claims > 0) {
            out += cuts[i + 1] - cuts[i];
            overlap += (u128)(n_claims - 1) * (cuts[i + 1] - cuts[i]);
        }
    }
    free(cuts);
    return different != NULL ? different : check_sums(m, descriptors, n, desc_bytes, overlap, out);
}
