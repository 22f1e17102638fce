# SPDX-License-Identifier: GPL-2.0-or-later
"""CRC32C as iSCSI's digests use it (RFC 7143 13.1): the Castagnoli polynomial,
reflected, all ones before and after; on the wire the least significant byte first."""


def _table():
    out = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        out.append(n)
    return out


_TABLE = _table()


def crc32c(data):
    table, crc = _TABLE, 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def digest(data):
    """The four bytes of a digest."""
    return crc32c(data).to_bytes(4, "little")


# The examples of RFC 7143 A.4.
assert digest(bytes(32)) == bytes.fromhex("aa36918a")
assert digest(b"\xff" * 32) == bytes.fromhex("43aba862")
assert digest(bytes(range(32))) == bytes.fromhex("4e79dd46")
