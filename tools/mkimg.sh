#!/bin/bash
# SPDX-License-Identifier: MIT
# tools/mkimg.sh - a disk image that boots Octavo: GPT, one FAT32 EFI system partition. No root, no
# loop devices, and the same bytes whenever the same files go in.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C

usage() {
    cat <<'EOF'
usage: tools/mkimg.sh [options] OUT.img
  --efi FILE        the program at /EFI/BOOT/BOOTX64.EFI    (build/BOOTX64.EFI)
  --conf FILE       the file at /octavo.conf                (tools/octavo.conf)
  --program FILE    a program for ring 3, at /octavo/programs/; repeatable
  --add FILE:/PATH  one more file; its folder is made
  --size MIB        size of the disk, 40 or more            (64)
EOF
}
wrong() { echo "mkimg.sh: $1" >&2; usage >&2; exit 2; }

here=$(cd "$(dirname "$0")/.." && pwd)
efi=$here/build/BOOTX64.EFI conf=$here/tools/octavo.conf size_mib=64 out=
add=()
while [ $# -gt 0 ]; do
    case $1 in
    --efi | --conf | --program | --add | --size)
        [ $# -ge 2 ] || wrong "$1 wants a value"
        case $1 in
        --efi) efi=$2 ;;
        --conf) conf=$2 ;;
        --program) add+=("$2:/octavo/programs/${2##*/}") ;;
        --add) add+=("$2") ;;
        --size) size_mib=$2 ;;
        esac
        shift 2
        ;;
    -h | --help) usage; exit 0 ;;
    -*) wrong "unknown option $1" ;;
    *) [ -z "$out" ] || wrong "one image at a time"; out=$1; shift ;;
    esac
done
[ -n "$out" ] || wrong "which image?"
[[ $size_mib =~ ^[0-9]+$ && $size_mib -ge 40 ]] || wrong "--size $size_mib: FAT32 needs 40 MiB or more"
for f in "$efi" "$conf"; do
    [ -r "$f" ] || { echo "mkimg.sh: cannot read $f" >&2; exit 1; }
done

# One partition from 1 MiB to the last whole MiB; the backup GPT lies in the MiB after it.
sectors_per_mib=2048
part_sectors=$(((size_mib - 2) * sectors_per_mib))
work=$out.part
trap 'rm -f "$work" "$work.log"' EXIT

# Everything that would differ from run to run is fixed: GUIDs, the volume's serial number, the clock.
disk_guid=0C7A0000-0000-4000-8000-000000000001
part_guid=0C7A0000-0000-4000-8000-000000000002
esp_type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1700000000} TZ=UTC MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
fat=(-i "$work@@1M")

quietly() { # runs a tool; what it says matters only if it fails
    "$@" >"$work.log" 2>&1 || { echo "mkimg.sh: $1 failed:" >&2; cat "$work.log" >&2; exit 1; }
}

rm -f "$work"
dd if=/dev/zero of="$work" bs=1048576 count=0 seek="$size_mib" 2>/dev/null
quietly sfdisk --quiet --no-tell-kernel "$work" <<EOF
label: gpt
label-id: $disk_guid
first-lba: 34
start=$sectors_per_mib, size=$part_sectors, type=$esp_type, uuid=$part_guid, name="EFI system partition"
EOF
quietly mformat "${fat[@]}" -F -c 1 -T $part_sectors -H $sectors_per_mib -h 64 -s 32 -N 0C7A0001 -v OCTAVO ::

put() { # FILE /PATH
    local dir='' name
    name=${2#/}
    while [[ $name == */* ]]; do
        dir=$dir/${name%%/*}
        name=${name#*/}
        mdir "${fat[@]}" -b "::$dir" >/dev/null 2>&1 || quietly mmd "${fat[@]}" "::$dir"
    done
    quietly mcopy "${fat[@]}" -o "$1" "::$2"
}
put "$efi" /EFI/BOOT/BOOTX64.EFI
put "$conf" /octavo.conf
for item in ${add[@]+"${add[@]}"}; do
    [[ $item == *:/* ]] || wrong "--add $item: FILE:/PATH"
    put "${item%%:/*}" "/${item#*:/}"
done
mv -f "$work" "$out"
