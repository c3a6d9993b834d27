# SPDX-License-Identifier: MIT
"""Threads, and programs for ring 3: those in the image, and those that users bring."""
import os
import re
import time
import shutil
import subprocess

import pytest

from conftest import ROOT, run_sh


@pytest.mark.xdist_group("console")
class TestProgramsInTheImage:
    def test_they_are_listed_with_their_segments(self, console):
        rows = re.findall(r"^(\S+) +[\d.]+ \S+ ( .*)$", console.run("programs"), re.M)
        assert "hello" in [name for name, _ in rows]
        for name, segments in rows:
            rights = re.findall(r"r[w-][x-]", segments)
            assert "r-x" in rights and "rwx" not in rights, name


@pytest.mark.parametrize("options", [[], ["--icount"], ["--emulator", "bochs"]], ids=["tcg", "icount", "bochs"])
def test_threads_share_the_cpu_sleep_and_wait(options, boot):
    run = boot("selftest threads", *options)
    assert run.status == 0 and "selftest threads: passed" in run.text, run


@pytest.fixture(scope="module")
def visitor():
    """A program that is compiled from C for this test, the way docs/tour.md says."""
    path = "build/user/test/boot/guest/visitor.elf"
    subprocess.run(["make", "-s", path], cwd=ROOT, check=True, env={**os.environ, "MAKEFLAGS": ""})
    return os.path.join(ROOT, path)


def test_a_program_on_the_esp_is_there_under_its_name(visitor):
    run = run_sh("--program", visitor, "--exec", "programs; run visitor one two; selftest frames")
    assert "program: 1 program from the ESP" in run.text, run
    assert re.search(r"^visitor +.* r-x .*\(ESP\)", run.text, re.M)
    assert "visitor: brought on the ESP, with 2 arguments" in run.text and "visitor: two" in run.text
    assert "visitor: exit 7" in run.text and "selftest frames: passed" in run.text


def test_broken_files_on_the_esp_are_told_and_left_out(visitor, tmp_path):
    """One good file among bad ones; what is no .elf file is nobody's business."""
    whole = open(visitor, "rb").read()
    files = {"short.elf": whole[:40], "empty.elf": b"", "machine.elf": whole[:18] + b"\xb7" + whole[19:],
             "a-name-that-is-much-too-long.elf": whole, "large.elf": bytes((16 << 20) + 1), "readme.txt": b"hello"}
    options = []
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        options += ["--program", str(tmp_path / name)]
    run = run_sh(*options, "--program", visitor, "--exec", "programs")
    assert run.status == 0, run
    for name, why in [("short.elf", "shorter than an ELF header"), ("empty.elf", "empty"),
                      ("machine.elf", "made for another machine"), ("large.elf", "more than 16 MiB"),
                      ("a-name-that-is-much-too", "its name is too long")]:
        assert re.search(rf"W program: {name}.*: {why}.*; it is left out", run.text), name
    assert "readme" not in run.text
    assert "program: 1 program from the ESP" in run.text


def test_a_program_of_the_esp_goes_before_one_in_the_image(visitor, tmp_path):
    shutil.copy(visitor, tmp_path / "HELLO.ELF")
    run = run_sh("--program", str(tmp_path / "HELLO.ELF"), "--exec", "programs")
    assert run.status == 0, run
    rows = re.findall(r"^hello .*$", run.text.replace("\r", ""), re.M)
    assert len(rows) == 2 and rows[0].endswith("(ESP)") and not rows[1].endswith("(ESP)")


@pytest.mark.parametrize("options", [[], ["--emulator", "bochs"]], ids=["tcg", "bochs"])
def test_a_program_runs_in_ring_3_and_gets_its_arguments(options, boot):
    run = boot("run hello one 'two three'", *options)
    assert run.status == 0 and "hello, world: I am process 1" in run.text, run
    assert "argument 2: two three" in run.text and "\nhello: exit 0" in run.text, run


@pytest.mark.parametrize("conf", ["paging=4", "paging=5"])
def test_programs_run_with_four_and_with_five_levels(conf, boot):
    run = boot("run hello; run bench", "--conf", conf)
    assert run.status == 0 and "hello: exit 0" in run.text and "bench: exit 0" in run.text, run


