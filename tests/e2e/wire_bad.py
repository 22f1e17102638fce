# SPDX-License-Identifier: GPL-2.0-or-later
"""What strangers and broken initiators send: at most that connection ends,
everybody else is served, memory stays flat (measured by wire.py)."""
import random
import resource
import socket
import time

from wire_case import *
from wire_case import case, ping, refused, rejected_or_closed, require

LOGIN_LIMIT = 30  # s: a login takes no longer, or ends


def drop(w, stream, logged_in=False):
    """Sends bytes, reads until silence or the end, closes; then the target lives."""
    c = w.session().conn if logged_in else w.connect()
    try:
        c.send_raw(stream)
        c.sock.settimeout(0.05)
        while c.sock.recv(65536):
            pass
    except (WireError, OSError):
        pass
    c.close()
    w.alive()


# ---- before login --------------------------------------------------------------

@case("survival", [(n, seed) for seed in range(4) for n in (1, 47, 48, 49, 4096, 100000)])
def random_bytes(w, n, seed):
    drop(w, random.Random(seed).randbytes(n))


@case("survival", [b"\0" * 4096, b"\xff" * 4096, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4,
                   b"\x16\x03\x01\x02\x00\x01" + b"\0" * 600, b"\x43" * 96])
def not_iscsi(w, stream):
    drop(w, stream)


@case("6.3")
def command_before_login(w):
    """Each opcode with flags and data; one connection each."""
    for op in range(64):
        if op != 3:
            c = w.connect()
            try:
                c.send(Pdu(opcode=op, itt=1, patch={1: 0xFF}, data=b"x" * 512))
                c.expect_closed()
            except Closed:
                pass
            c.close()
    w.alive()


@case("survival", [(0xFFFFFF, 0), (0xFFFFFF, 255), (8196, 0), (0, 255)])
def login_lengths(w, data_len, ahs_words):
    p = login_request(w.url, data_len=data_len, ahs_len=ahs_words)
    drop(w, p.encode())


@case("6.1, 6.2")
def login_text_without_end(w):
    """C=1 for ever: refused long before a megabyte."""
    c = w.connect()
    p = login_request(w.url)
    try:
        for _ in range(150):
            c.send(LoginRequest(itt=5, isid=p.isid, csg=1, cont=1, data=b"X" * 8000))
            r = c.expect(LoginResponse, data=b"")
            if r.status:
                require(r.status >> 8 in (2, 3), f"{r.status:04x}")
                c.expect_closed()
                break
        else:
            require(False, "1.2 MB of one text were accepted")
    except Closed:
        pass
    w.alive()


@case("6.3")
def login_without_end(w):
    """T=0 for ever, in both stages."""
    c = w.connect()
    req = c.send(login_request(w.url, transit=0, nsg=0))
    c.expect(LoginResponse, status=0)
    try:
        for i in range(5000):
            c.send(LoginRequest(itt=req.itt, isid=req.isid, csg=1))
            r = c.expect(LoginResponse)
            if r.status:
                return
    except Closed:
        return
    require(False, "5,000 rounds of one login")


@case("6.1", [b"a=b\0" * 2000, b"X-a=1\0" * 1300, b"=\0" * 4000, b"\0" * 8192,
              b"InitiatorName=" + b"a" * 8000, b"X" * 8192])
def login_text_junk(w, data):
    drop(w, LoginRequest(itt=1, transit=1, csg=1, nsg=3, isid=b"\x80abcde", data=data).encode())


@case("survival", [(n,) for n in (1, 4, 47, 48, 49, 100)])
def login_cut(w, n):
    """The connection ends in the middle of a PDU."""
    c = w.connect()
    c.send(login_request(w.url), cut=n)
    c.close()
    w.alive()


