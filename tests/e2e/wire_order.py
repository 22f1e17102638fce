# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbering, NOP, Logout and Reject (RFC 7143 4.2.2, 11.14, 11.15, 11.17 .. 11.19)."""
from wire_case import *
from wire_case import case, ping, rejected, rejected_or_closed, require

WRAP = 1 << 32


def send_tur(s, sn, **fields):
    """TEST UNIT READY with this CmdSN, the connection's own numbering left alone."""
    return s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun, cmd_sn=sn % WRAP, **fields))


def good(s, *cmds):
    """Each of the commands ends GOOD, in this order."""
    for c in cmds:
        s.conn.expect(ScsiResponse, itt=c.itt, status=0)


# ---- CmdSN -------------------------------------------------------------------

@case("4.2.2.1")
def gap_is_waited_for(w):
    s = w.session()
    n = s.conn.cmd_sn
    late = [send_tur(s, n + i) for i in (2, 1, 3)]
    r = ping(s.conn)
    require(r.exp_cmd_sn == n, f"ExpCmdSN {r.exp_cmd_sn}, {n} is missing")
    first = send_tur(s, n)
    good(s, first, late[1], late[0], late[2])
    s.conn.cmd_sn = n + 4
    require(ping(s.conn).exp_cmd_sn == n + 4, "ExpCmdSN")


@case("4.2.2.1, SAM-5 8.6")
def delivered_in_order(w):
    """The READ came first, its number is the later: it reads what was written."""
    s = w.session({"ImmediateData": "Yes"})
    s.scsi(write10(8, 1), out=b"\0" * 512).good()
    n = s.conn.cmd_sn
    s.conn.send(ScsiCommand(cdb=read10(8, 1), read=1, edtl=512, lun=s.lun, cmd_sn=n + 1, attr=2,
                            itt=100))
    s.conn.send(ScsiCommand(cdb=write10(8, 1), write=1, edtl=512, lun=s.lun, cmd_sn=n, attr=2,
                            itt=101, data=b"\x5a" * 512))
    s.conn.expect(ScsiResponse, itt=101, status=0)
    s.conn.expect(DataIn, itt=100, s=1, data=b"\x5a" * 512)


@case("4.2.2.1", [(-1,), (-2,), (-100,), (-(1 << 31) + 1,)])
def below_window(w, off):
    """Silently ignored."""
    s = w.session()
    send_tur(s, s.conn.cmd_sn + off)
    ping(s.conn)
    s.conn.expect_silence(0.05)
    good(s, s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun)))


@case("4.2.2.1", [(1,), (2,), (1000,), (1 << 30,)])
def above_window(w, off):
    s = w.session()
    send_tur(s, ping(s.conn).max_cmd_sn + off)
    ping(s.conn)
    s.conn.expect_silence(0.05)
    good(s, s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun)))


@case("4.2.2.1")
def whole_window(w):
    """MaxCmdSN itself is inside: all of the window backwards."""
    s = w.session()
    n, top = s.conn.cmd_sn, ping(s.conn).max_cmd_sn
    require(top >= n, "no window")
    cmds = [send_tur(s, sn) for sn in range(top, n - 1, -1)]
    good(s, *reversed(cmds))


@case("4.2.2.1")
def number_twice(w):
    """The second one is ignored, whether its turn has come or not."""
    s = w.session()
    n = s.conn.cmd_sn
    ahead = send_tur(s, n + 1)
    send_tur(s, n + 1)
    first = send_tur(s, n)
    send_tur(s, n)
    good(s, first, ahead)
    ping(s.conn)
    s.conn.expect_silence(0.05)


@case("4.2.2.1", [(0xFFFFFFFD,), (0x7FFFFFFE,), (0xFFFFFFFF,), (0,)])
def numbers_wrap(w, start):
    s = w.session(cmd_sn=start)
    for _ in range(8):
        good(s, s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun)))
    n = s.conn.cmd_sn
    second = send_tur(s, n + 1)
    good(s, send_tur(s, n), second)


