/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One SCSI command from its PDU to its answer: see cmd.h.  Lengths that come
 * through the lane are checked in cmd_on_want() and cmd_on_done(), against what
 * was granted, and nowhere else.
 */
#include "portal/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "portal/conn.h"
#include "portal/lunmap.h"
#include "portal/plane.h"
#include "portal/session.h"
#include "portal/thread.h"
#include "portal/tmf.h"
#include "proto/scsi.h"

/* ---- the table --------------------------------------------------------- */

int
cmd_table_init(struct cmd_table *t)
{
	int i;

	t->tab = calloc(CMD_TABLE, sizeof(*t->tab));
	if (!t->tab)
		return -ENOMEM;
	t->n = CMD_TABLE;
	list_init(&t->free);
	for (i = 0; i < CMD_HASH; i++)
		list_init(&t->hash[i]);
	return 0;
}

void
cmd_table_done(struct cmd_table *t)
{
	free(t->tab);
	t->tab = NULL;
	t->n = 0;
}

static struct list *
bucket(struct cmd_table *t, uint32_t itt)
{
	return &t->hash[(itt ^ itt >> 8 ^ itt >> 16) % CMD_HASH];
}

struct cmd *
cmd_new(struct session *s, uint32_t itt, bool immediate)
{
	struct cmd_table *t = &s->cmds;
	struct cmd *c = list_first(&t->free, struct cmd, link);
	uint32_t ttt_gen;

	if (immediate && t->immediate >= CMD_IMMEDIATE_MAX)
		return NULL;
	if (c)
		list_del(&c->link);
	else if (t->fresh < t->n)
		c = &t->tab[t->fresh++];
	else
		return NULL;
	ttt_gen = c->ttt_gen;
	memset(c, 0, offsetof(struct cmd, sense)); /* the rest is filled when used */
	c->ttt_gen = ttt_gen;
	c->index = (uint16_t)(c - t->tab);
	c->sess = s;
	c->itt = itt;
	c->immediate = immediate;
	c->state = CMD_HELD;
	list_init(&c->link);
	list_init(&c->tx.link);
	list_init(&c->r2t_link);
	list_init(&c->due_link);
	list_add(bucket(t, itt), &c->hash);
	t->live++;
	if (immediate)
		t->immediate++;
	else
		s->sn.in_use++;
	c->counted = !immediate;
	return c;
}

struct cmd *
cmd_find(struct cmd_table *t, uint32_t itt)
{
	struct cmd *c;

	list_for_each(c, bucket(t, itt), hash)
		if (c->itt == itt)
			return c;
	return NULL;
}

static void
stage_free(struct cmd *c)
{
	c->sess->cmds.staged -= c->stage_len;
	c->stage_len = 0;
	free(c->stage);
	c->stage = NULL;
}

/* It neither has a slot of the lane nor waits for one any more: from here on the
 * lane may be closed before the command ends. */
static void
leave_plane(struct cmd *c)
{
	if (c->plane && !c->plane->refs) /* it may have been the last one there */
		c->sess->th->reap = c->sess->th->again = true;
	c->plane = NULL;
}

/* Leaves the queue it waits in, if it does. */
static void
leave_queue(struct cmd *c)
{
	list_del(&c->link);
	if (!c->granted)
		leave_plane(c);
}

void
cmd_uncount(struct cmd *c)
{
	if (c->counted)
		c->sess->sn.in_use--;
	c->counted = false;
}

static void
uncount_immediate(struct cmd *c)
{
	if (c->immediate)
		c->sess->cmds.immediate--;
	c->immediate = false;
}

void
cmd_disown(struct cmd *c)
{
	list_del(&c->hash);
	uncount_immediate(c);
	cmd_uncount(c);
}

