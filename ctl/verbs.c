/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of verbs, and those that are answered at once: targets and
 * mappings.  Each change is: model, file, workers; undone in the model when
 * the file cannot be written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/verbs_priv.h"
#include "proto/log.h"

/* ---- later answers --------------------------------------------------- */

struct pending *
pending_new(struct call *c)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		snprintf(c->why, sizeof(c->why), "out of memory");
		return NULL;
	}
	p->client = c->client;
	p->id = c->id;
	list_add_tail(&c->v->pending, &p->link);
	c->v->ops->soon(c->v->ctx);
	return p;
}

void
pending_reply(struct verbs *v, struct pending *p, int err, const char *text)
{
	struct call c = { .v = v, .client = p->client, .id = p->id };

	snprintf(c.why, sizeof(c.why), "%s", text);
	if (!err && !p->deleting) {
		c.lun = p->lun;
		c.portal = p->portal;
	}
	list_del(&p->link);
	free(p);
	if (c.client)
		reply_objects(&c, err);
}

/* ---- targets --------------------------------------------------------- */

static int
verb_create_target(struct call *c)
{
	const Tgt__Target *in = c->req->create_target->target;
	struct model_target *t;
	int err;

	if (!in)
		return refuse(c, EINVAL, "the request has no target");
	err = model_target_create(c->v->m, in->name, in->alias, in->tpgt, &t, c->why);
	if (err < 0)
		return err;
	c->target = t;
	if (err == MODEL_SAME)
		return 0;
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err) {
		c->target = NULL;
		model_target_unlink(c->v->m, t);
		model_target_free(t);
		return err;
	}
	broker_target_update(c->v->b, t);
	return 0;
}

static int
verb_modify_target(struct call *c)
{
	const Tgt__ModifyTarget *in = c->req->modify_target;
	struct model_target *t = model_target_find(c->v->m, in->name);
	char before[MODEL_REDIRECT_MAX + 1];
	bool permanent;
	int err;

	if (!t)
		return refuse(c, ENOENT, "no such target: %.230s", in->name);
	memcpy(before, t->redirect, sizeof(before));
	permanent = t->redirect_permanent;
	err = model_target_redirect(t, in->redirect, in->redirect_permanent, c->why);
	if (!err)
		err = c->v->ops->save(c->v->ctx, c->why);
	if (err < 0) {
		memcpy(t->redirect, before, sizeof(before));
		t->redirect_permanent = permanent;
		return err;
	}
	c->target = t;
	return 0;
}

static int
verb_delete_target(struct call *c)
{
	const char *name = c->req->delete_target->name;
	struct model_target *t = model_target_find(c->v->m, name);
	unsigned n;
	int err;

	if (!t) {
		snprintf(c->why, sizeof(c->why), "no such target: %.230s; nothing to delete", name);
		return 0;
	}
	n = broker_target_sessions(c->v->b, t);
	if (n)
		return refuse(c, EBUSY, "target %s has %u session%s: log out first ('tgt-ctl "
			      "session show' tells who)", t->name, n, n == 1 ? "" : "s");
	model_target_unlink(c->v->m, t);
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err) {
		model_target_relink(c->v->m, t);
		return err;
	}
	broker_target_remove(c->v->b, t);
	model_target_free(t);
	return 0;
}

/* ---- mappings -------------------------------------------------------- */

static int
verb_create_mapping(struct call *c)
{
	const Tgt__Mapping *in = c->req->create_mapping->mapping;
	struct model_mapping *p;
	int err;

	if (!in)
		return refuse(c, EINVAL, "the request has no mapping");
	err = model_mapping_create(c->v->m, in->target, in->lun,
				   in->auto_number ? -1 : (int64_t)in->number, in->read_only, &p,
				   c->why);
	if (err < 0)
		return err;
	c->mapping = p;
	if (err == MODEL_SAME)
		return 0;
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err) {
		c->mapping = NULL;
		model_mapping_unlink(p);
		model_mapping_free(p);
		return err;
	}
	broker_mapping_update(c->v->b, p->target, p->number);
	return 0;
}

