# SPDX-License-Identifier: MIT
"""ovmf/run.sh itself: what it refuses, how it ends, and that it leaves nothing behind."""
import os
import re
import signal
import subprocess
import time

import pytest
from conftest import ROOT, RUN, run_sh

STOPPED = ("--gdb", "0")  # the machine stands still before its first instruction


@pytest.mark.parametrize("options", [
    ["--mem", "lots"], ["--mem", "0"], ["--smp", "0"], ["--machine", "vax"], ["--emulator", "simh"], ["--exec"],
    ["--nonsense"], ["--timeout", "1.5"], ["--conf", "no equals sign"], ["--exec", "two\nlines"],
    ["--firmware", "/nowhere.fd"], ["--firmware", "secboot", "--machine", "pc"], ["--disk", "/nowhere.img"],
    ["--efi", "/nowhere.efi"], ["--screenshot", "x.png", "--no-screen"],
], ids=" ".join)
def test_wrong_usage_is_status_2(options):
    done = subprocess.run([RUN, *options], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith(b"run.sh: ") and done.stdout == b""


def test_help_is_no_mistake():
    done = subprocess.run([RUN, "--help"], capture_output=True, timeout=30)
    assert done.returncode == 0 and b"--screenshot" in done.stdout


def test_time_out_is_status_124():
    run = run_sh("--exec", "help", *STOPPED, timeout=2)
    assert run.status == 124
    assert "time-out after 2 s" in run.notes


def test_what_does_not_load_never_came_up(tmp_path):
    program = tmp_path / "text.efi"
    program.write_text("not a program\n")
    assert run_sh("--exec", "help", "--efi", str(program)).status == 3


def test_it_says_which_accelerator_and_why():
    assert re.search(r"QEMU with (kvm|tcg) \(.+\)", run_sh("--exec", "help", *STOPPED, timeout=1).notes)


def qemu_below(pid):
    listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(pid)], stdout=subprocess.PIPE, text=True)
    return [int(line.split()[0]) for line in listed.stdout.split("\n") if "qemu" in line]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def default_signals():
    """A shell cannot trap what its parent ignores, and who runs us (nohup, a CI in the background) may ignore these."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL], ids=lambda s: s.name)
def test_no_emulator_and_no_file_outlives_it(how, tmp_path):
    shell = subprocess.Popen([RUN, "--exec", "help", *STOPPED], cwd=ROOT, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             env={**os.environ, "TMPDIR": str(tmp_path)}, preexec_fn=default_signals)
    emulator, = wait_for(lambda: qemu_below(shell.pid))
    assert os.listdir(tmp_path) != []
    shell.send_signal(how)
    shell.wait(timeout=60)
    wait_for(lambda: not alive(emulator))
    wait_for(lambda: os.listdir(tmp_path) == [])


@pytest.mark.parametrize("layout, files, kind", [
    ("Debian", ["OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", "OVMF_CODE.fd", "OVMF_VARS.fd"], "ovmf"),
    ("Debian, 2 MiB", ["OVMF_CODE.fd", "OVMF_VARS.fd"], "ovmf-2m"),
    ("Debian, Secure Boot", ["OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.fd"], "secboot"),
    ("Fedora", ["OVMF_CODE.fd", "OVMF_VARS.fd"], "ovmf"),
    ("Fedora, 4 MiB", ["OVMF_CODE_4M.qcow2", "OVMF_VARS_4M.qcow2"], "ovmf"),
    ("Fedora, Secure Boot", ["OVMF_CODE.secboot.fd", "OVMF_VARS.fd"], "secboot"),
    ("Arch", ["OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"], "ovmf"),
    ("Arch, Secure Boot", ["OVMF_CODE.secboot.4m.fd", "OVMF_VARS.4m.fd"], "secboot"),
    ("Homebrew", ["edk2-x86_64-code.fd", "edk2-i386-vars.fd"], "ovmf"),
    ("Homebrew, Secure Boot", ["edk2-x86_64-secure-code.fd", "edk2-i386-vars.fd"], "secboot"),
])
def test_firmware_is_found(layout, files, kind, tmp_path):
    for name in files:
        (tmp_path / name).touch()
    found = subprocess.run([os.path.join(ROOT, "ovmf/find.sh"), kind], stdout=subprocess.PIPE, text=True, check=True,
                           env={**os.environ, "OCTAVO_FIRMWARE_DIRS": f"/nowhere:{tmp_path}"}).stdout
    assert found == "".join(f"{tmp_path / name}\n" for name in files[:2]), layout


def test_missing_firmware_is_said_in_words(tmp_path):
    run = run_sh("--exec", "help", env={**os.environ, "OCTAVO_FIRMWARE_DIRS": str(tmp_path)})
    assert run.status == 2
    assert "tools/setup.sh" in run.notes
