# SPDX-License-Identifier: MIT
"""What memory does for a program, seen from inside it: each of core/user/ checks itself, and says what it saw."""
import re

import pytest


def numbers(pattern, text):
    found = re.search(pattern, text)
    assert found, text
    return [int(n) for n in found.groups()]


@pytest.mark.xdist_group("console")
class TestPrograms:
    def test_a_stack_grows_by_faults(self, console):
        text = console.run("run stack 2000")
        assert "sum right" in text and "stack: exit 0" in text
        pages, grown = numbers(r"(\d+) pages came by page faults, (\d+) of them grew", text)
        assert pages == grown and pages >= 500

    def test_a_stack_ends_at_its_guard_page(self, console):
        assert "guard page below the stack" in console.run("run stack 9000")

    def test_a_heap_is_there_only_where_it_is_touched(self, console):
        text = console.run("run heap")
        assert "0 bytes wrong" in text and "and 0 pages more are resident" in text and "heap: exit 0" in text

    def test_fork_copies_what_is_written_and_nothing_else(self, console):
        text = console.run("run forks")
        assert "forks: exit 0" in text
        assert numbers(r"the child wrote (\d+) pages: (\d+) were copied, (\d+) it had alone", text) == [32, 32, 0]
        assert numbers(r"the parent wrote (\d+) pages: (\d+) were copied, (\d+) it had alone", text) == [64, 0, 64]

    def test_shared_memory_loses_no_count(self, console):
        assert "added 1 20000 times each: 60000" in console.run("run shared")

    def test_a_program_handles_its_own_faults(self, console):
        text = console.run("run faults")
        assert "11 of 32 pages were written since the last collection, found by 11 faults; 0 wrong" in text
        assert "the stack grew by 63 pages; 0 wrong" in text and "faults: exit 0" in text

    def test_calls_about_memory_do_what_they_say(self, console):
        text = console.run("run mappings")
        assert "WRONG" not in text and "mappings: exit 0" in text
        rows = dict(re.findall(r"^mappings: (.*?) +resident +([+-]\d+)", text, re.M))
        assert rows["mapped 4 MiB: nothing is there"] == "+0" and rows["written: each page its own"] == "+1024"
        assert rows["not needed any more"] == "-1024" and int(rows["unmapped"]) < 0

    def test_two_programs_that_never_let_go_share_the_cpu(self, console):
        text = console.run("run spin")
        assert text.count("meanwhile") == 2 and "spin: exit 0" in text

    @pytest.mark.parametrize("line,says", [("primes 100000", "9592 below 100000, the last is 99991"),
                                           ("sort 20000", "20000 numbers, 0 out of order, all there")])
    def test_programs_that_just_compute(self, line, says, console):
        assert says in console.run(f"run {line}")
