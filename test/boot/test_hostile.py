# SPDX-License-Identifier: MIT
"""Octavo on firmware that misbehaves: build/HOSTILE.EFI plays one part at a time.

A part ends in one of two ways: Octavo takes the machine over, agrees with the shim on what each page is
and passes its self-tests; or it returns to the firmware with one clear sentence.
"""
import os
import re
import struct
import zlib

import pytest

from conftest import ROOT

# Every part the shim can play, from its own table
with open(os.path.join(ROOT, "test/boot/hostile/entry.c")) as source:
    PARTS = re.findall(r'^    \{ (?:\.name = )?"([\w-]+)"', source.read(), re.M)

# Parts that Octavo refuses, and its sentence
REFUSED = {
    "desc-32": "the firmware's memory descriptors have an impossible size",
    "map-fails": "the firmware gives no memory map",
    "bursting": "the firmware's memory map outgrew the room we made for it",
    "dirty-bss": "the firmware did not clear our uninitialised data",
    "no-memory": "the firmware has no memory left for its own memory map",
}
# Parts in which nothing may be printed: ExitBootServices was called, if in vain
HALF_GONE = ["exit-fails-always", "exit-fails-outgrown"]
BOCHS = ["x2apic"]  # QEMU's TCG has none

# Parts that show in what Octavo says of its machine
SAYS = {
    "none": r"left the firmware after 1 call of ExitBootServices",
    "exit-fails-1": r"left the firmware after 2 calls of ExitBootServices",
    "exit-fails-3": r"left the firmware after 4 calls of ExitBootServices",
    "exit-fails-growing": r"left the firmware after 4 calls of ExitBootServices",
    "zero-length": r"dropped 0 by zero-length",
    "overflowing": r"dropped \S+ \S+ by wrapped|dropped \d+ by wrapped",
    "boundless": r"dropped 274877906944 by unaddressable",
    "wp-off": r"^CR0 +0x8001003b +firmware left 0x80000033 ",
    "nxe-off": r"^EFER .* firmware left 0x500 ",
    "bare-cpu": r"^CR0 +0x8001003b +firmware left 0x80000011 ",
    "full-cpu": r"^CR4 .* firmware left 0x75\w+",
    "la57": r"^CR3 .* 5 levels",
    "x2apic": r"^APIC +x2APIC",
    "no-screen": r"no screen",
    "blt-only": r"no screen",
    "modeless": r"no screen",
    "narrow-stride": r"no screen",
    "phantom-screen": r"screen of 1280x800 pixels",
    "no-acpi": r"serial line: by interrupt, keyboard: by interrupt",
    "broken-acpi": r"W \w+: ACPI tables: .*(?s:.*)serial line: by interrupt, keyboard: by interrupt",
}
# Parts in which the CPU itself is set up differently go through all self-tests, the others through one
CPU = ["none", "interrupts", "flags", "wp-off", "nxe-off", "bare-cpu", "full-cpu", "readonly-tables", "nx-data",
       "4g-only", "la57"]
TAKEN_OVER = [part for part in PARTS if part not in REFUSED and part not in HALF_GONE + BOCHS]


def ranges(text):
    """The normalised map as `map` prints it: [(start, end, kind)]."""
    return [(int(start, 16), int(end, 16), kind) for start, end, kind in
            re.findall(r"^ +(0x[0-9a-f]+) +(0x[0-9a-f]+) +\d+ +[\d.]+ \w+ +([a-z]+)", text, re.M)]


def check_taken_over(run, part):
    assert f"hostile: playing '{part}'" in run.text, run
    assert "VIOLATION" not in run.text, run
    assert run.status == 0, run
    found = ranges(run.text)
    assert found, run
    for address, kind in re.findall(r"^hostile: expect (0x[0-9a-f]+) (\w+)", run.text, re.M):
        at = int(address, 16)
        assert [k for start, end, k in found if start <= at < end] == [kind], f"{address} should be {kind}: {run}"
    assert re.search(r"^selftest: [1-9]\d* passed, 0 failed", run.text, re.M), run
    assert re.search(SAYS.get(part, ""), run.text, re.M), f"{SAYS[part]}: {run}"


