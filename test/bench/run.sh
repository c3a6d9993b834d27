#!/bin/bash
# SPDX-License-Identifier: MIT
# test/bench/run.sh - what `make bench` does: host benchmarks side by side, then the machine in instructions
#
# Data goes to build/bench/. What is not installed (jemalloc, mimalloc, tcmalloc, valgrind) is left out with a note.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=build/bench
mkdir -p "$out"

echo "== frames, on the host: $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-), load $(cut -d' ' -f1-3 /proc/loadavg)"
build/host/bench-frames --csv "$out/frames.csv"
build/host/bench-frames --facts >"$out/facts.csv"

echo
echo "== heap, on the host: recorded traces on its three policies; then beside other allocators, real programs too (some minutes)"
test/bench/policies.py "$out/heap-policies.svg" | tee "$out/heap.txt"
test/bench/allocators.py | tee "$out/allocators.txt"

if command -v valgrind >/dev/null; then
    echo
    echo "== frames: cache misses counted by cachegrind"
    test/bench/cachegrind.sh | tee "$out/cachegrind.csv"
    echo
    echo "== heap: what its checks cost"
    test/bench/unchecked.sh | tee "$out/unchecked.txt"
else
    echo "run.sh: without valgrind, no cache misses, and nothing about the cost of checks" >&2
fi

tools/plot.py "$out" "$out/plots"

echo
echo "== in the machine, in instructions"
ovmf/run.sh --icount --mem 2G --exec bench | tee "$out/machine.txt"
