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
