/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-storaged: holds the descriptor of one backing store and serves the lower
 * lane of its LUN.  This file joins the daemon's steps, the event loop and
 * serve.c; it must not look at requests, and opens nothing after lock-down.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/daemon.h"
#include "proto/log.h"
#include "proto/shm.h"
#include "storaged/backend.h"
#include "storaged/serve.h"

enum {
	CONFIG_FDS = 5,
	TURNS = 16, /* of the lane before the other watchers are looked at */
};

/* A data pool as mapped here. */
struct mapping {
	uint32_t id;
	bool detaching; /* PoolDetached is owed */
	void *base;
	uint64_t size;
};

struct storaged {
	struct daemon *d;
	bool configured, stopping;

	/* From StoragedConfig. */
	char *backend_name, *path;
	struct backend_conf conf;
	uint64_t expect_dev, expect_ino; /* the store's identity; both 0: any */
	struct lane_maps maps;
	uint32_t epoch;
	bool fresh;
	int bell_in;

	struct backend *backend;
	struct backend_report report;
	struct serve *serve;
	struct mapping pools[SERVE_POOLS_MAX];
	unsigned n_pools, n_detaching;

	ev_io bell, results;
	ev_prepare prepare;
	ev_check check;
	ev_idle idle;
};

/* What it may do after lock-down, besides sandbox_common. */
static const struct sandbox_rule rules[] = {
	SANDBOX_ALLOW(preadv2), /* the store */
	SANDBOX_ALLOW(pwritev2),
	SANDBOX_ALLOW(fdatasync), /* FLUSH, and write-through without RWF_DSYNC */
	SANDBOX_THREADS, /* the pool's; no process, and so no copy of the descriptor */
};

/* ---- pools ------------------------------------------------------------- */

static struct mapping *
find_pool(struct storaged *sd, uint32_t id)
{
	for (unsigned i = 0; i < sd->n_pools; i++)
		if (sd->pools[i].id == id)
			return &sd->pools[i];
	return NULL;
}

/* Maps and remembers; makes it known to serve when that runs.  0 or -errno;
 * the descriptor stays the caller's. */
static int
add_pool(struct storaged *sd, uint32_t id, int fd, uint64_t size)
{
	struct mapping m = { .id = id, .size = size };
	int rc = 0;

	if (find_pool(sd, id))
		return -EEXIST;
	if (sd->n_pools == SERVE_POOLS_MAX)
		return -ENOSPC;
	if (fd < 0 || !size || size > SIZE_MAX)
		return -EPROTO;
	m.base = shm_map(fd, (size_t)size, true);
	if (!m.base)
		return -errno;
	if (sd->serve)
		rc = serve_pool_add(sd->serve, id, m.base, size);
	if (rc) {
		shm_unmap(m.base, (size_t)size);
		return rc;
	}
	sd->pools[sd->n_pools++] = m;
	return 0;
}

static void
send_detached(struct storaged *sd, uint32_t id)
{
	Tgt__PoolDetached body = TGT__POOL_DETACHED__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	body.pool = id;
	msg.body_case = TGT__WORKER_MSG__BODY_POOL_DETACHED;
	msg.pool_detached = &body;
	daemon_send(sd->d, &msg);
}

/* Ends the detaches that nothing in flight stands against any more. */
static void
finish_detaching(struct storaged *sd)
{
	for (unsigned i = 0; i < sd->n_pools && sd->n_detaching;) {
		struct mapping *m = &sd->pools[i];
		uint32_t id = m->id;

		if (!m->detaching || serve_pool_del(sd->serve, id) == -EBUSY) {
			i++;
			continue;
		}
		shm_unmap(m->base, (size_t)m->size);
		*m = sd->pools[--sd->n_pools];
		sd->n_detaching--;
		send_detached(sd, id);
	}
}

/* ---- configuration ----------------------------------------------------- */

