#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Verified load from the generator of the benchmarks: immediate data and R2Ts,
# two LUNs, over IPv4 and IPv6; every answer is checked, every read compared.
. "$(dirname "$0")/lib.sh"
LOAD=$B/tests/tools/iscsi_load
[ -x "$LOAD" ] || fail "$LOAD is not built: make $LOAD"
T_LOAD=${T_LOAD:-2}

truncate -s 64M "$T/a.img"
truncate -s 64M "$T/b.img"
start_lun "$T/a.img" "$T/b.img"
URL2=${URL%/0}/1

load() {
	"$LOAD" --verify -s 4 -q 8 -w 0 --json "$@" > "$T/load" 2> "$T/load.err" ||
		fail "iscsi_load $*: $(cat "$T/load.err" "$T/load")"
	grep -q '"ios": [1-9].*"errors": 0,' "$T/load" || fail "iscsi_load $*: $(cat "$T/load")"
}

load -o mix50 -t "$T_LOAD" "$URL" "$URL2"
load -o mix50 -b 524288 -t 0.5 "$URL" "$URL2"	# beyond FirstBurstLength
load -o read -p sequential -b 65536 -t 0.5 -i 8 "$URL"

# A disk that loses its data is noticed: zeros over what has been written.
"$LOAD" --verify -q 8 -t 1 "$URL" > "$T/load" 2> "$T/load.err" &
sleep 0.7
dd if=/dev/zero of="$T/a.img" bs=1M count=64 conv=notrunc 2> /dev/null
wait $!
[ $? = 1 ] || fail "lost data went unnoticed: $(cat "$T/load" "$T/load.err")"
grep -q 'wrong data at LBA' "$T/load.err" || fail "lost data: $(cat "$T/load.err")"

"$LOAD" -t 1 "${URL%/0}/7" > "$T/load" 2> "$T/load.err"
[ $? = 3 ] || fail "load on an absent LUN: $(cat "$T/load" "$T/load.err")"
grep -q 'not usable' "$T/load.err" || fail "an absent LUN: $(cat "$T/load.err")"
stop_run

if grep -q '^0*1 ' /proc/net/if_inet6 2> /dev/null; then
	start_lun "$T/a.img" --portal '[::1]'
	load -o mix50 -t 0.5 "$URL"
	stop_run
else
	echo "no IPv6 loopback here: IPv4 only"
fi
echo "PASS"
