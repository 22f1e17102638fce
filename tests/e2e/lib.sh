# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shared by the end-to-end tests; sourced.  Starts the real processes of the
# build folder $B in a temporary directory, loopback only, and ends them.

set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
B=${B:-$ROOT/build/gcc}
case $B in /*) ;; *) B=$ROOT/$B ;; esac
T=$(mktemp -d "${TMPDIR:-/tmp}/tgt-e2e.XXXXXX")
RUN_PID=

fail() {
	echo "FAIL: $*" >&2
	if [ -s "$T/run.err" ]; then
		echo "--- last lines of tgt-run's log:" >&2
		tail -${LOG_LINES:-25} "$T/run.err" >&2
	fi
	exit 1
}

need() {
	for tool in "$@"; do
		command -v "$tool" > /dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
	done
}

# Waits until a command succeeds: wait_for SECONDS COMMAND...
wait_for() {
	local end=$((SECONDS + $1)); shift
	until "$@" > /dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# Starts `tgt-run ARGS...` in the background: RUN_PID, TGT_SOCKET; the log is $T/run.err.
start_run() {
	export TGT_SOCKET=$T/rt/control.sock
	: > "$T/run.out" # what the last one printed is not this one's
	"$B/tgt-run" --runtime "$T/rt" "$@" > "$T/run.out" 2> "$T/run.err" &
	RUN_PID=$!
}

# Exports files: start_lun FILE... [-- more options]; URL is set for LUN 0.
start_lun() {
	local args=()
	for f in "$@"; do
		case $f in --*|-*) break ;; esac
		args+=(--lun "$f"); shift
	done
	start_run "${args[@]}" "$@"
	wait_for 20 grep -q 'iscsi://' "$T/run.out" || fail "tgt-run printed no URL"
	URL=$(grep -o 'iscsi://[^ ]*' "$T/run.out" | head -1)
	PORTAL=${URL#iscsi://}; PORTAL=${PORTAL%%/*}
}

# Ends tgt-run and checks that it ended well.
stop_run() {
	local rc
	[ -n "$RUN_PID" ] || return 0
	kill -"${1:-TERM}" "$RUN_PID" 2> /dev/null
	wait "$RUN_PID"; rc=$?
	RUN_PID=
	[ $rc = 0 ] || fail "tgt-run ended with $rc after SIG${1:-TERM}"
}

cleanup() {
	local rc=$?
	if [ -n "$RUN_PID" ]; then
		kill -TERM "$RUN_PID" 2> /dev/null
		for _ in $(seq 100); do kill -0 "$RUN_PID" 2> /dev/null || break; sleep 0.1; done
		kill -KILL "$RUN_PID" 2> /dev/null
		wait "$RUN_PID" 2> /dev/null
	fi
	# Clients that a failed test leaves in the background.
	jobs -p | xargs -r kill -KILL 2> /dev/null
	rm -rf "$T"
	exit $rc
}
trap cleanup EXIT

ctl() { "$B/tgt-ctl" --socket "$TGT_SOCKET" "$@"; }

# The pid of a LUN's worker: worker_pid LUN scsid|storaged
worker_pid() {
	ctl --json lun show 2> /dev/null | python3 -c '
import json, sys
lun, role = sys.argv[1:]
doc = json.load(sys.stdin)
for l in doc["luns"]:
    if l["name"] == lun:
        print(l[role + "_pid"] or "")' "$1" "$2"
}

first_lun() {
	ctl --json lun show | python3 -c 'import json,sys; print(json.load(sys.stdin)["luns"][0]["name"])'
}
