# SPDX-License-Identifier: MIT
"""Segmentation on the machine: descriptors told in words, addresses computed and checked, CS changed in every way."""
import re

import pytest

from conftest import run_sh


@pytest.mark.xdist_group("console")
class TestLookingAtSegments:
    def test_gdt_shows_every_field_and_says_it_in_words(self, console):
        text = console.run("gdt")
        rows = dict(re.findall(r"^([0-9a-f]+) +(\S.*)$", text, re.M))
        assert "null" in rows["0"]
        assert "fffff  1 0   1" in rows["8"] and rows["8"].endswith("code, execute/read, accessed, 64-bit")
        assert "1 3   1" in rows["20"] and rows["20"].endswith("data, read/write, accessed, 32-bit")
        assert rows["30"].endswith("64-bit TSS, busy")
        assert "TR 0x30" in text

    def test_real_mode_is_segment_times_sixteen_plus_offset(self, console):
        assert "f000 * 10 + fff0 = physical ffff0\n" in console.run("seg real F000:FFF0")
        assert "physical 10ffef (ffef where the A20 line is held down)" in console.run("seg real ffff:ffff")
        assert "invalid argument" in console.run("seg real 10000:0")

    def test_a_selector_and_an_offset_make_a_linear_address(self, console):
        text = console.run("seg 10:fee00000")
        assert "entry 2 of the GDT: base 0, last offset ffffffff, data, read/write" in text
        assert "0 + fee00000 = linear fee00000" in text

    @pytest.mark.parametrize("what,why", [
        ("10:100000000", "beyond the limit"), ("0:0", "a null selector"), ("f0:0", "beyond the table's limit"),
        ("13:0", "privilege level"), ("30:0", "a system segment"), ("8:0 write", "a code segment: never writable"),
        ("10:0 run", "nothing to execute"), ("2c:0", "no LDT is loaded"), ("8:0 run 3", "privilege level")])
    def test_what_may_not_be_is_refused_with_the_reason(self, what, why, console):
        assert why in console.run(f"seg {what}")

    def test_64_bit_code_has_no_base_and_no_limit(self, console):
        assert "base and limit do not count" in console.run("seg 8:ffff800000100000 run")


WAYS = ["far return", "far jump", "IRET", "far return"]


def test_a_32_bit_program_with_its_own_ldt_changes_cs_in_every_way():
    run = run_sh("--exec", "selftest segments")
    assert run.status == 0, run
    tour = re.findall(r"^  (far \w+|IRET) +CS = (0x\w+)", run.text.replace("\r", ""), re.M)
    assert [way for way, _ in tour] == WAYS
    assert [cs for _, cs in tour] == ["0x07", "0x0f", "0x07", "0x2b"]


def test_beyond_a_limit_is_a_general_protection_fault():
    """In Bochs: QEMU's TCG does not check limits, and says so."""
    run = run_sh("--emulator", "bochs", "--exec", "selftest segments")
    assert run.status == 0, run
    for access in ("read beyond the limit", "write beyond the limit", "write to the code segment"):
        assert re.search(rf"{access} +#GP general protection", run.text), access
    assert re.search(r"read the stack beyond its limit +#SS stack fault", run.text)
    assert "TCG" not in run.text


def test_a_process_has_segments_of_its_own_and_its_ldt_can_be_seen():
    run = run_sh("--exec", "run segments wait &; run hello; run segments; ldt 1; ldt 3; run segments; selftest frames")
    assert "32-bit code ran with CS = 0x7, and the sum is 87" in run.text and "segments: exit 0" in run.text, run
    rows = re.findall(r"^(\w+) +(\w+) (\w{5})  .*(code, execute/read|data, read/write), accessed, 32-bit", run.text, re.M)
    assert rows == [("7", "400000", rows[0][2], "code, execute/read"), ("f", "600000", "0004f", "data, read/write")]
    assert "nothing is there" in run.text  # there is no process 3 any more


def test_a_process_ends_when_it_reads_beyond_its_segment():
    run = run_sh("--emulator", "bochs", "--exec", "run segments; run segments beyond")
    assert "segments: exit 0" in run.text and "segments: #GP general protection" in run.text, run
