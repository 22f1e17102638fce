#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Access rules: nobody by default, by name, by address, by both; discovery names
# only what may be logged in to; ten thousand targets at 512 bytes a PDU.
. "$(dirname "$0")/lib.sh"
need python3 iscsi-inq
IQN=iqn.2026-11.org.example
HOST=iqn.2026-11.org.client:host
access() { python3 "$(dirname "$0")/access.py" "$@"; }
logs_in() { # WANTED-STATUS TARGET INITIATOR [SOURCE]
	local want=$1 got; shift
	got=$(access login "$PORTAL" "$@") || fail "login of $*"
	[ "$got" = "$want" ] || fail "login of $*: status $got, expected $want"
}
sees() { # "TARGET..." INITIATOR [SOURCE]
	local want=$1 got; shift
	got=$(access targets "$PORTAL" All "$@" | sed "s/^$IQN://" | xargs) || fail "discovery by $*"
	[ "$got" = "$want" ] || fail "discovery by $* names '$got', expected '$want'"
}

start_run --state "$T/state"
wait_for 20 ctl show || fail "the control socket does not answer"
for t in none name net both; do ctl target create $IQN:$t > /dev/null || fail "target create"; done
ctl portal create 127.0.0.1:0 > "$T/p4" || fail "portal create"
ctl portal create '[::1]:0' > "$T/p6" || fail "portal create ::1"
ctl access create $IQN:name --initiator "iqn.2026-11.org.client:h?s*" > /dev/null || fail "rule"
ctl access create $IQN:net --address 127.0.0.2/31 > /dev/null || fail "rule"
ctl access create $IQN:net --address ::1 > /dev/null || fail "rule"
ctl access create $IQN:both --initiator $HOST --address 127.0.0.0/30 > /dev/null || fail "rule"
[ "$(ctl --json access show | grep -c '"target"')" = 4 ] || fail "$(ctl access show)"

P4=$(grep -o '127.0.0.1:[0-9]*' "$T/p4") P6=$(grep -o '\[::1\]:[0-9]*' "$T/p6")
PORTAL=$P4
logs_in 0202 $IQN:none $HOST
logs_in 0203 $IQN:missing $HOST
logs_in 0000 $IQN:name $HOST
logs_in 0000 $IQN:name ${HOST%host}HOST # one name, RFC 3722
logs_in 0202 $IQN:name iqn.2026-11.org.client:other
logs_in 0202 $IQN:net $HOST
logs_in 0000 $IQN:net $HOST 127.0.0.2
logs_in 0202 $IQN:net $HOST 127.0.0.4
logs_in 0000 $IQN:both $HOST
logs_in 0202 $IQN:both ${HOST}s
logs_in 0202 $IQN:both $HOST 127.0.0.4
sees "name both" $HOST
sees "name net both" $HOST 127.0.0.2
sees "net" iqn.2026-11.org.client:other 127.0.0.3
sees "" iqn.2026-11.org.client:other
[ -z "$(access targets "$PORTAL" $IQN:net $HOST)" ] || fail "SendTargets=NAME tells of a hidden target"
[ "$(access targets "$PORTAL" $IQN:both $HOST)" = $IQN:both ] || fail "SendTargets=NAME"
PORTAL=$P6
logs_in 0000 $IQN:net $HOST
logs_in 0202 $IQN:both $HOST
sees "name net" $HOST

# From the next login on.
PORTAL=$P4
ctl access delete $IQN:name --initiator "iqn.2026-11.org.client:h?s*" || fail "access delete"
logs_in 0202 $IQN:name $HOST
ctl access create $IQN:none --initiator ALL > /dev/null || fail "rule"
logs_in 0000 $IQN:none iqn.2026-11.org.client:other 127.0.0.4
sees "none both" $HOST
# A session outlives its rule, until the operator ends it.
access stay "$PORTAL" $IQN:none $HOST > "$T/stay" &
STAY=$!
wait_for 10 grep -q in "$T/stay" || fail "no session that stays"
ctl access delete $IQN:none --initiator ALL || fail "access delete"
n=$(ctl session show | awk -v h=$HOST '$2 == h { print $1 }')
kill -0 $STAY && [ -n "$n" ] || fail "the session ended with its rule: $(ctl session show)"
ctl session delete "$n" || fail "session delete"
wait $STAY || fail "session delete did not close the connection"
wait_for 5 eval '! ctl session show | grep -q $HOST' || fail "$(ctl session show)"
ctl session delete "$n" || fail "session delete is not idempotent"
logs_in 0202 $IQN:none $HOST
ctl access create $IQN:none --initiator ALL > /dev/null || fail "rule"

# Elsewhere: another tgt-run, which serves the target under the same name.
truncate -s 16M "$T/disk.img"
timeout 60 "$B/tgt-run" --runtime "$T/rt2" --lun "$T/disk.img" --target $IQN:both > "$T/out2" 2> "$T/err2" &
OTHER=$!
wait_for 20 grep -q iscsi:// "$T/out2" || fail "the other tgt-run: $(cat "$T/err2")"
THERE=$(grep -o '127.0.0.1:[0-9]*' "$T/out2" | head -1)
ctl target modify $IQN:both --redirect "$THERE" > /dev/null || fail "target modify"
logs_in 0101 $IQN:both $HOST
logs_in 0202 $IQN:both $HOST 127.0.0.4
iscsi-inq -i $HOST "iscsi://$PORTAL/$IQN:both/0" | grep -qi 'tgt' || fail "the redirection was not followed"
sees "none both" $HOST # as before
ctl target modify $IQN:both --redirect "$THERE" --permanent > /dev/null || fail "target modify"
logs_in 0102 $IQN:both $HOST
ctl target modify $IQN:both --redirect none > /dev/null || fail "target modify"
logs_in 0000 $IQN:both $HOST
kill $OTHER; wait $OTHER || fail "the other tgt-run ended with $?"
ctl target modify $IQN:none --redirect 192.0.2.1 > /dev/null || fail "target modify"

ctl target delete $IQN:both || fail "target delete"
sees "none" $HOST
stop_run

# Rules are durable; and many targets.
python3 - "$T/state/state.json" $IQN <<'P'
import json, sys
path, iqn = sys.argv[1:]
d = json.load(open(path))
assert d["redirects"][0]["address"] == "192.0.2.1:3260", d["redirects"]
d["redirects"] = []
assert [a["address"] for a in d["access"]] == ["ALL", "127.0.0.2/31", "::1"], d["access"]
for i in range(10000):
    d["targets"].append({"name": f"{iqn}:many{i}", "alias": "", "tpgt": 1})
    if i % 10:
        d["access"].append({"target": f"{iqn}:many{i}", "initiator": "iqn.*:host",
                            "address": "127.0.0.0/8"})
json.dump(d, open(path, "w"))
P
start_run --state "$T/state"
wait_for 20 access login "$PORTAL" $IQN:none $HOST || fail "no portal with 10,000 targets"
logs_in 0000 $IQN:many9999 $HOST
logs_in 0202 $IQN:many9990 $HOST
n=$(access targets "$PORTAL" All $HOST | sort -u | wc -l) || fail "discovery of 10,000 targets"
[ "$n" = 9001 ] || fail "$n targets, expected 9001"
[ "$(access targets "$PORTAL" All iqn.2026-11.org.client:x)" = $IQN:none ] || fail "another sees them"
stop_run
echo "PASS"
