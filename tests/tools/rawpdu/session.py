# SPDX-License-Identifier: GPL-2.0-or-later
"""Logging in with any keys through any stages, and whole SCSI commands that
hold the target to the rules of data transfer on the way."""
import os

from .conn import Closed, Connection, Mismatch, Timeout, Url, WireError, table
from .pdu import (NO_TAG, DataIn, DataOut, LoginRequest, LoginResponse, LogoutRequest,
                  LogoutResponse, R2T, ScsiCommand, ScsiResponse, pairs, text)

INITIATOR = "iqn.2026-11.test:rawpdu"

# Values where nothing is negotiated (RFC 7143 chapter 13).
DEFAULTS = {
    "HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "Yes", "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": 8192, "MaxBurstLength": 262144, "FirstBurstLength": 65536,
    "MaxOutstandingR2T": 1, "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": 0, "MaxConnections": 1, "DefaultTime2Wait": 2,
    "DefaultTime2Retain": 20,
}


def new_isid():
    return b"\x80" + os.urandom(5)  # 11.12.5: T = 10b, random


def lun_bytes(lun):
    """A LUN as the 64-bit field, peripheral or flat addressing (SAM-5 4.7)."""
    return lun << 48 if lun < 256 else (0x4000 | lun) << 48


# ---- CDBs

def tur():
    return bytes(6)


def inquiry(length=96, page=None):
    return bytes([0x12, page is not None, page or 0]) + length.to_bytes(2, "big") + b"\0"


def read10(lba, blocks):
    return b"\x28\0" + lba.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"


def write10(lba, blocks):
    return b"\x2a" + read10(lba, blocks)[1:]


def read16(lba, blocks):
    return b"\x88\0" + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + b"\0\0"


# ---- logging in

def login_request(url, keys=None, drop=(), **fields):
    """A whole login in one request: from the operational stage to full feature.
    `keys` is added to what names initiator and target; `drop` leaves keys out."""
    url = url if isinstance(url, Url) else Url(url)
    base = {"InitiatorName": INITIATOR, "TargetName": url.target, "SessionType": "Normal"}
    extra = list(keys.items()) if isinstance(keys, dict) else list(keys or [])
    names = {k[0] if isinstance(k, tuple) else k.partition("=")[0] for k in extra
             if not isinstance(k, bytes)}
    base = [(k, v) for k, v in base.items() if k not in names and k not in drop]
    fields = {"transit": 1, "csg": 1, "nsg": 3, "isid": new_isid(), "data": text(base + extra),
              **fields}
    return LoginRequest(**fields)


def collect_login(conn, rsp, request):
    """The answers of the response and of those that follow by its C bit."""
    data = bytes(rsp.data)
    while rsp.status == 0 and rsp.cont:
        conn.send(LoginRequest(transit=request.transit, csg=request.csg, nsg=request.nsg,
                               isid=request.isid, tsih=request.tsih, cid=request.cid,
                               itt=request.itt))
        rsp = conn.expect(LoginResponse, itt=request.itt)
        data += rsp.data
    return rsp, pairs(data)


def login(url, keys=None, drop=(), conn=None, timeout=10, cmd_sn=1, **fields):
    """A session in the full feature phase."""
    url = url if isinstance(url, Url) else Url(url)
    conn = conn or Connection(url, timeout=timeout, cmd_sn=cmd_sn)
    req = conn.send(login_request(url, keys, drop, **fields))
    rsp = conn.expect(LoginResponse, itt=req.itt, status=0)
    rsp, answers = collect_login(conn, rsp, req)
    if rsp.status or not rsp.transit or rsp.nsg != 3:
        raise Mismatch(f"the login did not reach full feature:\n{table(rsp)}")
    return Session(conn, req, rsp, answers)


