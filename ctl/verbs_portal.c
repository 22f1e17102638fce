/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Portals and their listening sockets.  The supervisor opens and owns the
 * sockets, so that they outlive tgt-ctld and the portal processes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/verbs_priv.h"
#include "ctl/wrap.h"
#include "proto/log.h"

static void
format_portal(char *buf, size_t n, const char *addr, uint32_t port)
{
	snprintf(buf, n, strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr, port);
}

/* The supervisor's name of the listener: no ':' (it may travel in
 * LISTEN_FDNAMES), the same after a restart. */
static void
listener_name(char name[16], const struct model_portal *p)
{
	snprintf(name, 16, "p%u", p->id);
}

static void
open_listener(struct verbs *v, struct model_portal *p)
{
	Tgt__ListenerOpen o = TGT__LISTENER_OPEN__INIT;
	Tgt__WorkerMsg m;
	char name[16];

	listener_name(name, p);
	o.name = name;
	o.addr = p->addr;
	o.port = p->port;
	p->opening = true;
	snprintf(p->state, sizeof(p->state), "starting");
	v->ops->supervisor(v->ctx, WRAP(&m, LISTENER_OPEN, listener_open, &o));
}

static void
close_listener(struct verbs *v, struct model_portal *p)
{
	Tgt__ListenerClose c = TGT__LISTENER_CLOSE__INIT;
	Tgt__WorkerMsg m;
	char name[16];

	listener_name(name, p);
	c.name = name;
	v->ops->supervisor(v->ctx, WRAP(&m, LISTENER_CLOSE, listener_close, &c));
	/* For all who hold it, and before the operator is answered: the portal
	 * may take a moment to let go of its own descriptor. */
	if (p->fd >= 0) {
		shutdown(p->fd, SHUT_RDWR);
		close(p->fd);
	}
	p->fd = -1;
}

void
verbs_start(struct verbs *v)
{
	struct model_portal *p;

	list_for_each(p, &v->m->portals, link)
		open_listener(v, p);
}

int
verb_create_portal(struct call *c)
{
	const Tgt__Portal *in = c->req->create_portal->portal;
	struct model_portal *mp;
	struct pending *p;
	int err;

	if (!in)
		return refuse(c, EINVAL, "the request has no portal");
	err = model_portal_create(c->v->m, 0, in->addr, in->port, in->tpgt, &mp, c->why);
	if (err < 0)
		return err;
	if (err == MODEL_SAME) {
		if (mp->pending)
			return refuse(c, EBUSY, "the portal is being created by another request");
		c->portal = mp;
		return 0;
	}
	p = pending_new(c);
	if (!p) {
		model_portal_unlink(c->v->m, mp);
		model_portal_free(mp);
		return -ENOMEM;
	}
	p->portal = mp;
	mp->pending = true;
	close_listener(c->v, mp); /* left by a tgt-ctld that died before it was stored */
	open_listener(c->v, mp);
	return VERB_LATER;
}

int
verb_delete_portal(struct call *c)
{
	const Tgt__DeletePortal *in = c->req->delete_portal;
	char canon[MODEL_ADDR_MAX + 1];
	struct model_portal *p = NULL;
	int err;

	if (model_addr_canon(in->addr, canon))
		return refuse(c, EINVAL, "\"%.64s\" is no IPv4 or IPv6 address", in->addr);
	if (in->port)
		p = model_portal_find(c->v->m, canon, in->port);
	if (!p) {
		snprintf(c->why, sizeof(c->why), "no such portal: %s port %u; nothing to delete",
			 canon, in->port);
		return 0;
	}
	if (p->pending)
		return refuse(c, EBUSY, "the portal is being created by another request");
	model_portal_unlink(c->v->m, p);
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err) {
		model_portal_relink(c->v->m, p);
		return err;
	}
	broker_listener_remove(c->v->b, p);
	close_listener(c->v, p);
	model_portal_free(p);
	return 0;
}

/* ---- the supervisor's answer ----------------------------------------- */

static void
failure_text(const struct model_portal *p, int err, char *buf, size_t n)
{
	char where[MODEL_ADDR_MAX + 16];

	format_portal(where, sizeof(where), p->addr, p->port);
	if (err == EADDRINUSE)
		snprintf(buf, n, "%s: address already in use; stop what listens there or choose "
			 "another port", where);
	else if (err == EADDRNOTAVAIL)
		snprintf(buf, n, "%s: this machine has no such address", where);
	else if (err == EACCES)
		snprintf(buf, n, "%s: permission denied; ports below 1024 need root", where);
	else
		snprintf(buf, n, "%s: %s", where, strerror(err));
}

static void
give_up(struct verbs *v, struct pending *pend, struct model_portal *p, int err, const char *text)
{
	close_listener(v, p);
	model_portal_unlink(v->m, p);
	pend->portal = NULL;
	pending_reply(v, pend, err, text);
	model_portal_free(p);
}

static void
created(struct verbs *v, struct pending *pend, struct model_portal *p)
{
	char why[VERBS_WHY];
	int err;

	p->pending = false;
	err = v->ops->save(v->ctx, why);
	if (err) {
		give_up(v, pend, p, -err, why);
		return;
	}
	broker_listener_add(v->b, p);
	pending_reply(v, pend, 0, "");
}

static struct model_portal *
portal_named(struct verbs *v, const char *name)
{
	struct model_portal *p;
	char mine[16];

	list_for_each(p, &v->m->portals, link) {
		listener_name(mine, p);
		if (!strcmp(mine, name))
			return p;
	}
	return NULL;
}

void
verbs_listener_opened(struct verbs *v, const Tgt__ListenerOpened *o, int fd)
{
	struct model_portal *p = portal_named(v, o->name);
	struct pending *pend = NULL, *each;
	int err = o->err ? abs(o->err) : fd < 0 ? EPROTO : 0;

	if (!p || !p->opening) { /* deleted meanwhile */
		if (fd >= 0)
			close(fd);
		return;
	}
	list_for_each(each, &v->pending, link)
		if (each->portal == p)
			pend = each;
	p->opening = false;
	if (err) {
		failure_text(p, err, p->state, sizeof(p->state));
		if (fd >= 0)
			close(fd);
		if (pend) {
			char text[sizeof(p->state)];

			memcpy(text, p->state, sizeof(text));
			give_up(v, pend, p, err, text);
			return;
		}
		log_warn("portal: %s; tried again every %d s", p->state, LISTENER_RETRY_S);
		v->ops->soon(v->ctx);
		return;
	}
	p->fd = fd;
	p->port = o->port ? o->port : p->port;
	snprintf(p->state, sizeof(p->state), "listening");
	if (pend)
		created(v, pend, p);
	else
		broker_listener_add(v->b, p);
}

/* An address may be there later than we are. */
void
portals_retry(struct verbs *v)
{
	struct model_portal *p;
	bool due = ++v->seconds % LISTENER_RETRY_S == 0, left = false;

	list_for_each(p, &v->m->portals, link) {
		if (p->fd >= 0 || p->opening || p->pending)
			continue;
		left = true;
		if (due)
			open_listener(v, p);
	}
	if (left)
		v->ops->soon(v->ctx);
}
