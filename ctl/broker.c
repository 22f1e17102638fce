/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker's doors: connections, who may say what in which state, units.
 * What a message does is in broker_lun.c, broker_lane.c and broker_portal.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/broker_priv.h"
#include "proto/chan.h"
#include "proto/log.h"

/* ---- workers --------------------------------------------------------- */

static const struct role {
	const char *program;
	void (*hello)(struct broker *b, struct worker *w);
	void (*ready)(struct broker *b, struct worker *w, const Tgt__Ready *r);
	void (*gone)(struct broker *b, struct worker *w);
} roles[] = {
	[TGT__ROLE__ROLE_PORTAL] = { "tgt-portal", portal_hello, portal_ready, portal_gone },
	[TGT__ROLE__ROLE_SCSID] = { "tgt-scsid", scsid_hello, scsid_ready, scsid_gone },
	[TGT__ROLE__ROLE_STORAGED] = { "tgt-storaged", storaged_hello, storaged_ready,
				       storaged_gone },
};

int
worker_init(struct broker *b, struct worker *w, Tgt__Role role, const char *name)
{
	char unit[UNIT_NAME_MAX];

	memset(w, 0, sizeof(*w));
	w->role = role;
	w->state = W_DOWN;
	w->uid = b->cfg.first_uid ? b->next_uid++ : 0;
	if (snprintf(unit, sizeof(unit), "%s@%s", roles[role].program, name) >= (int)sizeof(unit))
		return -ENAMETOOLONG;
	unit_add(&b->units, &w->unit, unit, w);
	return 0;
}

void
worker_send_fds(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m, const int *fds, int n)
{
	int err;

	if (!w->peer || w->peer->broken)
		return;
	err = b->ops->send(b->ctx, w->peer->conn, m, fds, n);
	if (!err || err == -EPIPE) /* its end is on the way to us */
		return;
	worker_breach(b, w, "does not take messages: %s", strerror(-err));
}

void
worker_send(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	worker_send_fds(b, w, m, NULL, 0);
}

void
worker_config_done(struct broker *b, struct worker *w)
{
	Tgt__ConfigDone done = TGT__CONFIG_DONE__INIT;
	Tgt__WorkerMsg m;

	done.uid = done.gid = w->uid;
	w->state = W_CONFIGURED;
	worker_send(b, w, WRAP(&m, CONFIG_DONE, config_done, &done));
}

/* Only marks it: the callers of this are in the middle of lists. */
void
worker_breach(struct broker *b, struct worker *w, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	if (w->peer && w->peer->broken)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_err("unit=%s is killed: %s", w->unit.name, why);
	unit_kill(&b->units, &w->unit, why);
	if (w->peer) {
		w->peer->broken = true;
		b->broken = true;
	}
}

/* ---- connections ----------------------------------------------------- */

struct peer *
broker_accept(struct broker *b, void *conn, pid_t pid)
{
	struct peer *p;

	if (b->n_unproved >= PEERS_MAX)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->conn = conn;
	p->pid = pid;
	list_add_tail(&b->peers, &p->link);
	b->n_unproved++;
	b->ops->soon(b->ctx);
	return p;
}

static void
peer_end(struct broker *b, struct peer *p)
{
	if (!p->w)
		b->n_unproved--;
	list_del(&p->link);
	b->ops->close(b->ctx, p->conn);
	free(p);
}

static struct worker *
find_worker(struct broker *b, Tgt__Role role, const char *instance)
{
	struct lun_rt *l;

	if (role == TGT__ROLE__ROLE_PORTAL)
		return strcmp(instance, "0") ? NULL : &b->portal.w;
	list_for_each(l, &b->luns, link) {
		if (strcmp(l->name, instance))
			continue;
		if (role == TGT__ROLE__ROLE_SCSID)
			return &l->scsid;
		if (role == TGT__ROLE__ROLE_STORAGED && l->ml)
			return &l->storaged;
	}
	return NULL;
}

/* A Hello waits until its UnitStarted was read and its predecessor's end. */
static bool
try_prove(struct broker *b, struct peer *p)
{
	struct worker *w = find_worker(b, p->role, p->instance);

	if (!w || w->peer || !w->unit.pid || w->unit.pid != p->pid)
		return false;
	p->w = w;
	b->n_unproved--;
	w->peer = p;
	w->state = W_HELLO;
	log_debug("unit=%s pid=%d says hello", w->unit.name, (int)p->pid);
	roles[w->role].hello(b, w);
	return true;
}

static void
prove_waiting(struct broker *b)
{
	struct peer *p;

	list_for_each(p, &b->peers, link)
		if (p->hello && !p->w)
			try_prove(b, p);
}

