# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection: sends PDUs whole, cut or in segments, and says what must
come back.  Numbers are automatic (ITT, CmdSN, ExpStatSN) unless given in the
PDU.  Everything that arrives is held against the rules that every PDU of a
target has to obey; everything that waits has a limit."""
import re
import socket
import time

from .crc32c import digest
from .pdu import BHS_LEN, NO_TAG, DataIn, LoginRequest, LoginResponse, NopIn, NopOut, Pdu, R2T


class WireError(AssertionError):
    """Something else came than what was expected."""


class Mismatch(WireError):
    pass


class Closed(WireError):
    pass


class Timeout(WireError):
    pass


class Url:
    """iscsi://[user@]host[:port]/target/lun; an IPv6 host stands in brackets."""

    def __init__(self, url):
        m = re.fullmatch(r"iscsi://(?:[^@/]*@)?(\[[^]]+\]|[^:/]+)(?::(\d+))?/([^/]+)(?:/(\d+))?",
                         url)
        if not m:
            raise ValueError(f"no iscsi://host[:port]/target/lun: {url}")
        self.host, self.port = m[1].strip("[]"), int(m[2] or 3260)
        self.target, self.lun = m[3], int(m[4] or 0)


def _sn_lt(a, b):
    return a != b and (b - a) % (1 << 32) < 1 << 31


