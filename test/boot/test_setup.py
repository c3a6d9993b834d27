# SPDX-License-Identifier: MIT
"""tools/setup.sh on a computer that lacks things: apt, sudo and the commands are played by scripts."""
import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

SETUP = os.path.join(ROOT, "tools/setup.sh")
ORDINARY = ["bash", "env", "mktemp", "rm", "tail"]


@pytest.fixture
def computer(tmp_path):
    """computer(user, lacks): a PATH with everything the table asks for but `lacks`, and an apt that takes notes."""
    bin_folder, notes = tmp_path / "bin", tmp_path / "notes"
    bin_folder.mkdir()

    def script(name, text):
        (bin_folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (bin_folder / name).chmod(0o755)

    def make(user, lacks, apt=True, sudo=True):
        for name in ORDINARY:
            (bin_folder / name).symlink_to(shutil.which(name))
        with open(SETUP, encoding="ascii") as f:
            signs = re.findall(r"^\w+ +\S+ +(\S+)$", f.read(), re.M)
        for sign in signs:
            if re.fullmatch(r"[\w-]+", sign) and sign not in lacks and not (bin_folder / sign).exists():
                script(sign, "exit 0")
        script("id", f"echo {user}")
        if apt:
            script("apt-get", f'echo "apt-get $*" >>{notes}')
        if sudo:
            script("sudo", f'echo "sudo $*" >>{notes}; [ "$1" != -n ] || shift; "$@"')

        def run(*purposes):
            done = subprocess.run([SETUP, *purposes], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, env={"PATH": str(bin_folder)})
            return done.returncode, done.stdout, notes.read_text() if notes.exists() else ""
        return run
    return make


def test_nothing_is_asked_when_nothing_is_missing(computer):
    status, told, notes = computer(0, [])("build", "run")
    assert (status, told, notes) == (0, "", "")


def test_exactly_what_is_missing_is_installed(computer):
    run = computer(0, ["mcopy", "shellcheck", "qemu-system-x86_64"])
    status, told, notes = run("build", "run")
    assert status == 0
    assert notes == "apt-get install -y --no-install-recommends qemu-system-x86 mtools\n"
    assert told == "setup.sh: installing qemu-system-x86 mtools\n"


def test_sudo_is_used_when_not_root(computer):
    status, _, notes = computer(1000, ["mcopy"])("run")
    assert status == 0
    assert "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mtools\n" in notes


def test_without_root_and_sudo_it_prints_the_one_command_and_stops(computer):
    status, told, notes = computer(1000, ["mcopy"], sudo=False)("run")
    assert status == 1 and notes == ""
    assert told.split("\n")[1].strip() == "apt-get update && apt-get install -y --no-install-recommends mtools"


def test_without_apt_it_names_what_is_missing(computer):
    status, told, _ = computer(0, ["mcopy", "qemu-system-x86_64"], apt=False)("run")
    assert status == 1
    assert "qemu-system-x86 mtools" in told


def test_purpose_is_needed(computer):
    assert computer(0, [])()[0] == 2
