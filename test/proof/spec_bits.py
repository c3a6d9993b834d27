# SPDX-License-Identifier: MIT
"""test/proof/spec_bits.py - what mm/bits.h promises of one word, said bit by bit"""
import z3
from z3 import And, BitVecVal, Implies, LShR, Not, Or, UGE, ULE, ULT

from prove import spec

ORDERS = range(7)


def has(x, i):
    """Bit i of x, a number or a symbol, is set."""
    if isinstance(i, int):
        return z3.Extract(i, i, x) == 1
    i = z3.ZeroExt(x.size() - i.size(), i) if i.size() < x.size() else i
    return z3.Extract(0, 0, LShR(x, i)) == 1


def word_where(holds, bits=64):
    """The word in which exactly those bits are set for which `holds` is true."""
    return z3.Concat(*[z3.If(holds(i), BitVecVal(1, 1), BitVecVal(0, 1)) for i in reversed(range(bits))])


def run_at(x, i, j):
    """Bits i .. i + 2^j - 1 are set."""
    return And(*[has(x, k) for k in range(i, i + (1 << j))])


def has_run(x, j):
    return Or(*[run_at(x, i, j) for i in range(0, 64, 1 << j)])


def aligned_run_of(x, at, j):
    """The aligned run of 2^j bits that holds bit `at`, a symbol of 32 bits, is set."""
    return And(*[Implies(LShR(at, j) == i >> j, has(x, i)) for i in range(64)])


def count(x):
    """The sum of the bits, halves first: so Z3 finds it at once."""
    if x.size() == 1:
        return z3.ZeroExt(31, x)
    half = x.size() // 2
    return count(z3.Extract(half - 1, 0, x)) + count(z3.Extract(x.size() - 1, half, x))


def is_first(x, r):
    """r, of 32 bits, is the number of the lowest set bit of x."""
    return And(ULT(r, 64), *[Implies(r == i, And(has(x, i), *[Not(has(x, k)) for k in range(i)])) for i in range(64)])


def is_last(x, r):
    return And(ULT(r, 64), *[Implies(r == i, And(has(x, i), *[Not(has(x, k)) for k in range(i + 1, 64)]))
                             for i in range(64)])


@spec("bit", "the word in which only bit i is set")
def _(f):
    i = f.word("i", 32)
    f.given(ULT(i, 64))
    f.goal("result", f.call(i) == word_where(lambda k: i == k))


@spec("bits_below", "the n lowest bits, n = 0 .. 64")
def _(f):
    n = f.word("n", 32)
    f.given(ULE(n, 64))
    f.goal("result", f.call(n) == word_where(lambda k: z3.UGT(n, k)))


@spec("bits_run", "2^order bits from `at` on", ORDERS)
def _(f, order):
    at = f.word("at", 32)
    f.given(ULE(at, 64 - (1 << order)), ULT(at, 64))
    f.goal("result", f.call(at, order) == word_where(lambda k: And(ULE(at, k), ULT(k - at, 1 << order))))


@spec("bits_first", "the lowest set bit")
def _(f):
    x = f.word("x")
    f.given(x != 0)
    f.goal("result", is_first(x, f.call(x)))


@spec("bits_last", "the highest set bit")
def _(f):
    x = f.word("x")
    f.given(x != 0)
    f.goal("result", is_last(x, f.call(x)))


@spec("bits_count", "how many bits are set")
def _(f):
    x = f.word("x")
    f.goal("result", f.call(x) == count(x))


@spec("bits_lowest", "the n lowest set bits, or all: for n = 0, 1, 2", range(3))
def _(f, n):
    x = f.word("x")
    rest = x
    for _ in range(n):
        rest = rest & rest - 1
    f.goal("result", f.call(x, n) == x & ~rest)


@spec("log2_down", "2^k <= n < 2^(k+1)")
def _(f):
    n = f.word("n")
    f.given(n != 0)
    k = f.call(n)
    f.goal("result", Or(*[And(k == e, UGE(n, 1 << e), *([ULT(n, 2 << e)] if e < 63 else [])) for e in range(64)]))


@spec("log2_up", "2^(k-1) < n <= 2^k")
def _(f):
    n = f.word("n")
    f.given(n != 0, ULE(n, 1 << 63))
    k = f.call(n)
    f.goal("result", Or(And(k == 0, n == 1), *[And(k == e, ULE(n, 1 << e), z3.UGT(n, 1 << (e - 1))) for e in range(1, 64)]))


@spec("bits_starts", "the multiples of 2^j", ORDERS)
def _(f, j):
    f.goal("result", f.call(j) == sum(1 << i for i in range(0, 64, 1 << j)))


@spec("bits_runs", "exactly the multiples of 2^j at which 2^j bits of x are set", ORDERS)
def _(f, j):
    x = f.word("x")
    f.goal("result", f.call(x, j) == word_where(lambda i: run_at(x, i, j) if i % (1 << j) == 0 else z3.BoolVal(False)))


@spec("bits_order", "the greatest order of an aligned run; so it is the set of orders of the word")
def _(f):
    x = f.word("x")
    r = f.call(x)
    for j in ORDERS:
        f.goal(f"order {j}", (r >= j) == has_run(x, j))
    f.goal("range", And(r >= -1, r <= 6))


@spec("bits_merged", "the order of the longest aligned run of set bits that holds `at`, which is set")
def _(f):
    x, at = f.word("x"), f.word("at", 32)
    f.given(ULT(at, 64), has(x, at))
    r = f.call(x, at)
    f.goal("range", ULE(r, 6))
    for k in ORDERS:
        f.goal(f"order {k}", UGE(r, k) == aligned_run_of(x, at, k))
