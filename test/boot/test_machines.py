# SPDX-License-Identifier: MIT
"""The same work on every machine, CPU, firmware and size of memory that Octavo is for."""
import pytest

WORK = "map; frames; buddy; walk 0x100000; selftest"

MACHINES = [
    "--mem 64M", "--mem 256M", "--mem 6G", "--mem 900G",
    "--cpu qemu64", "--cpu Nehalem", "--cpu Skylake-Client", "--cpu EPYC", "--cpu max --smp 2",
    "--machine pc", "--machine pc --mem 6G --cpu qemu64",
    "--firmware ovmf-2m", "--firmware secboot", "--firmware secboot --mem 6G",
    "--emulator bochs --cpu corei7_skylake_x", "--emulator bochs --cpu tigerlake",
]


@pytest.mark.parametrize("options", MACHINES)
def test_it_takes_the_machine_over(options, boot):
    run = boot(WORK, *options.split())
    assert run.status == 0, run
    assert "panic" not in run.text


def test_nonsense_fails_in_bochs_too(boot):
    assert boot("nonsense", "--emulator", "bochs").status == 1
