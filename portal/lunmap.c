/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which lane serves which LUN of a session: see lunmap.h.
 */
#include "portal/lunmap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "portal/cmd.h"
#include "portal/plane.h"
#include "portal/session.h"
#include "portal/thread.h"
#include "proto/scsi.h"

void
lunmap_init(struct lunmap *m)
{
	list_init(&m->entries);
	m->n = 0;
}

static struct lun_entry *
find(struct lunmap *m, uint64_t lun)
{
	struct lun_entry *e;

	list_for_each(e, &m->entries, link) {
		if (e->lun != lun)
			continue;
		if (m->entries.next != &e->link) {
			list_del(&e->link);
			list_add(&m->entries, &e->link);
		}
		return e;
	}
	return NULL;
}

/* Makes room: a hostile initiator may name 2^64 LUNs. */
static bool
evict(struct lunmap *m)
{
	struct list *l;

	for (l = m->entries.prev; l != &m->entries; l = l->prev) {
		struct lun_entry *e = list_entry(l, struct lun_entry, link);

		if (e->state == LUN_OPENING || !list_empty(&e->parked))
			continue;
		if (e->plane)
			plane_unref(e->plane);
		list_del(&e->link);
		free(e);
		m->n--;
		return true;
	}
	return false;
}

static struct lun_entry *
add(struct session *s, uint64_t lun)
{
	struct lun_entry *e;

	if (s->luns.n >= LUNMAP_MAX && !evict(&s->luns))
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->sess = s;
	e->lun = lun;
	list_init(&e->parked);
	list_init(&e->open_link);
	list_add(&s->luns.entries, &e->link);
	s->luns.n++;
	return e;
}

static void
ask(struct lun_entry *e)
{
	e->state = LUN_OPENING;
	e->stale = false;
	thread_lun_open(e->sess->th, e);
}

void
lunmap_submit(struct session *s, struct cmd *c)
{
	struct lun_entry *e = find(&s->luns, c->lun);

	if (!e)
		e = add(s, c->lun);
	if (!e) {
		cmd_fail(c, STATUS_BUSY, 0, 0);
		return;
	}
	if (e->state == LUN_OPEN) {
		plane_request(e->plane, c);
		return;
	}
	c->state = CMD_PARKED;
	list_add_tail(&e->parked, &c->link);
	if (e->state == LUN_CLOSED && !session_is_barred(s, e->lun))
		ask(e);
}

void
lunmap_opened(struct lun_entry *e, struct plane *plane, int err)
{
	struct cmd *c;

	assert(e->state == LUN_OPENING);
	list_del(&e->open_link);
	if (!e->sess) {
		free(e);
		return;
	}
	e->state = plane && !e->stale ? LUN_OPEN : LUN_CLOSED;
	if (e->state == LUN_OPEN) {
		e->plane = plane;
		plane->refs++;
		session_fit_window(e->sess, plane->pool_size);
	} else if (plane && !list_empty(&e->parked)) {
		ask(e); /* invalidated while the answer was on its way */
		return;
	}
	while ((c = list_first(&e->parked, struct cmd, link))) {
		list_del(&c->link);
		if (plane)
			plane_request(plane, c);
		else /* resources come and go: let the initiator try again */
			cmd_fail(c, STATUS_BUSY, 0, 0);
	}
}

void
lunmap_go(struct session *s)
{
	struct lun_entry *e;

	list_for_each(e, &s->luns.entries, link)
		if (e->state == LUN_CLOSED && !list_empty(&e->parked) &&
		    !session_is_barred(s, e->lun))
			ask(e);
}

void
lunmap_invalidate(struct session *s, const uint64_t *lun, size_t n)
{
	struct lun_entry *e;
	size_t i;

	list_for_each(e, &s->luns.entries, link) {
		for (i = 0; i < n && lun[i] != e->lun; i++)
			;
		if (n && i == n)
			continue;
		if (e->state == LUN_OPENING)
			e->stale = true;
		if (e->state != LUN_OPEN)
			continue;
		e->state = LUN_CLOSED;
		plane_unref(e->plane);
		e->plane = NULL;
	}
}

void
lunmap_forget(struct session *s, struct plane *p)
{
	struct lun_entry *e;

	list_for_each(e, &s->luns.entries, link) {
		if (e->state != LUN_OPEN || e->plane != p)
			continue;
		e->state = LUN_CLOSED;
		plane_unref(p);
		e->plane = NULL;
	}
}

void
lunmap_done(struct session *s)
{
	struct lun_entry *e;

	list_for_each(e, &s->luns.entries, link) {
		assert(list_empty(&e->parked));
		if (e->plane)
			plane_unref(e->plane);
		list_del(&e->link);
		e->sess = NULL;
		if (e->state != LUN_OPENING)
			free(e);
	}
	s->luns.n = 0;
}
