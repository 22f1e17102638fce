/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs and broker without sockets and processes, for the unit test and the
 * fuzzer: the supervisor obeys at once, stores open or fail as told.
 */
#ifndef TESTS_VERBS_RIG_H
#define TESTS_VERBS_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/broker.h"
#include "ctl/broker_priv.h"
#include "ctl/verbs.h"
#include "proto/log.h"

enum { RIG_QUEUE = 8192 };

static struct verbs_rig {
	struct model m;
	struct broker *b;
	struct verbs v;
	char stopped[RIG_QUEUE][UNIT_NAME_MAX]; /* UnitExited is due */
	int n_stopped;
	char listener[16]; /* ListenerOpened is due */
	int save_error, listen_error; /* positive */
	unsigned saves, replies, objects;
	int err; /* of the last reply */
	char text[VERBS_WHY];
	size_t largest; /* packed reply */
	bool more;
} R;

static void
rig_reply(void *ctx, void *client, const Tgt__ControlReply *r)
{
	size_t n = tgt__control_reply__get_packed_size(r);

	R.replies++;
	R.objects += (unsigned)(r->n_target + r->n_lun + r->n_mapping + r->n_portal +
				r->n_access);
	R.err = r->err;
	R.more = r->more;
	R.largest = MAX(R.largest, n);
	snprintf(R.text, sizeof(R.text), "%s", r->text);
}

static int
rig_save(void *ctx, char *why)
{
	R.saves++;
	if (R.save_error)
		snprintf(why, VERBS_WHY, "the disk is full");
	return -R.save_error;
}

static void
rig_supervisor(void *ctx, const Tgt__WorkerMsg *m)
{
	if (m->body_case == TGT__WORKER_MSG__BODY_UNIT_STOP && R.n_stopped < RIG_QUEUE)
		snprintf(R.stopped[R.n_stopped++], UNIT_NAME_MAX, "%s", m->unit_stop->unit);
	if (m->body_case == TGT__WORKER_MSG__BODY_LISTENER_OPEN)
		snprintf(R.listener, sizeof(R.listener), "%s", m->listener_open->name);
}

static int
rig_identify(void *ctx, const char *path, uint64_t *dev, uint64_t *ino)
{
	return -ENOENT;
}

static void
rig_soon(void *ctx)
{
}

static int
rig_send(void *ctx, void *conn, const Tgt__WorkerMsg *m, const int *fds, int n)
{
	return 0;
}

static void
rig_close(void *ctx, void *conn)
{
}

static void
rig_lun_event(void *ctx, struct model_lun *l, enum lun_event ev, int err, const char *text)
{
	verbs_lun_event(&R.v, l, ev, err, text);
}

static int
rig_random(void *buf, size_t n)
{
	static uint64_t state = 1;

	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)buf)[i] = (uint8_t)(state >> 40);
	}
	return 0;
}

static const struct broker_ops rig_broker_ops = {
	rig_send, rig_close, rig_supervisor, rig_lun_event, rig_soon,
};
static const struct verbs_ops rig_verbs_ops = {
	rig_reply, rig_save, rig_supervisor, rig_identify, rig_soon,
};

static void
rig_begin(void)
{
	const struct broker_config cfg = { .threads = 1, .max_sessions = 8,
					   .pool_budget = 1 << 30 };

	memset(&R, 0, sizeof(R));
	log_open("test", NULL, 0);
	model_init(&R.m, rig_random);
	verbs_init(&R.v, &R.m, &rig_verbs_ops, NULL);
	R.b = broker_new(&R.m, &cfg, &rig_broker_ops, NULL);
	R.v.b = R.b;
	if (!R.b || broker_start(R.b))
		abort();
}

/* What was stopped has ended; what listens, listens. */
static void
rig_obey(void)
{
	for (int i = 0; i < R.n_stopped; i++) { /* grows meanwhile */
		Tgt__UnitExited e = TGT__UNIT_EXITED__INIT;
		Tgt__WorkerMsg m;

		e.unit = R.stopped[i];
		broker_unit_message(R.b, WRAP(&m, UNIT_EXITED, unit_exited, &e));
	}
	R.n_stopped = 0;
	if (*R.listener) {
		Tgt__ListenerOpened o = TGT__LISTENER_OPENED__INIT;
		char name[16];

		memcpy(name, R.listener, sizeof(name));
		R.listener[0] = 0;
		o.name = name;
		o.err = R.listen_error;
		o.port = 40000;
		verbs_listener_opened(&R.v, &o, o.err ? -1 : open("/dev/null", O_RDONLY));
	}
}

/* Every LUN that is being created: its store opens, or does not. */
static void
rig_stores(bool open)
{
	struct model_lun *l;

	list_for_each(l, &R.m.luns, link)
		if (l->pending)
			verbs_lun_event(&R.v, l, open ? LUN_UP : LUN_DOWN, open ? 0 : ENOENT,
					open ? "" : "no such store");
	rig_obey();
}

static void
rig_end(void)
{
	struct model_portal *p;

	broker_free(R.b);
	verbs_done(&R.v);
	list_for_each(p, &R.m.portals, link)
		if (p->fd >= 0)
			close(p->fd);
	model_done(&R.m);
}

#endif