def test_all_frames_are_back_when_a_program_has_ended(boot):
    run = boot("run bench; frames; run bench; frames")
    free = re.findall(r"frames managed, (\d+) free", run.text)
    assert run.status == 0 and len(free) == 2 and free[0] == free[1], run


@pytest.mark.xdist_group("console")
class TestProcesses:
    def test_an_unknown_program_is_named(self, console):
        assert "no such program" in console.run("run nothing")

    def test_what_there_is_not_cannot_be_killed(self, console):
        assert "nothing is there" in console.run("kill 200")

    def test_a_program_in_the_background_is_told_of_when_it_ends(self, console):
        assert "hello: process" in console.run("run hello &")
        assert re.search(r"I proc: hello \(\d+\): exit 0", console.run("log 3"))

    def test_ps_regions_and_picture_show_a_program_that_runs(self, console):
        pid = re.search(r"spin: process (\d+)", console.run("run spin 60000 &")).group(1)
        assert re.search(rf"^ *{pid} +0  spin .* KiB", console.run("ps"), re.M)
        text = console.run(f"regions {pid}")
        for kind, rights in ("stack", "rw-"), ("image", "r-x"), ("image", "r--"), ("shared", "rw-"):
            assert re.search(rf"^0x\w+ +0x\w+ +{rights} +{kind} ", text, re.M), text
        boxes = re.findall(r"^\| +(\w+) +\| (\S+ \w+) resident of (\S+ \w+)", console.run(f"picture {pid}"), re.M)
        assert [boxes[0][0], boxes[0][2]] == ["stack", "8.0 MiB"] and "text" in [name for name, *_ in boxes[1:]]
        for _ in range(3):      # the children are the reaper's when their parent is gone: each is ended by its number
            for line in re.findall(r"^ *(\d+) .* spin .*KiB", console.run("ps"), re.M):
                console.run(f"kill {line}")
        assert "spin" not in console.run("ps")

    def test_ctrl_c_ends_the_program_in_the_foreground(self, console):
        console.child.send("run spin 60000\r")
        console.child.expect_exact("\n")
        time.sleep(1)
        console.child.send("\x03")
        assert "spin: killed" in console.text_to_prompt()
        for line in re.findall(r"^ *(\d+) .* spin .*KiB", console.run("ps"), re.M):
            console.run(f"kill {line}")

    def test_a_program_over_its_limit_is_ended_and_others_go_on(self, console):
        assert "greedy: out of memory: over its limit of 8 MiB" in console.run("run -m 8M greedy memory")
        assert "hello: exit 0" in console.run("run hello")


def test_the_largest_program_is_ended_when_no_frame_is_left(boot):
    run = boot("run spin 100 &; run greedy memory; run hello", "--mem", "128M")
    assert "greedy: out of memory: it was the largest" in run.text and "hello: exit 0" in run.text, run
    assert run.status == 1, run   # a program that failed is a command that failed


def test_strict_overcommit_refuses_what_cannot_be_kept(boot):
    run = boot("run greedy memory; run hello", "--conf", "overcommit=strict", "--mem", "128M")
    assert "greedy: map: no memory" in run.text and "hello: exit 0" in run.text, run


def test_random_code_in_bochs_whose_single_steps_reach_into_the_kernel(boot):
    run = boot("run randcode 1 3000; selftest frames", "--emulator", "bochs")
    assert run.status == 0 and "randcode: exit 0" in run.text, run


# Instructions, with a tenth to spare for what others change; docs/benchmarks.md has the figures.
BOUNDS = {"null system call": 64, "first touch of a page, without zeroing": 620,
          "read of an untouched page: the frame of zeroes": 490, "growth of the stack by a page, without zeroing": 690,
          "write to a page shared by fork, without the copy": 1090, "unmap 64 MiB touched, a page": 130,
          "fork with 64 MiB touched, a page": 53, "a fault to the program's own handler, and back": 900,
          "switch to another process, by a yield": 262}


def test_what_memory_costs_a_program_stays_within_bounds(boot):
    run = boot("bench programs", "--icount", "--mem", "2G")
    rows = {name: float(ticks) for name, ticks in re.findall(r"^  (\S.*?) +([\d.]+)$", run.text, re.M)}
    assert run.status == 0 and set(BOUNDS) <= set(rows), run
    assert {name: ticks for name, ticks in rows.items() if ticks > BOUNDS.get(name, ticks)} == {}
