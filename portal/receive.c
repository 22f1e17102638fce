/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each PDU of an initiator means in the full feature phase: a table by
 * opcode, run when the header has come (where does the data go?) and again
 * when the data has.  Handlers return 0, a Reject reason (> 0), or -EPROTO.
 *
 * A PDU that is rejected does not count as received: its CmdSN stays the
 * expected one (RFC 7143 11.17).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "portal/catalog.h"
#include "portal/conn.h"
#include "portal/session.h"
#include "portal/thread.h"
#include "portal/tmf.h"
#include "proto/log.h"
#include "proto/scsi.h"

struct rx_op {
	int (*header)(struct conn *c, const uint8_t *ahs); /* optional */
	int (*run)(struct conn *c, const struct bhs *b, const uint8_t *data);
	bool numbered; /* carries a CmdSN that run() is ordered by */
	bool discovery; /* allowed in a discovery session */
};

/* ---- SCSI commands ----------------------------------------------------- */

static int
fill_cmd(struct cmd *cmd, const struct conn *c, const struct pdu_scsi_cmd *p)
{
	const struct iscsi_params *par = conn_params(c);
	size_t len = pdu_cdb_copy(p, cmd->cdb, sizeof(cmd->cdb));

	if (!len)
		return ISCSI_REJECT_INVALID_FIELD;
	cmd->cdb_len = (uint16_t)len;
	cmd->cmdsn = p->cmd_sn;
	cmd->lun = p->lun;
	cmd->attr = p->attr;
	cmd->edtl_out = p->write ? p->edtl : 0;
	cmd->edtl_in = p->read ? (p->write ? p->bidi_edtl : p->edtl) : 0;
	cmd->unsol = p->write && !p->final && !par->initial_r2t && cmd->edtl_out > 0;
	return 0;
}

/* What was not negotiated (RFC 7143 13.10, 13.11, 13.14) fails the command with
 * the sense of 11.4.7.2.  0: nothing. */
static uint16_t
cmd_violation(const struct conn *c, const struct pdu_scsi_cmd *p)
{
	const struct iscsi_params *par = conn_params(c);

	if (c->bhs.data_len && !par->immediate_data)
		return ASC_UNEXPECTED_UNSOLICITED_DATA;
	if (!p->final && p->edtl && par->initial_r2t)
		return ASC_UNEXPECTED_UNSOLICITED_DATA;
	return c->bhs.data_len > par->first_burst ? ASC_NOT_ENOUGH_UNSOLICITED_DATA : 0;
}

/* The command counts as received: it is its turn, or it waits for it. */
static void
scsi_accept(struct conn *c, struct cmd *cmd)
{
	struct session *s = c->sess;

	s->stats.commands++;
	if (!cmd->immediate && cmdsn_check(&s->sn, cmd->cmdsn) == CMDSN_AHEAD) {
		session_hold(s, cmd->cmdsn, cmd, NULL);
		return;
	}
	s->sn.exp += !cmd->immediate;
	cmd_start(cmd);
}

static int
scsi_header(struct conn *c, const uint8_t *ahs)
{
	struct session *s = c->sess;
	struct pdu_scsi_cmd p;
	enum cmdsn_verdict v = CMDSN_NEXT;
	uint16_t asc;
	struct cmd *cmd;
	int reason = pdu_scsi_cmd(&c->bhs, ahs, &p);

	if (reason)
		return reason;
	if (!c->bhs.immediate)
		v = cmdsn_check(&s->sn, p.cmd_sn);
	if (v == CMDSN_IGNORE || (v == CMDSN_AHEAD && session_is_held(s, p.cmd_sn)))
		return 0; /* dropped without a word: RFC 7143 4.2.2.1 */
	if (cmd_find(&s->cmds, p.itt))
		return ISCSI_REJECT_TASK_IN_PROGRESS;
	cmd = cmd_new(s, p.itt, c->bhs.immediate);
	if (!cmd)
		return ISCSI_REJECT_IMMEDIATE;
	reason = fill_cmd(cmd, c, &p);
	if (reason) {
		cmd_end(cmd);
		return reason;
	}
	asc = cmd_violation(c, &p);
	if (asc && v == CMDSN_NEXT) {
		s->sn.exp += !c->bhs.immediate;
		cmd_data_error(cmd, asc);
		return 0;
	}
	c->sink = SINK_CMD;
	c->sink_cmd = cmd;
	c->sink_off = 0;
	if (v == CMDSN_AHEAD && asc)
		return conn_fail(c, ISCSI_REJECT_PROTOCOL_ERROR, "data not negotiated");
	/* So that what is granted now is not submitted before its immediate data
	 * has come. */
	cmd->arriving = c->bhs.data_len > 0;
	if (!cmd->arriving || !c->late_accept)
		scsi_accept(c, cmd);
	return 0;
}

