/* SPDX-License-Identifier: MIT */
/*
 * mm/range.c - cleans the firmware's memory map
 *
 * Promise     Whatever the firmware reports - unsorted, nested, wrapped, of unknown type - the result is
 *             a sorted list of disjoint ranges, and no frame in it is freer than the strictest claim on it.
 *             Every page that was reported is in the list or counted under the rule that dropped it.
 *
 * Rules       in this order, for each descriptor
 *
 *               zero-length    no pages: dropped
 *               wrapped        ends beyond 2^64 bytes: dropped
 *               kind           by type, and among the free types by attribute; table in mem_kind_of()
 *               unaligned      starts inside a frame: free memory shrinks to whole frames, any other kind
 *                              grows to them
 *               unaddressable  frames from 2^40 on (52 bits of address) are cut off
 *
 *             then for each frame
 *
 *               overlap        the greatest kind wins (enum mem_kind is the order); between claims of one
 *                              kind, the greater attribute: flags such as EFI_MEMORY_RUNTIME are high bits
 *               first MiB      free becomes low, and frame 0, which would look like a null pointer, reserved
 *
 * Picture     The sweep walks up through the starts; a heap holds the open claims, strictest on top.
 *
 *               runtime           |-------|
 *               reserved                 |----|
 *               free        |----------------------------|
 *               emitted      free  runtime resrvd  free       a piece ends where the next claim starts
 *                                                             or where the claim on top ends
 *
 *             Each piece ends at a start or an end, so n claims give at most 2n - 1 pieces; the first MiB
 *             splits one of them twice.
 *
 * Storage     Only the caller's store, because nothing can be allocated yet. The claims are sorted at its
 *             front and moved to its end; pieces are written from the front. The heap stands where claims
 *             have been consumed, and holds no more than were consumed:
 *
 *               | pieces ->        | heap ->   | claims to come |
 *               0                  capacity - n                 capacity
 *
 * Invariants  I1  ranges[i].start < ranges[i].end <= ranges[i+1].start
 *             I2  touching neighbours differ in kind or attribute
 *             I3  pages_in == pages_out + sum of dropped[]
 * Failure     ERR_NOMEM when pieces would run into the heap; *m stays as it was
 * Sources     UEFI 2.10, "EFI_BOOT_SERVICES.GetMemoryMap()" (types, attributes, DescriptorSize)
 */
#include "mm/range.h"

#define FRAMES_IN_64_BITS ((uint64_t)1 << (64 - PAGE_SHIFT))
#define FRAMES_IN_52_BITS ((uint64_t)1 << (52 - PAGE_SHIFT)) /* MAXPHYADDR: SDM 3A "Paging" */
#define FIRST_MIB_END     (MIB / PAGE_SIZE)

/* UEFI 2.10, "Memory Type Usage": type numbers in order */
enum {
    EFI_RESERVED,
    EFI_LOADER_CODE,
    EFI_LOADER_DATA,
    EFI_BOOT_CODE,
    EFI_BOOT_DATA,
    EFI_RUNTIME_CODE,
    EFI_RUNTIME_DATA,
    EFI_CONVENTIONAL,
    EFI_UNUSABLE,
    EFI_ACPI_RECLAIM,
    EFI_ACPI_NVS,
    EFI_MMIO,
    EFI_MMIO_PORTS,
    EFI_PAL_CODE,
    EFI_PERSISTENT,
    EFI_UNACCEPTED,
    EFI_TYPES
};

static const char *const type_names[EFI_TYPES] = {
    "Reserved",
    "LoaderCode",
    "LoaderData",
    "BootServicesCode",
    "BootServicesData",
    "RuntimeServicesCode",
    "RuntimeServicesData",
    "Conventional",
    "Unusable",
    "ACPIReclaim",
    "ACPINVS",
    "MemoryMappedIO",
    "MMIOPortSpace",
    "PalCode",
    "Persistent",
    "Unaccepted",
};

static const char *const kind_names[MEM_KINDS] = {
    [MEM_FREE] = "free",       [MEM_LOW] = "low",
    [MEM_SPECIAL] = "special", [MEM_PERSISTENT] = "persistent",
    [MEM_ACPI] = "acpi",       [MEM_NVS] = "nvs",
    [MEM_RUNTIME] = "runtime", [MEM_MMIO] = "mmio",
    [MEM_BAD] = "bad",         [MEM_RESERVED] = "reserved",
};

