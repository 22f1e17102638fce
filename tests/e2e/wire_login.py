# SPDX-License-Identifier: GPL-2.0-or-later
"""Login (RFC 7143 chapter 6, 11.12, 11.13)."""
from wire_case import *
from wire_case import answers_of, case, class2, ping, refused, refused_login, require

BASE = text({"InitiatorName": "iqn.2026-11.test:rawpdu", "SessionType": "Normal"})


# ---- stages

@case("11.12.3", [(c, n) for c in range(4) for n in range(4)])
def stage_pair(w, csg, nsg):
    c = w.connect()
    req = c.send(login_request(w.url, csg=csg, nsg=nsg))
    if (csg, nsg) in ((0, 1), (0, 3), (1, 3)):
        c.expect(LoginResponse, status=0, transit=1, csg=csg, nsg=nsg, itt=req.itt)
    else:
        refused(c, {0x0200, 0x020B})


@case("11.12.3", [(0,), (1,), (2,), (3,)])
def stage_without_transit(w, csg):
    c = w.connect()
    req = c.send(login_request(w.url, csg=csg, nsg=0, transit=0))
    if csg < 2:
        c.expect(LoginResponse, status=0, transit=0, csg=csg, itt=req.itt, tsih=0)
    else:
        refused(c, {0x0200, 0x020B})


@case("6.3, 11.13")
def three_stages_with_rounds(w):
    """Security, operational, full feature, two requests in each stage."""
    c = w.connect(cmd_sn=0x1234)
    isid = b"\x80wire1"[:6]
    first = c.send(login_request(w.url, isid=isid, csg=0, nsg=0, transit=0))
    r = c.expect(LoginResponse, status=0, transit=0, csg=0, isid=isid, tsih=0, version_max=0,
                 version_active=0, exp_cmd_sn=0x1234)
    require(dict(pairs(r.data)).get("TargetPortalGroupTag", "").isdigit(),
            "13.9: no TargetPortalGroupTag in the first response")
    stat_sn = r.stat_sn
    for n, (csg, nsg, t, keys) in enumerate([
            (0, 1, 1, {"AuthMethod": "None"}), (1, 0, 0, {"HeaderDigest": "None"}),
            (1, 3, 1, {"MaxBurstLength": "65536"})], 1):
        c.send(LoginRequest(itt=first.itt, isid=isid, csg=csg, nsg=nsg, transit=t,
                            data=text(keys)))
        r = c.expect(LoginResponse, status=0, transit=t, csg=csg, itt=first.itt, isid=isid,
                     stat_sn=stat_sn + n, exp_cmd_sn=0x1234,
                     tsih=(lambda v: v != 0) if nsg == 3 else 0)
    ping(c)


@case("11.12.3")
def stage_changes_without_transit(w):
    c = w.connect()
    req = c.send(login_request(w.url, csg=0, nsg=0, transit=0))
    c.expect(LoginResponse, status=0)
    c.send(LoginRequest(itt=req.itt, isid=req.isid, csg=1, nsg=3, transit=1))
    refused(c)


@case("11.12.3")
def back_to_security(w):
    c = w.connect()
    req = c.send(login_request(w.url, csg=1, nsg=0, transit=0))
    c.expect(LoginResponse, status=0)
    c.send(LoginRequest(itt=req.itt, isid=req.isid, csg=0, nsg=1, transit=1))
    refused(c)


@case("11.12.2")
def transit_and_continue(w):
    refused_login(w, cont=1)


@case("11.12.1")
def text_in_login_is_immediate(w):
    """Without the I bit it is no Login Request of this format."""
    refused_login(w, imm=0)


# ---- text in pieces

