#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/proof/prove.py [--mutants N] [-k NAME] FOLDER - proves what spec_*.py say of the functions in FOLDER/*.ll

Each specification names a function of mm/. For each of its cases the function's own IR becomes a formula
(symbolic.py), and Z3 is asked for an input for which the specification does not hold, or the behaviour is
undefined. Only "there is none" counts as proved. A function that is not in the IR, an instruction that is not
understood, and an answer that is late are goals not proved.

--mutants   does this program notice when a function is wrong? One instruction at a time is changed in the IR,
            and the goals of the function must then fail, unless the change is proved to make no difference.
            N changes for each function, spread over it, or "all"
"""
import argparse
import copy
import glob
import os
import sys
import time

import z3

import ir
import symbolic

TIMEOUT_MS = 300000
SPECS = []      # (function, what is proved of it, cases, specification)


class NotProved(Exception):
    """A goal failed; the text says which, and for what input."""


def spec(function, text, cases=(None,)):
    """Decorates a specification: called with a Proof, and with each case if there are several."""
    def register(body):
        SPECS.append((function, text, tuple(cases), body))
        return body
    return register


class Proof:
    """One case of one specification: its symbols, its assumptions, its calls, its goals."""

    def __init__(self, modules, function, original=None):
        self.modules, self.function, self.original = modules, function, original
        self.assumptions = []
        self.machine = symbolic.Machine(modules, self.assumptions, TIMEOUT_MS)
        self.state = None       # after the last call
        self.proved, self.total = 0, 0

    # ---- what a specification says --------------------------------------------------------------------

    def word(self, name, bits=64):
        return z3.BitVec(name, bits)

    def given(self, *conditions):
        self.assumptions += [z3.BoolVal(c) if isinstance(c, bool) else c for c in conditions]

    def region(self, name, size, contents=None):
        """Memory of so many bytes, a multiple of 8; the address of its first byte."""
        return self.machine.region(name, size, contents).base

    def number(self, name):
        """A constant of test/proof/layout.c."""
        for m in self.modules:
            if "@" + name in m.globals:
                return int(m.globals["@" + name].split(" i64 ")[1].split(",")[0])
        raise symbolic.Unsupported(f"no constant {name}")

    def contents(self, name):
        """The words of a region as they are now: an array, to be asked by the number of the word."""
        return (self.state.memory if self.state and name in self.state.memory else self.machine.initial)[name]

    def call(self, *arguments, name=None):
        """The result of the function (or of another one), whose behaviour is proved to be defined."""
        name = name or self.function
        value = self.run(self.machine, name, arguments)
        self.demand_defined()
        if self.original is not None and name == self.function:
            self.same_as_original(name, arguments, value)
        return value

    def goal(self, text, condition):
        """Proves a condition under all that was given."""
        self.total += 1
        s = symbolic.solver(TIMEOUT_MS)
        for c in (*self.assumptions, z3.Not(condition)):
            s.add(z3.simplify(c, expand_select_store=True, expand_select_ite=True))
        answer = s.check()
        if answer != z3.unsat:
            raise NotProved(f"{text}: {'for ' + self.example(s.model()) if answer == z3.sat else 'no answer'}")
        self.proved += 1

    def possible(self):
        """Assumptions that contradict each other would prove anything: there is an input that meets them."""
        s = symbolic.solver(TIMEOUT_MS)
        s.add(*self.assumptions)
        self.total += 1
        if s.check() != z3.sat:
            raise NotProved("what is given cannot be shown to be possible")
        self.proved += 1

    # ---- how it is done ---------------------------------------------------------------------------------

    def run(self, machine, name, arguments):
        _, f = machine.find(name)
        given = []
        for (t, _), a in zip(f.parameters, arguments):
            if isinstance(a, (bool, int)):
                a = z3.BoolVal(bool(a)) if t.bits == 1 else z3.BitVecVal(a, t.bits or 64)
            given.append((a, symbolic.FALSE))
        if machine is self.machine and self.state is not None:
            for region, array in machine.initial.items():
                self.state.memory.setdefault(region, array)
        if len(given) != len(arguments):
            raise symbolic.Unsupported(f"{name}: {len(f.parameters)} parameters")
        before = self.state
        result, self.state = machine.run(name, given, self.state and symbolic.State(symbolic.TRUE, {}, dict(self.state.memory)))
        self.before = before
        if result is None:
            return None
        machine.undefined.append(result[1])
        return z3.simplify(result[0])

    def demand_defined(self):
        self.goal("behaviour is defined", z3.Not(symbolic.either(*self.machine.undefined)))

    def same_as_original(self, name, arguments, value):
        """With a changed IR: does the change make a difference at all?"""
        mine, others = self.state, symbolic.Machine(self.original, self.assumptions, TIMEOUT_MS)
        others.regions, others.initial, others.fresh = self.machine.regions, self.machine.initial, 1000
        self.state = self.before
        expected = self.run(others, name, arguments)
        other, self.state = self.state, mine
        if value is not None:
            self.goal("equivalent", value == expected)
        for region in mine.memory:
            if not region.startswith("local") and not mine.memory[region].eq(other.memory[region]):
                k = z3.BitVec("any index", 61)
                self.goal("equivalent", mine.memory[region][k] == other.memory[region][k])

    def example(self, model):
        return ", ".join(f"{d.name()} = {model[d].as_long():#x}" for d in model.decls()
                         if not d.name().startswith("&") and d.arity() == 0 and z3.is_bv_value(model[d]))[:400]


def prove(modules, function, cases, body, original=None):
    """(proved, total) of one specification, and the text of what failed."""
    proved, total = 0, 0
    for case in cases:
        p = Proof(modules, function, original)
        try:
            body(p) if case is None else body(p, case)
            p.possible()
            proved, total = proved + p.proved, total + p.total
        except (NotProved, symbolic.Unsupported, SyntaxError, z3.Z3Exception, KeyError) as why:
            where = "" if case is None else f"[{case}] "
            return proved + p.proved, total + max(p.total, p.proved + 1), (where + str(why))[:600]
    return proved, total, None


# ---- mutants ------------------------------------------------------------------------------------------------

OTHER = {"add": "sub", "sub": "add", "and": "or", "or": "and", "xor": "or", "shl": "lshr", "lshr": "shl",
         "ashr": "lshr", "mul": "add"}
OTHER_PREDICATE = {"eq": "ne", "ne": "eq", "ult": "ule", "ule": "ult", "ugt": "uge", "uge": "ugt", "slt": "sle",
                   "sle": "slt", "sgt": "sge", "sge": "sgt"}


def mutants(f):
    """Copies of a function that differ in one instruction, and in words what was changed."""
    for label, block in f.blocks.items():
        for at, i in enumerate(block):
            for text, change in changes(i):
                g = ir.Function(f.name, f.type, f.parameters, dict(f.blocks))
                g.blocks[label] = list(block)
                if change is None:
                    del g.blocks[label][at]
                else:
                    g.blocks[label][at] = copy.copy(i)
                    change(g.blocks[label][at])
                yield f"{label} #{at} {text}", g


def changes(i):
    def put(name, value):
        return lambda j: setattr(j, name, value)
    if i.op in OTHER:
        yield f"{i.op} -> {OTHER[i.op]}", lambda j: (put("op", OTHER[i.op])(j), put("flags", set())(j))
    if i.op == "icmp":
        yield f"{i.extra} -> {OTHER_PREDICATE[i.extra]}", put("extra", OTHER_PREDICATE[i.extra])
    if i.op == "select":
        yield "arms exchanged", put("operands", [i.operands[0], i.operands[2], i.operands[1]])
    if i.op == "br" and i.operands:
        yield "ways exchanged", put("extra", i.extra[::-1])
    if i.op == "store":
        yield "store left out", None
    if i.op == "ret" and i.operands and i.operands[0][1] != 0:
        yield "0 returned", put("operands", [(i.operands[0][0], 0)])
    if i.op == "call" and "@llvm.ct" in i.extra:
        yield "other end", put("extra", i.extra.replace("ctt", "c?").replace("ctl", "ctt").replace("c?", "ctl"))
    if i.op in OTHER or i.op in ("icmp", "store"):
        for n, (t, o) in enumerate(i.operands):
            if isinstance(o, int) and t.kind == "int":
                new = list(i.operands)
                new[n] = (t, o ^ 1 if t.bits > 1 else 1 - o)
                yield f"constant {o} -> {new[n][1]}", put("operands", new)


def try_mutants(modules, name, specs, at_most):
    """(noticed, without effect, missed) among the mutants of one function."""
    module = next(m for m in modules if name in m.functions)
    f = module.function(name)
    noticed = same = 0
    missed = []
    tried = list(mutants(f))
    if at_most:
        tried = tried[::-(-len(tried) // at_most)]
    for text, g in tried:
        module.functions[name] = g
        caught = any(prove(modules, name, cases, body)[2] for _, _, cases, body in specs)
        module.functions[name] = f
        if caught:
            noticed += 1
            continue
        original = [copy.copy(m) for m in modules]
        changed = [copy.copy(m) for m in modules]
        changed[modules.index(module)].functions = dict(module.functions, **{name: g})
        if all(prove(changed, name, cases, body, original)[2] is None for _, _, cases, body in specs):
            same += 1
        else:
            missed.append(text)
    return noticed, same, missed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--mutants", default="")
    parser.add_argument("-k", default="")
    options = parser.parse_args()
    sys.setrecursionlimit(20000)
    sys.modules["prove"] = sys.modules["__main__"]      # specifications register here
    for name in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "spec_*.py"))):
        __import__(os.path.basename(name)[:-3])
    modules = [ir.Module(open(name).read()) for name in sorted(glob.glob(os.path.join(options.folder, "*.ll")))]
    specs = [s for s in SPECS if options.k in s[0]]
    if options.mutants:
        return report_mutants(modules, specs, 0 if options.mutants == "all" else int(options.mutants))
    proved = total = 0
    for function, text, cases, body in specs:
        started = time.monotonic()
        ok, all_of_it, why = prove(modules, function, cases, body)
        proved, total = proved + ok, total + all_of_it
        print(f"  {function:<20} {ok:>4}/{all_of_it:<4} {time.monotonic() - started:6.2f} s  {text}", flush=True)
        if why:
            print(f"    NOT PROVED {why}")
    print(f"proved {proved} of {total} goals about {len({s[0] for s in specs})} functions, for all inputs")
    return 0 if proved == total and total > 0 else 1


def report_mutants(modules, specs, at_most):
    totals, wrong = [0, 0, 0], False
    for name in dict.fromkeys(s[0] for s in specs):
        started = time.monotonic()
        noticed, same, missed = try_mutants(modules, name, [s for s in specs if s[0] == name], at_most)
        totals = [a + b for a, b in zip(totals, (noticed, same, len(missed)))]
        print(f"  {name:<20} {noticed:>4} noticed, {same:>2} without effect, {len(missed)} missed"
              f"  {time.monotonic() - started:6.1f} s", flush=True)
        for text in missed:
            print(f"    MISSED {text}")
        wrong |= bool(missed) or noticed == 0
    print(f"mutants: {totals[0]} noticed, {totals[1]} proved to be without effect, {totals[2]} missed")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
