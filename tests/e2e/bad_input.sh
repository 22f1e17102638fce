#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What an operator or a stranger can get wrong has a clear answer, where it
# belongs, and nobody else notices.
. "$(dirname "$0")/lib.sh"
need qemu-io python3 iscsi-inq

# refused PATTERN ARGS...: tgt-run ARGS must exit non-zero, soon, say PATTERN on
# one line of stderr, and leave nothing behind.
refused() {
	local pattern=$1 rc; shift
	timeout 20 "$B/tgt-run" --runtime "$T/rt-refused" "$@" > "$T/out" 2> "$T/err"; rc=$?
	[ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "tgt-run $* ended with $rc"
	grep -qE "^tgt-run: .*($pattern)" "$T/err" || fail "tgt-run $*: says '$(cat "$T/err")', expected $pattern"
	[ -s "$T/out" ] && grep -q iscsi:// "$T/out" && fail "tgt-run $* printed a URL"
	[ ! -e "$T/rt-refused/control.sock" ] || fail "tgt-run $* left its sockets behind"
}

: > "$T/empty"
head -c 511 /dev/zero > "$T/tiny"
head -c 1000000 /dev/zero > "$T/odd"
truncate -s 16M "$T/good.img"
mkdir "$T/dir"; mkfifo "$T/fifo"

refused 'no such file|does not exist' --lun "$T/missing"
refused 'empty' --lun "$T/empty"
refused 'less than one|smaller than one' --lun "$T/tiny"
refused 'directory' --lun "$T/dir"
refused 'fifo|not a (regular )?file' --lun "$T/fifo"
refused 'unknown option|unrecognized|invalid option' --frobnicate
refused 'block.size' --lun "$T/good.img" --block-size 777
refused 'address|portal' --lun "$T/good.img" --portal nonsense
refused 'already|same (file|store)|in use|locked' --lun "$T/good.img" --lun "$T/good.img"
# A file that the user may not read; root reads everything, so somebody else tries.
unreadable() {
	mkdir "$T/user" "$T/user/bin" && cp "$B"/tgt-* "$T/user/bin" && chmod 711 "$T"
	truncate -s 1M "$T/user/secret"
	chmod 000 "$T/user/secret"
	local as=() B=$T/user/bin
	if [ "$(id -u)" = 0 ]; then
		need setpriv
		chown 65534:65534 "$T/user"
		as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	fi
	timeout 20 "${as[@]}" "$B/tgt-run" --runtime "$T/user/rt" --lun "$T/user/secret" > "$T/out" 2> "$T/err" &&
		fail "an unreadable file was served"
	grep -qiE '^tgt-run: .*(permission|may not)' "$T/err" || fail "an unreadable file: $(cat "$T/err")"
}
unreadable

# A busy port.
python3 - "$T/port" <<'P' &
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
open(sys.argv[1], "w").write(str(s.getsockname()[1]))
time.sleep(30)
P
HOLDER=$!
wait_for 5 test -s "$T/port"
refused 'in use' --lun "$T/good.img" --portal "127.0.0.1:$(cat "$T/port")"
kill $HOLDER; wait $HOLDER 2> /dev/null

# A size that is no multiple of the block size is rounded down, with a warning.
start_lun "$T/odd"
iscsi-readcapacity16 "$URL" | grep -q '^Total size:999936' || fail "odd size is not rounded down"
grep -qiE 'round|multiple' "$T/run.err" || fail "no warning about the odd size"
stop_run

# Strangers' bytes on a portal: wire.sh.
start_lun "$T/good.img"
qemu-io -f raw -c "write -P 7 0 1M" "$URL" > /dev/null || fail "first write"

# Garbage on the control sockets.
python3 - "$T/rt" <<'P' || fail "control sockets"
import os, random, socket, sys
rt = sys.argv[1]
random.seed(2)
for name in ("control.sock", "worker.sock"):
    for n in (0, 1, 7, 100, 4096, 65536, 65537, 200000):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(os.path.join(rt, name))
        s.settimeout(2)
        try:
            if n: s.send(random.randbytes(n))
            s.recv(65536)
        except (ConnectionError, socket.timeout, OSError):
            pass
        s.close()
P
ctl show > /dev/null || fail "tgt-ctl show after garbage"
ctl lun create twin --backend rdwr --path "$T/good.img" > "$T/out" 2>&1 && fail "two LUNs on one file"
grep -qiE 'already|in use|locked' "$T/out" || fail "two LUNs on one file: $(cat "$T/out")"
qemu-io -f raw -c "read -P 7 0 1M" "$URL" | grep -q 'read 1048576' || fail "data after all that"
stop_run
echo "PASS"
