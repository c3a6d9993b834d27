# SPDX-License-Identifier: MIT
"""What hangs on the buses, and memory that devices read and write by themselves."""
import re

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
    assert run.status == 1 and "no DMA engine" in run.text, run
    run = boot("dma 0; dma 262145; dma x; dma 1 2", "--device", "edu")
    assert run.status == 1 and run.text.count("from 1 to 262144 bytes") == 2 and run.text.count("usage: dma") == 2, run