def hold_half_open(w):
    """Opened by wire.py before all else; looked at by half_open_ends."""
    held = []
    hello = login_request(w.url, transit=0, nsg=0).encode()
    for stream in (b"", hello[:1], hello[:24], hello[:48], hello[:-1], hello):
        c = Connection(w.url)
        c.send_raw(stream)
        held.append((stream, c))
    w.held_since = time.monotonic()
    w.idle = login(w.url)
    reap(w.idle)
    w.idle.conn.answer_pings = False
    return held


@case("E3")
def half_open_ends(w):
    """Silent, half a header, no data, one stage and no more: the timer ends it."""
    for stream, c in w.held:
        left = max(0.1, w.held_since + LOGIN_LIMIT - time.monotonic())
        c.expect_closed(timeout=left, after=(LoginResponse,))
        c.close()


@case("11.18, 11.19")
def idle_session_is_asked(w):
    """A ping with a tag of the target's, the next StatSN, which it does not use
    up; once answered, the session lives (pings.sh: without an answer it ends)."""
    c = w.idle.conn
    stat_sn = c.exp_stat_sn
    p = c.expect(NopIn, itt=NO_TAG, timeout=30, ttt=lambda t: t != NO_TAG, stat_sn=stat_sn,
                 exp_cmd_sn=c.cmd_sn)
    c.send(NopOut(imm=1, itt=NO_TAG, ttt=p.ttt, lun=p.lun))
    c.answer_pings = True
    require(ping(c).stat_sn == stat_sn, "StatSN")
    w.idle.logout()


@case("survival")
def half_open_by_the_thousand(w):
    """2,000 connections that send nothing or half a header; an honest login
    passes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = 2000 if hard == resource.RLIM_INFINITY or hard > 2300 else 800
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, n + 300), hard), hard))
    held = []
    for i in range(n):
        s = socket.create_connection((w.url.host, w.url.port), timeout=10)
        held.append(s)
        try:
            s.sendall(b"\x43\x87" * (i % 12))
        except OSError:
            pass
        if i % 500 == 499:
            w.alive()
    w.alive()
    for s in held:
        s.close()
    w.alive()


@case("survival")
def deaf_logins(w):
    """They never read our answers: no less to be dropped than silent ones."""
    p = login_request(w.url, transit=0, nsg=0)
    more = LoginRequest(itt=1, isid=p.isid, csg=1, data=text([(f"X-{i}", "1") for i in range(400)]))
    for _ in range(64):
        c = w.connect(rcvbuf=4096)
        c.sock.setblocking(False)
        try:
            c.sock.sendall(p.encode() + more.encode() * 400)
        except OSError:
            pass
    time.sleep(1)
    w.alive()


# ---- in the full feature phase ---------------------------------------------------

@case("survival", [(n, seed) for seed in range(4) for n in (48, 1000, 20000)])
def random_bytes_in_session(w, n, seed):
    drop(w, random.Random(100 + seed).randbytes(n), True)


@case("13.12", [(op,) for op in (0, 1, 2, 4, 5, 6, 16, 0x1C, 0x3F)])
def segment_of_16_mib(w, op):
    """Beyond what the target declared: rejected at once or closed, nothing is
    kept for it."""
    s = w.session()
    p = Pdu.KNOWN.get(op, Pdu)(opcode=op, itt=9, imm=1, data_len=0xFFFFFF, data=b"x" * 65536,
                               patch={1: 0xA0 if op == 1 else 0x80})
    try:
        s.conn.send(p)
        s.conn.expect_closed(after=(Reject,), timeout=5)
    except Closed:
        pass
    w.alive()


@case("13.12")
def segment_at_the_limit(w):
    """All of MaxRecvDataSegmentLength passes, a byte more does not."""
    s = w.session({"MaxRecvDataSegmentLength": "16777215"})
    ping(s.conn, b"p" * s.max_send)
    s.conn.send(NopOut(imm=1, data=b"p" * (s.max_send + 1)))
    s.conn.expect_closed(after=(Reject,))


@case("4.2.2.1")
def behind_a_gap(w):
    """10,000 commands ahead of a missing one: the window's worth is kept."""
    s = w.session({"ImmediateData": "Yes"})
    n = s.conn.cmd_sn
    for i in range(1, 10001):
        s.conn.send(ScsiCommand(cdb=write10(0, 1), write=1, edtl=512, lun=s.lun, itt=i + 1000,
                                cmd_sn=n + i, data=b"g" * 512))
    require(ping(s.conn).exp_cmd_sn == n, "ExpCmdSN")
    w.alive()


