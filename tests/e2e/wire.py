#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the wire cases against a target: wire.py URL [--honest-url URL] [--ctl PATH]
[--pid PORTAL] [--pending] [--only TEXT] [--list].  Exit 0 if all passed.  Blocks
0 to 4095 of the LUN are written; the honest session has a LUN of its own, which
no case resets."""
import argparse
import os
import subprocess
import sys
import time

from wire_case import CASES, PENDING, WireError, World, login, read10, reap, write10

GROUPS = ("login", "keys", "data", "order", "tasks", "bad")
MEMORY_SLACK_KB = 8192  # what a heap may keep of the largest thing that went through


def honest(url):
    """A session that writes, reads and compares until its input ends; prints rounds."""
    import select
    s = login(url, {"MaxRecvDataSegmentLength": "65536"}, timeout=30)
    reap(s)
    rounds = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        data = bytes((rounds + i) & 0xFF for i in range(256)) * 128
        lba = rounds % 64 * 64
        s.scsi(write10(lba, 64), out=data).good()
        got = s.scsi(read10(lba, 64), edtl_in=len(data)).good().data
        if got != data:
            raise WireError(f"round {rounds}: what was read is not what was written")
        rounds += 1
        time.sleep(0.02)
    s.logout()
    print(rounds)


class Honest:
    """The honest session, a process of its own, as long as the cases run."""

    def __init__(self, url):
        self.url, self.rounds, self.rc, self.p = url, 0, None, None

    def __enter__(self):
        if self.url:
            me = [sys.executable, os.path.abspath(__file__), self.url, "--honest"]
            self.p = subprocess.Popen(me, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        return self

    def __exit__(self, *exc):
        if self.p:
            out, _ = self.p.communicate("\n", timeout=60)
            self.rc = self.p.returncode
            self.rounds = int(out) if self.rc == 0 and out.strip() else 0


def memory(pid):
    """{RSS, PSS in KiB} of the portal; PSS only where we may look."""
    out = {}
    for name, key in (("status", "VmRSS"), ("smaps_rollup", "Pss")):
        try:
            with open(f"/proc/{pid}/{name}") as f:
                out[key] = next(int(line.split()[1]) for line in f if line.startswith(key + ":"))
        except PermissionError:
            pass
    return out


def run(w, case, verbose):
    start = time.monotonic()
    try:
        case.run(w, *case.row)
        problem = None
    except WireError as e:
        problem = str(e)
    except Exception as e:  # a fault of the case is a failure as well
        problem = f"{type(e).__name__}: {e}"
        import traceback
        problem += "\n" + traceback.format_exc()
    w.end_case()
    took = time.monotonic() - start
    if problem:
        print(f"FAIL {case.name}: {case.clause}\n  " + problem.replace("\n", "\n  "))
    elif verbose or took > 5:
        print(f"ok   {case.name}: {case.clause} ({took:.2f} s)")
    sys.stdout.flush()
    return problem is None


def neighbours(w):
    """Other targets: 40 for everybody, one for nobody, one for a friend."""
    w.extra_targets, w.other_target, w.hidden_targets = 0, "iqn.2026-11.test:other0", []
    if not w.ctl_path:
        return
    w.extra_targets, w.hidden_targets = 40, ["iqn.2026-11.test:nobodys", "iqn.2026-11.test:friends"]
    for name in [f"iqn.2026-11.test:other{i}" for i in range(40)]:
        w.ctl("target", "create", name)
        w.ctl("access", "create", name, "--initiator", "ALL")
    for name in w.hidden_targets:
        w.ctl("target", "create", name)
    w.ctl("access", "create", w.hidden_targets[1], "--initiator", "iqn.2026-11.test:friend")


def settled(w):
    """One session of every size, then quiet: the state that memory is compared in."""
    s = w.session({"MaxRecvDataSegmentLength": "262144"})
    for _ in range(4):
        s.scsi(write10(0, 2048), out=bytes(1 << 20)).good()
        s.scsi(read10(0, 2048), edtl_in=1 << 20).good()
    s.logout()
    w.end_case()
    time.sleep(2.5)  # farewells last two seconds


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("url")
    ap.add_argument("--honest-url")
    ap.add_argument("--ctl")
    ap.add_argument("--pid", type=int)
    ap.add_argument("--pending", action="store_true")
    ap.add_argument("--only", default="")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("-v", "--verbose", action="store_true")
    ap.add_argument("--honest", action="store_true")
    ap.add_argument("--slack", type=int, default=MEMORY_SLACK_KB)
    args = ap.parse_args()
    if args.honest:
        return honest(args.url)
    for group in GROUPS:
        __import__(f"wire_{group}")
    cases = [c for c in (PENDING if args.pending else CASES) if args.only in c.name]
    if args.list:
        for c in cases:
            print(c.name, "-", c.clause, f"(pending: {c.pending})" if c.pending else "")
        return 0

    w = World(args.url, args.ctl)
    neighbours(w)
    import wire_bad
    if args.pid:
        settled(w)
    before = memory(args.pid) if args.pid else {}
    w.held = wire_bad.hold_half_open(w)
    with Honest(args.honest_url) as h:
        failed = [c for c in cases if not run(w, c, args.verbose)]
    if args.honest_url and h.rounds < 1:
        print(f"FAIL the honest session (exit {h.rc})")
        failed.append("honest")
    if args.pid:
        settled(w)
        after = memory(args.pid)
        for key, value in before.items():
            print(f"{key} of the portal: {value} KiB before, {after[key]} KiB after")
            if after[key] > value + args.slack:
                print(f"FAIL {key} grew by more than {args.slack} KiB")
                failed.append(key)
    reasons = {}
    for c in PENDING:
        reasons.setdefault(c.pending, []).append(c.name)
    if not args.pending:
        for reason, names in reasons.items():
            print(f"pending, {len(names)}: {reason}")
    passed = len(cases) - sum(f in cases for f in failed)
    print(f"wire: {passed} of {len(cases)} "
          f"cases passed, {len(PENDING)} pending; the honest session made {h.rounds} rounds")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WireError as e:
        sys.exit(f"FAIL before or after the cases: {e}")