@case("4.2.2.1")
def immediate_command(w):
    """Carries the next CmdSN and does not use it up; waits for no gap."""
    s = w.session()
    n = s.conn.cmd_sn
    good(s, send_tur(s, n, imm=1))
    require(ping(s.conn).exp_cmd_sn == n, "an immediate command advanced ExpCmdSN")
    late = send_tur(s, n + 1)
    good(s, send_tur(s, n + 2, imm=1))
    good(s, send_tur(s, n), late)


@case("4.2.2.1", [("nop",), ("text",), ("tmf",)])
def others_wait_as_well(w, kind):
    """Not only SCSI commands are numbered."""
    s = w.session()
    n = s.conn.cmd_sn
    p = {"nop": NopOut(data=b"x"), "text": TextRequest(data=b"X-a=1\0"),
         "tmf": TmfRequest(function=1, lun=s.lun, ref_itt=0x777, ref_cmd_sn=n - 1)}[kind]
    p.cmd_sn = n + 1
    s.conn.send(p)
    require(ping(s.conn).exp_cmd_sn == n, "ExpCmdSN")
    first = send_tur(s, n)
    got = {s.conn.recv().itt, s.conn.recv().itt}
    require(got == {first.itt, p.itt}, f"answers to {got}")
    require(ping(s.conn).exp_cmd_sn == n + 2, "ExpCmdSN")


@case("4.2.2.1, 3.2.2.1")
def window_closes(w):
    """Writes that wait for data fill the window; what comes beyond is ignored."""
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes"})
    sent = []
    while True:
        r = drain(s)
        if (r.max_cmd_sn - r.exp_cmd_sn + 1) % WRAP == 0:
            break
        require(len(sent) < 5000, "the window never closes")
        for _ in range((r.max_cmd_sn - s.conn.cmd_sn + 1) % WRAP):
            sent.append(s.conn.send(ScsiCommand(cdb=write10(len(sent), 1), write=1, edtl=512,
                                                lun=s.lun)))
    beyond = send_tur(s, s.conn.cmd_sn)
    drain(s)
    require(beyond.itt not in {x.itt for x in drain.others}, "beyond the window and executed")
    s.conn.close()
    w.alive()


def drain(s):
    """Pings; takes what comes before the answer."""
    p = s.conn.send(NopOut(imm=1))
    drain.others = []
    while True:
        r = s.conn.expect((NopIn, R2T, ScsiResponse))
        if isinstance(r, NopIn):
            require(r.itt == p.itt, "tag")
            return r
        drain.others.append(r)


@case("11.17.1, 4.2.2.1")
def many_immediate(w):
    """Beyond the window: served, or rejected with 06h, or TASK SET FULL or BUSY."""
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes"})
    for i in range(200):
        s.conn.send(ScsiCommand(imm=1, cdb=write10(i, 1), write=1, edtl=512, lun=s.lun))
    seen = []
    while len(seen) < 200:
        p = s.conn.expect((R2T, Reject, ScsiResponse))
        require(not isinstance(p, Reject) or p.reason == 6, "reason")
        require(not isinstance(p, ScsiResponse) or p.status in (0x28, 0x08), "status")
        seen.append(p)
    ping(s.conn)


# ---- NOP ---------------------------------------------------------------------

@case("11.18, 11.19", [(n,) for n in (0, 1, 3, 4, 511, 512, 8192)])
def nop_echo(w, n):
    s = w.session({"MaxRecvDataSegmentLength": "65536"})
    stat_sn, sn = s.conn.exp_stat_sn, s.conn.cmd_sn
    data = bytes(i & 0xFF for i in range(n))
    p = s.conn.send(NopOut(data=data, lun=s.lun))
    s.conn.expect(NopIn, itt=p.itt, ttt=NO_TAG, data=data, stat_sn=stat_sn, exp_cmd_sn=sn + 1)


@case("11.19.3")
def nop_echo_is_cut(w):
    """To the initiator's MaxRecvDataSegmentLength."""
    s = w.session({"MaxRecvDataSegmentLength": "512"})
    ping_data = bytes(range(256)) * 8
    p = s.conn.send(NopOut(imm=1, data=ping_data))
    s.conn.expect(NopIn, itt=p.itt, data=ping_data[:512])


@case("11.18")
def nop_without_answer(w):
    """ITT FFFFFFFFh: no answer is wanted, none comes."""
    s = w.session()
    for _ in range(5):
        s.conn.send(NopOut(imm=1, itt=NO_TAG, data=b"nothing"))
    ping(s.conn)
    s.conn.expect_silence(0.05)


