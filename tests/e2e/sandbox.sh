#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every process that touches a stranger's bytes runs locked down, and the lock
# is real: what the kernel says of each process, and what it holds open.
. "$(dirname "$0")/lib.sh"
need qemu-io python3
truncate -s 16M "$T/disk.img"
start_lun "$T/disk.img"
qemu-io -f raw -c "write -P 5 0 4M" -c "read -P 5 0 4M" "$URL" > /dev/null || fail "qemu-io"
n=0
for p in $(pgrep -P "$RUN_PID"); do
	comm=$(cat /proc/$p/comm)
	field() { sed -n "s/^$1:[[:space:]]*//p" /proc/$p/status; }
	[ "$(field Seccomp)" = 2 ] || fail "$comm: no seccomp filter"
	[ "$(field NoNewPrivs)" = 1 ] || fail "$comm: no_new_privs is off"
	if [ "$comm" != tgt-ctld ]; then
		[ "$(field CapEff)" = 0000000000000000 ] || fail "$comm: capabilities $(field CapEff)"
		[ "$(field CapBnd)" = 0000000000000000 ] || [ "$(id -u)" != 0 ] || fail "$comm: bounding set $(field CapBnd)"
		if [ "$(id -u)" = 0 ]; then
			uid=$(field Uid | cut -f1)
			[ "$uid" != 0 ] || fail "$comm: runs as root"
			[[ " ${uids:-} " != *" $uid "* ]] || fail "$comm: shares uid $uid"
			uids="${uids:-} $uid"
		fi
	fi
	case $comm in
	tgt-portal|tgt-scsid)
		files=$(ls -l /proc/$p/fd 2> /dev/null | grep -vE 'socket:|anon_inode:|memfd:|pipe:|/dev/(null|pts|tty)|run\.(out|err)' | grep -- '->')
		[ -z "$files" ] || fail "$comm holds $files" ;;
	esac
	n=$((n + 1))
done
[ $n -ge 5 ] || fail "only $n processes looked at"
stop_run
echo "PASS: $n processes"