static int
verb_delete_mapping(struct call *c)
{
	const Tgt__DeleteMapping *in = c->req->delete_mapping;
	struct model_target *t = model_target_find(c->v->m, in->target);
	struct model_mapping *p = t ? model_mapping_find(t, in->number) : NULL;
	const char *user;
	int err;

	if (!p) {
		snprintf(c->why, sizeof(c->why), "no such mapping: number %u of %.230s; nothing to "
			 "delete", in->number, in->target);
		return 0;
	}
	user = broker_mapping_user(c->v->b, p);
	if (user)
		return refuse(c, EBUSY, "LUN %s, number %u of %s, is in use: %s has it open",
			      p->lun->name, p->number, t->name, user);
	model_mapping_unlink(p);
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err) {
		model_mapping_relink(p);
		return err;
	}
	broker_mapping_update(c->v->b, t, p->number);
	model_mapping_free(p);
	return 0;
}

/* ---- sessions -------------------------------------------------------- */

/* Nothing is stored: who may come back is a matter of the rules. */
static int
verb_delete_session(struct call *c)
{
	uint32_t nexus = c->req->delete_session->nexus;

	if (!broker_session_end(c->v->b, nexus))
		snprintf(c->why, sizeof(c->why), "no such session: %u; nothing to delete", nexus);
	return 0;
}

/* ---- the table ------------------------------------------------------- */

#define REQ(name) TGT__CONTROL_REQUEST__BODY_##name

static const struct verb {
	Tgt__ControlRequest__BodyCase request;
	bool changes;
	int (*handle)(struct call *c);
} verbs[] = {
	{ REQ(CREATE_TARGET), true, verb_create_target },
	{ REQ(MODIFY_TARGET), true, verb_modify_target },
	{ REQ(DELETE_TARGET), true, verb_delete_target },
	{ REQ(CREATE_LUN), true, verb_create_lun },
	{ REQ(DELETE_LUN), true, verb_delete_lun },
	{ REQ(CREATE_MAPPING), true, verb_create_mapping },
	{ REQ(DELETE_MAPPING), true, verb_delete_mapping },
	{ REQ(CREATE_PORTAL), true, verb_create_portal },
	{ REQ(DELETE_PORTAL), true, verb_delete_portal },
	{ REQ(CREATE_ACCESS), true, verb_create_access },
	{ REQ(DELETE_ACCESS), true, verb_delete_access },
	{ REQ(DELETE_SESSION), true, verb_delete_session },
	{ REQ(SHOW), false, verb_show },
};

static int
run_verb(struct call *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (verbs[i].request != c->req->body_case)
			continue;
		if (verbs[i].changes && c->v->stopping)
			return refuse(c, ESHUTDOWN, "tgt-ctld is stopping");
		return verbs[i].handle(c);
	}
	return refuse(c, ENOSYS, "this tgt-ctld does not know the request");
}

void
verbs_request(struct verbs *v, void *client, const Tgt__ControlRequest *req)
{
	struct call c = { .v = v, .client = client, .id = req->id, .req = req };
	int err = run_verb(&c);

	if (err == VERB_LATER)
		return;
	if (err)
		log_debug("request %d is refused: %s", (int)req->body_case, c.why);
	reply_objects(&c, -err);
}

void
verbs_client_gone(struct verbs *v, void *client)
{
	struct pending *p;

	list_for_each(p, &v->pending, link)
		if (p->client == client)
			p->client = NULL; /* what it asked for goes on */
}

void
verbs_tick(struct verbs *v)
{
	struct pending *p;

	list_for_each(p, &v->pending, link) {
		p->ticks++;
		if (p->lun)
			pending_lun_tick(v, p);
	}
	portals_retry(v);
	if (!list_empty(&v->pending))
		v->ops->soon(v->ctx);
}

void
verbs_init(struct verbs *v, struct model *m, const struct verbs_ops *ops, void *ctx)
{
	memset(v, 0, sizeof(*v));
	v->m = m;
	v->ops = ops;
	v->ctx = ctx;
	list_init(&v->pending);
}

void
verbs_done(struct verbs *v)
{
	struct pending *p;

	while ((p = list_first(&v->pending, struct pending, link))) {
		if (p->deleting)
			model_lun_free(p->lun); /* it is out of the model already */
		list_del(&p->link);
		free(p);
	}
}
