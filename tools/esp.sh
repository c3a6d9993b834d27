#!/bin/bash
# SPDX-License-Identifier: MIT
# tools/esp.sh [--force] DIR - put Octavo onto the EFI system partition mounted at DIR
#
# A boot loader that is not Octavo is left alone unless --force is given, and is then kept beside the
# new one. An octavo.conf that is already there is never touched.
set -euo pipefail

force=false
if [ "${1-}" = --force ]; then force=true; shift; fi
here=$(cd "$(dirname "$0")/.." && pwd)
dir=${1-}
if [ -z "$dir" ]; then echo "esp.sh: which folder? make esp DIR=/boot/efi" >&2; exit 2; fi
if [ ! -d "$dir" ]; then echo "esp.sh: $dir is no folder" >&2; exit 2; fi

# FAT keeps letters in whatever case they came; a second spelling would be the same file.
found=$(find "$dir" -maxdepth 3 -ipath "$dir/EFI/BOOT/BOOTX64.EFI" | head -n 1)
target=${found:-$dir/EFI/BOOT/BOOTX64.EFI}
if [ -e "$target" ] && ! grep -aq 'octavo: ready' "$target"; then
    if ! $force; then
        echo "esp.sh: $target is another boot loader; left alone (make esp DIR=$dir FORCE=1 replaces it)" >&2
        exit 1
    fi
    [ -e "$target.before-octavo" ] || cp "$target" "$target.before-octavo"
    echo "esp.sh: the loader that was there is kept as $target.before-octavo"
fi

mkdir -p "$(dirname "$target")"
cp "$here/build/BOOTX64.EFI" "$target.new"
mv -f "$target.new" "$target"
[ -e "$dir/octavo.conf" ] || cp "$here/tools/octavo.conf" "$dir/octavo.conf"
sync
echo "esp.sh: $target and $dir/octavo.conf"
