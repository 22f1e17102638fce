#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libiscsi's conformance suite: every test of conformance.txt, each in a
# process of its own, must pass; CUnit counts a skipped test as passed, here it
# is a failure.  Two URLs (two portals of one target) for the multipath tests.
# All of it without digests, and again with a header digest.
. "$(dirname "$0")/lib.sh"
need iscsi-test-cu python3
truncate -s 128M "$T/disk.img"
start_lun "$T/disk.img"
ctl portal create 127.0.0.1:0 > /dev/null || fail "second portal"
second=$(ctl --json portal show | python3 -c 'import json,sys; print(json.load(sys.stdin)["portals"][1]["port"])')
URL2=iscsi://127.0.0.1:$second/${URL#iscsi://*/}

run_one() { # TEST URL...
	local t=$1; shift
	timeout -k 2 60 iscsi-test-cu -d -S -V -t "$t" "$@" > "$T/log" 2>&1 < /dev/null ||
		{ echo "FAIL $t $2: exit $?"; grep -E 'FAILED|ASSERT|[0-9]+\. ' "$T/log" | head -5; return 1; }
	# Only what the test itself says, not the tool's own clean-up around it.
	sed -n '/^  Test: /,/^Run Summary/p' "$T/log" | awk '{ print } /(^|\.\.\.)(passed|FAILED)/ { exit }' > "$T/body"
	if grep -q 'SKIPPED' "$T/body"; then
		echo "FAIL $t: skipped: $(grep -m1 SKIPPED "$T/body")"; return 1
	fi
	grep -qE 'tests +1 +1 +1 +0 ' "$T/log" ||
		{ echo "FAIL $t"; grep -E 'FAILED|[0-9]+\. ' "$T/log" | head -5; return 1; }
}
n=0 bad=0
for t in $(grep -v '^#' "$ROOT/tests/e2e/conformance.txt"); do
	for arg in '' '?header_digest=crc32c'; do
		n=$((n + 1))
		run_one "$t" "$URL$arg" "$URL2$arg" || bad=$((bad + 1))
	done
done
[ $n -gt 0 ] || fail "no tests"
[ $bad = 0 ] || fail "$bad of $n tests"
stop_run
echo "PASS: $n tests"
