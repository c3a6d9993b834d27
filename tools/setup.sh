#!/bin/bash
# SPDX-License-Identifier: MIT
# tools/setup.sh PURPOSE... - install exactly what is missing for: build run test bench lint debug proof
#
# Uses apt, with sudo when not root. Where it cannot, it prints the one command to run and stops with
# status 1. When nothing is missing it asks nobody and takes a few milliseconds.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

# purpose, package, and what shows that it is there: a command, a file, or a Python module
table='
build  clang                  clang
build  lld                    lld-link
build  gnu-efi                /usr/include/efi/efi.h
build  gcc                    gcc
build  libc6-dev              /usr/include/stdio.h
build  binutils               ar
build  python3                /usr/bin/python3
build  fonts-spleen           /usr/share/consolefonts/spleen-8x16.psfu.gz
run    qemu-system-x86        qemu-system-x86_64
run    ovmf                   /usr/share/OVMF/OVMF_CODE_4M.fd
run    mtools                 mcopy
run    fdisk                  sfdisk
test   libcmocka-dev          /usr/include/cmocka.h
test   python3-pytest         python:pytest
test   python3-pytest-xdist   python:xdist
test   python3-pexpect        python:pexpect
test   bochs                  bochs
test   bochsbios              /usr/share/bochs/BIOS-bochs-latest
test   vgabios                /usr/share/vgabios/vgabios.bin
test   gdb                    gdb
test   xz-utils               xz
test   time                   /usr/bin/time
test   g++                    g++
test   perl                   perl
test   git                    git
test   sqlite3                sqlite3
test   redis-tools            redis-benchmark
test   libpython3-testsuite   /usr/lib/python3.*/test/test_list.py
bench  xz-utils               xz
bench  libjemalloc2           /usr/lib/x86_64-linux-gnu/libjemalloc.so.2
bench  libmimalloc2.0         /usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0
bench  libtcmalloc-minimal4   /usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4
bench  valgrind               valgrind
lint   clang-tidy             clang-tidy
lint   clang-format           clang-format
lint   cppcheck               cppcheck
lint   shellcheck             shellcheck
debug  gdb                    gdb
proof  python3-z3             python:z3
proof  frama-c-base           frama-c
proof  why3                   why3
proof  z3                     z3
proof  cvc4                   cvc4
'

there() { # does what the table's third column names exist?
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    python:*) compgen -G "/usr/lib/python3*/*-packages/${1#python:}" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

[ $# -gt 0 ] || { echo "usage: tools/setup.sh build|run|test|bench|lint|debug|proof ..." >&2; exit 2; }
missing=()
while read -r purpose package sign; do
    [[ -n $purpose && " $* " == *" $purpose "* ]] || continue
    there "$sign" || [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
done <<<"$table"
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "setup.sh: missing here (Debian's package names): ${missing[*]}" >&2
    echo "setup.sh: there is no apt on this system; install them with its own package manager" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
command=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}")
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && [ ! -t 0 ]; }; then
        echo "setup.sh: run this as root, then try again:" >&2
        echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi
echo "setup.sh: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Package lists may be absent or out of date: then they are fetched and the same is tried once more.
if ! "${command[@]}" >"$log" 2>&1; then
    "${as_root[@]}" apt-get update >"$log" 2>&1 || true
    "${command[@]}" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "setup.sh: apt failed" >&2; exit 1; }
fi
