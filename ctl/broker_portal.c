/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The portal process: its configuration, the sessions it reports, what it is
 * told when targets, mappings and listeners change, what its death ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/broker_priv.h"
#include "proto/chan.h"
#include "proto/log.h"

/* ---- configuration --------------------------------------------------- */

static void
send_listener(struct broker *b, struct model_portal *p)
{
	Tgt__ListenerAdd a = TGT__LISTENER_ADD__INIT;
	Tgt__WorkerMsg m;

	a.id = p->id;
	a.addr = p->addr;
	a.port = p->port;
	a.tpgt = p->tpgt;
	worker_send_fds(b, &b->portal.w, WRAP(&m, LISTENER_ADD, listener_add, &a), &p->fd, 1);
}

static void
fill_target(Tgt__TargetUpdate *u, struct model_target *t)
{
	tgt__target_update__init(u);
	u->name = t->name;
	u->alias = t->alias;
	u->tpgt = t->tpgt;
	u->id = t->id;
}

static void
send_target(struct broker *b, struct model_target *t)
{
	Tgt__TargetUpdate u;
	Tgt__WorkerMsg m;

	fill_target(&u, t);
	worker_send(b, &b->portal.w, WRAP(&m, TARGET_UPDATE, target_update, &u));
}

/* All targets: a message each would be more than a channel queues. */
static void
send_targets(struct broker *b)
{
	enum { N = 100 };
	Tgt__TargetUpdate u[N], *list[N];
	Tgt__TargetList tl = TGT__TARGET_LIST__INIT;
	struct model_target *t;
	Tgt__WorkerMsg m;

	_Static_assert(N * (MODEL_IQN_MAX + MODEL_ALIAS_MAX + 32) < CHAN_MSG_MAX, "one message");
	(void)WRAP(&m, TARGET_LIST, target_list, &tl);
	tl.target = list;
	list_for_each(t, &b->m->targets, link) {
		if (tl.n_target == N) {
			worker_send(b, &b->portal.w, &m);
			tl.n_target = 0;
		}
		fill_target(&u[tl.n_target], t);
		list[tl.n_target] = &u[tl.n_target];
		tl.n_target++;
	}
	if (tl.n_target)
		worker_send(b, &b->portal.w, &m);
}

void
portal_hello(struct broker *b, struct worker *w)
{
	Tgt__PortalConfig c = TGT__PORTAL_CONFIG__INIT;
	struct model_portal *p;
	Tgt__WorkerMsg m;

	c.threads = b->cfg.threads;
	c.max_sessions = b->cfg.max_sessions;
	c.max_connections = b->cfg.max_connections;
	c.pool_budget = b->cfg.pool_budget;
	c.login_timeout_s = b->cfg.login_timeout_s;
	c.ping_interval_s = b->cfg.ping_interval_s;
	c.ping_timeout_s = b->cfg.ping_timeout_s;
	worker_send(b, w, WRAP(&m, PORTAL_CONFIG, portal_config, &c));
	list_for_each(p, &b->m->portals, link)
		if (p->fd >= 0)
			send_listener(b, p);
	send_targets(b);
	worker_config_done(b, w);
}

void
portal_ready(struct broker *b, struct worker *w, const Tgt__Ready *r)
{
}

void
broker_target_update(struct broker *b, struct model_target *t)
{
	if (worker_attached(&b->portal.w))
		send_target(b, t);
	broker_settle(b);
}

void
broker_target_remove(struct broker *b, struct model_target *t)
{
	Tgt__TargetRemove r = TGT__TARGET_REMOVE__INIT;
	Tgt__WorkerMsg m;

	r.name = t->name;
	for (int i = 0; i < HASH; i++) {
		struct nexus *n;

		list_for_each(n, &b->nexus_hash[i], hash)
			if (n->target == t)
				n->target = NULL;
	}
	if (worker_attached(&b->portal.w))
		worker_send(b, &b->portal.w, WRAP(&m, TARGET_REMOVE, target_remove, &r));
	broker_settle(b);
}

