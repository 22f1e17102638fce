# SPDX-License-Identifier: GPL-2.0-or-later
"""Task management (RFC 7143 11.5, 11.6, RFC 7144, SAM-5 7)."""
from wire_case import *
from wire_case import case, ping, rejected, require

ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, LUN_RESET, WARM, COLD, REASSIGN = range(1, 9)


def waiting_write(s, lba=0, blocks=8, **fields):
    """A write whose data has been asked for and does not come."""
    cmd = s.conn.send(ScsiCommand(cdb=write10(lba, blocks), write=1, edtl=blocks * 512, lun=s.lun,
                                  **fields))
    return cmd, s.conn.expect(R2T, itt=cmd.itt)


def session(w):
    return w.session({"ImmediateData": "No", "InitialR2T": "Yes"})


def tmf(s, function, response, **fields):
    fields = {"lun": s.lun, "imm": 1, **fields}
    p = s.conn.send(TmfRequest(function=function, **fields))
    return s.conn.expect(TmfResponse, itt=p.itt, response=response)


def abort(s, cmd, response=0, **fields):
    return tmf(s, ABORT_TASK, response, ref_itt=cmd.itt, ref_cmd_sn=cmd.cmd_sn, **fields)


@case("11.5.1, 11.6.1", [(1,), (0,)])
def abort_waiting_write(w, imm):
    """Function complete; no response of the task, its data is thrown away."""
    s = session(w)
    s.scsi(write10(0, 8), out=b"o" * 4096).good()
    cmd, r = waiting_write(s)
    abort(s, cmd, imm=imm)
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=b"n" * 4096))
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=b"n" * 4096))
    ping(s.conn)
    s.conn.expect_silence(0.1)
    require(s.scsi(read10(0, 8), edtl_in=4096).good().data == b"o" * 4096, "it was written")


@case("11.5.1")
def abort_with_half_of_the_data(w):
    s = session(w)
    s.scsi(write10(0, 8), out=b"o" * 4096).good()
    cmd, r = waiting_write(s)
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=b"n" * 2048, final=0))
    abort(s, cmd)
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, offset=2048, data_sn=1,
                        data=b"n" * 2048))
    ping(s.conn)
    s.conn.expect_silence(0.1)
    require(s.scsi(read10(0, 8), edtl_in=4096).good().data == b"o" * 4096, "it was written")


@case("11.5.1")
def abort_before_unsolicited_data(w):
    s = w.session({"ImmediateData": "No", "InitialR2T": "No", "FirstBurstLength": "65536"})
    cmd = s.conn.send(ScsiCommand(cdb=write10(0, 8), write=1, edtl=4096, final=0, lun=s.lun))
    abort(s, cmd)
    s.conn.send(DataOut(itt=cmd.itt, data=b"n" * 4096))
    ping(s.conn)
    s.conn.expect_silence(0.1)


@case("11.5.1")
def tag_is_free_after_abort(w):
    s = session(w)
    cmd, _ = waiting_write(s)
    abort(s, cmd)
    s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun, itt=cmd.itt))
    s.conn.expect(ScsiResponse, itt=cmd.itt, status=0)


@case("11.6.1 c")
def abort_finished_task(w):
    """Its CmdSN is outside the window: task does not exist."""
    s = session(w)
    cmd = s.scsi(tur()).good().cmd
    abort(s, cmd, 1)


@case("11.6.1 c")
def abort_unknown_task(w):
    s = session(w)
    tmf(s, ABORT_TASK, 1, ref_itt=0x7777, ref_cmd_sn=s.conn.cmd_sn + 5000)


@case("11.6.1 b")
def abort_task_that_never_came(w):
    """Its CmdSN is in the window and before the request's: it counts as
    received, the function is complete, and the task is ignored if it comes."""
    s = session(w)
    n = s.conn.cmd_sn
    tmf(s, ABORT_TASK, 0, ref_itt=0x7777, ref_cmd_sn=n, cmd_sn=n + 1)
    require(ping(s.conn).exp_cmd_sn == n + 1, "the aborted CmdSN is still waited for")
    s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun, cmd_sn=n, itt=0x7777))
    ping(s.conn)
    s.conn.expect_silence(0.05)
    s.conn.cmd_sn = n + 1
    s.scsi(tur()).good()


@case("11.6.1 a")
def abort_held_command(w):
    """It is here, but its turn has not come."""
    s = session(w)
    n = s.conn.cmd_sn
    cmd = s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun, cmd_sn=n + 1))
    abort(s, cmd, cmd_sn=n + 2)
    s.conn.cmd_sn = n
    s.scsi(tur()).good()
    require(ping(s.conn).exp_cmd_sn == n + 2, "the aborted CmdSN is waited for")
    s.conn.expect_silence(0.05)


