#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tools/style.py - the rules of the house that no compiler knows; one line per breach, status 1 if any

includes   efi -> core -> mm: mm/ includes mm/ and freestanding headers, core/ never efi/; a .c its own header first
assembly   inline only in core/x86/insn.h, core/user/ and tests; .S files only in core/x86/, core/user/ and tests
types      `long` nowhere: it has 32 bits in the image and 64 on the host (`long long` is 64 in both)
files      SPDX line at the top; header guards named after the path (of twins in a row, one will do); under
           700 lines; no tabs, no blanks at line ends
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h", "stdatomic.h", "stdarg.h", "limits.h"}
LINES_MAX = 700


def sources():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            check=True, capture_output=True, text=True).stdout.split("\n")
    return sorted(f for f in listed if f and os.path.isfile(os.path.join(ROOT, f)))


def code_only(text):
    """The text with comments, strings and characters blanked out, line by line in place."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def includes(path, text):
    top = path.split("/")[0]
    own = path[:-2] + ".h" if path.endswith(".c") else None
    first = True
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not found:
            continue
        quote, name = found.groups()
        target = name.split("/")[0]
        if quote == "<" and top in ("mm", "core") and name not in FREESTANDING:
            yield number, f"<{name}>: {top}/ has only the freestanding headers"
        if quote == '"' and top == "mm" and target != "mm":
            yield number, f'"{name}": mm/ includes mm/ only'
        if quote == '"' and top == "core" and target not in ("core", "mm"):
            yield number, f'"{name}": core/ includes core/ and mm/ only'
        if quote == '"' and top == "efi" and target not in ("efi", "core", "mm"):
            yield number, f'"{name}": efi/ includes efi/, core/ and mm/ only'
        if first and own and os.path.exists(os.path.join(ROOT, own)) and name != own:
            yield number, f'its own header "{own}" comes first'
        first = False


def assembly(path, code):
    if path.endswith(".S"):
        if not path.startswith(("core/x86/", "core/user/", "test/boot/")):
            yield 1, "assembly files live in core/x86/ and core/user/"
        return
    if path == "core/x86/insn.h" or path.startswith(("core/user/", "test/")):
        return
    for number, line in enumerate(code.split("\n"), 1):
        if re.search(r"\b(asm|__asm__|__asm)\b", line):
            yield number, "inline assembly belongs in core/x86/insn.h"


def types(code):
    for number, line in enumerate(code.split("\n"), 1):
        if re.search(r"\blong\b", line.replace("long long", "")):
            yield number, "`long` has two sizes here; say uint64_t, size_t or uintptr_t"


def guard(path, text):
    if path.endswith(".h"):
        names = {re.sub(r"\W", "_", p).upper() for p in (path, re.sub(r"(\w+)/\1\.h", r"\1.h", path))}
        if not any(re.search(rf"^#ifndef {name}\n#define {name}$", text, re.M) for name in names):
            yield 1, f"its guard is called {max(names)}"


def shape(path, text):
    lines = text.split("\n")
    if not any("SPDX-License-Identifier: MIT" in line for line in lines[:3]):
        yield 1, "no SPDX-License-Identifier: MIT in the first lines"
    if len(lines) > LINES_MAX:
        yield LINES_MAX, f"{len(lines)} lines; split before {LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
        if "\t" in line and not path.endswith((".S", "Makefile")):
            yield number, "a tab"
    if text and not text.endswith("\n"):
        yield len(lines), "the last line has no end"


def check(path):
    kind = os.path.splitext(path)[1]
    if kind not in (".c", ".h", ".S", ".sh", ".py"):
        return
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        text = f.read()
    yield from shape(path, text)
    if kind in (".c", ".h", ".S"):
        code = code_only(text)
        yield from assembly(path, code)
        yield from types(code) if kind != ".S" else ()
        yield from includes(path, text)
        yield from guard(path, text)


def main():
    breaches = 0
    for path in sources():
        for number, what in check(path):
            print(f"{path}:{number}: {what}")
            breaches += 1
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
