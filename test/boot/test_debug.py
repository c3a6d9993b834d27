# SPDX-License-Identifier: MIT
"""Finding one's way from addresses to source: make debug, and tools/symbolise.py."""
import os
import re
import struct
import subprocess

from conftest import ROOT

SYMBOLS = os.path.join(ROOT, "build/octavo.debug")


def test_gdb_stops_at_the_first_instruction_and_in_kmain_with_names(tmp_path):
    script = tmp_path / "commands"
    script.write_text("backtrace 1\nhbreak kmain\ncontinue\nbacktrace\nprint $pc\nkill\n")
    done = subprocess.run([os.path.join(ROOT, "tools/debug.sh"), "--script", str(script), "--timeout", "120"], cwd=ROOT,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180,
                          env={**os.environ, "OCTAVO_DEBUG_LOG": str(tmp_path / "log")})
    told = done.stdout + done.stderr
    assert re.search(r"Octavo is at 0x[0-9a-f]+000\b", told), told
    assert re.search(r"^#0  efi_main \(.*\) at efi/entry.c:\d+", told, re.M), told
    assert re.search(r"^#0 .*\bkmain \(.*\) at core/kmain.c:\d+", told, re.M), told
    assert re.search(r"^\$1 = .*<kmain", told, re.M), told


def preferred_base():
    with open(SYMBOLS, "rb") as f:
        head = f.read(4096)
    return struct.unpack_from("<Q", head, struct.unpack_from("<I", head, 0x3C)[0] + 48)[0]


def test_addresses_in_a_console_text_get_file_and_line():
    names = subprocess.run(["nm", "--defined-only", SYMBOLS], check=True, stdout=subprocess.PIPE, text=True).stdout
    kmain = int(re.search(r"^([0-9a-f]+) \w kmain$", names, re.M).group(1), 16) - preferred_base()
    text = (f"[   0.000000] I kmain: Octavo at 0x7d000000, 512 KiB; firmware X 1.0\n"
            f"  rip {0x7D000000 + kmain:016x}\nelsewhere 0x12345678\n")
    told = subprocess.run([os.path.join(ROOT, "tools/symbolise.py")], input=text, check=True, stdout=subprocess.PIPE,
                          text=True).stdout.split("\n")
    assert re.search(r"<- kmain \S*core/kmain.c:\d+", told[1])
    assert told[2] == "elsewhere 0x12345678"
