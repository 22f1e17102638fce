#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of tgt-run: its processes end within 5 s, and another one can take the
# same directories at once, also while they still end.  Two at the same time are
# refused.
. "$(dirname "$0")/lib.sh"
need qemu-io
truncate -s 16M "$T/disk.img"
gone() { for p in $pids; do kill -0 "$p" 2> /dev/null && return 1; done; true; }
ready() { ctl lun show 2> /dev/null | grep -q online; }
start_run --state "$T/state"
wait_for 10 ctl target create iqn.2026-11.org.example:k || fail "no tgt-ctld"
ctl lun create k --backend rdwr --path "$T/disk.img" > /dev/null || fail "lun create"
ctl mapping create iqn.2026-11.org.example:k k --number 0 > /dev/null || fail "mapping create"
ctl access create iqn.2026-11.org.example:k --initiator ALL > /dev/null || fail "access create"
ctl portal create 127.0.0.1:0 > "$T/portal" || fail "portal create"
URL=iscsi://$(grep -o '127.0.0.1:[0-9]*' "$T/portal")/iqn.2026-11.org.example:k/0
yes "write -q 0 1M" | head -10000 | qemu-io -f raw "$URL" > /dev/null 2>&1 &
LOAD=$!
sleep 0.5
for round in 1 2; do
	pids=$(pgrep -P "$RUN_PID" | xargs)
	kill -KILL "$RUN_PID"; wait "$RUN_PID" 2> /dev/null
	start_run --state "$T/state"
	wait_for 5 gone || fail "a process of a killed tgt-run is left"
	wait_for 10 ready || fail "the next tgt-run does not serve"
done
kill $LOAD 2> /dev/null; wait $LOAD 2> /dev/null
wait_for 10 qemu-io -f raw -c "write -P 5 0 1M" -c "read -P 5 0 1M" "$URL" || fail "I/O"
timeout 20 "$B/tgt-run" --runtime "$T/rt" --state "$T/state2" 2> "$T/err" && fail "a second one on the runtime directory"
grep -q 'another tgt-run' "$T/err" || fail "not refused for that: $(cat "$T/err")"
timeout 20 "$B/tgt-run" --runtime "$T/rt2" --state "$T/state" 2> "$T/err" && fail "a second one on the state directory"
grep -q 'in use by another' "$T/err" || fail "not refused for that: $(cat "$T/err")"
mkdir "$T/other"
timeout 20 "$B/tgt-run" --runtime "$T/rt" --socket "$T/other/c.sock" --state "$T/state2" 2> "$T/err" &&
	fail "a second one on the runtime directory, with other sockets"
grep -q 'another tgt-run' "$T/err" || fail "not refused for that: $(cat "$T/err")"
ready || fail "the first one suffered"

# A tgt-ctld that has not noticed yet.
ctld=$(for p in $(pgrep -P "$RUN_PID"); do [ "$(cat /proc/$p/comm)" = tgt-ctld ] && echo "$p"; done)
kill -STOP "$ctld"
kill -KILL "$RUN_PID"; wait "$RUN_PID" 2> /dev/null
start_run --state "$T/state"
sleep 1
kill -CONT "$ctld"
wait_for 10 ready || fail "the next tgt-run did not wait: $(cat "$T/run.err")"
stop_run
echo "PASS"
