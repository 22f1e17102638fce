/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iSCSI on the wire: opcodes, flag bits, field offsets and code values with
 * the names of RFC 7143 (chapter 11 unless said otherwise).  Constants only:
 * parsing and building is in portal/pdu.h, and nothing casts a wire pointer to
 * a struct.
 */
#ifndef PORTAL_ISCSI_H
#define PORTAL_ISCSI_H

#include <stdint.h>

enum {
	ISCSI_BHS_LEN = 48, /* 11.2.1 */
	ISCSI_AHS_MAX = 255 * 4, /* TotalAHSLength counts words in one byte */
	ISCSI_PORT = 3260,
	ISCSI_NAME_MAX = 223, /* bytes, without NUL: 4.2.7.1 */
	ISCSI_VALUE_MAX = 255, /* bytes of a text value: 6.1 */
	ISCSI_KEY_MAX = 63, /* bytes of a key name: 6.1 */
	ISCSI_ISID_LEN = 6,
	ISCSI_CDB_LEN = 16, /* in the BHS; more in an Extended CDB AHS */
	ISCSI_LOGIN_DATA_MAX = 8192, /* MaxRecvDataSegmentLength in the Login Phase */
	ISCSI_TEXT_MAX = 65536, /* bytes of key=value text in one negotiation step */
	ISCSI_VERSION = 0,
};

#define ISCSI_TAG_NONE 0xffffffffu /* reserved ITT and TTT */

/* 11.2.1.2 */
enum iscsi_opcode {
	ISCSI_OP_NOP_OUT = 0x00,
	ISCSI_OP_SCSI_CMD = 0x01,
	ISCSI_OP_TMF_REQ = 0x02,
	ISCSI_OP_LOGIN_REQ = 0x03,
	ISCSI_OP_TEXT_REQ = 0x04,
	ISCSI_OP_DATA_OUT = 0x05,
	ISCSI_OP_LOGOUT_REQ = 0x06,
	ISCSI_OP_SNACK = 0x10,
	ISCSI_OP_NOP_IN = 0x20,
	ISCSI_OP_SCSI_RSP = 0x21,
	ISCSI_OP_TMF_RSP = 0x22,
	ISCSI_OP_LOGIN_RSP = 0x23,
	ISCSI_OP_TEXT_RSP = 0x24,
	ISCSI_OP_DATA_IN = 0x25,
	ISCSI_OP_LOGOUT_RSP = 0x26,
	ISCSI_OP_R2T = 0x31,
	ISCSI_OP_ASYNC = 0x32,
	ISCSI_OP_REJECT = 0x3f,

	ISCSI_OP_MASK = 0x3f,
	ISCSI_IMMEDIATE = 0x40, /* I bit, same byte */
};

/* Offsets that every BHS has. */
enum {
	BHS_OPCODE = 0,
	BHS_FLAGS = 1,
	BHS_AHS_WORDS = 4,
	BHS_DATA_LEN = 5, /* 3 bytes */
	BHS_LUN = 8, /* 8 bytes, or opcode-specific */
	BHS_ITT = 16,
	BHS_TTT = 20, /* where there is one */
	BHS_CMD_SN = 24, /* from the initiator */
	BHS_EXP_STAT_SN = 28,
	BHS_STAT_SN = 24, /* from the target */
	BHS_EXP_CMD_SN = 28,
	BHS_MAX_CMD_SN = 32,
};

enum {
	ISCSI_FLAG_FINAL = 0x80, /* F; T in a login PDU */
	ISCSI_FLAG_CONTINUE = 0x40, /* C of text and login PDUs */
	ISCSI_CMD_READ = 0x40, /* 11.3.1 */
	ISCSI_CMD_WRITE = 0x20,
	ISCSI_CMD_ATTR = 0x07,
	ISCSI_DATA_IN_ACK = 0x40, /* 11.7.2 */
	ISCSI_RSP_BIDI_OVERFLOW = 0x10, /* 11.4.1 */
	ISCSI_RSP_BIDI_UNDERFLOW = 0x08,
	ISCSI_RSP_OVERFLOW = 0x04, /* here and in Data-In */
	ISCSI_RSP_UNDERFLOW = 0x02,
	ISCSI_DATA_IN_STATUS = 0x01, /* S bit */
};

/* Task attributes, 11.3.1. */
enum iscsi_attr {
	ISCSI_ATTR_UNTAGGED = 0,
	ISCSI_ATTR_SIMPLE = 1,
	ISCSI_ATTR_ORDERED = 2,
	ISCSI_ATTR_HEAD_OF_QUEUE = 3,
	ISCSI_ATTR_ACA = 4,
};

/* AHS types, 11.2.2.1. */
enum iscsi_ahs { ISCSI_AHS_EXTENDED_CDB = 1, ISCSI_AHS_BIDI_READ_LEN = 2 };

/* The Response field of a SCSI Response, 11.4.3. */
enum iscsi_response { ISCSI_RSP_COMPLETED = 0x00, ISCSI_RSP_TARGET_FAILURE = 0x01 };

