# SPDX-License-Identifier: MIT
"""The kernel's heap from the console: on each policy, in debug mode, told call by call, and back to nothing."""
import os
import re
import subprocess

import pytest
from conftest import ROOT


def held(text):
    """(pages, frames with metadata) of each `heap` in a console's text"""
    return [tuple(map(int, found)) for found in re.findall(r"^pages +(\d+) held, \d+ at most, (\d+) frames", text, re.M)]


def free_frames(text):
    return [int(n) for n in re.findall(r"frames managed, (\d+) free", text)]


@pytest.mark.parametrize("policy", ["default", "list", "bitmap"])
def test_the_system_passes_its_tests_on_each_heap(boot, policy):
    run = boot("selftest; heap check", "--conf", f"heap={policy}")
    assert run.status == 0 and "heap: sound" in run.text
    assert re.search(r"selftest: [1-9]\d* passed, 0 failed", run.text)


def test_the_system_passes_its_tests_in_debug_mode(boot):
    # all but `isolation`, which counts frames to the last one: the tables that map debug mode's records stay
    tests = "frames", "heap", "paging", "mapping", "tlb", "threads", "access"
    run = boot("; ".join(f"selftest {test}" for test in tests) + "; heap check", "--conf", "heap.debug=1")
    assert run.status == 0 and "heap: sound" in run.text
    assert run.text.count("selftest: 1 passed, 0 failed") == len(tests)


@pytest.mark.parametrize("policy", ["default", "list", "bitmap"])
def test_after_a_million_calls_and_a_trim_all_frames_are_back(boot, policy):
    look = "heap trim; heap; frames; "
    run = boot(f"{look}selftest heap; heap check; {look}", "--conf", f"heap={policy}")
    assert run.status == 0 and "selftest heap: passed" in run.text and "heap: sound" in run.text
    before, after = held(run.text)
    assert after == before
    assert len(set(free_frames(run.text))) == 1, free_frames(run.text)


def test_a_trace_from_the_console_plays_on_the_host(boot, tmp_path):
    run = boot("heap trace on; bench; selftest frames; heap trace off")
    assert run.status == 0
    told = int(re.search(r"heap: (\d+) calls told", run.text).group(1))
    assert told >= 10

    trace = str(tmp_path / "console.mtr")
    said = subprocess.run([os.path.join(ROOT, "test/bench/heap_text.py"), trace], input=run.text, check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    calls, left_out = map(int, re.match(r"(\d+) calls, (\d+) frees of older blocks", said).groups())
    assert calls + left_out == told
    played = subprocess.run([os.path.join(ROOT, "build/host/replay"), "--check", "--repeat", "1", trace], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    assert re.match(rf"console\.mtr +{calls} calls", played)


def test_leaks_are_listed_by_who_asked_for_them(boot):
    run = boot("heap leaks; heap check", "--conf", "heap.debug=1")
    assert run.status == 0
    lines = re.findall(r"^ +(\d+) +(\d+)  0x[0-9a-f]+ (\w+)\+0x", run.text, re.M)
    assert "start_frames" in [name for _, _, name in lines]
    sizes = [int(size) for _, size, _ in lines]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.xdist_group("console")
class TestLooking:
    def test_classes_add_up(self, console):
        text = console.run("heap")
        rows = re.findall(r"^ +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) KiB ", text, re.M)
        assert rows
        for size, slabs, used, free, kib in (map(int, row) for row in rows):
            assert slabs > 0 and (used + free) * size <= kib * 1024 < (used + free) * size + slabs * 1024

    def test_the_picture_has_a_character_for_each_kib(self, console):
        lines = re.findall(r"^ +\d+ KiB ([#o.=* -]+)$", console.run("heap picture"), re.M)
        drawn = "".join(lines)
        assert len(drawn) % 4 == 0 and drawn.count("*") >= 4  # the heap's own page
        pages = int(re.search(r"^pages +(\d+) held", console.run("heap"), re.M).group(1))
        assert len(drawn) - drawn.count(" ") <= 4 * pages

    def test_leaks_need_debug_mode(self, console):
        assert "heap.debug=1" in console.run("heap leaks")

    @pytest.mark.parametrize("line", ["heap trace", "heap check x", "heap trace maybe", "heap nonsense"])
    def test_nonsense_gets_the_usage(self, console, line):
        assert "usage: heap" in console.run(line)