static int
scsi_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	struct cmd *cmd = c->sink_cmd;

	if (!cmd || !b->data_len)
		return 0;
	cmd->out_have = b->data_len;
	cmd->arriving = false;
	if (cmd->out_have >= cmd->edtl_out)
		cmd->unsol = false;
	if (c->late_accept)
		scsi_accept(c, cmd);
	else
		cmd_advance(cmd);
	return 0;
}

/* ---- Data-Out ---------------------------------------------------------- */

/* RFC 7143 11.7 with DataPDUInOrder and DataSequenceInOrder=Yes.  0, or the
 * sense of 7.9 and 11.4.7.2 that the command ends with. */
static uint16_t
data_violation(const struct conn *c, const struct cmd *cmd, const struct pdu_data_out *p)
{
	const struct cmd_r2t *r = &cmd->r2t[cmd->r2t_head];
	bool solicited = p->ttt != ISCSI_TAG_NONE;
	uint32_t end, limit;

	if (solicited ? !cmd->n_r2t : !cmd->unsol)
		return ASC_UNEXPECTED_UNSOLICITED_DATA;
	/* Of a later R2T, or a PDU is missing: data is lost. */
	if ((solicited && p->ttt != r->ttt) || p->offset != cmd->out_have ||
	    p->data_sn != (solicited ? r->datasn : cmd->out_datasn))
		return ASC_DATA_PHASE_CRC;
	limit = solicited ? r->end : MIN(cmd->edtl_out, conn_params(c)->first_burst);
	if (__builtin_add_overflow(p->offset, c->bhs.data_len, &end) || end > limit ||
	    (solicited && p->final != (end == limit)))
		return ASC_NOT_ENOUGH_UNSOLICITED_DATA;
	/* Unasked it is all of the first burst, when there is more to come (11.4.7.2). */
	if (!solicited && p->final && end < limit && limit < cmd->edtl_out)
		return ASC_NOT_ENOUGH_UNSOLICITED_DATA;
	return 0;
}

static int
data_header(struct conn *c, const uint8_t *ahs)
{
	struct pdu_data_out p;
	struct cmd *cmd;
	uint16_t asc;
	int reason = pdu_data_out(&c->bhs, &p);

	if (reason)
		return reason;
	cmd = cmd_find(&c->sess->cmds, p.itt);
	if (!cmd || cmd->tmf || cmd->data_error)
		return 0; /* of a command that was aborted, failed, rejected or ignored */
	asc = data_violation(c, cmd, &p);
	if (asc && cmd->state == CMD_HELD)
		return conn_fail(c, ISCSI_REJECT_PROTOCOL_ERROR, "data out of sequence");
	if (asc) {
		log_limited(LOG_LEVEL_INFO, "data out of sequence: nexus=%u itt=0x%x asc=0x%04x",
			    c->sess->nexus, p.itt, asc);
		cmd_data_error(cmd, asc);
		return 0;
	}
	c->sink = SINK_CMD;
	c->sink_cmd = cmd;
	c->sink_off = p.offset;
	return 0;
}

static int
data_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	struct cmd *cmd = c->sink_cmd;
	struct pdu_data_out p;

	if (!cmd)
		return 0;
	pdu_data_out(b, &p);
	cmd->out_have += b->data_len;
	if (p.ttt == ISCSI_TAG_NONE) {
		cmd->out_datasn++;
		if (p.final)
			cmd->unsol = false;
	} else {
		cmd->r2t[cmd->r2t_head].datasn++;
		if (p.final) {
			cmd->r2t_head = (cmd->r2t_head + 1) % CMD_R2T_MAX;
			cmd->n_r2t--;
		}
	}
	cmd_advance(cmd);
	return 0;
}

/* ---- the rest ---------------------------------------------------------- */

