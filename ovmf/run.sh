#!/bin/bash
# SPDX-License-Identifier: MIT
# ovmf/run.sh - the one way to start Octavo in an emulator: people, tests and CI all come through here.
#
# Each run has a folder of its own with a disk image, an octavo.conf and a fresh variable store, and
# leaves nothing behind: no file, no emulator, even when this script itself is killed.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'EOF'
usage: ovmf/run.sh [options]              interactive: the console is this terminal; Ctrl-A X ends it
  --exec 'COMMAND; COMMAND'   run these console commands after boot, then power off
  --timeout S                 give up after S seconds             (300 with --exec, else none)
  --mem SIZE                  64M, 6G, 900G ...                   (512M)
  --cpu MODEL                 QEMU's or Bochs' name               (max; tigerlake)
  --smp N                     processors                          (1)
  --machine q35|pc                                                (q35)
  --firmware ovmf|ovmf-2m|secboot|FILE                            (ovmf)
  --conf 'KEY=VALUE'          one more line of octavo.conf; repeatable
  --disk FILE                 attach FILE as an NVMe disk (IDE in Bochs); repeatable
  --device 'MODEL,...'        passed on to QEMU; repeatable
  --qemu 'OPTION VALUE'       any other option of QEMU's, '-blockdev ...' say; repeatable
  --gui                       show the screen in a window
  --no-screen, --no-serial    a machine without a graphics card; without a serial port
  --screenshot FILE.png       what the screen shows once the commands are done
  --icount                    instructions are the clock: two runs agree to the instruction
  --gdb PORT                  stopped before the first instruction, gdb served at localhost:PORT
  --hostile NAME              boot through build/HOSTILE.EFI, which plays the bad firmware NAME
  --efi FILE                  boot this program                   (build/BOOTX64.EFI)
  --program FILE.elf          one more program for ring 3; repeatable
  --file FILE:/PATH           one more file on the boot disk; repeatable
  --emulator qemu|bochs                                           (qemu)
exit status: 0 every command succeeded; 1 one failed, or Octavo panicked; 2 wrong usage;
             3 it never came up; 124 time-out
EOF
}
say() { echo "run.sh: $*" >&2; }
wrong() { say "$1"; usage >&2; exit 2; }

here=$(cd "$(dirname "$0")/.." && pwd)
export PATH="$PATH:/usr/sbin:/sbin"

# ---- what is asked for -------------------------------------------------------------------------
exec_line='' mem=512M cpu='' smp=1 machine=q35 firmware=ovmf emulator=qemu timeout='' shot=''
gdb='' hostile='' efi=$here/build/BOOTX64.EFI
has_exec=false icount=false gui=false screen=true serial=true
confs=() disks=() devices=() others=() image=()
while [ $# -gt 0 ]; do
    case $1 in
    --icount) icount=true; shift; continue ;;
    --gui) gui=true; shift; continue ;;
    --no-screen) screen=false; shift; continue ;;
    --no-serial) serial=false; shift; continue ;;
    -h | --help) usage; exit 0 ;;
    esac
    [ $# -ge 2 ] || wrong "$1: unknown, or its value is missing"
    case $1 in
    --exec) has_exec=true exec_line=$2 ;;
    --timeout) timeout=$2 ;;
    --mem) mem=$2 ;;
    --cpu) cpu=$2 ;;
    --smp) smp=$2 ;;
    --machine) machine=$2 ;;
    --firmware) firmware=$2 ;;
    --conf) confs+=("$2") ;;
    --disk) disks+=("$2") ;;
    --device) devices+=("$2") ;;
    --qemu) others+=("${2%% *}" "${2#* }") ;;
    --screenshot) shot=$2 ;;
    --gdb) gdb=$2 ;;
    --hostile) hostile=$2 ;;
    --efi) efi=$2 ;;
    --program) image+=(--program "$2") ;;
    --file) image+=(--add "$2") ;;
    --emulator) emulator=$2 ;;
    *) wrong "unknown option $1" ;;
    esac
    shift 2
done

