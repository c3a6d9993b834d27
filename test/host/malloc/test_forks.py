# SPDX-License-Identifier: MIT
"""Forks of a program whose threads are inside malloc: no child inherits a lock that nobody will drop."""
import os
import subprocess

import pytest

from programs import LIBRARY

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("forks") / "forks")
    subprocess.run(["gcc", "-O2", "-fno-builtin-malloc", os.path.join(HERE, "guests", "forks.c"), "-o", path, "-pthread"], check=True)
    return path


@pytest.mark.parametrize("wish", ["default", "list", "bitmap", "default,debug", "list,debug"])
def test_children_of_a_program_with_busy_threads_can_allocate(forks, wish):
    environment = dict(os.environ, LD_PRELOAD=LIBRARY, OCTAVO_HEAP=wish)
    run = subprocess.run([forks, "200" if wish == "default" else "25"], env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
