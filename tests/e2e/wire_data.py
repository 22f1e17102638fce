# SPDX-License-Identifier: GPL-2.0-or-later
"""Data transfer and residuals (RFC 7143 4.2.4, 11.3, 11.4, 11.7, 11.8, 13.10 ..)."""
from wire_case import *
from wire_case import case, ping, rejected_or_closed, require

ABORTED = 0x0B
UNEXPECTED, AMOUNT = 0x0C0C, 0x0C0D  # unsolicited data, amount of data: 11.4.7.2
LBA = 1024


def pattern(n, seed=1):
    return bytes((i * 7 + i // 512 + seed) & 0xFF for i in range(n))


def session(w, imm="Yes", r2t="Yes", first=8192, burst=65536, k=1, **more):
    want = {"ImmediateData": imm, "InitialR2T": r2t, "FirstBurstLength": str(first),
            "MaxBurstLength": str(burst), "MaxOutstandingR2T": str(k)}
    s = w.session({**want, **more})
    require({x: str(s.params[x]) for x in want} == want, f"negotiated {s.params}")
    return s


def start_write(s, total, imm=b"", **fields):
    return s.conn.send(ScsiCommand(cdb=write10(LBA, (total + 511) // 512), write=1, edtl=total,
                                   lun=s.lun, data=imm, **fields))


def pieces(s, cmd, data, start, end, ttt=NO_TAG, step=1001):
    """A sequence of Data-Out PDUs of `step` bytes: padding in nearly each."""
    sn = 0
    while start < end:
        n = min(step, end - start)
        s.conn.send(DataOut(itt=cmd.itt, ttt=ttt, lun=0 if ttt == NO_TAG else cmd.lun, data_sn=sn,
                            offset=start, final=int(start + n == end), data=data[start:start + n]))
        start, sn = start + n, sn + 1


def verify(s, data, lba=LBA):
    got = s.scsi(read10(lba, (len(data) + 511) // 512), edtl_in=len(data) + -len(data) % 512).good()
    require(got.data[:len(data)] == data, "what was read is not what was written")


# ---- writes ----------------------------------------------------------------

SIZES = [  # FirstBurstLength, MaxBurstLength, MaxOutstandingR2T, bytes
    (512, 512, 1, 512), (512, 512, 1, 4096), (512, 512, 4, 4096), (4096, 8192, 1, 65536),
    (4096, 8192, 3, 65536), (8192, 8192, 8, 8192), (8192, 8192, 8, 7680), (8192, 8192, 8, 8704),
    (8192, 65536, 2, 73728), (1000, 1500, 2, 8192), (65536, 262144, 8, 1 << 20),
]


@case("11.8, 13.10, 13.11, 13.13, 13.14, 13.17",
      [(i, r, *row) for i in ("Yes", "No") for r in ("Yes", "No") for row in SIZES])
def write(w, imm, r2t, first, burst, k, total):
    """Each byte by the way that was negotiated; R2Ts exactly for the rest, in
    order, as large as may be, and so many at a time as was agreed."""
    s = session(w, imm, r2t, first, burst, k)
    data = pattern(total, first)
    limit = min(first, total)
    now = min(limit, s.max_send, 300 if r2t == "No" else limit) if imm == "Yes" else 0
    unasked = limit - now if r2t == "No" else 0
    cmd = start_write(s, total, data[:now], final=int(not unasked))
    pieces(s, cmd, data, now, now + unasked)
    have = now + unasked
    ranges = [(o, min(burst, total - o)) for o in range(have, total, burst)]
    step = 1001 if total < 100000 else 65535
    came = []
    stat_sn = s.conn.exp_stat_sn
    for done in range(len(ranges)):
        while len(came) < min(done + k, len(ranges)):
            offset, length = ranges[len(came)]
            came.append(s.conn.expect(R2T, itt=cmd.itt, lun=cmd.lun, r2t_sn=len(came),
                                      offset=offset, length=length, stat_sn=stat_sn,
                                      ttt=lambda t: t != NO_TAG))
        if done == 0:
            require(len({r.ttt for r in came}) == len(came), "two R2Ts with one TTT")
            if len(came) < len(ranges):
                s.conn.expect_silence(0.02)
        offset, length = ranges[done]
        pieces(s, cmd, data, offset, offset + length, came[done].ttt, step)
    s.conn.expect(ScsiResponse, itt=cmd.itt, response=0, status=0, exp_data_sn=len(ranges), over=0,
                  under=0, residual=0, bidi_residual=0, stat_sn=stat_sn, data=b"")
    verify(s, data)


@case("11.3, 11.7", [(1,), (7,), (49,), (1000,)])
def write_in_segments(w, size):
    """TCP may cut a stream of PDUs anywhere."""
    s = session(w, "Yes", "No", 2048, 65536)
    data = pattern(2560, size)
    cmd = ScsiCommand(cdb=write10(LBA, 5), write=1, edtl=2560, lun=s.lun, final=0, data=data[:513])
    itt = cmd.itt = s.conn.tag()
    s.conn.send(cmd, DataOut(itt=itt, offset=513, final=0, data=data[513:1026]),
                DataOut(itt=itt, offset=1026, data_sn=1, data=data[1026:2048]), segments=size)
    r = s.conn.expect(R2T, itt=itt, offset=2048, length=512)
    s.conn.send(DataOut(itt=itt, ttt=r.ttt, lun=cmd.lun, offset=2048, data=data[2048:]),
                segments=size)
    s.conn.expect(ScsiResponse, itt=itt, status=0, exp_data_sn=1)
    verify(s, data)


@case("4.2.4.2")
def writes_interleaved(w):
    """The data of several commands, mixed on the connection."""
    s = session(w, "No", "Yes", 8192, 8192)
    datas = [pattern(16384, n) for n in range(8)]
    cmds = [s.conn.send(ScsiCommand(cdb=write10(LBA + n * 32, 32), write=1, edtl=16384, lun=s.lun))
            for n in range(8)]
    left = {c.itt: (c, datas[n]) for n, c in enumerate(cmds)}
    pending = []
    while left:
        p = s.conn.expect((R2T, ScsiResponse))
        if isinstance(p, ScsiResponse):
            require(p.status == 0, f"status {p.status}")
            left.pop(p.itt)
            continue
        pending.append(p)
        if len(pending) == len(left):  # two PDUs for each, in turn
            for half in (0, 4096):
                for r in pending:
                    cmd, data = left[r.itt]
                    at = r.offset + half
                    s.conn.send(DataOut(itt=r.itt, ttt=r.ttt, lun=cmd.lun, data_sn=half // 4096,
                                        offset=at, final=half // 4096, data=data[at:at + 4096]))
            pending = []
    for n, data in enumerate(datas):
        verify(s, data, LBA + n * 32)


# ---- data that was not agreed on --------------------------------------------

def failed(s, cmd, *asc):
    """CHECK CONDITION, ABORTED COMMAND, one of these; then the session goes on."""
    while True:  # R2Ts that crossed
        p = s.conn.expect((ScsiResponse, R2T), itt=cmd.itt)
        if isinstance(p, ScsiResponse):
            break
    require(p.status == 2 and p.sense and p.sense[0] == ABORTED and (not asc or p.sense[1] in asc),
            f"status {p.status}, sense {p.sense}")
    s.scsi(read10(LBA, 1), edtl_in=512).good()


@case("11.4.7.2, 13.11")
def immediate_not_agreed(w):
    s = session(w, "No", "Yes")
    failed(s, start_write(s, 4096, pattern(512)), UNEXPECTED)


@case("11.4.7.2, 13.10")
def unsolicited_not_agreed(w):
    """F=0 with InitialR2T=Yes: data would follow unasked."""
    s = session(w, "No", "Yes")
    cmd = start_write(s, 4096, final=0)
    pieces(s, cmd, pattern(4096), 0, 4096)
    failed(s, cmd, UNEXPECTED)


@case("11.4.7.2")
def unsolicited_beside_r2t(w):
    s = session(w, "No", "Yes")
    cmd = start_write(s, 4096)
    s.conn.expect(R2T, itt=cmd.itt)
    pieces(s, cmd, pattern(4096), 0, 4096, NO_TAG, 4096)
    failed(s, cmd, UNEXPECTED)


@case("11.4.7.2, 13.14")
def immediate_beyond_first_burst(w):
    s = session(w, first=512)
    failed(s, start_write(s, 4096, pattern(1024)), AMOUNT)


@case("11.4.7.2, 13.14")
def unsolicited_beyond_first_burst(w):
    s = session(w, "No", "No", 512)
    cmd = start_write(s, 4096, final=0)
    pieces(s, cmd, pattern(1024), 0, 1024, NO_TAG, 1024)
    failed(s, cmd, AMOUNT)


@case("11.4.7.2")
def unsolicited_short_of_first_burst(w):
    """More to write than FirstBurstLength, and F before it is reached."""
    s = session(w, "No", "No", 4096)
    cmd = start_write(s, 8192, final=0)
    pieces(s, cmd, pattern(8192), 0, 2048)
    failed(s, cmd, AMOUNT)


@case("11.4.7.2")
def data_beyond_r2t(w):
    s = session(w, "No", "Yes", 4096, 4096)
    cmd = start_write(s, 8192)
    r = s.conn.expect(R2T, length=4096)
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=pattern(8192)))
    failed(s, cmd, AMOUNT)


@case("11.4.7.2")
def data_short_of_r2t(w):
    s = session(w, "No", "Yes", 4096, 4096)
    cmd = start_write(s, 8192)
    r = s.conn.expect(R2T, length=4096)
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=pattern(2048)))
    failed(s, cmd, AMOUNT)


@case("11.3.4, 11.2.1.5")
def immediate_beyond_expected_length(w):
    s = session(w)
    p = ScsiCommand(cdb=write10(LBA, 1), write=1, edtl=512, lun=s.lun, data=pattern(1024))
    s.conn.send(p)
    r = s.conn.expect((Reject, ScsiResponse))
    require(isinstance(r, Reject) or r.status == 2, "accepted")


WRONG = [("ttt", 0x7777), ("ttt", 0), ("data_sn", 1), ("data_sn", 0xFFFFFFFF), ("offset", 512),
         ("offset", 4096), ("offset", 0x7FFFFFFF), ("offset", 0xFFFFFE00), ("offset", 1)]


@case("11.7.4, 11.7.5, 11.7.6, 7.9", WRONG)
def wrong_in_data_out(w, field, value):
    """An error of the sequence: the command does not end GOOD (a Reject, CHECK
    CONDITION or the end of the connection), nothing of it is written elsewhere."""
    s = session(w, "No", "Yes", 4096, 4096)
    guard = pattern(16384, 77)
    s.scsi(write10(LBA, 32), out=guard).good()
    cmd = s.conn.send(ScsiCommand(cdb=write10(LBA + 8, 8), write=1, edtl=4096, lun=s.lun))
    r = s.conn.expect(R2T, length=4096)
    if field == "ttt" and value == r.ttt:
        value += 1
    fields = {"ttt": r.ttt, "data_sn": 0, "offset": 0, field: value}
    s.conn.send(DataOut(itt=cmd.itt, lun=cmd.lun, data=pattern(4096, 5), **fields))
    try:
        p = s.conn.expect((Reject, ScsiResponse))
        require(isinstance(p, Reject) or p.status == 2, "the command ended GOOD")
    except Closed:
        pass
    got = w.session().scsi(read10(LBA, 32), edtl_in=16384).good().data
    require(got[:4096] == guard[:4096] and got[8192:] == guard[8192:], "written elsewhere")


@case("11.7")
def data_out_for_nothing(w):
    """Of a task that is not there: dropped or rejected; the session lives."""
    s = session(w)
    s.conn.send(DataOut(itt=0x4242, ttt=NO_TAG, data=pattern(512)))
    s.conn.send(DataOut(itt=0x4242, ttt=5, data=pattern(512)))
    s.conn.send(NopOut(imm=1, itt=9))
    for _ in range(3):
        if isinstance(s.conn.expect((Reject, NopIn)), NopIn):
            break
    s.scsi(write10(LBA, 1), out=pattern(512)).good()


@case("11.7")
def data_out_for_a_read(w):
    s = session(w)
    s.conn.send(ScsiCommand(cdb=read10(LBA, 64), read=1, edtl=32768, lun=s.lun, itt=50),
                DataOut(itt=50, ttt=NO_TAG, data=pattern(512)))
    ends = s.conn.expect((DataIn, ScsiResponse, Reject))
    while not (isinstance(ends, ScsiResponse) or (isinstance(ends, DataIn) and ends.s)):
        ends = s.conn.expect((DataIn, ScsiResponse, Reject))
    ping_or_more(s)


def ping_or_more(s):
    s.conn.send(NopOut(imm=1, itt=0x99))
    while not isinstance(s.conn.expect((NopIn, Reject)), NopIn):
        pass


# ---- reads -----------------------------------------------------------------

@case("11.7, 13.12, 13.13", [
    (512, 512, 1), (512, 512, 16), (512, 262144, 16), (8192, 512, 8), (1000, 1500, 16),
    (515, 1031, 8), (8192, 262144, 16), (8192, 8192, 33), (65536, 65536, 512),
    (262144, 16777215, 2048), (16777215, 16777215, 1024)])
def read(w, segment, burst, blocks):
    """DataSN, offsets, F at the end of each burst, S with the status; each PDU
    is held against the rules in rawpdu.Result."""
    s = w.session({"MaxRecvDataSegmentLength": str(segment), "MaxBurstLength": str(burst)})
    burst = s.params["MaxBurstLength"]
    data = pattern(blocks * 512, segment)
    s.scsi(write10(LBA, blocks), out=data).good()
    r = s.scsi(read10(LBA, blocks), edtl_in=len(data)).good()
    require(r.data == data and r.residuals() == 0, "data or residual")
    at = 0
    for p in r.data_ins:
        at += len(p.data)
        if at % burst == 0 or at == len(data):
            require(p.final, f"no F at {at}, the end of a burst of {burst} (11.7.1)")
    require(r.response is None or r.response.exp_data_sn == len(r.data_ins), "ExpDataSN")


@case("11.7.7", [(n,) for n in (1, 2, 3, 5, 6, 7, 35, 36)])
def read_is_padded(w, n):
    """To four bytes, with zeros; DataSegmentLength does not count them."""
    r = w.session().scsi(inquiry(n), edtl_in=n).good()
    require(len(r.data) == n and r.residuals() == 0, f"{len(r.data)} bytes, {r.residuals()}")


@case("SPC-4 6.4.1")
def nothing_to_read(w):
    r = w.session().scsi(inquiry(0), read=1).good()
    require(not r.data_ins and r.residuals() == 0, "data")


@case("4.2.2.1, 11.7")
def many_reads(w):
    """A window full of them; every answer to its own task."""
    s = w.session()
    s.scsi(write10(LBA, 256), out=pattern(131072)).good()
    cmds = {}
    for n in range(64):
        c = s.conn.send(ScsiCommand(cdb=read10(LBA + n, 4), read=1, edtl=2048, lun=s.lun))
        cmds[c.itt] = (n, b"")
    while cmds:
        p = s.conn.expect((DataIn, ScsiResponse))
        n, data = cmds[p.itt]
        data += p.data if isinstance(p, DataIn) else b""
        cmds[p.itt] = (n, data)
        if isinstance(p, ScsiResponse) or p.s:
            require(p.status == 0 and data == pattern(131072)[n * 512:n * 512 + 2048], f"read {n}")
            del cmds[p.itt]


@case("11.4.7")
def sense_data(w):
    """SenseLength, then the sense; beyond the end: 05h/2100h."""
    s = w.session()
    r = s.scsi(read10(0xFFFFFFF0, 1), edtl_in=512).check(5, 0x2100)
    n = int.from_bytes(r.response.data[:2], "big")
    require(18 <= n <= len(r.response.data) - 2, "SenseLength (11.4.7.1)")
    require(r.under and r.residual == 512, "nothing moved: underflow of all (11.4.5)")


# ---- residuals ---------------------------------------------------------------

MAX = 0xFFFFFFFF


def expected_residual(s, r, moved, edtl):
    require(r.status in (0, 2), f"status {r.status:#x}")
    ok = {moved - edtl} if r.status == 0 else {moved - edtl, -edtl}
    require(r.residuals() in ok, f"residual {r.residuals()}, should be {ok}")
    ping(s.conn)


@case("11.4.5", [(e,) for e in (0, 1, 511, 512, 513, 1023, 1024, 65536, MAX)])
def residual_read(w, edtl):
    s = w.session()
    s.scsi(write10(LBA, 1), out=pattern(512)).good()
    r = s.scsi(read10(LBA, 1), edtl=edtl, read=1)
    expected_residual(s, r, 512, edtl)
    require(r.status or r.data == pattern(512)[:min(edtl, 512)], "data")


@case("11.4.5")
def residual_read_without_r(w):
    """No R bit and expected length 0: nothing may move."""
    s = w.session()
    r = s.scsi(read10(LBA, 1), edtl=0, read=0)
    require(not r.data_ins, "data")
    expected_residual(s, r, 512, 0)


@case("11.4.5", [(e,) for e in (0, 1, 35, 95, 96, 97, 255, 4096, MAX)])
def residual_inquiry(w, edtl):
    s = w.session()
    whole = s.scsi(inquiry(96), edtl_in=96).good().data
    r = s.scsi(inquiry(96), edtl=edtl, read=1)
    expected_residual(s, r, len(whole), edtl)
    require(r.status or r.data == whole[:min(edtl, len(whole))], "data")


@case("11.4.5", [(e, rd, wr) for e in (0, 1, 512, 4096, MAX) for rd, wr in ((1, 0), (0, 1))])
def residual_without_data(w, edtl, rd, wr):
    """TEST UNIT READY moves nothing, whatever is expected."""
    s = w.session()
    r = s.scsi(tur(), edtl=edtl, read=rd, write=wr)
    require(not r.data_ins and not r.r2ts, "data")
    expected_residual(s, r, 0, edtl)


@case("11.4.5", [(e, i) for e in (0, 1, 511, 512, 513, 1024, 65536) for i in ("Yes", "No")])
def residual_write(w, edtl, imm):
    s = session(w, imm, "Yes")
    old = pattern(1536, 90)
    s.scsi(write10(LBA, 3), out=old).good()
    new = pattern(max(edtl, 512), 33)
    now = min(edtl, 8192) if imm == "Yes" else 0
    cmd = s.conn.send(ScsiCommand(cdb=write10(LBA + 1, 1), write=1, edtl=edtl, lun=s.lun,
                                  data=new[:now]))
    r = s.finish(cmd, new[:edtl], edtl, now)
    expected_residual(s, r, 512, edtl)
    require(all(x.offset + x.length <= max(512, now) for x in r.r2ts), "asks for too much")
    got = s.scsi(read10(LBA, 3), edtl_in=1536).good().data
    require(got[:512] == old[:512] and got[1024:] == old[1024:], "a neighbour was written")
    n = min(edtl, 512)
    mid = got[512:1024]
    require(mid == old[512:1024] or
            (mid[:n] == new[:n] and mid[n:] in (old[512 + n:1024], bytes(512 - n))),
            "the block holds neither the new nor the old bytes")
    require(r.status or edtl < 512 or mid == new[:512], "GOOD, and not written")


@case("11.4.5", [("Yes",), ("No",)])
def residual_write_max(w, imm):
    """EDTL FFFFFFFFh: what is needed is asked for, no more; it sizes nothing."""
    s = session(w, imm, "Yes")
    new = pattern(512, 44)
    cmd = s.conn.send(ScsiCommand(cdb=write10(LBA, 1), write=1, edtl=MAX, lun=s.lun,
                                  data=new if imm == "Yes" else b""))
    r = s.finish(cmd, new, MAX, 512 if imm == "Yes" else 0)
    expected_residual(s, r, 512, MAX)
    if r.status == 0:
        require(sum(x.length for x in r.r2ts) == (0 if imm == "Yes" else 512), "R2Ts")
        verify(s, new)


@case("11.4.5", [("read", 512), ("read", MAX), ("write", 512)])
def wrong_direction(w, which, edtl):
    """R with a WRITE, W with a READ: an end, and a session that lives."""
    s = session(w, "No", "Yes")
    cdb = read10(LBA, 1) if which == "write" else write10(LBA, 1)
    r = s.scsi(cdb, edtl=edtl, read=int(which == "read"), write=int(which == "write"))
    require(r.status in (0, 2), r.status)
    ping(s.conn)


@case("11.2.2.4, 11.3")
def bidirectional(w):
    """R and W need the length of the read in an AHS; no disk command is both."""
    s = session(w, "Yes", "Yes")
    rejected_or_closed(s.conn, ScsiCommand(cdb=write10(LBA, 1), read=1, write=1, edtl=512,
                                           lun=s.lun, data=pattern(512)))
    s = session(w, "Yes", "Yes")
    s.conn.send(ScsiCommand(cdb=write10(LBA, 1), read=1, write=1, edtl=512, lun=s.lun,
                            ahs=bidi_read_ahs(1024), data=pattern(512)))
    r = s.conn.expect(ScsiResponse)
    require(r.status == 2 or (r.bidi_under and r.bidi_residual == 1024), "BidiResidual (11.4.1)")
    ping(s.conn)


@case("11.2.2.3")
def extended_cdb(w):
    """A CDB of 32 bytes that no disk has: ILLEGAL REQUEST."""
    s = w.session()
    cdb = bytes([0x7F, 0, 0, 0, 0, 0, 0, 0x18, 0xFF, 0xEE]) + bytes(22)
    s.conn.send(ScsiCommand(cdb=cdb[:16], ahs=extended_cdb_ahs(cdb[16:]), lun=s.lun))
    r = s.conn.expect(ScsiResponse, status=2)
    require(r.sense[0] == 5, f"sense {r.sense}")


# ---- digests -----------------------------------------------------------------

def digest_session(w, header, data, **more):
    s = w.session({"HeaderDigest": header, "DataDigest": data, **more})
    require((s.params["HeaderDigest"], s.params["DataDigest"]) == (header, data), "not agreed")
    return s


BOTH = [("CRC32C", "None"), ("None", "CRC32C"), ("CRC32C", "CRC32C")]


@case("13.1", BOTH)
def digests(w, header, data):
    """On every kind of PDU that the target sends, with padding and without."""
    s = digest_session(w, header, data)
    out = pattern(65536 + 512)
    s.scsi(write10(LBA, 129), out=out).good()
    verify(s, out)
    require(len(s.scsi(inquiry(7), edtl_in=7).good().data) == 7, "a padded segment")
    s.scsi(read10(0xFFFFFFF0, 1), edtl_in=512).check(5, 0x2100)
    for n in (0, 1, 4, 511, 512):
        ping(s.conn, b"d" * n)
    s.conn.send(TextRequest(data=text({"X-a": "1"})))
    s.conn.expect(TextResponse, final=1, data=b"X-a=NotUnderstood\0")
    p = s.conn.send(Snack())
    s.conn.expect(Reject)
    s.conn.send(TmfRequest(imm=1, function=1, lun=s.lun, ref_itt=0x777, ref_cmd_sn=0))
    s.conn.expect(TmfResponse, response=1)
    s.logout()


@case("13.1, 11.8", [(h, d, i, r) for h, d in BOTH for i in ("Yes", "No") for r in ("Yes", "No")])
def digests_of_data_out(w, header, data, imm, r2t):
    """Immediate, unasked and asked for, in pieces that need padding."""
    s = digest_session(w, header, data, ImmediateData=imm, InitialR2T=r2t, FirstBurstLength="2048",
                       MaxBurstLength="4096")
    out = pattern(16384, 5)
    now = 301 if imm == "Yes" else 0
    if r2t == "Yes" and imm == "Yes":
        now = 2048
    end = 2048 if r2t == "No" else now
    cmd = start_write(s, len(out), out[:now], final=int(end == now))
    pieces(s, cmd, out, now, end)
    have = end
    while have < len(out):
        r = s.conn.expect(R2T, itt=cmd.itt, offset=have)
        pieces(s, cmd, out, have, have + r.length, r.ttt)
        have += r.length
    s.conn.expect(ScsiResponse, itt=cmd.itt, status=0)
    verify(s, out)


@case("13.1, 11.2.2", BOTH)
def digest_covers_ahs(w, header, data):
    s = digest_session(w, header, data)
    cdb = bytes([0x7F, 0, 0, 0, 0, 0, 0, 0x18, 0xFF, 0xEE]) + bytes(22)
    s.conn.send(ScsiCommand(cdb=cdb[:16], ahs=extended_cdb_ahs(cdb[16:]), lun=s.lun))
    require(s.conn.expect(ScsiResponse, status=2).sense[0] == 5, "sense")
    ping(s.conn, b"still in step")


@case("13.1", BOTH)
def digests_in_segments(w, header, data):
    s = digest_session(w, header, data)
    s.conn.send(NopOut(imm=1, itt=70, data=b"one byte at a time"), NopOut(imm=1, itt=71),
                segments=1)
    s.conn.expect(NopIn, itt=70, data=b"one byte at a time")
    s.conn.expect(NopIn, itt=71)


@case("7.7")
def bad_header_digest(w):
    """Nothing of it can be trusted: the connection ends, not executed."""
    for p in (NopOut(imm=1), ScsiCommand(cdb=write10(LBA, 1), write=1, edtl=512, data=b"h" * 512)):
        s = digest_session(w, "CRC32C", "None")
        s.scsi(write10(LBA, 1), out=b"o" * 512).good()
        p.header_digest = "bad"
        s.conn.send(p)
        s.conn.expect_closed(after=(AsyncMessage,))
        verify(w.session(), b"o" * 512)


@case("7.8, 11.17.1")
def bad_digest_of_immediate_data(w):
    """Reject 02h; the command counts as not received, and may be sent again."""
    s = digest_session(w, "None", "CRC32C")
    s.scsi(write10(LBA, 1), out=b"o" * 512).good()
    cmd = s.conn.send(ScsiCommand(cdb=write10(LBA, 1), write=1, edtl=512, lun=s.lun,
                                  data=pattern(512), data_digest="bad"))
    s.conn.expect(Reject, reason=2)
    require(ping(s.conn).exp_cmd_sn == cmd.cmd_sn, "its CmdSN counts as received")
    again = ScsiCommand(cdb=write10(LBA, 1), write=1, edtl=512, lun=s.lun, data=pattern(512, 9),
                        itt=cmd.itt, cmd_sn=cmd.cmd_sn)
    s.conn.send(again)
    s.conn.expect(ScsiResponse, itt=cmd.itt, status=0)
    verify(s, pattern(512, 9))


@case("7.8, 11.4.7.2", [("solicited", 1), ("solicited", 2), ("unsolicited", 1), ("unsolicited", 2)])
def bad_digest_of_data_out(w, kind, bad):
    """Reject 02h; when all data has come the command ends with 0Bh/4705h."""
    s = digest_session(w, "None", "CRC32C", ImmediateData="No", FirstBurstLength="65536",
                       InitialR2T="Yes" if kind == "solicited" else "No")
    cmd = start_write(s, 1024, final=int(kind == "solicited"))
    ttt = s.conn.expect(R2T).ttt if kind == "solicited" else NO_TAG
    for i in (0, 1):
        s.conn.send(DataOut(itt=cmd.itt, ttt=ttt, lun=0 if ttt == NO_TAG else cmd.lun,
                            data=b"x" * 512, offset=i * 512, data_sn=i, final=i,
                            data_digest="bad" if i + 1 == bad else None))
    s.conn.expect(Reject, reason=2)
    p = s.conn.expect(ScsiResponse, itt=cmd.itt, status=2)
    require(p.sense == (ABORTED, 0x4705), p.sense)
    ping(s.conn)
    s.scsi(write10(LBA, 1), out=pattern(512)).good()


@case("7.8")
def bad_digest_of_others(w):
    """Text and NOP: Reject 02h, nothing else."""
    s = digest_session(w, "None", "CRC32C")
    for p in (NopOut(imm=1, data=b"x" * 9), TextRequest(imm=1, data=text({"X-a": "1"}))):
        p.data_digest = "bad"
        s.conn.send(p)
        s.conn.expect(Reject, reason=2)
        ping(s.conn)
    s.conn.expect_silence(0.05)
