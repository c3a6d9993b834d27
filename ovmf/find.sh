#!/bin/bash
# SPDX-License-Identifier: MIT
# ovmf/find.sh KIND - where this computer keeps UEFI firmware for QEMU
#
#   ovmf      the usual build, 4 MiB where there is one
#   ovmf-2m   the older 2 MiB layout
#   secboot   with Secure Boot and SMM; its variable store has no keys, so nothing is enforced
#
# Prints two lines: the code, and the empty variable store that goes with it. Status 1: none found.
# $OCTAVO_FIRMWARE_DIRS (folders separated by ':') replaces the folders that are searched.
set -euo pipefail

dirs=${OCTAVO_FIRMWARE_DIRS:-\
/usr/share/OVMF:\
/usr/share/edk2/ovmf:\
/usr/share/edk2/x64:/usr/share/edk2-ovmf/x64:\
/opt/homebrew/share/qemu:/usr/local/share/qemu:/home/linuxbrew/.linuxbrew/share/qemu:\
/usr/share/qemu}

#         Debian, Ubuntu; Fedora                   Fedora (qcow2)                         Arch                    Homebrew, QEMU's own
four_mib='OVMF_CODE_4M.fd,OVMF_VARS_4M.fd          OVMF_CODE_4M.qcow2,OVMF_VARS_4M.qcow2  OVMF_CODE.4m.fd,OVMF_VARS.4m.fd  edk2-x86_64-code.fd,edk2-i386-vars.fd'
two_mib='OVMF_CODE.fd,OVMF_VARS.fd'
secboot='OVMF_CODE_4M.secboot.fd,OVMF_VARS_4M.fd   OVMF_CODE_4M.secboot.qcow2,OVMF_VARS_4M.qcow2
         OVMF_CODE.secboot.4m.fd,OVMF_VARS.4m.fd   OVMF_CODE.secboot.fd,OVMF_VARS.fd
         edk2-x86_64-secure-code.fd,edk2-i386-vars.fd'

case ${1-} in
ovmf) pairs="$four_mib $two_mib" ;;
ovmf-2m) pairs=$two_mib ;;
secboot) pairs=$secboot ;;
*) echo "usage: ovmf/find.sh ovmf|ovmf-2m|secboot" >&2; exit 2 ;;
esac

IFS=: read -r -a folders <<<"$dirs"
for pair in $pairs; do
    for folder in "${folders[@]}"; do
        code=$folder/${pair%,*} vars=$folder/${pair#*,}
        if [ -r "$code" ] && [ -r "$vars" ]; then
            printf '%s\n%s\n' "$code" "$vars"
            exit 0
        fi
    done
done
echo "find.sh: no '$1' firmware in ${dirs//:/, }; tools/setup.sh installs it" >&2
exit 1
