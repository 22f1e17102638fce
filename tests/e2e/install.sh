#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What "make install" places works from there, without options, and what
# tgt-run says of itself can be typed as it is printed.
. "$(dirname "$0")/lib.sh"
need make python3
make -C "$ROOT" B="$B" DESTDIR="$T/root" PREFIX=/usr install > "$T/out" 2>&1 || fail "make install: $(tail -3 "$T/out")"
for f in sbin/tgt-run sbin/tgt-ctl libexec/tgt/tgt-ctld share/man/man8/tgt-run.8; do
	[ -e "$T/root/usr/$f" ] || fail "$f is not installed"
done
B=$T/root/usr/sbin
truncate -s 1M "$T/disk.img"
start_lun "$T/disk.img"
line=$(grep 'tgt-ctl --socket' "$T/run.out")
$line > "$T/show" || fail "'$line' does not work"
grep -q 'disk.img *online' "$T/show" || fail "'$line' says $(cat "$T/show")"
stop_run

# The service says where it can be reached.
start_run --state "$T/state"
wait_for 20 grep -q 'serving: control=' "$T/run.err" || fail "the service does not say where it is"
socket=$(sed -n 's/.*serving: control=\([^ ]*\).*/\1/p' "$T/run.err")
"$B/tgt-ctl" --socket "$socket" show | grep -q nothing || fail "nobody answers on $socket"
stop_run
echo "PASS"