class Session:
    def __init__(self, conn, req, rsp, answers):
        self.conn, self.isid, self.tsih, self.cid = conn, req.isid, rsp.tsih, req.cid
        self.answers = dict(answers)
        self.lun = lun_bytes(conn.url.lun)
        mine, theirs = dict(pairs(req.data)), dict(answers)
        self.params = dict(DEFAULTS)
        for key, default in DEFAULTS.items():
            value = theirs.get(key, default)
            if value in ("Irrelevant", "Reject", "NotUnderstood"):
                value = default
            self.params[key] = int(str(value), 0) if isinstance(default, int) else value
        self.params["FirstBurstLength"] = min(self.params["FirstBurstLength"],
                                              self.params["MaxBurstLength"])  # 13.14
        self.max_send = self.params["MaxRecvDataSegmentLength"]
        self.max_recv = int(mine.get("MaxRecvDataSegmentLength", "8192"), 0)
        conn.header_digest = self.params["HeaderDigest"] == "CRC32C"
        conn.data_digest = self.params["DataDigest"] == "CRC32C"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.conn.close()

    def logout(self):
        self.conn.send(LogoutRequest(reason=0, cid=self.cid))
        self.conn.expect(LogoutResponse, response=0)
        self.conn.expect_closed()

    # ---- whole commands

    def first_data(self, out):
        """(immediate bytes, bytes that follow unasked)"""
        if not out:
            return 0, 0
        first = min(len(out), self.params["FirstBurstLength"])
        imm = min(first, self.max_send) if self.params["ImmediateData"] == "Yes" else 0
        return imm, first - imm if self.params["InitialR2T"] == "No" else 0

    def scsi(self, cdb, out=b"", edtl_in=0, edtl=None, lun=None, **fields):
        """Runs one command to its end; `out` is all the data to write."""
        lun = self.lun if lun is None else lun
        imm, unsol = self.first_data(out)
        if edtl is None:
            edtl = len(out) or edtl_in
        fields = {"read": int(bool(edtl_in)), "write": int(bool(out)), "final": int(not unsol),
                  **fields}
        cmd = self.conn.send(ScsiCommand(cdb=cdb, edtl=edtl, lun=lun, data=out[:imm], **fields))
        self.data_out(cmd, out, imm, imm + unsol, NO_TAG)
        return self.finish(cmd, out, edtl, imm + unsol)

    def data_out(self, cmd, out, start, end, ttt, data_sn=0):
        """One sequence of Data-Out PDUs."""
        while start < end:
            n = min(self.max_send, end - start)
            self.conn.send(DataOut(itt=cmd.itt, ttt=ttt, lun=cmd.lun if ttt != NO_TAG else 0,
                                   data_sn=data_sn, offset=start, final=int(start + n == end),
                                   data=out[start:start + n]))
            start, data_sn = start + n, data_sn + 1

    def finish(self, cmd, out=b"", edtl=0, sent=0):
        """Takes part in the command's data transfer until its status."""
        r = Result(cmd, self, edtl, sent)
        while not r.done:
            p = self.conn.expect((R2T, DataIn, ScsiResponse), itt=cmd.itt)
            if isinstance(p, R2T):
                r.on_r2t(p)
                padded = out.ljust(p.offset + p.length, b"\0") if out else bytes(p.offset + p.length)
                self.data_out(cmd, padded, p.offset, p.offset + p.length, p.ttt)
                r.answered()
            elif isinstance(p, DataIn):
                r.on_data(p)
            else:
                r.on_response(p)
        return r