class Connection:
    def __init__(self, url, timeout=10, cmd_sn=1, strict=True, rcvbuf=None, source=None):
        self.url = url if isinstance(url, Url) else Url(url)
        self.timeout, self.strict = timeout, strict
        self.cmd_sn, self.next_itt = cmd_sn, 1
        self.exp_stat_sn = None  # unknown until the first response
        self.exp_cmd_sn, self.max_cmd_sn = cmd_sn, None
        self.header_digest = self.data_digest = False
        self.answer_pings = True
        self.buf = b""
        self.last = []  # the latest PDUs, for failures
        family, kind, proto, _, addr = socket.getaddrinfo(
            self.url.host, self.url.port, type=socket.SOCK_STREAM)[0]
        self.sock = socket.socket(family, kind, proto)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:  # the address to come from
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout)
        self.sock.connect(addr)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- sending

    def tag(self):
        self.next_itt += 1
        return self.next_itt - 1

    def number(self, p):
        """Fills in the numbers that were not given; CmdSN goes on where it must."""
        if "itt" not in p.given:
            p.itt = self.tag()
        if p.has("cmd_sn") and "cmd_sn" not in p.given:
            p.cmd_sn = self.cmd_sn
            if not p.imm and not isinstance(p, LoginRequest):
                self.cmd_sn = (self.cmd_sn + 1) % (1 << 32)
        if p.has("exp_stat_sn") and "exp_stat_sn" not in p.given:
            p.exp_stat_sn = self.exp_stat_sn or 0

    def send(self, *pdus, segments=None, cut=None):
        """Sends PDUs in one stream.  `segments`: bytes a write, a number or a list;
        `cut`: only so many bytes of it.  Returns the last PDU, with its numbers."""
        stream = b""
        for p in pdus:
            self.number(p)
            self.note("->", p)
            stream += p.encode(self.header_digest, self.data_digest)
        self.send_raw(stream[:cut], segments)
        return pdus[-1]

    def send_raw(self, stream, segments=None):
        sizes = iter(segments if isinstance(segments, (list, tuple)) else ())
        step = segments if isinstance(segments, int) else len(stream)
        try:
            while stream:
                n = next(sizes, step)
                self.sock.sendall(stream[:n])
                stream = stream[n:]
        except socket.timeout:
            raise Timeout("the target does not read") from None
        except OSError as e:
            raise Closed(f"sending: {e}") from None

    # ---- receiving

    def note(self, way, p):
        self.last = self.last[-5:] + [(way, p)]

    def take(self, n, deadline):
        while len(self.buf) < n:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout("nothing came" if not self.buf else
                              f"only {len(self.buf)} of {n} bytes came: {self.buf.hex()}")
            self.sock.settimeout(left)
            try:
                part = self.sock.recv(max(65536, n - len(self.buf)))
            except socket.timeout:
                continue
            except OSError as e:
                raise Closed(f"the target reset the connection: {e}") from None
            if not part:
                raise Closed("the target closed the connection" +
                             (f" in the middle of a PDU: {self.buf.hex()}" if self.buf else ""))
            self.buf += part
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def recv(self, timeout=None):
        """The next PDU; pings of the target are answered on the way."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            p = self.recv_one(deadline)
            if not (self.answer_pings and isinstance(p, NopIn) and p.itt == NO_TAG):
                return p
            if p.ttt != NO_TAG:
                self.send(NopOut(imm=1, itt=NO_TAG, ttt=p.ttt, lun=p.lun))

    def recv_one(self, deadline):
        if len(self.buf) < BHS_LEN:  # a timeout here leaves the stream as it was
            self.buf = self.take(BHS_LEN, deadline) + self.buf
        head = self.take(BHS_LEN, deadline)
        ahs = self.take(head[4] * 4, deadline)
        if self.header_digest:
            self.check_digest("header", self.take(4, deadline), head + ahs)
        n = int.from_bytes(head[5:8], "big")
        body = self.take(n + -n % 4, deadline)
        if self.data_digest and n:
            self.check_digest("data", self.take(4, deadline), body)
        p = Pdu.decode(head, ahs, body[:n], body[n:])
        self.note("<-", p)
        if self.strict:
            self.check(p)
        self.learn(p)
        return p

    @staticmethod
    def check_digest(what, came, body):
        if came != digest(body):
            raise WireError(f"wrong {what} digest {came.hex()}, should be {digest(body).hex()}")

    def check(self, p):
        """What every PDU of a target must be (RFC 7143 11.2 and its own clause)."""
        bad = []
        if type(p) is Pdu or p.opcode < 0x20:
            bad.append("no target opcode")
        if p.reserved_bits():
            bad.append(f"reserved bits set in header bytes {p.reserved_bits()}")
        if any(p.pad):
            bad.append(f"padding is not zero: {p.pad.hex()}")
        if p.has("final") and not isinstance(p, DataIn) and not p.has("cont") and not p.final:
            bad.append("the first bit of byte 1 must be 1")
        if p.has("exp_cmd_sn") and self.max_cmd_sn is not None:
            if _sn_lt(p.exp_cmd_sn, self.exp_cmd_sn):
                bad.append(f"ExpCmdSN went back from {self.exp_cmd_sn:#x}")
            if _sn_lt(p.max_cmd_sn, self.max_cmd_sn):
                bad.append(f"MaxCmdSN went back from {self.max_cmd_sn:#x}")
        if p.has("max_cmd_sn") and _sn_lt(p.max_cmd_sn, (p.exp_cmd_sn - 1) % (1 << 32)) \
                and not self.refusal(p):
            bad.append("MaxCmdSN is less than ExpCmdSN - 1")
        if p.has("stat_sn") and self.exp_stat_sn is not None and self.carries_stat_sn(p) \
                and p.stat_sn != self.exp_stat_sn:
            bad.append(f"StatSN should be {self.exp_stat_sn:#x}")
        if isinstance(p, DataIn) and not p.s and (p.status or p.residual or p.over or p.under):
            bad.append("status or residual without the S bit")
        if bad:
            raise Mismatch(f"{p.NAME}: {'; '.join(bad)}\n{table(p)}")

    @staticmethod
    def refusal(p):
        """StatSN, ExpCmdSN and MaxCmdSN are not valid when the class is not 0 (11.13.4)."""
        return isinstance(p, LoginResponse) and p.status != 0

    @staticmethod
    def counts(p):
        """Does it advance StatSN?"""
        if isinstance(p, (R2T,)) or not p.has("stat_sn"):
            return False
        if isinstance(p, DataIn):
            return bool(p.s)
        return not (isinstance(p, NopIn) and p.itt == NO_TAG)

    def carries_stat_sn(self, p):
        return not self.refusal(p) and not (isinstance(p, DataIn) and not p.s)

    def learn(self, p):
        if not p.has("stat_sn") or self.refusal(p):
            return
        if self.counts(p):
            self.exp_stat_sn = (p.stat_sn + 1) % (1 << 32)
        self.exp_cmd_sn, self.max_cmd_sn = p.exp_cmd_sn, p.max_cmd_sn

    # ---- expecting

    def expect(self, kind, timeout=None, **want):
        """The next PDU must be a `kind` with these fields; data= and ahs= count as
        fields.  A wanted value is a value, a set or range, or a function."""
        try:
            p = self.recv(timeout)
        except (Closed, Timeout) as e:
            raise type(e)(f"expected {self.wanted(kind, want)}: {e}{self.story()}") from None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        bad = {n for n, w in want.items() if not (p.has(n) or n in ("data", "ahs"))
               or not matches(getattr(p, n), w)}
        if isinstance(p, kinds) and not bad:
            return p
        raise Mismatch(f"expected {self.wanted(kind, want)}, came {p.NAME}:\n"
                       + table(p, want, bad) + self.story())

    @staticmethod
    def wanted(kind, want):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(k.NAME for k in kinds)
        return names + (f" with {', '.join(want)}" if want else "")

    def story(self):
        lines = [f"\n    {way} {p!r}"[:300] for way, p in self.last]
        return "\n  the last PDUs, zeros left out:" + "".join(lines) if lines else ""

    def expect_silence(self, seconds=0.3):
        """Nothing at all may come."""
        try:
            p = self.recv(seconds)
        except Timeout:
            return
        raise Mismatch(f"expected silence, came {p.NAME}:\n{table(p)}{self.story()}")

    def expect_closed(self, timeout=None, after=()):
        """The target must close; PDUs of the kinds `after` may come before."""
        seen = []
        while True:
            try:
                p = self.recv(timeout)
            except Closed:
                return seen
            except Timeout:
                raise Timeout(f"the connection should be closed, it is open{self.story()}") from None
            if not isinstance(p, tuple(after)):
                raise Mismatch(f"expected the connection closed, came {p.NAME}:\n{table(p)}"
                               + self.story())
            seen.append(p)


def matches(value, want):
    if callable(want):
        return bool(want(value))
    if isinstance(want, (set, frozenset, range)):
        return value in want
    return want == value


def show_want(field, want):
    if callable(want):
        return getattr(want, "__doc__", None) or getattr(want, "__name__", "a condition")
    if isinstance(want, (set, frozenset)):
        return "one of " + ", ".join(show_want(field, w) for w in sorted(want))
    if isinstance(want, (bytes, bytearray)):
        from .pdu import show_data
        return show_data(want)
    return field.text(want) if field else str(want)


def table(p, want=None, bad=()):
    """All fields by name, and beside them what was wanted."""
    want, lines = dict(want or {}), []
    for name, value in p.rows():
        expected = ""
        if name in want:
            field = p.field(name) if p.has(name) else None
            expected = "expected " + show_want(field, want.pop(name))
        lines.append(f"  {'!' if name in bad else ' '} {name:<14} {value:<28} {expected}".rstrip())
    lines += [f"  ! {name:<14} {'(no such field)':<28} expected {w}" for name, w in want.items()
              if name not in ("data", "ahs")]
    return "\n".join(lines)
