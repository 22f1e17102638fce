#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Task management while a worker hangs: answered within 5 s, with 255 when the
# effects are not over; the commands are kept, and end when the worker goes on.
# Nothing takes effect after an answer 0.
. "$(dirname "$0")/lib.sh"
need python3
truncate -s 16M "$T/disk.img"
start_lun "$T/disk.img"
for worker in storaged scsid; do
	pid=$(pgrep -P "$RUN_PID" -f "tgt-$worker .*--instance=disk.img ") || fail "no tgt-$worker"
	timeout 120 python3 "$ROOT/tests/tools/rawpdu.py" "$URL" "$ROOT/tests/e2e/tmf_hang.py" \
		"$worker" "$pid" || fail "$worker hangs"
	kill -0 "$pid" || fail "tgt-$worker was killed"
done
stop_run
echo "PASS"
