# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of every key (RFC 7143 chapter 13), and discovery and text
requests (11.10, 11.11, appendix C)."""
from wire_case import *
from wire_case import answers_of, case, ping, rejected, rejected_or_closed, require

NONE = "no answer"


def one_of(*values):
    return lambda v: v in values


def number(low, high):
    return lambda v: v.isdigit() and low <= int(v) <= high


RESULTS = [
    # 13.1: the first of the initiator's that the target has
    ("HeaderDigest", "None", one_of("None")), ("DataDigest", "None", one_of("None")),
    ("HeaderDigest", "None,CRC32C", one_of("None")), ("DataDigest", "None,CRC32C", one_of("None")),
    ("HeaderDigest", "CRC32C", one_of("CRC32C")), ("DataDigest", "CRC32C", one_of("CRC32C")),
    ("HeaderDigest", "CRC32C,None", one_of("CRC32C")), ("DataDigest", "X,CRC32C", one_of("CRC32C")),
    ("HeaderDigest", "X-new,None", one_of("None")),
    # 13.2: minimum
    ("MaxConnections", "1", one_of("1")), ("MaxConnections", "65535", number(1, 65535)),
    # 13.10: OR, 13.11: AND
    ("InitialR2T", "Yes", one_of("Yes")), ("InitialR2T", "No", one_of("Yes", "No")),
    ("ImmediateData", "No", one_of("No")), ("ImmediateData", "Yes", one_of("Yes", "No")),
    # 13.12: declared
    ("MaxRecvDataSegmentLength", "512", one_of(NONE)),
    ("MaxRecvDataSegmentLength", "16777215", one_of(NONE)),
    ("InitiatorAlias", "some one", one_of(NONE)), ("InitiatorAlias", "\u00e4\u20ac", one_of(NONE)),
    # 13.13, 13.14: minimum; the first burst is no more than the burst
    ("MaxBurstLength", "512", one_of("512")), ("MaxBurstLength", "16777215", number(512, 16777215)),
    ("MaxBurstLength", "0x2000", one_of("8192", "0x2000")),
    ("MaxBurstLength", "0X200", one_of("512", "0x200", "0X200")),
    ("FirstBurstLength", "512", one_of("512")),
    ("FirstBurstLength", "16777215", number(512, 262144)),
    # 13.15: maximum, 13.16: minimum
    ("DefaultTime2Wait", "3600", one_of("3600")), ("DefaultTime2Wait", "0", number(0, 3600)),
    ("DefaultTime2Retain", "0", one_of("0")), ("DefaultTime2Retain", "3600", number(0, 3600)),
    # 13.17: minimum
    ("MaxOutstandingR2T", "1", one_of("1")), ("MaxOutstandingR2T", "65535", number(1, 65535)),
    # 13.18, 13.19: OR
    ("DataPDUInOrder", "Yes", one_of("Yes")), ("DataSequenceInOrder", "Yes", one_of("Yes")),
    ("DataPDUInOrder", "No", one_of("Yes", "No")),
    ("DataSequenceInOrder", "No", one_of("Yes", "No")),
    # 13.20: minimum
    ("ErrorRecoveryLevel", "0", one_of("0")), ("ErrorRecoveryLevel", "2", number(0, 2)),
    # 13.23, 13.24
    ("TaskReporting", "RFC3720", one_of("RFC3720")),
    ("TaskReporting", "FastAbort,ResponseFence,RFC3720",
     one_of("RFC3720", "FastAbort", "ResponseFence")),
    ("iSCSIProtocolLevel", "0", one_of("0")), ("iSCSIProtocolLevel", "1", number(0, 1)),
    ("iSCSIProtocolLevel", "31", number(0, 31)),
    # 13.25: obsolete
    ("IFMarker", "Yes", one_of("No")), ("OFMarker", "Yes", one_of("No")),
    ("IFMarker", "No", one_of("No")), ("IFMarkInt", "2048~8192", one_of("Reject")),
    ("OFMarkInt", "2048", one_of("Reject")),
]


@case("13", RESULTS)
def key_result(w, key, offer, ok):
    got = w.login({key: offer}).answers
    value = got.get(key, NONE)
    if key == "MaxRecvDataSegmentLength":  # its own declaration is no answer
        require(value == NONE or 512 <= int(value) <= 16777215, f"{key}={value}")
    else:
        require(ok(value), f"{key}={offer} is answered {value}")


@case("13.14", [(512, 65536), (8192, 8193), (65536, 16777215)])
def first_burst_within_burst(w, burst, first):
    for keys in ([("MaxBurstLength", burst), ("FirstBurstLength", first)],
                 [("FirstBurstLength", first), ("MaxBurstLength", burst)]):
        c, _, r = w.first_response([(k, str(v)) for k, v in keys])
        got = dict(pairs(r.data))
        require(r.status >> 8 == 2 or
                int(got["FirstBurstLength"]) <= int(got["MaxBurstLength"]) <= burst, got)


@case("13", [("MaxConnections", "2"), ("InitialR2T", "No"), ("ImmediateData", "No"),
             ("MaxBurstLength", "512"), ("FirstBurstLength", "512"), ("MaxOutstandingR2T", "1"),
             ("DataPDUInOrder", "Yes"), ("DataSequenceInOrder", "Yes")])
def irrelevant_in_discovery(w, key, value):
    """Keys that are of no use in a discovery session may be answered Irrelevant."""
    got = w.discovery({key: value}).answers
    require(got.get(key) == "Irrelevant" or got.get(key) is not None, got)


@case("13.18, 13.19", [("DataPDUInOrder",), ("DataSequenceInOrder",)],
      pending="E14: data out of order is not accepted yet; Yes is a legal answer")
def order_not_needed(w, key):
    require(answers_of(w, {key: "No"})[key] == "No", "No")


# ---- discovery

def send_targets(s, value, size=None):
    """All records of one exchange, and its responses."""
    itt, ttt, out, pdus = s.conn.tag(), NO_TAG, b"", []
    data = text({"SendTargets": value})
    while True:
        s.conn.send(TextRequest(itt=itt, ttt=ttt, data=data))
        r = s.conn.expect(TextResponse, itt=itt, data_len=range((size or s.max_recv) + 1))
        out += r.data
        pdus.append(r)
        require(not (r.final and r.cont), "F and C at once (11.11.2)")
        require((r.ttt == NO_TAG) == bool(r.final), "TTT is FFFFFFFFh with F only (11.11.4)")
        if r.final:
            return pairs(out), pdus
        data, ttt = b"", r.ttt


def records(got):
    """{target: [addresses]}; TargetName first, then its addresses (appendix C)."""
    out, name = {}, None
    for key, value in got:
        if key == "TargetName":
            name = value
            require(name not in out, f"{name} twice")
            out[name] = []
        elif key == "TargetAddress":
            require(name, "an address before a name")
            out[name].append(value)
        else:
            require(False, f"{key} in a SendTargets reply")
    return out


def addressed(w, addresses):
    host = f"[{w.url.host}]" if ":" in w.url.host else w.url.host
    require(any(a.startswith(f"{host}:{w.url.port},") for a in addresses), addresses)
    require(all(a.rpartition(",")[2].isdigit() for a in addresses), addresses)


@case("appendix C")
def send_targets_all(w):
    got = records(send_targets(w.discovery(), "All")[0])
    addressed(w, got[w.url.target])
    require(len(got) == 1 + w.extra_targets, f"{len(got)} targets, {1 + w.extra_targets} exist")


@case("appendix C, 11.11", [(512,), (1024,), (515,)])
def send_targets_in_pieces(w, size):
    got, pdus = send_targets(w.discovery({"MaxRecvDataSegmentLength": str(size)}), "All", size)
    require(len(records(got)) == 1 + w.extra_targets, f"{len(got)} records")
    require(len(pdus) > 2, "one PDU for all")
    require(all(p.cont and not p.final for p in pdus[:-1]), "C=1, F=0 on all but the last")


@case("appendix C")
def send_targets_by_name(w):
    s = w.discovery()
    require(set(records(send_targets(s, w.url.target)[0])) == {w.url.target}, "that one")
    require(records(send_targets(s, "iqn.2026-11.test:nobody")[0]) == {}, "none")
    ping(s.conn)


@case("appendix C, E28")
def send_targets_shows_what_may_be_used(w):
    """Targets that this initiator may not log in to are not told of."""
    s = w.discovery()
    require(set(w.hidden_targets).isdisjoint(records(send_targets(s, "All")[0])), "a hidden target")
    for name in w.hidden_targets:
        require(records(send_targets(s, name)[0]) == {}, f"{name} is told of")
    friend = w.discovery({"InitiatorName": "iqn.2026-11.test:friend"})
    require(set(w.hidden_targets) & set(records(send_targets(friend, "All")[0])) ==
            set(w.hidden_targets[1:]), "a friend's targets")


@case("appendix C", [("",), (None,)])
def send_targets_own(w, value):
    """In a normal session: its own target, asked for by name or by nothing."""
    s = w.login()
    got = records(send_targets(s, w.url.target if value is None else value)[0])
    require(set(got) == {w.url.target}, got)
    addressed(w, got[w.url.target])


@case("appendix C")
def send_targets_all_in_normal_session(w):
    """All must not be supported there."""
    s = w.login()
    p = s.conn.send(TextRequest(data=text({"SendTargets": "All"})))
    r = s.conn.expect((TextResponse, Reject))
    if isinstance(r, TextResponse):
        require(pairs(r.data) == [("SendTargets", "Reject")], pairs(r.data))


@case("appendix C")
def send_targets_of_another(w):
    s = w.login()
    p = s.conn.send(TextRequest(data=text({"SendTargets": w.other_target})))
    r = s.conn.expect((TextResponse, Reject))
    require(isinstance(r, Reject) or w.other_target.encode() not in r.data, "another target")


@case("4.3", [(1, ), (2,), (5,), (16,)])
def discovery_is_for_discovery(w, op):
    """SCSI commands, task management, data, SNACK: not in a discovery session."""
    s = w.discovery()
    kinds = {1: ScsiCommand(imm=1, cdb=tur()), 2: TmfRequest(imm=1, function=5),
             5: DataOut(data=b"x" * 16), 16: Snack()}
    rejected_or_closed(s.conn, kinds[op])


@case("4.3")
def discovery_serves(w):
    s = w.discovery()
    ping(s.conn, b"hello")
    s.conn.send(NopOut(data=b"numbered"))
    s.conn.expect(NopIn, data=b"numbered")
    s.logout()


# ---- text requests in the full feature phase

@case("11.10")
def text_unknown_key(w):
    s = w.session()
    before = s.conn.cmd_sn
    p = s.conn.send(TextRequest(data=text({"X-org.test": "1"})))
    r = s.conn.expect(TextResponse, itt=p.itt, final=1, cont=0, ttt=NO_TAG, exp_cmd_sn=before + 1)
    require(pairs(r.data) == [("X-org.test", "NotUnderstood")], pairs(r.data))


@case("11.10.2, 6.2")
def text_continued(w):
    """A key cut in two by C=1."""
    s = w.session()
    p = s.conn.send(TextRequest(final=0, cont=1, data=b"X-or"))
    r = s.conn.expect(TextResponse, itt=p.itt, final=0, cont=0, data=b"", ttt=lambda t: t != NO_TAG)
    s.conn.send(TextRequest(itt=p.itt, ttt=r.ttt, data=b"g=1\0"))
    r = s.conn.expect(TextResponse, itt=p.itt, final=1, ttt=NO_TAG)
    require(pairs(r.data) == [("X-org", "NotUnderstood")], pairs(r.data))


@case("11.10.1, 11.11.1")
def text_not_final(w):
    """F=0: the target keeps the exchange open with a tag; F=1 ends it."""
    s = w.session()
    p = s.conn.send(TextRequest(final=0, data=text({"X-a": "1"})))
    r = s.conn.expect(TextResponse, itt=p.itt, final=0, ttt=lambda t: t != NO_TAG)
    s.conn.send(TextRequest(itt=p.itt, ttt=r.ttt))
    s.conn.expect(TextResponse, itt=p.itt, final=1, ttt=NO_TAG, data=b"")


@case("6.2")
def text_64k(w):
    s = w.session()
    body = text([(f"X-{i}", "v" * 240) for i in range(250)])
    require(60000 < len(body) <= 65536, len(body))
    itt, ttt = s.conn.tag(), NO_TAG
    while len(body) > 8000:
        s.conn.send(TextRequest(itt=itt, ttt=ttt, final=0, cont=1, data=body[:8000]))
        ttt = s.conn.expect(TextResponse, final=0, data=b"", itt=itt).ttt
        body = body[8000:]
    s.conn.send(TextRequest(itt=itt, ttt=ttt, data=body))
    s.conn.expect(TextResponse, itt=itt, data=lambda d: d.startswith(b"X-0=NotUnderstood\0"))


@case("6.2")
def text_without_end(w):
    """C=1 for ever: refused at some length, with the session alive or closed."""
    s = w.session()
    itt, ttt = s.conn.tag(), NO_TAG
    try:
        for _ in range(300):
            s.conn.send(TextRequest(itt=itt, ttt=ttt, final=0, cont=1, data=b"x" * 8000, imm=1))
            r = s.conn.expect((TextResponse, Reject))
            if isinstance(r, Reject):
                ping(s.conn)
                return
            ttt = r.ttt
    except Closed:
        return
    require(False, "2.4 MB of one text were accepted")


@case("11.10.2")
def text_final_and_continue(w):
    s = w.session()
    rejected(s.conn, TextRequest(final=1, cont=1, data=text({"X-a": "1"})), {0x04, 0x09})


@case("11.10.4", [(0x1234,), (0,)])
def text_wrong_tag(w, ttt):
    s = w.session()
    rejected(s.conn, TextRequest(ttt=ttt, data=text({"X-a": "1"})), {0x04, 0x09})


@case("11.10.4")
def text_wrong_tag_in_exchange(w):
    """The task tag is right, the transfer tag is not the one of the last response."""
    s = w.session()
    p = s.conn.send(TextRequest(final=0, cont=1, data=b"X-a"))
    r = s.conn.expect(TextResponse, itt=p.itt, final=0)
    rejected(s.conn, TextRequest(itt=p.itt, ttt=r.ttt + 1, data=b"=1\0"), {0x04, 0x09})


@case("11.10.4")
def text_begins_anew(w):
    """A request with TTT FFFFFFFFh forgets what was open."""
    s = w.session()
    s.conn.send(TextRequest(final=0, cont=1, data=b"X-dropped"))
    s.conn.expect(TextResponse, final=0)
    p = s.conn.send(TextRequest(data=text({"X-new": "1"})))
    r = s.conn.expect(TextResponse, itt=p.itt, final=1)
    require(pairs(r.data) == [("X-new", "NotUnderstood")], pairs(r.data))


@case("13.12")
def text_changes_segment_length(w):
    """MaxRecvDataSegmentLength may be declared again; it holds from then on."""
    s = w.session({"MaxRecvDataSegmentLength": "65536"})
    require(len(s.scsi(read10(0, 16), edtl_in=8192).good().data_ins) == 1, "one Data-In")
    s.conn.send(TextRequest(data=text({"MaxRecvDataSegmentLength": "1024"})))
    s.conn.expect(TextResponse, final=1)
    s.max_recv = 1024
    require(len(s.scsi(read10(0, 16), edtl_in=8192).good().data_ins) == 8, "eight Data-Ins")


@case("13", [("HeaderDigest", "None"), ("InitialR2T", "No"), ("MaxBurstLength", "512"),
             ("TargetName", "iqn.2026-11.test:other"), ("InitiatorName", "iqn.2026-11.test:x"),
             ("SessionType", "Discovery"), ("AuthMethod", "None"), ("MaxConnections", "4"),
             ("ErrorRecoveryLevel", "0"), ("MaxRecvDataSegmentLength", "0")])
def text_key_of_login(w, key, value):
    """Not negotiable in the full feature phase (or not legal)."""
    s = w.session()
    s.conn.send(TextRequest(imm=1, data=text({key: value})))
    r = s.conn.expect((TextResponse, Reject))
    if isinstance(r, TextResponse):
        require(pairs(r.data) == [(key, "Reject")], pairs(r.data))
    s.scsi(read10(0, 16), edtl_in=8192).good()


@case("6.3")
def text_key_twice(w):
    s = w.session()
    rejected(s.conn, TextRequest(data=text([("MaxRecvDataSegmentLength", "512")] * 2)),
             {0x04, 0x09})


@case("6.1", [b"novalue\0", b"X-a=1", b"=\0"])
def text_broken(w, data):
    s = w.session()
    rejected(s.conn, TextRequest(data=data), {0x04, 0x09})
    s.scsi(read10(0, 1), edtl_in=512).good()


@case("11.2.1.8")
def text_without_tag(w):
    s = w.session()
    rejected_or_closed(s.conn, TextRequest(itt=NO_TAG, imm=1, data=text({"X-a": "1"})))
