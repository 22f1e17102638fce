/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A restarted scsid takes over the lanes of its dead incarnation
 * (docs/recovery.md), in this order:
 *
 *   1. wait until storaged serves our epoch: what it had taken is over;
 *   2. every old block request ends: those that storaged never saw are
 *      cancelled, because their commands will be run again.  Nobody can take
 *      them meanwhile, for this incarnation has named none; unless storaged
 *      died too and the new epoch named them: then they are let run;
 *   3. harvest: an upper command whose block request was executed gets that
 *      outcome; the others are claimed, or answered by replay class;
 *   4. only now the old lower slots are released, and the lanes served;
 *   5. what was claimed is run again: first the commands that were in EXEC,
 *      then the others in the order of submission.
 *
 * A crash at any point of this leaves slots from which the same can be done
 * again.  Step 5's order: a command in EXEC held its range.  It has it again
 * before anything can look, so that a first run that nobody knows of (there
 * should be none) is not seen to come and go.
 *
 * What the dead incarnation wrote is not believed: it is checked like a peer's.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scsid/engine_priv.h"

/* An upper command that is to be run again. */
struct replay {
	struct task *task;
	struct lane_taken t;
};

int
recover_init(struct engine *e)
{
	e->recover.old = calloc(e->lower_maps.nslots, sizeof(*e->recover.old));
	return e->recover.old ? 0 : -ENOMEM;
}

/* ---- the lower lane -------------------------------------------------------- */

static int
lower_broken(struct engine *e, const char *text)
{
	engine_violation(e, NULL, text);
	return -EPROTO;
}

/* An old block request has ended.  0 or -EPROTO. */
static int
ended(struct engine *e, struct outcome *o, int state)
{
	struct lane_rsp rsp;

	assert(e->recover.waiting);
	e->recover.waiting--;
	e->did++;
	o->done = state == LANE_DONE;
	if (!o->done)
		return 0;
	if (lane_sub_rsp(e->lower, o->slot, &rsp))
		return lower_broken(e, "response out of bounds");
	o->error = rsp.error;
	o->in_len = rsp.in_len;
	return 0;
}

static int
find_slot(struct engine *e, uint16_t slot)
{
	struct recover *r = &e->recover;
	struct outcome *o = &r->old[r->n_old];
	struct lane_req req;
	enum lane_op op;
	uint32_t seq;
	int state = lane_sub_scan(e->lower, slot, &seq, &op, &req);

	if (state == -ENOENT)
		return 0;
	if (!state)
		state = lane_sub_state(e->lower, slot);
	if (state < 0)
		return lower_broken(e, "the words of a slot do not fit");
	memset(o, 0, sizeof(*o));
	o->slot = slot;
	if (req.kind == LANE_BLK)
		o->tag = req.u.blk.tag;
	r->n_old++;
	r->waiting++;
	if (state >= LANE_DONE)
		return ended(e, o, state);
	if (state == LANE_NONE && !r->named)
		lane_sub_cancel(e->lower, slot);
	return 0;
}

static int
find_old(struct engine *e)
{
	int rc = 0;

	e->recover.n_old = 0;
	e->recover.waiting = 0;
	for (uint32_t i = 0; i < e->lower_maps.nslots && !rc; i++)
		rc = find_slot(e, (uint16_t)i);
	lane_sub_publish(e->lower);
	return rc;
}

static int
await_old(struct engine *e)
{
	struct recover *r = &e->recover;
	struct lane_event ev;
	int n;

	while (r->waiting && (n = lane_sub_poll(e->lower, &ev, 1))) {
		uint32_t i = 0;

		if (n < 0)
			return lower_broken(e, "the lane's words or rings are out of bounds");
		while (i < r->n_old && r->old[i].slot != ev.slot)
			i++;
		if (i == r->n_old || ev.state < LANE_DONE)
			return lower_broken(e, "answer that nothing was asked for");
		if (ended(e, &r->old[i], ev.state))
			return -EPROTO;
	}
	return r->waiting ? -EAGAIN : 0;
}

static void
release_old(struct engine *e)
{
	for (uint32_t i = 0; i < e->recover.n_old; i++)
		lane_sub_release(e->lower, e->recover.old[i].slot);
	e->recover.n_old = 0;
}

static const struct outcome *
find_outcome(const struct engine *e, const struct engine_lane *lane, const struct lane_taken *t)
{
	for (uint32_t i = 0; i < e->recover.n_old; i++) {
		const struct outcome *o = &e->recover.old[i];

		if (o->done && o->tag.lane == lane->id && o->tag.slot == t->slot &&
		    o->tag.seq == t->seq && o->tag.parts == 1)
			return o;
	}
	return NULL;
}

/* ---- the upper lanes --------------------------------------------------------- */