void
cmd_end(struct cmd *c)
{
	struct session *s = c->sess;
	struct cmd *waiter = c->tmf_waiter;
	uint8_t response;

	/* RFC 7143 11.6.1: answered before the abort took hold, there was no task any
	 * more.  Of several aborts, each says what the one before it said. */
	if (c->tmf)
		response = c->status;
	else
		response = c->state == CMD_ANSWER ? ISCSI_TMF_RSP_NO_TASK : ISCSI_TMF_RSP_COMPLETE;
	if (s->conn && s->conn->sink_cmd == c) {
		s->conn->sink_cmd = NULL;
		s->conn->sink = SINK_DROP;
	}
	list_del(&c->link);
	list_del(&c->hash);
	list_del(&c->tx.link);
	list_del(&c->r2t_link);
	list_del(&c->due_link);
	if (c->granted)
		plane_release(c->plane, c);
	leave_plane(c);
	if (c->stage)
		stage_free(c);
	s->cmds.live--;
	s->n_ahead -= c->ahead;
	uncount_immediate(c);
	cmd_uncount(c);
	c->state = CMD_FREE;
	list_add(&s->cmds.free, &c->link);
	if (waiter)
		tmf_answer(waiter, response);
	session_check_over(s);
}

/* ---- its data ---------------------------------------------------------- */

static int
ext_iov(const struct plane *p, const struct lane_ext *ext, int n_ext, uint32_t off, uint32_t len,
	struct iovec *iov)
{
	int i, n = 0;

	for (i = 0; i < n_ext && len; i++) {
		uint32_t take;

		if (off >= ext[i].len) {
			off -= ext[i].len;
			continue;
		}
		take = MIN(len, ext[i].len - off);
		iov[n++] = (struct iovec){ .iov_base = plane_ptr(p, &ext[i], off),
					   .iov_len = take };
		len -= take;
		off = 0;
	}
	return n;
}

/* Private memory for the first burst of a command that has no extents yet. */
static bool
stage_get(struct cmd *c)
{
	uint32_t len = MIN(c->edtl_out, conn_params(c->sess->conn)->first_burst);

	if (c->stage)
		return true;
	if (c->sess->cmds.staged + len > CMD_STAGE_MAX)
		return false;
	c->stage = malloc(len);
	if (!c->stage)
		return false;
	c->stage_len = len;
	c->sess->cmds.staged += len;
	return true;
}

int
cmd_out_iov(struct cmd *c, uint32_t off, uint32_t len, struct iovec iov[LANE_EXT_MAX])
{
	uint32_t room;

	if (c->overflow || c->done)
		return 0;
	if (c->granted) {
		room = off < c->out_grant ? c->out_grant - off : 0;
		return ext_iov(c->plane, c->out, c->n_out, off, MIN(len, room), iov);
	}
	if (!stage_get(c)) {
		c->overflow = true;
		return 0;
	}
	room = off < c->stage_len ? c->stage_len - off : 0;
	len = MIN(len, room);
	iov[0] = (struct iovec){ .iov_base = c->stage + off, .iov_len = len };
	return len ? 1 : 0;
}

int
cmd_in_iov(const struct cmd *c, uint32_t off, uint32_t len, struct iovec iov[LANE_EXT_MAX])
{
	return ext_iov(c->plane, c->in, c->n_in, off, len, iov);
}

static void
unstage(struct cmd *c)
{
	struct iovec iov[LANE_EXT_MAX];
	uint32_t len = MIN(c->stage_len, c->out_grant), done = 0;
	int n = ext_iov(c->plane, c->out, c->n_out, 0, len, iov), i;

	for (i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, c->stage + done, iov[i].iov_len);
		done += (uint32_t)iov[i].iov_len;
	}
	stage_free(c);
}

/* ---- its way ----------------------------------------------------------- */

void
cmd_start(struct cmd *c)
{
	c->state = CMD_PARKED;
	if (c->overflow || c->data_lost) {
		cmd_advance(c);
		return;
	}
	lunmap_submit(c->sess, c);
}

