#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SIGINT and SIGTERM end everything cleanly: exit 0, no process, no socket, no
# directory left, idle or under load.
. "$(dirname "$0")/lib.sh"
need qemu-io
truncate -s 16M "$T/disk.img"
for sig in INT TERM; do
	for state in idle busy; do
		start_lun "$T/disk.img"
		pids=$(pgrep -P "$RUN_PID")
		[ "$(echo "$pids" | wc -l)" -ge 4 ] || fail "expected the four daemons, found: $pids"
		if [ $state = busy ]; then
			yes "write -q 0 1M" | head -10000 | qemu-io -f raw "$URL" > /dev/null 2>&1 &
			LOAD=$!
			sleep 0.5
		fi
		start=$SECONDS
		stop_run $sig
		[ $((SECONDS - start)) -le 6 ] || fail "stopping took $((SECONDS - start)) s"
		for p in $pids; do kill -0 "$p" 2> /dev/null && fail "process $p ($(cat /proc/$p/comm)) is left"; done
		[ ! -e "$T/rt/control.sock" ] || fail "a socket is left"
		if [ $state = busy ]; then
			kill $LOAD 2> /dev/null; wait $LOAD 2> /dev/null
		fi
	done
done
echo "PASS"
