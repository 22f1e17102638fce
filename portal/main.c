/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-portal: terminates iSCSI.  The main thread talks to ctld, accepts and
 * logs in; N threads have the sessions.  This file is the daemon's steps, the
 * messages, and the system calls it may make.  It opens no file and connects
 * to nothing once it serves.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "portal/cmdsn.h"
#include "portal/portal.h"
#include "proto/log.h"
#include "proto/util.h"

static const struct sandbox_rule rules[] = {
	SANDBOX_THREADS, /* the event-loop threads are created after lock-down */
	SANDBOX_ALLOW(accept4), /* on the listeners it was given */
	SANDBOX_ALLOW(setsockopt), /* TCP_NODELAY, keep-alive of a new connection */
	SANDBOX_ALLOW(getsockname), /* SendTargets on a wildcard listener */
	SANDBOX_ALLOW(getpeername), /* who logs in */
	SANDBOX_ALLOW_IF(ioctl, 1, UINT64_MAX, SIOCOUTQ), /* does a silent peer still take data? */
	SANDBOX_ALLOW(sendto), /* send(2) of login responses */
	SANDBOX_ALLOW(recvfrom), /* recv(2) of login requests */
	SANDBOX_ALLOW(dup), /* the descriptor in reserve, after it was used */
};

/* ---- to ctld ----------------------------------------------------------- */

void
portal_session_close(struct portal *p, uint32_t nexus)
{
	Tgt__SessionClose sc = TGT__SESSION_CLOSE__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	if (!nexus)
		return; /* a discovery session: ctld does not know of it */
	sc.nexus = nexus;
	msg.body_case = TGT__WORKER_MSG__BODY_SESSION_CLOSE;
	msg.session_close = &sc;
	daemon_send(p->daemon, &msg);
}

void
portal_session_over(struct portal *p, struct reg *g)
{
	struct reg *other = NULL, *heir = NULL;

	log_limited(LOG_LEVEL_INFO, "session closed: nexus=%u initiator=%s target=%s", g->nexus,
		    g->initiator, g->target[0] ? g->target : "(discovery)");
	portal_session_close(p, g->nexus);
	while (g->nexus && (other = registry_same(&p->registry, g, other)))
		heir = other == g ? heir : other;
	registry_remove(&p->registry, g);
	if (heir)
		portal_barrier(p, heir);
}

void
portal_barrier(struct portal *p, struct reg *heir)
{
	unsigned older;
	uint64_t *lun;
	size_t n;

	if (!heir->held || !registry_barrier(&p->registry, heir, &older, &lun, &n))
		return;
	heir->held = older > 0;
	if (heir->handed)
		thread_go_session(&p->threads[heir->thread], heir->id, lun, n);
	free(lun);
}

static void
up_lun_open(struct portal *p, const struct up *u)
{
	Tgt__LunOpen lo = TGT__LUN_OPEN__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	/* The thread's number makes its cookies unique in the process. */
	lo.cookie = u->id << 8 | u->th->index;
	lo.nexus = u->nexus;
	lo.lun = u->lun;
	lo.thread = u->th->index;
	msg.body_case = TGT__WORKER_MSG__BODY_LUN_OPEN;
	msg.lun_open = &lo;
	if (daemon_send(p->daemon, &msg))
		thread_lun_opened(u->th, u->id, EIO, 0, NULL);
}

static void
up_session_over(struct portal *p, const struct up *u)
{
	struct reg *g = registry_find(&p->registry, u->id);

	if (g)
		portal_session_over(p, g);
}

/* It has commands left on these LUNs: the youngest of its name may use the others. */
static void
up_session_busy(struct portal *p, const struct up *u)
{
	struct reg *g = registry_find(&p->registry, u->id), *other = g, *heir = NULL;

	if (!g)
		return;
	registry_busy(g, u->busy, u->n_busy);
	while ((other = registry_same(&p->registry, g, other)))
		heir = other;
	if (heir)
		portal_barrier(p, heir);
}

static void
up_lane_released(struct portal *p, const struct up *u)
{
	Tgt__LaneReleased lr = TGT__LANE_RELEASED__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	lr.lane = u->lane;
	msg.body_case = TGT__WORKER_MSG__BODY_LANE_RELEASED;
	msg.lane_released = &lr;
	daemon_send(p->daemon, &msg);
}

static void
up_violation(struct portal *p, const struct up *u)
{
	Tgt__Violation v = TGT__VIOLATION__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	v.lane = u->lane;
	v.text = (char *)(uintptr_t)u->text;
	msg.body_case = TGT__WORKER_MSG__BODY_VIOLATION;
	msg.violation = &v;
	daemon_send(p->daemon, &msg);
}

