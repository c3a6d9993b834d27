#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/bench/policies.py [OUT.svg] - the heap's three policies on the recorded traces: time, memory, fragmentation over time

Plays each trace on each policy with build/host/replay, prints a table, and draws a column of four panels for each trace
(docs/heap-policies.svg unless told otherwise).
"""
import math
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRACES = {"gcc_cc1": "gcc cc1", "perl": "perl", "slab_compile": "a kernel's slabs"}
COLOURS = {"default": "#1f6feb", "list": "#d97706", "bitmap": "#15803d"}
WIDTH, LEFT, GAP, TOP = 290, 62, 14, 36
HEIGHTS = {"memory": 170, "held / live": 120, "ns a call": 66, "arena / live": 66}


def play(trace, policy, folder):
    """(ns per call, smallest arena over live bytes, rows of calls, live bytes, held bytes)"""
    curve = os.path.join(folder, f"{trace}.{policy}.curve")
    text = subprocess.run(["build/host/replay", "--policy", policy, "--repeat", "3" if policy == "default" else "1", "--curve", curve,
                           f"test/data/traces/{trace}.mtr.xz"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    ns, arena = map(float, re.search(r"([\d.]+) ns/call.*arena ([\d.]+)", text).groups())
    with open(curve, encoding="ascii") as lines:
        return ns, arena, [tuple(map(int, line.split())) for line in lines]


def text(x, y, words, colour="black", anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{words}</text>'


def polyline(points, left, top, height, x_max, y_max, colour):
    step = max(1, len(points) // 150)
    shown = " ".join(f"{left + WIDTH * x / x_max:.1f},{top + height - height * min(y / y_max, 1):.1f}"
                     for x, y in points[::step] + points[-1:])
    return f'<polyline fill="none" stroke="{colour}" points="{shown}"/>'


def frame(left, top, height, name, highest):
    return [f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{height}" fill="none" stroke="#999"/>',
            text(left - 5, top + 10, highest, anchor="end"), text(left - 5, top + height / 2, name, "#555", "end")]


def curves(results, left, top):
    """Live and held bytes over the trace; below, what is held for each byte alive."""
    x_max = max(rows[-1][0] for _, _, rows in results.values())
    y_max = max(held for _, _, rows in results.values() for _, _, held in rows) * 1.05
    height = HEIGHTS["memory"]
    out = frame(left, top, height, "memory", f"{y_max / 2**20:.1f} MiB")
    out.append(polyline([(x, live) for x, live, _ in results["default"][2]], left, top, height, x_max, y_max, "#888"))
    for policy, (_, _, rows) in results.items():
        out.append(polyline([(x, held) for x, _, held in rows], left, top, height, x_max, y_max, COLOURS[policy]))
    top += height + GAP
    height = HEIGHTS["held / live"]
    out += frame(left, top, height, "held / live", "3")
    for policy, (_, _, rows) in results.items():
        ratios = [(x, held / live - 1) for x, live, held in rows if live > 0]
        out.append(polyline(ratios, left, top, height, x_max, 2, COLOURS[policy]))
    return out + [text(left - 5, top + height, "1", anchor="end")]


def bars(values, left, top, name, scale, unit):
    """A bar for each policy, its value behind it."""
    out = [text(left - 5, top + HEIGHTS[name] / 2, name, "#555", "end")]
    for i, (policy, value) in enumerate(values.items()):
        width = (WIDTH - 70) * scale(value)
        out.append(f'<rect x="{left}" y="{top + i * 20}" width="{width:.1f}" height="15" fill="{COLOURS[policy]}"/>')
        out.append(text(left + width + 4, top + i * 20 + 12, f"{value:,.{unit}f}"))
    return out


def column(title, results, left):
    out = [text(left, TOP - 10, title, weight="bold")] + curves(results, left, TOP)
    top = TOP + HEIGHTS["memory"] + HEIGHTS["held / live"] + 2 * GAP
    n = results["default"][2][-1][0]
    out.append(text(left + WIDTH, top, f"{n + 1:,} calls", anchor="end"))
    out += bars({p: r[0] for p, r in results.items()}, left, top + GAP, "ns a call", lambda v: math.log10(v) / 4, 0)
    return out + bars({p: r[1] for p, r in results.items()}, left, top + GAP + HEIGHTS["ns a call"], "arena / live", lambda v: v - 1 + 0.02, 3)


def main():
    folder = os.path.join(ROOT, "build/bench")
    os.makedirs(folder, exist_ok=True)
    height = TOP + sum(HEIGHTS.values()) + 3 * GAP + 24
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{len(TRACES) * (WIDTH + LEFT + GAP)}" height="{height}" '
             'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    print(f"{'trace':20}{'policy':>10}{'ns/call':>10}{'arena':>8}")
    for i, (trace, title) in enumerate(TRACES.items()):
        results = {policy: play(trace, policy, folder) for policy in COLOURS}
        for policy, (ns, arena, _) in results.items():
            print(f"{title:20}{policy:>10}{ns:10.1f}{arena:8.3f}")
        parts += column(title, results, LEFT + i * (WIDTH + LEFT + GAP))
    for i, (name, colour) in enumerate({"alive": "#888", **COLOURS}.items()):
        parts.append(text(LEFT + i * 90, height - 8, name, colour))
    with open(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "docs/heap-policies.svg"), "w", encoding="ascii") as out:
        out.write("\n".join(parts + ["</svg>"]) + "\n")


main()