@case("4.2.2.1")
def data_behind_a_gap(w):
    """The same with as much immediate data as may be."""
    s = w.session({"ImmediateData": "Yes", "InitialR2T": "No", "FirstBurstLength": "262144"})
    size = min(s.params["FirstBurstLength"], s.max_send)
    n = s.conn.cmd_sn
    for i in range(1, 120):
        s.conn.send(ScsiCommand(cdb=write10(0, size // 512), write=1, edtl=size, lun=s.lun,
                                itt=i + 1000, cmd_sn=n + i, data=b"g" * size))
    ping(s.conn)
    s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun, cmd_sn=n))
    for _ in range(120):
        s.conn.expect(ScsiResponse, status={0, 0x28, 0x08})
    w.alive()


STARVED = "pool exhaustion belongs to issue 3: memory of a task that its initiator lets wait"


@case("survival", [("nop", 20000), ("text", 5000)])
def answers_never_read(w, kind, n):
    """The target stops reading rather than piling up answers."""
    never_read(w, kind, n)


@case("survival", [("read", 128)], pending=STARVED)
def reads_never_read(w, kind, n):
    """Their data waits in the pool; the others of that LUN are served."""
    never_read(w, kind, n)


def never_read(w, kind, n):
    keys = {"MaxRecvDataSegmentLength": "65536"}
    c = w.connect(rcvbuf=4096)
    s = login(w.url, keys, conn=c)
    reap(s)
    c.sock.settimeout(0.5)
    try:
        for i in range(n):
            p = {"nop": lambda: NopOut(imm=1, data=b"p" * 4096),
                 "read": lambda: ScsiCommand(cdb=read10(0, 2048), read=1, edtl=1 << 20, lun=s.lun),
                 "text": lambda: TextRequest(imm=1, data=b"X-a=1\0" * 600)}[kind]()
            c.sock.sendall(p.encode() if c.number(p) is None else b"")
    except OSError:
        pass
    for _ in range(8):  # on each thread of the portal
        w.alive()
    c.close()
    w.alive()


@case("11.4.5")
def expected_lengths_of_4_gib(w):
    """A window of them, reads and writes: they size nothing."""
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes"})
    cmds = {}
    for i in range(60):
        wr = i % 2
        c = s.conn.send(ScsiCommand(cdb=write10(i, 1) if wr else read10(i, 1), write=wr,
                                    read=1 - wr, edtl=0xFFFFFFFF, lun=s.lun))
        cmds[c.itt] = c
    while cmds:
        p = s.conn.expect((R2T, DataIn, ScsiResponse))
        if isinstance(p, R2T):
            require(p.length == 512, f"asks for {p.length} bytes, a block is written")
            s.conn.send(DataOut(itt=p.itt, ttt=p.ttt, lun=s.lun, data=b"4" * 512))
        elif isinstance(p, ScsiResponse) or p.s:
            require(p.status == 0 and p.under and p.residual == 0xFFFFFFFF - 512, "residual")
            del cmds[p.itt]
    w.alive()


@case("11.4.5, design.md 4", [(0xFFFFFFFF, 1), (1 << 20, 2048)],
      pending=STARVED)
def writes_that_starve_others(w, edtl, blocks):
    """A window of writes whose data never comes: other sessions of that LUN are
    served, or told TASK SET FULL or BUSY, soon."""
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes"})
    for i in range(100):
        s.conn.send(ScsiCommand(cdb=write10(0, blocks), write=1, edtl=edtl, lun=s.lun))
    ping_past(s)
    for _ in range(8):  # on each thread of the portal
        t = w.login()
        for _ in range(3):
            r = t.scsi(read10(0, 128), edtl_in=65536)
            require(r.status in (0, 2, 0x28, 0x08), f"status {r.status:#x}")


