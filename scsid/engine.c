/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's objects and turns: see engine.h.  What happens to one command
 * is in task.c, after a restart in recover.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scsid/engine_priv.h"

struct engine *
engine_new(const struct lu *lu, const struct engine_ops *ops, void *ctx)
{
	struct engine *e = calloc(1, sizeof(*e));

	assert(lu->block_size && !(lu->block_size & (lu->block_size - 1)));
	if (!e)
		return NULL;
	e->lu = lu;
	e->ops = ops;
	e->ctx = ctx;
	list_init(&e->lanes);
	list_init(&e->queue);
	list_init(&e->tmfs);
	list_init(&e->unreleased);
	rangelock_init(&e->ranges);
	e->reply = malloc(CMD_REPLY_MAX);
	if (!e->reply || nexus_table_init(&e->nexuses)) {
		engine_free(e);
		errno = ENOMEM;
		return NULL;
	}
	return e;
}

static void
free_lane(struct engine_lane *lane)
{
	list_del(&lane->link);
	lane->engine->n_lanes--;
	lane_srv_free(lane->srv);
	free(lane);
}

void
engine_free(struct engine *e)
{
	struct engine_lane *lane;

	if (!e)
		return;
	list_for_each(lane, &e->lanes, link)
		free_lane(lane);
	nexus_table_done(&e->nexuses);
	lane_sub_free(e->lower);
	free(e->lower_task);
	free(e->recover.old);
	free(e->reply);
	free(e);
}

void
engine_violation(struct engine *e, struct engine_lane *lane, const char *text)
{
	bool *frozen = lane ? &lane->frozen : &e->lower_frozen;

	if (*frozen)
		return;
	*frozen = true;
	e->did++;
	e->ops->violation(e->ctx, lane ? lane->id : 0, text);
}

/* ---- lanes --------------------------------------------------------------- */

struct engine_lane *
engine_find_lane(const struct engine *e, uint32_t id)
{
	struct engine_lane *lane;

	list_for_each(lane, &e->lanes, link)
		if (lane->id == id)
			return lane;
	return NULL;
}

int
engine_lower(struct engine *e, const struct lane_maps *maps, uint32_t epoch, bool fresh)
{
	assert(!e->lower && e->recover.phase == RECOVER_CONFIG);
	e->lower_maps = *maps;
	e->lower_epoch = epoch;
	e->lower_used = !fresh;
	e->lower_task = calloc(maps->nslots, sizeof(*e->lower_task));
	if (!e->lower_task || recover_init(e))
		return -ENOMEM;
	e->lower = lane_sub_attach(maps, epoch, fresh);
	return e->lower ? 0 : -errno;
}

void
engine_serve_lane(struct engine_lane *lane)
{
	lane->used = false;
	lane->served = true;
	if (!lane->frozen && !lane->closing)
		lane_srv_serve(lane->srv);
}

int
engine_lane_add(struct engine *e, const struct engine_lane_conf *conf)
{
	uint32_t n = conf->maps.nslots;
	struct engine_lane *lane;

	if (!conf->id || n < LANE_SLOTS_MIN || n > LANE_SLOTS_MAX)
		return -EINVAL;
	if (engine_find_lane(e, conf->id))
		return -EEXIST;
	if (e->n_lanes == ENGINE_LANES_MAX)
		return -ENOSPC;
	lane = calloc(1, sizeof(*lane) + n * sizeof(lane->task[0]));
	if (!lane)
		return -ENOMEM;
	lane->srv = lane_srv_attach(&conf->maps, conf->epoch, conf->fresh);
	if (!lane->srv) {
		int err = errno;

		free(lane);
		return -err;
	}
	lane->id = conf->id;
	lane->engine = e;
	lane->maps = conf->maps;
	lane->pool.id = conf->pool;
	lane->pool.size = conf->pool_size;
	lane->pool_base = conf->pool_base;
	lane->limits.pools = &lane->pool;
	lane->limits.n_pools = 1;
	lane->limits.kinds = 1u << LANE_SCSI | 1u << LANE_TMF;
	lane->used = !conf->fresh;
	list_add_tail(&e->lanes, &lane->link);
	e->n_lanes++;
	if (e->recover.phase == RECOVER_DONE) {
		if (lane->used)
			e->recover.phase = RECOVER_LANES;
		else
			engine_serve_lane(lane);
	}
	return 0;
}

static void
cancel_lane(struct engine_lane *lane)
{
	for (uint32_t i = 0; i < lane->maps.nslots && lane->busy; i++)
		task_cancel(&lane->task[i]);
}

int
engine_lane_close(struct engine *e, uint32_t id)
{
	struct engine_lane *lane = engine_find_lane(e, id);

	if (!lane)
		return -ENOENT;
	if (lane->closing)
		return 0;
	lane->closing = true;
	e->n_closing++;
	cancel_lane(lane);
	return 0;
}

