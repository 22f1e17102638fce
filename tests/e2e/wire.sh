#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What goes over the wire, PDU by PDU: the cases of wire_*.py, each with its
# clause of RFC 7143, against the real processes.  An honest session works
# meanwhile on another LUN, and the portal's memory must be as large after as
# before.  Arguments go to wire.py: --only TEXT, --pending, --verbose.
. "$(dirname "$0")/lib.sh"
need python3

# What ASan keeps of freed memory would hide whether the portal does.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
export PYTHONDONTWRITEBYTECODE=1
truncate -s 16M "$T/disk.img" "$T/honest.img"
start_lun "$T/disk.img" "$T/honest.img"
PORTAL_PID=$(pgrep -P "$RUN_PID" tgt-portal) || fail "no tgt-portal"
SLACK=8192
grep -qaE '__(asan|tsan)_init' "$B/tgt-portal" && SLACK=65536
case " $* " in *" --pending "*) HONEST=() ;; *) HONEST=(--honest-url "${URL%/*}/1") ;; esac
timeout 300 python3 "$ROOT/tests/e2e/wire.py" "$URL" "${HONEST[@]}" --ctl "$B/tgt-ctl" \
	--pid "$PORTAL_PID" --slack $SLACK "$@" || fail "wire cases"
stop_run
echo "PASS"
