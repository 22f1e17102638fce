# SPDX-License-Identifier: GPL-2.0-or-later
"""What the wire cases share: the register, and the world they run in.

A case is a function of the world.  It states what the standard prescribes, not
what this target does today; what the target does not do yet carries the reason
in pending=, is counted, and runs only with --pending."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from rawpdu import *  # noqa: E402,F403
from rawpdu import (NO_TAG, Closed, Connection, LoginResponse, NopIn, NopOut, Reject,  # noqa: E402
                    Url, WireError, login, login_request, reap)

CASES, PENDING = [], []


class Case:
    def __init__(self, run, clause, row, pending):
        self.run, self.clause, self.row, self.pending = run, clause, row, pending
        self.group = run.__module__.removeprefix("wire_")
        label = " ".join(_short(v) for v in row) if row else ""
        self.name = f"{self.group}.{run.__name__}" + (f"[{label}]" if label else "")


def _short(value):
    s = value if isinstance(value, str) else repr(value)
    return s if len(s) <= 40 else s[:37] + "..."


def case(clause, rows=None, pending=None):
    """Registers a function, once or for each row of its arguments."""
    def register(run):
        for row in rows if rows is not None else [()]:
            row = row if isinstance(row, tuple) else (row,)
            (PENDING if pending else CASES).append(Case(run, clause, row, pending))
        return run
    return register


def require(ok, what):
    if not ok:
        raise WireError(what)


class World:
    """The target under test, and what a case opened."""

    def __init__(self, url, ctl=None):
        self.url, self.ctl_path, self.open = Url(url), ctl, []

    def ctl(self, *args):
        return subprocess.run([self.ctl_path, *args], check=True, capture_output=True,
                              text=True, timeout=20).stdout

    def connect(self, **kw):
        c = Connection(self.url, **kw)
        self.open.append(c)
        return c

    def login(self, keys=None, drop=(), cmd_sn=1, **fields):
        """A session, its unit attentions still pending."""
        return login(self.url, keys, drop, conn=self.connect(cmd_sn=cmd_sn), **fields)

    def session(self, keys=None, **kw):
        s = self.login(keys, **kw)
        reap(s)
        return s

    def discovery(self, keys=None, **kw):
        return self.login({"SessionType": "Discovery", **(keys or {})}, drop=("TargetName",), **kw)

    def first_response(self, keys=None, drop=(), **fields):
        """The connection and the response to one login request."""
        c = self.connect()
        req = c.send(login_request(self.url, keys, drop, **fields))
        return c, req, c.expect(LoginResponse, itt=req.itt)

    def end_case(self):
        for c in self.open:
            c.close()
        self.open.clear()

    def alive(self):
        s = self.session()
        s.logout()


# ---- what many cases say

def class2(status):
    """initiator error: class 02h"""
    return status >> 8 == 2


def refused(c, status=class2):
    """A Login Response with that status, then the end of the connection (6.3)."""
    r = c.expect(LoginResponse, status=status, transit=0)
    c.expect_closed()
    return r


def refused_login(w, keys=None, status=class2, drop=(), **fields):
    c = w.connect()
    c.send(login_request(w.url, keys, drop, **fields))
    return refused(c, status)


def ping(c, data=b""):
    """A round trip; what was sent before has been dealt with."""
    p = c.send(NopOut(imm=1, data=data))
    return c.expect(NopIn, itt=p.itt, ttt=NO_TAG, data=data)


def rejected(c, p, reason=None):
    """The PDU is rejected (11.17): its header comes back, its CmdSN does not
    count as received, the connection lives."""
    c.send(p)
    want = {"reason": reason} if reason is not None else {}
    r = c.expect(Reject, itt=NO_TAG, data_len=lambda n: n >= 48, **want)
    require(r.data[:48] == p.encode()[:48], f"the Reject returns another header: {r.data.hex()}")
    if p.has("cmd_sn") and not p.imm:
        c.cmd_sn = p.cmd_sn
        require(ping(c).exp_cmd_sn == p.cmd_sn, "the CmdSN of a rejected PDU counts as received")
    else:
        ping(c)
    return r


def rejected_or_closed(c, p):
    """Some Reject, or the end of this connection: where the RFC leaves it open."""
    try:
        c.send(p)
        c.expect(Reject)
    except Closed:
        return
    try:
        ping(c)
    except Closed:
        pass


def answers_of(w, keys, **fields):
    """The answers to keys in one login, by name."""
    return w.login(keys, **fields).answers
