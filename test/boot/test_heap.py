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


@pytest.mark.parametrize("config", ["heap=default", "heap=list", "heap=bitmap", "heap.debug=1"])
def test_the_system_passes_its_tests_on_each_heap(boot, config):
    run = boot("selftest; heap check", "--conf", config)
    assert run.status == 0 and "heap: sound" in run.text
    assert re.search(r"selftest: [1-9]\d* passed, 0 failed", run.text)


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