@case("6.2", [1, 2, 3, 7, 40, 63])
def continued_request(w, size):
    """C=1 on all but the last; every part is answered by an empty response."""
    c = w.connect()
    p = login_request(w.url, {"MaxBurstLength": "8192", "X-org.wire.a": "1" * 200})
    data, isid, itt = p.data, p.isid, 77
    parts = [data[i:i + size] for i in range(0, len(data), size)]
    for part in parts[:-1]:
        c.send(LoginRequest(itt=itt, isid=isid, csg=1, nsg=0, cont=1, data=part))
        c.expect(LoginResponse, status=0, transit=0, cont=0, data=b"", itt=itt)
    c.send(LoginRequest(itt=itt, isid=isid, csg=1, nsg=3, transit=1, data=parts[-1]))
    r = c.expect(LoginResponse, status=0, transit=1)
    got = dict(pairs(r.data))
    require(got["MaxBurstLength"] == "8192" and got["X-org.wire.a"] == "NotUnderstood", got)


@case("6.2", [(65536,), (60000,)])
def much_text(w, total):
    """64 KiB of text in one negotiation step."""
    c = w.connect()
    p = login_request(w.url)
    body, n = p.data, 0
    while total - len(body) > 300:
        body += text([(f"X-wire{n}", "v" * 220)])
        n += 1
    body += text([(f"X-wire{n}", "v" * (total - len(body) - len(f"X-wire{n}=") - 1))])
    require(len(body) == total or total - len(body) < 0, "arithmetic of the case")
    while len(body) > 8192:
        c.send(LoginRequest(itt=5, isid=p.isid, csg=1, cont=1, data=body[:8192]))
        c.expect(LoginResponse, status=0, transit=0, cont=0, data=b"")
        body = body[8192:]
    req = c.send(LoginRequest(itt=5, isid=p.isid, csg=1, nsg=3, transit=1, data=body))
    from rawpdu.session import collect_login
    r, got = collect_login(c, c.expect(LoginResponse, status=0), req)
    require(r.transit, "the login did not end")
    require(sum(v == "NotUnderstood" for _, v in got) == n + 1, f"{n + 1} unknown keys: {got[:5]}")


@case("6.2")
def continued_response(w):
    """The target's answers are more than a PDU: C=1, asked for by empty requests."""
    c = w.connect()
    keys = [(f"X-k{i:03}", "1") for i in range(600)]
    data = login_request(w.url, keys).data
    c.send(LoginRequest(itt=5, isid=b"\x80abcde", csg=1, cont=1, data=data[:4096]))
    c.expect(LoginResponse, status=0, data=b"")
    c.send(LoginRequest(itt=5, isid=b"\x80abcde", csg=1, nsg=3, transit=1, data=data[4096:]))
    out, rounds = b"", 0
    while True:
        r = c.expect(LoginResponse, status=0, data_len=range(8193))
        out += r.data
        if not r.cont:
            break
        require(not r.transit, "T with C")
        require(r.data, "C=1 with nothing")
        rounds += 1
        c.send(LoginRequest(itt=5, isid=b"\x80abcde", csg=1, nsg=3, transit=1))
    require(rounds and r.transit, "12 KiB of answers must come in several PDUs")
    got = [k for k, v in pairs(out) if v == "NotUnderstood"]
    require(got == [k for k, _ in keys], "every unknown key once, in any number of PDUs")


@case("6.2")
def text_while_target_continues(w):
    c = w.connect()
    c.send(login_request(w.url, [(f"X-{i}", "1") for i in range(500)], isid=b"\x80abcde", itt=5))
    c.expect(LoginResponse, status=0, cont=1)
    c.send(LoginRequest(itt=5, isid=b"\x80abcde", csg=1, nsg=3, transit=1,
                        data=text({"MaxBurstLength": "512"})))
    refused(c)


@case("13.12")
def answers_fit_declared_length(w):
    """MaxRecvDataSegmentLength=512: no response of the session is longer."""
    s = w.login([("MaxRecvDataSegmentLength", "512")] + [(f"X-{i}", "1") for i in range(60)])
    s.conn.send(NopOut(imm=1, data=b"x" * 2000))
    s.conn.expect(NopIn, data_len=range(513))


# ---- keys that break the rules