/* Maps a descriptor of a message and closes it: a mapping needs none. */
static void *
map_fd(struct chan_msg *m, int i, size_t size, bool writable)
{
	int fd = chan_msg_take_fd(m, i);
	void *p;
	int err;

	if (fd < 0) {
		errno = EPROTO;
		return NULL;
	}
	p = shm_map(fd, size, writable);
	err = errno;
	close(fd);
	errno = err;
	return p;
}

static int
on_config(struct storaged *sd, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__StoragedConfig *c = msg->storaged_config;
	int fd, rc = 0;

	if (sd->configured || m->n_fds != CONFIG_FDS)
		return -EPROTO;
	if (c->nslots < LANE_SLOTS_MIN || c->nslots > LANE_SLOTS_MAX)
		return -EPROTO;
	sd->backend_name = strdup(c->backend);
	sd->path = strdup(c->path);
	if (!sd->backend_name || !sd->path)
		return -ENOMEM;
	sd->conf = (struct backend_conf){
		.path = sd->path,
		.size = c->size,
		.block_size = c->block_size,
		.read_only = c->read_only,
		.fence_wait_ms = c->fence_wait_ms,
		.io_threads = c->io_threads,
	};
	sd->expect_dev = c->expect_dev;
	sd->expect_ino = c->expect_ino;
	sd->epoch = c->epoch;
	sd->fresh = c->fresh;
	sd->maps.nslots = c->nslots;
	sd->maps.sub = map_fd(m, 0, lane_sub_size(c->nslots), false);
	if (!sd->maps.sub)
		return -errno;
	sd->maps.status = map_fd(m, 1, lane_status_size(c->nslots), true);
	if (!sd->maps.status)
		return -errno;
	sd->conf.flush_failed = lane_kept(sd->maps.status);
	if (c->scratch_size) {
		fd = chan_msg_take_fd(m, 2);
		rc = add_pool(sd, 0, fd, c->scratch_size);
		close(fd);
	}
	sd->bell_in = chan_msg_take_fd(m, 3);
	sd->maps.bell_out = chan_msg_take_fd(m, 4);
	sd->configured = !rc;
	return rc;
}

static int
on_pool_attach(struct storaged *sd, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__PoolAttach *p = msg->pool_attach;
	Tgt__PoolAttached body = TGT__POOL_ATTACHED__INIT;
	Tgt__WorkerMsg reply = TGT__WORKER_MSG__INIT;
	int fd = chan_msg_take_fd(m, 0), rc;

	rc = p->pool ? add_pool(sd, p->pool, fd, p->size) : -EEXIST;
	if (fd >= 0)
		close(fd);
	if (!sd->serve) /* during configuration a failure ends the start */
		return rc;
	if (rc)
		log_err("pool=%u size=%" PRIu64 " cannot be attached: %s", p->pool, p->size,
			strerror(-rc));
	body.pool = p->pool;
	body.err = -rc;
	reply.body_case = TGT__WORKER_MSG__BODY_POOL_ATTACHED;
	reply.pool_attached = &body;
	return daemon_send(sd->d, &reply);
}

static int
on_pool_detach(struct storaged *sd, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	struct mapping *p = find_pool(sd, msg->pool_detach->pool);

	if (!sd->serve || msg->pool_detach->pool == 0)
		return -EPROTO;
	if (!p) {
		send_detached(sd, msg->pool_detach->pool);
		return 0;
	}
	if (!p->detaching) {
		p->detaching = true;
		sd->n_detaching++;
	}
	finish_detaching(sd);
	return 0;
}

static int
on_lane_epoch(struct storaged *sd, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	if (!sd->configured || msg->lane_epoch->lane != 0)
		return -EPROTO;
	sd->epoch = msg->lane_epoch->epoch;
	if (sd->serve)
		serve_epoch(sd->serve, sd->epoch); /* the loop takes its turns after us */
	return 0;
}