void
broker_listener_add(struct broker *b, struct model_portal *p)
{
	if (worker_attached(&b->portal.w))
		send_listener(b, p);
	broker_settle(b);
}

void
broker_listener_remove(struct broker *b, struct model_portal *p)
{
	Tgt__ListenerRemove r = TGT__LISTENER_REMOVE__INIT;
	Tgt__WorkerMsg m;

	r.id = p->id;
	if (worker_attached(&b->portal.w))
		worker_send(b, &b->portal.w, WRAP(&m, LISTENER_REMOVE, listener_remove, &r));
	broker_settle(b);
}

/* ---- the LUN list of a target ---------------------------------------- */

size_t
target_lun_list(struct model_target *t, uint64_t **list)
{
	struct model_mapping *p;
	size_t n = 0;

	*list = calloc(t->n_mappings + 1, sizeof(**list));
	if (!*list)
		return 0;
	list_for_each(p, &t->mappings, link)
		(*list)[n++] = model_lun_encode(p->number);
	return n;
}

/* To each scsid that knows a nexus of the target. */
static void
send_lun_lists(struct broker *b, struct model_target *t)
{
	Tgt__LunList ll = TGT__LUN_LIST__INIT;
	Tgt__WorkerMsg m;
	struct nexus *n;
	struct attach *a;

	ll.luns_generation = t->generation;
	ll.n_lun = target_lun_list(t, &ll.lun);
	list_for_each(n, &b->portal.nexuses, link) {
		if (n->target != t)
			continue;
		ll.nexus = n->id;
		list_for_each(a, &n->attaches, nexus_link)
			if (a->at != AT_NONE && !a->dropping)
				worker_send(b, &a->lane->lun->scsid,
					    WRAP(&m, LUN_LIST, lun_list, &ll));
	}
	free(ll.lun);
}

void
broker_mapping_update(struct broker *b, struct model_target *t, uint32_t number)
{
	Tgt__LunInvalidate inv = TGT__LUN_INVALIDATE__INIT;
	uint64_t lun = model_lun_encode(number);
	Tgt__WorkerMsg m;

	t->generation++;
	inv.target = t->name;
	inv.n_lun = 1;
	inv.lun = &lun;
	if (worker_attached(&b->portal.w))
		worker_send(b, &b->portal.w, WRAP(&m, LUN_INVALIDATE, lun_invalidate, &inv));
	send_lun_lists(b, t);
	broker_settle(b);
}

/* ---- sessions -------------------------------------------------------- */

static struct nexus *
find_nexus(struct portal_rt *p, uint32_t id)
{
	struct nexus *n;

	list_for_each(n, &p->b->nexus_hash[id % HASH], hash)
		if (n->id == id && n->portal == p && !n->closing)
			return n;
	return NULL;
}

static void
nexus_free(struct nexus *n)
{
	list_del(&n->link);
	list_del(&n->hash);
	free(n->initiator);
	free(n->address);
	free(n->initiator_port);
	free(n);
}

void
nexus_try_end(struct nexus *n)
{
	if (n->closing && list_empty(&n->attaches) && list_empty(&n->requests))
		nexus_free(n);
}

/* The names of SPC-4 7.6.4.8 and SAM-5 4.8: port names with ISID and tag. */
static struct nexus *
nexus_new(struct portal_rt *p, struct model_target *t, const Tgt__SessionOpen *s)
{
	struct nexus *n = calloc(1, sizeof(*n));
	const uint8_t *i = s->isid.data;

	if (!n)
		return NULL;
	list_init(&n->attaches);
	list_init(&n->requests);
	list_init(&n->link);
	list_init(&n->hash);
	n->initiator = strdup(s->initiator);
	n->address = strdup(s->address);
	if (!n->initiator || !n->address ||
	    asprintf(&n->initiator_port, "%s,i,0x%02x%02x%02x%02x%02x%02x", s->initiator, i[0],
		     i[1], i[2], i[3], i[4], i[5]) < 0) {
		n->initiator_port = NULL;
		nexus_free(n);
		return NULL;
	}
	snprintf(n->target_port, sizeof(n->target_port), "%s,t,0x%04x", t->name, t->tpgt);
	n->relative_port = t->tpgt;
	n->portal = p;
	n->target = t;
	n->id = ++p->b->last_nexus;
	list_add_tail(&p->nexuses, &n->link);
	list_add_tail(&p->b->nexus_hash[n->id % HASH], &n->hash);
	p->n_sessions++;
	return n;
}

