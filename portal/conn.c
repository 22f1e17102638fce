/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection in the full feature phase: queues and numbers.
 */
#include "portal/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "portal/session.h"
#include "portal/thread.h"
#include "proto/log.h"

void
conn_init(struct conn *c, const struct transport_ops *ops, struct session *s,
	  const struct login_limits *limits, const struct iscsi_params *params)
{
	c->ops = ops;
	c->sess = s;
	c->since = ev_now(s->th->loop);
	list_init(&c->dirty);
	list_init(&c->txq);
	list_init(&c->r2tq);
	textreq_init(&c->text, limits, params, s->discovery);
}

void
conn_done(struct conn *c)
{
	struct cmd *cmd;
	struct tx *tx;

	list_for_each(cmd, &c->r2tq, r2t_link)
		list_del(&cmd->r2t_link);
	list_for_each(tx, &c->txq, link) {
		list_del(&tx->link);
		if (tx->kind == TX_CTL)
			conn_ctl_end(c, container_of(tx, struct ctl, tx));
	}
	list_del(&c->dirty);
	free(c->buf);
	c->buf = NULL;
	textreq_done(&c->text);
}

void
conn_kick(struct conn *c)
{
	if (list_empty(&c->dirty))
		list_add_tail(&c->sess->th->dirty_conns, &c->dirty);
}

void
conn_queue_cmd(struct conn *c, struct cmd *cmd)
{
	cmd->tx.kind = TX_CMD;
	list_add_tail(&c->txq, &cmd->tx.link);
	conn_kick(c);
}

struct ctl *
conn_ctl_new(struct conn *c, const void *data, uint32_t len)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return NULL;
	ctl->tx.kind = TX_CTL;
	ctl->numbered = true;
	if (len) {
		ctl->data = malloc(len);
		if (!ctl->data) {
			free(ctl);
			return NULL;
		}
		memcpy(ctl->data, data, len);
		ctl->len = len;
	}
	return ctl;
}

void
conn_queue_ctl(struct conn *c, struct ctl *ctl)
{
	c->n_ctl++;
	c->ctl_bytes += ctl->len;
	list_add_tail(&c->txq, &ctl->tx.link);
	conn_kick(c);
}

void
conn_ctl_end(struct conn *c, struct ctl *ctl)
{
	c->n_ctl--;
	c->ctl_bytes -= ctl->len;
	free(ctl->data);
	free(ctl);
}

struct pdu_sn
conn_sn(struct conn *c, bool take)
{
	struct pdu_sn sn = {
		.stat_sn = c->stat_sn,
		.exp_cmd_sn = c->sess->sn.exp,
		.max_cmd_sn = cmdsn_max(&c->sess->sn),
	};

	if (take)
		c->stat_sn++;
	return sn;
}

void
conn_stamp(struct conn *c, uint8_t *hdr, bool take)
{
	struct pdu_sn sn = conn_sn(c, take);

	put_be32(hdr + BHS_STAT_SN, sn.stat_sn);
	put_be32(hdr + BHS_EXP_CMD_SN, sn.exp_cmd_sn);
	put_be32(hdr + BHS_MAX_CMD_SN, sn.max_cmd_sn);
}

void
conn_reject(struct conn *c, uint8_t reason)
{
	const struct pdu_sn none = { 0 };
	struct ctl *ctl = conn_ctl_new(c, c->raw, ISCSI_BHS_LEN);

	c->sess->stats.rejects++;
	if (!ctl) /* RFC 7143 lets a target drop what it cannot answer */
		return;
	log_limited(LOG_LEVEL_INFO, "PDU rejected: nexus=%u opcode=0x%02x reason=0x%02x",
		    c->sess->nexus, c->bhs.opcode, reason);
	pdu_build_reject(ctl->hdr, &none, reason, 0);
	conn_queue_ctl(c, ctl);
}

static void
send_ping(struct conn *c)
{
	struct pdu_nop_in in = { .itt = ISCSI_TAG_NONE };
	struct ctl *ctl = conn_ctl_new(c, NULL, 0);

	if (!ctl) /* another time */
		return;
	c->ping_ttt = (c->ping_ttt + 1) & INT32_MAX; /* never the reserved tag */
	in.ttt = c->ping_ttt;
	pdu_build_nop_in(ctl->hdr, &in);
	ctl->numbered = false; /* 11.19: the next StatSN, not advanced */
	conn_queue_ctl(c, ctl);
	c->pinged = true;
}

void
conn_ping(struct conn *c, double now)
{
	const struct ping_policy *p = &c->sess->th->ping;
	uint64_t heard = c->sess->stats.bytes_in, taken;

	/* A discovery session has Text and Logout only (4.3). */
	if (c->sess->discovery || c->ending)
		return;
	if (heard != c->heard) { /* the answer, or anything else */
		c->heard = heard;
		c->since = now;
		c->pinged = false;
		return;
	}
	if (!c->pinged) {
		if (now - c->since < p->interval_s)
			return;
		send_ping(c);
		c->since = now;
		return;
	}
	/* The ping may be behind much data on a slow line. */
	taken = c->ops->taken(c);
	if (taken != c->taken) {
		c->taken = taken;
		c->since = now;
	} else if (p->timeout_s && now - c->since >= p->timeout_s) {
		log_limited(LOG_LEVEL_WARN, "initiator does not answer, connection closed: nexus=%u",
			    c->sess->nexus);
		session_lost(c->sess);
	}
}

int
conn_fail(struct conn *c, uint8_t reason, const char *why)
{
	log_limited(LOG_LEVEL_WARN, "protocol error, connection closed: nexus=%u opcode=0x%02x: %s",
		    c->sess->nexus, c->bhs.opcode, why);
	conn_reject(c, reason);
	c->ending = true;
	conn_kick(c);
	return -EPROTO;
}