static void
on_hello(struct broker *b, struct peer *p, const Tgt__Hello *h)
{
	bool known = h->role > 0 && (size_t)h->role < ARRAY_SIZE(roles) &&
		     strlen(h->instance) <= MODEL_NAME_MAX;

	if (p->hello || !known || h->version != PROTO_VERSION) {
		log_limited(LOG_LEVEL_WARN, "pid=%d: a Hello of version %u, role %d is refused",
			    (int)p->pid, h->version, (int)h->role);
		peer_end(b, p);
		return;
	}
	p->hello = true;
	p->role = h->role;
	strcpy(p->instance, h->instance);
	try_prove(b, p);
}

void
broker_hangup(struct broker *b, struct peer *p)
{
	struct worker *w = p->w;

	peer_end(b, p);
	if (!w)
		return;
	w->peer = NULL;
	roles[w->role].gone(b, w);
	w->state = W_DOWN;
	if (w->unit.pid) {
		w->lost = true;
		b->ops->soon(b->ctx);
	}
	prove_waiting(b);
	broker_settle(b);
}

/* ---- messages -------------------------------------------------------- */

static int
on_ready(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	w->state = W_READY;
	w->was_ready = true;
	w->deaths = 0;
	w->fail[0] = 0;
	log_debug("unit=%s is ready", w->unit.name);
	roles[w->role].ready(b, w, m->ready);
	return 0;
}

static int
on_failed(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	snprintf(w->fail, sizeof(w->fail), "%s", *m->failed->text ? m->failed->text :
		 "failed without a reason");
	log_debug("unit=%s failed: %s", w->unit.name, w->fail); /* it has said so itself */
	w->fail_err = m->failed->err > 0 ? m->failed->err : EIO;
	if (w->lun)
		lun_dirty(w->lun);
	if (w->lun && w->fail_err == EPROTO)
		lower_fault(w->lun);
	return 0;
}

enum {
	PORTAL = 1 << TGT__ROLE__ROLE_PORTAL,
	SCSID = 1 << TGT__ROLE__ROLE_SCSID,
	STORAGED = 1 << TGT__ROLE__ROLE_STORAGED,
	ANY = PORTAL | SCSID | STORAGED,
};

#define MSG(name) TGT__WORKER_MSG__BODY_##name

/* Who may say what, in which state.  Whatever is not here is a breach. */
static const struct rule {
	Tgt__WorkerMsg__BodyCase msg;
	unsigned from; /* bits 1 << role */
	unsigned states; /* enum wstate */
	int (*handle)(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
} rules[] = {
	{ MSG(READY), ANY, W_CONFIGURED, on_ready },
	{ MSG(FAILED), ANY, W_HELLO | W_CONFIGURED, on_failed },
	{ MSG(VIOLATION), ANY, W_CONFIGURED | W_READY, on_violation },
	{ MSG(SESSION_OPEN), PORTAL, W_READY, on_session_open },
	{ MSG(DISCOVERY_OPEN), PORTAL, W_READY, on_discovery_open },
	{ MSG(SESSION_CLOSE), PORTAL, W_READY, on_session_close },
	{ MSG(LUN_OPEN), PORTAL, W_READY, on_lun_open },
	{ MSG(LANE_RELEASED), PORTAL, W_READY, on_lane_released },
	{ MSG(LANE_OPENED), SCSID, W_READY, on_lane_opened },
	{ MSG(LANE_CLOSED), SCSID, W_READY, on_lane_closed },
	{ MSG(NEXUS_ADDED), SCSID, W_READY, on_nexus_added },
	{ MSG(NEXUS_DROPPED), SCSID, W_READY, on_nexus_dropped },
	{ MSG(POOL_ATTACHED), STORAGED, W_READY, on_pool_attached },
	{ MSG(POOL_DETACHED), STORAGED, W_READY, on_pool_detached },
};

static const struct rule *
find_rule(const struct worker *w, Tgt__WorkerMsg__BodyCase msg)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].msg == msg && rules[i].from & 1u << w->role &&
		    rules[i].states & w->state)
			return &rules[i];
	return NULL;
}

void
broker_message(struct broker *b, struct peer *p, const Tgt__WorkerMsg *m)
{
	const struct rule *rule;

	if (p->broken)
		return;
	if (!p->w && m->body_case == MSG(HELLO)) {
		on_hello(b, p, m->hello);
	} else if (!p->w) {
		log_limited(LOG_LEVEL_WARN, "pid=%d: a message before it proved who it is",
			    (int)p->pid);
		peer_end(b, p);
	} else {
		rule = find_rule(p->w, m->body_case);
		if (!rule || rule->handle(b, p->w, m) < 0)
			worker_breach(b, p->w, "broke the protocol: message %d in state %d",
				      (int)m->body_case, (int)p->w->state);
	}
	broker_settle(b);
}

/* ---- units ----------------------------------------------------------- */

