# SPDX-License-Identifier: MIT
"""Commands from octavo.conf, their verdict in the exit status, and the ways a machine ends."""
import concurrent.futures
import os
import re

import pytest
from conftest import ROOT, run_sh

WORK = "map; frames; buddy; walk 0x100000; selftest"


def test_every_command_succeeds(boot):
    run = boot(WORK)
    assert run.status == 0, run
    assert run.text.rstrip().endswith("octavo: exit status 0")


def test_one_failing_command_is_status_1_and_the_others_still_run(boot):
    run = boot("echo before; nonsense; echo after")
    assert run.status == 1, run
    assert re.findall(r"^(before|after)$", run.text, re.M) == ["before", "after"]


@pytest.mark.parametrize("command, said", [("panic", "PANIC on CPU 0 at core/console/"), ("panic fault", "page fault")])
@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_a_panic_says_where_and_is_status_1(command, said, emulator, boot):
    run = boot(f"{command}; echo never", "--emulator", emulator)
    assert run.status == 1 and "Octavo panicked" in run.notes, run
    assert said in run.text and "never" not in run.text.partition("PANIC")[2]
    assert re.search(r"^ +\d+ 0x[0-9a-f]+ \w+\+0x", run.text, re.M), "no backtrace with names"
    assert run.text.rstrip().endswith("octavo: panic")


def test_octavo_conf_unknown_keys_are_reported_and_not_fatal(boot):
    run = boot("echo alive", "--conf", "colour=red", "--conf", "paging=7", "--conf", "#exec=nonsense")
    assert run.status == 0, run
    assert "colour=red" in run.text and "paging=7" in run.text and "alive" in run.text


def test_log_level_decides_what_is_printed(boot):
    run = boot("log", "--conf", "log=error")
    assert run.status == 0, run
    greeting, _, log = run.text.partition("octavo: ready")
    assert "stage 1" not in greeting and "stage 1" in log


def test_four_levels_are_a_line_of_octavo_conf(boot):
    run = boot("cpu; selftest", "--conf", "paging=4")
    assert run.status == 0, run
    assert "4 levels" in run.text


@pytest.mark.parametrize("options", [["--no-serial"], ["--no-screen"], ["--no-serial", "--no-screen"],
                                     ["--conf", "console=screen"], ["--conf", "console=serial"]], ids=" ".join)
def test_it_lives_without_a_screen_and_without_a_serial_line(options, boot):
    assert boot("selftest", *options).status == 0
    assert boot("nonsense", *options).status == 1


def test_reboot_starts_the_machine_again(open_console):
    console = open_console()
    console.child.send("reboot\r")
    console.child.expect_exact("octavo: ready")
    console.text_to_prompt()
    assert "help" in console.run("help")


def test_power_off_goes_through_the_firmware_or_acpi(open_console):
    """Without --exec there is no exit port: QEMU ends because the machine is off."""
    console = open_console()
    console.child.send("poweroff\r")
    assert console.status() == 0


def test_uefi_shell_words_override_octavo_conf(tmp_path):
    (tmp_path / "none.efi").write_text("the firmware goes on to its shell\n")
    (tmp_path / "startup.nsh").write_text('fs0:\n\\octavo.efi exec="echo from-the-shell; poweroff"\n')
    run = run_sh("--efi", str(tmp_path / "none.efi"), "--conf", "exec=echo from-the-file; poweroff",
                 "--file", f"{tmp_path}/startup.nsh:/startup.nsh",
                 "--file", os.path.join(ROOT, "build/BOOTX64.EFI") + ":/octavo.efi", timeout=60)
    assert run.status == 0, run
    assert "from-the-shell" in run.text and "from-the-file" not in run.text


def test_screenshot_is_a_png_of_the_screen(tmp_path, boot):
    picture = tmp_path / "screen.png"
    assert boot("cpu", "--screenshot", str(picture)).status == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 4000


def test_two_runs_agree_to_the_instruction(boot):
    """Every line of the log bears the time, which is the number of instructions since power-on."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: boot("cpu; alloc 3; frames; selftest", "--icount", timeout=600), range(2)))
    assert [run.status for run in runs] == [0, 0], runs
    assert runs[0].text == runs[1].text