int
on_session_open(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	const Tgt__SessionOpen *s = m->session_open;
	struct portal_rt *p = w->portal;
	struct model_target *t = model_target_find(b->m, s->target);
	Tgt__SessionOpened o = TGT__SESSION_OPENED__INIT;
	struct nexus *n = NULL;
	Tgt__WorkerMsg out;

	if (s->isid.len != 6 || strlen(s->initiator) > MODEL_IQN_MAX || strlen(s->address) > 128)
		return -EPROTO;
	o.cookie = s->cookie;
	if (!t)
		o.err = ENOENT;
	else if (!model_admits(t, s->initiator, s->address))
		o.err = EACCES;
	else if (*t->redirect)
		o.err = EREMOTE;
	else if (p->n_sessions >= b->cfg.max_sessions)
		o.err = EUSERS;
	else if (!(n = nexus_new(p, t, s)))
		o.err = ENOMEM;
	if (n)
		o.nexus = n->id;
	if (o.err == EREMOTE) {
		o.redirect = t->redirect;
		o.permanent = t->redirect_permanent;
	}
	worker_send(b, w, WRAP(&out, SESSION_OPENED, session_opened, &o));
	return 0;
}

/* What SendTargets may show to whom.  The list is made once a discovery session. */
int
on_discovery_open(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	const Tgt__DiscoveryOpen *d = m->discovery_open;
	Tgt__DiscoveryOpened o = TGT__DISCOVERY_OPENED__INIT;
	struct model_target *t;
	Tgt__WorkerMsg out;

	_Static_assert(MODEL_TARGETS * 5 + 64 <= CHAN_MSG_MAX, "a varint has 5 bytes at most");
	if (strlen(d->initiator) > MODEL_IQN_MAX || strlen(d->address) > 128)
		return -EPROTO;
	o.cookie = d->cookie;
	o.target = calloc(b->m->n_targets + 1, sizeof(*o.target));
	list_for_each(t, &b->m->targets, link)
		if (o.target && model_admits(t, d->initiator, d->address))
			o.target[o.n_target++] = t->id;
	worker_send(b, w, WRAP(&out, DISCOVERY_OPENED, discovery_opened, &o));
	free(o.target);
	return 0;
}

/* The session is over; its nexus lives until each scsid has dropped it. */
static void
nexus_close(struct nexus *n)
{
	struct attach *a;

	n->closing = true;
	n->portal->n_sessions--;
	list_for_each(a, &n->attaches, nexus_link)
		attach_drop(a);
	nexus_try_end(n);
}

int
on_session_close(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct nexus *n = find_nexus(w->portal, m->session_close->nexus);
	struct request *r;

	if (!n)
		return -EPROTO;
	list_for_each(r, &n->requests, nexus_link)
		request_answer(r, ECANCELED, "the session is closed");
	nexus_close(n);
	return 0;
}

bool
broker_session_end(struct broker *b, uint32_t nexus)
{
	Tgt__SessionEnd e = TGT__SESSION_END__INIT;
	Tgt__WorkerMsg m;

	if (!find_nexus(&b->portal, nexus))
		return false;
	e.nexus = nexus;
	worker_send(b, &b->portal.w, WRAP(&m, SESSION_END, session_end, &e));
	broker_settle(b);
	return true;
}

