#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of a LUN's workers under load is invisible to the initiator: qemu-io
# writes, reads and verifies while scsid, storaged or both die KILLS times.
#   kill_workers.sh scsid|storaged|both
. "$(dirname "$0")/lib.sh"
need qemu-io python3
VICTIM=${1:-scsid}
KILLS=${KILLS:-100}

truncate -s 64M "$T/disk.img"
start_lun "$T/disk.img"
LUN=$(first_lun)

# Rounds of 32 overlapping-free writes in flight, then 32 verifying reads.
python3 - > "$T/round" <<'P'
import random
random.seed(1)
for rnd in range(60):
    units = random.sample(range(1024), 32)
    plan = []
    for u in units:
        length = random.choice([512, 4096, 16384, 65536])
        plan.append((u * 65536, length, random.randrange(1, 255)))
    for off, n, p in plan:
        print(f"aio_write -q -P {p} {off} {n}")
    print("aio_flush")
    for off, n, p in plan:
        print(f"aio_read -q -P {p} {off} {n}")
    print("aio_flush")
    if rnd % 4 == 0:
        print("flush")
P
load() {
	local n=0
	while [ ! -e "$T/enough" ]; do
		timeout 120 qemu-io -f raw "$URL" < "$T/round" > "$T/io.$n" 2>&1 ||
			{ echo "qemu-io exit $?" > "$T/io.bad"; cat "$T/io.$n" >> "$T/io.bad"; return 1; }
		if grep -iE 'fail|error|verif' "$T/io.$n" > "$T/io.bad"; then return 1; fi
		rm -f "$T/io.bad" "$T/io.$n"
		n=$((n + 1))
	done
	echo $n > "$T/rounds"
}
load &
LOAD=$!
killed=0
for k in $(seq "$KILLS"); do
	case $VICTIM in
	both) victims=$([ $((k % 3)) = 0 ] && echo scsid storaged || { [ $((k % 3)) = 1 ] && echo scsid || echo storaged; }) ;;
	*) victims=$VICTIM ;;
	esac
	for v in $victims; do
		wait_for 10 test -n "$(worker_pid "$LUN" "$v")"
		pid=$(worker_pid "$LUN" "$v")
		[ -n "$pid" ] && kill -KILL "$pid" 2> /dev/null && killed=$((killed + 1))
	done
	sleep 0.$((RANDOM % 15 + 5))
	kill -0 $LOAD 2> /dev/null || break
done
touch "$T/enough"
wait $LOAD || fail "the initiator saw an error after $killed kills: $(head -5 "$T/io.bad")"
[ "$killed" -ge "$KILLS" ] || fail "only $killed of $KILLS kills happened"
stop_run
echo "PASS: $killed kills of $VICTIM, $(cat "$T/rounds") rounds of 1920 verified I/Os, no error"
