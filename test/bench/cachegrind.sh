#!/bin/bash
# SPDX-License-Identifier: MIT
# test/bench/cachegrind.sh [WORKLOAD...] - instructions and cache misses of our frame manager and of the list, as CSV
#
# The simulated caches are fixed (32 KiB, 8 ways; 2 MiB, 16 ways; lines of 64 bytes), so two runs agree. What the
# loop itself costs is measured with an allocator that does nothing, and taken off.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- singles half huge mix85 churn10 trace
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# counts ALLOCATOR WORKLOAD: instructions, data reads and writes, first-level misses, last-level misses
counts() {
    GLIBC_TUNABLES='' valgrind --tool=cachegrind --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=2097152,16,64 \
        --cachegrind-out-file="$dir/out" build/host/bench-frames --only "$1" "$2" >/dev/null 2>"$dir/log" ||
        { cat "$dir/log" >&2; exit 1; }
    # events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw
    awk '/^summary:/ { print $2, $5 + $8, $6 + $9, $7 + $10 }' "$dir/out"
}

echo 'workload,allocator,instructions,data,d1_misses,ll_misses'
for workload in "$@"; do
    read -r ir data d1 ll < <(counts nothing "$workload")
    for allocator in octavo list; do
        read -r i d m l < <(counts "$allocator" "$workload")
        echo "$workload,$allocator,$((i - ir)),$((d - data)),$((m - d1)),$((l - ll))"
    done
done