def ping_past(s):
    p = s.conn.send(NopOut(imm=1))
    while s.conn.expect((R2T, NopIn, ScsiResponse)).itt != p.itt:
        pass


@case("survival", [(where, n) for where in ("immediate", "solicited") for n in (47, 48, 60, 500)])
def cut_in_a_write(w, where, n):
    """The connection ends inside a PDU that brings data."""
    s = w.session({"ImmediateData": "Yes"})
    cmd = ScsiCommand(cdb=write10(0, 2), write=1, edtl=1024, lun=s.lun,
                      data=b"c" * 512 if where == "immediate" else b"")
    if where == "immediate":
        s.conn.send(cmd, cut=n)
    else:
        s.conn.send(cmd)
        r = s.conn.expect(R2T)
        s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=b"c" * 1024), cut=n)
    s.conn.close()
    w.alive()


@case("survival")
def every_flag(w):
    """All 256 values of byte 1 in SCSI Commands, Text and Login Requests."""
    for op in (0, 1, 2, 4, 5, 6, 16):
        s = w.session()
        for flags in range(256):
            if op == 6 and flags & 0x7F < 2:
                continue  # that would be a Logout
            p = Pdu.KNOWN[op](itt=1000 + flags, imm=1, lun=s.lun) if op != 6 else \
                LogoutRequest(itt=1000 + flags, imm=1)
            p.patch = {1: flags, 47: 0}
            try:
                s.conn.send(p)
            except Closed:
                break
        try:
            s.conn.send(NopOut(imm=1, itt=7))
            s.conn.answer_pings = False
            while s.conn.recv(2).itt != 7:
                pass
        except (Closed, Timeout):
            pass
        s.conn.close()
    w.alive()


@case("survival")
def lun_of_any_kind(w):
    """All addressing methods, well known and long LUNs: an answer each."""
    s = w.session()
    for lun in (0, 1 << 48, 0x4001 << 48, 0xC101 << 48, 0xFFFF << 48, (1 << 64) - 1, 1, 0x80 << 56,
                0x00FF << 48, 0xD2 << 56):
        p = s.conn.send(ScsiCommand(cdb=inquiry(), read=1, edtl=96, lun=lun))
        r = s.conn.expect((DataIn, ScsiResponse), itt=p.itt)
        if isinstance(r, DataIn) and not r.s:
            s.conn.expect(ScsiResponse, itt=p.itt)
        p = s.conn.send(ScsiCommand(cdb=tur(), lun=lun))
        s.conn.expect(ScsiResponse, itt=p.itt)
    w.alive()


@case("survival")
def every_opcode_of_a_cdb(w):
    """All 256, with a little data either way: an end each."""
    for rd, wr in ((1, 0), (0, 1), (0, 0)):
        s = w.session({"ImmediateData": "Yes"})
        for op in range(256):
            if op in (0x04, 0x41, 0x93, 0x48):  # FORMAT, WRITE SAME, SANITIZE: they do destroy
                continue
            r = s.scsi(bytes([op]) + bytes(15), edtl=512 * (rd | wr), read=rd, write=wr)
            require(r.status in (0, 2, 0x18), f"opcode {op:02x}: status {r.status:02x}")
    w.alive()


@case("survival")
def storm_of_sessions(w):
    """Login, command, drop, 200 times; some without waiting for anything."""
    for i in range(200):
        s = w.login()
        if i % 3:
            s.conn.send(ScsiCommand(cdb=read10(0, 2048), read=1, edtl=1 << 20, lun=s.lun))
            s.conn.send(ScsiCommand(cdb=write10(0, 128), write=1, edtl=65536, lun=s.lun))
        if i % 2:
            s.conn.send(TmfRequest(imm=1, function=5, lun=s.lun))
        s.conn.close()
    w.alive()
