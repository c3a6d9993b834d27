#!/bin/bash
# SPDX-License-Identifier: MIT
# test/proof/wp.sh FOLDER - Frama-C's WP on loops and arrays of mm/; docs/proof.md tells what is proved
#
# The annotations stand in the sources (comments that begin with an @); test/proof/acsl.h is read before each file.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
export WHY3CONFIG=$out/why3.conf
mkdir -p "$out"
why3 config detect >/dev/null 2>&1
proved=0 total=0

# wp FILE FUNCTIONS [OPTION FOR CPP]: goals of the annotations, and of run-time errors (accesses, shifts, overflow)
wp() {
    local log=$out/wp.log good all
    frama-c -c11 -machdep gcc_x86_64 -inline-calls pfn,min_u64,max_u64 -cpp-extra-args="-I. -include test/proof/acsl.h ${3-}" \
        "$1" -wp -wp-rte -wp-prover cvc4,z3 -wp-timeout 60 -wp-par 2 -wp-fct "$2" >"$log" 2>&1 || true
    read -r good all < <(sed -nE 's/^\[wp\] Proved goals: +([0-9]+) \/ ([0-9]+)$/\1 \2/p' "$log") ||
        { cat "$log"; return 1; }
    grep -A2 '\[Failed\]' "$log" || true
    printf '  %-20s %4d/%-4d %s\n' "$1" "$good" "$all" "${2//,/, }"
    proved=$((proved + good)) total=$((total + all))
}

wp mm/range.c append,append_below,emit,count_overlaps,mem_map_find
wp mm/range.c heap_place,heap_push,heap_pop,is_freer -DLESS=is_freer
wp mm/range.c heap_place,heap_push,heap_pop,starts_lower -DLESS=starts_lower
echo "proved $proved of $total goals about loops and arrays"
[ "$proved" -eq "$total" ] && [ "$total" -gt 0 ]
