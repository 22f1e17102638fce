/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lun create and lun delete: both wait for processes.  A LUN is stored when
 * its storaged has opened the store, and deleted for the operator when its
 * processes are gone, so that the name can be used again at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/verbs_priv.h"
#include "proto/log.h"

static struct pending *
find_pending(struct verbs *v, const struct model_lun *l)
{
	struct pending *p;

	list_for_each(p, &v->pending, link)
		if (p->lun == l)
			return p;
	return NULL;
}

static bool
being_deleted(struct verbs *v, const char *name)
{
	struct pending *p;

	list_for_each(p, &v->pending, link)
		if (p->lun && p->deleting && !strcmp(p->lun->name, name))
			return true;
	return false;
}

/* The workers' lock on the store decides; this only gives the better text. */
static int
check_free_store(struct call *c, const struct model_lun *l)
{
	const char *other;
	uint64_t dev, ino;

	if (!*l->path || c->v->ops->identify(c->v->ctx, l->path, &dev, &ino))
		return 0;
	other = broker_store_user(c->v->b, l, dev, ino);
	if (!other)
		return 0;
	return refuse(c, EBUSY, "%.300s is already the store of LUN %s: two LUNs on one store must "
		      "both be read-only", l->path, other);
}

static int
forget(struct call *c, struct model_lun *l, int err)
{
	model_lun_unlink(c->v->m, l);
	model_lun_free(l);
	return err;
}

int
verb_create_lun(struct call *c)
{
	const Tgt__Lun *in = c->req->create_lun->lun;
	struct lun_spec spec;
	struct model_lun *l;
	struct pending *p;
	int err;

	if (!in)
		return refuse(c, EINVAL, "the request has no LUN");
	if (being_deleted(c->v, in->name))
		return refuse(c, EBUSY, "LUN %s is being deleted: try again", in->name);
	spec = (struct lun_spec){ in->name, in->backend, in->path, in->size, in->block_size,
				  in->read_only };
	err = model_lun_create(c->v->m, &spec, &l, c->why);
	if (err < 0)
		return err;
	if (err == MODEL_SAME) {
		c->lun = l;
		broker_lun_revive(c->v->b, l);
		return 0;
	}
	err = check_free_store(c, l);
	if (err)
		return forget(c, l, err);
	p = pending_new(c);
	if (!p)
		return forget(c, l, -ENOMEM);
	p->lun = l;
	err = broker_lun_add(c->v->b, l);
	if (err) {
		list_del(&p->link);
		free(p);
		forget(c, l, err);
		return refuse(c, -err, "no memory objects for the LUN: %s", strerror(-err));
	}
	return VERB_LATER;
}

/* The LUN goes; @p is answered with @err, @text when it is gone. */
static void
begin_end(struct verbs *v, struct pending *p, int err, const char *text)
{
	p->err = err;
	p->deleting = true;
	p->ticks = 0;
	snprintf(p->text, sizeof(p->text), "%s", text);
	broker_lun_remove(v->b, p->lun);
}

int
verb_delete_lun(struct call *c)
{
	const char *name = c->req->delete_lun->name;
	struct model_lun *l = model_lun_find(c->v->m, name);
	struct pending *p;
	int err;

	if (!l) {
		snprintf(c->why, sizeof(c->why), "no such LUN: %.80s; nothing to delete", name);
		return 0;
	}
	if (l->pending)
		return refuse(c, EBUSY, "LUN %s is being created by another request", l->name);
	err = model_lun_unmapped(c->v->m, l, c->why);
	if (err)
		return err;
	p = pending_new(c);
	if (!p)
		return -ENOMEM;
	model_lun_unlink(c->v->m, l);
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err) {
		model_lun_relink(c->v->m, l);
		list_del(&p->link);
		free(p);
		return err;
	}
	p->lun = l;
	begin_end(c->v, p, 0, "");
	return VERB_LATER;
}

static void
created(struct verbs *v, struct pending *p, const char *warning)
{
	char why[VERBS_WHY];
	int err;

	p->lun->pending = false;
	err = v->ops->save(v->ctx, why);
	if (!err) {
		pending_reply(v, p, 0, warning);
		return;
	}
	p->lun->pending = true;
	model_lun_unlink(v->m, p->lun);
	begin_end(v, p, -err, why);
}

void
verbs_lun_event(struct verbs *v, struct model_lun *l, enum lun_event ev, int err, const char *text)
{
	struct pending *p = find_pending(v, l);

	if (ev == LUN_GONE) {
		if (p)
			pending_reply(v, p, p->err, p->text);
		model_lun_free(l);
	} else if (!p || p->deleting) {
		log_debug("lun=%s: event %d after the request's end", l->name, (int)ev);
	} else if (ev == LUN_UP) {
		created(v, p, text);
	} else {
		model_lun_unlink(v->m, l);
		begin_end(v, p, err, text);
	}
}

/* A second later. */
void
pending_lun_tick(struct verbs *v, struct pending *p)
{
	struct call c = { .v = v, .client = p->client, .id = p->id };

	if (p->ticks < VERBS_TIMEOUT_S)
		return;
	if (!p->deleting) {
		model_lun_unlink(v->m, p->lun);
		begin_end(v, p, ETIMEDOUT, "the store did not open within 10 s; the log tells more");
		return;
	}
	if (!p->client)
		return;
	/* It ends by itself; only nobody is kept waiting for it. */
	snprintf(c.why, sizeof(c.why), "%s", p->err ? p->text :
		 "deleted; its processes are still ending");
	p->client = NULL;
	reply_objects(&c, p->err);
}
