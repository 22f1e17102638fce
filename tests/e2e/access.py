#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may log in, and what discovery tells whom.
access.py login PORTAL TARGET INITIATOR [SOURCE]     prints the login status
access.py stay PORTAL TARGET INITIATOR               says "in", waits until it is put out
access.py targets PORTAL VALUE INITIATOR [SOURCE]    prints what SendTargets=VALUE names"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from rawpdu import (NO_TAG, Connection, LoginResponse, TextRequest, TextResponse, Url, login,
                    login_request, pairs, text)

verb, portal, value, initiator = sys.argv[1:5]
url = Url(f"iscsi://{portal}/{'iqn.2026-11.test:none' if verb == 'targets' else value}/0")
conn = Connection(url, timeout=30, source=sys.argv[5] if len(sys.argv) > 5 else None)
if verb == "login":
    conn.send(login_request(url, {"InitiatorName": initiator}))
    print(f"{conn.expect(LoginResponse).status:04x}")
    sys.exit()
if verb == "stay":
    s = login(url, {"InitiatorName": initiator}, conn=conn)
    print("in", flush=True)
    s.conn.expect_closed()
    sys.exit()
s = login(url, {"InitiatorName": initiator, "SessionType": "Discovery",
                "MaxRecvDataSegmentLength": "512"}, drop=("TargetName",), conn=conn)
itt, ttt, data, n = 99, NO_TAG, b"", 0
request = text([("SendTargets", value)])
while True:
    conn.send(TextRequest(itt=itt, ttt=ttt, data=request))
    p = conn.expect(TextResponse, itt=itt)
    assert len(p.data) <= 512, "more than MaxRecvDataSegmentLength"
    assert p.final == (p.ttt == NO_TAG) and not (p.final and p.cont)
    data, ttt, request, n = data + bytes(p.data), p.ttt, b"", n + 1
    if p.final:
        break
assert n == max(1, (len(data) + 511) // 512), f"{n} PDUs for {len(data)} bytes"
for k, v in pairs(data):
    if k == "TargetName":
        print(v)
