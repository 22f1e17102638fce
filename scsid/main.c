/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-scsid: emulates one logical unit (or, as "inventory", answers for LUNs
 * that are absent).  This file joins the daemon's steps, the event loop and
 * the engine; it must not look at commands, and it opens nothing at all.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/daemon.h"
#include "proto/log.h"
#include "proto/shm.h"
#include "scsid/engine.h"

enum {
	LANE_FDS = 5,
	TURNS = 16, /* of the engine before the other watchers are looked at */
	STOP_MS = 1000, /* what has not ended by then is recovered by the next one */
};

/* The memory and the bell of one lane as mapped here. */
struct port {
	struct list link;
	bool broken; /* its submitter made it no lane: Violation at the start */
	uint32_t id; /* 0: the lower lane */
	struct lane_maps maps;
	void *pool; /* upper lanes */
	size_t pool_size;
	int bell_in;
	ev_io bell;
};

struct scsid {
	struct daemon *d;
	struct engine *engine;
	struct lu lu;
	char *name;
	uint32_t lower_epoch;
	bool started, stopping;
	struct list ports;

	ev_prepare prepare;
	ev_check check;
	ev_idle idle;
	ev_timer timer; /* engine_deadline */
	ev_timer stop;
};

/* ---- what the engine reports --------------------------------------------- */

static void
on_violation(void *ctx, uint32_t lane, const char *text)
{
	struct scsid *sc = ctx;
	Tgt__Violation body = TGT__VIOLATION__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	log_err("lane=%u is frozen: %s", lane, text);
	body.lane = lane;
	body.text = (char *)(uintptr_t)text;
	msg.body_case = TGT__WORKER_MSG__BODY_VIOLATION;
	msg.violation = &body;
	daemon_send(sc->d, &msg);
}

static void
close_port(struct scsid *sc, struct port *p)
{
	if (ev_is_active(&p->bell))
		ev_io_stop(sc->d->loop, &p->bell);
	if (p->bell_in >= 0)
		close(p->bell_in);
	if (p->maps.bell_out >= 0)
		close(p->maps.bell_out);
	if (p->maps.sub)
		shm_unmap(p->maps.sub, lane_sub_size(p->maps.nslots));
	if (p->maps.status)
		shm_unmap(p->maps.status, lane_status_size(p->maps.nslots));
	if (p->pool)
		shm_unmap(p->pool, p->pool_size);
	list_del(&p->link);
	free(p);
}

static struct port *
find_port(struct scsid *sc, uint32_t id)
{
	struct port *p;

	list_for_each(p, &sc->ports, link)
		if (p->id == id)
			return p;
	return NULL;
}

static void
send_lane_closed(struct scsid *sc, uint32_t lane)
{
	Tgt__LaneClosed body = TGT__LANE_CLOSED__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	body.lane = lane;
	msg.body_case = TGT__WORKER_MSG__BODY_LANE_CLOSED;
	msg.lane_closed = &body;
	daemon_send(sc->d, &msg);
}

static void
on_lane_closed(void *ctx, uint32_t lane)
{
	struct scsid *sc = ctx;

	close_port(sc, find_port(sc, lane));
	send_lane_closed(sc, lane);
}

static void
on_nexus_dropped(void *ctx, uint32_t nexus)
{
	struct scsid *sc = ctx;
	Tgt__NexusDropped body = TGT__NEXUS_DROPPED__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	body.nexus = nexus;
	msg.body_case = TGT__WORKER_MSG__BODY_NEXUS_DROPPED;
	msg.nexus_dropped = &body;
	daemon_send(sc->d, &msg);
}

static const struct engine_ops engine_ops = {
	.violation = on_violation,
	.lane_closed = on_lane_closed,
	.nexus_dropped = on_nexus_dropped,
};

/* ---- configuration -------------------------------------------------------- */

/* Maps a descriptor of a message and closes it: a mapping needs none. */
static int
map_fd(struct chan_msg *m, int i, size_t size, bool writable, void **p)
{
	int fd = chan_msg_take_fd(m, i), rc = 0;

	if (fd < 0)
		return -EPROTO;
	*p = shm_map(fd, size, writable);
	if (!*p)
		rc = -errno;
	close(fd);
	return rc;
}

