#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tgt-ctl against the running service: create, show, delete; durable over a
# restart; identities stay; wrong requests are refused with a reason.
. "$(dirname "$0")/lib.sh"
need qemu-io python3 iscsi-inq
truncate -s 32M "$T/a.img"; truncate -s 16M "$T/b.img"
IQN=iqn.2026-11.org.example:disk

service() {
	start_run --state "$T/state"
	wait_for 20 ctl show || fail "the control socket does not answer"
}
denied() { # PATTERN COMMAND...
	local pattern=$1; shift
	ctl "$@" > "$T/out" 2>&1 && fail "tgt-ctl $* was accepted"
	grep -qE "^tgt-ctl: .*($pattern)" "$T/out" || fail "tgt-ctl $*: '$(cat "$T/out")', expected $pattern"
}
json() { ctl --json show | python3 -c "import json,sys; d=json.load(sys.stdin); print($1)"; }

service
ctl target create $IQN || fail "target create"
ctl target create $IQN || fail "target create is not idempotent"
ctl lun create a --backend rdwr --path "$T/a.img" || fail "lun create"
ctl lun create b --backend rdwr --path "$T/b.img" --read-only || fail "lun create read-only"
ctl lun create n --backend null --size 1G || fail "lun create null"
ctl mapping create $IQN a --number 0 || fail "mapping create"
ctl mapping create $IQN b || fail "mapping create, number by the server"
ctl mapping create $IQN n --number 16000 || fail "mapping create 16000"
ctl portal create 127.0.0.1:0 || fail "portal create"
ctl access create $IQN --initiator ALL || fail "access create"
ctl access create $IQN --initiator '*' --address ALL || fail "access create is not idempotent"

denied 'exists|differ' lun create a --backend rdwr --path "$T/b.img"
denied 'no such|not found|unknown' mapping create $IQN nosuch
denied 'mapped|in use' lun delete a
denied 'no such file|does not exist' lun create c --backend rdwr --path "$T/missing"
denied 'already|in use|locked' lun create c --backend rdwr --path "$T/a.img"
denied 'name' target create 'not an iscsi name'
denied 'number|16383' mapping create $IQN a --number 16384
denied 'no such target' access create ${IQN}x --initiator ALL
denied 'needs an initiator or an address' access create $IQN
denied 'no iSCSI name' access create $IQN --initiator 127.0.0.1
denied 'no address' access create $IQN --address 127.0.0.1/33
denied 'backend' lun create c --backend floppy --path "$T/a.img"
[ "$(json 'len(d["luns"])')" = 3 ] || fail "a refused LUN was stored: $(ctl show)"

PORT=$(json 'd["portals"][0]["port"]')
URL=iscsi://127.0.0.1:$PORT/$IQN/0
qemu-io -f raw -c "write -P 42 1M 64k" "$URL" | grep -q 'wrote 65536' || fail "write"
qemu-io -f raw -r -c "read -P 0 0 64k" "${URL%0}1" | grep -q 'read 65536' || fail "read-only LUN"
qemu-io -f raw -c "write -P 42 0 64k" "${URL%0}1" 2>&1 | grep -q 'wrote ' && fail "wrote to a read-only LUN"
qemu-io -f raw -r -c "read -P 0 1073741312 512" "${URL%0}16000" | grep -q 'read 512' || fail "null LUN, number 16000"
SERIAL=$(iscsi-inq -e 1 -c 128 "$URL" | grep -i serial); ID=$(iscsi-inq -e 1 -c 131 "$URL")
BEFORE=$(json 'json.dumps([[{k: v for k, v in t.items() if k != "sessions"} for t in d["targets"]],d["mappings"],d["access"],[(l["name"],l["serial"],l["naa"]) for l in d["luns"]]],sort_keys=True)')
stop_run
service
AFTER=$(json 'json.dumps([[{k: v for k, v in t.items() if k != "sessions"} for t in d["targets"]],d["mappings"],d["access"],[(l["name"],l["serial"],l["naa"]) for l in d["luns"]]],sort_keys=True)')
[ "$BEFORE" = "$AFTER" ] || fail "restart changed the configuration: $BEFORE / $AFTER"
wait_for 10 iscsi-inq "$URL" || fail "the portal did not come back on port $PORT"
[ "$SERIAL" = "$(iscsi-inq -e 1 -c 128 "$URL" | grep -i serial)" ] || fail "serial changed"
[ "$ID" = "$(iscsi-inq -e 1 -c 131 "$URL")" ] || fail "identity changed"
qemu-io -f raw -c "read -P 42 1M 64k" "$URL" | grep -q 'read 65536' || fail "data after restart"

ctl mapping delete $IQN 16000 && ctl lun delete n || fail "delete"
ctl mapping delete $IQN 16000 && ctl lun delete n || fail "delete is not idempotent"
ctl portal delete 127.0.0.1:$PORT || fail "portal delete"
iscsi-inq "$URL" > /dev/null 2>&1 && fail "the deleted portal still answers"
[ "$(json 'len(d["luns"])')" = 2 ] || fail "$(ctl show)"
stop_run

# A LUN whose file is gone at start: the rest works, the LUN says why it does not.
mv "$T/b.img" "$T/b.away"
service
ctl portal create 127.0.0.1:0 || fail "portal create"
PORT=$(json 'd["portals"][0]["port"]'); URL=iscsi://127.0.0.1:$PORT/$IQN/0
wait_for 10 iscsi-inq "$URL" || fail "LUN 0 must work without LUN 1"
wait_for 10 eval 'ctl lun show | grep -q "b .*offline"' || fail "LUN b: $(ctl lun show)"
mv "$T/b.away" "$T/b.img"
wait_for 20 eval 'ctl lun show | grep -q "b .*online"' || fail "LUN b does not come back by itself: $(ctl lun show)"
stop_run

# A damaged state file is refused, named, and left alone.
cp "$T/state/"*.json "$T/saved.json"
f=$(ls "$T/state/"*.json); head -c 40 "$T/saved.json" > "$f"
timeout 20 "$B/tgt-run" --runtime "$T/rt" --state "$T/state" > "$T/out" 2>&1
rc=$?
[ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "a damaged state file: exit $rc"
grep -q "$f" "$T/out" || fail "a damaged state file is not named: $(cat "$T/out")"
[ "$(stat -c %s "$f")" = 40 ] || fail "the damaged file was changed"
echo "PASS"
