# SPDX-License-Identifier: MIT
"""Threads, and programs for ring 3: those in the image, and those that users bring."""
import re

import pytest


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
