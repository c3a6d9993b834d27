# SPDX-License-Identifier: MIT
"""test/proof/symbolic.py - runs a function of the IR on symbols: what it returns and stores, as Z3 formulas

Values      an integer is a bit-vector, an i1 a Bool, a pointer the 64-bit address. Each has a second formula:
            when it is poison (a shift by its width or more, a broken nuw, nsw or exact, cttz or ctlz of 0
            where that is poison). Poison that reaches a branch, a load, a store's address or the result is
            undefined behaviour, and so is an access outside its region; a proof includes that there is none.

Memory      regions, each an array of 64-bit words with a base address of its own. A pointer belongs to the
            region whose base is a term of it, or, when it was loaded, to the one it is proved equal to.

Control     blocks run in an order in which all ways into a block are merged before it runs, each iteration
            of a loop anew. A loop ends where another round is proved impossible; there is no bound.
"""
import heapq
import z3

from ir import Type

FALSE, TRUE = z3.BoolVal(False), z3.BoolVal(True)
ROUNDS = 200    # of a loop, before it is held to be endless


class Unsupported(Exception):
    """The function does something that this program does not model."""


def either(*conditions):
    conditions = [z3.simplify(c) for c in conditions]
    conditions = [c for c in conditions if not z3.is_false(c)]
    return FALSE if not conditions else conditions[0] if len(conditions) == 1 else z3.Or(*conditions)


def choose(condition, a, b):
    if z3.is_true(condition) or a.eq(b):
        return a
    return b if z3.is_false(condition) else z3.If(condition, a, b)


def as_bits(e):
    return z3.If(e, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1)) if z3.is_bool(e) else e


def solver(timeout_ms):
    s = z3.SolverFor("QF_ABV")
    s.set("timeout", timeout_ms)
    return s


class Region:
    """Memory that pointers can point into: `words` of 64 bits, or the elements of a constant table."""

    def __init__(self, name, size, table=None):
        self.name, self.size, self.table = name, size, table
        self.base = z3.BitVec("&" + name, 64)


class State:
    def __init__(self, path, values, memory):
        self.path, self.values, self.memory = path, values, memory

    def copy(self, path):
        return State(path, dict(self.values), dict(self.memory))


def merge(states):
    """One state for all the ways that lead to a place; exactly one path condition holds at a time."""
    first = states[0]
    for other in states[1:]:
        values = {}
        for name, (expression, poison) in first.values.items():
            if name in other.values:
                mine, bad = other.values[name]
                values[name] = (choose(other.path, mine, expression), choose(other.path, bad, poison))
        memory = {}
        for name in {**first.memory, **other.memory}:
            a, b = first.memory.get(name), other.memory.get(name)
            memory[name] = a if b is None else b if a is None else choose(other.path, b, a)
        first = State(z3.simplify(z3.Or(first.path, other.path)), values, memory)
    return first