static void
submit(struct cmd *c)
{
	struct lane_req *r = lane_sub_req(c->plane->sub, c->slot);

	r->kind = c->tmf ? LANE_TMF : LANE_SCSI;
	r->n_out = c->n_out;
	r->n_in = c->n_in;
	r->nexus = c->sess->nexus;
	memcpy(r->out, c->out, c->n_out * sizeof(r->out[0]));
	memcpy(r->in, c->in, c->n_in * sizeof(r->in[0]));
	put_be64(r->u.scsi.lun, c->lun);
	r->u.scsi.itt = c->itt;
	r->u.scsi.cmdsn = c->cmdsn;
	r->u.scsi.luns_seen = 0;
	r->u.scsi.edtl_in = c->edtl_in;
	r->u.scsi.edtl_out = c->edtl_out;
	r->u.scsi.out_ready = MIN(c->out_have, c->out_grant);
	r->u.scsi.attr = c->attr;
	r->u.scsi.tmf = c->tmf;
	r->u.scsi.cdb_len = c->cdb_len;
	memcpy(r->u.scsi.cdb, c->cdb, c->cdb_len);
	plane_submit(c->plane, c);
	c->state = CMD_LANE;
}

void
cmd_granted(struct cmd *c)
{
	c->state = CMD_READY;
	c->granted = true;
	if (c->stage)
		unstage(c);
	cmd_advance(c);
}

static bool
data_on_its_way(const struct cmd *c)
{
	return c->arriving || c->unsol || c->n_r2t;
}

static void
answer(struct cmd *c)
{
	c->state = CMD_ANSWER;
	if (c->tmf)
		tmf_answer(c, c->status);
	else if (!c->sess->conn || c->sess->conn->ending)
		cmd_end(c);
	else
		conn_queue_cmd(c->sess->conn, c);
}

/* A status without the lane's help; from any state but CMD_LANE. */
void
cmd_fail(struct cmd *c, uint8_t status, uint8_t key, uint16_t asc_ascq)
{
	c->done = true;
	c->status = status;
	c->in_len = c->in_total = c->out_len = 0;
	c->sense_len = 0;
	if (asc_ascq) {
		memset(c->sense, 0, 20); /* SPC-4 4.5.3, 18 bytes, fixed format */
		put_be16(c->sense, 18);
		c->sense[2] = 0x70;
		c->sense[2 + 2] = key;
		c->sense[2 + 7] = 10;
		put_be16(&c->sense[2 + 12], asc_ascq);
		c->sense_len = 20;
	}
	if (c->tmf)
		c->status = ISCSI_TMF_RSP_REJECTED;
	cmd_advance(c);
}

/* What may leave early: a command all of whose data comes unsolicited is
 * submitted once it is there; a larger one at once, so that the server can
 * refuse it before its data moves. */
static bool
may_submit(const struct cmd *c)
{
	if (c->arriving)
		return false;
	return !c->unsol || c->edtl_out > conn_params(c->sess->conn)->first_burst;
}

void
cmd_advance(struct cmd *c)
{
	/* RFC 7143 11.4.2: no response before the data on its way has come.  Of a
	 * command that is being aborted it may never come: open-iscsi stops. */
	if (c->done) {
		if (c->state == CMD_ANSWER)
			return;
		if (!data_on_its_way(c))
			answer(c);
		else if (c->tmf_waiter)
			cmd_end(c);
		return;
	}
	if ((c->overflow || c->data_lost) && c->state == CMD_HELD)
		return; /* not its turn yet */
	if (c->data_lost) {
		if (!c->cancelling)
			cmd_cancel_sense(c, ABORTED_COMMAND, ASC_DATA_PHASE_CRC);
		return;
	}
	if (c->overflow) {
		leave_queue(c);
		cmd_fail(c, STATUS_TASK_SET_FULL, 0, 0);
		return;
	}
	if (c->state == CMD_READY && c->sess->conn && may_submit(c))
		submit(c);
	if (c->state != CMD_LANE || !c->want || c->data_said || c->cancelling)
		return;
	if (c->out_have >= c->want) {
		c->data_said = true;
		plane_data(c->plane, c);
	} else if (!c->unsol && c->sess->conn && list_empty(&c->r2t_link)) {
		list_add_tail(&c->sess->conn->r2tq, &c->r2t_link);
		conn_kick(c->sess->conn);
	}
}

