/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A LUN's two workers: their configuration, what their deaths mean for the
 * epochs, and when a LUN is offline.  docs/protocol.md, "A worker dies".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/broker_priv.h"
#include "proto/log.h"

/* ---- begin and end --------------------------------------------------- */

struct lun_rt *
lun_rt_new(struct broker *b, struct model_lun *ml)
{
	struct lun_rt *l = calloc(1, sizeof(*l));
	int err = 0;

	if (!l)
		return NULL;
	l->b = b;
	l->ml = ml;
	list_init(&l->dirty);
	list_init(&l->lanes);
	list_init(&l->waiting);
	objects_none(&l->lower);
	snprintf(l->name, sizeof(l->name), "%s", ml ? ml->name : "inventory");
	if (ml) {
		l->lower_epoch = 1;
		err = objects_create(&l->lower, l->name, LOWER_SLOTS, SCRATCH_BYTES);
	}
	if (err) {
		log_err("lun=%s: no memory objects: %s", l->name, strerror(-err));
		free(l);
		errno = -err;
		return NULL;
	}
	worker_init(b, &l->scsid, TGT__ROLE__ROLE_SCSID, l->name);
	l->scsid.lun = l;
	if (ml) {
		worker_init(b, &l->storaged, TGT__ROLE__ROLE_STORAGED, l->name);
		l->storaged.lun = l;
		ml->rt = l;
	}
	list_add_tail(&b->luns, &l->link);
	return l;
}

/* All that points to it goes with it; its connections stay with nobody. */
void
lun_rt_free(struct lun_rt *l)
{
	struct request *r;
	struct lane *la;

	while ((r = list_first(&l->waiting, struct request, link)))
		request_free(r);
	while ((la = list_first(&l->lanes, struct lane, lun_link)))
		lane_free(la);
	objects_close(&l->lower);
	unit_remove(&l->scsid.unit);
	if (l->ml) {
		unit_remove(&l->storaged.unit);
		l->ml->rt = NULL;
	}
	list_del(&l->link);
	list_del(&l->dirty);
	free(l);
}

void
lun_dirty(struct lun_rt *l)
{
	if (list_empty(&l->dirty))
		list_add_tail(&l->b->dirty, &l->dirty);
}

int
broker_lun_add(struct broker *b, struct model_lun *ml)
{
	struct lun_rt *l = lun_rt_new(b, ml);

	if (!l)
		return -errno;
	unit_start(&b->units, &l->storaged.unit);
	unit_start(&b->units, &l->scsid.unit);
	return 0;
}

void
broker_lun_remove(struct broker *b, struct model_lun *ml)
{
	struct lun_rt *l = ml->rt;

	l->dying = true;
	lun_dirty(l);
	broker_settle(b);
}

/* The portal still maps it: asked once to let go. */
static bool
revoke_lanes(struct lun_rt *l)
{
	bool left = false;
	struct lane *la;

	list_for_each(la, &l->lanes, lun_link) {
		Tgt__LaneRevoke rev = TGT__LANE_REVOKE__INIT;
		Tgt__WorkerMsg m;

		if (!la->told)
			continue;
		left = true;
		rev.lane = la->id;
		if (!l->revoked)
			worker_send(l->b, &la->portal->w, WRAP(&m, LANE_REVOKE, lane_revoke, &rev));
	}
	l->revoked = true;
	return left;
}

bool
lun_try_end(struct lun_rt *l)
{
	struct broker *b = l->b;
	struct model_lun *ml = l->ml;

	if (revoke_lanes(l))
		return false;
	/* Nobody submits any more: storaged ends after scsid has had its say. */
	unit_stop(&b->units, &l->scsid.unit);
	if (!l->sub_used)
		unit_stop(&b->units, &l->storaged.unit);
	if (!unit_is_off(&l->scsid.unit) || l->scsid.peer)
		return false;
	unit_stop(&b->units, &l->storaged.unit);
	if (!unit_is_off(&l->storaged.unit) || l->storaged.peer)
		return false;
	lun_rt_free(l);
	b->ops->lun_event(b->ctx, ml, LUN_GONE, 0, "");
	return true;
}

/* ---- online and offline ---------------------------------------------- */

const char *
lun_offline(const struct lun_rt *l)
{
	if (*l->storaged.fail)
		return l->storaged.fail;
	return *l->scsid.fail ? l->scsid.fail : NULL;
}

