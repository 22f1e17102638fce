#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of side-by-side.

table.py RESULTS: lines of TARGET:STORE, point and iscsi_load's JSON, with tabs
between.  Prints the medians, the spread of the IOPS, (max - min) / median, and the
ratio of tgt-ng to tgt.
"""
import json
import statistics
import sys

COLUMNS = [  # title, key, digits
    ("IOPS", "iops", 0), ("MB/s", "mb_per_s", 0), ("p50 us", "p50_us", 0), ("p99 us", "p99_us", 0),
    ("p99.9 us", "p999_us", 0), ("CPU us/IO", "target_us_per_io", 2),
    ("switches/IO", "switches_per_io", 2), ("generator us/IO", "generator_us_per_io", 2),
]


def size(n):
    return f"{n >> 10}K" if n >= 1024 else str(n)


def name(point):
    op, block, depth, sessions, pattern = point.split(":")
    return f"{op} {size(int(block))} {pattern}, {sessions} x QD{depth}"


def main():
    runs = {}
    for line in open(sys.argv[1], encoding="ascii"):
        key, point, text = line.split("\t")
        target, store = key.split(":")
        runs.setdefault((store, point), {}).setdefault(target, []).append(json.loads(text))

    rows = [["store", "load", "target"] + [c[0] for c in COLUMNS] + ["spread"]]
    for (store, point), by_target in runs.items():
        medians = {}
        for target, results in by_target.items():
            medians[target] = m = {c[1]: statistics.median(r[c[1]] for r in results) for c in COLUMNS}
            iops = [r["iops"] for r in results]
            spread = (max(iops) - min(iops)) / m["iops"] if m["iops"] else 0
            first = [store, name(point)] if len(medians) == 1 else ["", ""]
            rows.append(first + [target] + [f"{m[k]:.{d}f}" for _, k, d in COLUMNS] + [f"{spread:.0%}"])
        if len(medians) == 2:
            a, b = medians["tgt-ng"], medians["tgt"]
            rows.append(["", "", "ratio"] + [f"{a[k] / b[k]:.2f}" if b[k] else "-" for _, k, _ in COLUMNS] + [""])

    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for r in rows:
        print("  ".join(c.ljust(w) if i < 3 else c.rjust(w)
                        for i, (c, w) in enumerate(zip(r, widths))).rstrip())


main()