@case("11.18")
def nop_without_tag_not_immediate(w):
    s = w.session()
    rejected(s.conn, NopOut(itt=NO_TAG), {0x04, 0x09})


@case("11.18.2")
def nop_answers_no_ping(w):
    """A TTT that no ping of the target had: ignored or rejected."""
    s = w.session()
    s.conn.send(NopOut(imm=1, itt=NO_TAG, ttt=0x1234, lun=s.lun))
    s.conn.send(NopOut(imm=1, itt=77))
    while not isinstance(s.conn.expect((NopIn, Reject)), NopIn):
        pass


# ---- Logout ------------------------------------------------------------------

@case("11.14, 11.15", [(0, 0, 0), (0, 9, 0), (1, 0, 0), (1, 9, 1), (2, 0, 2), (2, 9, 2)])
def logout(w, reason, cid, response):
    """Closing session, this connection, another one, for recovery (level 0)."""
    s = w.session()
    p = s.conn.send(LogoutRequest(reason=reason, cid=cid))
    s.conn.expect(LogoutResponse, itt=p.itt, response=response)
    if response == 0:
        s.conn.expect_closed()
    else:
        ping(s.conn)
        s.scsi(read10(0, 1), edtl_in=512).good()


@case("11.14.1", [(3,), (64,), (127,)])
def logout_reason_reserved(w, reason):
    s = w.session()
    rejected(s.conn, LogoutRequest(reason=reason), {0x09, 0x04})


@case("11.14")
def logout_immediate(w):
    s = w.session()
    s.conn.send(LogoutRequest(imm=1, reason=0))
    s.conn.expect(LogoutResponse, response=0)
    s.conn.expect_closed()


@case("11.14")
def logout_with_writes_waiting(w):
    """They end with the session; nothing comes after the response."""
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes"})
    for i in range(4):
        s.conn.send(ScsiCommand(cdb=write10(i, 1), write=1, edtl=512, lun=s.lun))
        s.conn.expect(R2T)
    p = s.conn.send(LogoutRequest(reason=0))
    s.conn.send(DataOut(itt=1, data=b"x" * 512))
    s.conn.expect(LogoutResponse, itt=p.itt, response=0)
    s.conn.expect_closed()
    w.alive()


@case("11.14")
def logout_behind_commands(w):
    """A numbered Logout waits for the commands before it to be delivered."""
    s = w.session()
    n = s.conn.cmd_sn
    s.conn.send(LogoutRequest(reason=0, cmd_sn=n + 1))
    require(ping(s.conn).exp_cmd_sn == n, "ExpCmdSN")
    send_tur(s, n)
    s.conn.expect_closed(after=(ScsiResponse, LogoutResponse))


# ---- Reject ------------------------------------------------------------------

UNKNOWN = [op for op in range(0x40) if op not in (0, 1, 2, 3, 4, 5, 6, 0x10)]


@case("11.17.1", [(op,) for op in UNKNOWN if op < 0x20])
def unknown_opcode(w, op):
    """Command not supported."""
    s = w.session()
    p = Pdu(opcode=op, itt=5, imm=1, patch={1: 0x80})
    s.conn.send(p)
    r = s.conn.expect(Reject, reason=5, itt=NO_TAG)
    require(r.data[:48] == p.encode()[:48], "another header")
    ping(s.conn)


@case("11.17.1", [(op,) for op in UNKNOWN if op >= 0x20])
def opcode_of_a_target(w, op):
    s = w.session()
    s.conn.send(Pdu(opcode=op, itt=5, patch={1: 0x80}, data=b"x" * 100))
    s.conn.expect(Reject, reason={4, 5})
    ping(s.conn)


@case("11.16, 11.17.1", [(t,) for t in range(16)])
def snack(w, kind):
    """There is none at ErrorRecoveryLevel 0."""
    s = w.session()
    p = Snack(type=kind, itt=NO_TAG)
    s.conn.send(p)
    s.conn.expect(Reject, reason={3, 4, 5, 9})
    ping(s.conn)


