/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes, the nexuses on them, and the LunOpens that wait for both.
 *
 * lun_advance compares what should be with what each worker was told, and says
 * what is missing.  It is called after every event that concerns the LUN, so a
 * worker that dies at any step only sets steps back to AT_NONE.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/broker_priv.h"
#include "proto/log.h"

/* ---- what is said ---------------------------------------------------- */

void
lane_send_pool(struct lane *la)
{
	struct lun_rt *l = la->lun;
	Tgt__PoolAttach p = TGT__POOL_ATTACH__INIT;
	Tgt__WorkerMsg m;

	p.pool = la->id;
	p.size = POOL_BYTES;
	la->pool = AT_SENT;
	worker_send_fds(l->b, &l->storaged, WRAP(&m, POOL_ATTACH, pool_attach, &p),
			&la->o.fd[O_POOL], 1);
}

void
lane_send_open(struct lane *la)
{
	struct lun_rt *l = la->lun;
	Tgt__LaneOpen o = TGT__LANE_OPEN__INIT;
	Tgt__WorkerMsg m;
	int err;

	o.lane = la->id;
	o.epoch = la->epoch;
	o.fresh = !la->known;
	o.nslots = UPPER_SLOTS;
	o.pool = la->id;
	o.pool_size = POOL_BYTES;
	err = objects_send(l->b, &l->scsid, WRAP(&m, LANE_OPEN, lane_open, &o), &la->o, false);
	if (err && la->known) {
		worker_breach(l->b, &l->scsid, "cannot be given a lane: %s", strerror(-err));
		return;
	}
	if (err) {
		la->err = err;
		return;
	}
	la->scsid = AT_SENT;
	la->known = true;
}

void
attach_send_add(struct attach *a)
{
	struct lun_rt *l = a->lane->lun;
	struct nexus *n = a->nexus;
	Tgt__NexusAdd add = TGT__NEXUS_ADD__INIT;
	Tgt__WorkerMsg m;

	add.nexus = n->id;
	add.lane = a->lane->id;
	add.initiator_port = n->initiator_port;
	add.target_port = n->target_port;
	add.relative_port = n->relative_port;
	add.read_only = a->read_only;
	/* Until the portal may have used it, no command can have taken the
	 * unit attention away. */
	add.fresh = !a->answered;
	if (n->target) {
		add.luns_generation = n->target->generation;
		add.n_lun = target_lun_list(n->target, &add.lun);
	}
	a->at = AT_SENT;
	a->known = true;
	worker_send(l->b, &l->scsid, WRAP(&m, NEXUS_ADD, nexus_add, &add));
	free(add.lun);
}

static void
send_drop(struct attach *a)
{
	Tgt__NexusDrop d = TGT__NEXUS_DROP__INIT;
	Tgt__WorkerMsg m;

	d.nexus = a->nexus->id;
	a->drop_sent = true;
	worker_send(a->lane->lun->b, &a->lane->lun->scsid, WRAP(&m, NEXUS_DROP, nexus_drop, &d));
}

static void
send_close(struct lane *la)
{
	Tgt__LaneClose c = TGT__LANE_CLOSE__INIT;
	Tgt__WorkerMsg m;

	c.lane = la->id;
	la->close_sent = true;
	worker_send(la->lun->b, &la->lun->scsid, WRAP(&m, LANE_CLOSE, lane_close, &c));
}

static void
send_detach(struct lane *la)
{
	Tgt__PoolDetach d = TGT__POOL_DETACH__INIT;
	Tgt__WorkerMsg m;

	d.pool = la->id;
	la->detach_sent = true;
	worker_send(la->lun->b, &la->lun->storaged, WRAP(&m, POOL_DETACH, pool_detach, &d));
}

/* ---- objects --------------------------------------------------------- */

struct lane *
lane_find(struct broker *b, uint32_t id)
{
	struct lane *la;

	list_for_each(la, &b->lane_hash[id % HASH], hash)
		if (la->id == id)
			return la;
	return NULL;
}

