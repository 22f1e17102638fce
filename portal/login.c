/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The login dialogue: a state machine over requests and responses.  It must
 * not touch a socket, a clock or the configuration.
 */
#include "portal/login.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "portal/pdu.h"
#include "proto/util.h"

enum {
	/* Enough for 64 KiB of text in pieces of 64 bytes; the clock is the caller's. */
	LOGIN_ROUNDS_MAX = 1024,
};

enum login_state {
	LS_NEW, /* nothing received yet */
	LS_TALK,
	LS_COMMIT, /* waiting for the caller's decision */
	LS_END,
};

struct login {
	struct login_limits limits;
	struct keys keys;
	struct login_result result;
	struct pdu_login_req first; /* what must not change during the login */
	struct pdu_login_req req; /* the request being answered */
	struct text_buf in; /* text of requests joined by C */
	struct text_buf out; /* our answers to it */
	size_t sent; /* bytes of out that are gone */
	enum login_state state;
	enum iscsi_stage stage;
	unsigned rounds;
	uint32_t stat_sn;
	uint16_t status;
	bool identified; /* the first whole text was accepted */
	size_t pdu_len;
	uint8_t pdu[ISCSI_BHS_LEN + ISCSI_LOGIN_DATA_MAX];
};

_Static_assert(ISCSI_LOGIN_DATA_MAX % 4 == 0, "the padding fits into login.pdu");

struct login *
login_new(const struct login_limits *limits, uint16_t tpgt)
{
	struct login *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	assert(limits->max_burst >= 262144 && limits->first_burst >= 65536);
	assert(limits->first_burst <= limits->max_burst && limits->cmd_window);
	l->limits = *limits;
	l->result.tpgt = tpgt;
	keys_init(&l->keys, &l->limits);
	text_buf_init(&l->in, ISCSI_TEXT_MAX);
	text_buf_init(&l->out, ISCSI_TEXT_MAX);
	return l;
}

void
login_free(struct login *l)
{
	if (!l)
		return;
	text_buf_done(&l->in);
	text_buf_done(&l->out);
	free(l);
}

/* ---- responses ------------------------------------------------------------- */

/* One Login Response with the next @len bytes of the answers. */
static void
build(struct login *l, bool transit, bool cont, uint16_t tsih, size_t len)
{
	uint32_t pad = iscsi_pad((uint32_t)len);
	struct pdu_login_rsp rsp = {
		.sn = {
			.stat_sn = l->stat_sn++,
			.exp_cmd_sn = l->first.cmd_sn,
			.max_cmd_sn = l->first.cmd_sn + l->limits.cmd_window - 1,
		},
		.itt = l->req.itt,
		.data_len = (uint32_t)len,
		.tsih = tsih,
		.status = l->status,
		.csg = (uint8_t)l->stage,
		.nsg = l->req.nsg,
		.transit = transit,
		.cont = cont,
	};

	memcpy(rsp.isid, l->first.isid, sizeof(rsp.isid));
	pdu_build_login_rsp(l->pdu, &rsp);
	if (len)
		memcpy(l->pdu + ISCSI_BHS_LEN, l->out.ptr + l->sent, len);
	memset(l->pdu + ISCSI_BHS_LEN + len, 0, pad);
	l->pdu_len = ISCSI_BHS_LEN + len + pad;
	l->sent += len;
	if (l->sent == l->out.len) {
		text_buf_reset(&l->out);
		l->sent = 0;
	}
}

static enum login_verdict
refuse(struct login *l, uint16_t status)
{
	l->status = status;
	l->state = LS_END;
	build(l, false, false, l->first.tsih, 0);
	return LOGIN_REFUSED;
}

enum login_verdict
login_refuse(struct login *l, uint16_t status)
{
	assert(l->state != LS_END && status != ISCSI_LOGIN_OK);
	if (l->state == LS_NEW) {
		l->status = status;
		l->state = LS_END;
		return LOGIN_CLOSE;
	}
	return refuse(l, status);
}

/* The largest data segment that we may send now: the key's default during the
 * Login Phase (11.12.5), less if the initiator already asked for less. */