static void
on_bell(struct ev_loop *loop, ev_io *w, int revents)
{
	uint64_t count;

	/* It carries no information: the turn before the next sleep looks. */
	if (read(w->fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		log_limited(LOG_LEVEL_ERR, "the doorbell cannot be read: %s", strerror(errno));
}

/* The descriptors of ScsidConfig and LaneOpen: two halves, pool, two bells.
 * scsid is the submitter of lane 0 and the server of the others. */
static int
open_port(struct scsid *sc, uint32_t id, uint32_t nslots, uint64_t pool_size,
	  struct chan_msg *m, struct port **out)
{
	struct port *p;
	int rc;

	if (m->n_fds != LANE_FDS || nslots < LANE_SLOTS_MIN || nslots > LANE_SLOTS_MAX ||
	    (id && (!pool_size || pool_size > SIZE_MAX)))
		return -EPROTO;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->id = id;
	p->maps.nslots = nslots;
	p->maps.bell_out = p->bell_in = -1;
	list_add_tail(&sc->ports, &p->link);
	ev_io_init(&p->bell, on_bell, -1, EV_READ);
	rc = map_fd(m, 0, lane_sub_size(nslots), id == 0, &p->maps.sub);
	if (!rc)
		rc = map_fd(m, 1, lane_status_size(nslots), id != 0, &p->maps.status);
	if (!rc && id) { /* the scratch pool has no use here yet: not mapped */
		p->pool_size = (size_t)pool_size;
		rc = map_fd(m, 2, p->pool_size, true, &p->pool);
	}
	p->bell_in = chan_msg_take_fd(m, 3);
	p->maps.bell_out = chan_msg_take_fd(m, 4);
	if (rc) {
		close_port(sc, p);
		return rc;
	}
	ev_io_set(&p->bell, p->bell_in, EV_READ);
	*out = p;
	return 0;
}

/* A fixed field of INQUIRY data: left-aligned, padded with blanks (SPC-4
 * 4.3.1); the serial number is as long as it is. */
static void
pad(char *dst, size_t size, const char *src, bool fill)
{
	size_t len = strnlen(src, size - 1);

	memcpy(dst, src, len);
	memset(dst + len, fill ? ' ' : 0, size - 1 - len);
	dst[size - 1] = 0;
}

static int
fill_lu(struct scsid *sc, const Tgt__ScsidConfig *c)
{
	struct lu *lu = &sc->lu;
	uint32_t bs = c->block_size;

	if (c->inventory)
		bs = 512;
	if (bs < 512 || bs & (bs - 1) || (!c->inventory && !c->max_transfer))
		return -EPROTO;
	sc->name = strdup(c->lun);
	if (!sc->name)
		return -ENOMEM;
	lu->name = sc->name;
	lu->inventory = c->inventory;
	lu->read_only = c->read_only;
	lu->can_flush = c->can_flush;
	lu->thin = c->thin;
	lu->block_size = bs;
	lu->phys_exp = c->phys_exp;
	lu->blocks = c->store_size / bs;
	lu->max_transfer = c->max_transfer;
	pad(lu->vendor, sizeof(lu->vendor), c->vendor, true);
	pad(lu->product, sizeof(lu->product), c->product, true);
	pad(lu->revision, sizeof(lu->revision), c->revision, true);
	pad(lu->serial, sizeof(lu->serial), c->serial, false);
	lu->naa = c->naa;
	lu->naa_ext = c->naa_ext;
	return 0;
}

static int
on_config(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__ScsidConfig *c = msg->scsid_config;
	struct port *p;
	int rc;

	if (sc->engine)
		return -EPROTO;
	rc = fill_lu(sc, c);
	if (rc)
		return rc;
	sc->engine = engine_new(&sc->lu, &engine_ops, sc);
	if (!sc->engine)
		return -errno;
	if (c->inventory)
		return m->n_fds ? -EPROTO : 0;
	rc = open_port(sc, 0, c->nslots, 0, m, &p);
	if (rc)
		return rc;
	sc->lower_epoch = c->epoch;
	return engine_lower(sc->engine, &p->maps, c->epoch, c->fresh);
}

static int
add_lane(struct scsid *sc, const Tgt__LaneOpen *o, struct chan_msg *m)
{
	struct engine_lane_conf conf = {
		.id = o->lane,
		.epoch = o->epoch,
		.fresh = o->fresh,
		.pool = o->pool,
		.pool_size = o->pool_size,
	};
	struct port *p;
	int rc;

	if (!o->lane)
		return -EPROTO;
	if (find_port(sc, o->lane))
		return -EEXIST;
	rc = open_port(sc, o->lane, o->nslots, o->pool_size, m, &p);
	if (rc)
		return rc;
	conf.maps = p->maps;
	conf.pool_base = p->pool;
	rc = engine_lane_add(sc->engine, &conf);
	/* What a portal did to its half must not keep the others from service. */
	p->broken = rc == -EPROTO && !sc->started;
	if (p->broken)
		rc = 0;
	if (rc)
		close_port(sc, p);
	else if (sc->started)
		ev_io_start(sc->d->loop, &p->bell);
	return rc;
}

static int
on_lane_open(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	Tgt__LaneOpened body = TGT__LANE_OPENED__INIT;
	Tgt__WorkerMsg reply = TGT__WORKER_MSG__INIT;
	int rc = add_lane(sc, msg->lane_open, m);

	if (!sc->started) /* during configuration a failure ends the start */
		return rc;
	if (rc)
		log_err("lane=%u cannot be opened: %s", msg->lane_open->lane, strerror(-rc));
	body.lane = msg->lane_open->lane;
	body.err = -rc;
	reply.body_case = TGT__WORKER_MSG__BODY_LANE_OPENED;
	reply.lane_opened = &body;
	return daemon_send(sc->d, &reply);
}

static int
on_lane_close(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	uint32_t lane = msg->lane_close->lane;
	struct port *p = lane ? find_port(sc, lane) : NULL;

	if (!lane)
		return -EPROTO;
	if (!engine_lane_close(sc->engine, lane))
		return 0; /* on_lane_closed answers */
	if (p)
		close_port(sc, p);
	send_lane_closed(sc, lane);
	return 0;
}

static int
on_nexus_add(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__NexusAdd *a = msg->nexus_add;
	struct nexus_conf conf = {
		.id = a->nexus,
		.lane = a->lane,
		.initiator_port = a->initiator_port,
		.target_port = a->target_port,
		.relative_port = (uint16_t)a->relative_port,
		.read_only = a->read_only,
		.fresh = a->fresh,
		.luns_generation = a->luns_generation,
		.luns = a->lun,
		.n_luns = (uint32_t)a->n_lun,
	};
	Tgt__NexusAdded body = TGT__NEXUS_ADDED__INIT;
	Tgt__WorkerMsg reply = TGT__WORKER_MSG__INIT;
	int rc = engine_nexus_add(sc->engine, &conf);

	if (!sc->started)
		return rc;
	if (rc)
		log_err("nexus=%u cannot be added: %s", a->nexus, strerror(-rc));
	body.nexus = a->nexus;
	body.err = -rc;
	reply.body_case = TGT__WORKER_MSG__BODY_NEXUS_ADDED;
	reply.nexus_added = &body;
	return daemon_send(sc->d, &reply);
}

static int
on_nexus_drop(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	if (engine_nexus_drop(sc->engine, msg->nexus_drop->nexus))
		on_nexus_dropped(sc, msg->nexus_drop->nexus);
	return 0;
}

static int
on_lun_list(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__LunList *l = msg->lun_list;
	int rc = engine_nexus_luns(sc->engine, l->nexus, l->luns_generation, l->lun,
				   (uint32_t)l->n_lun);

	return rc == -ENOENT ? 0 : rc; /* it has been dropped meanwhile */
}

static int
on_lane_epoch(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	int rc = engine_lane_epoch(sc->engine, msg->lane_epoch->lane, msg->lane_epoch->epoch);

	return rc == -ENOENT ? 0 : rc; /* it has been closed meanwhile */
}

static const struct {
	Tgt__WorkerMsg__BodyCase body;
	bool before, after; /* ConfigDone */
	int (*handle)(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m);
} messages[] = {
	{ TGT__WORKER_MSG__BODY_SCSID_CONFIG, true, false, on_config },
	{ TGT__WORKER_MSG__BODY_LANE_OPEN, true, true, on_lane_open },
	{ TGT__WORKER_MSG__BODY_LANE_CLOSE, false, true, on_lane_close },
	{ TGT__WORKER_MSG__BODY_NEXUS_ADD, true, true, on_nexus_add },
	{ TGT__WORKER_MSG__BODY_NEXUS_DROP, false, true, on_nexus_drop },
	{ TGT__WORKER_MSG__BODY_LUN_LIST, true, true, on_lun_list },
	{ TGT__WORKER_MSG__BODY_LANE_EPOCH, true, true, on_lane_epoch },
};

static int
dispatch(struct scsid *sc, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	bool first = msg->body_case == TGT__WORKER_MSG__BODY_SCSID_CONFIG;

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].body == msg->body_case && (sc->engine || first) &&
		    (sc->started ? messages[i].after : messages[i].before))
			return messages[i].handle(sc, msg, m);
	return -EPROTO;
}

