#!/bin/bash
# SPDX-License-Identifier: MIT
# test/proof/run.sh FOLDER - everything that `make proof` proves; docs/proof.md tells what that is
#
# The compilers' flags come from the Makefile in EFI_CFLAGS and HOST_CFLAGS. MUTANTS=all tries every mutant,
# not a few of each function.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
ir=$out/ir
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$ir"
say() { printf '  %-7s %s\n' PROOF "$1"; }

# small A B C [reserve]: mm/chunk.c with levels of A, B and C bits
small() {
    read -r -a flags <<<"$HOST_CFLAGS"
    "${CC:-gcc}" "${flags[@]}" -DCHUNK_W0="$1" -DCHUNK_W1="$2" -DCHUNK_W2="$3" test/proof/small_scope.c \
        test/host/model_frame.c -o "$out/small-$1-$2-$3"
    "$out/small-$1-$2-$3" "${@:4}"
}

# The sources' own IR: every function kept (-femit-all-decls) and made visible, so that it is not dropped;
# then optimised as for the image, but that loops stay loops.
emit_ir() {
    local source name
    read -r -a flags <<<"$EFI_CFLAGS"
    rm -f "$ir"/*
    for source in "$@"; do
        name=$ir/$(basename "$source" .c)
        clang "${flags[@]}" -g0 -femit-all-decls -Xclang -disable-llvm-passes -S -emit-llvm "$source" -o - |
            sed -E 's/^define (internal|linkonce_odr) /define /' >"$name.raw"
        clang -x ir -w "${flags[@]}" -g0 -fno-vectorize -fno-slp-vectorize -fno-unroll-loops -S -emit-llvm \
            "$name.raw" -o "$name.ll"
    done
}

say 'every state of a small chunk, every operation from each'
small 1 1 1
small 1 1 1 reserve
small 2 2 0
say 'functions at full width: their IR, goals for Z3'
emit_ir mm/{bits,chunk,chunk_look,pte,pt,pt_walk,frame}.c test/proof/layout.c
"$python" test/proof/prove.py "$ir"
say "loops and arrays: Frama-C's WP"
test/proof/wp.sh "$out/wp"
say 'functions at full width with one instruction wrong, which must be noticed'
"$python" test/proof/prove.py --mutants "${MUTANTS:-3}" "$ir"