static const char *const rule_names[MEM_RULES] = {
    [MEM_RULE_ZERO_LENGTH] = "zero-length", [MEM_RULE_WRAPPED] = "wrapped",
    [MEM_RULE_UNALIGNED] = "unaligned",     [MEM_RULE_BEYOND] = "unaddressable",
    [MEM_RULE_OVERLAP] = "overlap",
};

const char *mem_kind_name(enum mem_kind kind) { return (unsigned)kind < MEM_KINDS ? kind_names[kind] : "?"; }
const char *mem_rule_name(enum mem_rule rule) { return (unsigned)rule < MEM_RULES ? rule_names[rule] : "?"; }

const char *mem_type_name(uint32_t type)
{
    if (type < EFI_TYPES)
        return type_names[type];
    return type >= 0x80000000u ? "OS" : type >= 0x70000000u ? "OEM" : "unknown";
}

struct mem_desc mem_desc_get(const void *descriptors, size_t desc_bytes, size_t i)
{
    const unsigned char *d = (const unsigned char *)descriptors + i * desc_bytes;
    struct mem_desc desc;

    __builtin_memcpy(&desc.type, d, sizeof desc.type); /* then 4 bytes of padding */
    __builtin_memcpy(&desc.start, d + 8, sizeof desc.start);
    __builtin_memcpy(&desc.pages, d + 24, sizeof desc.pages); /* VirtualStart lies between */
    __builtin_memcpy(&desc.attr, d + 32, sizeof desc.attr);
    return desc;
}

/*
 *   type                                   attribute      kind
 *   loader, boot services, conventional    RUNTIME        runtime      rows are tried from the top
 *   the same                               NV             persistent
 *   the same                               SP             special
 *   the same                               0              free         an empty field says nothing
 *   the same                               without WB     reserved
 *   the same                               any other      free
 *   ACPI reclaim                           RUNTIME        runtime      it would be freed after reading
 *   the rest                               any            by type; unknown, PAL, unaccepted: reserved
 */
enum mem_kind mem_kind_of(uint32_t type, uint64_t attr)
{
    switch (type) {
    case EFI_LOADER_CODE:
    case EFI_LOADER_DATA:
    case EFI_BOOT_CODE:
    case EFI_BOOT_DATA:
    case EFI_CONVENTIONAL:
        if (attr & MEM_ATTR_RUNTIME)
            return MEM_RUNTIME;
        if (attr & MEM_ATTR_NV)
            return MEM_PERSISTENT;
        if (attr & MEM_ATTR_SP)
            return MEM_SPECIAL;
        return attr == 0 || (attr & MEM_ATTR_WB) ? MEM_FREE : MEM_RESERVED;
    case EFI_ACPI_RECLAIM:
        return attr & MEM_ATTR_RUNTIME ? MEM_RUNTIME : MEM_ACPI;
    case EFI_RUNTIME_CODE:
    case EFI_RUNTIME_DATA:
        return MEM_RUNTIME;
    case EFI_UNUSABLE:
        return MEM_BAD;
    case EFI_ACPI_NVS:
        return MEM_NVS;
    case EFI_MMIO:
    case EFI_MMIO_PORTS:
        return MEM_MMIO;
    case EFI_PERSISTENT:
        return MEM_PERSISTENT;
    default:
        return MEM_RESERVED;
    }
}

/* ---- one descriptor -------------------------------------------------------------------------- */

static void drop(struct mem_map *m, enum mem_rule rule, uint64_t pages)
{
    m->dropped[rule] += pages;
    m->hits[rule]++;
}

/* The frames a descriptor claims, after the rules for descriptors; false when nothing is left of it */
static bool claim_of(struct mem_map *m, struct mem_desc d, struct mem_range *claim)
{
    uint64_t first = d.start >> PAGE_SHIFT;
    uint64_t partial = is_aligned(d.start, PAGE_SIZE) ? 0 : 1;
    uint64_t end;

    if (d.pages == 0) {
        drop(m, MEM_RULE_ZERO_LENGTH, 0);
        return false;
    }
    if (d.pages > FRAMES_IN_64_BITS - first - partial) {
        m->pages_in += d.pages;
        drop(m, MEM_RULE_WRAPPED, d.pages);
        return false;
    }
    claim->kind = mem_kind_of(d.type, d.attr);
    claim->attr = d.attr;
    end = first + d.pages;
    if (partial && claim->kind == MEM_FREE) { /* the two pieces at its ends are a page together */
        m->pages_in++;
        drop(m, MEM_RULE_UNALIGNED, 1);
        first++;
    } else {
        end += partial;
    }
    m->pages_in += end - first;
    if (end > FRAMES_IN_52_BITS) {
        uint64_t kept = max_u64(first, FRAMES_IN_52_BITS);

        drop(m, MEM_RULE_BEYOND, end - kept);
        end = FRAMES_IN_52_BITS;
    }
    claim->start = pfn(first);
    claim->end = pfn(end);
    return first < end;
}