static const struct {
	Tgt__WorkerMsg__BodyCase body;
	bool before, after; /* ConfigDone */
	int (*handle)(struct storaged *sd, const Tgt__WorkerMsg *msg, struct chan_msg *m);
} messages[] = {
	{ TGT__WORKER_MSG__BODY_STORAGED_CONFIG, true, false, on_config },
	{ TGT__WORKER_MSG__BODY_POOL_ATTACH, true, true, on_pool_attach },
	{ TGT__WORKER_MSG__BODY_POOL_DETACH, false, true, on_pool_detach },
	{ TGT__WORKER_MSG__BODY_LANE_EPOCH, true, true, on_lane_epoch },
};

static int
dispatch(struct storaged *sd, const Tgt__WorkerMsg *msg, struct chan_msg *m, bool after)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].body == msg->body_case
		    && (after ? messages[i].after : messages[i].before))
			return messages[i].handle(sd, msg, m);
	return -EPROTO;
}

static int
storaged_configure(struct daemon *d, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	return dispatch(d->ctx, msg, m, false);
}

static int
storaged_message(struct daemon *d, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	return dispatch(d->ctx, msg, m, true);
}

/* ---- before lock-down -------------------------------------------------- */

/* Slots of a dead incarnation may hold writes that are still owed: to the store
 * that they were meant for, and no other. */
static int
check_identity(struct storaged *sd)
{
	if (!sd->expect_dev && !sd->expect_ino)
		return 0;
	if (sd->backend->dev == sd->expect_dev && sd->backend->ino == sd->expect_ino)
		return 0;
	snprintf(sd->report.text, sizeof(sd->report.text),
		 "%.300s is another file or device than the one in use so far; put that one "
		 "back, or delete the LUN and create it anew", sd->path);
	return -ESTALE;
}

static int
storaged_open(struct daemon *d, Tgt__Failed *failed)
{
	struct storaged *sd = d->ctx;
	const struct backend_type *type;
	char names[128];
	int rc = -EPROTO;

	failed->text = sd->report.text;
	if (!sd->configured)
		return rc; /* ConfigDone without StoragedConfig */
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is EFBIG, not our death */
	type = backend_find(sd->backend_name);
	if (type) {
		rc = type->open(&sd->conf, &sd->backend, &sd->report);
		if (!rc)
			rc = check_identity(sd);
	} else {
		rc = -EINVAL;
		sd->report.permanent = true;
		snprintf(sd->report.text, sizeof(sd->report.text),
			 "there is no backend \"%.64s\"; there are: %s", sd->backend_name,
			 backend_names(names, sizeof(names)));
	}
	failed->permanent = sd->report.permanent;
	return rc;
}

/* ---- the loop ---------------------------------------------------------- */

static void
report_violation(struct storaged *sd)
{
	Tgt__Violation body = TGT__VIOLATION__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	body.text = (char *)(uintptr_t)serve_violation(sd->serve);
	log_err("lane=0 is frozen: %s", body.text);
	msg.body_case = TGT__WORKER_MSG__BODY_VIOLATION;
	msg.violation = &body;
	daemon_send(sd->d, &msg);
}

/* Before the loop blocks: turns until one does nothing, then to sleep.  An
 * active idle watcher makes the loop look at the others without blocking. */
static void
on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct storaged *sd = w->data;
	int rc, turns = 0;

	do {
		rc = serve_turn(sd->serve);
		if (rc == -EPROTO)
			report_violation(sd);
	} while (rc && ++turns < TURNS);
	if (sd->n_detaching)
		finish_detaching(sd);
	if (sd->stopping && !serve_inflight(sd->serve))
		ev_break(loop, EVBREAK_ALL);
	if (rc || !serve_sleep(sd->serve))
		ev_idle_start(loop, &sd->idle);
	else
		ev_idle_stop(loop, &sd->idle);
}

static void
on_check(struct ev_loop *loop, ev_check *w, int revents)
{
	struct storaged *sd = w->data;

	serve_wake(sd->serve);
}

static void
on_idle(struct ev_loop *loop, ev_idle *w, int revents)
{
}