static void
on_up(void *owner, struct mail *m)
{
	static void (*const table[])(struct portal *, const struct up *) = {
		[UP_LUN_OPEN] = up_lun_open,
		[UP_SESSION_BUSY] = up_session_busy,
		[UP_SESSION_OVER] = up_session_over,
		[UP_LANE_RELEASED] = up_lane_released,
		[UP_VIOLATION] = up_violation,
	};
	struct up *u = container_of(m, struct up, mail);

	table[u->kind](owner, u);
	free(u);
}

/* ---- from ctld --------------------------------------------------------- */

static int
on_portal_config(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__PortalConfig *c = msg->portal_config;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (p->started)
		return -EPROTO;
	p->n_threads = c->threads ? c->threads : (unsigned)MAX(cores, 1L);
	p->n_threads = MIN(p->n_threads, (unsigned)THREAD_MAX);
	if (c->max_sessions)
		p->max_sessions = c->max_sessions;
	if (c->max_connections)
		p->max_connections = c->max_connections;
	if (c->login_timeout_s)
		p->login_timeout_s = c->login_timeout_s;
	p->ping = (struct ping_policy){ .interval_s = c->ping_interval_s,
					.timeout_s = c->ping_timeout_s };
	return 0;
}

static int
on_listener_add(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	int fd = chan_msg_take_fd(m, 0);

	return fd < 0 ? -EPROTO : lobby_listen(p, msg->listener_add, fd);
}

static int
on_listener_remove(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	lobby_unlisten(p, msg->listener_remove->id);
	return 0;
}

static int
on_target_update(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__TargetUpdate *t = msg->target_update;

	return catalog_target(&p->catalog, t->id, t->name, t->alias, (uint16_t)t->tpgt);
}

static int
on_target_list(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__TargetList *l = msg->target_list;
	int err = 0;

	for (size_t i = 0; !err && i < l->n_target; i++)
		err = catalog_target(&p->catalog, l->target[i]->id, l->target[i]->name,
				     l->target[i]->alias, (uint16_t)l->target[i]->tpgt);
	return err;
}

static void
end_session(struct portal *p, struct reg *g)
{
	if (g->closing)
		return;
	g->closing = true;
	if (g->handed)
		thread_end_session(&p->threads[g->thread], g->id);
}

/* Its sessions end: what they were logged in to is gone. */
static int
on_target_remove(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const char *name = msg->target_remove->name;
	struct reg *g;

	catalog_target_remove(&p->catalog, name);
	list_for_each(g, &p->registry.sessions, link)
		if (!strcmp(g->target, name))
			end_session(p, g);
	return 0;
}

static int
on_session_end(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	uint32_t nexus = msg->session_end->nexus;
	struct reg *g;

	list_for_each(g, &p->registry.sessions, link)
		if (nexus && g->nexus == nexus)
			end_session(p, g);
	return 0;
}

static int
on_session_opened(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	lobby_session_opened(p, msg->session_opened);
	return 0;
}

static int
on_discovery_opened(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	lobby_discovery_opened(p, msg->discovery_opened);
	return 0;
}

static int
on_lun_opened(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__LunOpened *o = msg->lun_opened;
	struct plane_config cfg = { .lane = o->lane, .epoch = o->epoch, .nslots = o->nslots,
				    .pool = o->pool, .pool_size = o->pool_size };
	unsigned thread = o->cookie & 0xff;
	int i;

	if (thread >= p->n_threads)
		return -EPROTO;
	if (o->err || !o->is_new) {
		thread_lun_opened(&p->threads[thread], o->cookie >> 8, o->err, o->lane, NULL);
		return 0;
	}
	if (m->n_fds != (int)ARRAY_SIZE(cfg.fds) || o->nslots < LANE_SLOTS_MIN ||
	    o->nslots > LANE_SLOTS_MAX)
		return -EPROTO;
	for (i = 0; i < (int)ARRAY_SIZE(cfg.fds); i++)
		cfg.fds[i] = chan_msg_take_fd(m, i);
	thread_lun_opened(&p->threads[thread], o->cookie >> 8, 0, o->lane, &cfg);
	return 0;
}

static int
on_lun_invalidate(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	const Tgt__LunInvalidate *l = msg->lun_invalidate;
	unsigned i;

	for (i = 0; i < p->n_threads; i++)
		thread_invalidate(&p->threads[i], l->target, l->lun, l->n_lun);
	return 0;
}

/* Only one thread has the lane; the others ignore it. */
static int
on_lane_epoch(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	unsigned i;

	for (i = 0; i < p->n_threads; i++)
		thread_epoch(&p->threads[i], msg->lane_epoch->lane, msg->lane_epoch->epoch);
	return 0;
}

static int
on_lane_revoke(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	unsigned i;

	for (i = 0; i < p->n_threads; i++)
		thread_revoke(&p->threads[i], msg->lane_revoke->lane);
	return 0;
}