[[ $mem =~ ^([0-9]+)([MGT]?)$ ]] || wrong "--mem $mem: a number and M, G or T"
case ${BASH_REMATCH[2]} in
G) mem_mib=$((BASH_REMATCH[1] * 1024)) ;;
T) mem_mib=$((BASH_REMATCH[1] * 1024 * 1024)) ;;
*) mem_mib=${BASH_REMATCH[1]} ;;
esac
[ "$mem_mib" -gt 0 ] || wrong "--mem $mem: nothing to manage"
[[ $smp =~ ^[1-9][0-9]*$ ]] || wrong "--smp $smp: a number"
[[ -z $gdb || $gdb =~ ^[0-9]+$ ]] || wrong "--gdb $gdb: a port number"
if [ -z "$timeout" ]; then if $has_exec; then timeout=300; else timeout=0; fi; fi
[[ $timeout =~ ^[0-9]+$ ]] || wrong "--timeout $timeout: whole seconds"
case $machine in q35 | pc) ;; *) wrong "--machine $machine: q35 or pc" ;; esac
case $emulator in qemu | bochs) ;; *) wrong "--emulator $emulator: qemu or bochs" ;; esac
[[ $firmware != secboot || $machine = q35 ]] || wrong "--firmware secboot has SMM, which needs --machine q35"
[[ $exec_line != *$'\n'* ]] || wrong "--exec: one line"
for line in ${confs[@]+"${confs[@]}"}; do
    [[ $line == *=* && $line != *$'\n'* ]] || wrong "--conf $line: one KEY=VALUE"
