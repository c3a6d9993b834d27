# SPDX-License-Identifier: MIT
"""Programs that misbehave on purpose: each is stopped for the right reason, and nothing of it is left."""
import re

import pytest

from conftest import run_sh


@pytest.mark.parametrize("options", [["--conf", "paging=4"], ["--conf", "paging=5"], ["--emulator", "bochs"]],
                         ids=["4 levels", "5 levels", "bochs"])
def test_every_hostile_program_is_stopped_and_every_frame_comes_back(options):
    run = run_sh(*options, "--exec", "selftest isolation; selftest heap; selftest frames; ps", timeout=600)
    assert run.status == 0, run
    assert len(re.findall(r"^  bad(?:mem|cpu|call) .*#\w\w ", run.text, re.M)) > 50
    before, after = re.search(r"(\d+) frames were nobody's before, (\d+) are now", run.text).groups()
    assert before == after
    assert "greedy memory            out of memory: it was the largest" in run.text


@pytest.mark.parametrize("words,ends", [
    ("badmem read 0xffff800000100000", "#PF read at 0xffff800000100000"),
    ("badmem write 0", "#PF write at 0 "),
    ("badmem write-text", "#PF write at .*may not be written"),
    ("badmem run-stack", "#PF execute at .*may not be executed"),
    ("badmem overflow", "#PF write at .*guard page below the stack"),
    ("badcpu wrmsr", "#GP general protection"), ("badcpu out", "#GP general protection"), ("badcpu fpu", "#NM"),
])
@pytest.mark.xdist_group("console")
def test_the_last_words_of_a_program_say_why_it_ended(words, ends, console):
    assert re.search(rf"^{words.split()[0]}: {ends}", console.run(f"run {words}"), re.M)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_random_bytes_as_code_leave_the_kernel_healthy(seed):
    run = run_sh("--exec", f"run randcode {seed} 8000; heap; frames; selftest heap; selftest frames; ps")
    assert run.status == 0, run
    runs = re.search(r"randcode: (\d+) runs: (\d+) #DB, (\d+) #UD, (\d+) #GP, (\d+) #PF", run.text)
    assert int(runs.group(1)) > 4000 and all(int(runs.group(i)) > 100 for i in range(2, 6))