void
broker_lun_info(const struct model_lun *ml, struct lun_info *info)
{
	const struct lun_rt *l = ml->rt;
	const char *off;

	memset(info, 0, sizeof(*info));
	info->state = "offline";
	info->detail = "";
	if (!l)
		return;
	off = lun_offline(l);
	info->state = off ? "offline" : "starting";
	if (l->scsid.state == W_READY && l->storaged.state == W_READY)
		info->state = "online";
	info->detail = off ? off : l->warning;
	info->size = l->size;
	info->scsid_pid = l->scsid.unit.pid;
	info->storaged_pid = l->storaged.unit.pid;
	info->restarts = l->scsid.unit.starts + l->storaged.unit.starts;
	info->restarts -= MIN(l->scsid.unit.starts, 1u) + MIN(l->storaged.unit.starts, 1u);
}

/* Until the operator says otherwise: @w->fail tells why. */
void
lun_stop(struct lun_rt *l, struct worker *w)
{
	log_err("lun=%s is offline: %s", l->name, w->fail);
	w->stopped = true;
	unit_stop(&l->b->units, &w->unit);
	lun_dirty(l);
}

static bool
own_fault(Tgt__DeathCause cause)
{
	return cause == TGT__DEATH_CAUSE__DEATH_OWN_FAULT ||
	       cause == TGT__DEATH_CAUSE__DEATH_WATCHDOG || cause == TGT__DEATH_CAUSE__DEATH_OOM;
}

void
lun_unit_exited(struct broker *b, struct worker *w, const Tgt__UnitExited *e)
{
	bool fault = own_fault(e->cause);

	lun_dirty(w->lun);
	if (!w->unit.wanted)
		return;
	if (!w->was_ready && !*w->fail && e->cause != TGT__DEATH_CAUSE__DEATH_KILLED) {
		snprintf(w->fail, sizeof(w->fail), "%s ended before it was ready, with %s %d; "
			 "the log tells more", w->unit.name, fault ? "signal" : "status", e->code);
		w->fail_err = EIO;
	}
	if (!fault || ++w->deaths < DEATHS_MAX)
		return;
	w->fail_err = EIO;
	snprintf(w->fail, sizeof(w->fail), "crash loop: %s died %d times in a row, last by signal "
		 "%d; after the cause is removed, 'lun create' the same LUN again to restart it",
		 w->unit.name, DEATHS_MAX, e->code);
	lun_stop(w->lun, w);
}

static void
revive(struct broker *b, struct worker *w)
{
	if (!w->stopped)
		return;
	w->stopped = false;
	w->deaths = 0;
	w->fail[0] = 0;
	unit_start(&b->units, &w->unit);
}

void
broker_lun_revive(struct broker *b, struct model_lun *ml)
{
	struct lun_rt *l = ml->rt;

	if (l->storaged.stopped)
		l->known = false; /* the operator says it is the right store */
	revive(b, &l->storaged);
	revive(b, &l->scsid);
	broker_settle(b);
}

const char *
broker_store_user(struct broker *b, const struct model_lun *ml, uint64_t dev, uint64_t ino)
{
	struct lun_rt *l;

	list_for_each(l, &b->luns, link) {
		if (!l->ml || l->ml == ml || l->dying || !l->known || (!l->dev && !l->ino))
			continue;
		if (l->dev == dev && l->ino == ino && !(l->ml->read_only && ml->read_only))
			return l->name;
	}
	return NULL;
}

/* ---- storaged -------------------------------------------------------- */

void
storaged_hello(struct broker *b, struct worker *w)
{
	struct lun_rt *l = w->lun;
	Tgt__StoragedConfig c = TGT__STORAGED_CONFIG__INIT;
	Tgt__WorkerMsg m;
	struct lane *la;
	int err;

	if (l->renew)
		return; /* held back: lower_try_renew calls again */
	c.lun = l->name;
	c.backend = l->ml->backend;
	c.path = l->ml->path;
	c.size = l->ml->size;
	c.block_size = l->ml->block_size;
	c.read_only = l->ml->read_only;
	c.fence_wait_ms = l->known ? FENCE_AGAIN_MS : FENCE_FIRST_MS;
	c.epoch = l->lower_epoch;
	c.fresh = !l->status_used;
	c.nslots = LOWER_SLOTS;
	c.scratch_size = SCRATCH_BYTES;
	c.io_threads = IO_THREADS;
	c.expect_dev = l->known ? l->dev : 0;
	c.expect_ino = l->known ? l->ino : 0;
	err = objects_send(b, w, WRAP(&m, STORAGED_CONFIG, storaged_config, &c), &l->lower, false);
	if (err) {
		worker_breach(b, w, "cannot be configured: %s", strerror(-err));
		return;
	}
	l->status_used = true;
	/* What scsid has been told of may be named by its requests. */
	list_for_each(la, &l->lanes, lun_link)
		if (la->known && !la->closed)
			lane_send_pool(la);
	worker_config_done(b, w);
}

