#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Patterns of every alignment, FUA and flush through qemu-io; read back from
# the file behind the LUN as well.
. "$(dirname "$0")/lib.sh"
need qemu-io
truncate -s 64M "$T/disk.img"
start_lun "$T/disk.img"
{
	i=0
	for len in 512 1024 4096 4608 65536 131072 262144 1048576 4194304; do
		for off in 0 512 3584 4096 1000448 33554432; do
			i=$((i % 254 + 1))
			echo "write -P $i $off $len"
			echo "read -P $i $off $len"
			echo "write -f -P $((i % 255)) $off 512"
			echo "read -P $((i % 255)) $off 512"
		done
		echo flush
	done
	echo "write -P 99 67108352 512"
	echo "read -P 99 67108352 512"
} > "$T/script"
qemu-io -f raw "$URL" < "$T/script" > "$T/out" 2>&1 || fail "qemu-io: $(tail -3 "$T/out")"
if grep -iE 'failed|error' "$T/out" > "$T/bad"; then fail "qemu-io: $(head -3 "$T/bad")"; fi
[ "$(grep -cE '(^|qemu-io> )read [0-9]+/[0-9]+ bytes' "$T/out")" = "$(grep -c '^read' "$T/script")" ] || fail "some reads did not happen"
# storaged's lock keeps QEMU away from the file meanwhile.
qemu-io -f raw -c "read 0 512" "$T/disk.img" 2>&1 | grep -qi 'lock' || fail "the file is not locked"
# Beyond the end: an error at the initiator, the target lives.
qemu-io -f raw -c "read 67108864 512" "$URL" 2>&1 | grep -q 'read 512/512' && fail "read beyond the end"
qemu-io -f raw -c "read -P 99 67108352 512" "$URL" | grep -q 'read 512/512' || fail "target gone"
stop_run
qemu-io -f raw -c "read -P 99 67108352 512" "$T/disk.img" | grep -qE 'read 512/512' || fail "not in the file"
echo "PASS: $(grep -c '^read' "$T/script") patterns"
