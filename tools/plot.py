#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tools/plot.py [DATA [PLOTS]] - draws what test/bench/run.sh measured: CSV in DATA (build/bench), SVG to PLOTS (docs/plots)

Bars are drawn beside each other for each workload, with their values; lines over rounds. Python alone is enough.
"""
import csv
import os
import sys

COLOURS = {"octavo": "#2b6cb0", "list": "#c05621", "glibc": "#718096", "jemalloc": "#a0aec0", "mimalloc": "#cbd5e0"}
NAMES = {"octavo": "bitmaps (mm/frame.c)", "list": "linked lists"}
STYLE = "text{font:12px sans-serif;fill:#222}.t{font-size:15px;font-weight:bold}.v{font-size:10px}.g{stroke:#ddd}.a{stroke:#444}"


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Svg:
    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = []
        self.text(12, 22, title, "t")

    def text(self, x, y, text, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, kind):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def box(self, x, y, w, h, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0.5):.1f}" height="{h:.1f}" fill="{colour}"/>')

    def path(self, points, colour):
        self.parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" '
                          f'stroke="{colour}" stroke-width="2"/>')

    def legend(self, who, y=42):
        x = 12
        for name in who:
            self.box(x, y - 9, 10, 10, COLOURS[name])
            self.text(x + 15, y, NAMES.get(name, name))
            x += 30 + 7 * len(NAMES.get(name, name))

    def save(self, path):
        with open(path, "w") as file:
            file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
                       f'viewBox="0 0 {self.width} {self.height}"><style>{STYLE}</style>'
                       f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def bars(path, title, groups, who):
    """groups: {label: {who: value}}; each group has a scale of its own, since workloads differ a thousandfold."""
    row, left, full = 13, 250, 420
    svg = Svg(left + full + 90, 62 + len(groups) * (row * len(who) + 10), title)
    svg.legend(who)
    y = 58
    for label, values in groups.items():
        svg.text(left - 8, y + row * len(who) / 2 + 4, label, anchor="end")
        largest = max(max(values.values()), 1e-9)
        for name in who:
            if name in values:
                svg.box(left, y + 1, full * values[name] / largest, row - 2, COLOURS[name])
                svg.text(left + full * values[name] / largest + 5, y + row - 3, number(values[name]), "v")
            y += row
        y += 10
    svg.save(path)


def lines(path, title, x_title, y_title, series, y_max):
    left, top, width, height = 60, 56, 560, 240
    svg = Svg(left + width + 20, top + height + 50, title)
    svg.legend(series)
    x_max = max(x for points in series.values() for x, _ in points)
    for i in range(5):
        y = top + height - height * i / 4
        svg.line(left, y, left + width, y, "g")
        svg.text(left - 6, y + 4, number(y_max * i / 4) if i else "0", anchor="end")
        svg.text(left + width * i / 4, top + height + 18, number(x_max * i / 4) if i else "0", anchor="middle")
    svg.line(left, top + height, left + width, top + height, "a")
    svg.text(left + width / 2, top + height + 38, x_title, anchor="middle")
    svg.text(left + 6, top + 12, y_title, "v")
    for name, points in series.items():
        svg.path([(left + width * x / x_max, top + height - height * y / y_max) for x, y in points], COLOURS[name])
    svg.save(path)


def times(rows, plots):
    groups = {}
    for row in rows:
        if row["gib"] == "1" and row["unit"].startswith("ns/") and row["allocator"] in ("octavo", "list"):
            groups.setdefault(row["metric"], {})[row["allocator"]] = float(row["figure"])
    bars(os.path.join(plots, "time.svg"), "Time, ns per call or pair (1 GiB of frames)", groups, ["octavo", "list"])
    worst = {}
    for row in rows:
        if row["gib"] == "1" and row["metric"] == "worst call, p99.9" and row["allocator"] != "nothing":
            worst.setdefault("worst call, p99.9, ns", {})[row["allocator"]] = float(row["figure"])
    bars(os.path.join(plots, "worst.svg"), "The slowest call in a thousand", worst, [w for w in COLOURS if any(w in v for v in worst.values())])


def misses(rows, plots):
    for column, name, title in ("d1_misses", "misses-d1", "First-level cache misses per call (32 KiB)"), \
                               ("ll_misses", "misses-ll", "Last-level cache misses per call (2 MiB)"), \
                               ("instructions", "instructions", "Instructions per call"):
        groups = {}
        for row in rows:
            groups.setdefault(row["workload"], {})[row["allocator"]] = max(int(row[column]), 0) / int(row["calls"])
        bars(os.path.join(plots, name + ".svg"), title, groups, ["octavo", "list"])


def facts(rows, plots):
    churn, touched = {}, {}
    for row in rows:
        if row["fact"] == "churn":
            churn.setdefault(row["allocator"], []).append((int(row["x"]), int(row["value"])))
        elif row["fact"] == "touched":
            label = {"huge": "frames written, 2 MiB blocks only", "singles": "frames written, single frames"}[row["x"]]
            touched.setdefault(label, {})[row["allocator"]] = int(row["value"])
        elif row["fact"] == "metadata":
            touched.setdefault("metadata, KiB for 1 GiB", {})[row["allocator"]] = int(row["value"]) / 1024
    lines(os.path.join(plots, "churn.svg"), "Half of 1 GiB live, a tenth of it replaced each round", "round",
          "2 MiB blocks wholly free (of 256 possible)", churn, 256)
    bars(os.path.join(plots, "memory.svg"), "Memory that managing 1 GiB takes and touches", touched, ["octavo", "list"])


def main():
    data = sys.argv[1] if len(sys.argv) > 1 else "build/bench"
    plots = sys.argv[2] if len(sys.argv) > 2 else "docs/plots"
    os.makedirs(plots, exist_ok=True)
    for name, draw in ("frames.csv", times), ("cachegrind.csv", misses), ("facts.csv", facts):
        path = os.path.join(data, name)
        if os.path.exists(path):
            draw(read(path), plots)
        else:
            print(f"plot.py: no {path}, its plots are not drawn", file=sys.stderr)


if __name__ == "__main__":
    main()