/* Is this the store that the LUN had, and nobody else's?  Fills w->fail. */
static int
check_store(struct broker *b, struct worker *w, const Tgt__Ready *r)
{
	struct lun_rt *l = w->lun;
	const char *other = broker_store_user(b, l->ml, r->dev, r->ino);

	w->fail_err = EBUSY;
	if (r->store_size < l->ml->block_size) {
		snprintf(w->fail, sizeof(w->fail), "the store has %" PRIu64 " bytes, less than one "
			 "block", r->store_size);
		w->fail_err = EINVAL;
		return -EINVAL;
	}
	if ((r->dev || r->ino) && other) {
		snprintf(w->fail, sizeof(w->fail), "%.300s is already the store of LUN %s: two LUNs "
			 "on one store must both be read-only", l->ml->path, other);
		return -EBUSY;
	}
	if (l->known && (l->dev != r->dev || l->ino != r->ino)) {
		snprintf(w->fail, sizeof(w->fail), "%.300s is another file or device than before; "
			 "if that is right, 'lun create' the same LUN again", l->ml->path);
		return -EBUSY;
	}
	return 0;
}

void
storaged_ready(struct broker *b, struct worker *w, const Tgt__Ready *r)
{
	struct lun_rt *l = w->lun;
	bool resized = l->known && l->size != r->store_size;
	struct lane *la;

	lun_dirty(l);
	if (check_store(b, w, r)) {
		lun_stop(l, w);
		return;
	}
	list_for_each(la, &l->lanes, lun_link)
		if (la->pool == AT_SENT)
			la->pool = AT_HAVE;
	snprintf(l->warning, sizeof(l->warning), "%s", r->warning);
	if (*r->warning)
		log_warn("lun=%s: %s", l->name, r->warning);
	l->known = true;
	l->size = r->store_size;
	l->dev = r->dev;
	l->ino = r->ino;
	l->can_flush = r->can_flush;
	if (resized && worker_attached(&l->scsid))
		worker_breach(b, &l->scsid, "the store has another size now");
	else if (l->scsid.state == W_HELLO)
		scsid_hello(b, &l->scsid);
}

static void
lower_epoch_to(struct lun_rt *l, struct worker *survivor)
{
	Tgt__LaneEpoch e = TGT__LANE_EPOCH__INIT;
	Tgt__WorkerMsg m;

	l->lower_epoch++;
	e.lane = 0;
	e.epoch = l->lower_epoch;
	if (worker_attached(survivor))
		worker_send(l->b, survivor, WRAP(&m, LANE_EPOCH, lane_epoch, &e));
}

void
storaged_gone(struct broker *b, struct worker *w)
{
	struct lun_rt *l = w->lun;
	struct lane *la;

	if (worker_attached(w))
		lower_epoch_to(l, &l->scsid);
	list_for_each(la, &l->lanes, lun_link) {
		la->pool = AT_NONE;
		la->detach_sent = false;
	}
	lun_dirty(l);
}

/* ---- scsid ----------------------------------------------------------- */

static void
fill_scsid_config(const struct lun_rt *l, Tgt__ScsidConfig *c)
{
	static char vendor[] = "TGT-NG", product[] = "VIRTUAL-DISK", revision[] = "0001";

	c->lun = (char *)(uintptr_t)l->name;
	c->inventory = !l->ml;
	c->vendor = vendor;
	c->product = product;
	c->revision = revision;
	c->max_transfer = TRANSFER_MAX;
	c->block_size = 512;
	if (!l->ml)
		return;
	c->store_size = l->size;
	c->block_size = l->ml->block_size;
	/* Files live in pages of 4 KiB; smaller writes are read-modify-write. */
	for (uint32_t n = l->ml->block_size; n < 4096; n *= 2)
		c->phys_exp++;
	c->read_only = l->ml->read_only;
	c->can_flush = l->can_flush;
	c->serial = l->ml->serial;
	c->naa = l->ml->naa;
	c->naa_ext = l->ml->naa_ext;
	c->epoch = l->lower_epoch;
	c->fresh = !l->sub_used;
	c->nslots = LOWER_SLOTS;
	c->scratch_size = SCRATCH_BYTES;
}

/* Everything an earlier scsid was told of, also what is about to end: its
 * slots may be in use.  The endings are sent again behind it (lun_advance). */