@case("11.5.4, 11.6.1")
def abort_on_another_lun(w):
    """Not that LUN's task: it does not exist, and the task lives."""
    s = session(w)
    cmd, r = waiting_write(s)
    abort(s, cmd, {1, 2}, lun=lun_bytes(5))
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=b"n" * 4096))
    s.conn.expect(ScsiResponse, itt=cmd.itt, status=0)


@case("4.4.3.1")
def abort_of_another_session(w):
    """Tags are a session's own."""
    s, t = session(w), session(w)
    cmd, r = waiting_write(s)
    tmf(t, ABORT_TASK, 1, ref_itt=cmd.itt, ref_cmd_sn=t.conn.cmd_sn - 1)
    s.conn.send(DataOut(itt=cmd.itt, ttt=r.ttt, lun=cmd.lun, data=b"n" * 4096))
    s.conn.expect(ScsiResponse, itt=cmd.itt, status=0)


@case("11.5.1")
def abort_twice(w):
    s = session(w)
    cmd, _ = waiting_write(s)
    abort(s, cmd)
    abort(s, cmd, 1)


@case("11.5.1")
def abort_many(w):
    """Whatever of it was faster: each function is answered, each task at most once."""
    s = session(w)
    cmds = [s.conn.send(ScsiCommand(cdb=read10(i, 64), read=1, edtl=32768, lun=s.lun))
            for i in range(8)]
    tmfs = [s.conn.send(TmfRequest(imm=1, function=ABORT_TASK, lun=s.lun, ref_itt=c.itt,
                                   ref_cmd_sn=c.cmd_sn)) for c in cmds]
    ended, answered = set(), {}
    while len(answered) < len(tmfs):
        p = s.conn.expect((DataIn, ScsiResponse, TmfResponse))
        if isinstance(p, TmfResponse):
            answered[p.itt] = p.response
        elif isinstance(p, ScsiResponse) or p.s:
            require(p.itt not in ended, "two ends of one task")
            ended.add(p.itt)
    ping(s.conn)
    for c, t in zip(cmds, tmfs):
        require(answered[t.itt] == 0 or (answered[t.itt] == 1 and c.itt in ended),
                f"task {c.itt}: answer {answered[t.itt]}, ended: {c.itt in ended}")


@case("11.5.1, SAM-5 7.7, 6.3.3")
def lun_reset(w):
    """Ends the tasks of all nexuses without a response; each then gets 29h."""
    s, t = session(w), session(w)
    s.scsi(write10(0, 16), out=b"o" * 8192).good()
    mine, r1 = waiting_write(s, 0)
    other, r2 = waiting_write(t, 8)
    tmf(s, LUN_RESET, 0)
    s.conn.send(DataOut(itt=mine.itt, ttt=r1.ttt, lun=mine.lun, data=b"n" * 4096))
    t.conn.send(DataOut(itt=other.itt, ttt=r2.ttt, lun=other.lun, data=b"n" * 4096))
    for x in (s, t):
        ping(x.conn)
        x.conn.expect_silence(0.1)
        attentions = reap(x)
        require(any(a >> 8 == 0x29 for a in attentions), f"unit attentions {attentions}")
    require(s.scsi(read10(0, 16), edtl_in=8192).good().data == b"o" * 8192, "it was written")


@case("11.5.1, 4.2.2.1")
def lun_reset_in_order(w):
    """Not immediate: it ends the commands that precede it and none that follow."""
    s = session(w)
    cmd, _ = waiting_write(s)
    p = s.conn.send(TmfRequest(function=LUN_RESET, lun=s.lun))
    after = s.conn.send(ScsiCommand(cdb=tur(), lun=s.lun))
    got = {}
    for _ in range(2):
        r = s.conn.expect((TmfResponse, ScsiResponse), itt={p.itt, after.itt})
        got[r.itt] = r
    require(set(got) == {p.itt, after.itt} and got[p.itt].response == 0, "two answers")
    r = got[after.itt]
    require(r.status == 2 and r.sense[0] == 6 and r.sense[1] >> 8 == 0x29, f"sense {r.sense}")


@case("11.6.1", [(7,), (255,), (300,)])
def lun_reset_of_no_lun(w, lun):
    s = session(w)
    tmf(s, LUN_RESET, 2, lun=lun_bytes(lun))
    s.scsi(tur()).good()


FUNCTIONS = [(2, {0}), (3, {5}), (4, {0}), (6, {0, 5}), (8, {4}), (9, {5}),
             (10, {5}), (11, {5}), (12, {5})]