@case("11.17.1", [("held",), ("waiting",)])
def task_tag_twice(w, where):
    """Task in progress; the first task is not hurt."""
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes"})
    n = s.conn.cmd_sn
    if where == "held":
        send_tur(s, n + 1, itt=500)
        rejected(s.conn, ScsiCommand(cdb=tur(), lun=s.lun, itt=500), 7)
        first = send_tur(s, n)
        s.conn.expect(ScsiResponse, itt=first.itt, status=0)
        s.conn.expect(ScsiResponse, itt=500, status=0)
        return
    cmd = s.conn.send(ScsiCommand(cdb=write10(0, 1), write=1, edtl=512, lun=s.lun))
    r = s.conn.expect(R2T)
    rejected(s.conn, ScsiCommand(cdb=tur(), lun=s.lun, itt=cmd.itt), 7)
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=b"w" * 512))
    s.conn.expect(ScsiResponse, itt=cmd.itt, status=0)


@case("11.3.1, 11.17.1", [(5,), (6,), (7,)])
def task_attribute_reserved(w, attr):
    """Invalid PDU field, or the command fails."""
    s = w.session()
    p = ScsiCommand(cdb=tur(), lun=s.lun, attr=attr)
    s.conn.send(p)
    r = s.conn.expect((Reject, ScsiResponse))
    require(isinstance(r, Reject) and r.reason == 9 or not isinstance(r, Reject) and r.status == 2,
            "accepted")
    if isinstance(r, Reject):
        s.conn.cmd_sn = p.cmd_sn
    good(s, s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun)))


@case("11.3.1", [(0,), (1,), (2,), (3,)])
def task_attributes(w, attr):
    s = w.session()
    good(s, *[s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun, attr=attr)) for _ in range(3)])


@case("11.2.1.8", [(1,), (2,), (6,)])
def reserved_task_tag(w, op):
    kinds = {1: ScsiCommand, 2: TmfRequest, 6: LogoutRequest}
    s = w.session()
    rejected(s.conn, kinds[op](itt=NO_TAG), {9, 4})


AHS_JUNK = [ahs(3, b"\0" * 5), ahs(0, b"\0" * 5), ahs(63, b"\xff" * 1017), ahs(1, b"", 0),
            ahs(2, b"\0" * 5), ahs(2, b"\0" * 9), ahs(1, b"\0" * 17, 2000), b"\xff" * 64,
            b"\0" * 4, ahs(1, b"\0" * 17) * 2, bidi_read_ahs(512) * 2]


@case("11.2.2", [(i,) for i in range(len(AHS_JUNK))])
def ahs_junk(w, i):
    """Rejected; the stream stays in step."""
    s = w.session()
    rejected(s.conn, ScsiCommand(cdb=tur(), lun=s.lun, ahs=AHS_JUNK[i]), {9, 4, 5})


@case("11.2.1.4", [(0,), (4,), (5,), (6,), (2,)])
def ahs_where_none_belongs(w, op):
    kinds = {0: NopOut, 2: TmfRequest, 4: TextRequest, 5: DataOut, 6: LogoutRequest}
    s = w.session()
    rejected_or_closed(s.conn, kinds[op](imm=1, ahs=extended_cdb_ahs(b"\0" * 16)))


@case("11.3.1, 11.3.4")
def command_flags(w):
    """No W, but data or no F: rejected or failed, and the session lives."""
    for fields in ({"final": 0}, {"read": 1, "edtl": 512, "data": b"x" * 512},
                   {"final": 0, "read": 1, "edtl": 512}, {"data": b"x" * 8}):
        s = w.session()
        p = s.conn.send(ScsiCommand(imm=1, cdb=read10(0, 1), lun=s.lun, **fields))
        while True:
            r = s.conn.expect((Reject, ScsiResponse, DataIn))
            if not isinstance(r, DataIn) or r.s:
                break
        ping(s.conn)


@case("11.17, 4.2.2.1")
def reject_leaves_the_number(w):
    """What was rejected counts as not received: its CmdSN is used again."""
    s = w.session()
    n = s.conn.cmd_sn
    rejected(s.conn, ScsiCommand(cdb=tur(), lun=s.lun, attr=7))
    require(s.conn.cmd_sn == n, "arithmetic")
    good(s, s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun)))
