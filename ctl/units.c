/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tgt-ctld wants of its supervisor: see units.h.  Pure.
 */
#include "ctl/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/wrap.h"

void
units_init(struct units *us, const struct units_ops *ops, void *ctx)
{
	list_init(&us->all);
	us->ops = ops;
	us->ctx = ctx;
}

void
unit_add(struct units *us, struct unit *u, const char *name, void *owner)
{
	memset(u, 0, sizeof(*u));
	snprintf(u->name, sizeof(u->name), "%s", name);
	u->owner = owner;
	list_add_tail(&us->all, &u->link);
}

void
unit_remove(struct unit *u)
{
	list_del(&u->link);
}

static void
send_start(struct units *us, struct unit *u)
{
	Tgt__UnitStart s = TGT__UNIT_START__INIT;
	Tgt__WorkerMsg m;

	if (us->ending)
		return;
	s.unit = u->name;
	u->asked = true;
	us->ops->send(us->ctx, WRAP(&m, UNIT_START, unit_start, &s));
}

void
unit_start(struct units *us, struct unit *u)
{
	if (u->wanted)
		return;
	u->wanted = true;
	if (!u->stopping)
		send_start(us, u);
}

static void
send_stop(struct units *us, const char *name)
{
	Tgt__UnitStop s = TGT__UNIT_STOP__INIT;
	Tgt__WorkerMsg m;

	s.unit = (char *)(uintptr_t)name;
	us->ops->send(us->ctx, WRAP(&m, UNIT_STOP, unit_stop, &s));
}

void
unit_stop(struct units *us, struct unit *u)
{
	u->wanted = false;
	if (u->asked && !u->stopping) {
		u->stopping = true;
		send_stop(us, u->name);
	}
}

void
unit_kill(struct units *us, struct unit *u, const char *why)
{
	Tgt__UnitKill k = TGT__UNIT_KILL__INIT;
	Tgt__WorkerMsg m;

	if (!u->pid)
		return;
	k.unit = u->name;
	k.why = (char *)(uintptr_t)why;
	us->ops->send(us->ctx, WRAP(&m, UNIT_KILL, unit_kill, &k));
}

static struct unit *
find(struct units *us, const char *name)
{
	struct unit *u;

	list_for_each(u, &us->all, link)
		if (!strcmp(u->name, name))
			return u;
	return NULL;
}

static void
on_started(struct units *us, const Tgt__UnitStarted *s)
{
	struct unit *u = find(us, s->unit);

	/* Of a former tgt-ctld, and no longer in the configuration. */
	if (!u) {
		send_stop(us, s->unit);
		return;
	}
	u->pid = s->pid;
	u->starts++;
	u->asked = true;
	us->ops->started(us->ctx, u);
}

static void
on_exited(struct units *us, const Tgt__UnitExited *e)
{
	struct unit *u = find(us, e->unit);

	if (!u)
		return;
	if (u->pid) {
		u->pid = 0;
		us->ops->exited(us->ctx, u, e);
	}
	if (e->will_restart)
		return;
	u->asked = false;
	u->stopping = false;
	if (u->wanted)
		send_start(us, u);
	else
		us->ops->stopped(us->ctx, u);
}

int
units_message(struct units *us, const Tgt__WorkerMsg *m)
{
	if (m->body_case == TGT__WORKER_MSG__BODY_UNIT_STARTED)
		on_started(us, m->unit_started);
	else if (m->body_case == TGT__WORKER_MSG__BODY_UNIT_EXITED)
		on_exited(us, m->unit_exited);
	else
		return -EPROTO;
	return 0;
}
