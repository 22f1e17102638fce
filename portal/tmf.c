/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task management functions.  ABORT TASK ends one command here or in its lane;
 * ABORT TASK SET, CLEAR TASK SET and LOGICAL UNIT RESET go to the logical unit as
 * a slot of their own, behind the commands before them (RFC 7143 4.2.3.3).  The
 * others are not supported, and said to be so.
 *
 * Whatever keeps a function (a store, a worker, a LUN that does not come up, a
 * gap in CmdSN), it is answered within 5 s: then it is rejected.
 */
#include "portal/tmf.h"

#include <errno.h>

#include "portal/cmd.h"
#include "portal/conn.h"
#include "portal/lunmap.h"
#include "portal/session.h"
#include "portal/thread.h"
#include "proto/log.h"
#include "proto/scsi.h"
#include "proto/util.h"

#define TMF_PATIENCE_S 4.6 /* scsid, which can keep commands, gives up before */

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

static void
tell(struct cmd *tmf, uint8_t response)
{
	struct conn *c = tmf->sess->conn;

	tmf->status = response;
	if (c && !c->ending && !tmf->told)
		respond(c, tmf->itt, response);
}

void
tmf_answer(struct cmd *tmf, uint8_t response)
{
	tell(tmf, response);
	cmd_end(tmf);
}

/* ---- in time ----------------------------------------------------------- */

/* Other functions may go on waiting for the same command.  It cannot be kept, it
 * has been cancelled already; its initiator, told that it was not, must hear of
 * its end.  */
static void
leave_victim(struct cmd *tmf)
{
	struct cmd_table *t = &tmf->sess->cmds;
	struct cmd *c = t->tab;

	while (c < t->tab + t->fresh && (c->state == CMD_FREE || c->tmf_waiter != tmf))
		c++;
	if (c == t->tab + t->fresh)
		return;
	c->tmf_waiter = tmf->tmf_waiter;
	tmf->tmf_waiter = NULL;
	if (!c->tmf && c->cancelling && !c->cancel_key) {
		c->cancel_key = ABORTED_COMMAND;
		c->cancel_asc = ASC_TIMEOUT_ON_LU;
	}
}

static void
expire(struct cmd *tmf)
{
	list_del(&tmf->due_link);
	if (!tmf->sess->conn)
		return; /* it ends with its session */
	log_limited(LOG_LEVEL_WARN, "task management takes too long, rejected: nexus=%u "
		    "lun=0x%016llx function=%u", tmf->sess->nexus, (unsigned long long)tmf->lun,
		    tmf->tmf);
	if (tmf->state == CMD_LANE) {
		tell(tmf, ISCSI_TMF_RSP_REJECTED);
		tmf->told = true;
		cmd_disown(tmf);
		cmd_cancel(tmf);
		return;
	}
	leave_victim(tmf);
	tmf_answer(tmf, ISCSI_TMF_RSP_REJECTED);
}

static void
on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct thread *th = container_of(w, struct thread, tmf_timer);
	struct cmd *tmf;

	while ((tmf = list_first(&th->tmfs, struct cmd, due_link)) && tmf->due <= ev_now(loop))
		expire(tmf);
	if (tmf) {
		ev_timer_set(w, tmf->due - ev_now(loop), 0.);
		ev_timer_start(loop, w);
	}
}

void
tmf_thread_init(struct thread *th)
{
	list_init(&th->tmfs);
	ev_timer_init(&th->tmf_timer, on_timer, 0., 0.);
	th->tmf_patience = TMF_PATIENCE_S;
}

