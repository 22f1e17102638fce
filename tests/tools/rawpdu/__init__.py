# SPDX-License-Identifier: GPL-2.0-or-later
"""An iSCSI initiator that says exactly what goes over the wire, and what must
come back (RFC 7143).  Standard library only; works against any target.

	pdu.py      every PDU type: each field by name, any of them overridable
	conn.py     one connection: numbers, digests, segments, expect()
	session.py  logging in, whole SCSI commands, residuals

A session logs in, then either whole commands or single PDUs:

	s = login("iscsi://127.0.0.1:3260/iqn.2026-11.test:disk/0")
	s.scsi(read10(0, 8), edtl_in=4096).good()
	s.conn.send(NopOut(imm=1, itt=7, data=b"ping"))
	s.conn.expect(NopIn, itt=7, ttt=NO_TAG, data=b"ping")
"""
from .conn import Closed, Connection, Mismatch, Timeout, Url, WireError
from .crc32c import crc32c
from .pdu import (ANY, NO_TAG, AsyncMessage, DataIn, DataOut, LoginRequest, LoginResponse,
                  LogoutRequest, LogoutResponse, NopIn, NopOut, Pdu, R2T, Reject, ScsiCommand,
                  ScsiResponse, Snack, TextRequest, TextResponse, TmfRequest, TmfResponse,
                  ahs, bidi_read_ahs, extended_cdb_ahs, pairs, text)
from .session import (Result, Session, inquiry, login, login_request, lun_bytes, new_isid,
                      read10, read16, reap, tur, write10)