@case("6.3", [("MaxBurstLength", "8192", "8192"), ("MaxBurstLength", "8192", "16384"),
              ("HeaderDigest", "None", "None"), ("InitiatorName", "iqn.2026-11.test:a",
                                                  "iqn.2026-11.test:b"),
              ("MaxRecvDataSegmentLength", "8192", "16384"), ("SessionType", "Normal", "Normal"),
              ("InitiatorAlias", "a", "b")])
def key_twice(w, key, one, two):
    refused_login(w, [(key, one), (key, two)], 0x0200)


@case("6.3")
def key_twice_in_two_requests(w):
    c = w.connect()
    req = c.send(login_request(w.url, {"MaxBurstLength": "8192"}, transit=0, nsg=0))
    c.expect(LoginResponse, status=0)
    c.send(LoginRequest(itt=req.itt, isid=req.isid, csg=1, nsg=3, transit=1,
                        data=text({"MaxBurstLength": "8192"})))
    refused(c, 0x0200)


ILLEGAL = [
    ("HeaderDigest", "MD5"), ("HeaderDigest", ""), ("DataDigest", "crc32c"),
    ("MaxConnections", "0"), ("MaxConnections", "65536"), ("InitialR2T", "yes"),
    ("InitialR2T", ""), ("ImmediateData", "true"), ("ImmediateData", "1"),
    ("MaxRecvDataSegmentLength", "0"), ("MaxRecvDataSegmentLength", "511"),
    ("MaxRecvDataSegmentLength", "16777216"), ("MaxRecvDataSegmentLength", "-1"),
    ("MaxRecvDataSegmentLength", "8k"), ("MaxRecvDataSegmentLength", ""),
    ("MaxRecvDataSegmentLength", "08192"), ("MaxRecvDataSegmentLength", "0x"),
    ("MaxRecvDataSegmentLength", "18446744073709559808"), ("MaxBurstLength", "511"),
    ("MaxBurstLength", "16777216"), ("MaxBurstLength", "4294967808"),
    ("FirstBurstLength", "511"), ("FirstBurstLength", "16777216"), ("DefaultTime2Wait", "3601"),
    ("DefaultTime2Wait", "-1"), ("DefaultTime2Retain", "3601"), ("MaxOutstandingR2T", "0"),
    ("MaxOutstandingR2T", "65536"), ("DataPDUInOrder", "2"), ("DataSequenceInOrder", "No "),
    ("ErrorRecoveryLevel", "3"), ("ErrorRecoveryLevel", "one"), ("TaskReporting", "Bogus"),
    ("iSCSIProtocolLevel", "32"), ("MaxBurstLength", "0x1g"), ("MaxBurstLength", "+8192"),
    ("MaxBurstLength", " 8192"), ("MaxBurstLength", "8192.0"), ("MaxBurstLength", "8192,4096"),
]


@case("6.2, 13", ILLEGAL)
def illegal_value(w, key, value):
    """Refused with an initiator error, or answered Reject (6.2.1, 6.2.2)."""
    c, _, r = w.first_response([(key, value)])
    if r.status == 0:
        require(dict(pairs(r.data)).get(key) == "Reject", f"accepted: {pairs(r.data)}")
    else:
        require(class2(r.status), f"status {r.status:04x}")
        c.expect_closed()


@case("13.21", [("Bogus",), ("",), ("normal",)])
def illegal_session_type(w, value):
    refused_login(w, {"SessionType": value}, {0x0209, 0x0200})


@case("4.2.7, 13.5", [("bogus",), ("",), ("iqn.2026-11.test:" + "a" * 210,),
                      ("iqn.2026-11.test:a b",)])
def illegal_initiator_name(w, name):
    refused_login(w, {"InitiatorName": name})


@case("13.8, 13.9", [("TargetAddress", "10.0.0.1:3260,1"), ("TargetPortalGroupTag", "1"),
                     ("TargetAlias", "x")])
