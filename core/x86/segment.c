/* SPDX-License-Identifier: MIT */
/*
 * core/x86/segment.c - segment descriptors, and addresses through them
 *
 *     63        56 55  52 51   48 47          40 39           16 15          0
 *   +------------+-------+-------+--------------+---------------+-------------+
 *   | base 31:24 | flags | limit | P DPL S type |   base 23:0   |  limit 15:0 |
 *   +------------+-------+-------+--------------+---------------+-------------+
 *                  G D L A 19:16
 *
 * The pieces of base and limit lie apart because the 286 had 24 and 16 bits of them. In long mode a system
 * segment (LDT, TSS) has a second word with base 63:32.
 *
 * Source  SDM 3A "Segment Descriptors", "Segment Descriptor Tables in IA-32e Mode"
 */
#include "core/x86/segment.h"

#define BITS(word, from, n) ((word) >> (from) & (((uint64_t)1 << (n)) - 1))

struct segment segment_decode(const uint64_t words[])
{
    uint64_t       w = words[0];
    struct segment s = {
        .base = BITS(w, 16, 24) | BITS(w, 56, 8) << 24,
        .limit = (uint32_t)(BITS(w, 0, 16) | BITS(w, 48, 4) << 16),
        .type = (unsigned)BITS(w, 40, 4),
        .s = BITS(w, 44, 1),
        .dpl = (unsigned)BITS(w, 45, 2),
        .p = BITS(w, 47, 1),
        .avl = BITS(w, 52, 1),
        .l = BITS(w, 53, 1),
        .db = BITS(w, 54, 1),
        .g = BITS(w, 55, 1),
    };

    if (segment_words(w) == 2)
        s.base |= words[1] << 32;
    return s;
}

err_t segment_encode(const struct segment *s, uint64_t out[2])
{
    if ((s->s && s->base >> 32 != 0) || s->limit >> 20 != 0 || s->type > 15 || s->dpl > 3 || (s->l && s->db))
        return ERR_INVAL;
    out[0] = BITS(s->base, 0, 24) << 16 | BITS(s->base, 24, 8) << 56 | (s->limit & 0xFFFF) |
             (uint64_t)(s->limit >> 16) << 48 | (uint64_t)s->type << 40 | (uint64_t)s->s << 44 | (uint64_t)s->dpl << 45 |
             (uint64_t)s->p << 47 | (uint64_t)s->avl << 52 | (uint64_t)s->l << 53 | (uint64_t)s->db << 54 |
             (uint64_t)s->g << 55;
    if (!s->s)
        out[1] = s->base >> 32;
    return ERR_OK;
}

/* ---- words ------------------------------------------------------------------------------------- */

static void add(char out[SEGMENT_TEXT], const char *text)
{
    size_t at = __builtin_strlen(out), n = __builtin_strlen(text);

    if (at + n < SEGMENT_TEXT)
        __builtin_memcpy(out + at, text, n + 1);
}

static const char *system_name(unsigned type)
{
    switch (type) {
    case SEGMENT_LDT: return "LDT";
    case SEGMENT_TSS: return "64-bit TSS, available";
    case SEGMENT_TSS_BUSY: return "64-bit TSS, busy";
    case SEGMENT_CALL_GATE: return "call gate";
    default: return "reserved";
    }
}

char *segment_describe(const struct segment *s, char out[SEGMENT_TEXT])
{
    bool code = (s->type & SEGMENT_CODE) != 0, second = (s->type & SEGMENT_WRITABLE) != 0;

    out[0] = '\0';
    if (!s->s) {
        add(out, system_name(s->type));
    } else {
        add(out, code ? second ? "code, execute/read" : "code, execute only" : second ? "data, read/write" : "data, read only");
        if ((s->type & SEGMENT_DOWN) != 0)
            add(out, code ? ", conforming" : ", expands down");
        if ((s->type & SEGMENT_ACCESSED) != 0)
            add(out, ", accessed");
        add(out, s->l ? ", 64-bit" : s->db ? ", 32-bit" : ", 16-bit");
    }
    if (!s->p)
        add(out, ", not present");
    return out;
}

/* ---- addresses --------------------------------------------------------------------------------- */

static err_t refuse(const char **why, err_t err, const char *words)
{
    if (why != NULL)
        *why = words;
    return err;
}

static err_t find(const struct segment_request *r, struct segment *s, const char **why)
{
    const struct segment_table *t = selector_in_ldt(r->selector) ? &r->ldt : &r->gdt;
    unsigned                    offset = selector_offset(r->selector);

    if (!selector_in_ldt(r->selector) && offset == 0)
        return refuse(why, ERR_INVAL, "a null selector");
    if (t->n_bytes == 0)
        return refuse(why, ERR_NOENT, "no LDT is loaded");
    if (offset + 8 > t->n_bytes || offset + 8 * segment_words(t->words[offset / 8]) > t->n_bytes)
        return refuse(why, ERR_NOENT, "beyond the table's limit");
    *s = segment_decode(&t->words[offset / 8]);
    return ERR_OK;
}

static err_t check_rights(const struct segment_request *r, const struct segment *s, const char **why)
{
    bool     code = (s->type & SEGMENT_CODE) != 0, second = (s->type & SEGMENT_WRITABLE) != 0;
    unsigned asks = r->cpl > selector_rpl(r->selector) ? r->cpl : selector_rpl(r->selector);

    if (!s->s)
        return refuse(why, ERR_INVAL, "a system segment: neither code nor data");
    if (r->access == SEGMENT_FETCH && !code)
        return refuse(why, ERR_INVAL, "a data segment: nothing to execute");
    if (r->access == SEGMENT_WRITE && (code || !second))
        return refuse(why, ERR_PERM, code ? "a code segment: never writable" : "a data segment that is read only");
    if (r->access == SEGMENT_READ && code && !second)
        return refuse(why, ERR_PERM, "a code segment that is execute only");
    if (r->access == SEGMENT_FETCH ? (s->type & SEGMENT_DOWN) != 0 ? s->dpl > r->cpl : s->dpl != r->cpl
                                   : !(code && (s->type & SEGMENT_DOWN) != 0) && s->dpl < asks)
        return refuse(why, ERR_PERM, "its privilege level (DPL) does not let this ring in");
    if (!s->p)
        return refuse(why, ERR_NOENT, "not present");
    return ERR_OK;
}

/* The limit is the last byte inside; of a segment that expands down, the last byte outside. */
static bool inside(const struct segment_request *r, const struct segment *s)
{
    uint64_t last = r->offset + r->n_bytes - 1, limit = segment_last(s);

    if (last < r->offset)
        return false;
    if ((s->type & SEGMENT_CODE) == 0 && (s->type & SEGMENT_DOWN) != 0)
        return r->offset > limit && last <= (s->db ? UINT32_MAX : UINT16_MAX);
    return last <= limit;
}

err_t segment_linear(const struct segment_request *r, struct segment *used, uint64_t *out, const char **why)
{
    struct segment s;
    err_t          err = find(r, &s, why);

    if (err != ERR_OK)
        return err;
    if (used != NULL)
        *used = s;
    err = check_rights(r, &s, why);
    if (err != ERR_OK)
        return err;
    if (!r->long_mode && !s.l && !inside(r, &s))
        return refuse(why, ERR_OUTSIDE, "beyond the limit");
    /* In 64-bit code nothing is left of base and limit: SDM 3A "Segmentation in IA-32e Mode" */
    *out = r->long_mode || s.l ? r->offset : (s.base + r->offset) & UINT32_MAX;
    return ERR_OK;
}
