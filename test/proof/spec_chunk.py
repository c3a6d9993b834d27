# SPDX-License-Identifier: MIT
"""test/proof/spec_chunk.py - where a frame is, and which block its bits say it belongs to"""
import z3
from z3 import And, BitVecVal, Concat, Extract, If, Implies, LShR, Not, Or, UGE, UGT, ULE, ULT

from prove import spec
from spec_bits import has, has_run, word_where

FULL = (1 << 64) - 1
FRAMES = 1 << 18


def wide(x):
    return z3.ZeroExt(64 - x.size(), x)


def index(x):
    """A number as the index of a word of memory."""
    return z3.ZeroExt(61 - x.size(), x) if x.size() < 61 else Extract(60, 0, x)


def place(f, name="at"):
    """A frame of a chunk."""
    at = f.word(name, 32)
    f.given(ULT(at, FRAMES))
    return at


# ---- address, chunk, index ----------------------------------------------------------------------------------------

@spec("row_of", "bits 17:12 of the place in the chunk")
def _(f):
    at = place(f)
    f.goal("result", f.call(at) == z3.ZeroExt(26, Extract(17, 12, at)))


@spec("word_of", "bits 17:6")
def _(f):
    at = place(f)
    f.goal("result", f.call(at) == z3.ZeroExt(20, Extract(17, 6, at)))


@spec("word_in_row", "bits 11:6")
def _(f):
    at = place(f)
    f.goal("result", f.call(at) == z3.ZeroExt(26, Extract(11, 6, at)))


@spec("bit_of", "bits 5:0; with row and word they give the place back")
def _(f):
    at = place(f)
    b = f.call(at)
    f.goal("result", b == z3.ZeroExt(26, Extract(5, 0, at)))
    f.goal("inverse", f.call(at, name="row_of") * 4096 + f.call(at, name="word_in_row") * 64 + b == at)


