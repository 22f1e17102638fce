/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text requests in the full feature phase (RFC 7143 6.4, 11.10, 11.11): joins
 * requests continued with C, answers keys (SendTargets, a new
 * MaxRecvDataSegmentLength), and hands the reply out in pieces that the
 * initiator can receive.  No sockets; the caller numbers and sends.
 */
#ifndef PORTAL_TEXTREQ_H
#define PORTAL_TEXTREQ_H

#include <stdbool.h>
#include <stdint.h>

#include "portal/discovery.h"
#include "portal/keys.h"
#include "portal/pdu.h"

/* One a connection: at most one exchange is open at a time. */
struct textreq {
	struct keys keys; /* keys.params: the parameters now in force */
	struct iscsi_params before; /* in force when the open exchange began */
	struct text_buf in, out;
	uint32_t sent; /* bytes of out that are gone */
	uint32_t itt;
	uint32_t ttt; /* ISCSI_TAG_NONE: no exchange open */
	uint32_t next_ttt;
};

struct textreq_reply {
	struct pdu_text_rsp rsp; /* all but sn */
	const uint8_t *data; /* rsp.data_len bytes without padding, valid until the next call */
};

/* @params: as negotiated by the login. @limits stays the caller's and must
 * outlive @t. */
void textreq_init(struct textreq *t, const struct login_limits *limits,
		  const struct iscsi_params *params, bool discovery);
void textreq_done(struct textreq *t);

/*
 * One Text Request with its data segment (req from pdu_text_req).  0: send
 * @out; or a Reject reason, which ends the exchange.  Afterwards
 * t->keys.params.max_send_data is what the initiator can receive now.
 */
int textreq_input(struct textreq *t, const struct pdu_text_req *req, const uint8_t *data,
		  uint32_t len, const struct disco_view *view, struct textreq_reply *out);

#endif
