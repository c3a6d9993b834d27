# SPDX-License-Identifier: MIT
"""What every boot test uses: Octavo run to its end, or with a person at its console."""
import os
import re
import subprocess

import pexpect
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.path.join(ROOT, "ovmf/run.sh")
PROMPT = "octavo> "
ESCAPES = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]|\r")


class Run:
    """How a run with --exec ended: status, text (the console), notes (what run.sh said)."""

    def __init__(self, status, text, notes):
        self.status, self.text, self.notes = status, text, notes

    def __repr__(self):
        return f"<status {self.status}>\n{self.notes}\n{self.text}"


def run_sh(*options, timeout=300, **more):
    """ovmf/run.sh with these options; never longer than `timeout` seconds."""
    done = subprocess.run([RUN, "--timeout", str(timeout), *options], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout + 60, **more)
    return Run(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Console:
    """A person at the console: type a line, read what comes before the next prompt."""

    def __init__(self, *options):
        self.child = pexpect.spawn(RUN, list(options), cwd=ROOT, timeout=90, encoding="utf-8",
                                   codec_errors="replace", echo=False, dimensions=(50, 200))
        self.greeting = self.text_to_prompt()

    def text_to_prompt(self):
        self.child.expect_exact(PROMPT)
        return ESCAPES.sub("", self.child.before)

    def run(self, line):
        """Types a line; returns what it printed, without the echo."""
        self.child.send(line + "\r")
        return self.text_to_prompt().partition("\n")[2]

    def status(self):
        """Waits for the end; the exit status of run.sh."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus

    def close(self):
        self.child.close(force=True)


@pytest.fixture
def boot():
    """boot('map; frames', '--mem', '64M'): the commands run, and the machine is off again."""
    return lambda commands, *options, **more: run_sh("--exec", commands, *options, **more)


@pytest.fixture
def open_console():
    """open_console('--mem', '6G'): a Console, closed when the test is over."""
    opened = []

    def start(*options):
        opened.append(Console(*options))
        return opened[-1]

    yield start
    for console in opened:
        console.close()


@pytest.fixture(scope="session")
def console():
    """One machine for all tests that only look at it; they share its xdist group, so its worker."""
    shared = Console()
    yield shared
    shared.close()