def chunks(f):
    """fr.chunk, an array of so many chunks that frame numbers have 40 bits."""
    words = z3.Array("fr words", z3.BitVecSort(61), z3.BitVecSort(64))
    f.machine.region("@fr", f.number("size_frames"), words)
    return words[f.number("at_frames_chunk") // 8], f.number("size_fchunk")


@spec("chunk_no", "frame / 2^18")
def _(f):
    frame = f.word("frame")
    f.goal("result", f.call(frame) == z3.UDiv(frame, BitVecVal(FRAMES, 64)))


@spec("chunk_at", "frame modulo 2^18")
def _(f):
    frame = f.word("frame")
    f.goal("result", wide(f.call(frame)) == z3.URem(frame, BitVecVal(FRAMES, 64)))


@spec("chunk_pfn", "takes chunk_no() and chunk_at() of any frame number below 2^40 back")
def _(f):
    first, size = chunks(f)
    frame = f.word("frame")
    f.given(ULT(frame, 1 << 40), ULT(first, 1 << 62))
    no, at = f.call(frame, name="chunk_no"), f.call(frame, name="chunk_at")
    f.goal("inverse", f.call(first + no * size, at) == frame)


@spec("chunk_window", "the part of [lo, hi) that lies in chunk i")
def _(f):
    i, lo, hi, k = f.word("i"), f.word("lo"), f.word("hi"), f.word("k")
    out = f.region("window", 8)
    base = i << 18
    f.given(ULT(i, 1 << 22), ULE(lo, hi), ULE(hi, 1 << 40), ULT(lo, base + FRAMES), UGT(hi, base))
    f.call(i, lo, hi, out)
    window = f.contents("window")[0]
    inside = And(UGE(k, wide(Extract(31, 0, window))), ULT(k, wide(Extract(63, 32, window))))
    f.goal("exactly", inside == And(ULT(k, FRAMES), UGE(base + k, lo), ULT(base + k, hi), ULT(k, 1 << 18)))


# ---- a word of units ------------------------------------------------------------------------------------------------

def units(f, name):
    """(address, free, heads) of a struct units with any contents."""
    words = z3.Array(name, z3.BitVecSort(61), z3.BitVecSort(64))
    return f.region(name, 16, words), words[0], words[1]


@spec("units_avail", "free and not held back")
def _(f):
    u, free, heads = units(f, "u")
    f.goal("result", f.call(u) == word_where(lambda i: And(has(free, i), Not(has(heads, i)))))


@spec("chunk_rows", "the rows of [lo, hi)")
def _(f):
    lo, hi = f.word("lo", 32), f.word("hi", 32)
    f.given(ULE(lo, hi), ULE(hi, FRAMES), lo & 4095 == 0, hi & 4095 == 0)
    f.goal("result", f.call(lo, hi) == word_where(lambda i: And(UGE(BitVecVal(i * 4096, 32), lo), ULT(BitVecVal(i * 4096, 32), hi))))


@spec("starting", "the units of 2^shift frames from `base` on that start in [lo, last]", (0, 6, 12))
def _(f, shift):
    base, lo, last = f.word("base", 32), place(f, "lo"), place(f, "last")
    f.given(ULT(base, FRAMES), base & ((64 << shift) - 1) == 0)
    i = f.word("i", 32)
    f.given(ULT(i, 64))
    unit = base + (i << shift)
    f.goal("bit i", has(f.call(base, shift, lo, last), i) == And(UGE(unit, lo), ULE(unit, last)))


@spec("holding", "the units in which something could start inside [lo, last]", (0, 6, 12))
def _(f, shift):
    base, lo, last = f.word("base", 32), place(f, "lo"), place(f, "last")
    f.given(ULT(base, FRAMES), base & ((64 << shift) - 1) == 0)
    i = f.word("i", 32)
    f.given(ULT(i, 64))
    unit = base + (i << shift)
    f.goal("bit i", has(f.call(base, shift, lo, last), i) == And(UGT(unit + (1 << shift), lo), ULE(unit, last)))


@spec("largest", "the greatest aligned block that starts at `at` and ends by `end`")
def _(f):
    at, end = place(f), f.word("end", 32)
    f.given(ULT(at, end), ULE(end, FRAMES))
    r = f.call(at, end)

    def fits(k):
        return And(at & ((1 << k) - 1) == 0, ULE(at + (1 << k), end))
    f.goal("result", Or(*[And(r == k, fits(k), *([Not(fits(k + 1))] if k < 18 else [])) for k in range(19)]))


# ---- heads: from the address to the block -----------------------------------------------------------------------------

def is_block(free, heads, at, order):
    """Units at .. at + 2^order - 1 are one block, by the table in mm/chunk.h: a head, and units inside it."""
    end = at + (1 << order)
    return And(at & ((1 << order) - 1) == 0, ULE(end, 64), has(heads, at), Not(has(free, at)),
               *[Implies(And(UGT(i, at), ULT(i, end)), And(Not(has(free, i)), Not(has(heads, i))))
                 for i in range(64) for i in [BitVecVal(i, 32)]])


def ends(free, heads, end):
    """What follows a block of frames is told by its own bits."""
    return Or(end == 64, has(free, end), has(heads, end))


@spec("chunk_units_order", "of frames: the order of the block whose head is at `at`", range(6))
def _(f, order):
    u, free, heads = units(f, "u")
    at = f.word("at", 32)
    c = f.region("c", f.number("size_chunk"))
    f.given(ULT(at, 64), is_block(free, heads, at, order), ends(free, heads, at + (1 << order)))
    f.goal("result", f.call(c, 0, 0, u, at, 6) == order)


class Chunk:
    """A chunk with maps, all contents unknown; its members before and after the call."""

    def __init__(self, f):
        self.f = f
        words = z3.Array("c", z3.BitVecSort(61), z3.BitVecSort(64))
        maps = f.region("maps", f.number("size_chunk_maps"))
        words = z3.Store(words, BitVecVal(f.number("at_chunk_maps") // 8, 61), maps)
        self.c = f.region("c", f.number("size_chunk"), words)
        f.given(ULT(maps, 1 << 62))

    def member(self, name, n=0):
        return self.f.contents("c")[BitVecVal(self.f.number("at_chunk_" + name) // 8 + n, 61)]

    def any(self, order):
        return self.member("any", order)

    def n_free(self):
        return Extract(31, 0, self.member("n_free"))

    def word(self, number):
        """(free, heads) of a word of frames."""
        at = index(number) * 2 + self.f.number("at_chunk_maps_word") // 8
        return self.f.contents("maps")[at], self.f.contents("maps")[at + 1]

    def row_any(self, r, order):
        return self.f.contents("maps")[self.row(r) + self.f.number("at_chunk_row_any") // 8 + order]

    def words(self, r):
        at = self.row(r) + self.f.number("at_chunk_row_words") // 8
        return self.f.contents("maps")[at], self.f.contents("maps")[at + 1]

    def row(self, r):
        return index(r) * (self.f.number("size_chunk_row") // 8) + self.f.number("at_chunk_maps_row") // 8


def inside(c, r, w):
    """Word w (a number) of row r is inside a block: nothing is told about it, and its frames are as when free."""
    free, heads = c.words(r)
    own = c.word(r * 64 + w)
    return And(Not(has(free, w)), Not(has(heads, w)), own[0] == FULL, own[1] == 0)


@spec("chunk_words_order", "of words: the order of the block whose head is at word w of row r", range(6))
def _(f, order):
    c, r, w = Chunk(f), f.word("r", 32), f.word("w", 32)
    free, heads = c.words(r)
    end = w + (1 << order)
    told = free | heads
    # Behind the block, units are told about or cut; one that is inside has its head, which is told, before it.
    f.given(ULT(r, 64), ULT(w, 64), is_block(free, heads, w, order),
            *[Implies(And(UGT(v, w), ULT(v, end)), inside(c, r, i)) for i in range(64) for v in [BitVecVal(i, 32)]],
            *[Implies(And(UGE(v, end), Not(Or(*[And(UGE(BitVecVal(k, 32), end), has(told, k)) for k in range(i)])),
                          inside(c, r, i)), z3.BoolVal(False)) for i in range(64) for v in [BitVecVal(i, 32)]])
    f.goal("result", f.call(c.c, r, w) == 6 + order)


@spec("chunk_singles", "those frames of `mask` that are blocks of one frame")
def _(f):
    c, number, mask = Chunk(f), f.word("number", 32), f.word("mask")
    f.given(ULT(number, 4096))
    free, heads = c.word(number)

    def single(i):
        after = z3.BoolVal(True) if i == 63 else Or(has(free, i + 1), has(heads, i + 1))
        return And(has(mask, i), has(heads, i), Not(has(free, i)), after, has(c.member("cut"), LShR(number, 6)))
    f.goal("result", f.call(c.c, number, mask) == word_where(single))
