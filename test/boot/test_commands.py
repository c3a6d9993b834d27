# SPDX-License-Identifier: MIT
"""What the commands say about the machine, and what they do to its memory."""
import re

import pytest

COMMANDS = ["help", "programs", "gdt", "ldt", "seg", "map", "frames", "buddy", "alloc", "free", "walk", "heap", "cpu", "selftest", "log", "reboot",
            "poweroff"]


@pytest.mark.xdist_group("console")
class TestLooking:
    def test_greeting_tells_the_four_stages_in_order(self, console):
        stages = re.findall(r"stage (\d): .*?, \d+ us", console.greeting)
        assert stages == ["1", "2", "3", "4"]
        assert "octavo: ready" in console.greeting

    def test_greeting_says_what_boot_services_gave_back(self, console):
        found = re.search(r"(\d+) KiB of them were boot services'", console.greeting)
        assert found and int(found.group(1)) > 1000

    def test_help_lists_every_command(self, console):
        listed = re.findall(r"^  (\S+)", console.run("help"), re.M)
        assert set(COMMANDS) <= set(listed)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_help_explains_one_command(self, name, console):
        assert f"usage: {name}" in console.run(f"help {name}")

    def test_map_shows_both_maps_and_its_sums_agree(self, console):
        text = console.run("map")
        assert "firmware map:" in text and "normalised map:" in text
        sums = re.search(r"pages in (\d+), out (\d+)(.*)", text)
        dropped = sum(int(n) for n in re.findall(r"dropped (\d+)", sums.group(3)))
        assert int(sums.group(1)) == int(sums.group(2)) + dropped

    def test_normalised_map_is_sorted_disjoint_and_merged(self, console):
        rows = re.findall(r"^  (0x[0-9a-f]+) (0x[0-9a-f]+) +\d+ .{13} (\w+)(.*)$", console.run("map normalised"), re.M)
        ranges = [(int(a, 16), int(b, 16), kind, attributes) for a, b, kind, attributes in rows]
        assert len(ranges) > 5
        for (start, end, *what), (next_start, _, *next_what) in zip(ranges, ranges[1:]):
            assert start < end <= next_start
            assert end < next_start or what != next_what

    def test_frame_0_is_not_free(self, console):
        first = re.search(r"^  (0x[0-9a-f]+) .* (free|low)\b", console.run("map normalised"), re.M)
        assert int(first.group(1), 16) >= 4096

    def test_waiting_at_the_prompt_fills_the_stock_of_zeroed_frames(self, console):
        def zeroed():
            return int(re.search(r"reserved by CPUs, (\d+) zeroed", console.run("frames")).group(1))
        found = [zeroed()]
        while len(found) < 100 and (found[-1] == 0 or found[-2:-1] != found[-1:]):
            found.append(zeroed())
        assert found[-2] == found[-1] and 0 < found[-1] <= 64   # the free frames of one word of 64

    def test_log_shows_the_stages_again(self, console):
        assert len(re.findall(r"stage \d: ", console.run("log"))) == 4

    def test_cpu_shows_protections_that_are_on(self, console):
        text = console.run("cpu")
        for line, bits in ("CR0", "PG WP"), ("CR4", "SMAP SMEP UMIP PGE"), ("EFER", "NXE"):
            shown = re.search(rf"^{line} .*$", text, re.M).group().split()
            assert set(bits.split()) <= set(shown), line


@pytest.mark.parametrize("line", [
    "map here", "frames 1 2 3 4", "buddy x", "alloc", "alloc 0", "alloc many", "free", "free here", "free 0x123", "walk",
    "walk here", "walk 1 2 3", "heap x", "cpu x", "selftest nothing", "log x", "reboot x", "poweroff x", "nonsense",
])
@pytest.mark.xdist_group("console")
def test_wrong_input_is_answered_and_harmless(line, console):
    before = console.run("frames")
    answer = console.run(line)
    assert re.search(r"^(usage: |\w+: |\w+ is )", answer, re.M), answer
    assert "panic" not in answer.lower()
    assert console.run("frames") == before