/* NULL with *err. */
static struct lane *
lane_new(struct lun_rt *l, struct portal_rt *p, uint32_t thread, int *err)
{
	struct broker *b = l->b;
	struct lane *la;
	char name[MODEL_NAME_MAX + 32];

	*err = -ENOMEM;
	if (p->pool_bytes + POOL_BYTES > b->cfg.pool_budget) {
		log_limited(LOG_LEVEL_WARN, "lun=%s: no lane: the pool budget of the portal, %"
			    PRIu64 " MiB, is used up; its commands are answered BUSY", l->name,
			    b->cfg.pool_budget >> 20);
		return NULL;
	}
	la = calloc(1, sizeof(*la));
	if (!la)
		return NULL;
	snprintf(name, sizeof(name), "%s.%u", l->name, b->last_lane + 1);
	*err = objects_create(&la->o, name, UPPER_SLOTS, POOL_BYTES);
	if (*err) {
		free(la);
		return NULL;
	}
	la->id = ++b->last_lane;
	la->epoch = 1;
	la->thread = thread;
	la->lun = l;
	la->portal = p;
	la->pool = l->ml ? AT_NONE : AT_HAVE; /* the inventory has no storaged */
	list_init(&la->attaches);
	list_add_tail(&l->lanes, &la->lun_link);
	list_add_tail(&p->lanes, &la->portal_link);
	list_add_tail(&b->lane_hash[la->id % HASH], &la->hash);
	p->pool_bytes += POOL_BYTES;
	return la;
}

static void
attach_free(struct attach *a)
{
	struct nexus *n = a->nexus;
	struct request *r;

	list_for_each(r, &n->requests, nexus_link)
		if (r->attach == a)
			r->attach = NULL; /* to be placed again */
	/* They, and those that came while it was dropping, wait for this. */
	lun_dirty(a->lane->lun);
	list_del(&a->lane_link);
	list_del(&a->nexus_link);
	free(a);
	nexus_try_end(n);
}

void
lane_free(struct lane *la)
{
	struct attach *a;

	while ((a = list_first(&la->attaches, struct attach, lane_link)))
		attach_free(a);
	if (la->portal)
		la->portal->pool_bytes -= POOL_BYTES;
	list_del(&la->lun_link);
	list_del(&la->portal_link);
	list_del(&la->hash);
	objects_close(&la->o);
	free(la);
}

void
attach_drop(struct attach *a)
{
	a->dropping = true;
	lun_dirty(a->lane->lun);
}

/* ---- requests -------------------------------------------------------- */

void
request_free(struct request *r)
{
	list_del(&r->link);
	list_del(&r->nexus_link);
	free(r);
}

/* The refusal of a LunOpen; @err is positive.  Frees the request. */
void
request_answer(struct request *r, int err, const char *text)
{
	struct broker *b = r->lun->b;
	Tgt__LunOpened o = TGT__LUN_OPENED__INIT;
	Tgt__WorkerMsg m;

	o.cookie = r->cookie;
	o.err = err;
	o.err_text = (char *)(uintptr_t)text;
	o.inventory = !r->lun->ml;
	worker_send(b, &b->portal.w, WRAP(&m, LUN_OPENED, lun_opened, &o));
	if (r->attach && !r->attach->answered)
		attach_drop(r->attach);
	request_free(r);
}

static void
request_grant(struct request *r)
{
	struct broker *b = r->lun->b;
	struct lane *la = r->attach->lane;
	Tgt__LunOpened o = TGT__LUN_OPENED__INIT;
	Tgt__WorkerMsg m;
	int err = 0;

	o.cookie = r->cookie;
	o.lane = la->id;
	o.is_new = !la->told;
	o.epoch = la->epoch;
	o.nslots = UPPER_SLOTS;
	o.pool = la->id;
	o.pool_size = POOL_BYTES;
	o.inventory = !r->lun->ml;
	(void)WRAP(&m, LUN_OPENED, lun_opened, &o);
	if (o.is_new)
		err = objects_send(b, &la->portal->w, &m, &la->o, true);
	else
		worker_send(b, &la->portal->w, &m);
	if (err) {
		request_answer(r, -err, "no descriptor left for the lane");
		return;
	}
	la->told = true;
	r->attach->answered = true;
	request_free(r);
}

/* A portal that died may have left commands that can still have effects. */
static bool
draining(const struct lun_rt *l)
{
	struct lane *la;

	list_for_each(la, &l->lanes, lun_link)
		if (!la->portal && !la->closed)
			return true;
	return false;
}

static struct attach *
find_attach(const struct lun_rt *l, struct nexus *n)
{
	struct attach *a;

	list_for_each(a, &n->attaches, nexus_link)
		if (a->lane->lun == l)
			return a;
	return NULL;
}

