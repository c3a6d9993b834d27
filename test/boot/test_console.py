# SPDX-License-Identifier: MIT
"""The console as a person uses it: line editing, history, Tab, keyboard, screen, and wrong input."""
import importlib.util
import os
import random
import re
import time

import pytest
from conftest import PROMPT, ROOT

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
HOME, END, DELETE = "\x1b[H", "\x1b[F", "\x1b[3~"
MONITOR = "\x01c"  # between the serial line and QEMU's monitor

pytestmark = pytest.mark.xdist_group("console")


# ---- typing on the serial line -----------------------------------------------------------------

@pytest.mark.parametrize("keys, printed", [
    ("echo one", "one"),
    ("cho two" + HOME + "e" + END + "!", "two!"),
    ("echo xthree" + LEFT * 5 + "\b", "three"),
    ("echo fo\x7four", "four"),
    ("echo fxive" + LEFT * 4 + DELETE, "five"),
    ("junk\x15echo six", "six"),
    ("echo seven eight\x17\x17seven", "seven"),
    ("echo nine ten" + LEFT * 4 + "\x0b", "nine"),
    ("\x0b\x15echo a\x01\x06\x06\x05b", "ab"),
    ("echo '" + "long " * 60 + "'", ("long " * 60).strip()),
    ("echo \x1b[99~\x1bOq\x1b[1;2Xok", "ok"),
    ("never run\x03echo after", "after"),
], ids=lambda text: repr(text)[:24])
def test_keys_edit_the_line(console, keys, printed):
    if "\x03" in keys:  # the dropped line is followed by a prompt of its own
        before, after = keys.split("\x03")
        console.child.send(before + "\x03")
        console.text_to_prompt()
        keys = after
    assert console.run(keys).strip() == printed


def test_arrows_bring_lines_back(console):
    console.run("echo first")
    console.run("echo second")
    assert console.run(UP).strip() == "second"
    assert console.run(UP + UP).strip() == "first"
    assert console.run(UP + UP + UP + DOWN + DOWN).strip() == "first"
    assert console.run("echo typed" + UP + DOWN + " on").strip() == "typed on"


def test_tab_completes_commands_and_their_words(console):
    assert console.run("ec\tdone").strip() == "done"
    assert "usage: map" in console.run("help ma\t")
    assert "normalised map" in console.run("map nor\t")
    assert "selftest fmt: passed" in console.run("selftest fm\t")
    assert console.run("clear; ec\tsecond").strip().endswith("second")


def test_second_tab_lists_the_choices(console):
    console.child.send("fr\t\t")
    text = console.text_to_prompt()
    assert {"frames", "free"} <= set(text.split("\n")[1].split())
    assert "zone" in console.run("a\t")


def test_commands_share_a_line(console):
    assert console.run("echo a; echo 'b; c' # echo d").split("\n")[:2] == ["a", "b; c"]


# ---- frames and their picture --------------------------------------------------------------------

def addresses(text):
    return [int(word, 16) for word in text.split()]


def test_alloc_takes_frames_and_free_gives_them_back(console):
    frames = addresses(console.run("alloc 40"))
    assert len(set(frames)) == 40 and all(a % 4096 == 0 and a >= 0x100000 for a in frames)
    assert console.run("free " + " ".join(f"{a:#x}" for a in frames[:20])) == ""
    assert "not allocated" in console.run(f"free {frames[0]:#x}")
    assert console.run("free all").startswith("20 blocks")
    block, = addresses(console.run("alloc 1 4"))
    assert block % 0x10000 == 0
    assert "inside a block" in console.run(f"free {block + 4096:#x}")
    assert console.run(f"free {block:#x}") == ""


def test_buddy_draws_what_alloc_took(console):
    block, = addresses(console.run("alloc 1 3"))
    base = block & ~0x1FFFF  # 32 frames around it
    rows = console.run(f"buddy {base:#x} {base + 0x20000:#x}").split("\n")
    row = next(r for r in rows if r.startswith("buddy[0]---> "))[13:45]
    at = (block - base) // 4096
    assert row[at:at + 8] == "########"
    console.run(f"free {block:#x}")
    row = console.run(f"buddy {block:#x} {block + 0x8000:#x}").split("\n")[1][13:21]
    assert row == "xxxxxxxx"


def test_counts_agree(console):
    """The picture of all memory and the table of frames count the same blocks."""
    picture, table = console.run("buddy; frames").split("zone ", 1)
    counts = {int(line.split("[")[1].split("]")[0]): int(line.split(" free,")[0].split()[-1])
              for line in picture.split("\n") if " free," in line}
    rows = [line.split() for line in table.split("\n") if line.strip().endswith("%")]
    assert counts and all(int(row[-4]) == counts[int(row[0])] for row in rows if int(row[0]) in counts)


