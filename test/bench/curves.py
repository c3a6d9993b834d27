#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""curves.py - draw what `replay --curve` wrote as an SVG: live and held bytes over a trace, a panel per trace

usage: curves.py OUT.svg TITLE:LABEL=FILE,LABEL=FILE,... ...
"""
import sys

COLOURS = {"live": "#888888", "default": "#1f6feb", "list": "#d97706", "bitmap": "#15803d"}
W, H, LEFT, TOP, GAP = 300, 180, 56, 34, 24


def points(rows, column, x_max, y_max, left):
    step = max(1, len(rows) // 150)
    return " ".join(
        f"{left + W * r[0] / x_max:.1f},{TOP + H - H * r[column] / y_max:.1f}" for r in rows[::step] + rows[-1:]
    )


def panel(spec, number):
    title, files = spec.split(":", 1)
    curves = {}
    for part in files.split(","):
        label, path = part.split("=", 1)
        with open(path, encoding="ascii") as f:
            curves[label] = [[int(x) for x in line.split()] for line in f]
    x_max = max(r[-1][0] for r in curves.values())
    y_max = max(row[2] for r in curves.values() for row in r) * 1.05
    left = LEFT + number * (W + LEFT + GAP)
    out = [f'<text x="{left}" y="{TOP - 12}" font-weight="bold">{title}</text>',
           f'<rect x="{left}" y="{TOP}" width="{W}" height="{H}" fill="none" stroke="#999"/>',
           f'<text x="{left - 6}" y="{TOP + 10}" text-anchor="end">{y_max / 2**20:.1f} MiB</text>',
           f'<text x="{left - 6}" y="{TOP + H}" text-anchor="end">0</text>',
           f'<text x="{left + W}" y="{TOP + H + 16}" text-anchor="end">{x_max + 1:,} calls</text>']
    first = next(iter(curves.values()))
    out.append(f'<polyline fill="none" stroke="{COLOURS["live"]}" points="{points(first, 1, x_max, y_max, left)}"/>')
    for label, rows in curves.items():
        out.append(f'<polyline fill="none" stroke="{COLOURS[label]}" points="{points(rows, 2, x_max, y_max, left)}"/>')
    return out


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    width = len(sys.argv[2:]) * (W + LEFT + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + H + 44}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    for number, spec in enumerate(sys.argv[2:]):
        out += panel(spec, number)
    for i, (label, colour) in enumerate(COLOURS.items()):
        out.append(f'<text x="{LEFT + i * 90}" y="{TOP + H + 34}" fill="{colour}">{label}</text>')
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("\n".join(out + ["</svg>"]) + "\n")


main()
