# SPDX-License-Identifier: MIT
"""What hangs on the buses, and memory that devices read and write by themselves."""
import re
import subprocess
import zlib

import pytest


def functions(text):
    """{address: the rest of its line} of what `pci` printed"""
    return dict(re.findall(r"^([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d) (.*)$", text, re.M))


@pytest.mark.parametrize("machine, way", [("q35", "ECAM"), ("pc", "ports")])
def test_pci_lists_what_qemu_has(boot, machine, way):
    run = boot("pci", "--machine", machine, "--device", "edu,addr=7", "--device", "nvme-subsys,id=s",
               "--device", "nvme,serial=x,subsys=s,addr=8")
    assert run.status == 0, run
    found = functions(run.text)
    assert re.match(r"8086:\w{4} .* host bridge", found["0000:00:00.0"])
    assert re.match(r"1234:11e8 MSI ", found["0000:00:07.0"])
    assert re.match(r"1b36:0010 MSI-X .* NVMe controller", found["0000:00:08.0"])
    assert f"through {way}" in run.text
    assert re.search(r"0000:00:07.0.*\n +0  memory at 0x\w+, 1 MiB", run.text)


def test_pci_finds_functions_behind_bridges_and_on_a_second_root(boot):
    run = boot("pci", "--device", "pcie-root-port,id=r,addr=5", "--device", "edu,bus=r", "--device",
               "pxb-pcie,id=second,bus_nr=128", "--device", "pcie-root-port,id=t,bus=second,chassis=2")
    assert run.status == 0, run
    found = functions(run.text)
    assert any(re.match(r"0000:(?!00)\w\w:00.0", a) and "1234:11e8" in d for a, d in found.items()), run
    assert any(a.startswith("0000:80:") for a in found), run


# ---- memory that a device copies --------------------------------------------------------------------

def copied(text):
    found = re.search(r"^(\d+) bytes copied with (\d+) interrupts in \d+ ms: (\d+) moved directly, (\d+) by bounces\s+"
                      r"meanwhile the CPU found (\d+) primes; (\d+) bytes are wrong", text, re.M)
    assert found, text
    return [int(n) for n in found.groups()]


@pytest.mark.parametrize("mem, bounced", [("128M", False), ("6G", True)])
def test_a_device_copies_while_the_cpu_works(boot, mem, bounced):
    run = boot("dma; dma 10001; dma 1; frames", "--device", "edu", "--mem", mem)
    assert run.status == 0, run
    n_bytes, interrupts, direct, by_bounce, primes, wrong = copied(run.text)
    assert (n_bytes, interrupts, wrong) == (16384, 16, 0)
    assert (direct, by_bounce) == ((0, 32768) if bounced else (32768, 0))
    assert primes > 1000
    assert len(re.findall(r"interrupt \d after \d+ ms: 2048 bytes (?:read from|written to) 0x\w+", run.text)) >= 8
    assert "10001 bytes copied with 10 interrupts" in run.text and "1 bytes copied with 2 interrupts" in run.text


def test_without_an_engine_or_with_wrong_numbers_dma_says_so(boot):
    run = boot("dma", "--device", "nvme,serial=x")
    assert run.status == 1 and "no DMA engine that copies" in run.text, run
    run = boot("dma 0; dma 262145; dma x; dma 1 2", "--device", "edu")
    assert run.status == 1 and run.text.count("from 1 to 262144 bytes") == 2 and run.text.count("usage: dma") == 2, run


# ---- what stands between devices and memory ------------------------------------------------------------

def test_without_an_iommu_a_stray_device_writes_where_it_likes(boot):
    run = boot("cpu; dma stray", "--device", "edu")
    assert run.status == 0, run
    assert re.search(r"^IOMMU +none in use", run.text, re.M)
    assert "which it was not handed: the memory has changed" in run.text


@pytest.mark.parametrize("width", [39, 48])
def test_with_one_a_device_reaches_what_it_was_handed_and_nothing_else(boot, tmp_path, width):
    disk = make_disk(tmp_path)
    run = boot("dma stray; dma stray; dma 5000; dma nvme0n1 0x40000; dma stray; cpu; frames", "--mem", "6G", "--disk", disk,
               "--device", f"intel-iommu,aw-bits={width}", "--device", "edu,addr=9")
    assert run.status == 0, run
    assert run.text.count("which it was not handed: the memory is as it was") == 3, run
    assert len(re.findall(r"W iommu: device 00:09.0, write at pa:\w+, blocked: it was not handed this to write", run.text)) == 3, run
    assert copied(run.text)[5] == 0
    assert f"CRC-32 {zlib.crc32(disk.read_bytes()[:262144]):08x}" in run.text, run
    levels = {39: 3, 48: 4}[width]
    assert re.search(rf"^IOMMU +VT-d, 1 unit, 2 devices with tables of {levels} levels in \d+ frames, 3 accesses blocked",
                     run.text, re.M), run


def test_an_iommu_that_remembers_empty_entries_is_told_of_new_ones(boot, tmp_path):
    disk = make_disk(tmp_path)
    run = boot("dma nvme0n1 0x40000; dma 100", "--disk", disk, "--device", "intel-iommu,caching-mode=on", "--device", "edu")
    assert run.status == 0 and f"CRC-32 {zlib.crc32(disk.read_bytes()[:262144]):08x}" in run.text, run


