# SPDX-License-Identifier: MIT
"""test/proof/spec_pages.py - addresses and entries of page tables, from the manual

The positions of bits are written out here from the manual's tables of entry formats (SDM 3A, "4-Level Paging
and 5-Level Paging"), not taken from mm/pte.h. An address is its indexes: digit l is the nine bits that choose
the entry in the table of level l.
"""
import z3
from z3 import And, BitVecVal, Concat, Extract, If, Implies, LShR, Not, Or, UGE, ULE, ULT

from prove import spec
from spec_bits import has, word_where

LEVELS = (4, 5)
P, W, U, PWT, PCD, A, D, PS, PAT, G, PAT_LARGE, NX = 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 12, 63
TABLE_LEVELS = [(n, level) for n in LEVELS for level in range(1, n + 1)]
PAGE_LEVELS = (1, 2, 3)     # 4 KiB, 2 MiB, 1 GiB
MAY_BE_GIVEN = {W, U, PWT, PCD, A, D, PAT, G, 9, 10, 11, *range(52, 64)}     # what a caller may say of a page


def width(levels):
    return 12 + 9 * levels


def digit(address, level):
    low = 12 + 9 * (level - 1)
    return Extract(low + 8, low, address)


def sign_extended(x, levels):
    """Bits 63 down to the highest translated one are equal."""
    top = Extract(63, width(levels) - 1, x)
    return Or(top == 0, top == (1 << (64 - width(levels) + 1)) - 1)


def recursive(levels):
    return {4: 511, 5: 510}[levels]


def low_page(f, levels, name="page"):
    page = f.word(name)
    f.given(ULT(page, 1 << (9 * levels)))
    return page


# ---- addresses -------------------------------------------------------------------------------------------------

@spec("slot_shift", "39 and 48", LEVELS)
def _(f, levels):
    f.goal("result", f.call(levels) == {4: 39, 5: 48}[levels])


@spec("recursive_slot", "511, with five levels 510", LEVELS)
def _(f, levels):
    f.goal("result", f.call(levels) == recursive(levels))


@spec("canonical", "the translated bits stay, those above are copies of the highest of them", LEVELS)
def _(f, levels):
    x, n = f.word("x"), width(levels)
    r = f.call(x, levels)
    f.goal("kept", Extract(n - 1, 0, r) == Extract(n - 1, 0, x))
    f.goal("above", sign_extended(r, levels))


@spec("is_canonical", "bits 63 .. 47, with five levels 63 .. 56, are equal", LEVELS)
def _(f, levels):
    x = f.word("x")
    f.goal("result", f.call(x, levels) == sign_extended(x, levels))


@spec("slot_base", "the first address whose top index is the slot; the kernel's half lies in the upper 128 TiB", LEVELS)
def _(f, levels):
    slot = f.word("slot", 32)
    f.given(ULT(slot, 512))
    r = f.call(slot, levels)
    of = If(ULT(slot, 256), BitVecVal(levels, 32), BitVecVal(4, 32))
    f.goal("canonical with 5", sign_extended(r, 5))
    f.goal("canonical with 4", Implies(Or(levels == 4, UGE(slot, 256)), sign_extended(r, 4)))
    for n in LEVELS:
        f.goal(f"index {n}", Implies(of == n, And(Concat(BitVecVal(0, 23), digit(r, n)) == slot,
                                                   Extract(12 + 9 * (n - 1) - 1, 0, r) == 0)))


@spec("level_pages", "512^(level - 1)", range(1, 6))
def _(f, level):
    f.goal("result", f.call(level) == 512 ** (level - 1))


@spec("pt_index", "digit `level` of the address", range(1, 6))
def _(f, level):
    page = f.word("page")
    f.given(ULT(page, 1 << 52))
    f.goal("result", f.call(page, level) == Concat(BitVecVal(0, 23), digit(page << 12, level)))


