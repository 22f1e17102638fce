/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text exchange of one connection.  No sockets, no numbering.
 */
#include "portal/textreq.h"

#include <errno.h>

#include "proto/util.h"

enum {
	/* A reply names every target with every portal: bounded by the configuration,
	 * and here against a configuration gone wild. */
	TEXTREQ_REPLY_MAX = 64 << 20,
};

void
textreq_init(struct textreq *t, const struct login_limits *limits,
	     const struct iscsi_params *params, bool discovery)
{
	keys_init(&t->keys, limits);
	t->keys.params = *params;
	t->keys.discovery = discovery;
	text_buf_init(&t->in, ISCSI_TEXT_MAX);
	text_buf_init(&t->out, TEXTREQ_REPLY_MAX);
	t->sent = 0;
	t->itt = ISCSI_TAG_NONE;
	t->ttt = ISCSI_TAG_NONE;
	t->next_ttt = 1;
}

void
textreq_done(struct textreq *t)
{
	text_buf_done(&t->in);
	text_buf_done(&t->out);
	t->ttt = ISCSI_TAG_NONE;
}

/* Forgets the exchange and gives its memory back. One that is not finished
 * leaves the parameters as they were before it (7.12). */
static void
end(struct textreq *t)
{
	if (t->ttt != ISCSI_TAG_NONE)
		t->keys.params = t->before;
	textreq_done(t);
	t->sent = 0;
	keys_restart(&t->keys);
}

static int
reject(struct textreq *t, int reason)
{
	end(t);
	t->itt = ISCSI_TAG_NONE;
	return reason;
}

static bool
send_targets(void *arg, struct text_span value, struct text_buf *reply)
{
	return discovery_send_targets(arg, value, reply);
}

static int
take_text(struct textreq *t, const struct disco_view *view)
{
	struct text_span text = { t->in.ptr, t->in.len };
	int status;

	t->keys.send_targets = send_targets;
	t->keys.arg = (void *)(uintptr_t)view;
	status = keys_negotiate(&t->keys, ISCSI_STAGE_FULL_FEATURE, text, &t->out);
	t->keys.send_targets = NULL;
	t->keys.arg = NULL;
	text_buf_reset(&t->in);
	if (status)
		return ISCSI_REJECT_PROTOCOL_ERROR;
	return t->out.err ? ISCSI_REJECT_LONG_OPERATION : 0;
}

/* A response that leaves the exchange open, for the initiator to go on. */
static void
keep_open(struct textreq *t, struct textreq_reply *out)
{
	if (t->ttt == ISCSI_TAG_NONE) {
		t->ttt = t->next_ttt++;
		if (t->ttt == ISCSI_TAG_NONE)
			t->ttt = t->next_ttt++;
	}
	out->rsp.ttt = t->ttt;
}

static void
answer(struct textreq *t, const struct pdu_text_req *req, struct textreq_reply *out)
{
	uint32_t left = (uint32_t)t->out.len - t->sent;
	uint32_t len = MIN(left, t->keys.params.max_send_data);

	out->data = len ? (const uint8_t *)t->out.ptr + t->sent : NULL;
	out->rsp.data_len = len;
	t->sent += len;
	if (len < left) {
		out->rsp.cont = true;
		keep_open(t, out);
	} else if (!req->final) {
		keep_open(t, out);
	} else {
		out->rsp.final = true;
		t->ttt = ISCSI_TAG_NONE;
	}
}

int
textreq_input(struct textreq *t, const struct pdu_text_req *req, const uint8_t *data,
	      uint32_t len, const struct disco_view *view, struct textreq_reply *out)
{
	int reason;

	/* No tag begins anew, whatever was open (11.10.4). */
	if (req->ttt == ISCSI_TAG_NONE) {
		end(t);
		t->before = t->keys.params;
	} else if (req->ttt != t->ttt || req->itt != t->itt) {
		return reject(t, ISCSI_REJECT_PROTOCOL_ERROR);
	}
	t->itt = req->itt;
	*out = (struct textreq_reply){
		.rsp = { .lun = req->lun, .itt = req->itt, .ttt = ISCSI_TAG_NONE }
	};

	if (t->sent < t->out.len) { /* the rest of our answer */
		if (len || req->cont)
			return reject(t, ISCSI_REJECT_PROTOCOL_ERROR);
		answer(t, req, out);
		return 0;
	}
	text_buf_reset(&t->out);
	t->sent = 0;
	text_buf_append(&t->in, data, len);
	if (t->in.err)
		return reject(t, t->in.err == -ENOMEM ? ISCSI_REJECT_LONG_OPERATION :
							ISCSI_REJECT_PROTOCOL_ERROR);
	if (req->cont) {
		keep_open(t, out);
		return 0;
	}
	reason = take_text(t, view);
	if (reason)
		return reject(t, reason);
	answer(t, req, out);
	return 0;
}
