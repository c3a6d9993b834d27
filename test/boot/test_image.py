# SPDX-License-Identifier: MIT
"""The files that are built: the PE image firmware loads, the disk image, and a mounted ESP."""
import os
import shutil
import struct
import subprocess

import pytest
from conftest import ROOT

EFI = os.path.join(ROOT, "build/BOOTX64.EFI")
EXECUTE, WRITE = 0x20000000, 0x80000000
RELOCATIONS, DYNAMIC_BASE, NX_COMPAT, HIGH_ENTROPY_VA = 5, 0x0040, 0x0100, 0x0020
EFI_APPLICATION, AMD64 = 10, 0x8664


class Pe:
    """A PE32+ file, as far as UEFI looks at it (Microsoft PE/COFF specification, "Optional Header")."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.bytes = f.read()
        pe, = struct.unpack_from("<I", self.bytes, 0x3C)
        self.signature = self.bytes[pe:pe + 4]
        self.machine, n_sections, self.timestamp, optional_bytes = struct.unpack_from("<HHI8xH", self.bytes, pe + 4)
        optional = pe + 24
        self.magic, = struct.unpack_from("<H", self.bytes, optional)
        self.section_align, self.file_align = struct.unpack_from("<II", self.bytes, optional + 32)
        self.image_bytes, = struct.unpack_from("<I", self.bytes, optional + 56)
        self.subsystem, self.characteristics = struct.unpack_from("<HH", self.bytes, optional + 68)
        self.relocations = struct.unpack_from("<II", self.bytes, optional + 112 + 8 * RELOCATIONS)
        self.sections = {}
        for i in range(n_sections):
            name, size, at, raw_size, raw_at, flags = struct.unpack_from(
                "<8sIIII12xI", self.bytes, optional + optional_bytes + 40 * i)
            self.sections[name.rstrip(b"\0").decode()] = (size, at, raw_size, raw_at, flags)


@pytest.fixture(scope="module")
def image():
    return Pe(EFI)


def test_it_is_an_efi_application_for_x86_64(image):
    assert image.signature == b"PE\0\0" and image.magic == 0x20B
    assert image.machine == AMD64
    assert image.subsystem == EFI_APPLICATION


def test_sections_start_on_pages(image):
    assert image.section_align == 4096
    assert all(at % 4096 == 0 for _, at, _, _, _ in image.sections.values())


def test_no_section_is_writable_and_executable(image):
    both = [name for name, (*_, flags) in image.sections.items() if flags & EXECUTE and flags & WRITE]
    assert both == []


def test_only_text_is_executable(image):
    assert [name for name, (*_, flags) in image.sections.items() if flags & EXECUTE] == [".text"]


def test_it_says_that_it_lives_with_nx(image):
    assert image.characteristics & NX_COMPAT


def test_it_can_be_loaded_anywhere(image):
    assert image.characteristics & DYNAMIC_BASE
    assert image.characteristics & HIGH_ENTROPY_VA
    at, size = image.relocations
    assert ".reloc" in image.sections and size > 0
    assert image.sections[".reloc"][1] == at


def test_it_carries_no_debug_sections(image):
    assert not [name for name in image.sections if name.startswith((".debug", "/"))]


def test_debug_companion_describes_the_same_image(image):
    companion = Pe(os.path.join(ROOT, "build/octavo.debug"))
    size, at, raw_size, raw_at, _ = image.sections[".text"]
    assert companion.sections[".text"][:2] == (size, at)
    raw = companion.sections[".text"][3]
    assert companion.bytes[raw:raw + raw_size] == image.bytes[raw_at:raw_at + raw_size]


def test_two_builds_in_two_folders_have_the_same_bytes(tmp_path):
    """The second folder has another name of another length; the first build is the one under test."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT,
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    copy = tmp_path / "another folder's name".replace(" ", "-").replace("'", "")
    for name in filter(None, listed.split("\0")):
        if os.path.isfile(os.path.join(ROOT, name)):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(os.path.join(ROOT, name), copy / name)
            shutil.copymode(os.path.join(ROOT, name), copy / name)
    subprocess.run(["make", "-s", "build/BOOTX64.EFI"], cwd=copy, check=True, env={**os.environ, "MAKEFLAGS": ""})
    assert (copy / "build/BOOTX64.EFI").read_bytes() == open(EFI, "rb").read()


def mkimg(*options):
    return subprocess.run([os.path.join(ROOT, "tools/mkimg.sh"), *map(str, options)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_disk_image_is_reproducible(tmp_path):
    for name in "ab":
        assert mkimg(tmp_path / name).returncode == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_disk_image_has_a_whole_gpt_at_both_ends(tmp_path):
    assert mkimg(tmp_path / "disk").returncode == 0
    disk = (tmp_path / "disk").read_bytes()
    assert disk[510:512] == b"\x55\xaa" and disk[450] == 0xEE
    first, last = disk[512:1024], disk[-512:]
    for header, here, there in (first, 1, len(disk) // 512 - 1), (last, len(disk) // 512 - 1, 1):
        assert header[:8] == b"EFI PART"
        assert struct.unpack_from("<QQ", header, 24) == (here, there)
        entries, = struct.unpack_from("<Q", header, 72)
        esp = disk[512 * entries:512 * entries + 16]
        assert esp == bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")


def test_disk_image_refuses_what_fat32_cannot_hold(tmp_path):
    assert mkimg("--size", "20", tmp_path / "disk").returncode == 2
    assert not (tmp_path / "disk").exists()


def esp(folder, *options):
    return subprocess.run([os.path.join(ROOT, "tools/esp.sh"), *options, str(folder)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_esp_gets_the_same_files_and_keeps_its_configuration(tmp_path):
    assert esp(tmp_path).returncode == 0
    assert (tmp_path / "EFI/BOOT/BOOTX64.EFI").read_bytes() == open(EFI, "rb").read()
    (tmp_path / "octavo.conf").write_text("log=debug\n")
    assert esp(tmp_path).returncode == 0
    assert (tmp_path / "octavo.conf").read_text() == "log=debug\n"


def test_esp_leaves_another_boot_loader_alone(tmp_path):
    loader = tmp_path / "efi/boot/bootx64.efi"
    loader.parent.mkdir(parents=True)
    loader.write_bytes(b"MZ another one")
    refused = esp(tmp_path)
    assert refused.returncode == 1 and "FORCE=1" in refused.stdout
    assert loader.read_bytes() == b"MZ another one"
    assert esp(tmp_path, "--force").returncode == 0
    assert loader.read_bytes() == open(EFI, "rb").read()
    assert (tmp_path / "efi/boot/bootx64.efi.before-octavo").read_bytes() == b"MZ another one"


def test_esp_needs_a_folder(tmp_path):
    assert esp(tmp_path / "nowhere").returncode == 2