def page_table(f, levels):
    words = z3.Array("pt words", z3.BitVecSort(61), z3.BitVecSort(64))
    pt = f.region("pt", f.number("size_pt"), words)
    at = f.number("at_pt_levels")
    f.given(Extract(at % 8 * 8 + 31, at % 8 * 8, words[at // 8]) == levels)
    return pt


@spec("page_va", "the canonical address of a page; va_page() takes it back", LEVELS)
def _(f, levels):
    pt, page = page_table(f, levels), low_page(f, levels)
    r = f.call(pt, page)
    f.goal("canonical", sign_extended(r, levels))
    f.goal("its page", And(Extract(11, 0, r) == 0, Extract(width(levels) - 1, 12, r) == Extract(9 * levels - 1, 0, page)))
    f.goal("inverse", f.call(pt, r, name="va_page") == page)


@spec("va_page", "the page that holds an address; page_va() is the page's first address", LEVELS)
def _(f, levels):
    pt, v = page_table(f, levels), f.word("v")
    f.given(sign_extended(v, levels))
    page = f.call(pt, v)
    f.goal("range", ULT(page, 1 << (9 * levels)))
    f.goal("inverse", f.call(pt, page, name="page_va") == Concat(Extract(63, 12, v), BitVecVal(0, 12)))


@spec("next_page", "the next multiple of level_pages(level) above the page, or the end", range(1, 6))
def _(f, level):
    page, end = low_page(f, 5), low_page(f, 5, "end")
    f.given(ULT(page, end))
    r, size, other = f.call(page, end, level), 512 ** (level - 1), f.word("other")
    f.goal("above, to the end", And(z3.UGT(r, page), ULE(r, end)))
    f.goal("of the level", Or(r == end, r & (size - 1) == 0))
    f.goal("the next", Implies(And(z3.UGT(other, page), other & (size - 1) == 0), UGE(other, r)))


@spec("pt_is_recursive", "the top table's recursive slot", TABLE_LEVELS)
def _(f, case):
    levels, level = case
    pt, i = page_table(f, levels), f.word("i", 32)
    f.given(ULT(i, 512))
    f.goal("result", f.call(pt, level, i) == And(i == recursive(levels), level == levels))


# ---- the recursive slot ------------------------------------------------------------------------------------------

def through_recursion(v, level, levels):
    """The indexes of the entry's address: the slot `level` times, then those of v down to above `level`."""
    slot = BitVecVal(recursive(levels), 9)
    digits = [slot] * level + [digit(v, n) for n in range(levels, level, -1)]
    low = Concat(*digits, digit(v, level), BitVecVal(0, 3))
    return z3.SignExt(64 - low.size(), low)


def walk(tables, root, v, levels, steps):
    """The frame that a walk from the top is at after so many steps."""
    frame = root
    for n in range(steps):
        frame = tables[Concat(frame, digit(v, levels - n))]
    return frame


def is_entry(f, entry, v, level, levels):
    """The CPU's walk of `entry` ends in the table of `level` on v's own walk, at v's index; for all tables."""
    tables = z3.Array("tables", z3.BitVecSort(49), z3.BitVecSort(40))     # (frame, index) -> frame
    root = f.word("root", 40)
    f.given(tables[Concat(root, BitVecVal(recursive(levels), 9))] == root)
    f.goal("the CPU's walk", walk(tables, root, entry, levels, levels) == walk(tables, root, v, levels, levels - level))
    f.goal("its index", Extract(11, 0, entry) == Concat(digit(v, level), BitVecVal(0, 3)))
    f.goal("canonical", sign_extended(entry, levels))


@spec("recursion", "every index is the recursive slot", LEVELS)
def _(f, levels):
    low = Concat(*[BitVecVal(recursive(levels), 9)] * levels, BitVecVal(0, 12))
    f.goal("result", f.call(levels) == z3.SignExt(64 - low.size(), low))


@spec("entry_address", "where the CPU's walk by the recursive slot ends at the entry of a level", TABLE_LEVELS)
def _(f, case):
    levels, level = case
    v = f.word("v")
    r = f.call(v, level, levels)
    f.goal("indexes", r == through_recursion(v, level, levels))
    is_entry(f, r, v, level, levels)


@spec("vtopte", "entry_address() of level 1; applied to its own result, of level 2, and so on to the top", LEVELS)
def _(f, levels):
    v = f.word("v")
    entry = v
    for level in range(1, levels + 1):
        entry = f.call(entry, levels) if level == 1 else f.call(entry, levels, name="vtopte")
        f.goal(f"level {level}", entry == through_recursion(v, level, levels))


@spec("pt_entry_address", "the same, from a struct pt", TABLE_LEVELS)
def _(f, case):
    levels, level = case
    pt, v = page_table(f, levels), f.word("v")
    r = f.call(pt, v, level)
    f.goal("indexes", r == through_recursion(v, level, levels))


@spec("pt_table_va", "where the CPU's walk by the recursive slot ends at the table of a level", TABLE_LEVELS)
def _(f, case):
    levels, level = case
    pt, page = page_table(f, levels), low_page(f, levels)
    expected = through_recursion(page << 12, level, levels)
    f.goal("result", f.call(pt, page, level) == Concat(Extract(63, 12, expected), BitVecVal(0, 12)))


# ---- entries ---------------------------------------------------------------------------------------------------------

def cpu(f):
    """What the CPU can hold: (MAXPHYADDR, NX may be set, has 1 GiB pages), whatever they are."""
    words = z3.Array("pte_cpu words", z3.BitVecSort(61), z3.BitVecSort(64))
    f.machine.region("@pte_cpu", 8, words)
    word = words[0]

    def member(name, bits):
        low = 8 * f.number("at_pte_cpu_" + name)
        return Extract(low + bits - 1, low, word)
    m, nx, gib = member("phys_bits", 32), member("nx", 8), member("gib_pages", 8)
    f.given(UGE(m, 32), ULE(m, 52), ULE(nx, 1), ULE(gib, 1))
    return m, nx == 1, gib == 1


def reserved_bit(i, e, level, m, nx, gib):
    """Does bit i, set in a present entry, fault? (SDM 3A, "Page-Fault Exceptions": reserved bits)"""
    yes, no = z3.BoolVal(True), z3.BoolVal(False)
    if 32 <= i <= 51:
        beyond = ULE(m, i)
    else:
        beyond = no
    if i == NX:
        return Not(nx)
    if i == PS and level >= 4:
        return yes
    if i == PS and level == 3:
        return Not(gib)
    if level in (2, 3) and 13 <= i < 12 + 9 * (level - 1):
        return Or(beyond, has(e, PS))
    return beyond


def some_leaf(f, level, m, nx):
    """A frame and flags that may be given to pte_leaf()."""
    frame, flags = f.word("frame"), f.word("flags")
    f.given(ULT(frame, BitVecVal(1, 64) << (z3.ZeroExt(32, m) - 12)), frame & (512 ** (level - 1) - 1) == 0,
            *[Not(has(flags, i)) for i in range(64) if i not in MAY_BE_GIVEN], Implies(has(flags, NX), nx))
    return frame, flags


@spec("pte_present", "bit 0")
def _(f):
    e = f.word("e")
    f.goal("result", f.call(e) == has(e, P))


@spec("pte_is_leaf", "a page, not a table: level 1, or PS at levels 2 and 3", range(1, 6))
def _(f, level):
    e = f.word("e")
    f.goal("result", f.call(e, level) == {1: z3.BoolVal(True), 2: has(e, PS), 3: has(e, PS)}.get(level, z3.BoolVal(False)))


@spec("pte_frame_limit", "2^(MAXPHYADDR - 12)")
def _(f):
    m, _, _ = cpu(f)
    f.goal("result", f.call() == word_where(lambda i: m == i + 12))


@spec("pte_leaf", "each bit where the manual has it; pte_frame(), pte_flags() take it back; none is reserved", PAGE_LEVELS)
def _(f, level):
    m, nx, gib = cpu(f)
    frame, flags = some_leaf(f, level, m, nx)
    f.given(level < 3 or gib)
    e = f.call(frame, flags, level)

    def bit(i):
        if i == P:
            return z3.BoolVal(True)
        if level > 1 and i == PS:
            return z3.BoolVal(True)
        if level > 1 and i == PAT_LARGE:
            return has(flags, PAT)
        return Or(has(flags, i), has(frame, i - 12) if i >= 12 else False)
    f.goal("its bits", e == word_where(bit))
    f.goal("frame", f.call(e, level, name="pte_frame") == frame)
    f.goal("flags", f.call(e, level, name="pte_flags") == flags)
    f.goal("a present page", And(f.call(e, name="pte_present"), f.call(e, level, name="pte_is_leaf")))
    f.goal("not reserved", f.call(e, level, name="pte_reserved") == 0)


def some_page(f, level):
    """Any entry of a page that the CPU accepts."""
    m, nx, gib = cpu(f)
    e = f.word("e")
    f.given(has(e, P), level == 1 or has(e, PS),
            *[Implies(has(e, i), Not(reserved_bit(i, e, level, m, nx, gib))) for i in range(64)])
    return e


@spec("pte_frame", "of a page without reserved bits, or of the table that an entry leads to", range(1, 6))
def _(f, level):
    if level <= 3:
        e = some_page(f, level)
        low = 12 + 9 * (level - 1)
        f.goal("of a page", f.call(e, level) == word_where(
            lambda i: has(e, i + 12) if low - 12 <= i < 40 else z3.BoolVal(False)))
    if level >= 2:
        t = f.word("t")
        f.given(Not(has(t, PS)))
        f.goal("of a table", f.call(t, level) == z3.ZeroExt(24, Extract(51, 12, t)))


@spec("pte_flags", "of any page without reserved bits: pte_leaf() makes the same entry of its frame and flags", PAGE_LEVELS)
def _(f, level):
    e = some_page(f, level)
    flags = f.call(e, level)
    frame = f.call(e, level, name="pte_frame")
    f.goal("inverse", f.call(frame, flags, level, name="pte_leaf") == e)
    f.goal("its bits", flags == word_where(
        lambda i: has(e, PAT_LARGE if level > 1 and i == PAT else i) if i in MAY_BE_GIVEN else z3.BoolVal(False)))


@spec("pte_table", "pte_frame(), pte_count() take it back; present, writable, no page, nothing reserved", range(2, 6))
def _(f, level):
    m, _, _ = cpu(f)
    frame, user, in_use = f.word("frame"), z3.Bool("user"), f.word("in_use", 32)
    f.given(ULT(frame, BitVecVal(1, 64) << (z3.ZeroExt(32, m) - 12)), ULE(in_use, 512))
    e = f.call(frame, user, in_use)
    f.goal("its bits", e == word_where(lambda i: {P: z3.BoolVal(True), W: z3.BoolVal(True), A: z3.BoolVal(True), U: user}.get(
        i, has(frame, i - 12) if 12 <= i < 52 else has(in_use, i - 52) if 52 <= i < 62 else z3.BoolVal(False))))
    f.goal("frame", f.call(e, level, name="pte_frame") == frame)
    f.goal("count", f.call(e, name="pte_count") == in_use)
    f.goal("a present table", And(f.call(e, name="pte_present"), Not(f.call(e, level, name="pte_is_leaf"))))
    f.goal("not reserved", f.call(e, level, name="pte_reserved") == 0)


@spec("pte_count", "bits 61:52")
def _(f):
    e = f.word("e")
    f.goal("result", f.call(e) == z3.ZeroExt(22, Extract(61, 52, e)))


@spec("pte_reserved", "exactly the bits that fault, by MAXPHYADDR, level, PS, EFER.NXE and 1 GiB pages", range(1, 6))
def _(f, level):
    m, nx, gib = cpu(f)
    e = f.word("e")
    f.goal("result", f.call(e, level) == word_where(lambda i: And(has(e, i), reserved_bit(i, e, level, m, nx, gib))))


@spec("pte_start", "MAXPHYADDR outside 32 .. 52 is refused and changes nothing; else it is kept")
def _(f):
    words = z3.Array("new words", z3.BitVecSort(61), z3.BitVecSort(64))
    new = f.region("new", 8, words)
    f.region("@pte_cpu", 8)
    before = f.contents("@pte_cpu")[0]
    r = f.call(new)
    low = 8 * f.number("at_pte_cpu_phys_bits")
    m = Extract(low + 31, low, words[0])
    fits = And(UGE(m, 32), ULE(m, 52))
    f.goal("answer", (r == 0) == fits)
    f.goal("kept", f.contents("@pte_cpu")[0] == If(fits, words[0], before))


@spec("cache_name", "the name at PAT, PCD, PWT")
def _(f):
    flags = f.word("flags")
    names = f.machine.global_region("@cache_name.names")
    index = Concat(BitVecVal(0, 59), Extract(PAT, PAT, flags), Extract(PCD, PCD, flags), Extract(PWT, PWT, flags), BitVecVal(0, 2))
    f.goal("result", f.call(flags) == names.base + index)
