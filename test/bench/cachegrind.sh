#!/bin/bash
# SPDX-License-Identifier: MIT
# test/bench/cachegrind.sh [WORKLOAD...] - instructions and cache misses of our frame manager and of the list, as CSV
#
# The simulated caches are fixed (32 KiB, 8 ways; 2 MiB, 16 ways; lines of 64 bytes), so two runs agree. What the
# loop itself costs is measured with an allocator that does nothing, and taken off; so is what starting takes.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- singles half huge mix85 churn10 trace
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# counts ALLOCATOR WORKLOAD: instructions, data reads and writes, first-level misses, last-level misses
counts() {
    GLIBC_TUNABLES='' valgrind --tool=cachegrind --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=2097152,16,64 \
        --cachegrind-out-file="$dir/out" build/host/bench-frames --only "$1" "$2" >"$dir/calls" 2>"$dir/log" ||
        { cat "$dir/log" >&2; exit 1; }
    # events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw
    awk '/^summary:/ { print $2, $5 + $8, $6 + $9, $7 + $10 }' "$dir/out"
}

# GLIBC_TUNABLES is set so that the program does not start itself anew, out of valgrind's sight
declare -A start
for allocator in nothing octavo list; do start[$allocator]=$(counts "$allocator" none); done

echo 'workload,allocator,calls,instructions,data,d1_misses,ll_misses'
for workload in "$@"; do
    read -r ir data d1 ll < <(counts nothing "$workload")
    calls=$(cat "$dir/calls")
    read -r si sd sm sl <<<"${start[nothing]}"
    ir=$((ir - si)) data=$((data - sd)) d1=$((d1 - sm)) ll=$((ll - sl))
    for allocator in octavo list; do
        read -r i d m l < <(counts "$allocator" "$workload")
        read -r si sd sm sl <<<"${start[$allocator]}"
        echo "$workload,$allocator,$calls,$((i - ir - si)),$((d - data - sd)),$((m - d1 - sm)),$((l - ll - sl))"
    done
done
