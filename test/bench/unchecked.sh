#!/bin/bash
# SPDX-License-Identifier: MIT
# test/bench/unchecked.sh [TRACE...] - what the heap's checks of each free cost
#
# Builds build/host/replay once more, in build/bench/unchecked/, from sources in which the checks are taken out: whether a slot
# or an extent starts at the address, whether it is in use. Prints instructions per call (callgrind) and ns per call (best
# of five, the two taking turns) for both. What the heap must find out anyway, whose memory an address is, stays.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- test/data/traces/*.mtr.xz
copy=build/bench/unchecked

without() { # without FILE PATTERN REPLACEMENT: the line that holds PATTERN, which must be there once
    local n
    n=$(grep -cF -- "$2" "$copy/$1" || true)
    [ "$n" = 1 ] || { echo "unchecked.sh: $1 has $n lines with '$2', not 1" >&2; exit 1; }
    line=$(grep -nF -- "$2" "$copy/$1" | cut -d: -f1)
    sed -i "${line}s/.*/$3/" "$copy/$1"
}

rm -rf "$copy"
mkdir -p "$copy"
cp -r Makefile mm core efi test "$copy/"
without mm/slab_fast.h 'return (uint32_t)product < s->recip;' '    return true;'
without mm/slab_fast.h 'if ((idle & bit) != 0)' '    if (false)'
without mm/extent_fast.h 'if (((uintptr_t)p & (GRAIN_BYTES - 1)) != 0)' '    if (page == NULL)'
without mm/extent_fast.h 'return bit_get(page->start, g) && !bit_get(page->free, g) ? g : 0;' '    return g;'
make -s build/host/replay
make -s -C "$copy" build/host/replay >/dev/null

instructions() { # instructions REPLAY TRACE: inside the run of the trace
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='run_heap*' "$1" --no-arena --repeat 1 "$2" 2>&1 |
        sed -n 's/.*Collected *: *//p'
}
ns() { "$1" --no-arena --repeat 3 "$2" | sed 's/.* calls *\([0-9.]*\) ns.*/\1/'; }
least() { sort -n | head -n 1; }

printf '%-22s %14s %14s %8s %10s %10s\n' trace 'instructions' unchecked share 'ns/call' unchecked
for trace in "$@"; do
    with=$(instructions build/host/replay "$trace") without=$(instructions "$copy/build/host/replay" "$trace")
    a=() b=()
    for _ in 1 2 3 4 5; do
        a+=("$(ns build/host/replay "$trace")") b+=("$(ns "$copy/build/host/replay" "$trace")")
    done
    awk -v name="$(basename "$trace")" -v w="$with" -v wo="$without" -v a="$(printf '%s\n' "${a[@]}" | least)" \
        -v b="$(printf '%s\n' "${b[@]}" | least)" \
        'BEGIN { printf "%-22s %14d %14d %6.2f %% %10.2f %10.2f\n", name, w, wo, 100 * (w - wo) / w, a, b }'
done
