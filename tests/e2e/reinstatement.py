# SPDX-License-Identifier: GPL-2.0-or-later
"""Run by rawpdu.py, `args`: the process of LUN 0's storaged."""
import os
import signal
import time

PID = int(args[0])


def require(ok, text):
    if not ok:
        raise WireError(text)


old = login(url)
reap(old)
old.scsi(tur(), lun=lun_bytes(1))
old.scsi(write10(0, 8), out=b"o" * 4096).good()
os.kill(PID, signal.SIGSTOP)
try:
    old.conn.send(ScsiCommand(cdb=write10(0, 8), write=1, edtl=4096, lun=old.lun, data=b"n" * 4096))
    time.sleep(0.2)
    start = time.monotonic()
    new = login(url, isid=old.isid)
    new.scsi(tur(), lun=lun_bytes(1))
    took = time.monotonic() - start
    require(took < 2, f"the other LUN was served after {took:.1f} s")
    old.conn.expect_closed()
    waits = new.conn.send(ScsiCommand(cdb=tur(), lun=new.lun))
    new.conn.expect_silence(0.5)
    new.scsi(tur(), lun=lun_bytes(1)).good()
finally:
    os.kill(PID, signal.SIGCONT)
new.conn.expect(ScsiResponse, itt=waits.itt)
reap(new)
new.scsi(write10(0, 8), out=b"x" * 4096).good()
time.sleep(0.2)
require(new.scsi(read10(0, 8), edtl_in=4096).good().data == b"x" * 4096, "the old write came later")
new.logout()