static int
scsid_configure(struct daemon *d, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	struct scsid *sc = d->ctx;

	sc->d = d;
	return dispatch(sc, msg, m);
}

static int
scsid_message(struct daemon *d, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	return dispatch(d->ctx, msg, m);
}

/* ---- the loop --------------------------------------------------------------- */

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
set_timer(struct scsid *sc, uint64_t now)
{
	uint64_t at = engine_deadline(sc->engine);

	if (at == UINT64_MAX) {
		ev_timer_stop(sc->d->loop, &sc->timer);
		return;
	}
	sc->timer.repeat = at > now ? (double)(at - now) / 1e9 : 0.0001;
	ev_timer_again(sc->d->loop, &sc->timer);
}

/* Before the loop blocks: turns until one does nothing, then to sleep.  An
 * active idle watcher makes the loop look at the others without blocking. */
static void
on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct scsid *sc = w->data;
	uint64_t now = now_ns();
	unsigned turns = 0, did;

	do
		did = engine_turn(sc->engine, now);
	while (did && ++turns < TURNS);
	set_timer(sc, now);
	if (sc->stopping && !engine_busy(sc->engine))
		ev_break(loop, EVBREAK_ALL);
	if (did || !engine_sleep(sc->engine))
		ev_idle_start(loop, &sc->idle);
	else
		ev_idle_stop(loop, &sc->idle);
}

