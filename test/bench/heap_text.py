#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/bench/heap_text.py TRACE.mtr - what `heap trace on` printed, from standard input, as a trace for build/host/replay

Lines of other kinds may lie between those of the trace (`@a SIZE ALIGN ADDRESS`, `@f ADDRESS`, hexadecimal). Blocks that
are older than the trace have no size: their frees are left out. Says how many calls it wrote and how many it left out.
"""
import re
import struct
import sys

MALLOC, FREE, MEMALIGN = 0, 1, 3


def events(lines):
    """Yields the trace's calls: (operation, slot, size, log2 of the alignment); None for a free that is left out."""
    slots, idle, n_slots = {}, [], 0
    for line in lines:
        call = re.search(r"@(?:a ([0-9a-f]+) ([0-9a-f]+)|f) ([0-9a-f]+)\s*$", line)
        if not call:
            continue
        size, align, address = call.groups()
        if size is None:
            slot = slots.pop(address, None)
            if slot is not None:
                idle.append(slot)
            yield None if slot is None else (FREE, slot, 0, 0)
            continue
        if address in slots:
            sys.exit(f"heap_text.py: {address} was given out twice: {line.strip()}")
        if idle:
            slots[address] = idle.pop()
        else:
            slots[address] = n_slots
            n_slots += 1
        align = int(align, 16)
        yield MEMALIGN if align > 16 else MALLOC, slots[address], int(size, 16), align.bit_length() - 1


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = list(events(sys.stdin))
    calls = [e for e in found if e]
    live, peak, sizes = 0, 0, {}
    for operation, slot, size, _ in calls:
        live += size - sizes.pop(slot, 0)
        if operation != FREE:
            sizes[slot] = size
        peak = max(peak, live)
    with open(sys.argv[1], "wb") as out:
        out.write(struct.pack("<8sQQQ", b"MTRC1", 1 + max((slot for _, slot, _, _ in calls), default=0), len(calls), peak))
        for operation, slot, size, align in calls:
            out.write(struct.pack("<Q", operation | align << 3 | slot << 8 | size << 32))
    print(f"{len(calls)} calls, {len(found) - len(calls)} frees of older blocks left out")


main()
