/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One session: its life, and its numbering.  What a PDU means is in
 * portal/receive.c.
 */
#include "portal/session.h"

#include <stdlib.h>
#include <string.h>

#include "portal/conn.h"
#include "portal/plane.h"
#include "portal/thread.h"

struct session *
session_new(struct thread *th, uint32_t first_cmdsn, bool discovery)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->th = th;
	s->discovery = discovery;
	cmdsn_init(&s->sn, first_cmdsn);
	lunmap_init(&s->luns);
	if (cmd_table_init(&s->cmds)) {
		free(s);
		return NULL;
	}
	list_add_tail(&th->sessions, &s->link);
	return s;
}

void
session_free(struct session *s)
{
	list_del(&s->link);
	free(s->held_lun);
	cmd_table_done(&s->cmds);
	free(s->visible);
	free(s);
}

void
session_free_held(struct session *s, struct held_pdu *h)
{
	s->cmds.staged -= h->len;
	free(h->data);
	free(h);
}

static void
drop_held(struct session *s)
{
	unsigned i;

	for (i = 0; i < CMDSN_WINDOW && s->n_hold; i++) {
		struct hold *h = &s->hold[i];

		if (h->pdu)
			session_free_held(s, h->pdu);
		s->n_hold -= h->cmd || h->pdu || h->received;
		memset(h, 0, sizeof(*h));
	}
}

void
session_lost(struct session *s)
{
	struct cmd_table *t = &s->cmds;
	struct conn *c = s->conn;
	unsigned i;

	if (!c)
		return;
	s->conn = NULL; /* from here on nothing is answered */
	c->ops->close(c, c->ending);
	drop_held(s);
	for (i = 0; i < t->fresh; i++)
		t->tab[i].tmf_waiter = NULL; /* they end here, like all others */
	for (i = 0; i < t->fresh; i++)
		if (t->tab[i].state != CMD_FREE)
			cmd_cancel(&t->tab[i]);
	list_del(&s->link);
	list_add_tail(&s->th->ending, &s->link);
	s->ending = true;
	s->n_busy = SIZE_MAX;
	session_check_over(s);
	s->th->again = true;
}

/* On which LUNs there are commands left, when there are fewer than before. */
static void
report_busy(struct session *s)
{
	uint64_t lun[CMD_TABLE];
	size_t n = 0, k;
	unsigned i;

	for (i = 0; i < s->cmds.fresh; i++) {
		const struct cmd *c = &s->cmds.tab[i];

		for (k = 0; k < n && lun[k] != c->lun; k++)
			;
		if (k == n && c->state != CMD_FREE)
			lun[n++] = c->lun;
	}
	if (n < s->n_busy)
		thread_session_busy(s->th, s, lun, n);
	s->n_busy = n;
}

void
session_go(struct session *s, const uint64_t *lun, size_t n)
{
	uint64_t *copy = n ? malloc(n * sizeof(*copy)) : NULL;

	if (n && !copy)
		return; /* until there are fewer */
	if (n)
		memcpy(copy, lun, n * sizeof(*copy));
	free(s->held_lun);
	s->held_lun = copy;
	s->n_held_lun = n;
	s->held = false;
	lunmap_go(s);
}

bool
session_is_barred(const struct session *s, uint64_t lun)
{
	size_t i;

	for (i = 0; i < s->n_held_lun && s->held_lun[i] != lun; i++)
		;
	return s->held || i < s->n_held_lun;
}

void
session_check_over(struct session *s)
{
	if (s->conn || s->over)
		return;
	if (s->cmds.live) {
		if (s->ending && s->nexus)
			report_busy(s);
		return;
	}
	s->over = true;
	s->th->again = true;
}

void
session_fit_window(struct session *s, uint64_t pool_size)
{
	const struct iscsi_params *p;
	uint64_t fit;

	if (!s->conn)
		return;
	p = conn_params(s->conn);
	if (p->initial_r2t && !p->immediate_data)
		return; /* nothing comes unasked */
	fit = MAX(pool_size / 2 / p->first_burst, (uint64_t)1);
	if (fit < s->sn.window)
		s->sn.window = (uint32_t)fit;
}

/* ---- CmdSN ------------------------------------------------------------- */

static struct hold *
hold_at(struct session *s, uint32_t cmdsn)
{
	return &s->hold[cmdsn % CMDSN_WINDOW];
}

bool
session_hold(struct session *s, uint32_t cmdsn, struct cmd *cmd, struct held_pdu *pdu)
{
	struct hold *h = hold_at(s, cmdsn);

	if (h->cmd || h->pdu || h->received)
		return false;
	h->cmd = cmd;
	h->pdu = pdu;
	s->n_hold++;
	return true;
}

bool
session_is_held(const struct session *s, uint32_t cmdsn)
{
	const struct hold *h = &s->hold[cmdsn % CMDSN_WINDOW];

	return h->cmd || h->pdu || h->received;
}

bool
session_skip_cmdsn(struct session *s, uint32_t cmdsn, uint32_t itt)
{
	struct hold *h = hold_at(s, cmdsn);
	struct cmd *cmd;

	cmd = h->cmd;
	if (cmdsn_check(&s->sn, cmdsn) == CMDSN_IGNORE || h->pdu || (cmd && cmd->itt != itt))
		return false;
	s->n_hold += !cmd && !h->received;
	h->cmd = NULL;
	h->received = true;
	if (cmd)
		cmd_end(cmd);
	return true;
}

bool
session_next_held(struct session *s, struct hold *out)
{
	struct hold *h = hold_at(s, s->sn.exp);

	if (!s->n_hold || (!h->cmd && !h->pdu && !h->received))
		return false;
	*out = *h;
	memset(h, 0, sizeof(*h));
	s->n_hold--;
	return true;
}
