# SPDX-License-Identifier: MIT
"""Real programs on build/host/liboctavo-malloc.so, plain and in debug mode: they say what they say without it.

PROGRAMS_EXTENT=4 in the environment makes the tasks larger and Python's selection whole: that takes some minutes.
"""
import os

import pytest

from programs import LIBRARY, PROGRAMS, run_on

EXTENT = int(os.environ.get("PROGRAMS_EXTENT", "1"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_a_program_says_the_same_on_our_heap(program):
    assert os.path.exists(LIBRARY), "make host comes first"
    expected, run, seconds = run_on(program, EXTENT)
    assert expected.strip() and run.cpu_s > 0
    print(f"{program.__name__}: {seconds:.1f} s", end="")
    for wish in "default", "default,debug":
        said, run, seconds = run_on(program, EXTENT, LD_PRELOAD=LIBRARY, OCTAVO_HEAP=wish)
        print(f", {wish} {seconds:.1f} s", end="")
        assert said == expected
