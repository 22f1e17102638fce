/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The iSCSI text keys (RFC 7143 chapters 12 and 13, RFC 7144): one table that
 * says for each key what its value is, who may send it, when, and how the
 * result is found.  Pure but for the growth of the reply buffer.  It must not
 * know PDUs; the login dialogue and text requests are its callers.
 */
#ifndef PORTAL_KEYS_H
#define PORTAL_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "portal/iscsi.h"
#include "portal/text.h"

enum iscsi_digest { ISCSI_DIGEST_NONE = 0, ISCSI_DIGEST_CRC32C = 1 };
enum iscsi_task_reporting {
	ISCSI_REPORT_RFC3720 = 0,
	ISCSI_REPORT_RESPONSE_FENCE = 1,
	ISCSI_REPORT_FAST_ABORT = 2,
};

/* What this target offers: the bound, or the preference, of each key. */
struct login_limits {
	uint32_t max_connections;
	uint32_t max_recv_data; /* what we declare: 512..16777215 */
	uint32_t max_burst; /* 262144..16776192: at least the key's default */
	uint32_t first_burst; /* 65536..max_burst: at least the key's default */
	uint32_t max_outstanding_r2t;
	uint32_t time2wait, time2retain; /* seconds */
	uint32_t error_recovery_level;
	uint32_t protocol_level;
	uint32_t digests; /* bit 1 << enum iscsi_digest */
	uint32_t task_reporting; /* bit 1 << enum iscsi_task_reporting */
	uint32_t cmd_window; /* commands: MaxCmdSN = ExpCmdSN + cmd_window - 1 */
	bool initial_r2t; /* true: we insist on R2T */
	bool immediate_data;
	bool data_pdu_in_order;
	bool data_sequence_in_order;
};

/* What this version of the program can do truthfully. */
void login_limits_default(struct login_limits *l);

/* What holds after the negotiation; the key's default where none took place. */
struct iscsi_params {
	uint32_t header_digest, data_digest; /* enum iscsi_digest */
	uint32_t max_connections;
	uint32_t max_send_data; /* bytes: the initiator's MaxRecvDataSegmentLength */
	uint32_t max_recv_data; /* bytes: ours, as declared (8192 until then) */
	uint32_t max_burst, first_burst; /* bytes; first_burst <= max_burst */
	uint32_t max_outstanding_r2t;
	uint32_t time2wait, time2retain; /* seconds */
	uint32_t error_recovery_level;
	uint32_t protocol_level;
	uint32_t task_reporting; /* enum iscsi_task_reporting */
	bool initial_r2t, immediate_data;
	bool data_pdu_in_order, data_sequence_in_order;
};

void iscsi_params_default(struct iscsi_params *p);

/* The state of one negotiation (a login, or a text exchange). No pointers but
 * those to the caller's. */
struct keys {
	const struct login_limits *limits; /* the caller's */
	struct iscsi_params params;
	uint64_t seen; /* rows of the table already declared or negotiated */
	bool discovery; /* SessionType */
	bool leading; /* the first connection of its session */
	bool auth_none; /* AuthMethod=None was agreed */
	bool declared_recv; /* our MaxRecvDataSegmentLength is out */
	char initiator[ISCSI_NAME_MAX + 1]; /* "" until declared */
	char target[ISCSI_NAME_MAX + 1];
	char alias[ISCSI_VALUE_MAX + 1]; /* InitiatorAlias */

	/* Answers SendTargets in the full feature phase; returns false to reject. */
	bool (*send_targets)(void *arg, struct text_span value, struct text_buf *reply);
	void *arg;
};

void keys_init(struct keys *k, const struct login_limits *limits);

/*
 * Goes through one whole text of the initiator in @stage and appends the
 * answers to @reply.  0, or a login status (enum iscsi_login_status): 0200h
 * for broken text, a key sent twice, out of its stage, or with an illegal
 * value (7.12: a failed negotiation ends the login), 0201h if no AuthMethod is
 * acceptable.  In the full feature phase a nonzero status means: Reject with
 * reason 04h, all parameters are as before.  Unknown keys get NotUnderstood.
 */
int keys_negotiate(struct keys *k, enum iscsi_stage stage, struct text_span text,
		   struct text_buf *reply);

/* Declares our MaxRecvDataSegmentLength in @reply, once. */
void keys_declare_recv(struct keys *k, struct text_buf *reply);

/* From here on InitiatorName, TargetName and SessionType are refused: they
 * belong into the first request of a login (6.3.1). */
void keys_close_identity(struct keys *k);

/* Begins another negotiation on the same parameters (a new text exchange). */
void keys_restart(struct keys *k);

#endif
