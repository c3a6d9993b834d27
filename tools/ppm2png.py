#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tools/ppm2png.py IN.ppm OUT.png - the picture QEMU's screendump writes, as a PNG; only the standard library"""
import struct
import sys
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main(source, target):
    with open(source, "rb") as f:
        magic, width, height, depth = b"".join(f.readline() for _ in range(3)).split()
        pixels = f.read()
    width, height = int(width), int(height)
    if magic != b"P6" or depth != b"255" or len(pixels) != 3 * width * height:
        sys.exit(f"{source}: not a whole 24-bit PPM")
    rows = b"".join(b"\0" + pixels[3 * width * y:3 * width * (y + 1)] for y in range(height))
    with open(target, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
        f.write(chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