/* ---- the lane's events ------------------------------------------------- */

void
cmd_broken(struct cmd *c, const char *what)
{
	plane_violation(c->plane, what);
	if (c->tmf)
		cmd_cancel(c);
	else
		cmd_cancel_sense(c, HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE);
}

void
cmd_on_want(struct cmd *c, uint32_t want)
{
	if (c->state != CMD_LANE || c->done)
		return;
	if (!want || want > c->out_grant) {
		cmd_broken(c, "asks for more data than the command has");
		return;
	}
	c->want = want;
	cmd_advance(c);
}

/* More than was granted, or a status of no command, is the server's error:
 * the lane is frozen, the command ends with HARDWARE ERROR. */
static bool
rsp_sound(const struct cmd *c, const struct lane_rsp *r)
{
	if (c->tmf)
		return r->error >= 0 && r->error <= 255;
	return r->in_len <= c->in_grant && r->in_len <= r->in_total &&
	       r->sense_len <= LANE_SENSE_MAX;
}

void
cmd_on_done(struct cmd *c, const struct lane_rsp *r)
{
	if (c->done)
		return;
	if (!rsp_sound(c, r)) {
		plane_violation(c->plane, "a response is larger than what was granted");
		cmd_fail(c, STATUS_CHECK_CONDITION, HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE);
		return;
	}
	c->done = true;
	c->status = c->tmf ? (uint8_t)r->error : r->status;
	c->in_len = r->in_len;
	c->in_total = r->in_total;
	c->out_len = r->out_len;
	if (r->sense_len) {
		put_be16(c->sense, r->sense_len);
		memcpy(c->sense + 2, r->sense, r->sense_len);
		c->sense_len = (uint16_t)(2 + r->sense_len);
	}
	if (!c->sess->conn)
		cmd_end(c);
	else
		cmd_advance(c);
}

void
cmd_on_cancelled(struct cmd *c)
{
	if (c->done)
		return;
	if (c->tmf && c->sess->conn) {
		cmd_fail(c, 0, 0, 0);
		return;
	}
	if (c->cancel_key && c->sess->conn && !c->tmf_waiter) {
		cmd_fail(c, STATUS_CHECK_CONDITION, c->cancel_key, c->cancel_asc);
		return;
	}
	cmd_end(c); /* aborted: no response (SAM-5 7.2) */
}

bool
cmd_cancel(struct cmd *c)
{
	if (c->state == CMD_LANE && !c->done) {
		if (!c->cancelling) {
			c->cancelling = true;
			list_del(&c->r2t_link);
			plane_cancel(c->plane, c);
		}
		return false;
	}
	cmd_end(c);
	return true;
}

void
cmd_cancel_sense(struct cmd *c, uint8_t key, uint16_t asc_ascq)
{
	if (c->done)
		return;
	if (c->state == CMD_LANE) {
		c->cancel_key = key;
		c->cancel_asc = asc_ascq;
		cmd_cancel(c);
		return;
	}
	leave_queue(c);
	cmd_fail(c, STATUS_CHECK_CONDITION, key, asc_ascq);
}

void
cmd_data_lost(struct cmd *c)
{
	c->data_lost = true;
	list_del(&c->r2t_link);
}

void
cmd_data_error(struct cmd *c, uint16_t asc_ascq)
{
	c->data_error = true;
	c->unsol = c->arriving = false;
	c->n_r2t = 0;
	if (c->done)
		cmd_advance(c); /* its outcome waited for this data */
	else
		cmd_cancel_sense(c, ABORTED_COMMAND, asc_ascq);
}