/* Task management functions, 11.5.1 and RFC 7144 4.1. */
enum iscsi_tmf {
	ISCSI_TMF_ABORT_TASK = 1,
	ISCSI_TMF_ABORT_TASK_SET = 2,
	ISCSI_TMF_CLEAR_ACA = 3,
	ISCSI_TMF_CLEAR_TASK_SET = 4,
	ISCSI_TMF_LUN_RESET = 5,
	ISCSI_TMF_TARGET_WARM_RESET = 6,
	ISCSI_TMF_TARGET_COLD_RESET = 7,
	ISCSI_TMF_TASK_REASSIGN = 8,
	ISCSI_TMF_QUERY_TASK = 9,
	ISCSI_TMF_QUERY_TASK_SET = 10,
	ISCSI_TMF_I_T_NEXUS_RESET = 11,
	ISCSI_TMF_QUERY_ASYNC_EVENT = 12,
};

/* 11.6.1 and RFC 7144 4.2. */
enum iscsi_tmf_rsp {
	ISCSI_TMF_RSP_COMPLETE = 0,
	ISCSI_TMF_RSP_NO_TASK = 1,
	ISCSI_TMF_RSP_NO_LUN = 2,
	ISCSI_TMF_RSP_ALLEGIANT = 3,
	ISCSI_TMF_RSP_NO_REASSIGN = 4,
	ISCSI_TMF_RSP_NOT_SUPPORTED = 5,
	ISCSI_TMF_RSP_NOT_AUTHORIZED = 6,
	ISCSI_TMF_RSP_SUCCEEDED = 7,
	ISCSI_TMF_RSP_REJECTED = 255,
};

/* Logout reasons 11.14.1 and responses 11.15.1. */
enum iscsi_logout {
	ISCSI_LOGOUT_SESSION = 0,
	ISCSI_LOGOUT_CONNECTION = 1,
	ISCSI_LOGOUT_RECOVERY = 2,
};
enum iscsi_logout_rsp {
	ISCSI_LOGOUT_RSP_CLOSED = 0,
	ISCSI_LOGOUT_RSP_NO_CID = 1,
	ISCSI_LOGOUT_RSP_NO_RECOVERY = 2,
	ISCSI_LOGOUT_RSP_FAILED = 3,
};

/* 11.16.1 */
enum iscsi_snack {
	ISCSI_SNACK_DATA_R2T = 0,
	ISCSI_SNACK_STATUS = 1,
	ISCSI_SNACK_DATA_ACK = 2,
	ISCSI_SNACK_R_DATA = 3,
};

/* Reject reasons, 11.17.1. */
enum iscsi_reject {
	ISCSI_REJECT_DATA_DIGEST = 0x02,
	ISCSI_REJECT_SNACK = 0x03,
	ISCSI_REJECT_PROTOCOL_ERROR = 0x04,
	ISCSI_REJECT_NOT_SUPPORTED = 0x05,
	ISCSI_REJECT_IMMEDIATE = 0x06, /* too many immediate commands */
	ISCSI_REJECT_TASK_IN_PROGRESS = 0x07,
	ISCSI_REJECT_DATA_ACK = 0x08,
	ISCSI_REJECT_INVALID_FIELD = 0x09,
	ISCSI_REJECT_LONG_OPERATION = 0x0a, /* out of resources for a TTT */
	ISCSI_REJECT_WAIT_LOGOUT = 0x0c,
};

/* Asynchronous events, 11.9.1. */
enum iscsi_async {
	ISCSI_ASYNC_SCSI = 0,
	ISCSI_ASYNC_LOGOUT_REQUEST = 1,
	ISCSI_ASYNC_DROP_CONNECTION = 2,
	ISCSI_ASYNC_DROP_SESSION = 3,
	ISCSI_ASYNC_NEGOTIATE = 4,
	ISCSI_ASYNC_TASKS_TERMINATED = 5,
};

/* Login stages (CSG, NSG), 11.12.3. */
enum iscsi_stage {
	ISCSI_STAGE_SECURITY = 0,
	ISCSI_STAGE_OPERATIONAL = 1,
	ISCSI_STAGE_FULL_FEATURE = 3,
};

/* Login Response Status-Class << 8 | Status-Detail, 11.13.5. */
enum iscsi_login_status {
	ISCSI_LOGIN_OK = 0x0000,
	ISCSI_LOGIN_MOVED_TEMP = 0x0101,
	ISCSI_LOGIN_MOVED_PERM = 0x0102,
	ISCSI_LOGIN_INITIATOR_ERROR = 0x0200,
	ISCSI_LOGIN_AUTH_FAILED = 0x0201,
	ISCSI_LOGIN_FORBIDDEN = 0x0202,
	ISCSI_LOGIN_NOT_FOUND = 0x0203,
	ISCSI_LOGIN_REMOVED = 0x0204,
	ISCSI_LOGIN_BAD_VERSION = 0x0205,
	ISCSI_LOGIN_TOO_MANY_CONNS = 0x0206,
	ISCSI_LOGIN_MISSING_PARAM = 0x0207,
	ISCSI_LOGIN_NO_INCLUDE = 0x0208,
	ISCSI_LOGIN_SESSION_TYPE = 0x0209,
	ISCSI_LOGIN_NO_SESSION = 0x020a,
	ISCSI_LOGIN_INVALID_REQUEST = 0x020b,
	ISCSI_LOGIN_TARGET_ERROR = 0x0300,
	ISCSI_LOGIN_UNAVAILABLE = 0x0301,
	ISCSI_LOGIN_NO_RESOURCES = 0x0302,
};

/* Bytes of padding after a data segment of @len bytes (11.7.7: words of 4). */
static inline uint32_t
iscsi_pad(uint32_t len)
{
	return (0u - len) & 3u;
}

/* Serial number arithmetic, RFC 1982 with 32 bits (RFC 7143 4.2.2.1). */
static inline int
iscsi_sn_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

#endif
