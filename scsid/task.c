/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of one command: checked, dispatched to the SCSI code, waiting for
 * data, for the range lock, for a lower slot, with storaged, answered.
 *
 * Two orders hold everything up, whatever dies in between:
 *   the upper slot says EXEC before the lower slot says SUBMIT;
 *   the upper slot says DONE before the lower slot is released.
 * So an executed command can always be found from one side or the other.
 *
 * Must not look at a peer's memory: requests come as private copies, and the
 * pool is only written to.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "scsid/engine_priv.h"
#include "scsid/optab.h"

enum { ATTR_ORDERED = 2 }; /* RFC 7143 11.3.1 */

/* ---- the end ------------------------------------------------------------- */

void
task_end(struct task *k)
{
	struct engine *e = k->lane->engine;

	assert(k->state != TASK_FREE);
	k->state = TASK_FREE;
	k->nexus->busy--;
	k->lane->busy--;
	e->busy--;
	e->did++;
	if (k->reset)
		tmf_task_ended(k);
	k->reset = false;
}

void
task_answer_cancelled(struct task *k)
{
	struct engine *e = k->lane->engine;

	task_end(k);
	e->stats.cancelled++;
	if (k->lane->frozen)
		return;
	lane_srv_cancelled(k->lane->srv, k->slot);
	list_add_tail(&e->unreleased, &k->link);
}

/* @in_len and @out_len: what was moved; @total: what the CDB asked for.  The
 * portal makes the residual of it (RFC 7143 11.4.5). */
static void
answer(struct task *k, uint32_t in_len, uint32_t out_len, uint32_t in_total)
{
	struct lane_rsp *rsp;

	if (k->cancel || k->reset) {
		task_answer_cancelled(k);
		return;
	}
	task_end(k);
	if (k->lane->frozen)
		return;
	rsp = lane_srv_rsp(k->lane->srv, k->slot);
	rsp->error = 0;
	rsp->status = k->c.status;
	rsp->sense_len = k->c.sense_len;
	rsp->want = 0;
	rsp->in_len = in_len;
	rsp->out_len = out_len;
	rsp->in_total = in_total;
	memcpy(rsp->sense, k->c.sense, k->c.sense_len);
	lane_srv_done(k->lane->srv, k->slot);
}

void
task_answer_tmf(struct task *k, int response)
{
	struct lane_rsp *rsp;

	task_end(k);
	if (k->lane->frozen)
		return;
	rsp = lane_srv_rsp(k->lane->srv, k->slot);
	rsp->error = response;
	rsp->status = 0;
	rsp->sense_len = 0;
	lane_srv_done(k->lane->srv, k->slot);
}

void
task_unknown(struct task *k)
{
	cmd_sense(&k->c, HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE);
	answer(k, 0, 0, 0);
}

/* The range goes back; what that lets go on is queued in the order it came. */
static void
unlock(struct task *k)
{
	struct engine *e = k->lane->engine;
	struct list granted = LIST_INIT(granted);
	struct rangelock_req *r;

	rangelock_release(&e->ranges, &k->lock, &granted);
	list_for_each(r, &granted, link) {
		struct task *next = container_of(r, struct task, lock);

		list_del(&r->link);
		next->state = TASK_QUEUE;
		list_add_tail(&e->queue, &next->link);
	}
}

/* GOOD from the store, or its error as status and sense.  io.len is what the
 * CDB asked for, k->len what was moved, no more than the initiator expects. */
static void
answer_medium(struct task *k, int error)
{
	uint32_t total;

	cmd_io_done(&k->c, error);
	total = k->c.status == STATUS_GOOD ? (uint32_t)MIN(k->c.io.len, UINT32_MAX) : 0;
	if (k->c.io.op == BLK_READ)
		answer(k, total ? k->len : 0, 0, total);
	else
		answer(k, 0, total, 0);
}

/* ---- with the store ------------------------------------------------------ */

static void
submit(struct task *k, uint16_t slot)
{
	struct engine *e = k->lane->engine;
	struct lane_req *req = lane_sub_req(e->lower, slot);
	struct lane_ext *ext = k->c.io.op == BLK_READ ? req->in : req->out;

	req->kind = LANE_BLK;
	*(k->c.io.op == BLK_READ ? &req->n_in : &req->n_out) = k->n_ext;
	memcpy(ext, k->ext, k->n_ext * sizeof(*ext));
	req->u.blk.op = k->c.io.op;
	req->u.blk.flags = k->c.io.flags;
	req->u.blk.off = k->c.io.off;
	req->u.blk.len = k->len;
	req->u.blk.tag.lane = k->lane->id;
	req->u.blk.tag.slot = k->slot;
	req->u.blk.tag.part = 0;
	req->u.blk.tag.seq = k->seq;
	req->u.blk.tag.parts = 1;

	k->state = TASK_EXEC;
	e->lower_task[slot] = k;
	if (!k->lane->frozen)
		lane_srv_exec(k->lane->srv, k->slot);
	lane_sub_submit(e->lower, slot);
	e->stats.medium++;
	e->did++;
}