@pytest.mark.parametrize("part", TAKEN_OVER)
def test_it_takes_over(boot, part):
    selftest = "selftest" if part in CPU else "selftest paging"
    check_taken_over(boot(f"map normalised; cpu; {selftest}", "--hostile", part, timeout=240), part)


def test_a_long_map_fits_a_small_machine(boot):
    """What is reserved for start-up grows with the number of descriptors, but less does where there is no more."""
    check_taken_over(boot("map normalised; cpu; selftest paging", "--hostile", "many", "--mem", "64M", "--machine", "pc",
                          timeout=240), "many")


@pytest.mark.parametrize("part", BOCHS)
def test_it_takes_over_in_bochs(boot, part):
    run = boot("map normalised; cpu; selftest paging", "--emulator", "bochs", "--hostile", part, timeout=300)
    check_taken_over(run, part)


@pytest.mark.parametrize("part", REFUSED)
def test_it_returns_to_the_firmware_with_one_clear_sentence(boot, part):
    run = boot("help", "--hostile", part, timeout=120)
    assert run.status == 3, run
    assert run.text.count("Octavo cannot run here") == 1 and run.text.count(REFUSED[part]) == 1, run
    assert "hostile: Octavo returned with status 0x8" in run.text, run
    assert "VIOLATION" not in run.text, run


@pytest.mark.parametrize("part", HALF_GONE)
def test_it_returns_without_a_word_once_it_called_exit_boot_services(boot, part):
    run = boot("help", "--hostile", part, timeout=120)
    assert run.status == 3, run
    assert "hostile: Octavo returned with status 0x8" in run.text, run
    assert "VIOLATION" not in run.text, run


@pytest.mark.parametrize("part, complaint", [
    ("none", ""), ("no-runtime", ""), ("unsupported-runtime", ""),
    ("crashing-runtime", r"the firmware's ResetSystem crashed: \S.* at 0x[0-9a-f]+"),
])
def test_the_machine_is_switched_off_all_the_same(boot, part, complaint):
    run = boot("help", "--hostile", part, "--conf", "debug_exit=0", timeout=120)
    assert run.status == 0, run
    assert re.search(complaint, run.text), run


@pytest.mark.parametrize("part", ["no-runtime", "crashing-runtime"])
def test_the_machine_is_started_again_all_the_same(boot, part):
    run = boot("reboot", "--hostile", part, timeout=120)  # QEMU ends where a PC would start again
    assert run.status == 1 and "the machine stopped before its commands were done" in run.notes, run


def test_without_acpi_a_person_can_type(open_console):
    assert "alloc" in open_console("--hostile", "no-acpi").run("help")


def read_png(path):
    """Rows of a PNG as tools/ppm2png.py writes it: 24 bits, no filter."""
    data, at, body = open(path, "rb").read(), 8, b""
    width, height = struct.unpack(">II", data[16:24])
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IDAT":
            body += data[at + 8:at + 8 + size]
        at += 12 + size
    pixels, stride = zlib.decompress(body), 1 + 3 * width
    return [pixels[y * stride + 1:(y + 1) * stride] for y in range(height)]


def test_lines_that_are_longer_than_wide_give_a_straight_picture(boot, tmp_path):
    shot = tmp_path / "screen.png"
    run = boot("cpu", "--hostile", "wide-stride", "--screenshot", str(shot), timeout=120)
    assert run.status == 0 and re.search(r"hostile: 1280 pixels wide, 1352 apart", run.text), run
    rows = read_png(shot)
    background = rows[-1][:3]
    assert len(set(rows[-1][i:i + 3] for i in range(0, len(rows[-1]), 3))) == 1  # painted to the last line
    assert len(set(row[:3] for row in rows)) <= 2, "text wanders into the margin"
    assert any(row.count(background) * 3 < len(row) * 0.9 for row in rows[30:])  # and there is text