def key_of_the_target(w, key, value):
    c, _, r = w.first_response([(key, value)])
    require(class2(r.status) or dict(pairs(r.data)).get(key, "Reject") in
            ("Reject", "NotUnderstood", "Irrelevant", "1") or key == "TargetAlias",
            f"{r.status:04x} {pairs(r.data)}")


@case("6.1", [b"MaxBurstLength\0", b"=8192\0", b"K" * 64 + b"=1\0", b"9key=1\0", b"Max Burst=1\0",
              b"X-a=1", b"\xff\xfe=1\0", b"X-" + b"a" * 6000 + b"=1\0"])
def broken_text(w, data):
    c = w.connect()
    p = login_request(w.url)
    p.data = p.data + data
    c.send(p)
    refused(c)


@case("6.1")
def value_of_256_bytes(w):
    refused_login(w, {"InitiatorAlias": "a" * 256})


@case("6.1, 6.2")
def unknown_keys(w):
    """NotUnderstood, whatever they are called; names of 63 bytes are legal."""
    keys = {"X-org.test.Key": "1", "Y-nonsense": "", "FutureKey": "5", "K" * 63: "x",
            "X#NEW": "a=b=c"}
    got = answers_of(w, keys)
    require(all(got.get(k) == "NotUnderstood" for k in keys), got)


@case("6.2")
def answers_from_nowhere(w):
    """NotUnderstood to a key that nobody offered is no offer."""
    s = w.login({"TargetAlias": "NotUnderstood"})
    ping(s.conn)


# ---- who and where

@case("11.13.5", [("InitiatorName", 0x0207), ("TargetName", 0x0207)])
def missing_name(w, key, status):
    refused_login(w, drop=(key,), status=status)


@case("11.13.5")
def no_text_at_all(w):
    c = w.connect()
    c.send(LoginRequest(transit=1, csg=1, nsg=3, isid=new_isid()))
    refused(c, 0x0207)


@case("11.13.5", [("iqn.2026-11.test:nobody",), ("eui.0123456789abcdef",)])
def unknown_target(w, name):
    refused_login(w, {"TargetName": name}, 0x0203)


@case("11.13.5")
def not_allowed(w):
    """Target access refused, or no word of its existence."""
    for name in w.hidden_targets:
        refused_login(w, {"TargetName": name}, {0x0202, 0x0203})
    friend = {"InitiatorName": "iqn.2026-11.test:friend"}
    for name in w.hidden_targets[:1]:
        refused_login(w, {"TargetName": name, **friend}, {0x0202, 0x0203})
    for name in w.hidden_targets[1:]:
        ping(w.login({"TargetName": name, **friend}).conn)


@case("11.12.4", [(0, 0, 0), (255, 0, 0), (1, 1, 0x0205), (255, 2, 0x0205), (0, 1, 0x0205)])
def versions(w, high, low, status):
    c = w.connect()
    c.send(login_request(w.url, version_max=high, version_min=low))
    if status:
        refused(c, status)
    else:
        c.expect(LoginResponse, status=0, version_active=0, version_max=0)


@case("12.1", [("None", "None"), ("CHAP,None", "None"), ("None,CHAP", "None"),
               ("KRB5,None,CHAP", "None")])
def auth_method(w, offer, answer):
    """Where nothing is asked for, None is chosen."""
    require(answers_of(w, {"AuthMethod": offer}, csg=0)["AuthMethod"] == answer, "answer")


@case("12.1", [("CHAP",), ("SRP,CHAP",), ("Bogus",), ("",)])
def auth_method_without_none(w, offer):
    refused_login(w, {"AuthMethod": offer}, csg=0, nsg=1, status={0x0200, 0x0201})


@case("6.3.2, 6.3.3", [(1, "AuthMethod", "None"), (0, "MaxBurstLength", "8192"),
                       (0, "HeaderDigest", "None")])
def key_in_the_wrong_stage(w, csg, key, value):
    refused_login(w, {key: value}, csg=csg)


# ---- sessions

