# SPDX-License-Identifier: GPL-2.0-or-later
"""Run by rawpdu.py, `args`: the worker's name and its process, which is stopped
while functions are asked for writes that it has."""
import os
import signal
import time

WORKER, PID = args[0], int(args[1])
ABORT_TASK, FUNCTIONS = 1, (1, 2, 4, 5)


def require(ok, text):
    if not ok:
        raise WireError(text)


def write(s, lba, byte):
    data = byte * 4096
    return s.conn.send(ScsiCommand(cdb=write10(lba, 8), write=1, edtl=4096, lun=s.lun, data=data))


def read(s, lba):
    return s.scsi(read10(lba, 8), edtl_in=4096).good().data


def send(s, function, cmd):
    ref = {"ref_itt": cmd.itt, "ref_cmd_sn": cmd.cmd_sn} if function == ABORT_TASK else {}
    return s.conn.send(TmfRequest(imm=1, function=function, lun=s.lun, **ref))


def hang():
    """All of them asked for while nothing moves, each by a session of its own:
    rejected.  The writes then end by themselves."""
    todo = []
    for i, f in enumerate(FUNCTIONS):
        s = login(url)
        reap(s)
        s.scsi(write10(8 * i, 8), out=b"o" * 4096).good()
        todo.append((s, f, 8 * i))
    os.kill(PID, signal.SIGSTOP)
    try:
        cmds = [write(s, lba, b"n") for s, f, lba in todo]
        time.sleep(0.2)
        start = time.monotonic()
        tmfs = [send(s, f, cmd) for (s, f, _), cmd in zip(todo, cmds)]
        for (s, f, _), p in zip(todo, tmfs):
            r = s.conn.expect(TmfResponse, itt=p.itt)
            took = time.monotonic() - start
            require(took < 5, f"{WORKER}: function {f} was answered after {took:.1f} s")
            require(r.response == 255, f"{WORKER}: function {f}: answer {r.response}")
    finally:
        os.kill(PID, signal.SIGCONT)
    for (s, f, lba), cmd in zip(todo, cmds):
        end = s.conn.expect(ScsiResponse, itt=cmd.itt)
        if f != ABORT_TASK and WORKER == "storaged":
            require(end.status == 0, f"function {f}: the write kept ended {end.status}")
        reap(s)
        data = read(s, lba)
        require(data in (b"n" * 4096, b"o" * 4096), "torn")
        require(end.status or data == b"n" * 4096, f"function {f}: GOOD, but not written")
        s.logout()


def late(function):
    """The worker goes on in time.  After an answer 0 the write does no more."""
    s = login(url)
    reap(s)
    os.kill(PID, signal.SIGSTOP)
    cmd = write(s, 0, b"n")
    pid = os.fork()
    if not pid:
        time.sleep(0.5)
        os.kill(PID, signal.SIGCONT)
        os._exit(0)
    p = send(s, function, cmd)
    s.conn.expect(TmfResponse, itt=p.itt, response=0)
    os.waitpid(pid, 0)
    reap(s)
    s.scsi(write10(0, 8), out=b"x" * 4096).good()
    time.sleep(0.2)
    require(read(s, 0) == b"x" * 4096, f"function {function}: an aborted write took effect")
    s.logout()


for f in FUNCTIONS:
    late(f)
hang()