static int
buf_header(struct conn *c, const uint8_t *ahs)
{
	if (!c->bhs.data_len)
		return 0;
	c->buf = malloc(c->bhs.data_len);
	if (!c->buf)
		return ISCSI_REJECT_LONG_OPERATION;
	c->sink = SINK_BUF;
	return 0;
}

static int
nop_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	struct pdu_nop_in in = { .ttt = ISCSI_TAG_NONE };
	struct pdu_nop_out p;
	struct ctl *ctl;
	int reason = pdu_nop_out(b, &p);

	if (reason)
		return reason;
	if (p.itt == ISCSI_TAG_NONE)
		return 0; /* an answer to a ping of ours: it lives */
	in.itt = p.itt;
	in.data_len = MIN(b->data_len, conn_params(c)->max_send_data); /* 11.19.3 */
	ctl = conn_ctl_new(c, data, in.data_len);
	if (!ctl)
		return ISCSI_REJECT_LONG_OPERATION;
	pdu_build_nop_in(ctl->hdr, &in);
	conn_queue_ctl(c, ctl);
	return 0;
}

static int
text_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	struct session *s = c->sess;
	struct disco_view view = { .local_addr = c->local_addr, .discovery = s->discovery,
				   .own_target = s->discovery ? NULL : s->target,
				   .visible = s->visible, .n_visible = s->n_visible };
	struct textreq_reply reply;
	struct pdu_text_req p;
	struct ctl *ctl;
	int reason = pdu_text_req(b, &p);

	if (reason)
		return reason;
	catalog_lock(s->th->catalog, &view);
	reason = textreq_input(&c->text, &p, data, b->data_len, &view, &reply);
	catalog_unlock(s->th->catalog);
	if (reason)
		return reason;
	ctl = conn_ctl_new(c, reply.data, reply.rsp.data_len);
	if (!ctl)
		return ISCSI_REJECT_LONG_OPERATION;
	pdu_build_text_rsp(ctl->hdr, &reply.rsp);
	conn_queue_ctl(c, ctl);
	return 0;
}

static int
logout_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	struct pdu_logout_rsp rsp = { .time2wait = (uint16_t)conn_params(c)->time2wait };
	struct pdu_logout_req p;
	struct ctl *ctl;
	int reason = pdu_logout_req(b, &p);

	if (reason)
		return reason;
	ctl = conn_ctl_new(c, NULL, 0);
	if (!ctl)
		return ISCSI_REJECT_LONG_OPERATION;
	rsp.itt = p.itt;
	if (p.reason == ISCSI_LOGOUT_RECOVERY) /* ErrorRecoveryLevel 0 */
		rsp.response = ISCSI_LOGOUT_RSP_NO_RECOVERY;
	else if (p.reason == ISCSI_LOGOUT_CONNECTION && p.cid != c->cid)
		rsp.response = ISCSI_LOGOUT_RSP_NO_CID;
	else
		c->ending = true;
	pdu_build_logout_rsp(ctl->hdr, &rsp);
	conn_queue_ctl(c, ctl);
	return 0;
}

static int
snack_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	return ISCSI_REJECT_SNACK; /* ErrorRecoveryLevel 0: 11.16 */
}

static int
login_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	return conn_fail(c, ISCSI_REJECT_PROTOCOL_ERROR, "Login Request in full feature phase");
}

static const struct rx_op ops[ISCSI_OP_MASK + 1] = {
	[ISCSI_OP_NOP_OUT] = { .header = buf_header, .run = nop_run, .numbered = true,
			       .discovery = true },
	[ISCSI_OP_SCSI_CMD] = { .header = scsi_header, .run = scsi_run },
	[ISCSI_OP_TMF_REQ] = { .run = tmf_run, .numbered = true },
	[ISCSI_OP_LOGIN_REQ] = { .run = login_run, .discovery = true },
	[ISCSI_OP_TEXT_REQ] = { .header = buf_header, .run = text_run, .numbered = true,
				.discovery = true },
	[ISCSI_OP_DATA_OUT] = { .header = data_header, .run = data_run },
	[ISCSI_OP_LOGOUT_REQ] = { .run = logout_run, .numbered = true, .discovery = true },
	[ISCSI_OP_SNACK] = { .run = snack_run },
};

/* ---- in order ---------------------------------------------------------- */

static int
settle(struct conn *c, int rc)
{
	if (rc > 0) {
		conn_reject(c, (uint8_t)rc);
		return 0;
	}
	return rc;
}