# ---- wrong input -------------------------------------------------------------------------------

@pytest.mark.parametrize("line, said", [
    ("nonsense", "nonsense: no such command"),
    ("help nonsense", "help: "),
    ("alloc", "usage: alloc N"),
    ("alloc x", "usage: alloc"),
    ("alloc 0", "alloc: "),
    ("alloc 99999999999999999999", "usage: alloc"),
    ("alloc 1 19", "alloc: "),
    ("free", "usage: free"),
    ("free 0x1001", "free: "),
    ("free 0xfffffffffffff000", "free: "),
    ("map sideways", "usage: map"),
    ("buddy 1", "usage: buddy"),
    ("buddy 2M 1M", "buddy: "),
    ("buddy 1T 2T", "buddy: "),
    ("echo 'open", "a quote is not closed"),
    ("selftest nonsense", "selftest: "),
    ("echo " + "x " * 30, "more than 24 words"),
])
def test_wrong_input_is_answered(console, line, said):
    assert console.run(line).startswith(said)


def test_frames_that_the_kernel_uses_are_not_given_back(console):
    table = console.run("cpu").split("CR3")[1].split()[0]
    assert "in use by the kernel" in console.run(f"free {table}")


def test_random_lines_do_no_harm(open_console):
    """Every command with arguments that make no sense; the machine must still answer afterwards."""
    console, dice = open_console(), random.Random(6)
    names = re.findall(r"^  (\w+)", console.run("help"), re.M)
    names = [name for name in names if name not in ("reboot", "poweroff", "panic", "selftest", "bench")]
    words = ["0", "1", "-1", "0x", "all", "0xffffffffffffffff", "18446744073709551616", "1T", "4K", "0x1000", "x", "''",
             "\"a b\"", "'", ";", ";;", "#", "%s%n", "../..", "2M", "0xffff800000000000", "0x8000000000000000"]
    assert len(names) > 8
    for _ in range(100):
        console.run(" ".join([dice.choice(names)] + dice.choices(words, k=dice.randrange(5))))
    assert console.run("echo alive").strip() == "alive"
    console.child.send("poweroff\r")


# ---- the keyboard ------------------------------------------------------------------------------

KEYS = {" ": "spc", "-": "minus", "=": "equal", ";": "semicolon", "'": "apostrophe", ",": "comma", ".": "dot",
        "/": "slash", "\\": "backslash", "!": "shift-1", "_": "shift-minus", "\"": "shift-apostrophe", "\n": "ret",
        "\t": "tab", "\b": "backspace"}


def in_monitor(console, *commands):
    """Commands for QEMU's monitor; what the last one printed."""
    console.child.send(MONITOR + "\r")
    console.child.expect_exact("(qemu) ")
    for command in commands:
        console.child.send(command + "\r")
        console.child.expect_exact("(qemu) ")
    console.child.send(MONITOR)


def press(console, *keys):
    in_monitor(console, *(f"sendkey {key} 20" for key in keys))


def keys_of(text):
    return [KEYS.get(c) or (f"shift-{c.lower()}" if c.isupper() else c) for c in text]


def test_keyboard_types(console):
    press(console, *keys_of("echo Key-Board 42!\n"))
    assert console.text_to_prompt().split("\n")[-2].strip() == "Key-Board 42!"


def test_keyboard_moves_and_completes(console):
    press(console, *keys_of("cho xxright"), "home", "e", "end", *["left"] * 6, "backspace", "delete", "ctrl-e", "1", "ret")
    assert console.text_to_prompt().split("\n")[-2].strip() == "right1"
    press(console, "up", "ctrl-u", *keys_of("ec\tUP\n"))
    assert console.text_to_prompt().split("\n")[-2].strip() == "UP"


# ---- last words ------------------------------------------------------------------------------------

@pytest.mark.parametrize("command, said, function", [
    ("panic", r"PANIC on CPU 0 at core/console/cmd_machine\.c:\d+: asked for", "port_panic"),
    ("panic fault", r"#PF page fault .*\n  error 0x2: write by the kernel", "panic"),
])
def test_a_panic_tells_all_and_ends_the_run(boot, command, said, function):
    run = boot(f"{command}; echo went on")
    words = run.text.partition("PANIC")[2]
    assert run.status == 1 and "went on" not in words, run
    assert re.search(said, "PANIC" + words), run
    assert re.search(rf"backtrace:\n(.*\n)*? +\d+ 0x[0-9a-f]+ {function}\+0x", words), run
    assert re.search(r"(.*\n)*? +\d+ 0x[0-9a-f]+ shell_run\+0x", words), run
    assert re.search(r"^frames: \d+ free of \d+$", words, re.M), run
    assert len(re.findall(r"stage \d: ", words)) == 4, run
    assert run.text.rstrip().endswith("octavo: panic")


