#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A machine or container that is frozen for longer than the watchdog's period
# and thawed goes on as if nothing had been: nobody is killed.
. "$(dirname "$0")/lib.sh"
need qemu-io
truncate -s 16M "$T/disk.img"
start_lun "$T/disk.img"
qemu-io -f raw -c "write -P 9 0 1M" "$URL" > /dev/null || fail "write"
before=$(pgrep -P "$RUN_PID" | sort | xargs)
for p in $RUN_PID $before; do kill -STOP "$p"; done
sleep 7
for p in $before $RUN_PID; do kill -CONT "$p"; done
qemu-io -f raw -c "read -P 9 0 1M" "$URL" | grep -q 'read 1048576' || fail "read after the freeze"
sleep 1
[ "$before" = "$(pgrep -P "$RUN_PID" | sort | xargs)" ] || fail "a process was killed: $(tail -3 "$T/run.err")"
# One that hangs alone is killed and replaced.
portal=$(for p in $before; do [ "$(cat /proc/$p/comm)" = tgt-portal ] && echo "$p"; done)
kill -STOP "$portal"
wait_for 9 bash -c "! kill -0 $portal" || fail "a hung portal was not killed"
wait_for 5 qemu-io -f raw -c "read -P 9 0 1M" "$URL" || fail "no portal after the hang"
stop_run
echo "PASS"