/* ---- binary heaps of ranges: the greatest on top ---------------------------------------------- */

typedef bool less_fn(const struct mem_range *a, const struct mem_range *b);

/*@ requires \valid_read(a) && \valid_read(b);
    assigns  \nothing;
    ensures  \result <==> a->start.idx < b->start.idx;
*/
static bool starts_lower(const struct mem_range *a, const struct mem_range *b)
{
    return a->start.idx < b->start.idx;
}

/*@ requires \valid_read(a) && \valid_read(b);
    assigns  \nothing;
*/
static bool is_freer(const struct mem_range *a, const struct mem_range *b)
{
    return a->kind != b->kind ? a->kind < b->kind : a->attr < b->attr;
}

/* Put r into the heap h[n], at its vacant place `hole` or below */
/*@ requires hole < n < 0x100000000 && \valid(h + (0 .. n - 1));
    assigns  h[0 .. n - 1];
*/
static void heap_place(struct mem_range *h, size_t n, struct mem_range r, size_t hole, less_fn *less)
{
    /*@ loop assigns hole, child, h[0 .. n - 1];
        loop invariant hole < n;
        loop variant n - hole;
    */
    for (size_t child; (child = 2 * hole + 1) < n; hole = child) {
        if (child + 1 < n && less(&h[child], &h[child + 1]))
            child++;
        if (!less(&r, &h[child]))
            break;
        h[hole] = h[child];
    }
    h[hole] = r;
}

/* Take the top off the heap h[n] */
/*@ requires n < 0x100000000 && \valid(h + (0 .. n - 1));
    assigns  h[0 .. n - 2];
*/
static void heap_pop(struct mem_range *h, size_t n, less_fn *less)
{
    if (n > 1)
        heap_place(h, n - 1, h[n - 1], 0, less);
}

/* Add r to the heap h[n]; h[n] is written */
/*@ requires n < 0x100000000 && \valid(h + (0 .. n));
    assigns  h[0 .. n];
*/
static void heap_push(struct mem_range *h, size_t n, struct mem_range r, less_fn *less)
{
    /*@ loop assigns n, h[0 .. \at(n, Pre)];
        loop invariant n <= \at(n, Pre);
        loop variant n;
    */
    for (; n > 0 && less(&h[(n - 1) / 2], &r); n = (n - 1) / 2)
        h[n] = h[(n - 1) / 2];
    h[n] = r;
}

static void sort_by_start(struct mem_range *r, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        heap_place(r, n, r[i], i, starts_lower);
    for (; n > 1; n--) {
        struct mem_range highest = r[0];

        heap_pop(r, n, starts_lower);
        r[n - 1] = highest;
    }
}

/* ---- the sweep ------------------------------------------------------------------------------- */

/* The list under construction: ranges[n] of room for `limit` */
struct pieces {
    struct mem_range *ranges;
    size_t n, limit;
};

/*@ predicate sorted{L}(struct mem_range *r, integer n) =
      (\forall integer i; 0 <= i < n ==> r[i].start.idx < r[i].end.idx) &&
      (\forall integer i, j; 0 <= i < j < n ==> r[i].end.idx <= r[j].start.idx);
    predicate ends_by{L}(struct mem_range *r, integer n, integer f) =
      \forall integer i; 0 <= i < n ==> r[i].end.idx <= f;
    predicate room{L}(struct pieces *p) =
      \valid(p) && p->n <= p->limit && \valid(p->ranges + (0 .. p->limit - 1)) &&
      \separated(p, p->ranges + (0 .. p->limit - 1));
*/