static void
send_lanes(struct lun_rt *l)
{
	struct lane *la;
	struct attach *a;

	list_for_each(la, &l->lanes, lun_link)
		if (la->known && !la->closed)
			lane_send_open(la);
	list_for_each(la, &l->lanes, lun_link) {
		if (!la->known || la->closed)
			continue;
		list_for_each(a, &la->attaches, lane_link)
			if (a->known)
				attach_send_add(a);
	}
}

void
scsid_hello(struct broker *b, struct worker *w)
{
	struct lun_rt *l = w->lun;
	Tgt__ScsidConfig c = TGT__SCSID_CONFIG__INIT;
	Tgt__WorkerMsg m;
	int err = 0;

	if (l->ml && (!l->known || l->renew))
		return; /* held back: storaged_ready or lower_try_renew calls again */
	fill_scsid_config(l, &c);
	(void)WRAP(&m, SCSID_CONFIG, scsid_config, &c);
	if (l->ml)
		err = objects_send(b, w, &m, &l->lower, true);
	else
		worker_send(b, w, &m);
	if (err) {
		worker_breach(b, w, "cannot be configured: %s", strerror(-err));
		return;
	}
	l->sub_used = true;
	send_lanes(l);
	worker_config_done(b, w);
}

void
scsid_ready(struct broker *b, struct worker *w, const Tgt__Ready *r)
{
	struct lane *la;
	struct attach *a;

	list_for_each(la, &w->lun->lanes, lun_link) {
		if (la->scsid == AT_SENT)
			la->scsid = AT_HAVE;
		list_for_each(a, &la->attaches, lane_link)
			if (a->at == AT_SENT)
				a->at = AT_HAVE;
	}
	lun_dirty(w->lun);
}

/* The portal names its outstanding slots again under the next epoch. */
static void
upper_epoch(struct lun_rt *l, struct lane *la)
{
	Tgt__LaneEpoch e = TGT__LANE_EPOCH__INIT;
	Tgt__WorkerMsg m;

	la->epoch++;
	e.lane = la->id;
	e.epoch = la->epoch;
	if (la->told && la->portal)
		worker_send(l->b, &la->portal->w, WRAP(&m, LANE_EPOCH, lane_epoch, &e));
}

void
scsid_gone(struct broker *b, struct worker *w)
{
	struct lun_rt *l = w->lun;
	struct lane *la;
	struct attach *a;

	if (worker_attached(w) && l->ml)
		lower_epoch_to(l, &l->storaged);
	list_for_each(la, &l->lanes, lun_link) {
		if (la->scsid != AT_NONE)
			upper_epoch(l, la);
		la->scsid = AT_NONE;
		la->close_sent = false;
		list_for_each(a, &la->attaches, lane_link) {
			a->at = AT_NONE;
			a->drop_sent = false;
		}
	}
	lun_dirty(l);
}

/* ---- a lower lane beyond repair ---------------------------------------- */

/*
 * A worker that misbehaved may have left words in the memory of the lane that
 * no successor can attach, or for which its innocent peer is accused: killing
 * one of the two for it would go on for ever.  So at the second fault in a row
 * both end, and the next two meet on new memory.
 *
 * Nothing is lost but outcomes that scsid had not harvested.  Those commands are
 * in EXEC in the upper lanes and go by their replay class, and no earlier
 * execution of them can come later: the new storaged has the fence by then.
 */
void
lower_fault(struct lun_rt *l)
{
	if (!l->ml)
		return;
	l->fault_ticks = 0;
	l->b->ops->soon(l->b->ctx);
	if (++l->faults < FAULTS_MAX || l->renew)
		return;
	l->renew = true;
	worker_breach(l->b, &l->scsid, "its lower lane is made anew");
	worker_breach(l->b, &l->storaged, "its lower lane is made anew");
	lun_dirty(l);
}

void
lower_try_renew(struct lun_rt *l)
{
	struct objects fresh;
	int err;

	if (!l->renew || worker_attached(&l->scsid) || worker_attached(&l->storaged))
		return;
	l->renew = false;
	l->faults = 0;
	err = objects_create(&fresh, l->name, LOWER_SLOTS, SCRATCH_BYTES);
	if (err) { /* tried again after the next faults */
		log_err("lun=%s: no memory objects: %s", l->name, strerror(-err));
	} else {
		objects_close(&l->lower);
		l->lower = fresh;
		l->sub_used = l->status_used = false;
		log_warn("lun=%s: its lower lane has new memory", l->name);
	}
	if (l->storaged.state == W_HELLO)
		storaged_hello(l->b, &l->storaged);
	if (l->scsid.state == W_HELLO)
		scsid_hello(l->b, &l->scsid);
}
