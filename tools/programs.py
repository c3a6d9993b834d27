#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The programs for ring 3 as a part of the image, and the table that names them (core/proc/program.c).

usage: programs.py FILE.elf... > programs.S

Each file starts on a page's start and is followed by zeros up to the next, so that its frames can be
mapped into processes as they are: a page of it shows nothing but the program.
"""
import os
import sys

files = sorted(sys.argv[1:], key=os.path.basename)
print("# made by tools/programs.py")
print('        .section .user,"dr"\n        .balign 4096')
for i, path in enumerate(files):
    print(f'program{i}:\n        .incbin "{path}"\nprogram{i}_end:\n        .balign 4096')
print('        .section .rdata,"dr"\n        .balign 8')
for i, path in enumerate(files):
    print(f'name{i}:\n        .asciz "{os.path.splitext(os.path.basename(path))[0]}"')
print("        .balign 8\n        .globl programs_embedded, n_programs_embedded\nprograms_embedded:")
for i, _ in enumerate(files):
    print(f"        .quad name{i}, program{i}, program{i}_end - program{i}, 0")
print(f"n_programs_embedded:\n        .quad {len(files)}")
