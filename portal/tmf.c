/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task management functions: ABORT TASK ends one command here or in its lane;
 * LOGICAL UNIT RESET goes to the logical unit as a slot of its own.  The
 * others are not supported, and said to be so.
 */
#include "portal/tmf.h"

#include <errno.h>

#include "portal/cmd.h"
#include "portal/conn.h"
#include "portal/lunmap.h"
#include "portal/session.h"
#include "proto/util.h"

static void
respond(struct conn *c, uint32_t itt, uint8_t response)
{
	const struct pdu_sn none = { 0 };
	struct ctl *ctl = conn_ctl_new(c, NULL, 0);

	if (!ctl)
		return;
	pdu_build_tmf_rsp(ctl->hdr, &none, itt, response);
	conn_queue_ctl(c, ctl);
}

void
tmf_answer(struct cmd *tmf, uint8_t response)
{
	tmf->status = response;
	if (tmf->sess->conn && !tmf->sess->conn->ending)
		respond(tmf->sess->conn, tmf->itt, response);
	cmd_end(tmf);
}

/* A function that cannot be answered yet. NULL: too many of them. */
static struct cmd *
tmf_new(struct conn *c, const struct pdu_tmf_req *r, bool immediate)
{
	struct cmd *tmf = cmd_new(c->sess, r->itt, immediate);

	if (tmf) {
		tmf->tmf = r->function;
		tmf->lun = r->lun;
		tmf->cmdsn = r->cmd_sn;
	}
	return tmf;
}

/* RFC 7143 11.6.1: the three cases of a task that is not there. */
static uint8_t
no_such_task(struct session *s, const struct pdu_tmf_req *r)
{
	if (sn_le(r->ref_cmd_sn + 1, r->cmd_sn) && session_skip_cmdsn(s, r->ref_cmd_sn))
		return ISCSI_TMF_RSP_COMPLETE;
	return ISCSI_TMF_RSP_NO_TASK;
}

static int
abort_task(struct conn *c, const struct bhs *b, const struct pdu_tmf_req *r)
{
	struct session *s = c->sess;
	struct cmd *victim = cmd_find(&s->cmds, r->ref_itt), *tmf;

	if (!victim || victim->tmf || victim->lun != r->lun) {
		respond(c, r->itt, no_such_task(s, r));
		return 0;
	}
	if (victim->state == CMD_HELD) {
		session_skip_cmdsn(s, victim->cmdsn);
	} else if (victim->done || victim->state == CMD_LANE) {
		tmf = tmf_new(c, r, b->immediate);
		if (!tmf)
			return ISCSI_REJECT_IMMEDIATE;
		/* Behind those that wait for the same command already. */
		while (victim->tmf_waiter)
			victim = victim->tmf_waiter;
		victim->tmf_waiter = tmf;
		victim = cmd_find(&s->cmds, r->ref_itt);
		if (victim->done)
			cmd_advance(victim);
		else
			cmd_cancel(victim);
		return 0; /* answered by cmd_end() of the victim */
	} else {
		cmd_cancel(victim);
	}
	respond(c, r->itt, ISCSI_TMF_RSP_COMPLETE);
	return 0;
}

static int
lun_reset(struct conn *c, const struct bhs *b, const struct pdu_tmf_req *r)
{
	struct cmd_table *t = &c->sess->cmds;
	struct cmd *tmf;
	unsigned i;

	tmf = tmf_new(c, r, b->immediate);
	if (!tmf)
		return ISCSI_REJECT_IMMEDIATE;
	/* What precedes it and was not submitted, or has ended but for its data,
	 * ends here; the rest by the logical unit. */
	for (i = 0; i < t->fresh; i++) {
		struct cmd *cmd = &t->tab[i];

		if (cmd == tmf || cmd->state == CMD_FREE || cmd->tmf || cmd->lun != r->lun)
			continue;
		if (cmd->done ? cmd->state != CMD_ANSWER :
				cmd->state == CMD_PARKED || cmd->state == CMD_READY)
			cmd_cancel(cmd);
	}
	cmd_start(tmf);
	return 0;
}

static int
not_supported(struct conn *c, const struct bhs *b, const struct pdu_tmf_req *r)
{
	respond(c, r->itt, ISCSI_TMF_RSP_NOT_SUPPORTED);
	return 0;
}

static int (*const functions[])(struct conn *, const struct bhs *, const struct pdu_tmf_req *) = {
	[ISCSI_TMF_ABORT_TASK] = abort_task,
	[ISCSI_TMF_LUN_RESET] = lun_reset,
};

int
tmf_run(struct conn *c, const struct bhs *b, const uint8_t *data)
{
	struct pdu_tmf_req r;
	int reason = pdu_tmf_req(b, &r);

	if (reason)
		return reason;
	if (cmd_find(&c->sess->cmds, r.itt))
		return ISCSI_REJECT_TASK_IN_PROGRESS;
	if (r.function >= ARRAY_SIZE(functions) || !functions[r.function])
		return not_supported(c, b, &r);
	return functions[r.function](c, b, &r);
}
