#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Malformed iSCSI, before and after login (RFC 7143): each case may cost its
own connection and must leave the target alive.  strangers.py ADDR:PORT IQN"""
import random
import socket
import struct
import sys
import time

host, port = sys.argv[1].rsplit(":", 1)
iqn = sys.argv[2]
random.seed(3)


def connect():
    s = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def bhs(op, flags=0x80, data=b"", ahs=0, dlen=None, itt=1, lun=0, rest=b""):
    n = len(data) if dlen is None else dlen
    head = bytes([op, flags, 0, 0, ahs]) + n.to_bytes(3, "big") + lun.to_bytes(8, "big")
    head += struct.pack(">I", itt) + rest
    return head.ljust(48, b"\0") + data + b"\0" * (-len(data) % 4)


def recv_exact(s, n):
    out = b""
    while len(out) < n:
        part = s.recv(n - len(out))
        if not part:
            raise ConnectionError("closed")
        out += part
    return out


def recv_pdu(s):
    head = recv_exact(s, 48)
    dlen = int.from_bytes(head[5:8], "big")
    return head, recv_exact(s, head[4] * 4 + (dlen + 3 & ~3))[head[4] * 4:][:dlen]


def login_pdu(keys, isid, flags=0x87, vmax=0, vmin=0, tsih=0, cmdsn=1):
    text = b"".join(k.encode() + b"\0" for k in keys)
    p = bytearray(bhs(0x43, flags, text))
    p[2], p[3] = vmax, vmin
    p[8:14] = isid
    p[14:16] = tsih.to_bytes(2, "big")
    p[24:28] = cmdsn.to_bytes(4, "big")
    return bytes(p)


KEYS = ["InitiatorName=iqn.2026-11.test:stranger", f"TargetName={iqn}", "SessionType=Normal",
        "HeaderDigest=None", "DataDigest=None", "InitialR2T=Yes", "ImmediateData=Yes",
        "MaxBurstLength=262144", "FirstBurstLength=65536"]


def login():
    s = connect()
    s.sendall(login_pdu(KEYS, b"\x80" + random.randbytes(5)))
    head, _ = recv_pdu(s)
    assert head[0] == 0x23 and head[36] == 0, f"login refused {head[36]:02x}{head[37]:02x}"
    # Reap the power-on unit attention.
    cmd = bhs(0x01, 0x81, itt=2, rest=struct.pack(">III", 0, 1, 1) + bytes(16))
    s.sendall(cmd)
    recv_pdu(s)
    return s


def expect_login_status(keys, want, **kw):
    s = connect()
    s.sendall(login_pdu(keys, b"\x80" + random.randbytes(5), **kw))
    head, _ = recv_pdu(s)
    got = head[36] << 8 | head[37]
    assert head[0] == 0x23 and got == want, f"{keys[:2]} {kw}: status {got:04x}, expected {want:04x}"
    s.close()


def survive(name, payload, logged_in=False):
    """Sends, reads until close or silence; the target must still log us in."""
    s = login() if logged_in else connect()
    try:
        s.sendall(payload)
        s.settimeout(0.3)
        while s.recv(65536):
            pass
    except (socket.timeout, ConnectionError, OSError):
        pass
    s.close()
    try:
        login().close()
    except Exception as e:
        raise SystemExit(f"{name}: the target no longer logs in: {e}")


# Login statuses, RFC 7143 11.13.5.
expect_login_status(KEYS, 0x0000)
expect_login_status(KEYS[1:], 0x0207)
expect_login_status([KEYS[0], "SessionType=Normal"], 0x0207)
expect_login_status([KEYS[0], "TargetName=iqn.2026-11.test:nobody"], 0x0203)
expect_login_status(KEYS, 0x0205, vmin=1, vmax=1)
expect_login_status(KEYS, 0x020a, tsih=0x7777)
expect_login_status(KEYS[:3] + ["AuthMethod=CHAP"], 0x0201, flags=0x81)
expect_login_status(KEYS + ["HeaderDigest=None"], 0x0200)
expect_login_status(KEYS + ["MaxConnections=0"], 0x0200)

# Before login.
for op in range(256):
    survive(f"first PDU {op:02x}", bhs(op, rest=bytes(28))) if op % 16 == 0 or op < 0x48 else None
survive("random", random.randbytes(20000))
survive("zeros", bytes(4096))
survive("http", b"GET / HTTP/1.0\r\n\r\n" * 10)
survive("huge data segment", bhs(0x43, 0x87, dlen=0xffffff))
survive("AHS in login", bhs(0x43, 0x87, b"x" * 100, ahs=255))
survive("no NUL", bhs(0x43, 0x87, b"InitiatorName=" + b"a" * 8000))
survive("thousands of keys", bhs(0x43, 0x87, b"a=b\0" * 2000))
survive("endless C bit", b"".join(bhs(0x43, 0x47, b"X" * 4000) for _ in range(40)))
for cut in (1, 4, 47, 48, 60):
    survive(f"cut at {cut}", login_pdu(KEYS, b"\x80abcde")[:cut])

# After login.
sn = struct.pack(">III", 0, 2, 2)
survive("random after login", random.randbytes(20000), True)
for op in range(0x40):
    survive(f"opcode {op:02x}", bhs(op, 0x80, itt=9, rest=sn + bytes(16)), True)
survive("16 MiB - 1 of data", bhs(0x01, 0xa1, dlen=0xffffff, itt=9, rest=sn + b"\x2a".ljust(16, b"\0")), True)
survive("Data-Out for nothing", bhs(0x05, 0x80, b"y" * 512, itt=77, rest=struct.pack(">IIIIII", 5, 0, 2, 0, 0, 0)), True)
write = bhs(0x01, 0xa1, itt=9, rest=struct.pack(">III", 65536, 2, 2) + bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 128, 0]).ljust(16, b"\0"))
for name, ttt, datasn, off, data in (
        ("wrong TTT", 0x1234, 0, 0, b"z" * 512), ("offset beyond", 0xffffffff, 0, 0x7fffffff, b"z" * 512),
        ("offset wraps", 0xffffffff, 0, 0xfffffff0, b"z" * 512), ("DataSN", 0xffffffff, 99, 0, b"z" * 512),
        ("unsolicited though InitialR2T", 0xffffffff, 0, 0, b"z" * 4096)):
    out = bhs(0x05, 0x80, data, itt=9, rest=struct.pack(">IIIIII", ttt, 0, 2, 0, datasn, off))
    survive(f"Data-Out {name}", write + out, True)
survive("EDTL FFFFFFFFh", bhs(0x01, 0xc1, itt=9, rest=struct.pack(">III", 0xffffffff, 2, 2) + b"\x28".ljust(16, b"\0")), True)
survive("EDTL FFFFFFFFh write", bhs(0x01, 0xa1, itt=9, rest=struct.pack(">III", 0xffffffff, 2, 2) + b"\x2a".ljust(16, b"\0")), True)
survive("duplicate ITT", write + write, True)
survive("AHS junk", bhs(0x01, 0x81, b"\xff" * 64, ahs=16, itt=9, rest=sn + bytes(16)), True)
survive("behind a gap", b"".join(bhs(0x01, 0x81, itt=100 + i, rest=struct.pack(">III", 0, 1000 + i, 2) + bytes(16)) for i in range(3000)), True)
survive("pings never read", b"".join(bhs(0x40, 0x80, b"p" * 4096, itt=200 + i, rest=struct.pack(">III", 0xffffffff, 2, 2)) for i in range(500)), True)

held = []
for _ in range(200):  # idle and half-open connections
    s = connect()
    s.sendall(b"\x43\x87")
    held.append(s)
login().close()


def deaf():
    """A login that asks much and never reads the answers: (socket, what it still has to say)."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    s.connect((host.strip("[]"), int(port)))
    s.setblocking(False)
    isid = b"\x80" + random.randbytes(5)
    more = login_pdu([f"X-{i}=1" for i in range(400)], isid, flags=0x04)
    return s, memoryview(login_pdu(KEYS[:2], isid, flags=0x04) + 900 * more)


# Until the portal cannot send to any of them; then they are dropped like silent ones.
held = [deaf() for _ in range(64)]
last = time.monotonic()
while time.monotonic() < last + 0.3:
    for i, (s, rest) in enumerate(held):
        try:
            n = s.send(rest[:65536])
        except (BlockingIOError, ConnectionError):
            continue
        held[i] = s, rest[n:]
        last = time.monotonic() if n else last
begun = time.monotonic()
login().close()
assert time.monotonic() < begun + 5, "deaf logins keep an honest one waiting"
print("strangers: ok")