/* The store may still write from the lane's pool until nothing is busy. */
static void
finish_closing(struct engine *e)
{
	struct engine_lane *lane;

	if (!e->n_closing)
		return;
	list_for_each(lane, &e->lanes, link) {
		uint32_t id = lane->id;

		if (!lane->closing || lane->busy || lane->used)
			continue;
		/* Its tasks may still lie in the list of the unreleased. */
		for (uint32_t i = 0; i < lane->maps.nslots; i++)
			if (lane->task[i].lane)
				list_del(&lane->task[i].link);
		e->n_closing--;
		e->n_draining -= lane->draining;
		free_lane(lane);
		e->did++;
		e->ops->lane_closed(e->ctx, id);
	}
}

static void
lower_epoch(struct engine *e, uint32_t epoch)
{
	e->lower_epoch = epoch;
	e->lower_frozen = false;
	lane_sub_epoch(e->lower, epoch);
	lane_sub_publish(e->lower);
	/* What recovery had seen, it looks for again when this one is served. */
	if (e->recover.phase == RECOVER_HARVEST)
		e->recover.phase = RECOVER_READY;
	e->recover.named = e->recover.phase <= RECOVER_READY;
}

int
engine_lane_epoch(struct engine *e, uint32_t id, uint32_t epoch)
{
	struct engine_lane *lane = engine_find_lane(e, id);

	if (!id && e->lower) {
		if (epoch != e->lower_epoch)
			lower_epoch(e, epoch);
		return 0;
	}
	if (!lane)
		return -ENOENT;
	if (epoch == lane->epoch || lane->frozen)
		return 0; /* what froze stays so until LaneClose */
	lane->epoch = epoch;
	lane_srv_epoch(lane->srv, epoch);
	if (lane->served && !lane->draining) {
		lane->draining = true;
		e->n_draining++;
	}
	return 0;
}

/* What only its submitter can bring on does not hold up its next incarnation. */
static bool
is_drained(const struct engine_lane *lane)
{
	for (uint32_t i = 0; i < lane->maps.nslots; i++) {
		uint8_t state = lane->task[i].state;

		if (state != TASK_FREE && state != TASK_WANT && state != TASK_TMF)
			return false;
	}
	return true;
}

static void
finish_draining(struct engine *e)
{
	struct engine_lane *lane;

	if (!e->n_draining)
		return;
	list_for_each(lane, &e->lanes, link) {
		if (!lane->draining || !is_drained(lane))
			continue;
		lane->draining = false;
		e->n_draining--;
		e->did++;
		engine_serve_lane(lane);
	}
}

/* ---- nexuses ------------------------------------------------------------- */

int
engine_nexus_add(struct engine *e, const struct nexus_conf *conf)
{
	return nexus_add(&e->nexuses, conf);
}

int
engine_nexus_drop(struct engine *e, uint32_t id)
{
	struct nexus_entry *ne = nexus_find(&e->nexuses, id);
	struct engine_lane *lane;

	if (!ne)
		return -ENOENT;
	if (ne->dropping)
		return 0;
	ne->dropping = true;
	e->n_dropping++;
	list_for_each(lane, &e->lanes, link)
		for (uint32_t i = 0; i < lane->maps.nslots && ne->busy; i++)
			if (lane->task[i].state != TASK_FREE && lane->task[i].nexus == ne)
				task_cancel(&lane->task[i]);
	return 0;
}

static void
finish_dropping(struct engine *e)
{
	struct nexus *n;

	if (!e->n_dropping)
		return;
	list_for_each(n, &e->nexuses.all, link) {
		struct nexus_entry *ne = container_of(n, struct nexus_entry, n);
		uint32_t id = n->id;

		if (!ne->dropping || ne->busy)
			continue;
		nexus_del(&e->nexuses, ne);
		e->n_dropping--;
		e->did++;
		e->ops->nexus_dropped(e->ctx, id);
	}
}

int
engine_nexus_luns(struct engine *e, uint32_t nexus, uint32_t generation, const uint64_t *luns,
		  uint32_t n)
{
	return nexus_luns(&e->nexuses, nexus, generation, luns, n);
}

/* ---- a turn -------------------------------------------------------------- */

static void
on_submit(struct engine_lane *lane, const struct lane_taken *t)
{
	struct nexus_entry *ne = task_check(lane, &t->req);

	if (!ne)
		return;
	lane_srv_claim(lane->srv, t->slot, t->seq);
	lane->engine->stats.commands++;
	task_run(task_bind(lane, t, ne), &t->req, false);
}

static void
on_data(struct engine_lane *lane, const struct lane_taken *t)
{
	task_data(engine_task(lane, t->slot));
}

