#!/bin/bash
# SPDX-License-Identifier: MIT
# tools/lint.sh - everything a machine can say about the sources; silent and status 0 when all is well
#
# `make lint` hands over the flags of the two worlds in EFI_CFLAGS and HOST_CFLAGS. What has not changed
# since it was last found clean is not read again by clang-tidy (build/lint/; a header counts for all).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
jobs=$(nproc 2>/dev/null || echo 2)
failed=0

step() { printf '  %-7s %s\n' LINT "$1"; }
files() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r f; do [ ! -e "$f" ] || echo "$f"; done; }
no() { failed=1; }

step 'style and include directions'
tools/style.py || no

step 'shell scripts'
files '*.sh' .ci/run | xargs shellcheck || no

step 'headers that do not compile alone'
mapfile -t image < <(files 'efi/*.c' 'core/*.c' 'mm/*.c' 'test/boot/*.c')
mapfile -t host < <(files 'test/host/*.c' 'test/bench/*.c' 'test/fuzz/*.c')
read -r -a efi_flags <<<"$EFI_CFLAGS"
read -r -a host_flags <<<"$HOST_CFLAGS"
for h in $(files 'mm/*.h' 'core/*.h' 'efi/*.h'); do
    echo "#include \"$h\"" | clang "${efi_flags[@]}" -fsyntax-only -x c - || no
done

step 'cppcheck'
cppcheck --quiet -j "$jobs" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
    --suppressions-list=tools/cppcheck.txt -D__x86_64__ -I. "${image[@]}" "${host[@]}" || no

# shellcheck disable=SC2016 # the inner bash expands it
# tidy FLAGS... -- FILES...: one process for each file; a stamp remembers that it was clean
tidy() {
    local flags=() f stamp
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    for f in "$@"; do
        stamp=build/lint/$f.clean
        [ -n "$(find "$stamp" -newer "$f" -newer "$newest_header" 2>/dev/null)" ] || printf '%s\0' "$f"
    done | xargs -0 -r -n 1 -P "$jobs" bash -c '
        f=${!#}; set -- "${@:1:$#-1}"
        if out=$(clang-tidy --quiet "$f" -- "$@" 2>/dev/null); then
            mkdir -p "$(dirname "build/lint/$f")" && touch "build/lint/$f.clean"
        else
            printf "%s\n" "$out"; exit 1
        fi' tidy "${flags[@]}"
}
newest_header=$(files '*.h' .clang-tidy Makefile | xargs ls -t | head -n 1)
step 'clang-tidy'
tidy "${efi_flags[@]}" -- "${image[@]}" || no
tidy "${host_flags[@]}" -- "${host[@]}" || no

[ $failed = 0 ] || echo "lint: see above"
exit $failed