static const struct verb {
	Tgt__WorkerMsg__BodyCase kind;
	bool serving; /* only after start-up */
	int (*run)(struct portal *p, const Tgt__WorkerMsg *msg, struct chan_msg *m);
} verbs[] = {
	{ TGT__WORKER_MSG__BODY_PORTAL_CONFIG, false, on_portal_config },
	{ TGT__WORKER_MSG__BODY_LISTENER_ADD, false, on_listener_add },
	{ TGT__WORKER_MSG__BODY_LISTENER_REMOVE, true, on_listener_remove },
	{ TGT__WORKER_MSG__BODY_TARGET_UPDATE, false, on_target_update },
	{ TGT__WORKER_MSG__BODY_TARGET_LIST, false, on_target_list },
	{ TGT__WORKER_MSG__BODY_TARGET_REMOVE, true, on_target_remove },
	{ TGT__WORKER_MSG__BODY_SESSION_OPENED, true, on_session_opened },
	{ TGT__WORKER_MSG__BODY_SESSION_END, true, on_session_end },
	{ TGT__WORKER_MSG__BODY_DISCOVERY_OPENED, true, on_discovery_opened },
	{ TGT__WORKER_MSG__BODY_LUN_OPENED, true, on_lun_opened },
	{ TGT__WORKER_MSG__BODY_LUN_INVALIDATE, true, on_lun_invalidate },
	{ TGT__WORKER_MSG__BODY_LANE_EPOCH, true, on_lane_epoch },
	{ TGT__WORKER_MSG__BODY_LANE_REVOKE, true, on_lane_revoke },
};

static int
message(struct daemon *d, const Tgt__WorkerMsg *msg, struct chan_msg *m)
{
	struct portal *p = d->ctx;
	size_t i;

	p->daemon = d;
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].kind == msg->body_case)
			return verbs[i].serving && !p->started ? -EPROTO :
								 verbs[i].run(p, msg, m);
	return -EPROTO;
}

/* ---- steps ------------------------------------------------------------- */

static int
open_loops(struct daemon *d, Tgt__Failed *failed)
{
	struct portal *p = d->ctx;
	struct rlimit files;
	unsigned i;
	int err;

	if (!p->n_threads)
		return -EPROTO; /* ctld sends PortalConfig first */
	/* Connections and, for each lane, two doorbells. */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	p->reserve = dup(STDERR_FILENO);
	for (i = 0; i < p->n_threads; i++) {
		err = thread_init(&p->threads[i], i, &p->box, on_up, &p->catalog, &p->limits);
		if (err)
			return err;
		p->threads[i].ping = p->ping;
	}
	return 0;
}

static int
start(struct daemon *d, Tgt__Ready *ready)
{
	struct portal *p = d->ctx;
	unsigned i;
	int err;

	p->daemon = d;
	mailbox_init(&p->box, d->loop, p);
	for (i = 0; i < p->n_threads; i++) {
		err = thread_start(&p->threads[i]);
		if (err)
			return err;
	}
	lobby_start(p);
	return 0;
}

/* Initiators see their connections end; scsid cancels what they had when ctld
 * tells it of our death. */
static void
stop(struct daemon *d)
{
	struct portal *p = d->ctx;
	unsigned i;

	lobby_stop(p);
	for (i = 0; i < p->n_threads; i++)
		thread_stop(&p->threads[i]);
	daemon_exit(d, 0);
}

static const struct daemon_steps steps = {
	.name = "tgt-portal",
	.summary = "Terminates iSCSI connections and hands commands to the logical units.",
	.role = TGT__ROLE__ROLE_PORTAL,
	.configure = message,
	.open = open_loops,
	.start = start,
	.message = message,
	.orphaned = stop,
	.stop = stop,
	/* A connection changes threads at login.  libev's epoll backend would
	 * keep its descriptor registered here, and act on it when it belongs to
	 * another thread, or to another connection of that number. */
	.loop_backend = EVBACKEND_POLL,
	.rules = rules,
	.n_rules = ARRAY_SIZE(rules),
};

int
main(int argc, char **argv)
{
	static struct portal portal = {
		.max_sessions = SESSIONS_MAX,
		.max_connections = CONNECTIONS_MAX,
		.login_timeout_s = LOGIN_TIMEOUT_S,
	};
	int i;

	for (i = 0; i < LISTENERS_MAX; i++)
		portal.listeners[i].fd = -1;
	list_init(&portal.guests);
	catalog_init(&portal.catalog);
	registry_init(&portal.registry);
	login_limits_default(&portal.limits);
	portal.limits.cmd_window = CMDSN_WINDOW;
	return daemon_main(&steps, &portal, argc, argv);
}