int
on_lun_open(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	const Tgt__LunOpen *o = m->lun_open;
	struct nexus *n = find_nexus(w->portal, o->nexus);
	int number = model_lun_decode(o->lun);
	struct model_mapping *p;
	struct request *r;

	if (!n || o->thread >= b->cfg.threads || (n->placed && n->thread != o->thread))
		return -EPROTO;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -EPROTO; /* without an answer its commands would hang */
	n->placed = true;
	n->thread = o->thread;
	p = number < 0 ? NULL : model_mapping_find(n->target, (uint32_t)number);
	r->nexus = n;
	r->cookie = o->cookie;
	r->thread = o->thread;
	r->read_only = p && p->read_only;
	r->lun = p ? p->lun->rt : b->inventory;
	list_add_tail(&r->lun->waiting, &r->link);
	list_add_tail(&n->requests, &r->nexus_link);
	lun_dirty(r->lun);
	return 0;
}

int
on_lane_released(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	struct lane *la = lane_find(b, m->lane_released->lane);

	if (!la || la->portal != w->portal || !la->told)
		return -EPROTO;
	la->told = false;
	la->closing = true;
	lun_dirty(la->lun);
	return 0;
}

/* ---- faults and death ------------------------------------------------ */

/* The worker says that its peer on a lane broke the rules. */
int
on_violation(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m)
{
	uint32_t id = m->violation->lane;
	struct lane *la = id ? lane_find(b, id) : NULL;
	struct worker *guilty;

	if (!id) {
		if (!w->lun || !w->lun->ml)
			return -EPROTO;
		guilty = w->role == TGT__ROLE__ROLE_SCSID ? &w->lun->storaged : &w->lun->scsid;
	} else if (!la) {
		return id <= b->last_lane ? 0 : -EPROTO; /* both ends have forgotten it */
	} else if (w->portal) {
		if (la->portal != w->portal)
			return -EPROTO;
		guilty = &la->lun->scsid;
	} else {
		if (la->lun != w->lun || w->role != TGT__ROLE__ROLE_SCSID)
			return -EPROTO;
		if (!la->portal)
			return 0; /* it is dead already */
		guilty = &la->portal->w;
	}
	worker_breach(b, guilty, "%s reports lane=%u: %.120s", w->unit.name, id,
		      m->violation->text);
	if (!id)
		lower_fault(w->lun);
	return 0;
}

void
portal_gone(struct broker *b, struct worker *w)
{
	struct portal_rt *p = w->portal;
	struct request *r;
	struct nexus *n;
	struct lane *la;

	list_for_each(la, &p->lanes, portal_link) {
		la->portal = NULL;
		la->told = false;
		la->closing = true;
		list_del(&la->portal_link);
		lun_dirty(la->lun);
	}
	p->pool_bytes = 0;
	while ((n = list_first(&p->nexuses, struct nexus, link))) {
		list_del(&n->link);
		list_for_each(r, &n->requests, nexus_link)
			request_free(r);
		if (n->closing)
			nexus_try_end(n);
		else
			nexus_close(n);
	}
	p->n_sessions = 0;
}

/* ---- what the operator sees ------------------------------------------ */

void
broker_sessions(struct broker *b, void (*each)(void *ctx, const struct session_info *s), void *ctx)
{
	struct nexus *n;

	list_for_each(n, &b->portal.nexuses, link) {
		struct session_info s = { n->id, n->initiator,
					  n->target ? n->target->name : "", n->address };

		if (!n->closing)
			each(ctx, &s);
	}
}

unsigned
broker_target_sessions(struct broker *b, const struct model_target *t)
{
	struct nexus *n;
	unsigned count = 0;

	list_for_each(n, &b->portal.nexuses, link)
		count += !n->closing && n->target == t;
	return count;
}

const char *
broker_mapping_user(struct broker *b, const struct model_mapping *p)
{
	const struct lun_rt *l = p->lun->rt;
	struct request *r;
	struct attach *a;
	struct nexus *n;

	list_for_each(n, &b->portal.nexuses, link) {
		if (n->closing || n->target != p->target)
			continue;
		list_for_each(a, &n->attaches, nexus_link)
			if (a->lane->lun == l)
				return n->initiator;
		list_for_each(r, &n->requests, nexus_link)
			if (r->lun == l)
				return n->initiator;
	}
	return NULL;
}
