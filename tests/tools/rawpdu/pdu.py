# SPDX-License-Identifier: GPL-2.0-or-later
"""Every iSCSI PDU type (RFC 7143 chapter 11): a class with its fields by name.

Constructors take each field, and data=, ahs=; nothing is checked, so that
anything can be said.  Lengths are computed unless given (data_len=, ahs_len=);
patch={offset: bytes} overwrites header bytes last; pad= replaces the padding;
header_digest= and data_digest= replace what the connection negotiated: a
number, bytes, or "bad".  What the connection fills in (itt, cmd_sn,
exp_stat_sn) is left alone once given."""
from .crc32c import digest

NO_TAG = 0xFFFFFFFF
BHS_LEN = 48


class _Any:
    def __repr__(self):
        return "anything"

    def __eq__(self, other):
        return True


ANY = _Any()


class Field:
    """An integer of `size` bytes, the bits of `mask` in one byte, or raw bytes."""

    def __init__(self, at, size=1, mask=None, raw=False):
        self.at, self.size, self.mask, self.raw = at, size, mask, raw
        self.shift = (mask & -mask).bit_length() - 1 if mask else 0

    def get(self, bhs):
        part = bytes(bhs[self.at:self.at + self.size])
        if self.raw:
            return part
        value = int.from_bytes(part, "big")
        return (value & self.mask) >> self.shift if self.mask else value

    def set(self, bhs, value):
        if self.raw:
            value = bytes(value)[:self.size]
            bhs[self.at:self.at + self.size] = value.ljust(self.size, b"\0")
        elif self.mask:
            bhs[self.at] = bhs[self.at] & ~self.mask | int(value) << self.shift & self.mask
        else:
            top = 1 << 8 * self.size
            bhs[self.at:self.at + self.size] = (int(value) % top).to_bytes(self.size, "big")

    def text(self, value):
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).hex() or "(empty)"
        if isinstance(value, bool) or not isinstance(value, int) or self.mask:
            return str(value)
        return f"0x{value:0{2 * self.size}x} ({value})" if self.size < 8 else f"0x{value:016x}"


def bit(at, mask):
    return Field(at, mask=mask)


def num(at, size):
    return Field(at, size)


def raw(at, size):
    return Field(at, size, raw=True)


F, LUN = bit(1, 0x80), num(8, 8)
TTT = num(20, 4)
FROM_INITIATOR = {"cmd_sn": num(24, 4), "exp_stat_sn": num(28, 4)}
FROM_TARGET = {"stat_sn": num(24, 4), "exp_cmd_sn": num(28, 4), "max_cmd_sn": num(32, 4)}
COMMON = {"opcode": bit(0, 0x3F), "imm": bit(0, 0x40), "ahs_len": num(4, 1),
          "data_len": num(5, 3), "itt": num(16, 4)}