done
for f in ${disks[@]+"${disks[@]}"}; do [ -w "$f" ] || wrong "--disk $f: cannot write it"; done
[ -r "$efi" ] || wrong "$efi is missing: run make"
[[ -z $hostile || -r $here/build/HOSTILE.EFI ]] || wrong "build/HOSTILE.EFI is missing: run make"
[[ -z $shot || $emulator = qemu ]] || wrong "--screenshot works with QEMU only"
if $icount; then
    [[ $emulator = qemu && -z $hostile && ${#image[@]} = 0 ]] || wrong "--icount goes without --emulator, --hostile, --program and --file"
    [[ $exec_line != *'"'* ]] || wrong "--icount: quote with ' instead of \""
fi
if [ -n "$shot" ] && ! { $screen && $serial; }; then wrong "--screenshot needs the screen and the serial port"; fi

# ---- a folder for this run, and nothing left when it ends --------------------------------------
tmp=$(mktemp -d "${TMPDIR:-/tmp}/octavo.XXXXXX")
emulator_pid='' watcher_pid='' filter_pid='' terminal=''
log=$tmp/serial.log
: >"$log"
if [ -t 0 ]; then terminal=$(stty -g); fi

# shellcheck disable=SC2317 # the trap reaches it
cleanup() {
    trap '' INT TERM HUP
    local pid
    for pid in $watcher_pid $emulator_pid; do kill -9 "$pid" 2>/dev/null || true; done
    [ -z "$filter_pid" ] || wait "$filter_pid" 2>/dev/null || true
    [ -z "$terminal" ] || stty "$terminal" 2>/dev/null || true
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

seen() { grep -aq -- "$1" "$log"; }

# watch PID: ends the emulator when its time is up, when the firmware has it back, when Octavo's last
# line is written (Bochs has no exit port), and when this script is gone.
watch() {
    local started=$SECONDS
    while kill -0 "$1" 2>/dev/null; do
        if ! kill -0 $$ 2>/dev/null; then
            kill -9 "$1"
            rm -rf "$tmp"
        elif [ "$timeout" -gt 0 ] && [ $((SECONDS - started)) -ge "$timeout" ]; then
            : >"$tmp/timed-out"
            kill -9 "$1"
        elif $has_exec && seen 'BdsDxe: failed to\|UEFI Interactive Shell' && ! seen '^octavo: ready'; then
            sleep 1 # the rest of the line
            kill -9 "$1"
        elif [ "$emulator" = bochs ] && seen '^octavo: \(exit status\|panic\)'; then
            sleep 1
            kill -9 "$1"
        fi
        sleep 0.3
    done
}

# ---- what Octavo is told, and the disk it boots from -------------------------------------------
{
    if $has_exec; then
        # the screenshot is taken after the commands, so power-off is typed afterwards
        if [ -n "$shot" ]; then echo "exec=$exec_line"; else echo "exec=$exec_line; poweroff"; fi
        [ "$emulator" = bochs ] || echo "debug_exit=0xf4"
    fi
    for line in ${confs[@]+"${confs[@]}"}; do echo "$line"; done
} >"$tmp/octavo.conf"
if [ -n "$hostile" ]; then
    echo "$hostile" >"$tmp/hostile.txt"
    image+=(--add "$efi:/EFI/OCTAVO/OCTAVO.EFI" --add "$tmp/hostile.txt:/hostile.txt")
    efi=$here/build/HOSTILE.EFI
fi
"$here/tools/mkimg.sh" --efi "$efi" --conf "$tmp/octavo.conf" ${image[@]+"${image[@]}"} "$tmp/octavo.img" || exit 2

firmware_pair() { # sets code and vars
    local found
    found=$("$here/ovmf/find.sh" "$1") || exit 2
    code=${found%%$'\n'*} vars=${found#*$'\n'}
}

# ---- QEMU --------------------------------------------------------------------------------------
host_mib() {
    awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo 2>/dev/null ||
        echo $(($(sysctl -n hw.memsize) / 1048576))
}
pflash() { # UNIT FILE [more]
    local format=raw
    case $2 in *.qcow2) format=qcow2 ;; esac
    command+=(-drive "if=pflash,unit=$1,format=$format,file=$2${3-}")
}

qemu_command() {
    local accel=tcg why='no vmx or svm on this CPU' options=$machine disk n=0
    if $icount; then
        why='--icount'
    elif grep -Eqw 'vmx|svm' /proc/cpuinfo 2>/dev/null; then
        if (: <>/dev/kvm) 2>/dev/null; then accel=kvm why='/dev/kvm opens'; else why='/dev/kvm does not open'; fi
    fi
    say "QEMU with $accel ($why), $machine, $mem, cpu ${cpu:-max}, firmware $firmware"

    command=(qemu-system-x86_64 -nodefaults -no-user-config -name octavo)
    [ "$firmware" != secboot ] || options+=,smm=on
    if [ "$mem_mib" -gt "$(host_mib)" ]; then # address space that is not backed until it is touched
        command+=(-object "memory-backend-ram,id=ram,size=${mem_mib}M,reserve=off")
        options+=,memory-backend=ram
    fi
    command+=(-machine "$options,accel=$accel" -m "${mem_mib}M" -cpu "${cpu:-max}" -smp "$smp")

    case $firmware in
    ovmf | ovmf-2m | secboot)
        firmware_pair "$firmware"
        cp "$vars" "$tmp/vars.${vars##*.}"
        chmod u+w "$tmp/vars.${vars##*.}"
        pflash 0 "$code" ,readonly=on
        pflash 1 "$tmp/vars.${vars##*.}"
        [ "$firmware" != secboot ] || command+=(-global 'driver=cfi.pflash01,property=secure,value=on')
        ;;
    *)
        [ -r "$firmware" ] || wrong "--firmware $firmware: no such file"
        command+=(-bios "$firmware")
        ;;
    esac

    if $icount; then
        # A disk answers in the host's time, and the firmware counts instructions until it does. So there is
        # none: QEMU hands the firmware the program, and octavo.conf's lines as its words (LoadOptions).
        local words='' line
        while IFS= read -r line; do words+=" ${line%%=*}=\"${line#*=}\""; done <"$tmp/octavo.conf"
        command+=(-icount 'shift=0,sleep=off' -seed 1 -rtc 'base=2026-01-01,clock=vm' -kernel "$efi" -append "${words# }")
    else
        command+=(-drive "if=none,id=boot,format=raw,file=$tmp/octavo.img" -device 'ide-hd,drive=boot,bootindex=0')
    fi
    for disk in ${disks[@]+"${disks[@]}"}; do
        command+=(-drive "if=none,id=disk$n,format=raw,file=$disk" -device "nvme,drive=disk$n,serial=octavo$n")
        n=$((n + 1))
    done
    command+=(${others[@]+"${others[@]}"})
    for disk in ${devices[@]+"${devices[@]}"}; do command+=(-device "$disk"); done

    if $screen; then command+=(-vga std); else command+=(-vga none); fi
    $gui || command+=(-display none)
    if $has_exec; then command+=(-no-reboot -device 'isa-debug-exit,iobase=0xf4,iosize=0x04'); fi
    [ -z "$gdb" ] || command+=(-gdb "tcp:127.0.0.1:$gdb" -S)
    if [ -n "$shot" ]; then
        mkfifo "$tmp/monitor.in" "$tmp/monitor.out"
        command+=(-chardev "pipe,id=monitor,path=$tmp/monitor" -mon chardev=monitor)
    fi
    if ! $serial; then
        command+=(-serial none)
    elif [ -t 0 ] && ! $has_exec; then # Ctrl-A X ends QEMU, Ctrl-A C reaches its monitor
        command+=(-chardev "stdio,id=com1,mux=on,signal=off,logfile=$log" -serial chardev:com1 -mon chardev=com1)
    else
        command+=(-chardev "stdio,id=com1,signal=off,logfile=$log" -serial chardev:com1)
    fi
}

# ---- Bochs -------------------------------------------------------------------------------------
bochs_command() {
    local share=/usr/share n=1 disk
    say "Bochs, $mem, cpu ${cpu:-tigerlake}"
    case $firmware in
    ovmf | ovmf-2m) # Bochs takes one ROM of up to 2 MiB: the variable store with the code behind it
        firmware_pair ovmf-2m
        cat "$vars" "$code" >"$tmp/firmware.fd"
        ;;
    *) cp "$firmware" "$tmp/firmware.fd" || wrong "--firmware $firmware does not go with Bochs" ;;
    esac
    cat >"$tmp/bochsrc" <<EOF
config_interface: textconfig
display_library: $(if $gui; then echo x; else echo 'rfb, options="timeout=0"'; fi)
megs: $mem_mib
cpu: model=${cpu:-tigerlake}, count=$smp, ips=200000000, reset_on_triple_fault=0
romimage: file=$tmp/firmware.fd
vgaromimage: file=$share/vgabios/vgabios.bin
pci: enabled=1, chipset=i440fx
com1: enabled=1, mode=file, dev=$log
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path="$tmp/octavo.img", mode=flat
boot: disk
panic: action=report
log: $tmp/bochs.log
clock: sync=none
EOF
    for disk in ${disks[@]+"${disks[@]}"}; do
        [ $n -le 1 ] || wrong "--disk: one with Bochs"
        echo "ata0-slave: type=disk, path=\"$disk\", mode=flat" >>"$tmp/bochsrc"
        n=$((n + 1))
    done
    echo c >"$tmp/bochs.rc" # Debian's build starts in its debugger: continue
    command=(bochs -q -f "$tmp/bochsrc" -rc "$tmp/bochs.rc")
}