static void
on_cancel(struct engine_lane *lane, const struct lane_taken *t)
{
	if (t->state == LANE_NONE) { /* it came before its own request was taken */
		struct task *k = engine_task(lane, t->slot);

		lane_srv_claim(lane->srv, t->slot, t->seq);
		lane_srv_cancelled(lane->srv, t->slot);
		list_del(&k->link);
		list_add_tail(&lane->engine->unreleased, &k->link);
		lane->engine->did++;
		return;
	}
	task_cancel(engine_task(lane, t->slot));
}

static void
on_release(struct engine_lane *lane, const struct lane_taken *t)
{
	(void)lane; /* the lane does not report releases */
	(void)t;
}

static void (*const take_op[])(struct engine_lane *lane, const struct lane_taken *t) = {
	[LANE_RELEASE] = on_release,
	[LANE_SUBMIT] = on_submit,
	[LANE_DATA] = on_data,
	[LANE_CANCEL] = on_cancel,
};

static void
take_batch(struct engine_lane *lane)
{
	struct lane_taken t;

	for (unsigned i = 0; i < ENGINE_BATCH && !lane->frozen && !lane->closing; i++) {
		int rc = lane_srv_take(lane->srv, &t);

		if (rc < 0)
			engine_violation(lane->engine, lane,
					 "the lane's words or rings are out of bounds");
		if (rc <= 0)
			return;
		take_op[t.op](lane, &t);
	}
}

static void
complete(struct engine *e, const struct lane_event *ev)
{
	struct task *k = e->lower_task[ev->slot];
	struct lane_rsp rsp = { .error = -EIO };

	/* A live engine cancels nothing below and its writes bring their data.
	 * Whatever else the slot says, it has ended and says so only once. */
	if (ev->state != LANE_DONE)
		engine_violation(e, NULL, "an answer that nothing was asked for");
	else if (lane_sub_rsp(e->lower, ev->slot, &rsp))
		engine_violation(e, NULL, "response out of bounds");
	if (ev->state < LANE_DONE)
		return;
	e->lower_task[ev->slot] = NULL;
	task_store_done(k, rsp.error, rsp.in_len);
	lane_sub_release(e->lower, ev->slot);
}

static void
poll_lower(struct engine *e)
{
	struct lane_event ev[ENGINE_BATCH];
	int n = e->lower_frozen ? 0 : lane_sub_poll(e->lower, ev, ENGINE_BATCH);

	if (n < 0)
		engine_violation(e, NULL, "the lane's words or rings are out of bounds");
	for (int i = 0; i < n; i++)
		complete(e, &ev[i]);
}

void
engine_start(struct engine *e)
{
	assert(e->recover.phase == RECOVER_CONFIG);
	e->recover.phase = e->lower_used ? RECOVER_READY : RECOVER_LANES;
}

bool
engine_serving(const struct engine *e)
{
	return e->recover.phase == RECOVER_DONE;
}

unsigned
engine_turn(struct engine *e, uint64_t now)
{
	struct engine_lane *lane;

	e->now = now;
	e->did = 0;
	if (e->recover.phase == RECOVER_CONFIG)
		return 0;
	if (e->recover.phase == RECOVER_DONE || recover_turn(e)) {
		if (e->lower)
			poll_lower(e);
		list_for_each(lane, &e->lanes, link)
			if (!e->stopped)
				take_batch(lane);
		tmf_turn(e);
		if (e->lower)
			task_submit_queued(e);
		finish_draining(e);
	}
	if (e->lower)
		lane_sub_publish(e->lower); /* first: the store gets to work */
	list_for_each(lane, &e->lanes, link)
		if (!lane->frozen)
			lane_srv_publish(lane->srv);
	finish_closing(e);
	finish_dropping(e);
	return e->did;
}

void
engine_stop(struct engine *e)
{
	e->stopped = true;
}

uint64_t
engine_deadline(const struct engine *e)
{
	return tmf_deadline(e);
}

bool
engine_sleep(struct engine *e)
{
	struct engine_lane *lane;
	bool ok = true;

	if (e->lower && !e->lower_frozen)
		ok = lane_sub_sleep(e->lower);
	list_for_each(lane, &e->lanes, link)
		if (ok && !lane->frozen && !lane->closing && !e->stopped)
			ok = lane_srv_sleep(lane->srv);
	if (!ok)
		engine_wake(e);
	return ok;
}

void
engine_wake(struct engine *e)
{
	struct engine_lane *lane;

	if (e->lower)
		lane_sub_wake(e->lower);
	list_for_each(lane, &e->lanes, link)
		lane_srv_wake(lane->srv);
}

const struct engine_stats *
engine_stats(const struct engine *e)
{
	return &e->stats;
}

uint32_t
engine_busy(const struct engine *e)
{
	return e->busy;
}
