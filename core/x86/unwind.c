/* SPDX-License-Identifier: MIT */
/*
 * core/x86/unwind.c - who called whom, from the tables that the compiler left in .pdata
 *
 * The Windows x64 convention has no chain of frame pointers. Instead the image holds, for each function,
 * what its prologue did to the stack (pushes, an allocation, a frame register); undoing that step by
 * step gives the caller's registers, exactly, through interrupts too (trap.S describes itself).
 *
 * Source: Microsoft, "x64 exception handling" (RUNTIME_FUNCTION, UNWIND_INFO, UNWIND_CODE).
 */
#include "core/x86/unwind.h"

#include "core/log.h"
#include "core/x86/image.h"
#include "core/x86/insn.h"
#include "core/x86/trap.h"

#define FRAMES_MAX 32

enum { RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7, R12 = 12 };
enum unwind_op {
    PUSH_NONVOL = 0, ALLOC_LARGE = 1, ALLOC_SMALL = 2, SET_FPREG = 3, SAVE_NONVOL = 4, SAVE_NONVOL_FAR = 5,
    SAVE_XMM128 = 8, SAVE_XMM128_FAR = 9, PUSH_MACHFRAME = 10,
};
#define UNWIND_CHAINED 4u

struct runtime_function { uint32_t begin, end, unwind; }; /* addresses relative to the image */

struct unwind_info {
    uint8_t version_flags, prologue_bytes, n_codes, frame_reg;
    uint16_t codes[]; /* offset in the prologue:8, operation:4, info:4 */
};

struct regs {
    uint64_t r[16];
    uint64_t rip;
};

struct symbol { uint32_t rva, name; };
extern const struct symbol symtab_entries[];
extern const uint32_t      symtab_count;
extern const char          symtab_names[];

const char *symbol_name(uint64_t address, uint64_t *offset)
{
    struct image_part text = image_part_of(address);
    uint64_t rva = address - image_base();
    uint32_t low = 0, high = symtab_count;

    if (!text.executable || high == 0)
        return NULL;
    while (high - low > 1) { /* invariant: the answer is in [low, high) */
        uint32_t mid = low + (high - low) / 2;

        if (symtab_entries[mid].rva <= rva)
            low = mid;
        else
            high = mid;
    }
    if (symtab_entries[low].rva > rva)
        return NULL;
    *offset = rva - symtab_entries[low].rva;
    return symtab_names + symtab_entries[low].name;
}

static const struct runtime_function *function_of(uint64_t rip)
{
    size_t n;
    const struct runtime_function *table = image_directory(IMAGE_EXCEPTIONS, &n);
    uint64_t rva = rip - image_base();

    n /= sizeof *table;
    for (size_t low = 0, high = n; low < high;) {
        size_t mid = low + (high - low) / 2;

        if (rva < table[mid].begin)
            high = mid;
        else if (rva >= table[mid].end)
            low = mid + 1;
        else
            return &table[mid];
    }
    return NULL;
}

static uint64_t load(uint64_t address) { return *(const uint64_t *)address; }

static unsigned slots_of(enum unwind_op op, unsigned info)
{
    switch (op) {
    case ALLOC_LARGE: return info == 0 ? 2 : 3;
    case SAVE_NONVOL: case SAVE_XMM128: return 2;
    case SAVE_NONVOL_FAR: case SAVE_XMM128_FAR: return 3;
    default: return 1;
    }
}

/* undo_codes - undo what the prologue had done by `done` bytes into it; true after a machine frame */
static bool undo_codes(const struct unwind_info *u, uint64_t done, struct regs *r)
{
    unsigned frame_reg = u->frame_reg & 15, frame_offset = (u->frame_reg >> 4) * 16u;
    uint64_t fixed = frame_reg != 0 ? r->r[frame_reg] - frame_offset : r->r[RSP];

    for (unsigned i = 0; i < u->n_codes;) {
        const uint16_t *code = &u->codes[i];
        enum unwind_op  op = (enum unwind_op)(code[0] >> 8 & 15);
        unsigned        info = code[0] >> 12;

        i += slots_of(op, info);
        if ((code[0] & 0xFFu) > done)
            continue;
        switch (op) {
        case PUSH_NONVOL:
            r->r[info] = load(r->r[RSP]);
            r->r[RSP] += 8;
            break;
        case ALLOC_LARGE:
            r->r[RSP] += info == 0 ? code[1] * (uint64_t)8 : code[1] | (uint64_t)code[2] << 16;
            break;
        case ALLOC_SMALL: r->r[RSP] += info * (uint64_t)8 + 8; break;
        case SET_FPREG: r->r[RSP] = fixed; break;
        case SAVE_NONVOL: r->r[info] = load(fixed + code[1] * (uint64_t)8); break;
        case SAVE_NONVOL_FAR: r->r[info] = load(fixed + (code[1] | (uint64_t)code[2] << 16)); break;
        case PUSH_MACHFRAME:
            r->r[RSP] += info * (uint64_t)8; /* the error code */
            r->rip = load(r->r[RSP]);
            r->r[RSP] = load(r->r[RSP] + 24);
            return true;
        case SAVE_XMM128: case SAVE_XMM128_FAR: break; /* the kernel uses no vector registers */
        }
    }
    return false;
}

/* step - from a function's registers to its caller's; false when there is none */
static bool step(struct regs *r)
{
    const struct runtime_function *f = function_of(r->rip);
    uint64_t before = r->r[RSP];

    if (f != NULL) {
        uint64_t done = r->rip - image_base() - f->begin;

        for (;;) {
            const struct unwind_info *u = (const void *)(image_base() + f->unwind);

            if (undo_codes(u, done, r))
                return r->rip != 0;
            if (!(u->version_flags >> 3 & UNWIND_CHAINED))
                break;
            f = (const void *)&u->codes[(u->n_codes + 1u) & ~1u];
            done = UINT64_MAX; /* the whole prologue of the function it is chained to */
        }
    }
    r->rip = load(r->r[RSP]); /* a leaf has pushed nothing */
    r->r[RSP] += 8;
    return r->rip != 0 && r->r[RSP] > before;
}

static void print_all(void *arg)
{
    const struct unwind_start *s = arg;
    struct regs r = { .rip = s->rip };

    r.r[RSP] = s->rsp, r.r[RBP] = s->rbp, r.r[RBX] = s->rbx, r.r[RSI] = s->rsi, r.r[RDI] = s->rdi;
    for (unsigned i = 0; i < 4; i++)
        r.r[R12 + i] = s->r12_15[i];
    for (unsigned n = 0; n < FRAMES_MAX; n++) {
        uint64_t    offset;
        const char *name = symbol_name(r.rip, &offset);

        if (name == NULL) {
            kprintf("  %2u %#llx\n", n, ULL(r.rip));
            if (n > 0) /* the first may be a wild jump, whose caller is still on the stack */
                return;
        } else {
            kprintf("  %2u %#llx %s+%#llx\n", n, ULL(r.rip), name, ULL(offset));
        }
        if (!step(&r))
            return;
    }
}

void unwind_print(const struct unwind_start *start)
{
    struct unwind_start copy = *start;
    struct trap_caught  caught;

    kprintf("backtrace:\n");
    if (!trap_try(print_all, &copy, &caught))
        kprintf("  (ends: %s at %#llx)\n", trap_name((unsigned)caught.vector), ULL(caught.address));
}

void unwind_here(void)
{
    struct unwind_start start;

    unwind_capture(&start);
    unwind_print(&start);
}