/* The bell carries no information: the turn before the next sleep looks. */
static void
on_bell(struct ev_loop *loop, ev_io *w, int revents)
{
	uint64_t count;

	if (read(w->fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		log_limited(LOG_LEVEL_ERR, "the doorbell cannot be read: %s", strerror(errno));
}

/* Taken and cleared by the backend's reap, in the next turn. */
static void
on_results(struct ev_loop *loop, ev_io *w, int revents)
{
}

static void
start_watchers(struct storaged *sd)
{
	struct ev_loop *loop = sd->d->loop;
	const struct backend_type *type = sd->backend->type;

	ev_io_init(&sd->bell, on_bell, sd->bell_in, EV_READ);
	ev_io_start(loop, &sd->bell);
	if (type->event_fd) {
		ev_io_init(&sd->results, on_results, type->event_fd(sd->backend), EV_READ);
		ev_io_start(loop, &sd->results);
	}
	ev_prepare_init(&sd->prepare, on_prepare);
	ev_check_init(&sd->check, on_check);
	ev_idle_init(&sd->idle, on_idle);
	sd->prepare.data = sd->check.data = sd;
	ev_prepare_start(loop, &sd->prepare);
	ev_check_start(loop, &sd->check);
}

/* The fence was taken in open, so everything that the previous incarnation
 * began has ended when the slots are looked at here. */
static int
storaged_start(struct daemon *d, Tgt__Ready *ready)
{
	struct storaged *sd = d->ctx;
	struct serve_conf conf = {
		.maps = sd->maps,
		.epoch = sd->epoch,
		.fresh = sd->fresh,
		.read_only = sd->conf.read_only,
		.backend = sd->backend,
	};
	int rc;

	sd->d = d;
	sd->serve = serve_new(&conf);
	if (!sd->serve)
		return -errno;
	for (unsigned i = 0; i < sd->n_pools; i++) {
		rc = serve_pool_add(sd->serve, sd->pools[i].id, sd->pools[i].base,
				    sd->pools[i].size);
		if (rc)
			return rc;
	}
	/* A violation found here is reported by the first turn: the store is
	 * in order, it is the peer that has to be replaced. */
	rc = serve_start(sd->serve);
	if (rc && rc != -EPROTO)
		return rc;
	start_watchers(sd);
	ready->store_size = sd->backend->size;
	ready->dev = sd->backend->dev;
	ready->ino = sd->backend->ino;
	ready->can_flush = sd->backend->caps & BLK_CAP_FLUSH;
	ready->lane_epoch = sd->epoch;
	ready->warning = sd->report.text;
	if (sd->report.text[0])
		log_warn("%s", sd->report.text);
	return 0;
}

/* SIGTERM, or ctld is gone: what is in flight ends first. */
static void
storaged_stop(struct daemon *d)
{
	struct storaged *sd = d->ctx;

	sd->stopping = true;
	serve_stop(sd->serve);
}

static const struct daemon_steps steps = {
	.name = "tgt-storaged",
	.summary = "Serves the block requests of one LUN from its backing store.",
	.role = TGT__ROLE__ROLE_STORAGED,
	.configure = storaged_configure,
	.open = storaged_open,
	.start = storaged_start,
	.message = storaged_message,
	.orphaned = storaged_stop,
	.stop = storaged_stop,
	.rules = rules,
	.n_rules = ARRAY_SIZE(rules),
};

int
main(int argc, char **argv)
{
	static struct storaged sd = { .bell_in = -1, .maps.bell_out = -1 };
	int rc = daemon_main(&steps, &sd, argc, argv);

	if (sd.backend)
		sd.backend->type->close(sd.backend);
	serve_free(sd.serve);
	for (unsigned i = 0; i < sd.n_pools; i++)
		shm_unmap(sd.pools[i].base, (size_t)sd.pools[i].size);
	if (sd.maps.sub)
		shm_unmap(sd.maps.sub, lane_sub_size(sd.maps.nslots));
	if (sd.maps.status)
		shm_unmap(sd.maps.status, lane_status_size(sd.maps.nslots));
	free(sd.backend_name);
	free(sd.path);
	return rc;
}
