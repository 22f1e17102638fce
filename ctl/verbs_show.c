/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers: the objects of the model as messages, over as many datagrams as
 * they need.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/verbs_priv.h"

enum {
	PAGE_OBJECTS = 64,
	PAGE_BYTES = 48 << 10, /* well below the 64 KiB of a datagram */
};

/* One reply being filled. */
struct page {
	struct call *c;
	Tgt__ControlReply r;
	size_t bytes;
	int n;
	union {
		Tgt__Target target;
		Tgt__Lun lun;
		Tgt__Mapping mapping;
		Tgt__Portal portal;
		Tgt__Session session;
		Tgt__Access access;
	} obj[PAGE_OBJECTS];
	char naa[PAGE_OBJECTS][33];
	void *list[PAGE_OBJECTS]; /* of obj: the arrays of the reply */
};

static char *
str(const char *s)
{
	return (char *)(uintptr_t)s; /* protobuf-c has no const strings */
}

static void
page_begin(struct page *pg, struct call *c)
{
	pg->c = c;
	tgt__control_reply__init(&pg->r);
	pg->r.id = c->id;
	pg->n = 0;
	pg->bytes = 0;
}

static void
page_send(struct page *pg, bool more)
{
	pg->r.more = more;
	pg->c->v->ops->reply(pg->c->v->ctx, pg->c->client, &pg->r);
	page_begin(pg, pg->c);
}

/* Room for one object of @size packed bytes (an upper bound). */
static int
page_slot(struct page *pg, size_t size)
{
	if (pg->n == PAGE_OBJECTS || (pg->n && pg->bytes + size > PAGE_BYTES))
		page_send(pg, true);
	pg->bytes += size;
	return pg->n++;
}

/* Objects of one kind lie together in the page: their array is one range. */
#define PAGE_LIST(pg, field, i)                                                \
	do {                                                                   \
		(pg)->list[i] = &(pg)->obj[i];                                 \
		if (!(pg)->r.n_##field)                                        \
			(pg)->r.field = (void *)&(pg)->list[i];                \
		(pg)->r.n_##field++;                                           \
	} while (0)

static void
put_target(struct page *pg, const struct model_target *t)
{
	int i = page_slot(pg, 700);
	Tgt__Target *o = &pg->obj[i].target;

	tgt__target__init(o);
	o->name = str(t->name);
	o->alias = str(t->alias);
	o->tpgt = t->tpgt;
	o->redirect = str(t->redirect);
	o->redirect_permanent = t->redirect_permanent;
	o->sessions = broker_target_sessions(pg->c->v->b, t);
	PAGE_LIST(pg, target, i);
}

static void
put_lun(struct page *pg, const struct model_lun *l)
{
	int i = page_slot(pg, 1200 + strlen(l->path));
	Tgt__Lun *o = &pg->obj[i].lun;
	struct lun_info info;

	broker_lun_info(l, &info);
	tgt__lun__init(o);
	snprintf(pg->naa[i], sizeof(pg->naa[i]), "%016" PRIx64 "%016" PRIx64, l->naa, l->naa_ext);
	o->name = str(l->name);
	o->backend = str(l->backend);
	o->path = l->path;
	o->size = info.size ? info.size : l->size;
	o->block_size = l->block_size;
	o->read_only = l->read_only;
	o->serial = str(l->serial);
	o->naa = pg->naa[i];
	o->state = str(info.state);
	o->detail = str(info.detail);
	o->scsid_pid = info.scsid_pid;
	o->storaged_pid = info.storaged_pid;
	o->restarts = info.restarts;
	PAGE_LIST(pg, lun, i);
}

static void
put_mapping(struct page *pg, const struct model_mapping *p)
{
	int i = page_slot(pg, 400);
	Tgt__Mapping *o = &pg->obj[i].mapping;

	tgt__mapping__init(o);
	o->target = p->target->name;
	o->number = p->number;
	o->lun = p->lun->name;
	o->read_only = p->read_only;
	PAGE_LIST(pg, mapping, i);
}

static void
put_rule(struct page *pg, const struct model_rule *r)
{
	int i = page_slot(pg, 600);
	Tgt__Access *o = &pg->obj[i].access;

	tgt__access__init(o);
	o->target = r->target->name;
	o->initiator = str(r->initiator);
	o->address = str(r->address);
	PAGE_LIST(pg, access, i);
}

static void
put_portal(struct page *pg, const struct model_portal *p)
{
	int i = page_slot(pg, 400);
	Tgt__Portal *o = &pg->obj[i].portal;

	tgt__portal__init(o);
	o->addr = str(p->addr);
	o->port = p->port;
	o->tpgt = p->tpgt;
	o->state = str(p->state);
	PAGE_LIST(pg, portal, i);
}

static void
put_session(void *ctx, const struct session_info *s)
{
	struct page *pg = ctx;
	int i = page_slot(pg, 800);
	Tgt__Session *o = &pg->obj[i].session;

	tgt__session__init(o);
	o->nexus = s->nexus;
	o->initiator = str(s->initiator);
	o->target = str(s->target);
	o->address = str(s->address);
	PAGE_LIST(pg, session, i);
}

int
verb_show(struct call *c)
{
	struct model *m = c->v->m;
	struct model_target *t;
	struct model_lun *l;
	struct model_mapping *p;
	struct model_portal *mp;
	struct model_rule *r;
	struct page pg;

	page_begin(&pg, c);
	list_for_each(t, &m->targets, link)
		put_target(&pg, t);
	list_for_each(l, &m->luns, link)
		if (!l->pending)
			put_lun(&pg, l);
	list_for_each(t, &m->targets, link)
		list_for_each(p, &t->mappings, link)
			put_mapping(&pg, p);
	list_for_each(t, &m->targets, link)
		list_for_each(r, &t->rules, link)
			put_rule(&pg, r);
	list_for_each(mp, &m->portals, link)
		if (!mp->pending)
			put_portal(&pg, mp);
	broker_sessions(c->v->b, put_session, &pg);
	page_send(&pg, false);
	return VERB_LATER; /* it has been answered */
}

void
reply_objects(struct call *c, int err)
{
	struct page pg;

	page_begin(&pg, c);
	pg.r.err = err;
	pg.r.text = c->why;
	if (c->target && !err)
		put_target(&pg, c->target);
	if (c->lun && !err)
		put_lun(&pg, c->lun);
	if (c->mapping && !err)
		put_mapping(&pg, c->mapping);
	if (c->rule && !err)
		put_rule(&pg, c->rule);
	if (c->portal && !err)
		put_portal(&pg, c->portal);
	page_send(&pg, false);
}
