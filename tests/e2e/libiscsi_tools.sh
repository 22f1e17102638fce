#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libiscsi's tools: discovery, inquiry with every VPD page, capacity.
. "$(dirname "$0")/lib.sh"
need iscsi-ls iscsi-inq iscsi-readcapacity16
truncate -s 100M "$T/a.img"
truncate -s 33M "$T/b.img"
start_lun "$T/a.img" "$T/b.img"

iscsi-ls "iscsi://$PORTAL" > "$T/ls" || fail "iscsi-ls"
grep -q "^Target:iqn.*Portal:$PORTAL" "$T/ls" || fail "iscsi-ls shows $(cat "$T/ls")"
iscsi-ls -s "iscsi://$PORTAL" > "$T/ls" || fail "iscsi-ls -s"
[ "$(grep -c 'Type:DIRECT_ACCESS' "$T/ls")" = 2 ] || fail "iscsi-ls -s shows $(cat "$T/ls")"
iscsi-inq "$URL" > "$T/inq" || fail "iscsi-inq"
grep -q 'Peripheral Device Type:DIRECT_ACCESS' "$T/inq" || fail "$(cat "$T/inq")"
for page in 0 128 131 176 177 178; do
	iscsi-inq -e 1 -c $page "$URL" > "$T/vpd" || fail "VPD page $page"
done
iscsi-inq -e 1 -c 3 "$URL" > "$T/vpd" 2>&1 && fail "VPD page 03h was answered"
cap=$(iscsi-readcapacity16 "$URL" | sed -n 's/^Total size:\([0-9]*\).*/\1/p')
[ "$cap" = $((100 << 20)) ] || fail "capacity is $cap"
cap=$(iscsi-readcapacity16 "${URL%/0}/1" | sed -n 's/^Total size:\([0-9]*\).*/\1/p')
[ "$cap" = $((33 << 20)) ] || fail "capacity of LUN 1 is $cap"
iscsi-inq "${URL%/0}/7" > "$T/out" 2>&1
iscsi-readcapacity16 "${URL%/0}/7" > "$T/out" 2>&1 && fail "an absent LUN has a capacity"
a=$(iscsi-inq -e 1 -c 131 "$URL"); b=$(iscsi-inq -e 1 -c 131 "${URL%/0}/1")
[ "$a" != "$b" ] || fail "two LUNs share an identity"
stop_run
echo "PASS"