/*@ requires room(p) && sorted(p->ranges, p->n);
    requires r.start.idx < r.end.idx ==> ends_by(p->ranges, p->n, r.start.idx);
    assigns  p->n, p->ranges[0 .. p->limit - 1];
    ensures  room(p) && p->limit == \old(p->limit) && sorted(p->ranges, p->n);
    ensures  \forall integer f; \old(ends_by(p->ranges, p->n, f)) && r.end.idx <= f ==>
               ends_by(p->ranges, p->n, f);
*/
static bool append(struct pieces *p, struct mem_range r)
{
    struct mem_range *last = p->n > 0 ? &p->ranges[p->n - 1] : NULL;

    if (r.start.idx >= r.end.idx)
        return true;
    if (last != NULL && last->end.idx == r.start.idx && last->kind == r.kind && last->attr == r.attr) {
        last->end = r.end;
        //@ assert \forall integer i; 0 <= i < p->n ==> p->ranges[i].start == \at(p->ranges[i].start, Pre);
        //@ assert \forall integer i; 0 <= i < p->n - 1 ==> p->ranges[i].end == \at(p->ranges[i].end, Pre);
        //@ assert sorted(p->ranges, p->n);
        return true;
    }
    if (p->n == p->limit)
        return false;
    p->ranges[p->n++] = r;
    //@ assert p->n == \at(p->n, Pre) + 1;
    //@ assert \forall integer i; 0 <= i < p->n - 1 ==> p->ranges[i].start == \at(p->ranges[i].start, Pre);
    //@ assert \forall integer i; 0 <= i < p->n - 1 ==> p->ranges[i].end == \at(p->ranges[i].end, Pre);
    //@ assert p->ranges[p->n - 1].start == r.start && p->ranges[p->n - 1].end == r.end;
    //@ assert sorted(p->ranges, p->n - 1) && ends_by(p->ranges, p->n - 1, r.start.idx);
    //@ assert sorted(p->ranges, p->n);
    return true;
}

/*@ requires room(p) && sorted(p->ranges, p->n) && \valid(r);
    requires \separated(r, p, p->ranges + (0 .. p->limit - 1));
    requires r->start.idx < r->end.idx ==> ends_by(p->ranges, p->n, r->start.idx);
    assigns  p->n, p->ranges[0 .. p->limit - 1], r->start;
    ensures  room(p) && p->limit == \old(p->limit) && sorted(p->ranges, p->n);
    ensures  r->start.idx < r->end.idx ==> ends_by(p->ranges, p->n, r->start.idx);
    ensures  \forall integer f; \old(ends_by(p->ranges, p->n, f)) && r->end.idx <= f ==>
               ends_by(p->ranges, p->n, f);
*/
/* Append the part of r below frame `end` as `kind`, and cut it off r */
static bool append_below(struct pieces *p, struct mem_range *r, uint64_t end, enum mem_kind kind)
{
    struct mem_range part = { r->start, pfn(min_u64(r->end.idx, end)), r->attr, kind };

    r->start = pfn(max_u64(r->start.idx, end));
    return append(p, part);
}

/*@ requires room(p) && sorted(p->ranges, p->n);
    requires r.start.idx < r.end.idx ==> ends_by(p->ranges, p->n, r.start.idx);
    assigns  p->n, p->ranges[0 .. p->limit - 1];
    ensures  room(p) && p->limit == \old(p->limit) && sorted(p->ranges, p->n);
    ensures  \forall integer f; \old(ends_by(p->ranges, p->n, f)) && r.end.idx <= f ==>
               ends_by(p->ranges, p->n, f);
*/
static bool emit(struct pieces *p, struct mem_range r)
{
    if (r.kind == MEM_FREE)
        return append_below(p, &r, 1, MEM_RESERVED) && append_below(p, &r, FIRST_MIB_END, MEM_LOW) &&
               append(p, r);
    return append(p, r);
}

/* Cut the sorted claims[n] into pieces; consumes them, the heap takes their place */
static bool sweep(struct pieces *p, struct mem_range *claims, size_t n)
{
    struct mem_range *open = claims;
    size_t n_open = 0, next = 0;
    uint64_t at = 0;

    while (next < n || n_open > 0) {
        struct mem_range piece;

        if (n_open == 0)
            at = claims[next].start.idx;
        while (next < n && claims[next].start.idx == at)
            heap_push(open, n_open++, claims[next++], is_freer);
        if (open[0].end.idx <= at) {
            heap_pop(open, n_open--, is_freer);
            continue;
        }
        piece = open[0];
        piece.start = pfn(at);
        if (next < n && claims[next].start.idx < piece.end.idx)
            piece.end = claims[next].start;
        at = piece.end.idx;
        if (!emit(p, piece))
            return false;
    }
    return true;
}

/* How many of the sorted claims[n] start inside an earlier one */
/*@ requires \valid_read(claims + (0 .. n - 1));
    assigns  \nothing;
    ensures  \result <= n;
*/
static size_t count_overlaps(const struct mem_range *claims, size_t n)
{
    size_t hits = 0;
    uint64_t end = 0;

    /*@ loop assigns i, hits, end;
        loop invariant hits <= i <= n;
        loop invariant \forall integer k; 0 <= k < i ==> claims[k].end.idx <= end;
        loop variant n - i;
    */
    for (size_t i = 0; i < n; i++) {
        hits += claims[i].start.idx < end;
        end = max_u64(end, claims[i].end.idx);
    }
    return hits;
}