class Machine:
    """Runs functions of `modules` under assumptions; collects what must not happen in `undefined`."""

    def __init__(self, modules, assumptions, timeout_ms=20000):
        self.modules, self.assumptions, self.timeout_ms = modules, assumptions, timeout_ms
        self.regions, self.initial, self.undefined, self.fresh = {}, {}, [], 0
        self.on_load = lambda region, index, word: []   # what a specification knows of a word that is read

    # ---- memory -----------------------------------------------------------------------------------

    def region(self, name, size, contents=None, table=None):
        r = self.regions[name] = Region(name, size, table)
        if table is None:
            self.initial[name] = z3.Array(name, z3.BitVecSort(61), z3.BitVecSort(64)) if contents is None else contents
        self.assumptions += [r.base != 0, z3.Extract(2, 0, r.base) == 0, z3.ULE(r.base, 2**63)]
        return r

    def global_region(self, name):
        if name not in self.regions:
            module = next((m for m in self.modules if name in m.globals and m.constant(name)), None)
            if module is not None:
                elements, bits = module.constant(name)
                self.region(name, len(elements) * max(1, bits // 8), table=(elements, bits))
            else:
                self.region(name, 1 << 20)
        return self.regions[name]

    @staticmethod
    def terms(e):
        e = z3.simplify(e)
        return [t for c in e.children() for t in Machine.terms(c)] if z3.is_app_of(e, z3.Z3_OP_BADD) else [e]

    def locate(self, pointer, state):
        """The region a pointer is in, and the terms of its offset."""
        terms = self.terms(pointer)
        for r in self.regions.values():
            for i, t in enumerate(terms):
                if t.eq(r.base):
                    return r, terms[:i] + terms[i + 1:]
        for i, t in enumerate(terms):
            if z3.is_bv_value(t):
                continue
            for r in self.regions.values():
                if self.must(state, t == r.base):
                    return r, terms[:i] + terms[i + 1:]
        raise Unsupported(f"pointer into nowhere: {z3.simplify(pointer)}")

    def must(self, state, condition):
        s = solver(self.timeout_ms)
        s.add(*self.assumptions, state.path, z3.Not(condition))
        return s.check() == z3.unsat

    def place(self, pointer, size, state):
        """(region, word index, first bit), with the demand that the access lies in the region."""
        region, terms = self.locate(pointer, state)
        offset = z3.simplify(sum(terms, z3.BitVecVal(0, 64)))
        self.demand(state, z3.ULE(offset, region.size - size))
        index, low = z3.BitVecVal(0, 61), 0
        for t in terms:
            if z3.is_bv_value(t):
                low += t.as_long()
                continue
            factor, rest = 1, t
            if z3.is_app_of(t, z3.Z3_OP_BMUL) and z3.is_bv_value(t.arg(0)):
                factor, rest = t.arg(0).as_long(), z3.simplify(z3.Product(t.children()[1:]) if t.num_args() > 2 else t.arg(1))
            if factor % 8 == 0:
                index += z3.Extract(60, 0, rest) * (factor // 8)
            elif z3.is_app_of(t, z3.Z3_OP_CONCAT) and z3.is_bv_value(t.arg(t.num_args() - 1)) and \
                    t.arg(t.num_args() - 1).size() >= 3 and t.arg(t.num_args() - 1).as_long() % 8 == 0:
                index += z3.Extract(63, 3, t)
            else:
                raise Unsupported(f"access at an offset that may not be a multiple of 8: {t}")
        return region, z3.simplify(index + z3.BitVecVal(low >> 3, 61)), low % 8 * 8

    def load(self, pointer, t, state):
        bits = t.bits if t.kind == "int" else 64
        size = max(bits, 8)
        region = self.locate(pointer, state)[0]
        if region.table is not None:
            return self.load_table(region, pointer, bits, state)
        region, index, low = self.place(pointer, size // 8, state)
        word = z3.simplify(z3.Select(state.memory[region.name], index))
        self.assumptions += self.on_load(region.name, index, word)
        value = word if size == 64 else z3.simplify(z3.Extract(low + bits - 1, low, word))
        return value == 1 if bits == 1 else value

    def load_table(self, region, pointer, bits, state):
        elements, width = region.table
        if bits != width:
            raise Unsupported(f"{region.name}: {bits} bits read from elements of {width}")
        offset = z3.simplify(pointer - region.base)
        self.demand(state, z3.Or(*[offset == i * (width // 8) for i in range(len(elements))]))
        value = z3.BitVecVal(elements[-1], bits)
        for i, e in list(enumerate(elements))[-2::-1]:
            value = z3.If(offset == i * (width // 8), z3.BitVecVal(e, bits), value)
        return value

    def store(self, pointer, value, state):
        value = as_bits(value)
        if value.size() == 1:
            value = z3.ZeroExt(7, value)
        region, index, low = self.place(pointer, value.size() // 8, state)
        if region.table is not None:
            raise Unsupported(f"store into the constant {region.name}")
        array = state.memory[region.name]
        if value.size() < 64:
            old, high = z3.Select(array, index), low + value.size()
            parts = ([z3.Extract(63, high, old)] if high < 64 else []) + [value] + ([z3.Extract(low - 1, 0, old)] if low else [])
            value = z3.Concat(*parts)
        state.memory[region.name] = z3.Store(array, index, z3.simplify(value))

    # ---- what must not happen -----------------------------------------------------------------------

    def demand(self, state, condition):
        bad = z3.simplify(z3.And(state.path, z3.Not(condition)))
        if not z3.is_false(bad):
            self.undefined.append(bad)

    # ---- functions ------------------------------------------------------------------------------------

    def find(self, name):
        for module in self.modules:
            if name in module.functions:
                return module, module.function(name)
        raise Unsupported(f"no function {name} in the IR")

    def run(self, name, arguments, state=None):
        """The result (None for void) and the state in which `name` returns."""
        module, f = self.find(name)
        if len(arguments) != len(f.parameters):
            raise Unsupported(f"{name} has {len(f.parameters)} parameters, {len(arguments)} given")
        state = state or State(TRUE, {}, dict(self.initial))
        inside = State(state.path, {p: a for (_, p), a in zip(f.parameters, arguments)}, state.memory)
        value, end = Run(self, module, f).go(inside)
        end.values = state.values
        return value, end


class Run:
    """One activation of one function."""

    def __init__(self, machine, module, f):
        self.machine, self.module, self.f = machine, module, f
        self.order = self.reverse_postorder()
        self.loops = self.find_loops()
        self.returns = []

    @staticmethod
    def targets(block):
        last = block[-1]
        if last.op == "br":
            return last.extra
        if last.op == "switch":
            return [last.extra[0]] + [label for _, label in last.extra[1]]
        return []

    def reverse_postorder(self):
        done, seen = [], set()

        def visit(label):
            seen.add(label)
            for t in self.targets(self.f.blocks[label]):
                if t not in seen:
                    visit(t)
            done.append(label)

        visit(next(iter(self.f.blocks)))
        return {label: i for i, label in enumerate(reversed(done))}

    def find_loops(self):
        """For each block the headers of the loops it is in, outermost first."""
        before = {b: [] for b in self.order}
        for b in self.order:
            for t in self.targets(self.f.blocks[b]):
                before[t].append(b)
        inside = {b: set() for b in self.order}
        for b in self.order:
            for header in self.targets(self.f.blocks[b]):
                if self.order[header] <= self.order[b]:
                    body, todo = {header}, [b]
                    while todo:
                        x = todo.pop()
                        if x not in body:
                            body.add(x)
                            todo += before[x]
                    if any(self.order[x] < self.order[header] for x in body):
                        raise Unsupported("a loop with two entries")
                    for x in body:
                        inside[x].add(header)
        return {b: sorted(h, key=self.order.get) for b, h in inside.items()}

    def key(self, label, rounds):
        """Sorts after everything that can still lead to this block in this round of its loops."""
        place = []
        for header, n in zip(self.loops[label], rounds):
            place += [self.order[header], n]
        return tuple(place + [self.order[label]])

    def go(self, state):
        entry = next(iter(self.f.blocks))
        queue, waiting = [], {}

        def arrive(label, rounds, state):
            key = self.key(label, rounds)
            if key not in waiting:
                waiting[key] = (label, rounds, [])
                heapq.heappush(queue, key)
            waiting[key][2].append(state)

        arrive(entry, (), state)
        while queue:
            label, rounds, states = waiting.pop(heapq.heappop(queue))
            here = merge(states)
            for target, path in self.run_block(label, here):
                common = 0
                for a, b in zip(self.loops[label], self.loops[target]):
                    common += a == b
                again = target in self.loops[label]
                if again:       # a back edge
                    level = self.loops[label].index(target)
                    new = rounds[:level] + (rounds[level] + 1,)
                    if new[-1] > ROUNDS or self.machine.must(here, z3.Not(path)):
                        if new[-1] > ROUNDS:
                            raise Unsupported("a loop does not end")
                        continue
                else:
                    new = rounds[:common] + (0,) * (len(self.loops[target]) - common)
                out = here.copy(z3.simplify(z3.And(here.path, path)))
                if not z3.is_false(out.path):
                    self.enter(label, target, out)
                    arrive(target, new, out)
        if not self.returns:
            raise Unsupported("never returns")
        end = merge([s for s, _ in self.returns])
        value = None
        for s, v in self.returns:
            if v is not None:
                value = v if value is None else (choose(s.path, v[0], value[0]), choose(s.path, v[1], value[1]))
        return value, end

    def enter(self, label, target, state):
        """The phis of a block, all at once, on the edge into it."""
        new = {}
        for i in self.f.blocks[target]:
            if i.op == "phi":
                new[i.result] = self.value(state, i.type, i.extra[label])
        state.values.update(new)

    # ---- values -----------------------------------------------------------------------------------------

    def value(self, state, t, operand):
        m = self.machine
        if isinstance(operand, tuple):
            return self.address(state, operand[1], operand[2])
        if operand in ("undef", "poison"):
            m.fresh += 1
            return (z3.Bool(f"any{m.fresh}") if t.bits == 1 else z3.BitVec(f"any{m.fresh}", t.bits or 64)), \
                z3.BoolVal(operand == "poison")
        if isinstance(operand, int):
            return (z3.BoolVal(operand != 0) if t.kind == "int" and t.bits == 1 else z3.BitVecVal(operand, t.bits or 64)), FALSE
        if operand[0] == "@":
            return m.global_region(operand).base, FALSE
        return state.values[operand]

    def address(self, state, pointee, operands):
        address, poison = self.value(state, *operands[0])
        t = Type("array", 0, (pointee,))
        for index_type, index in operands[1:]:
            i, p = self.value(state, index_type, index)
            poison = either(poison, p)
            if t.kind == "struct":
                n = z3.simplify(i).as_long()
                address, t = address + t.offset(n), t.of[n]
            else:
                t = t.of[0]
                wide = z3.SignExt(64 - i.size(), i) if i.size() < 64 else i
                address += wide * t.size()
        return z3.simplify(address), poison

    def run_block(self, label, state):
        """Executes a block; the ways out of it as (label, condition)."""
        for i in self.f.blocks[label]:
            handler = getattr(self, "do_" + i.op, None) or self.plain(i)
            result = handler(i, state)
            if i.op in ("br", "switch", "ret", "unreachable"):
                return result
            if i.result:
                state.values[i.result] = (z3.simplify(result[0]), z3.simplify(result[1]))
        raise Unsupported("block without an end")

    def plain(self, i):
        if i.op in BINARY:
            return self.do_binary
        raise Unsupported(f"instruction {i.extra or i.op}")

    def do_binary(self, i, state):
        (a, pa), (b, pb) = (self.value(state, t, o) for t, o in i.operands)
        if z3.is_bool(a):
            return {"and": z3.And, "or": z3.Or, "xor": z3.Xor, "add": z3.Xor}[i.op](a, b), either(pa, pb)
        value, broken = BINARY[i.op](a, b, i.flags)
        if i.op in ("udiv", "urem", "sdiv", "srem"):
            self.machine.demand(state, z3.And(b != 0, z3.Not(pb)))
        return value, either(pa, pb, *broken)

    def do_icmp(self, i, state):
        (a, pa), (b, pb) = (self.value(state, t, o) for t, o in i.operands)
        if z3.is_bool(a):
            a, b = as_bits(a), as_bits(b)
        return COMPARE[i.extra](a, b), either(pa, pb)

    def do_select(self, i, state):
        (c, pc), (a, pa), (b, pb) = (self.value(state, t, o) for t, o in i.operands)
        return choose(c, a, b), either(pc, choose(c, pa, pb))

    def do_freeze(self, i, state):
        value, poison = self.value(state, *i.operands[0])
        any_value, _ = self.value(state, i.type, "undef")
        return choose(poison, any_value, value), FALSE

    def cast(self, i, state, wider):
        value, poison = self.value(state, *i.operands[0])
        return wider(as_bits(value), i.type.bits), poison

    def do_zext(self, i, state):
        return self.cast(i, state, lambda v, n: z3.ZeroExt(n - v.size(), v))

    def do_sext(self, i, state):
        return self.cast(i, state, lambda v, n: z3.SignExt(n - v.size(), v))

    def do_trunc(self, i, state):
        return self.cast(i, state, lambda v, n: z3.Extract(0, 0, v) == 1 if n == 1 else z3.Extract(n - 1, 0, v))

    def do_bitcast(self, i, state):
        return self.value(state, *i.operands[0])

    do_ptrtoint = do_inttoptr = do_bitcast

    def do_getelementptr(self, i, state):
        return self.address(state, i.extra, i.operands)

    def do_phi(self, i, state):
        return state.values[i.result]

    def do_alloca(self, i, state):
        m = self.machine
        m.fresh += 1
        region = m.region(f"local{m.fresh}", i.extra.size())
        state.memory[region.name] = m.initial[region.name]
        return region.base, FALSE

    def pointer(self, state, t, operand):
        address, poison = self.value(state, t, operand)
        self.machine.demand(state, z3.Not(poison))
        for name, array in self.machine.initial.items():    # a global met for the first time
            state.memory.setdefault(name, array)
        return address

    def do_load(self, i, state):
        return self.machine.load(self.pointer(state, *i.operands[0]), i.type, state), FALSE

    def do_store(self, i, state):
        value, poison = self.value(state, *i.operands[0])
        self.machine.demand(state, z3.Not(poison))
        self.machine.store(self.pointer(state, *i.operands[1]), value, state)

    def do_call(self, i, state):
        arguments = [self.value(state, t, o) for t, o in i.operands]
        name = i.extra[1:]
        if name.startswith("llvm."):
            return self.intrinsic(name, i, state, arguments)
        value, end = self.machine.run(name, arguments, State(state.path, state.values, state.memory))
        state.memory = end.memory
        return value

    def intrinsic(self, name, i, state, arguments):
        word = name.split(".")[1]
        if word in ("lifetime", "assume", "experimental", "dbg"):
            return None
        if word == "memset":
            return self.fill(state, i, arguments, lambda offset: arguments[1][0])
        if word == "memcpy":
            source = self.pointer(state, *i.operands[1])
            return self.fill(state, i, arguments, lambda offset: self.machine.load(source + offset, Type("int", 8), state))
        poison = either(*[p for _, p in arguments])
        a = [v for v, _ in arguments]
        if word in ("cttz", "ctlz"):
            return (count_zeros(a[0], word == "cttz"), either(poison, z3.And(a[1], a[0] == 0)))
        if word == "ctpop":
            n = a[0].size()
            return sum((z3.ZeroExt(n - 1, z3.Extract(k, k, a[0])) for k in range(n)), z3.BitVecVal(0, n)), poison
        if word in ("umin", "umax", "smin", "smax"):
            less = {"umin": z3.ULT(a[0], a[1]), "umax": z3.UGT(a[0], a[1]), "smin": a[0] < a[1], "smax": a[0] > a[1]}
            return z3.If(less[word], a[0], a[1]), poison
        if word in ("fshl", "fshr"):
            n = a[0].size()
            both, by = z3.Concat(a[0], a[1]), z3.ZeroExt(n, z3.URem(a[2], n))
            moved = z3.Extract(2 * n - 1, n, both << by) if word == "fshl" else z3.Extract(n - 1, 0, z3.LShR(both, by))
            return moved, poison
        if word == "usub":
            return z3.If(z3.UGT(a[0], a[1]), a[0] - a[1], z3.BitVecVal(0, a[0].size())), poison
        raise Unsupported(f"intrinsic {name}")

    def fill(self, state, i, arguments, byte):
        """memset and memcpy of a constant length, byte by byte."""
        length = z3.simplify(arguments[2][0])
        if not z3.is_bv_value(length):
            raise Unsupported("memory of variable length is set or copied")
        to = self.pointer(state, *i.operands[0])
        for k, value in enumerate([byte(k) for k in range(length.as_long())]):
            self.machine.store(to + k, value, state)

    def do_br(self, i, state):
        if not i.operands:
            return [(i.extra[0], TRUE)]
        condition, poison = self.value(state, *i.operands[0])
        self.machine.demand(state, z3.Not(poison))
        if i.extra[0] == i.extra[1]:
            return [(i.extra[0], TRUE)]
        return [(i.extra[0], condition), (i.extra[1], z3.Not(condition))]

    def do_switch(self, i, state):
        value, poison = self.value(state, *i.operands[0])
        self.machine.demand(state, z3.Not(poison))
        ways = {}
        for case, label in i.extra[1]:
            ways.setdefault(label, []).append(value == case)
        other = z3.And(*[value != case for case, _ in i.extra[1]])
        ways.setdefault(i.extra[0], []).append(other)
        return [(label, z3.Or(*conditions)) for label, conditions in ways.items()]

    def do_ret(self, i, state):
        value = self.value(state, *i.operands[0]) if i.operands else None
        self.returns.append((state, value))
        return []

    def do_unreachable(self, i, state):
        self.machine.demand(state, FALSE)
        return []


def count_zeros(x, trailing):
    n = x.size()
    count = z3.BitVecVal(n, n)
    for k in range(n - 1, -1, -1) if trailing else range(n):
        count = z3.If(z3.Extract(k, k, x) == 1, z3.BitVecVal(k if trailing else n - 1 - k, n), count)
    return count


def shift(by, back):
    def make(a, b, flags):
        broken = [z3.UGE(b, b.size())]
        value = by(a, b)
        if "nuw" in flags:
            broken.append(z3.LShR(value, b) != a)
        if "nsw" in flags:
            broken.append((value >> b) != a)
        if "exact" in flags:
            broken.append((value << b) != a)
        return value, broken
    return make


def arithmetic(operation):
    def make(a, b, flags):
        value, broken, n = operation(a, b), [], a.size()
        grow = n if operation is multiply else 1
        if "nuw" in flags:
            broken.append(operation(z3.ZeroExt(grow, a), z3.ZeroExt(grow, b)) != z3.ZeroExt(grow, value))
        if "nsw" in flags:
            broken.append(operation(z3.SignExt(grow, a), z3.SignExt(grow, b)) != z3.SignExt(grow, value))
        return value, broken
    return make


def multiply(a, b):
    return a * b


def divide(quotient):
    def make(a, b, flags):
        value = quotient(a, b)
        return value, [value * b != a] if "exact" in flags else []
    return make


BINARY = {
    "add": arithmetic(lambda a, b: a + b),
    "sub": arithmetic(lambda a, b: a - b),
    "mul": arithmetic(multiply),
    "and": lambda a, b, flags: (a & b, []),
    "or": lambda a, b, flags: (a | b, []),
    "xor": lambda a, b, flags: (a ^ b, []),
    "shl": shift(lambda a, b: a << b, None),
    "lshr": shift(z3.LShR, None),
    "ashr": shift(lambda a, b: a >> b, None),
    "udiv": divide(z3.UDiv),
    "sdiv": divide(lambda a, b: a / b),
    "urem": lambda a, b, flags: (z3.URem(a, b), []),
    "srem": lambda a, b, flags: (z3.SRem(a, b), []),
}

COMPARE = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
    "ult": z3.ULT, "ule": z3.ULE, "ugt": z3.UGT, "uge": z3.UGE,
    "slt": lambda a, b: a < b, "sle": lambda a, b: a <= b, "sgt": lambda a, b: a > b, "sge": lambda a, b: a >= b,
}
