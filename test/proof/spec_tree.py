# SPDX-License-Identifier: MIT
"""test/proof/spec_tree.py - bitmaps under a tree of summaries (mm/bits.c), changes at every height up to 64^6 bits

The invariant is about all words; a proof is given it for the few that matter (fewer assumptions prove no less),
and shows it afterwards for any word, which is one that nothing is known of.
"""
import z3
from z3 import And, BitVecVal, Extract, If, Implies, LShR, Not, Or, UGE, UGT, ULE, ULT

from prove import spec
from spec_bits import has, word_where

HEIGHTS = range(1, 7)
NONE = BitVecVal((1 << 64) - 1, 64)


class Tree:
    """A struct bits of n bits under so many levels, with any contents."""

    def __init__(self, f, height):
        self.f, self.height, self.n = f, height, f.word("n")
        f.given(UGT(self.n, 64 ** (height - 1) if height > 1 else 0), ULE(self.n, 64 ** height))
        words = z3.Array("b", z3.BitVecSort(61), z3.BitVecSort(64))

        def member(name, value, n=0):
            nonlocal words
            words = z3.Store(words, BitVecVal(f.number("at_bits_" + name) // 8 + n, 61), value)
        member("n", self.n)
        bits = self.n
        for level in range(height):
            bits = LShR(bits + 63, 6)
            member("level", f.region(f"level{level}", bits * 8), level)
        at = BitVecVal(f.number("at_bits_levels") // 8, 61)
        f.given(Extract(31, 0, words[at]) == height)
        self.b = f.region("b", f.number("size_bits"), words)

    def word(self, level, i):
        return self.f.contents(f"level{level}")[Extract(60, 0, i)]

    def bit(self, i):
        return has(self.word(0, LShR(i, 6)), i & 63)

    def sound(self, i, levels=None):
        """The invariant at the words above bit i."""
        return [has(self.word(level + 1, LShR(i, 6 * (level + 2))), LShR(i, 6 * (level + 1)) & 63) ==
                (self.word(level, LShR(i, 6 * (level + 1))) != 0) for level in range(self.height - 1)]

    def some_bit(self, name):
        i = self.f.word(name)
        self.f.given(ULT(i, self.n))
        return i


def change(f, height, to):
    t = Tree(f, height)
    i, other = t.some_bit("i"), t.some_bit("other")
    f.given(*t.sound(i), *t.sound(other))
    before = t.bit(other)
    f.call(t.b, i)
    f.goal("the bits", t.bit(other) == If(other == i, z3.BoolVal(to), before))
    for level, holds in enumerate(t.sound(other)):
        f.goal(f"summary {level + 1}", holds)


@spec("bits_set", "exactly bit i changes, and every summary stays true; for each height", HEIGHTS)
def _(f, height):
    change(f, height, True)


@spec("bits_clear", "exactly bit i changes, and every summary stays true; for each height", HEIGHTS)
def _(f, height):
    change(f, height, False)


def search(f, height, up):
    t = Tree(f, height)
    i, other = t.some_bit("i"), t.some_bit("other")
    f.given(*t.sound(other))

    def read(region, at, word):     # the invariant for the words that are read; no bit at or beyond n is set
        if not region.startswith("level"):
            return []
        level, at = int(region[len("level"):]), z3.ZeroExt(3, at)
        known = [Implies(LShR(t.n, 6) == at, LShR(word, t.n & 63) == 0)] if level == 0 else []
        if level + 1 < height:
            exists = ULT(at, LShR(t.n + (64 ** (level + 1) - 1), 6 * (level + 1)))
            known.append(has(t.word(level + 1, LShR(at, 6)), at & 63) == And(exists, word != 0))
        return known
    f.machine.on_load = read
    r = f.call(t.b, i)
    f.goal("a set bit", Or(r == NONE, And(t.bit(r), ULT(r, t.n), UGE(r, i) if up else ULE(r, i))))
    between = And(UGE(other, i), Or(r == NONE, ULT(other, r))) if up else And(ULE(other, i), Or(r == NONE, UGT(other, r)))
    f.goal("none before it", Implies(between, Not(t.bit(other))))


@spec("bits_next", "the lowest set bit at or above i, or none; one and two levels", range(1, 3))
def _(f, height):
    search(f, height, True)


@spec("bits_prev", "the highest set bit at or below i, or none; one and two levels", range(1, 3))
def _(f, height):
    search(f, height, False)


@spec("part", "the bits of a word that lie in [first, end), for each word that has some")
def _(f):
    w, first, end, i = (f.word(name) for name in ("w", "first", "end", "i"))
    f.given(ULT(w, 1 << 58), ULT(w << 6, end), ULT(first, (w + 1) << 6), ULT(i, 64))
    at = (w << 6) + i
    f.goal("its bits", has(f.call(w, first, end), i) == And(UGE(at, first), ULT(at, end)))


WORDS_OF_A_RANGE = 2


def change_range(f, height, to):
    t = Tree(f, height)
    first, end, other = f.word("first"), f.word("end"), t.some_bit("other")
    f.given(ULE(end, t.n), ULE(t.n, 64 * WORDS_OF_A_RANGE))
    for i in range(WORDS_OF_A_RANGE if height > 1 else 0):
        f.given(Implies(ULT(64 * i, t.n), And(*t.sound(BitVecVal(64 * i, 64)))))
    before = t.bit(other)
    f.call(t.b, first, end)
    f.goal("the bits", t.bit(other) == If(And(UGE(other, first), ULT(other, end)), z3.BoolVal(to), before))
    for level, holds in enumerate(t.sound(other)):
        f.goal(f"summary {level + 1}", holds)


@spec("bits_set_range", "exactly the bits of the range change, and the summary stays true; for up to 128 bits", range(1, 3))
def _(f, height):
    change_range(f, height, True)


@spec("bits_clear_range", "the same", range(1, 3))
def _(f, height):
    change_range(f, height, False)
