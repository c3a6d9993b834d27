# SPDX-License-Identifier: MIT
"""DEBUG=1: lock order and the cheap invariants are checked at every step, in the machine too."""
import os
import subprocess

from conftest import ROOT


def test_the_checked_image_passes_its_self_tests(boot):
    subprocess.run(["make", "-s", "DEBUG=1", "build/debug/BOOTX64.EFI"], cwd=ROOT, check=True, timeout=600)
    run = boot("selftest; frames; heap; map", "--efi", os.path.join(ROOT, "build/debug/BOOTX64.EFI"))
    assert run.status == 0, run