void
task_submit_queued(struct engine *e)
{
	struct task *k;

	while ((k = list_first(&e->queue, struct task, link))) {
		int slot = e->lower_frozen ? -EAGAIN : lane_sub_get(e->lower);

		if (slot < 0)
			return;
		list_del(&k->link);
		submit(k, (uint16_t)slot);
	}
}

void
task_store_done(struct task *k, int error, uint32_t in_len)
{
	/* Fewer bytes than asked for without an error: what lies in the pool
	 * behind them is somebody's old data. */
	if (!error && k->c.io.op == BLK_READ && in_len != k->len)
		error = -EIO;
	answer_medium(k, error);
	unlock(k);
}

/* ---- the way there ------------------------------------------------------- */

static void
lock_range(struct task *k)
{
	struct engine *e = k->lane->engine;

	k->range.lo = k->c.io.off;
	k->range.hi = k->c.io.off + k->len;
	k->lock.ranges = &k->range;
	k->lock.n = 1;
	k->lock.writer = k->c.io.op == BLK_WRITE;
	if (k->c.io.op == BLK_FLUSH) {
		/* It covers the writes that were answered before it came (SBC-3
		 * 5.22).  Storaged had done these before we said DONE, and what
		 * it did is in the page cache, whoever of us has died since.  So
		 * a flush waits for no write: its range is where no block is. */
		k->range.lo = UINT64_MAX - 1;
		k->range.hi = UINT64_MAX;
	}
	if (k->attr == ATTR_ORDERED) {
		/* SAM-5 8.6.3: after all older commands, before all newer ones
		 * (that have their data), flushes too. */
		k->range.lo = 0;
		k->range.hi = UINT64_MAX;
		k->lock.writer = true;
	}
	if (!rangelock_acquire(&e->ranges, &k->lock)) {
		k->state = TASK_LOCK;
		e->stats.waited++;
		return;
	}
	k->state = TASK_QUEUE;
	list_add_tail(&e->queue, &k->link);
}

/* The first k->len bytes of the extents; false: they are shorter. */
static bool
trim(struct task *k, const struct lane_ext *ext, unsigned n)
{
	uint32_t left = k->len;

	k->n_ext = 0;
	for (unsigned i = 0; i < n && left; i++) {
		k->ext[i] = ext[i];
		k->ext[i].len = MIN(left, ext[i].len);
		left -= k->ext[i].len;
		k->n_ext++;
	}
	return left == 0;
}

/*
 * How much of what the CDB asks for is transferred: no more than the initiator
 * expects (RFC 7143 11.4.5: the rest is the overflow residual, with the
 * command's own status).  A write of which only a part comes writes the whole
 * blocks of that part: half a block has no meaning on the medium.
 */
static uint32_t
transfer_length(const struct task *k)
{
	const struct cmd *c = &k->c;

	if (c->io.op == BLK_READ)
		return (uint32_t)MIN(c->io.len, c->edtl_in);
	if (c->io.op == BLK_WRITE)
		return (uint32_t)MIN(c->io.len, c->edtl_out) & ~(c->lu->block_size - 1);
	return 0;
}

static void
run_medium(struct task *k, const struct lane_req *req, bool all_data)
{
	bool in = k->c.io.op == BLK_READ;

	k->len = transfer_length(k);
	if (!trim(k, in ? req->in : req->out, in ? req->n_in : req->n_out)) {
		engine_violation(k->lane->engine, k->lane, "extents shorter than the transfer");
		task_end(k);
		return;
	}
	if (!k->lane->engine->lower) {
		answer_medium(k, -ENODEV);
	} else if (!k->len && k->c.io.op != BLK_FLUSH) {
		answer_medium(k, 0);
	} else if (!in && !all_data && req->u.scsi.out_ready < k->len) {
		k->state = TASK_WANT;
		lane_srv_want(k->lane->srv, k->slot, k->len);
		k->lane->engine->did++;
	} else {
		lock_range(k);
	}
}

/* An answer of the SCSI code itself into the extents of the initiator's
 * buffer; never beyond them or the expected length. */
static void
run_reply(struct task *k, const struct lane_req *req)
{
	const struct cmd *c = &k->c;
	uint32_t total = c->status == STATUS_GOOD ? (uint32_t)c->reply.len : 0;
	uint32_t len = MIN(total, c->edtl_in), left;

	k->len = len;
	if (!trim(k, req->in, req->n_in)) {
		engine_violation(k->lane->engine, k->lane, "extents shorter than the reply");
		task_end(k);
		return;
	}
	left = 0;
	for (unsigned i = 0; i < k->n_ext; i++) {
		memcpy(k->lane->pool_base + k->ext[i].off, c->reply.buf + left, k->ext[i].len);
		left += k->ext[i].len;
	}
	answer(k, len, 0, total);
}

