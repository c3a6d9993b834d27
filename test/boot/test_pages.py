# SPDX-License-Identifier: MIT
"""Page tables on the machine: seen, changed while it runs, faulted on purpose, and held against the CPU."""
import re

import pytest

from conftest import run_sh

KINDS = [("pure", "a pure fault"), ("write", "a write fault"), ("nx", "a permission fault: a fetch from a page that holds no code"),
         ("smep", "a permission fault: the kernel fetched from a user page"),
         ("smap", "a permission fault: the kernel touched a user page"),
         ("user", "a permission fault: ring 3 touched a page of the kernel's"),
         ("key", "a permission fault: the page's protection key is closed"), ("reserved", "a reserved bit fault")]


@pytest.mark.xdist_group("console")
class TestLookingAtTables:
    def test_walk_names_every_level(self, console):
        text = console.run("walk 0xffff800000100000")
        assert re.findall(r"^  level (\d)", text, re.M) == ["4", "3", "2", "1"]
        assert "is at physical 0x100000: kernel, writable, no-execute, WB" in text

    def test_walk_says_at_which_level_nothing_is(self, console):
        assert "nothing is mapped: level 4 is not present" in console.run("walk 0x7f0000000000")

    def test_walk_refuses_what_is_not_canonical(self, console):
        assert "is not canonical" in console.run("walk 0x800000000000")

    def test_tables_find_nothing_dangerous(self, console):
        text = console.run("tables")
        assert re.search(r"^\d+ ranges, .* 0 findings$", text, re.M)
        rows = re.findall(r"^  ([0-9a-f]{16}) ([0-9a-f]{16}) +\S+ \S+ +(\S{3})", text, re.M)
        assert len(rows) > 10
        assert not [r for r in rows if "w" in r[2] and "x" in r[2]]
        assert all(int(a[1], 16) <= int(b[0], 16) for a, b in zip(rows, rows[1:]))

    @pytest.mark.parametrize("kind,words", KINDS)
    def test_a_fault_is_told_by_its_name(self, kind, words, console):
        assert words in console.run(f"fault {kind}")


    def test_the_fault_of_a_first_touch_is_repaired(self, console):
        before, after = console.run("fault lazy").split("written: ")
        assert "its frame comes at the first touch" in before and "nothing is mapped: level 1 is not present" in before
        assert "kernel, writable, no-execute, WB" in after


@pytest.mark.parametrize("levels", [4, 5])
def test_the_machine_boots_with_so_many_levels(levels):
    run = run_sh("--conf", f"paging={levels}", "--conf", "tables.check=1", "--conf", "tlb.check=1",
                 "--exec", "paging; selftest paging; selftest mapping; selftest lazy; selftest tlb; selftest quirks; selftest access; tlb; tables")
    assert run.status == 0, run
    assert f"\n{levels} levels, top table at" in run.text.replace("\r", "")
    assert "0 flushes MISSING" in run.text


def test_the_levels_change_while_the_system_runs():
    run = run_sh("--exec", "paging 5; alloc 3; selftest paging; paging 4; selftest paging; paging 5; selftest tlb; paging")
    assert run.status == 0, run
    assert re.findall(r"^(\d) levels", run.text.replace("\r", ""), re.M) == ["5", "4", "5", "5"]


def test_lazy_memory_grows_by_the_pages_that_are_touched():
    run = run_sh("--conf", "tables.check=1", "--conf", "tlb.check=1", "--exec", "selftest lazy; tlb; paging 5; selftest lazy")
    assert run.status == 0, run
    assert run.text.count("refused without frames; all given back") == 2
    assert "0 flushes MISSING" in run.text


def test_the_benchmark_of_pages_flushes_nothing_that_did_not_change():
    run = run_sh("--mem", "1G", "--conf", "tlb.check=1", "--exec", "bench pages; tlb")
    assert run.status == 0, run
    assert re.search(r"translations went stale; 0 flushes were missing, 0 superfluous", run.text)
    assert "superfluous flush:" not in run.text and "(0 not followed)" in run.text


def test_a_fault_that_nobody_expected_panics_with_its_walk_and_its_name():
    run = run_sh("--exec", "panic fault")
    assert run.status != 0, run
    assert re.search(r"  level 4 entry [0-9a-f]{16}.*a pure fault, decided at level [1-4]", run.text, re.S), run


def test_a_cpu_without_la57_says_so_and_goes_on():
    run = run_sh("--cpu", "qemu64", "--conf", "paging=5", "--exec", "paging; paging 5")
    assert run.status == 1, run
    assert "it stays at 4 levels" in run.text and "4 levels, top table" in run.text


def test_the_access_matrix_is_large_enough():
    run = run_sh("--exec", "selftest access")
    assert run.status == 0, run
    assert int(re.search(r"(\d+) combinations", run.text).group(1)) >= 200000


def test_a_forgotten_flush_of_a_global_page_would_show_in_bochs():
    run = run_sh("--emulator", "bochs", "--conf", "tlb.check=1", "--exec",
                 "selftest mapping; selftest tlb; selftest quirks; selftest access; tlb")
    assert run.status == 0, run
    assert "after a CR3 load: still the old one" in run.text and "with PCIDs" in run.text
    assert "0 flushes MISSING" in run.text
