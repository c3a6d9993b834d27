#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/run.py [-k NAME] [host] [boot] - runs the tests and closes with the line `N passed, N failed`

host   every program in build/san/ that has a source test/host/test_*.c (cmocka, sanitizers), each fuzz
       target of test/fuzz/ over its corpus, and test/host/malloc/ under pytest: real programs on our heap
boot   test/boot/ under pytest: Octavo in QEMU and Bochs through ovmf/run.sh
-k     programs and tests whose name contains NAME

A program that is silent, crashes, hangs, skips, or reports another number of results than it announced
counts as a failure, and so do no tests at all.
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKERS = int(os.environ.get("JOBS", os.cpu_count() or 2))
HOST_TIMEOUT_S = 600


def host_programs(name):
    """Names of the test programs to run: all, or those that are called so or hold a test called so."""
    folder = os.path.join(ROOT, "test/host")
    for file in sorted(os.listdir(folder)):
        if re.fullmatch(r"test_\w+\.c", file):
            tests = re.findall(r"cmocka_unit_test\w*\(\s*(\w+)", open(os.path.join(folder, file)).read())
            if not name or name in file or any(name in t for t in tests):
                yield file[:-2]
    for file in sorted(os.listdir(os.path.join(ROOT, "test/fuzz"))):
        if re.fullmatch(r"fuzz_\w+\.c", file) and (not name or name in file):
            yield "test_" + file[:-2]


def run_host_program(program):
    """Returns (passed, failed, seconds, text to show if something failed)."""
    started = time.monotonic()
    try:
        done = subprocess.run([os.path.join(ROOT, "build/san", program)], cwd=ROOT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HOST_TIMEOUT_S)
        status, text = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        status, text = "time-out", (late.stdout or b"").decode(errors="replace")
    except OSError as error:
        status, text = "not built", str(error)
    announced = sum(int(n) for n in re.findall(r"^\[=+\] Running (\d+) test", text, re.M))
    passed = len(re.findall(r"^\[ +OK +\] ", text, re.M))
    failed = len(re.findall(r"^\[ +FAILED +\] \S+$", text.split("test(s) run.")[0], re.M))
    if announced == 0 or passed + failed != announced or (status != 0 and failed == 0):
        failed += 1
        text += f"\n{program}: {announced} tests announced, {passed} passed, ended with {status}"
    return passed, failed, time.monotonic() - started, text


def run_host(name):
    passed = failed = 0
    programs = list(host_programs(name))
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for program, (good, bad, seconds, text) in zip(programs, pool.map(run_host_program, programs)):
            print(f"  {'FAILED' if bad else 'ok':6}  {program:28} {good:4} passed {seconds:7.1f} s", flush=True)
            if bad:
                print(text, flush=True)
            passed, failed = passed + good, failed + bad
    good, bad = run_pytest("test/host/malloc", name)
    return passed + good, failed + bad


def run_pytest(tests, name):
    """Returns (passed, failed) of the tests in this folder; what was skipped has failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(WORKERS), "--dist", "loadgroup",
                   "--junitxml", report, os.path.join(ROOT, tests)]
        status = subprocess.run(command + (["-k", name] if name else []), cwd=ROOT).returncode
        if status == 5 and name:  # nothing of that name here
            return 0, 0
        if not os.path.exists(report):
            return 0, 1
        suite = xml.parse(report).getroot().find("testsuite")
    total, failures, errors, skipped = (int(suite.get(k)) for k in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors + skipped
    return total - failed, max(failed, 1 if status or not total else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", metavar="NAME", default="")
    parser.add_argument("kinds", nargs="*", metavar="host|boot")
    options = parser.parse_args()
    passed = failed = 0
    for kind, run in ("host", run_host), ("boot", lambda name: run_pytest("test/boot", name)):
        if not options.kinds or kind in options.kinds:
            print(f"{kind} tests", flush=True)
            good, bad = run(options.k)
            passed, failed = passed + good, failed + bad
    if passed + failed == 0:
        print("no tests ran")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
