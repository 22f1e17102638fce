#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Session reinstatement while one LUN's store hangs (RFC 7143 6.3.5): the login is
# answered and the other LUN served at once; the hanging one when the old session's
# write there can have no later effect.
. "$(dirname "$0")/lib.sh"
need python3
truncate -s 16M "$T/disk.img" "$T/other.img"
start_lun "$T/disk.img" "$T/other.img"
pid=$(pgrep -P "$RUN_PID" -f "tgt-storaged .*--instance=disk.img ") || fail "no tgt-storaged"
timeout 60 python3 "$ROOT/tests/tools/rawpdu.py" "$URL" "$ROOT/tests/e2e/reinstatement.py" "$pid" ||
	fail "reinstatement"
stop_run
echo "PASS"