static void
on_check(struct ev_loop *loop, ev_check *w, int revents)
{
	struct scsid *sc = w->data;

	engine_wake(sc->engine);
}

static void
on_idle(struct ev_loop *loop, ev_idle *w, int revents)
{
}

static void
on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	/* It woke the loop; the turn before the next sleep looks at the clock. */
}

static void
on_stop(struct ev_loop *loop, ev_timer *w, int revents)
{
	ev_break(loop, EVBREAK_ALL);
}

/* The engine takes its first turn in the loop, after READY: only then may it
 * submit, because only then does ctld know that the lanes are in use. */
static int
scsid_start(struct daemon *d, Tgt__Ready *ready)
{
	struct scsid *sc = d->ctx;
	struct port *p;

	if (!sc->engine)
		return -EPROTO; /* ConfigDone without ScsidConfig */
	sc->started = true;
	list_for_each(p, &sc->ports, link) {
		if (p->broken)
			on_violation(sc, p->id, "its half is not a lane");
		else
			ev_io_start(d->loop, &p->bell);
	}
	ev_prepare_init(&sc->prepare, on_prepare);
	ev_check_init(&sc->check, on_check);
	ev_idle_init(&sc->idle, on_idle);
	ev_timer_init(&sc->timer, on_timer, 0., 0.);
	ev_timer_init(&sc->stop, on_stop, STOP_MS / 1000., 0.);
	sc->prepare.data = sc->check.data = sc;
	ev_prepare_start(d->loop, &sc->prepare);
	ev_check_start(d->loop, &sc->check);
	engine_start(sc->engine);
	ready->store_size = sc->lu.blocks * sc->lu.block_size;
	ready->can_flush = sc->lu.can_flush;
	ready->lane_epoch = sc->lower_epoch;
	return 0;
}

/* SIGTERM, or ctld is gone: what is with the store ends first.  The rest stays
 * in the lanes, for the next incarnation. */
static void
scsid_stop(struct daemon *d)
{
	struct scsid *sc = d->ctx;

	sc->stopping = true;
	engine_stop(sc->engine);
	ev_timer_start(d->loop, &sc->stop);
}

static const struct daemon_steps steps = {
	.name = "tgt-scsid",
	.summary = "Emulates one logical unit.",
	.role = TGT__ROLE__ROLE_SCSID,
	.configure = scsid_configure,
	.start = scsid_start,
	.message = scsid_message,
	.orphaned = scsid_stop,
	.stop = scsid_stop,
	.rules = NULL, /* sandbox_common is all it needs: memory, bells, the channel */
	.n_rules = 0,
};

int
main(int argc, char **argv)
{
	static struct scsid sc;
	struct port *p;
	int rc;

	list_init(&sc.ports);
	rc = daemon_main(&steps, &sc, argc, argv);
	engine_free(sc.engine);
	list_for_each(p, &sc.ports, link)
		close_port(&sc, p);
	free(sc.name);
	return rc;
}
