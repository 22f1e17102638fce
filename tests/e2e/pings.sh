#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An idle session is asked after 10 s whether it lives; one that answers stays,
# one that does not is closed 10 s later.
. "$(dirname "$0")/lib.sh"
need python3
truncate -s 16M "$T/disk.img"
start_lun "$T/disk.img"
timeout -k 2 60 python3 "$ROOT/tests/tools/rawpdu.py" "$URL" -c '
import time
alive, deaf = login(url), login(url)
reap(alive); reap(deaf)
alive.conn.answer_pings = deaf.conn.answer_pings = False
start = time.monotonic()
pings = [s.conn.expect(NopIn, itt=NO_TAG, timeout=15) for s in (alive, deaf)]
assert 8 < time.monotonic() - start < 13, time.monotonic() - start
assert all(p.ttt != NO_TAG and not p.data for p in pings)
alive.conn.answer_pings = True
alive.conn.send(NopOut(imm=1, itt=NO_TAG, ttt=pings[0].ttt, lun=pings[0].lun))
deaf.conn.expect_closed(timeout=15)
assert 18 < time.monotonic() - start < 27, time.monotonic() - start
alive.scsi(tur()).good()
alive.logout()
' || fail "pings"
stop_run
echo "PASS"