/* A function that cannot be answered yet. NULL: too many of them. */
static struct cmd *
tmf_new(struct conn *c, const struct pdu_tmf_req *r, bool immediate)
{
	struct thread *th = c->sess->th;
	struct cmd *tmf = cmd_new(c->sess, r->itt, immediate);

	if (!tmf)
		return NULL;
	tmf->tmf = r->function;
	tmf->lun = r->lun;
	tmf->cmdsn = r->cmd_sn;
	tmf->due = ev_now(th->loop) + th->tmf_patience;
	list_add_tail(&th->tmfs, &tmf->due_link);
	if (!ev_is_active(&th->tmf_timer)) {
		ev_timer_set(&th->tmf_timer, th->tmf_patience, 0.);
		ev_timer_start(th->loop, &th->tmf_timer);
	}
	return tmf;
}

/* ---- one task ---------------------------------------------------------- */

/* RFC 7143 11.6.1: the three cases of a task that is not there. */
static uint8_t
no_such_task(struct session *s, const struct pdu_tmf_req *r)
{
	if (sn_le(r->ref_cmd_sn + 1, r->cmd_sn) &&
	    session_skip_cmdsn(s, r->ref_cmd_sn, r->ref_itt))
		return ISCSI_TMF_RSP_COMPLETE;
	return ISCSI_TMF_RSP_NO_TASK;
}

static int
abort_task(struct conn *c, const struct bhs *b, const struct pdu_tmf_req *r)
{
	struct session *s = c->sess;
	struct cmd *victim = cmd_find(&s->cmds, r->ref_itt), *tmf;

	if (!victim || victim->tmf || victim->lun != r->lun) {
		respond(c, r->itt, victim ? ISCSI_TMF_RSP_NO_TASK : no_such_task(s, r));
		return 0;
	}
	if (victim->state == CMD_HELD) {
		session_skip_cmdsn(s, victim->cmdsn, victim->itt);
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

/* ---- many tasks -------------------------------------------------------- */

/* What precedes it and was not submitted, or has ended but for its data, ends
 * here; the rest by the logical unit. */
static void
to_unit(struct cmd *tmf)
{
	struct cmd_table *t = &tmf->sess->cmds;
	unsigned i;

	for (i = 0; i < t->fresh; i++) {
		struct cmd *cmd = &t->tab[i];

		if (cmd == tmf || cmd->state == CMD_FREE || cmd->tmf || cmd->lun != tmf->lun)
			continue;
		if (cmd->done ? cmd->state != CMD_ANSWER :
				cmd->state == CMD_PARKED || cmd->state == CMD_READY)
			cmd_cancel(cmd);
	}
	cmd_start(tmf);
}

/* RFC 7143 4.2.3.3 step 2: an immediate one, too, waits for what was sent before. */
static int
many_tasks(struct conn *c, const struct bhs *b, const struct pdu_tmf_req *r)
{
	struct cmd *tmf = tmf_new(c, r, b->immediate);

	if (!tmf)
		return ISCSI_REJECT_IMMEDIATE;
	tmf->ahead = !sn_le(r->cmd_sn, c->sess->sn.exp);
	if (tmf->ahead)
		c->sess->n_ahead++;
	else
		to_unit(tmf);
	return 0;
}

void
tmf_in_turn(struct session *s)
{
	unsigned i;

	for (i = 0; i < s->cmds.fresh && s->n_ahead; i++) {
		struct cmd *tmf = &s->cmds.tab[i];

		if (tmf->state == CMD_FREE || !tmf->ahead || !sn_le(tmf->cmdsn, s->sn.exp))
			continue;
		tmf->ahead = false;
		s->n_ahead--;
		to_unit(tmf);
	}
}

/* ---- */

/* RFC 7143 11.6.1: ErrorRecoveryLevel 0. */
static int
no_reassign(struct conn *c, const struct bhs *b, const struct pdu_tmf_req *r)
{
	respond(c, r->itt, ISCSI_TMF_RSP_NO_REASSIGN);
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
	[ISCSI_TMF_ABORT_TASK_SET] = many_tasks,
	[ISCSI_TMF_CLEAR_TASK_SET] = many_tasks,
	[ISCSI_TMF_LUN_RESET] = many_tasks,
	[ISCSI_TMF_TASK_REASSIGN] = no_reassign,
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