class Pdu:
    """An unknown opcode, or a base: only the fields that all have."""
    NAME, OPCODE, FIELDS, DEFAULTS = "PDU", None, {}, {}
    KNOWN = {}  # opcode: class

    def __init_subclass__(cls):
        cls.FIELDS = {**COMMON, **cls.FIELDS}
        Pdu.KNOWN[cls.OPCODE] = cls

    def __init__(self, data=b"", ahs=b"", pad=None, patch=None, header_digest=None,
                 data_digest=None, **fields):
        put = object.__setattr__
        put(self, "bhs", bytearray(BHS_LEN))
        put(self, "given", set(fields))
        for name, value in (("data", data), ("ahs", ahs), ("pad", pad), ("patch", patch or {}),
                            ("header_digest", header_digest), ("data_digest", data_digest)):
            put(self, name, value)
        if self.OPCODE is not None:
            self.put("opcode", self.OPCODE)
        for name, value in {**self.DEFAULTS, **fields}.items():
            self.put(name, value)

    def put(self, name, value):
        self.field(name).set(self.bhs, value)

    @classmethod
    def field(cls, name):
        fields = cls.FIELDS or COMMON
        if name not in fields:
            raise AttributeError(f"{cls.NAME} has no field {name}; it has {', '.join(fields)}")
        return fields[name]

    def __getattr__(self, name):
        return self.field(name).get(self.bhs)

    def __setattr__(self, name, value):
        if name in ("data", "ahs", "pad", "patch", "header_digest", "data_digest"):
            object.__setattr__(self, name, value)
            return
        self.given.add(name)
        self.put(name, value)

    def has(self, name):
        return name in (self.FIELDS or COMMON)

    # ---- to and from the wire

    def encode(self, header_digest=False, data_digest=False):
        if "ahs_len" not in self.given:
            self.put("ahs_len", (len(self.ahs) + 3) // 4)
        if "data_len" not in self.given:
            self.put("data_len", len(self.data))
        head = bytearray(self.bhs)
        for at, value in self.patch.items():
            value = bytes([value]) if isinstance(value, int) else value
            head[at:at + len(value)] = value
        head = bytes(head) + self.ahs
        pad = bytes(-len(self.data) % 4) if self.pad is None else self.pad
        body = bytes(self.data) + pad
        out = head + _digest(self.header_digest, header_digest, head)
        return out + body + (_digest(self.data_digest, data_digest, body) if body else b"")

    @classmethod
    def decode(cls, head, ahs=b"", data=b"", pad=b""):
        kind = Pdu.KNOWN.get(head[0] & 0x3F, Pdu)
        p = kind(data=data, ahs=ahs, pad=pad)
        p.bhs[:] = head
        return p

    # ---- for people

    def reserved_bits(self):
        """Offsets of header bytes with a bit set that no field has (they must be 0)."""
        cover = bytearray(BHS_LEN)
        for f in (self.FIELDS or COMMON).values():
            for i in range(f.size):
                cover[f.at + i] |= f.mask or 0xFF
        return [i for i in range(BHS_LEN) if self.bhs[i] & ~cover[i] & 0xFF]

    def rows(self):
        for name, f in (self.FIELDS or COMMON).items():
            yield name, f.text(f.get(self.bhs))
        if self.ahs:
            yield "ahs", self.ahs.hex()
        yield "data", show_data(self.data)

    def __repr__(self):
        shown = ", ".join(f"{n}={v.split(' ')[0] if n != 'data' else v}" for n, v in self.rows()
                          if n != "opcode" and v.strip("0x ()") and v != "(none)")
        return f"{self.NAME}({shown})"


def _digest(forced, negotiated, body):
    if forced is None:
        return digest(body) if negotiated else b""
    if forced == "bad":
        good = digest(body)
        return bytes([good[0] ^ 1]) + good[1:]
    return forced.to_bytes(4, "little") if isinstance(forced, int) else forced


def show_data(data, limit=64):
    if not data:
        return "(none)"
    data = bytes(data)
    printable = sum(32 <= b < 127 or b == 0 for b in data[:limit]) > 0.9 * min(len(data), limit)
    head = repr(data[:limit])[1:] if printable else data[:limit].hex()
    return f"{len(data)} bytes: {head}" + ("..." if len(data) > limit else "")


# ---- from the initiator ----------------------------------------------------

class NopOut(Pdu):
    NAME, OPCODE, DEFAULTS = "NOP-Out", 0x00, {"final": 1, "ttt": NO_TAG}
    FIELDS = {"final": F, "lun": LUN, "ttt": TTT, **FROM_INITIATOR}


class ScsiCommand(Pdu):
    NAME, OPCODE, DEFAULTS = "SCSI Command", 0x01, {"final": 1, "attr": 1}
    FIELDS = {"final": F, "read": bit(1, 0x40), "write": bit(1, 0x20), "attr": bit(1, 0x07),
              "lun": LUN, "edtl": num(20, 4), **FROM_INITIATOR, "cdb": raw(32, 16)}


class TmfRequest(Pdu):
    NAME, OPCODE = "Task Management Request", 0x02
    DEFAULTS = {"final": 1, "ref_itt": NO_TAG}
    FIELDS = {"final": F, "function": bit(1, 0x7F), "lun": LUN, "ref_itt": num(20, 4),
              **FROM_INITIATOR, "ref_cmd_sn": num(32, 4), "exp_data_sn": num(36, 4)}


class LoginRequest(Pdu):
    NAME, OPCODE, DEFAULTS = "Login Request", 0x03, {"imm": 1}
    FIELDS = {"transit": F, "cont": bit(1, 0x40), "csg": bit(1, 0x0C), "nsg": bit(1, 0x03),
              "version_max": num(2, 1), "version_min": num(3, 1), "isid": raw(8, 6),
              "tsih": num(14, 2), "cid": num(20, 2), **FROM_INITIATOR}


class TextRequest(Pdu):
    NAME, OPCODE, DEFAULTS = "Text Request", 0x04, {"final": 1, "ttt": NO_TAG}
    FIELDS = {"final": F, "cont": bit(1, 0x40), "lun": LUN, "ttt": TTT, **FROM_INITIATOR}


class DataOut(Pdu):
    NAME, OPCODE, DEFAULTS = "SCSI Data-Out", 0x05, {"final": 1, "ttt": NO_TAG}
    FIELDS = {"final": F, "lun": LUN, "ttt": TTT, "exp_stat_sn": num(28, 4),
              "data_sn": num(36, 4), "offset": num(40, 4)}


class LogoutRequest(Pdu):
    NAME, OPCODE, DEFAULTS = "Logout Request", 0x06, {"final": 1}
    FIELDS = {"final": F, "reason": bit(1, 0x7F), "cid": num(20, 2), **FROM_INITIATOR}


class Snack(Pdu):
    NAME, OPCODE = "SNACK Request", 0x10
    DEFAULTS = {"final": 1, "ttt": NO_TAG, "itt": NO_TAG}
    FIELDS = {"final": F, "type": bit(1, 0x0F), "lun": LUN, "ttt": TTT,
              "exp_stat_sn": num(28, 4), "beg_run": num(40, 4), "run_length": num(44, 4)}


# ---- from the target -------------------------------------------------------

class NopIn(Pdu):
    NAME, OPCODE = "NOP-In", 0x20
    FIELDS = {"final": F, "lun": LUN, "ttt": TTT, **FROM_TARGET}


class ScsiResponse(Pdu):
    NAME, OPCODE = "SCSI Response", 0x21
    FIELDS = {"final": F, "bidi_over": bit(1, 0x10), "bidi_under": bit(1, 0x08),
              "over": bit(1, 0x04), "under": bit(1, 0x02), "response": num(2, 1),
              "status": num(3, 1), "snack_tag": num(20, 4), **FROM_TARGET,
              "exp_data_sn": num(36, 4), "bidi_residual": num(40, 4), "residual": num(44, 4)}

    @property
    def sense(self):
        """(key, asc << 8 | ascq) of fixed or descriptor sense data, or None."""
        n = int.from_bytes(self.data[:2], "big")
        s = self.data[2:2 + n]
        if len(s) >= 14 and s[0] & 0x7F in (0x70, 0x71):
            return s[2] & 15, s[12] << 8 | s[13]
        if len(s) >= 4 and s[0] & 0x7F in (0x72, 0x73):
            return s[1] & 15, s[2] << 8 | s[3]
        return None


class TmfResponse(Pdu):
    NAME, OPCODE = "Task Management Response", 0x22
    FIELDS = {"final": F, "response": num(2, 1), **FROM_TARGET}


class LoginResponse(Pdu):
    NAME, OPCODE = "Login Response", 0x23
    FIELDS = {"transit": F, "cont": bit(1, 0x40), "csg": bit(1, 0x0C), "nsg": bit(1, 0x03),
              "version_max": num(2, 1), "version_active": num(3, 1), "isid": raw(8, 6),
              "tsih": num(14, 2), **FROM_TARGET, "status": num(36, 2)}


class TextResponse(Pdu):
    NAME, OPCODE = "Text Response", 0x24
    FIELDS = {"final": F, "cont": bit(1, 0x40), "lun": LUN, "ttt": TTT, **FROM_TARGET}


class DataIn(Pdu):
    NAME, OPCODE = "SCSI Data-In", 0x25
    FIELDS = {"final": F, "ack": bit(1, 0x40), "over": bit(1, 0x04), "under": bit(1, 0x02),
              "s": bit(1, 0x01), "status": num(3, 1), "lun": LUN, "ttt": TTT, **FROM_TARGET,
              "data_sn": num(36, 4), "offset": num(40, 4), "residual": num(44, 4)}


class LogoutResponse(Pdu):
    NAME, OPCODE = "Logout Response", 0x26
    FIELDS = {"final": F, "response": num(2, 1), **FROM_TARGET, "time2wait": num(40, 2),
              "time2retain": num(42, 2)}


class R2T(Pdu):
    NAME, OPCODE = "R2T", 0x31
    FIELDS = {"final": F, "lun": LUN, "ttt": TTT, **FROM_TARGET, "r2t_sn": num(36, 4),
              "offset": num(40, 4), "length": num(44, 4)}


class AsyncMessage(Pdu):
    NAME, OPCODE = "Asynchronous Message", 0x32
    FIELDS = {"final": F, "lun": LUN, **FROM_TARGET, "event": num(36, 1), "vcode": num(37, 1),
              "param1": num(38, 2), "param2": num(40, 2), "param3": num(42, 2)}


class Reject(Pdu):
    NAME, OPCODE = "Reject", 0x3F
    FIELDS = {"final": F, "reason": num(2, 1), **FROM_TARGET, "data_sn": num(36, 4)}


# ---- what goes into them ---------------------------------------------------

def text(keys):
    """key=value text of a dict, or of a list of pairs, strings or bytes."""
    items = keys.items() if isinstance(keys, dict) else keys
    out = b""
    for item in items:
        if isinstance(item, tuple):
            item = f"{item[0]}={item[1]}"
        out += (item.encode() if isinstance(item, str) else item) + b"\0"
    return out


def pairs(data):
    """The (key, value) pairs of a text; ValueError where it is none."""
    data = bytes(data)
    if data and not data.endswith(b"\0"):
        raise ValueError("the text does not end with a NUL")
    out = []
    for item in data.split(b"\0")[:-1]:
        key, eq, value = item.decode("utf-8").partition("=")
        if not eq or not key:
            raise ValueError(f"no key=value: {item!r}")
        out.append((key, value))
    return out


def ahs(kind, body, length=None):
    """One Additional Header Segment (11.2.2); `length` overrides AHSLength."""
    n = len(body) if length is None else length
    out = n.to_bytes(2, "big") + bytes([kind]) + body
    return out + bytes(-len(out) % 4)


def extended_cdb_ahs(rest):
    return ahs(1, b"\0" + rest)


def bidi_read_ahs(length):
    return ahs(2, b"\0" + length.to_bytes(4, "big"))
