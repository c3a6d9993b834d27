#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Turn `llvm-nm --defined-only IMAGE` (standard input) into the symbol table for backtraces.

usage: symtab.py < nm-output > symtab.S

The table stands in a section of its own, behind the code, so that linking again with the full table
moves no function.
"""
import sys

IMAGE_BASE = 0x140000000  # lld-link's default

functions = {}
for line in sys.stdin:
    fields = line.split()
    if len(fields) == 3 and fields[1] in "tT" and not fields[2].startswith("."):
        functions.setdefault(int(fields[0], 16) - IMAGE_BASE, fields[2])

print("# made by tools/symtab.py")
print('        .section .syms,"dr"')
print("        .balign 4\n        .globl symtab_count, symtab_entries, symtab_names")
print(f"symtab_count:\n        .long {len(functions)}\nsymtab_entries:")
offset = 0
for rva, name in sorted(functions.items()):
    print(f"        .long {rva}, {offset}")
    offset += len(name) + 1
print("symtab_names:")
for rva, name in sorted(functions.items()):
    print(f'        .asciz "{name}"')
print("        .byte 0")
