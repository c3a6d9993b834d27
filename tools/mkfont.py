#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the console's font, as C, from console fonts of a Debian package.

usage: mkfont.py OUT.c SMALL.psf[.gz] LARGE.psf[.gz]

Both versions of the PC Screen Font format are read: a header, the glyphs as rows of bits, and a table
that says which characters each glyph shows. ASCII is taken from it; 0x7f becomes an empty box.
"""
import gzip
import struct
import sys

FIRST, LAST = 0x20, 0x7E


def fail(message):
    sys.exit(f"mkfont.py: {message}")


def read_bytes(path):
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        fail(f"{path} is missing: install Debian's package fonts-spleen (tools/setup.sh does)")


def unicode_psf1(table):
    """Per glyph: 16-bit characters, sequences after 0xfffe, 0xffff at the end."""
    words = struct.unpack(f"<{len(table) // 2}H", table[: len(table) // 2 * 2])
    glyph, chars, in_sequence = 0, {}, False
    for w in words:
        if w == 0xFFFF:
            glyph, in_sequence = glyph + 1, False
        elif w == 0xFFFE:
            in_sequence = True
        elif not in_sequence:
            chars.setdefault(w, glyph)
    return chars


def unicode_psf2(table):
    """Per glyph: UTF-8 characters, sequences after 0xfe, 0xff at the end."""
    chars = {}
    for glyph, entry in enumerate(table.split(b"\xff")):
        for c in entry.split(b"\xfe")[0].decode("utf-8", "ignore"):
            chars.setdefault(ord(c), glyph)
    return chars


def read_psf(path):
    """Returns width, height and {character: [row as integer, ...]}."""
    data = read_bytes(path)
    if data[:2] == b"\x36\x04":
        mode, size = data[2], data[3]
        count, width, height, start = 512 if mode & 1 else 256, 8, size, 4
        has_table, decode = mode & 6, unicode_psf1
    elif data[:4] == b"\x72\xb5\x4a\x86":
        _, start, flags, count, size, height, width = struct.unpack("<7I", data[4:32])
        has_table, decode = flags & 1, unicode_psf2
    else:
        fail(f"{path}: not a PC Screen Font")
    chars = decode(data[start + count * size :]) if has_table else {c: c for c in range(count)}
    row_bytes = (width + 7) // 8
    glyphs = {}
    for char in range(FIRST, LAST + 1):
        if char not in chars:
            fail(f"{path}: no picture for character {char:#x}")
        at = start + chars[char] * size
        rows = [data[at + y * row_bytes : at + (y + 1) * row_bytes] for y in range(height)]
        glyphs[char] = [int.from_bytes(r, "big") >> (row_bytes * 8 - width) for r in rows]
    return width, height, glyphs


def box(width, height):
    """An empty box, for characters that have no picture."""
    full = (1 << (width - 2)) - 1 << 1
    sides = 1 << (width - 2) | 2
    inner = [full] + [sides] * (height - 6) + [full]
    return [0] * 2 + inner + [0] * 2


def write_font(out, name, path):
    width, height, glyphs = read_psf(path)
    glyphs[LAST + 1] = box(width, height)
    out.write(f"static const uint32_t {name}_rows[] = {{\n")
    for char, rows in sorted(glyphs.items()):
        out.write("    " + ", ".join(f"{r:#x}" for r in rows) + f", /* {char:#x} */\n")
    out.write("};\n")
    out.write(f"const struct font {name} = {{ {width}, {height}, {name}_rows }};\n\n")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write("/* made by tools/mkfont.py; licences of the fonts: docs/sources.md */\n")
        out.write('#include "core/dev/font.h"\n\n')
        write_font(out, "font_small", sys.argv[2])
        write_font(out, "font_large", sys.argv[3])


if __name__ == "__main__":
    main()
