/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-run --lun: a control client like any other (proto/control.proto) that
 * creates a portal, a target, a LUN and a mapping for each file, and at last
 * the rules that open the target, one request after the other; then it steps
 * back and the service runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/run.h"

static const double PATIENCE = 30.0; /* for one answer, seconds */

struct run_setup {
	struct run *run;
	struct chan chan;
	ev_timer timeout;
	unsigned step; /* 0 portal, 1 target, LUN and mapping by turns, access rules */
	bool done;
	char addr[64];
	uint32_t port;
};

enum { STEP_PORTAL, STEP_TARGET, STEP_LUNS };

static struct run_export *
export_of(struct run_setup *s)
{
	return &s->run->opt.exports[(s->step - STEP_LUNS) / 2];
}

/* The first step behind the LUNs: who may log in comes last, so that nobody
 * meets a target that is not complete. */
static unsigned
step_access(const struct run_setup *s)
{
	return STEP_LUNS + 2 * s->run->opt.n_exports;
}

static void
finish(struct run_setup *s)
{
	s->done = true;
	ev_timer_stop(s->run->loop, &s->timeout);
	chan_close(&s->chan);
}

static void
fail(struct run_setup *s, const char *what, const char *why)
{
	struct run *r = s->run;

	/* The log stays held back: this one line is what the user needs. */
	finish(s);
	if (what)
		run_say("%s: %s", what, why);
	else
		run_say("%s", why);
	run_stop(r, 1);
}

/* ---- requests ----------------------------------------------------------- */

static void
submit(struct run_setup *s, Tgt__ControlRequest *req)
{
	int err;

	req->id = s->step + 1;
	err = chan_send(&s->chan, &req->base, NULL, 0);
	if (err)
		fail(s, "tgt-ctld", strerror(-err));
	else
		ev_timer_again(s->run->loop, &s->timeout);
}

static void
ask_portal(struct run_setup *s)
{
	Tgt__ControlRequest req = TGT__CONTROL_REQUEST__INIT;
	Tgt__CreatePortal create = TGT__CREATE_PORTAL__INIT;
	Tgt__Portal portal = TGT__PORTAL__INIT;

	portal.addr = s->run->opt.addr;
	portal.port = s->run->opt.port;
	create.portal = &portal;
	req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_PORTAL;
	req.create_portal = &create;
	submit(s, &req);
}

static void
ask_target(struct run_setup *s)
{
	Tgt__ControlRequest req = TGT__CONTROL_REQUEST__INIT;
	Tgt__CreateTarget create = TGT__CREATE_TARGET__INIT;
	Tgt__Target target = TGT__TARGET__INIT;

	target.name = s->run->opt.target;
	create.target = &target;
	req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_TARGET;
	req.create_target = &create;
	submit(s, &req);
}

static void
ask_lun(struct run_setup *s)
{
	Tgt__ControlRequest req = TGT__CONTROL_REQUEST__INIT;
	Tgt__CreateLun create = TGT__CREATE_LUN__INIT;
	Tgt__Lun lun = TGT__LUN__INIT;
	struct run_export *e = export_of(s);

	lun.name = e->name;
	lun.backend = (char *)(uintptr_t)(*e->path ? "rdwr" : "null");
	lun.path = e->path;
	lun.size = e->size;
	lun.block_size = e->block_size;
	lun.read_only = s->run->opt.read_only;
	create.lun = &lun;
	req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_LUN;
	req.create_lun = &create;
	submit(s, &req);
}

static void
ask_mapping(struct run_setup *s)
{
	Tgt__ControlRequest req = TGT__CONTROL_REQUEST__INIT;
	Tgt__CreateMapping create = TGT__CREATE_MAPPING__INIT;
	Tgt__Mapping mapping = TGT__MAPPING__INIT;

	mapping.target = s->run->opt.target;
	mapping.lun = export_of(s)->name;
	mapping.number = (s->step - STEP_LUNS) / 2;
	mapping.read_only = s->run->opt.read_only;
	create.mapping = &mapping;
	req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_MAPPING;
	req.create_mapping = &create;
	submit(s, &req);
}

