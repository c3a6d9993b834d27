# SPDX-License-Identifier: MIT
"""tools/gdb_octavo.py - a gdb command that stops at Octavo's first instruction with its symbols loaded

    (gdb) octavo-attach HOST:PORT SYMBOLS

A UEFI image runs wherever the firmware found room. The specification lets a debugger find out where:
a structure on a 4 MiB boundary leads to the system table, whose configuration table lists every loaded
image with its base (UEFI 2.10, section 18.4 "EFI Debug Support Protocol", Debug Image Information). So:
let the firmware run in small steps until that list exists, watch its length, and look at each image that
joins it: ours has the entry point and the section sizes that the symbol file has.
"""
import contextlib
import os
import struct
import threading

import gdb

POINTER_ALIGN = 4 << 20
POINTER_SIGNATURE = b"IBI SYST"
IMAGE_TABLE_GUID = struct.pack("<IHH8B", 0x49152E77, 0x1ADA, 0x4764,
                               0xB7, 0xA2, 0x7A, 0xFE, 0xFE, 0xD9, 0x5E, 0x8B)
STEP_S = 0.1
SEARCH_END = 4 << 30


def read(address, n_bytes):
    return bytes(gdb.selected_inferior().read_memory(address, n_bytes))


def number(address, n_bytes=8):
    return int.from_bytes(read(address, n_bytes), "little")


def run_for(seconds):
    """Let the machine run; a breakpoint may stop it earlier."""
    timer = threading.Timer(seconds, lambda: gdb.post_event(lambda: gdb.execute("interrupt")))
    timer.start()
    gdb.execute("continue")
    timer.cancel()


@contextlib.contextmanager
def silence():
    """gdb announces every stop; the hundred on the way are nobody's business."""
    gdb.flush()
    kept, nowhere = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        gdb.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for file in kept + [nowhere]:
            os.close(file)


def find_image_table():
    """Address of EFI_DEBUG_IMAGE_INFO_TABLE_HEADER, or None as long as there is none."""
    for address in range(0, SEARCH_END, POINTER_ALIGN):
        try:
            if read(address, 8) != POINTER_SIGNATURE:
                continue
            system_table = number(address + 8)
            n_entries, entries = number(system_table + 104), number(system_table + 112)
            for i in range(min(n_entries, 64)):
                if read(entries + 24 * i, 16) == IMAGE_TABLE_GUID:
                    return number(entries + 24 * i + 16)
        except gdb.MemoryError:
            continue
    return None


def headers(get):
    """From get(offset, n): the base an image is linked for, and what tells it from others (entry, .text, .data)."""
    pe, = struct.unpack("<I", get(0x3C, 4))
    n_sections, optional_bytes = struct.unpack("<H12xH", get(pe + 6, 16))
    entry, = struct.unpack("<I", get(pe + 40, 4))
    linked_at, = struct.unpack("<Q", get(pe + 48, 8))
    table = get(pe + 24 + optional_bytes, 40 * n_sections)
    sections = [struct.unpack_from("<8sII", table, 40 * i) for i in range(n_sections)]
    return linked_at, (entry, [s for s in sections if s[0].rstrip(b"\0") in (b".text", b".data")])


def find_base(table, wanted):
    """Base of the image that is so, or None. A list entry leads to EFI_LOADED_IMAGE_PROTOCOL."""
    n_entries, entries = number(table + 4, 4), number(table + 8)
    for i in range(n_entries):
        info = number(entries + 8 * i)
        if info == 0 or number(info, 4) != 1:
            continue
        base = number(number(info + 8) + 64)
        try:
            if read(base, 2) == b"MZ" and headers(lambda at, n: read(base + at, n))[1] == wanted:
                return base
        except (gdb.MemoryError, struct.error):
            continue
    return None


class Arrival(gdb.Breakpoint):
    """Stops the machine when the list of images has grown by the one that is wanted."""

    def __init__(self, table, wanted):
        super().__init__(f"*(unsigned int *){table + 4:#x}", gdb.BP_WATCHPOINT, gdb.WP_WRITE, internal=True)
        self.table, self.wanted, self.base = table, wanted, None

    def stop(self):
        self.base = find_base(self.table, self.wanted)
        return self.base is not None


def run_to_image(wanted):
    """Returns the base of the image, and whether it had been there at the first look."""
    table = None
    while table is None:
        run_for(STEP_S)
        table = find_image_table()
    base = find_base(table, wanted)
    if base is not None:
        return base, True
    arrival = Arrival(table, wanted)
    gdb.execute("continue")
    arrival.delete()
    return arrival.base, False


class Attach(gdb.Command):
    """octavo-attach HOST:PORT SYMBOLS - run the firmware up to Octavo's first instruction"""

    def __init__(self):
        super().__init__("octavo-attach", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        del from_tty
        where, symbols = gdb.string_to_argv(argument)
        gdb.execute("set pagination off")
        gdb.execute("set confirm off")
        gdb.execute("set architecture i386:x86-64", to_string=True)
        with open(symbols, "rb") as f:
            content = f.read()
        linked_at, wanted = headers(lambda at, n: content[at:at + n])
        with silence():
            gdb.execute(f"target remote {where}")
            base, late = run_to_image(wanted)
        gdb.execute(f"add-symbol-file {symbols} -o {base - linked_at}", to_string=True)
        print(f"Octavo is at {base:#x}")
        if late:
            print("it was running already: stopped somewhere in it or in the firmware")
        else:
            gdb.execute(f"thbreak *{base + wanted[0]:#x}", to_string=True)
            gdb.execute("continue")


Attach()