static size_t
send_max(const struct login *l)
{
	return MIN((uint32_t)ISCSI_LOGIN_DATA_MAX, l->keys.params.max_send_data);
}

static void
fill_result(struct login *l)
{
	struct login_result *r = &l->result;

	memcpy(r->initiator, l->keys.initiator, sizeof(r->initiator));
	if (!l->keys.discovery)
		memcpy(r->target, l->keys.target, sizeof(r->target));
	memcpy(r->initiator_alias, l->keys.alias, sizeof(r->initiator_alias));
	memcpy(r->isid, l->first.isid, sizeof(r->isid));
	r->tsih = l->first.tsih;
	r->cid = l->first.cid;
	r->discovery = l->keys.discovery;
	r->exp_cmd_sn = l->first.cmd_sn;
	r->params = l->keys.params;
}

/* Sends the next part of the answers; the last part changes the stage. */
static enum login_verdict
answer(struct login *l)
{
	size_t left = l->out.len - l->sent;

	if (left > send_max(l)) {
		build(l, false, true, l->first.tsih, send_max(l));
		return LOGIN_SEND;
	}
	if (l->req.transit && l->req.nsg == ISCSI_STAGE_FULL_FEATURE) {
		fill_result(l);
		l->state = LS_COMMIT;
		return LOGIN_COMMIT;
	}
	build(l, l->req.transit, false, l->first.tsih, left);
	if (l->req.transit)
		l->stage = (enum iscsi_stage)l->req.nsg;
	return LOGIN_SEND;
}

enum login_verdict
login_commit(struct login *l, uint16_t tsih, const char *alias)
{
	size_t len = l->out.len;

	assert(l->state == LS_COMMIT && tsih);
	if (alias && *alias && !l->result.discovery) {
		text_add(&l->out, "TargetAlias", alias);
		if (l->out.err || l->out.len - l->sent > send_max(l))
			l->out.len = len;
	}
	build(l, true, false, tsih, l->out.len - l->sent);
	l->result.tsih = tsih;
	l->result.stat_sn = l->stat_sn;
	l->state = LS_END;
	return LOGIN_DONE;
}

enum login_verdict
login_redirect(struct login *l, bool permanent, const char *address)
{
	assert(l->state == LS_COMMIT);
	text_buf_reset(&l->out);
	l->sent = 0;
	text_add(&l->out, "TargetAddress", address);
	if (l->out.err || l->out.len > send_max(l))
		return login_refuse(l, ISCSI_LOGIN_UNAVAILABLE);
	l->status = permanent ? ISCSI_LOGIN_MOVED_PERM : ISCSI_LOGIN_MOVED_TEMP;
	l->state = LS_END;
	build(l, false, false, l->first.tsih, l->out.len);
	return LOGIN_REFUSED;
}

/* ---- requests -------------------------------------------------------------- */

int
login_rest(const uint8_t raw[ISCSI_BHS_LEN])
{
	struct bhs b;

	if (bhs_parse(&b, raw) || b.opcode != ISCSI_OP_LOGIN_REQ ||
	    b.data_len > ISCSI_LOGIN_DATA_MAX)
		return -EPROTO;
	return (int)bhs_rest(&b);
}

/* Remembers the first request, so that whatever follows can be answered. */
static void
begin(struct login *l)
{
	l->first = l->req;
	l->keys.leading = !l->req.tsih;
	l->state = LS_TALK;
	l->stage = (enum iscsi_stage)l->req.csg;
}

/* 11.12.3: from Security to Operational or Full Feature, from Operational to
 * Full Feature; never back, and not with text still to come. */
static bool
stages_ok(const struct login *l)
{
	const struct pdu_login_req *r = &l->req;

	if (r->csg > ISCSI_STAGE_OPERATIONAL || r->csg != l->stage)
		return false;
	if (!r->transit)
		return true;
	return !r->cont && r->nsg > r->csg &&
	       (r->nsg == ISCSI_STAGE_OPERATIONAL || r->nsg == ISCSI_STAGE_FULL_FEATURE);
}