def test_a_panic_is_seen_on_the_screen(open_console, tmp_path):
    console = open_console()
    console.child.send("panic\r")
    console.child.expect_exact("octavo: panic")
    width, height, pixels = dump_screen(console, tmp_path / "panic.ppm")
    assert tuple(pixels[:3]) == ALARM
    rows = [row for row in screen_text((width, height, pixels)) if row]
    assert rows[-1] == "octavo: panic" and any(row.startswith("PANIC on CPU 0") for row in rows)


# ---- the screen --------------------------------------------------------------------------------

MARGIN, TOP, PAPER, ALARM = 8, 32, (0x14, 0x19, 0x1F), (0x9C, 0x2F, 0x38)


def load_font():
    spec = importlib.util.spec_from_file_location("mkfont", os.path.join(ROOT, "tools/mkfont.py"))
    mkfont = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mkfont)
    width, height, glyphs = mkfont.read_psf("/usr/share/consolefonts/spleen-8x16.psfu.gz")
    return width, height, {tuple(rows): chr(c) for c, rows in glyphs.items()}


def read_ppm(path):
    with open(path, "rb") as f:
        data = f.read()
    _, width, height, _ = data.split(None, 4)[:4]
    return int(width), int(height), data[-int(width) * int(height) * 3:]


def dump_screen(console, path):
    again = f"{path}.again"
    in_monitor(console, f"screendump {path}", f"screendump {again}")
    end = time.monotonic() + 20
    while not (os.path.exists(again) and os.path.getsize(again)) and time.monotonic() < end:
        time.sleep(0.1)
    return read_ppm(path)


def screen_text(screen):
    """The rows of the screen, read by the pictures of the letters; a cell's first pixel is its paper."""
    width, height, pixels = screen
    font_width, font_height, letters = load_font()
    rows = []
    for y in range(TOP, height - MARGIN - font_height + 1, font_height):
        row = ""
        for x in range(MARGIN, width - MARGIN - font_width + 1, font_width):
            lines = [pixels[((y + j) * width + x) * 3:((y + j) * width + x + font_width) * 3] for j in range(font_height)]
            paper = lines[0][:3]
            bits = tuple(int("".join("10"[line[i:i + 3] == paper] for i in range(0, len(line), 3)), 2) for line in lines)
            row += letters.get(bits, "?")
        rows.append(row.rstrip())
    return rows


def test_screen_shows_what_the_serial_line_says(console, tmp_path):
    console.run("clear")
    printed = [line.rstrip() for line in console.run("cpu; help; map normalised").split("\n")]
    screen = dump_screen(console, tmp_path / "screen.ppm")
    rows = [row for row in screen_text(screen) if row]
    while printed and not printed[-1]:
        printed.pop()
    assert rows[-1] == PROMPT.strip()
    shown = rows[:-1][-20:]
    assert shown == [line for line in printed if line][-len(shown):]
    width, _, pixels = screen
    assert tuple(pixels[-3:]) == PAPER
    assert tuple(pixels[width * 2 * 3:width * 2 * 3 + 3]) == (0x24, 0x30, 0x3D)


def test_page_up_looks_back(console, tmp_path):
    for half in range(2):
        console.run("; ".join(f"echo {i}" for i in range(40 * half, 40 * half + 40)))
    newest = screen_text(dump_screen(console, tmp_path / "newest.ppm"))
    press(console, "pgup")
    older = screen_text(dump_screen(console, tmp_path / "older.ppm"))
    assert older[-1] == newest[0] != "" and older != newest
    numbers = [int(row) for row in older + newest[1:] if row.isdigit()]
    assert numbers[-80:] == list(range(80))
    press(console, "pgdn")
    assert screen_text(dump_screen(console, tmp_path / "again.ppm")) == newest


def test_it_works_without_a_screen(boot):
    run = boot("echo blind", "--no-screen")
    assert run.status == 0 and "\nblind\n" in run.text, run


def test_it_works_without_a_serial_port(boot):
    assert boot("echo dumb", "--no-serial").status == 0
    assert boot("nonsense", "--no-serial").status == 1