class Result:
    """What came of a command: status, sense, data, residuals; and the rules of
    Data-In (RFC 7143 11.7) and R2T (11.8) with everything in order."""

    def __init__(self, cmd, session, edtl, sent):
        self.cmd, self.par, self.max_recv = cmd, session.params, session.max_recv
        self.edtl, self.asked = edtl, sent
        self.data, self.data_sn, self.r2ts, self.open = b"", 0, [], 0
        self.data_ins = []
        self.burst = 0  # bytes of the present input sequence
        self.status = self.sense = None
        self.residual, self.over, self.under = 0, 0, 0
        self.done = False
        self.response = None

    def need(self, ok, what, p):
        if not ok:
            raise Mismatch(f"{p.NAME}: {what}\n{table(p)}")

    def on_r2t(self, p):
        self.need(p.lun == self.cmd.lun, "the LUN is not the command's (11.8.6)", p)
        self.need(p.ttt != NO_TAG, "TTT FFFFFFFFh is reserved (11.8.5)", p)
        self.need(p.r2t_sn == len(self.r2ts), f"R2TSN should be {len(self.r2ts)} (11.8.3)", p)
        self.need(p.offset == self.asked, f"offset should be {self.asked} (13.19)", p)
        self.need(0 < p.length <= self.par["MaxBurstLength"],
                  "more than MaxBurstLength (13.13), or nothing", p)
        self.need(p.offset + p.length <= self.edtl, "asks beyond the expected length", p)
        self.r2ts.append(p)
        self.asked += p.length
        self.open += 1
        self.need(self.open <= self.par["MaxOutstandingR2T"], "more than MaxOutstandingR2T", p)

    def answered(self):
        self.open -= 1

    def on_data(self, p):
        self.need(p.data_sn == self.data_sn, f"DataSN should be {self.data_sn} (11.7.5)", p)
        self.need(p.offset == len(self.data), f"offset should be {len(self.data)}", p)
        self.need(len(p.data) <= self.max_recv, "more than MaxRecvDataSegmentLength", p)
        self.need(not p.ack, "the A bit belongs to ErrorRecoveryLevel 1 and 2 (11.7.2)", p)
        self.need(p.ttt != NO_TAG or p.lun == 0 or p.lun == self.cmd.lun, "LUN", p)
        self.need(not p.s or p.final, "S without F (11.7.1)", p)
        self.data_sn += 1
        self.data += bytes(p.data)
        self.data_ins.append(p)
        self.burst += len(p.data)
        self.need(self.burst <= self.par["MaxBurstLength"],
                  "a sequence of more than MaxBurstLength (13.13)", p)
        self.need(len(self.data) <= self.edtl, "beyond the expected length", p)
        if p.final:
            self.burst = 0
        if p.s:
            self.finished(p)

    def on_response(self, p):
        if p.response == 0 and self.data_ins:
            self.need(self.data_ins[-1].final, "the last Data-In had no F (11.7.1)",
                      self.data_ins[-1])
        self.response = p
        self.need(p.response != 0 or p.exp_data_sn in (0, self.data_sn + len(self.r2ts)),
                  f"ExpDataSN should be {self.data_sn + len(self.r2ts)} (11.4.8)", p)
        self.sense = p.sense
        self.finished(p)

    def finished(self, p):
        self.need(not (p.over and p.under), "overflow and underflow at once (11.4.1)", p)
        self.need(p.over or p.under or not p.residual, "a residual without O or U", p)
        self.status, self.residual, self.over, self.under = p.status, p.residual, p.over, p.under
        self.last = p
        self.done = True

    def good(self):
        if self.status != 0:
            raise WireError(f"status {self.status:#x}, sense {self.sense}, expected GOOD")
        return self

    def check(self, key, asc=None):
        """CHECK CONDITION with this sense key and ASC/ASCQ."""
        want = (key, asc if asc is not None else (self.sense or (0, 0))[1])
        if self.status != 2 or self.sense != want:
            raise WireError(f"status {self.status:#x}, sense {hexed(self.sense)}, expected CHECK "
                            f"CONDITION {hexed(want)}")
        return self

    def residuals(self):
        """signed: > 0 overflow, < 0 underflow"""
        return self.residual if self.over else -self.residual if self.under else 0


def hexed(sense):
    return f"{sense[0]:x}h/{sense[1]:04x}h" if sense else "none"


def reap(session, tries=8):
    """Takes the unit attentions of a fresh nexus; returns their ASC/ASCQ."""
    out = []
    for _ in range(tries):
        r = session.scsi(tur())
        if r.status == 0:
            return out
        if r.status != 2 or not r.sense or r.sense[0] != 6:
            raise WireError(f"TEST UNIT READY: status {r.status:#x}, sense {hexed(r.sense)}")
        out.append(r.sense[1])
    raise WireError(f"unit attentions without end: {out}")