static bool
may_run_again(const struct lane_taken *t)
{
	const struct lane_scsi *s = &t->req.u.scsi;
	const struct opcode *op;
	bool sa_unknown;

	if (t->state != LANE_EXEC && t->state != LANE_INTENT)
		return true; /* nothing was done */
	if (t->req.kind != LANE_SCSI)
		return false;
	op = optab_find(s->cdb, s->cdb_len, &sa_unknown);
	return op && op->replay == REPLAY_AGAIN;
}

/* Its nexus is gone: nobody waits for an answer, and no block request of it is
 * under way any more. */
static void
resolve_orphan(struct engine_lane *lane, const struct lane_taken *t)
{
	lane_srv_claim(lane->srv, t->slot, t->seq);
	lane_srv_cancelled(lane->srv, t->slot);
	list_add_tail(&lane->engine->unreleased, &engine_task(lane, t->slot)->link);
}

/* True: the command is claimed and shall be run again. */
static bool
resolve(struct engine_lane *lane, const struct lane_taken *t, struct task **task)
{
	struct engine *e = lane->engine;
	const struct outcome *o = find_outcome(e, lane, t);
	struct nexus_entry *ne;
	struct task *k;

	if (!nexus_find(&e->nexuses, t->req.nexus)) {
		resolve_orphan(lane, t);
		return false;
	}
	ne = task_check(lane, &t->req);
	if (!ne)
		return false;
	lane_srv_claim(lane->srv, t->slot, t->seq);
	k = *task = task_bind(lane, t, ne);
	if (o) {
		e->stats.harvested++;
		task_harvest(k, &t->req, o->error, o->in_len);
		return false;
	}
	if (k->cancel) {
		task_answer_cancelled(k);
		return false;
	}
	if (!may_run_again(t)) {
		task_unknown(k);
		return false;
	}
	return true;
}

static void
scan_lane(struct engine_lane *lane, struct replay *list, uint32_t *n)
{
	for (uint32_t i = 0; i < lane->maps.nslots && !lane->frozen; i++) {
		struct replay *r = &list[*n];
		int rc = lane_srv_scan(lane->srv, (uint16_t)i, &r->t);

		if (rc == -EPROTO)
			engine_violation(lane->engine, lane, "the words of a slot do not fit");
		if (rc || r->t.state == LANE_NONE || r->t.state == LANE_DONE)
			continue; /* free, left to the ring, or answered */
		if (r->t.state == LANE_CANCELLED)
			list_add_tail(&lane->engine->unreleased, &engine_task(lane, (uint16_t)i)->link);
		else if (resolve(lane, &r->t, &r->task))
			++*n;
	}
}

static int
by_order(const void *a, const void *b)
{
	const struct replay *x = a, *y = b;
	bool xe = x->t.state == LANE_EXEC, ye = y->t.state == LANE_EXEC;

	if (xe != ye)
		return xe ? -1 : 1;
	if (x->task->order != y->task->order)
		return x->task->order < y->task->order ? -1 : 1;
	return x->task->lane->id < y->task->lane->id ? -1 : 1;
}

static void
run_again(struct engine *e, struct replay *list, uint32_t n)
{
	if (n)
		qsort(list, n, sizeof(*list), by_order);
	for (uint32_t i = 0; i < n; i++) {
		struct task *k = list[i].task;
		struct lane_taken *t = &list[i].t;

		if (k->state == TASK_FREE)
			continue; /* a reset before it in the list has cancelled it */
		e->stats.replayed++;
		if (k->lane->frozen)
			task_end(k);
		else /* what has been with the store had all its data */
			task_run(k, &t->req, t->op == LANE_DATA || t->state == LANE_EXEC);
	}
}

/* Steps 3 to 5.  false: no memory, again at the next turn. */
static bool
recover_lanes(struct engine *e)
{
	struct engine_lane *lane;
	struct replay *list = NULL;
	uint32_t n = 0, max = 0;

	list_for_each(lane, &e->lanes, link)
		max += lane->used ? lane->maps.nslots : 0;
	if (max) {
		list = calloc(max, sizeof(*list));
		if (!list)
			return false;
	}
	list_for_each(lane, &e->lanes, link)
		if (lane->used)
			scan_lane(lane, list, &n);
	if (e->lower)
		release_old(e);
	list_for_each(lane, &e->lanes, link)
		if (!lane->served)
			engine_serve_lane(lane);
	run_again(e, list, n);
	free(list);
	e->did++;
	return true;
}

bool
recover_turn(struct engine *e)
{
	struct recover *r = &e->recover;

	if (r->phase == RECOVER_READY) {
		if (e->lower_frozen || !lane_sub_ready(e->lower) || find_old(e))
			return false;
		r->phase = RECOVER_HARVEST;
	}
	if (r->phase == RECOVER_HARVEST) {
		if (e->lower_frozen || await_old(e))
			return false;
		r->phase = RECOVER_LANES;
	}
	if (!recover_lanes(e))
		return false;
	r->phase = RECOVER_DONE;
	return true;
}