/* Finds or makes the lane and the nexus's place on it.  0 or -errno. */
static int
request_place(struct request *r)
{
	struct portal_rt *p = r->nexus->portal;
	struct lane *la, *found = NULL;
	struct attach *a = find_attach(r->lun, r->nexus);
	int err;

	if (a) { /* a nexus is on one lane of a LUN; what ends must end first */
		r->attach = a->dropping ? NULL : a;
		return 0;
	}
	list_for_each(la, &r->lun->lanes, lun_link)
		if (la->portal == p && la->thread == r->thread && !la->closing)
			found = la;
	if (!found)
		found = lane_new(r->lun, p, r->thread, &err);
	if (!found)
		return err;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->lane = found;
	a->nexus = r->nexus;
	a->read_only = r->read_only;
	list_add_tail(&found->attaches, &a->lane_link);
	list_add_tail(&r->nexus->attaches, &a->nexus_link);
	r->attach = a;
	return 0;
}

static void
place_requests(struct lun_rt *l)
{
	const char *off = lun_offline(l);
	struct request *r;

	list_for_each(r, &l->waiting, link) {
		int err = 0;

		if (off) {
			request_answer(r, EBUSY, off);
			continue;
		}
		if (!r->attach && !draining(l))
			err = request_place(r);
		if (err == -ENOMEM)
			request_answer(r, ENOMEM, "the pool budget of the portal is used up");
		else if (err)
			request_answer(r, -err, strerror(-err));
	}
}

static void
answer_requests(struct lun_rt *l)
{
	struct request *r;

	list_for_each(r, &l->waiting, link) {
		struct attach *a = r->attach;

		if (!a)
			continue;
		if (a->err || a->lane->err)
			request_answer(r, -(a->err ? a->err : a->lane->err),
				       "a worker could not take the lane");
		else if (a->at == AT_HAVE && a->lane->pool == AT_HAVE)
			request_grant(r);
	}
}

/* ---- one step nearer ------------------------------------------------- */

static void
advance_attach(struct attach *a)
{
	struct lane *la = a->lane;
	bool ready = la->lun->scsid.state == W_READY;

	if (!a->dropping) {
		if (a->at == AT_NONE && la->scsid == AT_HAVE && ready && !la->closing && !a->err)
			attach_send_add(a);
		return;
	}
	if (a->at != AT_NONE && !a->drop_sent)
		send_drop(a);
	if (a->at == AT_NONE && (!a->known || la->closed))
		attach_free(a);
}

static void
advance_open(struct lane *la)
{
	struct lun_rt *l = la->lun;

	if (la->err)
		return;
	if (la->pool == AT_NONE && l->storaged.state == W_READY)
		lane_send_pool(la);
	if (la->pool == AT_HAVE && la->scsid == AT_NONE && l->scsid.state == W_READY)
		lane_send_open(la);
}

/* Cancel, unmap in scsid, then in storaged, then here. */
static void
advance_close(struct lane *la)
{
	struct lun_rt *l = la->lun;

	if (la->scsid != AT_NONE && !la->close_sent && !la->closed)
		send_close(la);
	if (!la->known)
		la->closed = true; /* no scsid ever had it */
	if (!la->closed)
		return;
	if (l->ml && la->pool != AT_NONE && worker_attached(&l->storaged)) {
		if (!la->detach_sent)
			send_detach(la);
		return;
	}
	if (!list_empty(&la->attaches))
		return;
	lane_free(la);
}

static void
advance_lane(struct lane *la)
{
	struct attach *a;

	if (!la->closing)
		advance_open(la);
	list_for_each(a, &la->attaches, lane_link) {
		if (la->closing)
			a->dropping = true;
		advance_attach(a);
	}
	if (!la->told && list_empty(&la->attaches))
		la->closing = true; /* nobody waits for it any more */
	if (la->closing)
		advance_close(la);
}

/* Tells a LUN's creator how it went, once. */
static void
report(struct lun_rt *l)
{
	struct broker *b = l->b;
	struct worker *w = &l->storaged;
	bool ended = !w->peer && !w->unit.pid;

	if (!l->ml || !l->ml->pending || l->reported)
		return;
	if (*l->scsid.fail && !*w->fail) {
		w = &l->scsid;
		ended = true;
	}
	if (*w->fail && (ended || w->stopped)) {
		l->reported = true;
		b->ops->lun_event(b->ctx, l->ml, LUN_DOWN, w->fail_err, w->fail);
	} else if (l->known && l->storaged.state == W_READY && !*w->fail) {
		l->reported = true;
		b->ops->lun_event(b->ctx, l->ml, LUN_UP, 0, l->warning);
	}
}