# ---- disks ------------------------------------------------------------------------------------------

def make_disk(tmp_path, n_bytes=1 << 20):
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"".join(zlib.crc32(i.to_bytes(8, "little")).to_bytes(4, "little") for i in range(n_bytes // 4)))
    return disk


@pytest.mark.parametrize("mem", ["64M", "6G"])
def test_scattered_frames_are_read_from_a_disk_by_several_commands(boot, tmp_path, mem):
    disk = make_disk(tmp_path)
    run = boot("disks; dma nvme0n1; dma nvme0n1 4096; dma nvme0n1 0x40000; disks", "--disk", disk, "--mem", mem)
    assert run.status == 0, run
    assert re.search(r"^nvme0n1 +1 MiB +512 .* QEMU NVMe Ctrl$", run.text, re.M), run
    content = disk.read_bytes()
    for n_bytes, commands in ((16384, 1), (4096, 1), (262144, 8)):
        found = re.search(rf"^{n_bytes} bytes read with {commands} commands and (\d+) interrupts in \d+ us, CRC-32 (\w+)$",
                          run.text, re.M)
        assert found and 1 <= int(found[1]) <= commands, run
        assert int(found[2], 16) == zlib.crc32(content[:n_bytes]), run
    assert content == make_disk(tmp_path).read_bytes()


def test_blocks_of_4096_bytes_and_several_namespaces(boot, tmp_path):
    disk = make_disk(tmp_path)
    run = boot("disks; dma nvme0n2 8192", "--qemu", f"-drive if=none,id=a,format=raw,file={disk},read-only=on,file.locking=off",
               "--qemu", f"-drive if=none,id=b,format=raw,file={disk},read-only=on,file.locking=off", "--device", "nvme,id=n,serial=x",
               "--device", "nvme-ns,drive=a,bus=n,nsid=1", "--device",
               "nvme-ns,drive=b,bus=n,nsid=2,logical_block_size=4096,physical_block_size=4096")
    assert run.status == 0, run
    assert re.search(r"^nvme0n1 +1 MiB +512 ", run.text, re.M) and re.search(r"^nvme0n2 +1 MiB +4096 ", run.text, re.M), run
    assert f"CRC-32 {zlib.crc32(disk.read_bytes()[:8192]):08x}" in run.text


def test_a_read_error_is_reported_and_what_was_right_is_read(boot, tmp_path):
    disk = make_disk(tmp_path)
    run = boot("dma nvme0n1 32768; dma nvme0n1 0x40000; dma nvme0n1 32768; disks; frames", "--qemu",
               f"-blockdev driver=raw,node-name=bad,file.driver=blkdebug,file.inject-error.0.event=read_aio,"
               f"file.inject-error.0.sector=70,file.image.driver=file,file.image.filename={disk}", "--device", "nvme,drive=bad,serial=x")
    assert run.status == 1, run
    assert re.search(r"nvme0n1: read at block 64: unrecovered read error \(status 0x\w+\)", run.text), run
    assert run.text.count(f"CRC-32 {zlib.crc32(disk.read_bytes()[:32768]):08x}") == 2, run
    assert re.search(r"^nvme0n1 +\S+ \w+ +512 +\d+ +1 +0 ", run.text, re.M), run


def test_a_disk_that_is_too_slow_is_reset_and_its_late_answers_count(boot, tmp_path):
    disk = make_disk(tmp_path)
    run = boot("dma nvme0n1 0x40000; dma nvme0n1 4096; disks",
               "--qemu", "-object throttle-group,id=slow,x-bps-total=4000", "--qemu",
               f"-blockdev driver=throttle,node-name=t,throttle-group=slow,file.driver=file,file.filename={disk}",
               "--device", "nvme,drive=t,serial=x")
    assert "nvme0 does not answer: switched off" in run.text, run
    assert f"CRC-32 {zlib.crc32(disk.read_bytes()[:4096]):08x}" in run.text, run
    assert re.search(r"^nvme0n1 .* 0 +[1-9]  QEMU", run.text, re.M), run


def partition(disk, *lines):
    subprocess.run(["sfdisk", "--quiet", "--no-tell-kernel", disk], input="\n".join(("label: gpt",) + lines), text=True,
                   check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})


def test_partitions_are_listed_and_a_damaged_table_is_named(boot, tmp_path):
    disk = make_disk(tmp_path, 8 << 20)
    partition(disk, 'start=2048, size=2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="boot here"',
              "start=4096, size=8192, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4")
    damaged = tmp_path / "damaged.img"
    content = bytearray(disk.read_bytes())
    content[512 + 20] ^= 1
    damaged.write_bytes(content)
    (tmp_path / "plain").mkdir()
    run = boot("disks", "--disk", disk, "--disk", damaged, "--disk", make_disk(tmp_path / "plain"))
    assert run.status == 0, run
    listed = re.findall(r"^ +(\S+ MiB) from block (\d+), (\S+( \S+)?) \"(.*)\"$", run.text, re.M)
    assert [row[:3] + row[4:] for row in listed] == [("1 MiB", "2048", "EFI system", "boot here"), ("4 MiB", "4096", "Linux", "")] * 2, run
    assert run.text.count("the header's checksum is wrong; this is what its backup says") == 1
    assert run.text.count("no protective MBR") == 1
    assert damaged.read_bytes() == content