static void
fill_cmd(struct task *k, const struct lane_scsi *s)
{
	struct engine *e = k->lane->engine;
	struct cmd *c = &k->c;

	c->lu = e->lu;
	c->nexus = &k->nexus->n;
	c->op = NULL;
	memcpy(c->lun, s->lun, sizeof(c->lun));
	c->cdb_len = s->cdb_len;
	memcpy(c->cdb, s->cdb, s->cdb_len);
	c->edtl_in = s->edtl_in;
	c->edtl_out = s->edtl_out;
	c->status = STATUS_GOOD;
	c->sense_len = 0;
	c->reply_alloc = 0;
	appender_init(&c->reply, e->reply, CMD_REPLY_MAX);
	/* The nexus has read this generation of its LUN list (SPC-4 6.33). */
	if (s->luns_seen >= c->nexus->luns_generation && c->nexus->n_ua)
		nexus_ua_clear(c->nexus, ASC_REPORTED_LUNS_CHANGED);
}

void
task_run(struct task *k, const struct lane_req *req, bool all_data)
{
	if (k->nexus->dropping || k->lane->closing)
		k->cancel = true;
	if (k->cancel) {
		task_answer_cancelled(k);
		return;
	}
	if (req->kind == LANE_TMF) {
		tmf_run(k, req->u.scsi.tmf);
		return;
	}
	fill_cmd(k, &req->u.scsi);
	if (cmd_dispatch(&k->c) == CMD_MEDIUM)
		run_medium(k, req, all_data);
	else
		run_reply(k, req);
}

struct nexus_entry *
task_check(struct engine_lane *lane, const struct lane_req *req)
{
	struct engine *e = lane->engine;
	struct nexus_entry *ne;

	if (lane_req_check(&lane->limits, req)) {
		engine_violation(e, lane, "malformed request");
		return NULL;
	}
	ne = nexus_find(&e->nexuses, req->nexus);
	if (!ne || ne->n.lane != lane->id) {
		engine_violation(e, lane, "request of a nexus that is not of this lane");
		return NULL;
	}
	return ne;
}

struct task *
task_bind(struct engine_lane *lane, const struct lane_taken *t, struct nexus_entry *ne)
{
	struct engine *e = lane->engine;
	struct task *k = engine_task(lane, t->slot);

	assert(k->state == TASK_FREE);
	list_del(&k->link); /* of the unreleased: it evidently was released */
	k->nexus = ne;
	k->nexus_id = ne->n.id;
	k->order = t->req.order;
	k->arrival = ++e->arrivals;
	k->seq = t->seq;
	k->state = TASK_WANT;
	k->cancel = t->op == LANE_CANCEL;
	k->reset = false;
	k->attr = t->req.kind == LANE_SCSI ? t->req.u.scsi.attr : 0;
	ne->busy++;
	lane->busy++;
	e->busy++;
	e->did++;
	return k;
}

void
task_data(struct task *k)
{
	if (k->state == TASK_WANT)
		lock_range(k);
}

/* ---- cancel -------------------------------------------------------------- */

void
task_cancel(struct task *k)
{
	bool locked = k->state == TASK_LOCK || k->state == TASK_QUEUE;

	if (k->state == TASK_FREE || k->cancel)
		return;
	k->cancel = true;
	/* With the store: task_store_done answers, for then it has no later
	 * effect.  A task management function: tmf_turn answers. */
	if (k->state == TASK_EXEC || k->state == TASK_TMF)
		return;
	list_del(&k->link);
	task_answer_cancelled(k);
	if (locked)
		unlock(k);
}

/* ---- after a restart ----------------------------------------------------- */

/*
 * The verdict is asked for again, because it holds what the answer needs (io,
 * residual), but for a nexus without unit attentions: this command was past
 * them before it reached the store.
 */
void
task_harvest(struct task *k, const struct lane_req *req, int error, uint32_t in_len)
{
	struct nexus quiet = k->nexus->n;

	quiet.n_ua = 0;
	fill_cmd(k, &req->u.scsi);
	k->c.nexus = &quiet;
	if (cmd_dispatch(&k->c) != CMD_MEDIUM) {
		task_unknown(k); /* not a command that has a block request */
		return;
	}
	k->c.nexus = &k->nexus->n;
	k->len = transfer_length(k);
	if (!error && k->c.io.op == BLK_READ && in_len != k->len)
		error = -EIO;
	answer_medium(k, error);
}
