#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tools/symbolise.py [FILE] [--base ADDRESS] - a console's text with file and line behind every code address

Reads FILE or standard input. The image's base and size stand in Octavo's first log line ("Octavo at 0x...,
N KiB"); --base gives them where that line is lost. Lines of source come from build/octavo.debug, which must
be of the same build.
"""
import argparse
import os
import re
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASE = re.compile(r"Octavo at (0x[0-9a-f]+), (\d+) KiB")
ADDRESS = re.compile(r"\b(?:0x)?([0-9a-f]{6,16})\b")
CALLER = re.compile(r"^\s+[1-9]\d* 0x")  # in a backtrace, all but the first are return addresses


def preferred_base(path):
    with open(path, "rb") as f:
        head = f.read(4096)
    pe, = struct.unpack_from("<I", head, 0x3C)
    return struct.unpack_from("<Q", head, pe + 24 + 24)[0], struct.unpack_from("<I", head, pe + 24 + 56)[0]


def places(symbols, addresses):
    """{address: 'function file:line, inlined into ...'} for link-time addresses."""
    told = subprocess.run(["addr2line", "-e", symbols, "-a", "-f", "-i"] + [hex(a) for a in addresses],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    answers, here = {}, None
    for line in told:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            here = answers.setdefault(int(line, 16), [])
        elif line:
            here.append(line)
    return {a: ", in ".join(f"{name} {place.split(' (')[0]}" for name, place in zip(lines[::2], lines[1::2]))
            for a, lines in answers.items() if lines and not lines[1].startswith("??")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", metavar="FILE")
    parser.add_argument("--base", type=lambda t: int(t, 16))
    parser.add_argument("--symbols", default=os.path.join(ROOT, "build/octavo.debug"))
    options = parser.parse_args()
    with open(options.file, errors="replace") if options.file else sys.stdin as f:
        lines = f.read().split("\n")

    linked, size = preferred_base(options.symbols)
    found = BASE.search("\n".join(lines))
    base = options.base if options.base is not None else int(found.group(1), 16) if found else None
    if base is None:
        sys.exit("symbolise.py: no line \"Octavo at 0x...\" here; give --base")

    asked = []  # (line number, link-time address)
    for number, line in enumerate(lines):
        for match in ADDRESS.finditer(line):
            address = int(match.group(1), 16)
            if base + 4096 <= address < base + size:
                asked.append((number, address - base + linked - (1 if CALLER.match(line) else 0)))
    known = places(options.symbols, sorted({a for _, a in asked})) if asked else {}
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines):
        notes = [known[a] for n, a in asked if n == number and a in known]
        print(line + ("    <- " + "; ".join(dict.fromkeys(notes)) if notes else ""))


if __name__ == "__main__":
    main()