# ---- run it ------------------------------------------------------------------------------------
# plain: what a terminal would act upon (colours, cursor, clearing) is dropped from the output of --exec
plain() {
    local unbuffered=-u esc=$'\033' cr=$'\r'
    sed --version >/dev/null 2>&1 || unbuffered=-l
    sed $unbuffered -e "s/${esc}\[[0-9;=?]*[A-Za-z]//g" -e "s/${esc}[()][A-Z0-9]//g" -e "s/$cr//g"
}

# await_prompt: the commands are done and the console waits for the next line: nothing comes after a prompt
await_prompt() {
    local size before=-1
    while kill -0 "$emulator_pid" 2>/dev/null; do
        size=$(wc -c <"$log")
        [[ $size != "$before" || $(tail -c 8 "$log" | tr -d '\0') != 'octavo> ' ]] || return 0
        before=$size
        sleep 0.5
    done
    return 1
}

take_screenshot() {
    await_prompt || return 0
    # a second monitor command that fills another file: when that is there, the first is done
    printf 'screendump %s\nscreendump %s\n' "$tmp/screen.ppm" "$tmp/again.ppm" >"$tmp/monitor.in"
    while [ ! -s "$tmp/again.ppm" ] && kill -0 "$emulator_pid" 2>/dev/null; do sleep 0.2; done
    "$here/tools/ppm2png.py" "$tmp/screen.ppm" "$shot" && say "screenshot in $shot"
}

if [ "$emulator" = qemu ]; then
    qemu_command
    if $has_exec || [ -n "$shot" ]; then
        mkfifo "$tmp/keys" "$tmp/out"
        plain <"$tmp/out" &
        filter_pid=$!
        exec 3<>"$tmp/keys"
        "${command[@]}" <&3 >"$tmp/out" &
    else
        "${command[@]}" <&0 &
    fi
else
    bochs_command
    mkfifo "$tmp/keys"
    exec 3<>"$tmp/keys"
    "${command[@]}" <&3 >"$tmp/bochs.out" 2>&1 &
fi
emulator_pid=$!
watch "$emulator_pid" </dev/null >/dev/null 2>&1 &
watcher_pid=$!
disown
if [ "$emulator" = bochs ]; then
    tail -n +1 -f "$log" --pid="$emulator_pid" | plain &
    filter_pid=$!
fi
if [ -n "$shot" ]; then
    cat "$tmp/monitor.out" >/dev/null &
    take_screenshot
    printf 'poweroff\r' >&3
fi

status=0
wait "$emulator_pid" 2>/dev/null || status=$?
emulator_pid=''
[ -z "$filter_pid" ] || wait "$filter_pid" || true
filter_pid=''

# ---- how it ended ------------------------------------------------------------------------------
# QEMU's exit port gives twice the value written plus one: 0x10 all well, 0x11 a command failed, 0x12 panic.
last=$(grep -a -o '^octavo: \(exit status [0-9]*\|panic\)' "$log" | tail -n 1 || true)
if [ -e "$tmp/timed-out" ]; then
    say "time-out after $timeout s"
    exit 124
fi
case $status/$last in
33/* | 0/'octavo: exit status 0') exit 0 ;;
35/* | */'octavo: exit status '[1-9]*) exit 1 ;;
37/* | */'octavo: panic') say "Octavo panicked"; exit 1 ;;
*/'octavo: exit status 0') [ "$emulator" = bochs ] && exit 0 ;;
esac
if $serial && ! seen '^octavo: ready'; then
    say "Octavo never came up (emulator's status $status)"
    [ ! -s "$tmp/bochs.out" ] || tail -n 5 "$tmp/bochs.out" >&2
    exit 3
fi
if $has_exec; then
    say "the machine stopped before its commands were done (emulator's status $status)"
    exit 1
fi
exit 0