static mem_sum_t sum_frames(const struct mem_range *r, size_t n)
{
    mem_sum_t frames = 0;

    for (size_t i = 0; i < n; i++)
        frames += r[i].end.idx - r[i].start.idx;
    return frames;
}

err_t mem_map_read(struct mem_map *m, struct mem_range *store, size_t capacity, const void *descriptors,
                   size_t bytes, size_t desc_bytes)
{
    struct mem_map map = { .ranges = store };
    struct pieces p = { .ranges = store };
    size_t n = 0;

    if (desc_bytes < MEM_DESC_BYTES_MIN || bytes % desc_bytes != 0)
        return ERR_INVAL;
    map.n_descriptors = bytes / desc_bytes;
    for (size_t i = 0; i < map.n_descriptors; i++) {
        struct mem_range claim;

        if (!claim_of(&map, mem_desc_get(descriptors, desc_bytes, i), &claim))
            continue;
        if (n == capacity)
            return ERR_NOMEM;
        store[n++] = claim;
    }
    sort_by_start(store, n);
    map.hits[MEM_RULE_OVERLAP] = count_overlaps(store, n);
    map.dropped[MEM_RULE_OVERLAP] = sum_frames(store, n);

    p.limit = capacity - n;
    __builtin_memmove(store + p.limit, store, n * sizeof *store);
    if (!sweep(&p, store + p.limit, n))
        return ERR_NOMEM;
    map.n = p.n;
    map.pages_out = (uint64_t)sum_frames(store, p.n); /* disjoint and below 2^40 */
    map.dropped[MEM_RULE_OVERLAP] -= map.pages_out;
    *m = map;
    return ERR_OK;
}

void mem_map_limit(struct mem_map *m, pfn_t end)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->n; i++) {
        struct mem_range r = m->ranges[i];
        uint64_t cut = r.kind == MEM_FREE ? max_u64(r.start.idx, min_u64(r.end.idx, end.idx)) : r.end.idx;

        if (cut < r.end.idx) {
            m->pages_out -= r.end.idx - cut;
            drop(m, MEM_RULE_BEYOND, r.end.idx - cut);
            r.end.idx = cut;
        }
        if (r.start.idx < r.end.idx)
            m->ranges[kept++] = r;
    }
    m->n = kept;
}

/* ---- questions ------------------------------------------------------------------------------- */

/*@ requires \valid_read(m) && \valid_read(m->ranges + (0 .. m->n - 1)) && sorted(m->ranges, m->n);
    assigns  \nothing;
    ensures  \result == \null ==>
               \forall integer i; 0 <= i < m->n ==> !(m->ranges[i].start.idx <= f.idx < m->ranges[i].end.idx);
    ensures  \result != \null ==> \result->start.idx <= f.idx < \result->end.idx &&
               \exists integer i; 0 <= i < m->n && \result == m->ranges + i;
*/
const struct mem_range *mem_map_find(const struct mem_map *m, pfn_t f)
{
    size_t low = 0, high = m->n; /* ranges below low end at or before f, those from high on start after it */

    /*@ loop assigns low, high;
        loop invariant low <= high <= m->n;
        loop invariant \forall integer i; 0 <= i < low ==> m->ranges[i].end.idx <= f.idx;
        loop invariant \forall integer i; high <= i < m->n ==> f.idx < m->ranges[i].start.idx;
        loop variant high - low;
    */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct mem_range *r = &m->ranges[middle];

        if (f.idx < r->start.idx)
            high = middle;
        else if (f.idx >= r->end.idx)
            low = middle + 1;
        else
            return r;
    }
    return NULL;
}

uint64_t mem_map_pages(const struct mem_map *m, unsigned kinds, uint64_t attr)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct mem_range *r = &m->ranges[i];

        if ((MEM_SET(r->kind) & kinds) && (r->attr & attr) == attr)
            pages += r->end.idx - r->start.idx;
    }
    return pages;
}

pfn_t mem_map_end(const struct mem_map *m, unsigned kinds)
{
    for (size_t i = m->n; i-- > 0;)
        if (MEM_SET(m->ranges[i].kind) & kinds)
            return m->ranges[i].end;
    return pfn(0);
}
