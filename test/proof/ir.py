# SPDX-License-Identifier: MIT
"""test/proof/ir.py - reads LLVM's assembly: types, constants, functions, instructions

Only what clang makes of integer code is understood; an unknown word is an error at the moment it would have
to be executed, never skipped.
"""
import re
from dataclasses import dataclass, field

TOKEN = re.compile(r'[%@]"[^"]*"|[%@][-\w.$]+|c"(?:[^"\\]|\\..)*"|-?\d+|[A-Za-z_][\w.]*|\.\.\.|"[^"]*"|[\[\]{}()*,=<>:|]')
PARAMETER_WORDS = {"noundef", "nocapture", "readonly", "writeonly", "noalias", "zeroext", "signext", "nonnull",
                   "returned", "readnone", "dso_local", "local_unnamed_addr", "inreg", "immarg", "nofree"}


@dataclass(frozen=True)
class Type:
    kind: str               # int pointer array struct void
    bits: int = 0           # of an integer; elements of an array
    of: tuple = ()

    def size(self):
        """Bytes, by the data layout of x86-64."""
        if self.kind == "int":
            return max(1, self.bits // 8)
        if self.kind == "pointer":
            return 8
        if self.kind == "array":
            return self.bits * self.of[0].size()
        return round_up(self.offset(len(self.of)), self.align())

    def align(self):
        return 8 if self.kind == "pointer" else self.size() if self.kind == "int" else max(t.align() for t in self.of)

    def offset(self, index):
        at = 0
        for member in self.of[:index]:
            at = round_up(at, member.align()) + member.size()
        return round_up(at, self.of[index].align()) if index < len(self.of) else at


def round_up(n, to):
    return (n + to - 1) // to * to


@dataclass
class Instruction:
    op: str
    result: str = None
    type: Type = None                     # of the result, or of what is stored or compared
    operands: list = field(default_factory=list)   # (Type, operand)
    flags: set = field(default_factory=set)
    extra: object = None                  # predicate, callee, labels, element type


@dataclass
class Function:
    name: str
    type: Type
    parameters: list                      # (Type, name)
    blocks: dict                          # label -> [Instruction]; the first is the entry


class Reader:
    """A line of tokens, read from the left."""

    def __init__(self, module, text):
        self.module, self.tokens, self.at = module, TOKEN.findall(text), 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def eat(self, token):
        if self.peek() == token:
            self.at += 1
            return True
        return False

    def must(self, token):
        if not self.eat(token):
            raise SyntaxError(f"{token!r} expected in {' '.join(self.tokens)} at {self.at}")

    def type(self):
        word = self.next()
        if re.fullmatch(r"i\d+", word):
            t = Type("int", int(word[1:]))
        elif word == "void":
            t = Type("void")
        elif word == "[":
            n = int(self.next())
            self.must("x")
            t = Type("array", n, (self.type(),))
            self.must("]")
        elif word == "{":
            t = Type("struct", 0, tuple(self.list("}")))
        elif word == "<":       # packed: its layout is not understood, an error if it is ever asked for
            self.must("{")
            t = Type("packed", 0, tuple(self.list("}")))
            self.must(">")
        elif word.startswith("%"):
            t = self.module.named_type(word)
        else:
            raise SyntaxError(f"type {word!r} in {' '.join(self.tokens)}")
        while True:
            if self.eat("*"):
                t = Type("pointer", 0, (t,))
            elif self.peek() == "(" and self.function_type_follows():
                self.skip_parentheses()
            else:
                return t

    def function_type_follows(self):
        """(...)* after a type: what is pointed to is a function."""
        depth = 0
        for i in range(self.at, len(self.tokens)):
            depth += {"(": 1, ")": -1}.get(self.tokens[i], 0)
            if depth == 0:
                return i + 1 < len(self.tokens) and self.tokens[i + 1] == "*"
        return False

    def skip_parentheses(self):
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(self.next(), 0)
            if depth == 0:
                return

    def list(self, end):
        while not self.eat(end):
            yield self.type()
            self.eat(",")

    def skip_attributes(self):
        while self.peek() in PARAMETER_WORDS or self.peek() in ("align", "sret", "byval", "dereferenceable"):
            if self.next() in ("align",):
                self.next()
            elif self.peek() == "(":
                self.skip_parentheses()

    def operand(self, t):
        """A name, a number, or a constant expression as ("gep", inbounds, pointee, [(type, operand)])."""
        word = self.next()
        if word == "getelementptr":
            self.eat("inbounds")
            self.must("(")
            pointee = self.type()
            self.must(",")
            return ("gep", pointee, self.pairs(")"))
        if word in ("bitcast", "ptrtoint", "inttoptr"):
            self.must("(")
            inner = (self.type(), None)
            inner = self.operand(inner[0])
            self.must("to")
            self.type()
            self.must(")")
            return inner
        if word in ("true", "false", "null", "zeroinitializer"):
            return int(word == "true")
        if word in ("undef", "poison"):
            return word
        return word if word[0] in "%@" else int(word)

    def pair(self):
        t = self.type()
        self.skip_attributes()
        self.eat("inrange")
        return t, self.operand(t)

    def pairs(self, end):
        found = []
        while not self.eat(end):
            found.append(self.pair())
            self.eat(",")
        return found


class Module:
    def __init__(self, text):
        self.types, self.texts, self.functions, self.globals = {}, {}, {}, {}
        lines = iter(text.splitlines())
        for line in lines:
            if m := re.match(r'(%(?:"[^"]*"|[-\w.$]+)) = type (.*)', line):
                self.texts[m[1]] = m[2]
            elif line.startswith("define"):
                self.read_function(line, lines)
            elif m := re.match(r'(@(?:"[^"]*"|[-\w.$]+)) = (.*)', line):
                self.globals[m[1]] = m[2]

    def named_type(self, name):
        if name not in self.types:
            self.types[name] = Type("struct")   # while it is read: only ever behind a pointer
            text = self.texts.get(name, "opaque")
            if text != "opaque":
                self.types[name] = Reader(self, text).type()
        return self.types[name]

    def read_function(self, line, lines):
        head = line[:line.rindex("{")]
        r = Reader(self, head[len("define"):])
        while r.peek() in PARAMETER_WORDS | {"internal", "hidden", "linkonce_odr"}:
            r.next()
        result = r.type()
        name = r.next()[1:]
        r.must("(")
        parameters = []
        while not r.eat(")"):
            if r.eat("..."):
                continue
            t = r.type()
            r.skip_attributes()
            parameters.append((t, r.next()))
            r.eat(",")
        body, label = {}, None
        for line in lines:
            if line.startswith("}"):
                break
            if m := re.match(r'("[^"]*"|[-\w.$]+):', line):
                label = "%" + m[1]
                body[label] = []
            elif line.strip():
                if label is None:
                    label = "%" + str(len(parameters))
                    body[label] = []
                while " switch " in line and "]" not in line.split("[", 1)[1]:
                    line += next(lines)
                body[label].append(line)
        self.functions[name] = Function(name, result, parameters, body)

    def function(self, name):
        """Instructions are read when first asked for: what nobody proves need not be understood."""
        f = self.functions[name]
        for label, block in f.blocks.items():
            f.blocks[label] = [i if isinstance(i, Instruction) else self.read(i) for i in block]
        return f

    def constant(self, name):
        """The elements of a constant array of integers, and the bits of each; None for anything else."""
        text = self.globals[name]
        if m := re.search(r"constant (\[\d+ x .*)$", text):
            r = Reader(self, m[1])
            t = r.type()
            if r.eat("["):
                element = t.of[0]
                if element.kind == "int":
                    return [v for _, v in r.pairs("]")], element.bits
        return None

    def read(self, line):
        line = re.sub(r", ![\w.]+ .*$|, !\w+.*$|\s;.*$", "", line.strip())
        r = Reader(self, line)
        i = Instruction("")
        if len(r.tokens) > 1 and r.tokens[1] == "=":
            i.result = r.next()
            r.next()
        while r.peek() in ("tail", "musttail", "notail"):
            r.next()
        i.op = r.next()
        reader = getattr(self, "read_" + i.op, None)
        if i.op in ("add", "sub", "mul", "shl", "lshr", "ashr", "and", "or", "xor", "udiv", "sdiv", "urem", "srem"):
            while r.peek() in ("nuw", "nsw", "exact"):
                i.flags.add(r.next())
            i.type = r.type()
            i.operands = [(i.type, r.operand(i.type))]
            r.must(",")
            i.operands.append((i.type, r.operand(i.type)))
        elif i.op in ("zext", "sext", "trunc", "bitcast", "ptrtoint", "inttoptr"):
            i.operands = [r.pair()]
            r.must("to")
            i.type = r.type()
        elif reader:
            reader(r, i)
        else:
            i.extra = line      # not understood: an error if it is ever executed
            i.op = "unknown"
        return i

    def read_icmp(self, r, i):
        i.extra = r.next()
        i.type = r.type()
        i.operands = [(i.type, r.operand(i.type))]
        r.must(",")
        i.operands.append((i.type, r.operand(i.type)))

    def read_select(self, r, i):
        i.operands = [r.pair() for _ in range(3) if r.eat(",") or True]
        i.type = i.operands[1][0]

    def read_freeze(self, r, i):
        i.operands = [r.pair()]
        i.type = i.operands[0][0]

    def read_phi(self, r, i):
        i.type = r.type()
        i.extra = {}
        while r.eat("["):
            value = r.operand(i.type)
            r.must(",")
            i.extra[r.next()] = value
            r.must("]")
            r.eat(",")

    def read_getelementptr(self, r, i):
        r.eat("inbounds")
        i.extra = r.type()
        r.must(",")
        i.operands = self.rest(r)

    @staticmethod
    def rest(r):
        found = []
        while r.peek():
            found.append(r.pair())
            if not r.eat(","):
                break
        return found

    def read_load(self, r, i):
        while r.peek() in ("atomic", "volatile"):
            r.next()
        i.type = r.type()
        r.must(",")
        i.operands = [r.pair()]

    def read_store(self, r, i):
        while r.peek() in ("atomic", "volatile"):
            r.next()
        i.operands = [r.pair()]
        r.must(",")
        i.operands.append(r.pair())

    def read_alloca(self, r, i):
        i.extra = r.type()

    def read_call(self, r, i):
        r.skip_attributes()
        i.type = r.type()
        i.extra = r.next()
        if i.extra == "(":     # a variadic function's type
            r.at -= 1
            r.skip_parentheses()
            i.extra = r.next()
        r.must("(")
        while not r.eat(")"):
            t = r.type()
            r.skip_attributes()
            i.operands.append((t, r.operand(t)))
            r.eat(",")

    def read_br(self, r, i):
        if r.eat("label"):
            i.extra = [r.next()]
            return
        i.operands = [r.pair()]
        i.extra = []
        while r.eat(","):
            r.must("label")
            i.extra.append(r.next())

    def read_switch(self, r, i):
        i.operands = [r.pair()]
        r.must(",")
        r.must("label")
        i.extra = (r.next(), [])
        r.must("[")
        while not r.eat("]"):
            _, value = r.pair()
            r.must(",")
            r.must("label")
            i.extra[1].append((value, r.next()))

    def read_ret(self, r, i):
        if r.peek() != "void":
            i.operands = [r.pair()]

    def read_unreachable(self, r, i):
        pass