static void
on_unit_started(void *ctx, struct unit *u)
{
	struct broker *b = ctx;
	struct worker *w = u->owner;

	w->lost = false;
	w->was_ready = false;
	prove_waiting(b);
}

static void
on_unit_exited(void *ctx, struct unit *u, const Tgt__UnitExited *e)
{
	struct broker *b = ctx;
	struct worker *w = u->owner;

	w->lost = false;
	log_debug("unit=%s pid=%d died: cause=%d code=%d", u->name, e->pid, (int)e->cause, e->code);
	if (w->lun)
		lun_unit_exited(b, w, e);
}

static void
on_unit_stopped(void *ctx, struct unit *u)
{
	struct worker *w = u->owner;

	if (w->lun)
		lun_dirty(w->lun);
}

static void
send_to_supervisor(void *ctx, const Tgt__WorkerMsg *m)
{
	struct broker *b = ctx;

	b->ops->supervisor(b->ctx, m);
}

static const struct units_ops units_ops = {
	.send = send_to_supervisor,
	.started = on_unit_started,
	.exited = on_unit_exited,
	.stopped = on_unit_stopped,
};

int
broker_unit_message(struct broker *b, const Tgt__WorkerMsg *m)
{
	int err = units_message(&b->units, m);

	broker_settle(b);
	return err;
}

void
broker_terminate(struct broker *b)
{
	b->units.ending = true;
}

/* ---- the loop of consequences ---------------------------------------- */

static void
end_broken(struct broker *b)
{
	struct peer *p;

	b->broken = false;
	list_for_each(p, &b->peers, link)
		if (p->broken) {
			broker_hangup(b, p);
			b->broken = true; /* others may be; begin again */
			return;
		}
}

void
broker_settle(struct broker *b)
{
	struct lun_rt *l;

	if (b->settling)
		return;
	b->settling = true;
	for (;;) {
		if (b->broken) {
			end_broken(b);
			continue;
		}
		l = list_first(&b->dirty, struct lun_rt, dirty);
		if (!l)
			break;
		list_del(&l->dirty);
		lun_advance(l);
	}
	b->settling = false;
}

static void
kill_lost(struct broker *b, struct worker *w)
{
	if (!w->lost)
		return;
	w->lost = false;
	worker_breach(b, w, "its channel ended and it lives");
}

void
broker_tick(struct broker *b)
{
	struct lun_rt *l;
	struct peer *p;
	bool again = false;

	list_for_each(p, &b->peers, link) {
		if (p->w)
			continue;
		if (++p->ticks >= PEER_TICKS) {
			log_warn("pid=%d did not prove to be one of our workers", (int)p->pid);
			peer_end(b, p);
		} else {
			again = true;
		}
	}
	kill_lost(b, &b->portal.w);
	list_for_each(l, &b->luns, link) {
		kill_lost(b, &l->scsid);
		if (l->ml)
			kill_lost(b, &l->storaged);
		if (l->faults && ++l->fault_ticks >= FAULT_TICKS)
			l->faults = 0;
		again |= l->faults > 0;
	}
	if (again)
		b->ops->soon(b->ctx);
	broker_settle(b);
}

/* ---- begin and end --------------------------------------------------- */

struct broker *
broker_new(struct model *m, const struct broker_config *cfg, const struct broker_ops *ops,
	   void *ctx)
{
	struct broker *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->m = m;
	b->cfg = *cfg;
	b->ops = ops;
	b->ctx = ctx;
	b->next_uid = cfg->first_uid;
	units_init(&b->units, &units_ops, b);
	list_init(&b->peers);
	list_init(&b->luns);
	list_init(&b->dirty);
	for (int i = 0; i < HASH; i++) {
		list_init(&b->lane_hash[i]);
		list_init(&b->nexus_hash[i]);
	}
	b->portal.b = b;
	list_init(&b->portal.nexuses);
	list_init(&b->portal.lanes);
	worker_init(b, &b->portal.w, TGT__ROLE__ROLE_PORTAL, "0");
	b->portal.w.portal = &b->portal;
	b->inventory = lun_rt_new(b, NULL);
	if (!b->inventory) {
		broker_free(b);
		return NULL;
	}
	return b;
}

int
broker_start(struct broker *b)
{
	struct model_lun *ml;

	unit_start(&b->units, &b->portal.w.unit);
	unit_start(&b->units, &b->inventory->scsid.unit);
	list_for_each(ml, &b->m->luns, link) {
		int err = broker_lun_add(b, ml);

		if (err)
			return err;
	}
	return 0;
}

void
broker_free(struct broker *b)
{
	struct lun_rt *l;
	struct peer *p;

	if (!b)
		return;
	portal_gone(b, &b->portal.w);
	while ((l = list_first(&b->luns, struct lun_rt, link)))
		lun_rt_free(l);
	while ((p = list_first(&b->peers, struct peer, link)))
		peer_end(b, p);
	free(b);
}
