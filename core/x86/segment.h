/* SPDX-License-Identifier: MIT */
/*
 * core/x86/segment.h - segment descriptors taken apart and put together, and addresses through them
 *
 *   +-----------------------+---+-----+---+------+
 *   | Base address (32 bit) | G | B/D | L | AVL  |
 *   +-----------------------+---+-----+---+------+
 *   | Limit (20 bits)       | P | DPL | S | Type |
 *   +-----------------------+---+-----+---+------+
 *
 * Portable: it computes what the CPU would, and touches no register.
 */
#ifndef CORE_X86_SEGMENT_H
#define CORE_X86_SEGMENT_H

#include "mm/err.h"
#include "mm/types.h"

/* Bits of `type` with s: code or data. SDM 3A "Code- and Data-Segment Descriptor Types" */
#define SEGMENT_ACCESSED   1u
#define SEGMENT_WRITABLE   2u /* data: writes allowed; code: reads allowed                    */
#define SEGMENT_DOWN       4u /* data: the limit is its lower end; code: conforming           */
#define SEGMENT_CODE       8u

/* Values of `type` without s. SDM 3A "System-Segment and Gate-Descriptor Types" */
enum { SEGMENT_LDT = 2, SEGMENT_TSS = 9, SEGMENT_TSS_BUSY = 11, SEGMENT_CALL_GATE = 12 };

struct segment {
    uint64_t base;    /* 32 bits; of a system segment in long mode 64       */
    uint32_t limit;   /* 20 bits, in bytes or in pages                      */
    unsigned type;    /* 4 bits                                             */
    unsigned dpl;     /* which ring may use it                              */
    bool     s;       /* code or data, not the system's own                 */
    bool     p;       /* present                                            */
    bool     l, db;   /* 64-bit code; 32-bit (16-bit when neither)          */
    bool     g;       /* the limit counts pages                             */
    bool     avl;     /* software's                                         */
};

/* A selector: "0x2b is entry 5 of the GDT, asked for by ring 3" */
static inline unsigned selector_offset(unsigned selector) { return selector & 0xFFF8; }
static inline bool     selector_in_ldt(unsigned selector) { return (selector & 4) != 0; }
static inline unsigned selector_rpl(unsigned selector) { return selector & 3; }

/* segment_words - how many 8-byte words a descriptor takes in long mode: 2 for a system segment, else 1 */
static inline unsigned segment_words(uint64_t word) { return word != 0 && (word >> 44 & 1) == 0 ? 2 : 1; }

/* segment_decode - the fields of a descriptor; words[segment_words(words[0])] */
struct segment segment_decode(const uint64_t words[]);

/*
 * segment_encode - the opposite; out[1] is written for system segments only
 *
 *   Errors  ERR_INVAL  a field has more bits than there is room for, or code is both 64-bit and 32-bit
 */
err_t segment_encode(const struct segment *s, uint64_t out[2]) MUST_USE;

/* segment_last - the highest offset that `limit` and `g` name, in bytes */
static inline uint64_t segment_last(const struct segment *s) { return s->g ? (uint64_t)s->limit << 12 | 0xFFF : s->limit; }

/* segment_describe - "code, execute/read, accessed, 64-bit"; returns out */
#define SEGMENT_TEXT 64
char *segment_describe(const struct segment *s, char out[SEGMENT_TEXT]);

/* ---- addresses --------------------------------------------------------------------------------- */

/* segment_real - real mode: segment * 16 + offset; up to 0x10FFEF, and the A20 line decides about bit 20 */
static inline uint32_t segment_real(uint16_t segment, uint16_t offset) { return (uint32_t)segment * 16 + offset; }

/* A table as LGDT or LLDT was told of it; n_bytes 0: there is none */
struct segment_table {
    const uint64_t *words;
    uint64_t        n_bytes;
};

enum segment_access { SEGMENT_READ, SEGMENT_WRITE, SEGMENT_FETCH };

/* What an address goes through, and who asks */
struct segment_request {
    struct segment_table gdt, ldt;
    unsigned             selector;
    uint64_t             offset;
    unsigned             n_bytes; /* from there on, at least 1 */
    enum segment_access  access;
    unsigned             cpl;
    bool                 long_mode; /* the code that asks is 64-bit */
};

/*
 * segment_linear - the linear address behind selector:offset, as protected mode computes and checks it
 *
 *   out   written only on ERR_OK      used  the descriptor, if one was found      why  else the reason, in words
 *
 *   Errors  ERR_INVAL  null selector, or the wrong kind of segment      ERR_NOENT   no such entry, not present
 *           ERR_PERM   privilege or rights       ERR_OUTSIDE  beyond the limit
 *   Source  SDM 3A "Logical and Linear Addresses", "Limit Checking", "Type Checking", "Privilege Levels"
 */
err_t segment_linear(const struct segment_request *r, struct segment *used, uint64_t *out, const char **why) MUST_USE;

#endif