static void
ask_access(struct run_setup *s)
{
	Tgt__ControlRequest req = TGT__CONTROL_REQUEST__INIT;
	Tgt__CreateAccess create = TGT__CREATE_ACCESS__INIT;
	Tgt__Access access = TGT__ACCESS__INIT;

	access.target = s->run->opt.target;
	access.initiator =
		(char *)(uintptr_t)s->run->opt.initiators[s->step - step_access(s)];
	create.access = &access;
	req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_ACCESS;
	req.create_access = &create;
	submit(s, &req);
}

static void
ask(struct run_setup *s)
{
	struct run *r = s->run;

	if (s->step == STEP_PORTAL) {
		ask_portal(s);
	} else if (s->step == STEP_TARGET) {
		ask_target(s);
	} else if (s->step < step_access(s)) {
		(s->step % 2 ? ask_mapping : ask_lun)(s);
	} else if (s->step < step_access(s) + r->opt.n_initiators) {
		ask_access(s);
	} else {
		finish(s);
		run_log_release(r, true);
		run_print_export(r, s->addr, s->port);
	}
}

/* ---- answers ------------------------------------------------------------ */

static void
learn(struct run_setup *s, const Tgt__ControlReply *reply)
{
	if (s->step == STEP_PORTAL && reply->n_portal &&
	    strlen(reply->portal[0]->addr) < sizeof(s->addr)) {
		strcpy(s->addr, reply->portal[0]->addr);
		s->port = reply->portal[0]->port;
	}
	if (s->step >= STEP_LUNS && s->step < step_access(s) && !(s->step % 2) &&
	    reply->n_lun) {
		export_of(s)->size = reply->lun[0]->size;
		if (reply->lun[0]->block_size)
			export_of(s)->block_size = reply->lun[0]->block_size;
	}
}

static void
on_reply(struct chan *c, struct chan_msg *m, int err)
{
	struct run_setup *s = c->owner;
	const Tgt__ControlReply *reply;

	if (!m) {
		fail(s, "tgt-ctld", err ? strerror(-err) : "ended the conversation");
		return;
	}
	reply = (const Tgt__ControlReply *)m->body;
	if (reply->id != s->step + 1)
		return;
	if (reply->err) {
		const char *what = s->step < STEP_LUNS || s->step >= step_access(s) ?
					   NULL : export_of(s)->arg;

		if (*reply->text)
			fail(s, NULL, reply->text);
		else
			fail(s, what ? what : s->run->opt.target, strerror(reply->err));
		return;
	}
	learn(s, reply);
	if (reply->more)
		return;
	if (*reply->text) { /* a warning, such as a rounded size */
		run_say("%s", reply->text);
		run_log_said(s->run, reply->text);
	}
	s->step++;
	ask(s);
}

static void
on_timeout(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run_setup *s = w->data;

	run_log_release(s->run, true);
	fail(s, "tgt-ctld", "did not answer in time");
}

/* ---- start and end ------------------------------------------------------ */

int
run_export_start(struct run *r)
{
	struct run_setup *s = calloc(1, sizeof(*s));
	int fd;

	if (!s)
		return -ENOMEM;
	/* The socket is ours: this connects before tgt-ctld accepts. */
	fd = chan_connect(r->control_path);
	if (fd < 0) {
		free(s);
		return fd;
	}
	s->run = r;
	r->setup = s;
	chan_init(&s->chan, r->loop, fd, &tgt__control_reply__descriptor, on_reply, s);
	ev_timer_init(&s->timeout, on_timeout, 0, PATIENCE);
	s->timeout.data = s;
	ask(s);
	return 0;
}

void
run_export_ctld_gone(struct run *r, const char *why)
{
	if (!r->setup || r->setup->done)
		return;
	run_log_release(r, true);
	fail(r->setup, NULL, why);
}

void
run_export_free(struct run *r)
{
	if (!r->setup)
		return;
	finish(r->setup);
	free(r->setup);
	r->setup = NULL;
}