@case("11.5.1, 11.6.1, RFC 7144 4", FUNCTIONS)
def other_functions(w, function, ok):
    """Answered; those of RFC 7144 only where iSCSIProtocolLevel 2 was agreed."""
    s = session(w)
    tmf(s, function, ok)
    reap(s)
    s.scsi(read10(0, 1), edtl_in=512).good()


@case("11.5.1", [(0,), (13,), (64,), (127,)])
def reserved_functions(w, function):
    s = session(w)
    p = s.conn.send(TmfRequest(imm=1, function=function, lun=s.lun))
    r = s.conn.expect((TmfResponse, Reject))
    require(isinstance(r, Reject) or r.itt == p.itt and r.response in (5, 255), "performed")
    s.scsi(tur()).good()


@case("11.17.1")
def tag_in_use(w):
    """Task in progress."""
    s = session(w)
    cmd, _ = waiting_write(s)
    rejected(s.conn, TmfRequest(imm=1, function=LUN_RESET, lun=s.lun, itt=cmd.itt), 7)


@case("11.5", [(1,), (0,)])
def tmf_with_data(w, imm):
    """There is no data segment in it."""
    s = session(w)
    s.conn.send(TmfRequest(imm=imm, function=LUN_RESET, lun=s.lun, data=b"x" * 100))
    try:
        s.conn.expect((Reject, TmfResponse))
        ping(s.conn)
    except Closed:
        pass


MORE = "target resets belong to issue 3"


@case("4.2.3.3")
def task_set_in_order(w):
    """An immediate function waits for the commands sent before it."""
    s = session(w)
    n = s.conn.cmd_sn
    p = s.conn.send(TmfRequest(imm=1, function=ABORT_TASK_SET, lun=s.lun, cmd_sn=n + 1))
    s.conn.expect_silence(0.1)
    s.conn.send(ScsiCommand(cdb=write10(0, 8), write=1, edtl=4096, lun=s.lun, cmd_sn=n))
    r = s.conn.expect((R2T, TmfResponse))
    if isinstance(r, R2T):
        r = s.conn.expect(TmfResponse)
    require(r.itt == p.itt and r.response == 0, f"answer {r.response}")
    s.conn.cmd_sn = n + 1
    s.scsi(tur()).good()


@case("11.5.1, SAM-5 7.3, 7.5", [(2,), (4,)])
def task_sets(w, function):
    """ABORT TASK SET ends one's own tasks, CLEAR TASK SET those of all."""
    s, t = session(w), session(w)
    mine, r1 = waiting_write(s, 0)
    other, r2 = waiting_write(t, 8)
    tmf(s, function, 0)
    s.conn.send(DataOut(itt=mine.itt, ttt=r1.ttt, lun=mine.lun, data=b"n" * 4096))
    t.conn.send(DataOut(itt=other.itt, ttt=r2.ttt, lun=other.lun, data=b"n" * 4096))
    ping(s.conn)
    s.conn.expect_silence(0.1)
    if function == ABORT_TASK_SET:
        t.conn.expect(ScsiResponse, itt=other.itt, status=0)
    else:
        ping(t.conn)
        require(0x2F00 in reap(t), "2Fh/00h: commands cleared by another initiator")


@case("11.5.1, SAM-5 7.6", [(6,), (7,)], pending=MORE)
def target_resets(w, function):
    """WARM keeps the sessions, COLD ends them; every task ends."""
    s, t = session(w), session(w)
    waiting_write(s, 0)
    waiting_write(t, 8)
    p = s.conn.send(TmfRequest(imm=1, function=function))
    if function == WARM:
        s.conn.expect(TmfResponse, itt=p.itt, response=0)
        require(any(a >> 8 == 0x29 for a in reap(t)), "unit attention")
    else:
        s.conn.expect_closed(after=(TmfResponse, AsyncMessage))
        t.conn.expect_closed(after=(AsyncMessage,))
    w.alive()


@case("RFC 7144 4.1", [(9, {0, 7}), (10, {0, 7}), (12, {0, 7})],
      pending="E36: iSCSIProtocolLevel 2 belongs to a later part of issue 3")
def query_functions(w, function, ok):
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes", "iSCSIProtocolLevel": "2"})
    require(s.answers["iSCSIProtocolLevel"] == "2", "level 2")
    cmd, _ = waiting_write(s)
    tmf(s, function, ok, ref_itt=cmd.itt, ref_cmd_sn=cmd.cmd_sn)


@case("11.5.1, SAM-5 7.4")
def clear_aca(w):
    """Required of logical units that accept NACA=1; this one does not."""
    tmf(session(w), CLEAR_ACA, 5)
