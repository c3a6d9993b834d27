#!/bin/bash
# SPDX-License-Identifier: MIT
# tools/debug.sh [--script FILE] [options of ovmf/run.sh] - Octavo in QEMU under gdb
#
# gdb gets this terminal, stopped at Octavo's first instruction with symbols at the address where the
# firmware put it. The serial line goes to build/debug.log; with --gui the console is in the window.
# --script FILE: run these gdb commands after that and end, without a terminal.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
script=()
if [ "${1-}" = --script ]; then script=(-batch -x "$2"); shift 2; fi
symbols=$here/build/octavo.debug
[ -r "$symbols" ] || symbols=$here/build/BOOTX64.EFI
log=${OCTAVO_DEBUG_LOG:-$here/build/debug.log}

# A port that nobody listens on now; QEMU says so if somebody was faster.
port=$((20000 + RANDOM % 10000))
"$here/ovmf/run.sh" --gdb "$port" "$@" </dev/null >"$log" 2>&1 &
runner=$!
trap 'kill "$runner" 2>/dev/null || true; wait "$runner" 2>/dev/null || true' EXIT
echo "debug.sh: serial line in $log; the firmware runs until it starts Octavo" >&2
gdb -q -nx -ex 'set tcp connect-timeout 20' -ex "source $here/tools/gdb_octavo.py" \
    -ex "octavo-attach localhost:$port $symbols" ${script[@]+"${script[@]}"}