static uint16_t
check_request(struct login *l, const struct bhs *b, int malformed, size_t n)
{
	const struct pdu_login_req *r = &l->req;

	if (r->version_min > ISCSI_VERSION)
		return ISCSI_LOGIN_BAD_VERSION;
	if (malformed || !b->immediate || !stages_ok(l) || n != bhs_rest(b) ||
	    b->data_len > ISCSI_LOGIN_DATA_MAX)
		return ISCSI_LOGIN_INITIATOR_ERROR;
	if (r->itt != l->first.itt || r->tsih != l->first.tsih || r->cid != l->first.cid ||
	    memcmp(r->isid, l->first.isid, sizeof(r->isid)))
		return ISCSI_LOGIN_INITIATOR_ERROR;
	if (++l->rounds > LOGIN_ROUNDS_MAX)
		return ISCSI_LOGIN_INITIATOR_ERROR;
	return ISCSI_LOGIN_OK;
}

static uint16_t
buf_status(const struct text_buf *b)
{
	if (!b->err)
		return ISCSI_LOGIN_OK;
	return b->err == -ENOMEM ? ISCSI_LOGIN_NO_RESOURCES : ISCSI_LOGIN_INITIATOR_ERROR;
}

/* The first whole text must say who and where to (6.3.1, 13.4, 13.5). */
static uint16_t
identify(struct login *l)
{
	if (!l->keys.initiator[0] || (!l->keys.discovery && !l->keys.target[0]))
		return ISCSI_LOGIN_MISSING_PARAM;
	if (!l->keys.discovery)
		text_add_number(&l->out, "TargetPortalGroupTag", l->result.tpgt);
	keys_close_identity(&l->keys);
	l->identified = true;
	return ISCSI_LOGIN_OK;
}

static uint16_t
take_text(struct login *l)
{
	struct text_span text = { l->in.ptr, l->in.len };
	uint16_t status = (uint16_t)keys_negotiate(&l->keys, l->stage, text, &l->out);

	text_buf_reset(&l->in);
	if (!status && !l->identified)
		status = identify(l);
	if (status)
		return status;
	if (l->stage == ISCSI_STAGE_OPERATIONAL)
		keys_declare_recv(&l->keys, &l->out);
	return buf_status(&l->out);
}

enum login_verdict
login_input(struct login *l, const uint8_t raw[ISCSI_BHS_LEN], const uint8_t *rest, size_t n)
{
	struct bhs b;
	int malformed = bhs_parse(&b, raw);
	uint16_t status;

	assert(l->state == LS_NEW || l->state == LS_TALK);
	if (b.opcode != ISCSI_OP_LOGIN_REQ) /* 6.3 */
		return login_refuse(l, ISCSI_LOGIN_INVALID_REQUEST);
	pdu_login_req(&b, &l->req);
	if (l->state == LS_NEW)
		begin(l);
	status = check_request(l, &b, malformed, n);
	if (status)
		return refuse(l, status);

	if (l->out.len) { /* the rest of our answers, asked for by an empty request */
		if (b.data_len || l->req.cont)
			return refuse(l, ISCSI_LOGIN_INITIATOR_ERROR);
		return answer(l);
	}
	text_buf_append(&l->in, rest, b.data_len);
	status = buf_status(&l->in);
	if (status)
		return refuse(l, status);
	if (l->req.cont) {
		build(l, false, false, l->first.tsih, 0);
		return LOGIN_SEND;
	}
	status = take_text(l);
	return status ? refuse(l, status) : answer(l);
}

/* ---- what came of it ------------------------------------------------------- */

const uint8_t *
login_out(const struct login *l, size_t *len)
{
	*len = l->pdu_len;
	return l->pdu;
}

const struct login_result *
login_result(const struct login *l)
{
	assert(l->state >= LS_COMMIT);
	return &l->result;
}

const char *
login_initiator(const struct login *l)
{
	return l->keys.initiator;
}

uint16_t
login_status(const struct login *l)
{
	return l->status;
}