/* Runs what waited for the CmdSN that has just come. */
static int
run_held(struct conn *c)
{
	struct session *s = c->sess;
	struct hold h;
	int rc = 0;

	while (!rc && !c->ending && session_next_held(s, &h)) {
		s->sn.exp++;
		if (h.cmd)
			cmd_start(h.cmd);
		if (h.pdu) {
			memcpy(c->raw, h.pdu->raw, sizeof(c->raw));
			bhs_parse(&c->bhs, c->raw);
			rc = settle(c, ops[c->bhs.opcode].run(c, &c->bhs, h.pdu->data));
			session_free_held(s, h.pdu);
		}
		if (s->n_ahead)
			tmf_in_turn(s);
	}
	return rc;
}

static int
hold_pdu(struct conn *c, uint32_t cmdsn)
{
	struct held_pdu *h;

	if (session_is_held(c->sess, cmdsn))
		return 0;
	if (c->sess->cmds.staged + c->bhs.data_len > CMD_STAGE_MAX)
		return ISCSI_REJECT_LONG_OPERATION;
	h = calloc(1, sizeof(*h));
	if (!h)
		return ISCSI_REJECT_LONG_OPERATION;
	memcpy(h->raw, c->raw, sizeof(h->raw));
	h->data = c->buf;
	h->len = c->bhs.data_len;
	c->sess->cmds.staged += h->len;
	c->buf = NULL;
	session_hold(c->sess, cmdsn, NULL, h);
	return 0;
}

static int
run_numbered(struct conn *c, const struct rx_op *op)
{
	struct session *s = c->sess;
	uint32_t cmdsn = get_be32(c->raw + BHS_CMD_SN);
	enum cmdsn_verdict v = cmdsn_check(&s->sn, cmdsn);
	int rc;

	if (c->bhs.immediate)
		return op->run(c, &c->bhs, c->buf);
	if (v == CMDSN_IGNORE)
		return 0;
	if (v == CMDSN_AHEAD)
		return hold_pdu(c, cmdsn);
	rc = op->run(c, &c->bhs, c->buf);
	if (!rc)
		s->sn.exp++;
	return rc;
}

int
session_header(struct conn *c, const uint8_t *ahs, int reason)
{
	const struct rx_op *op = &ops[c->bhs.opcode];

	c->sink = SINK_DROP;
	c->sink_cmd = NULL;
	c->ignore = c->ending;
	if (c->ending)
		return 0;
	if (!reason && (!op->run || (c->sess->discovery && !op->discovery)))
		reason = op->run ? ISCSI_REJECT_PROTOCOL_ERROR : ISCSI_REJECT_NOT_SUPPORTED;
	if (!reason && op->header)
		reason = op->header(c, ahs);
	c->ignore = reason != 0;
	return settle(c, reason);
}

static void
pdu_over(struct conn *c)
{
	c->sink_cmd = NULL;
	free(c->buf);
	c->buf = NULL;
}

int
session_pdu(struct conn *c)
{
	const struct rx_op *op = &ops[c->bhs.opcode];
	int rc = 0;

	if (!c->ignore && !c->ending) {
		rc = op->numbered ? run_numbered(c, op) : op->run(c, &c->bhs, c->buf);
		rc = settle(c, rc);
		if (c->sess->n_ahead)
			tmf_in_turn(c->sess);
		if (!rc && c->sess->n_hold)
			rc = run_held(c);
	}
	pdu_over(c);
	return rc;
}

/* RFC 7143 7.3, 7.8: a Reject in any case.  A command that came with damaged
 * immediate data is discarded with it, without a response, its CmdSN not
 * received; one whose Data-Out was damaged is told in a response, which waits
 * for the rest of the data: the F bits go on counting. */
int
session_digest_error(struct conn *c)
{
	struct cmd *cmd = c->sink_cmd;
	int rc = 0;

	c->sess->stats.data_digest_errors++;
	if (!c->ignore && !c->ending) {
		conn_reject(c, ISCSI_REJECT_DATA_DIGEST);
		if (cmd && c->bhs.opcode == ISCSI_OP_SCSI_CMD) {
			cmd_end(cmd);
		} else if (cmd) {
			cmd_data_lost(cmd);
			rc = data_run(c, &c->bhs, NULL);
		}
	}
	pdu_over(c);
	return rc;
}