@case("6.3.1, 11.13.5")
def tsih_unknown(w):
    refused_login(w, tsih=0x7777, status=0x020A)


@case("6.3.1, 11.13.5")
def second_connection(w):
    """MaxConnections=1: another CID in the session is one too many."""
    s = w.session()
    refused_login(w, isid=s.isid, tsih=s.tsih, cid=9, status=0x0206)
    ping(s.conn)


@case("6.3.1")
def tsih_with_another_isid(w):
    s = w.session()
    refused_login(w, isid=new_isid(), tsih=s.tsih, cid=1)
    ping(s.conn)


@case("6.3.5")
def session_reinstatement(w):
    """Same name, same ISID, TSIH 0: the old session ends, the new one serves."""
    s = w.session()
    t = w.login(isid=s.isid)
    s.conn.expect_closed(after=(AsyncMessage,))
    reap(t)
    t.scsi(read10(0, 1), edtl_in=512).good()


@case("6.3.5")
def reinstatement_ends_waiting_writes(w):
    s = w.session({"ImmediateData": "No", "InitialR2T": "Yes"})
    s.conn.send(ScsiCommand(cdb=write10(0, 8), write=1, edtl=4096, lun=s.lun))
    s.conn.expect(R2T)
    t = w.login(isid=s.isid)
    s.conn.expect_closed(after=(AsyncMessage,))
    reap(t)
    t.scsi(read10(0, 1), edtl_in=512).good()


@case("4.4.3")
def parallel_sessions(w):
    """Other ISIDs are other nexuses."""
    many = [w.session() for _ in range(5)]
    require(len({s.tsih for s in many}) == 5, "TSIHs are not unique")
    for s in many:
        s.scsi(read10(0, 1), edtl_in=512).good()


# ---- what does not belong here

@case("6.3", [(op,) for op in range(64) if op != 3])
def first_pdu_is_no_login(w, op):
    """The connection ends at once, without an answer."""
    c = w.connect()
    c.send(Pdu(opcode=op, imm=1, itt=1, patch={1: 0x80}))
    c.expect_closed()


@case("6.3", [(0,), (1,), (2,), (4,), (5,), (6,), (16,), (0x1C,), (0x3F,)])
def no_login_during_login(w, op):
    """Login reject 020Bh, then the end."""
    c = w.connect()
    c.send(login_request(w.url, csg=0, nsg=1))
    c.expect(LoginResponse, status=0)
    c.send(Pdu(opcode=op, imm=1, itt=1, patch={1: 0x80}))
    refused(c, 0x020B)


@case("11.12", [("itt", 99), ("cid", 7), ("isid", b"\x80zzzzz"), ("tsih", 5)])
def changed_during_login(w, field, value):
    c = w.connect()
    req = c.send(login_request(w.url, csg=0, nsg=1))
    c.expect(LoginResponse, status=0)
    fields = {"itt": req.itt, "isid": req.isid, field: value}
    c.send(LoginRequest(csg=1, nsg=3, transit=1, **fields))
    refused(c)


@case("6.3")
def login_in_full_feature(w):
    s = w.session()
    s.conn.send(login_request(w.url, isid=s.isid))
    s.conn.expect_closed(after=(Reject, LoginResponse))


@case("11.2.1.4")
def ahs_in_login(w):
    c = w.connect()
    c.send(login_request(w.url, ahs=ahs(1, bytes(9))))
    c.expect_closed(after=(LoginResponse,))


@case("13.12, 11.2.1.5")
def login_segment_too_long(w):
    """More than the 8192 bytes of the Login Phase."""
    c = w.connect()
    c.send(login_request(w.url, [(f"X-{i}", "v" * 200) for i in range(50)]))
    c.expect_closed(after=(LoginResponse,))


@case("6.3", [1, 3, 47, 48, 49])
def login_in_segments(w, size):
    """TCP may cut anywhere."""
    c = w.connect()
    c.send(login_request(w.url), segments=size)
    c.expect(LoginResponse, status=0, transit=1)