void
lun_advance(struct lun_rt *l)
{
	struct lane *la;

	lower_try_renew(l);
	report(l);
	if (l->dying) {
		lun_try_end(l);
		return;
	}
	place_requests(l);
	list_for_each(la, &l->lanes, lun_link)
		advance_lane(la);
	answer_requests(l);
}

/* ---- answers of scsid and storaged ----------------------------------- */

/*
 * A worker may speak of the lanes it was told of, and of no others.  0 with
 * *out NULL: the lane is gone, as after an error that crossed a LaneClose.
 */
static int
lane_of(struct broker *b, uint32_t id, const struct worker *w, struct lane **out)
{
	struct lane *la = lane_find(b, id);

	*out = la;
	if (!la)
		return id && id <= b->last_lane ? 0 : -EPROTO;
	if (la->lun != w->lun)
		return -EPROTO;
	lun_dirty(la->lun);
	return 0;
}

int
on_lane_opened(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct lane *la;
	int err = lane_of(b, m->lane_opened->lane, w, &la);

	if (err || !la)
		return err;
	if (la->scsid != AT_SENT)
		return -EPROTO;
	if (!m->lane_opened->err) {
		la->scsid = AT_HAVE;
		return 0;
	}
	log_err("lun=%s lane=%u: scsid cannot map it: %s", la->lun->name, la->id,
		strerror(abs(m->lane_opened->err)));
	la->scsid = AT_NONE;
	la->known = false;
	la->err = -EIO;
	return 0;
}

int
on_lane_closed(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct lane *la;
	int err = lane_of(b, m->lane_closed->lane, w, &la);

	if (err || !la)
		return err;
	if (!la->close_sent)
		return -EPROTO;
	la->scsid = AT_NONE;
	la->closed = true;
	return 0;
}

/* A nexus has one lane to a LUN: the one of its thread. */
static struct attach *
attach_of(struct broker *b, uint32_t nexus, const struct worker *w)
{
	struct nexus *n;
	struct attach *a;

	list_for_each(n, &b->nexus_hash[nexus % HASH], hash) {
		if (n->id != nexus)
			continue;
		list_for_each(a, &n->attaches, nexus_link)
			if (a->lane->lun == w->lun && a->at != AT_NONE) {
				lun_dirty(w->lun);
				return a;
			}
	}
	return NULL;
}

int
on_nexus_added(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct attach *a = attach_of(b, m->nexus_added->nexus, w);

	if (!a)
		return m->nexus_added->nexus <= b->last_nexus ? 0 : -EPROTO;
	if (a->at != AT_SENT)
		return -EPROTO;
	a->at = AT_HAVE;
	if (m->nexus_added->err) {
		a->at = AT_NONE;
		a->known = false;
		a->err = -abs(m->nexus_added->err);
	}
	return 0;
}

int
on_nexus_dropped(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct attach *a = attach_of(b, m->nexus_dropped->nexus, w);

	if (!a)
		return m->nexus_dropped->nexus <= b->last_nexus ? 0 : -EPROTO;
	if (!a->drop_sent)
		return -EPROTO;
	a->at = AT_NONE;
	a->known = false;
	return 0;
}

int
on_pool_attached(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct lane *la;
	int err = lane_of(b, m->pool_attached->pool, w, &la);

	if (err || !la)
		return err;
	if (la->pool != AT_SENT)
		return -EPROTO;
	la->pool = AT_HAVE;
	if (m->pool_attached->err) {
		log_err("lun=%s lane=%u: storaged cannot map the pool: %s", la->lun->name, la->id,
			strerror(abs(m->pool_attached->err)));
		la->pool = AT_NONE;
		la->err = -EIO;
	}
	return 0;
}

int
on_pool_detached(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct lane *la;
	int err = lane_of(b, m->pool_detached->pool, w, &la);

	if (err || !la)
		return err;
	if (!la->detach_sent)
		return -EPROTO;
	la->pool = AT_NONE;
	return 0;
}
