#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/bench/allocators.py [--rounds N] [synthetic] [traces] [programs] - allocators side by side, by LD_PRELOAD

synthetic  build/host/bench-heap: made-up workloads
traces     build/host/replay --libc: recorded traces, and 10,000 live objects of 16..4096 bytes replaced at random. `heap` is
           Octavo's without the malloc around it, and the smallest arena for it as a multiple of the bytes alive
programs   the real programs of test/host/malloc: CPU seconds, wall seconds, and the largest process's peak memory

The best of N rounds (2), the allocators taking turns. Under each table, Octavo against the others: the geometric mean of
its ratio to each rival, and to whichever rival is the best in each row. What is not installed is left out with a note.
"""
import argparse
import math
import os
import random
import re
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test/host/malloc"))
import programs  # noqa: E402: it lies beside what it tests

LIB = "/usr/lib/x86_64-linux-gnu/"
# glibc's is named too: a program may be linked with another one
ALLOCATORS = {"octavo": programs.LIBRARY, "glibc": "/lib/x86_64-linux-gnu/libc.so.6", "jemalloc": LIB + "libjemalloc.so.2",
              "mimalloc": LIB + "libmimalloc.so.2.0", "tcmalloc": LIB + "libtcmalloc_minimal.so.4"}
TRACES = ["gcc_cc1", "perl", "slab_compile"]


def installed():
    found = {name: path for name, path in ALLOCATORS.items() if os.path.exists(path)}
    for name in ALLOCATORS.keys() - found.keys():
        print(f"allocators.py: {name} is not installed and left out", file=sys.stderr)
    return found


def least(results, row, name, value):
    """Keeps the least value of each cell: results[row][allocator]"""
    cells = results.setdefault(row, {})
    cells[name] = min(cells.get(name, math.inf), value)


def mean(ratios):
    return math.exp(sum(math.log(r) for r in ratios) / len(ratios))


def show(title, results, compare=True):
    names = [n for n in ("heap", *ALLOCATORS) if any(n in cells for cells in results.values())]
    width = max(map(len, [title, *results]))
    print(f"\n{title:{width}}" + "".join(f"{n:>11}" for n in names))
    for row, cells in results.items():
        print(f"{row:{width}}" + "".join(f"{cells[n]:11.2f}" if n in cells else " " * 11 for n in names))
    rivals = [n for n in names if n not in ("heap", "octavo")]
    if compare and rivals:
        ratios = {n: mean([max(c["octavo"], 0.01) / max(c[n], 0.01) for c in results.values()]) for n in rivals}
        best = mean([max(c["octavo"], 0.01) / max(min(c[n] for n in rivals), 0.01) for c in results.values()])
        print("octavo / rival, geometric mean: " + ", ".join(f"{n} {r:.2f}" for n, r in ratios.items()) + f"; best of them {best:.2f}")
    sys.stdout.flush()


def output(command, path):
    environment = {**programs.ENVIRONMENT, "LD_PRELOAD": path} if path else programs.ENVIRONMENT
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def synthetic(found, rounds):
    times, memory = {}, {}
    for name, path in found.items():
        for line in output(["build/host/bench-heap", "--rounds", str(rounds)], path).splitlines():
            workload, unit, value = line.split(",") if line.count(",") == 2 else line.rsplit(",", 2)
            least(memory if unit == "x live" else times, f"{workload} [{unit}]", name, float(value))
    show("made-up workloads", times, compare=False)
    show("memory", memory, compare=False)


def mixed_trace(path):
    """10,000 live objects of 16..4096 bytes, replaced at random half a million times, as a trace"""
    rnd, sizes, events, live, peak = random.Random(1), {}, [], 0, 0
    for i in range(510000):
        slot = i if i < 10000 else rnd.randrange(10000)
        if slot in sizes:
            live -= sizes[slot]
            events.append(1 | slot << 8)
        sizes[slot] = rnd.randint(16, 4096)
        events.append(4 << 3 | slot << 8 | sizes[slot] << 32)
        live += sizes[slot]
        peak = max(peak, live)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(struct.pack(f"<8s{3 + len(events)}Q", b"MTRC1", 10000, len(events), peak, *events))


def traces(found, rounds):
    times, arenas = {}, {}
    made = "build/bench/mixed.mtr"
    mixed_trace(os.path.join(ROOT, made))
    files = [f"test/data/traces/{t}.mtr.xz" for t in TRACES] + [made]
    for name, path in {"heap": None, **found}.items():
        text = output(["build/host/replay", "--repeat", str(2 * rounds), *(["--libc"] if path else []), *files], path)
        for trace, ns, arena in re.findall(r"^(\w+)\.mtr\S* .*? ([\d.]+) ns/call[^)]*\)(?: +arena ([\d.]+))?", text, re.M):
            least(times, f"{trace} [ns/call]", name, float(ns))
            if arena:
                least(arenas, f"{trace} [x live]", name, float(arena))
    show("traces", times)
    show("smallest arena", arenas, compare=False)


def real(found, rounds, wanted):
    cpu, wall, peak = {}, {}, {}
    for program in programs.PROGRAMS:
        if program is programs.cxx or (wanted and program.__name__ not in wanted):  # cxx asks for what not all of them do
            continue
        for _ in range(rounds):
            for name, path in found.items():
                _, run, seconds = programs.run_on(program, LD_PRELOAD=path)
                least(cpu, program.__name__, name, run.cpu_s)
                least(wall, program.__name__, name, seconds)
                least(peak, program.__name__, name, run.peak_kib / 1024)
    show("CPU time [s]", cpu)
    show("wall time [s]", wall)
    show("peak memory [MiB]", peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", action="append", metavar="PROGRAM")
    parser.add_argument("parts", nargs="*", metavar="synthetic|traces|programs")
    options = parser.parse_args()
    found = installed()
    for part, run in ("synthetic", synthetic), ("traces", traces), ("programs", lambda *a: real(*a, options.only)):
        if not options.parts or part in options.parts:
            run(found, options.rounds)


main()
