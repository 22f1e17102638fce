/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lobby: owns a connection from accept to the full feature phase.  The
 * dialogue itself is portal/login.c; here are the socket, the timer, the caps,
 * and what a login needs from others (is there such a target, is there a nexus
 * for it).  Runs in the main thread; touches no lane.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "portal/addr.h"
#include "portal/portal.h"
#include "proto/log.h"

enum guest_state {
	GUEST_READ, /* a request is expected */
	GUEST_WAIT, /* for SessionOpened or DiscoveryOpened */
	GUEST_SEND, /* the response is leaving, more requests follow */
	GUEST_DONE, /* ... the last response: then the session begins */
	GUEST_BYE, /* ... a refusal: then it closes */
};

enum {
	ACCEPT_BATCH = 16,
	/* A dead peer holds its session, and its slots, no longer than this. */
	PEER_SILENCE_S = 60,
	PEER_PROBE_S = 15,
};

struct guest {
	struct list link;
	struct portal *portal;
	int fd;
	ev_io rd, wr;
	ev_timer timer;
	enum guest_state state;
	struct login *login;
	struct reg *reg; /* from login_commit on */
	uint64_t cookie; /* of SessionOpen or DiscoveryOpen */
	uint32_t *visible; /* what a discovery session may see */
	size_t n_visible;
	char address[80];
	uint32_t have, rest; /* bytes of the request so far; after the header */
	uint8_t raw[ISCSI_BHS_LEN];
	uint8_t data[ISCSI_LOGIN_DATA_MAX + ISCSI_AHS_MAX + 4];
	const uint8_t *out;
	size_t out_left;
};

static void accept_again(struct portal *p);

/* ---- the end of a guest ------------------------------------------------ */

/* Frees it; the socket stays open when @keep_fd. */
static void
guest_leave(struct guest *g, bool keep_fd)
{
	struct portal *p = g->portal;
	struct ev_loop *loop = p->daemon->loop;

	ev_io_stop(loop, &g->rd);
	ev_io_stop(loop, &g->wr);
	ev_timer_stop(loop, &g->timer);
	if (!keep_fd)
		close(g->fd);
	list_del(&g->link);
	p->n_guests--;
	login_free(g->login);
	free(g->visible);
	if (g->reg && !g->reg->handed) {
		g->reg->guest = NULL;
		portal_session_over(p, g->reg);
	}
	free(g);
	accept_again(p);
}

static void
on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct guest *g = container_of(w, struct guest, timer);

	log_limited(LOG_LEVEL_INFO, "login timed out: peer=%s initiator=%s", g->address,
		    login_initiator(g->login));
	guest_leave(g, false);
}

/* ---- sending ----------------------------------------------------------- */

static void
hand_over(struct guest *g)
{
	struct portal *p = g->portal;
	struct reg *r = g->reg;
	struct session_offer offer = {
		.id = r->id, .nexus = r->nexus, .fd = g->fd, .held = r->held,
		.visible = g->visible, .n_visible = g->n_visible,
		.login = *login_result(g->login),
	};

	log_limited(LOG_LEVEL_INFO, "session opened: nexus=%u initiator=%s target=%s peer=%s",
		    r->nexus, r->initiator, r->target[0] ? r->target : "(discovery)", g->address);
	r->handed = true;
	r->guest = NULL;
	g->visible = NULL;
	guest_leave(g, true);
	thread_add_session(&p->threads[r->thread], &offer);
	portal_barrier(p, r); /* what was heard of older ones meanwhile */
	if (r->closing) /* reinstated, or its target removed, meanwhile */
		thread_end_session(&p->threads[r->thread], r->id);
}

static void
send_out(struct guest *g)
{
	struct ev_loop *loop = g->portal->daemon->loop;

	while (g->out_left) {
		ssize_t n = send(g->fd, g->out, g->out_left, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			ev_io_start(loop, &g->wr);
			return;
		}
		if (n < 0) {
			guest_leave(g, false);
			return;
		}
		g->out += n;
		g->out_left -= (size_t)n;
	}
	ev_io_stop(loop, &g->wr);
	if (g->state == GUEST_DONE) {
		hand_over(g);
	} else if (g->state == GUEST_BYE) {
		shutdown(g->fd, SHUT_WR); /* then until it closes, or the timer */
		ev_io_start(loop, &g->rd);
	} else {
		g->state = GUEST_READ;
		ev_io_start(loop, &g->rd);
	}
}

static void
on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	send_out(container_of(w, struct guest, wr));
}

/* ---- the dialogue ------------------------------------------------------ */

static void act(struct guest *g, enum login_verdict v);

static void
refuse(struct guest *g, uint16_t status)
{
	act(g, login_refuse(g->login, status));
}

/* The session exists: the registry has it, older ones of its name end. */
static void
commit(struct guest *g, uint32_t nexus)
{
	struct portal *p = g->portal;
	const struct login_result *res = login_result(g->login);
	const struct catalog_target *t = catalog_find(&p->catalog, res->target);
	struct reg *r, *old = NULL;

	r = registry_add(&p->registry, res->initiator, res->isid, res->target, p->n_threads);
	if (!r) {
		portal_session_close(p, nexus);
		refuse(g, ISCSI_LOGIN_NO_RESOURCES);
		return;
	}
	g->reg = r;
	r->guest = g;
	r->nexus = nexus;
	while (nexus && (old = registry_same(&p->registry, r, old))) {
		if (old == r)
			break; /* those behind it are younger: there are none */
		r->held = true;
		if (!old->closing && old->handed)
			thread_end_session(&p->threads[old->thread], old->id);
		old->closing = true;
	}
	act(g, login_commit(g->login, r->tsih, t && t->alias[0] ? t->alias : NULL));
}

static void
session_open(struct guest *g, const struct login_result *res)
{
	struct portal *p = g->portal;
	Tgt__SessionOpen so = TGT__SESSION_OPEN__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	g->cookie = ++p->next_cookie;
	so.cookie = g->cookie;
	so.initiator = (char *)(uintptr_t)res->initiator;
	so.isid.data = (uint8_t *)(uintptr_t)res->isid;
	so.isid.len = sizeof(res->isid);
	so.target = (char *)(uintptr_t)res->target;
	so.tpgt = res->tpgt;
	so.address = g->address;
	msg.body_case = TGT__WORKER_MSG__BODY_SESSION_OPEN;
	msg.session_open = &so;
	g->state = GUEST_WAIT;
	if (daemon_send(p->daemon, &msg))
		refuse(g, ISCSI_LOGIN_UNAVAILABLE);
}

static void
discovery_open(struct guest *g, const struct login_result *res)
{
	struct portal *p = g->portal;
	Tgt__DiscoveryOpen d = TGT__DISCOVERY_OPEN__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	g->cookie = ++p->next_cookie;
	d.cookie = g->cookie;
	d.initiator = (char *)(uintptr_t)res->initiator;
	d.address = g->address;
	msg.body_case = TGT__WORKER_MSG__BODY_DISCOVERY_OPEN;
	msg.discovery_open = &d;
	g->state = GUEST_WAIT;
	if (daemon_send(p->daemon, &msg))
		refuse(g, ISCSI_LOGIN_UNAVAILABLE);
}

static void
want_session(struct guest *g)
{
	struct portal *p = g->portal;
	const struct login_result *res = login_result(g->login);

	if (res->tsih) /* a second connection: MaxConnections=1 */
		refuse(g, registry_by_tsih(&p->registry, res->tsih) ? ISCSI_LOGIN_TOO_MANY_CONNS :
								      ISCSI_LOGIN_NO_SESSION);
	else if (p->registry.n >= p->max_sessions)
		refuse(g, ISCSI_LOGIN_NO_RESOURCES);
	else if (res->discovery)
		discovery_open(g, res);
	else if (!catalog_find(&p->catalog, res->target))
		refuse(g, ISCSI_LOGIN_NOT_FOUND);
	else
		session_open(g, res);
}

static uint16_t
open_error(int err)
{
	if (err == ENOENT)
		return ISCSI_LOGIN_NOT_FOUND;
	if (err == EACCES)
		return ISCSI_LOGIN_FORBIDDEN;
	if (err == EUSERS || err == ENOMEM || err == EMFILE)
		return ISCSI_LOGIN_NO_RESOURCES;
	return ISCSI_LOGIN_UNAVAILABLE;
}

/* NULL: it has left meanwhile. */
static struct guest *
find_waiting(struct portal *p, uint64_t cookie)
{
	struct guest *g;

	list_for_each(g, &p->guests, link)
		if (g->state == GUEST_WAIT && g->cookie == cookie)
			return g;
	return NULL;
}

void
lobby_session_opened(struct portal *p, const Tgt__SessionOpened *m)
{
	struct guest *g = find_waiting(p, m->cookie);

	if (g && m->err == EREMOTE)
		act(g, login_redirect(g->login, m->permanent, m->redirect));
	else if (g && m->err)
		refuse(g, open_error(m->err));
	else if (g)
		commit(g, m->nexus);
	else if (!m->err)
		portal_session_close(p, m->nexus);
}

void
lobby_discovery_opened(struct portal *p, const Tgt__DiscoveryOpened *m)
{
	struct guest *g = find_waiting(p, m->cookie);

	if (!g)
		return;
	g->visible = reallocarray(NULL, m->n_target + 1, sizeof(*g->visible));
	if (!g->visible) {
		refuse(g, ISCSI_LOGIN_NO_RESOURCES);
		return;
	}
	if (m->n_target)
		memcpy(g->visible, m->target, m->n_target * sizeof(*g->visible));
	g->n_visible = m->n_target;
	commit(g, 0);
}

static void
act(struct guest *g, enum login_verdict v)
{
	static const enum guest_state next[] = {
		[LOGIN_SEND] = GUEST_SEND, [LOGIN_DONE] = GUEST_DONE,
		[LOGIN_REFUSED] = GUEST_BYE,
	};

	if (v == LOGIN_CLOSE) {
		guest_leave(g, false);
		return;
	}
	ev_io_stop(g->portal->daemon->loop, &g->rd);
	if (v == LOGIN_COMMIT) {
		want_session(g);
		return;
	}
	if (v == LOGIN_REFUSED)
		log_limited(LOG_LEVEL_INFO, "login refused: status=0x%04x peer=%s initiator=%s",
			    login_status(g->login), g->address, login_initiator(g->login));
	g->state = next[v];
	g->out = login_out(g->login, &g->out_left);
	send_out(g);
}

/* A whole request, or a header not worth its rest, is there. */
static void
request(struct guest *g, bool whole)
{
	enum login_verdict v = login_input(g->login, g->raw, whole ? g->data : NULL,
					   whole ? g->rest : 0);

	g->have = 0;
	act(g, v);
}

static void
on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct guest *g = container_of(w, struct guest, rd);
	bool header = g->have < ISCSI_BHS_LEN;
	uint8_t *to = header ? g->raw + g->have : g->data + (g->have - ISCSI_BHS_LEN);
	size_t want = header ? ISCSI_BHS_LEN - g->have : ISCSI_BHS_LEN + g->rest - g->have;
	ssize_t n;
	int rest;

	if (g->state == GUEST_BYE) { /* refused: waits for it to close */
		to = g->data;
		want = sizeof(g->data);
	}
	n = recv(g->fd, to, want, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		guest_leave(g, false);
		return;
	}
	if (g->state == GUEST_BYE)
		return;
	g->have += (uint32_t)n;
	if (g->have == ISCSI_BHS_LEN && header) {
		rest = login_rest(g->raw);
		g->rest = rest > 0 ? (uint32_t)rest : 0;
		if (rest < 0 || g->rest > sizeof(g->data)) {
			request(g, false);
			return;
		}
	}
	if (g->have >= ISCSI_BHS_LEN && g->have == ISCSI_BHS_LEN + g->rest)
		request(g, true);
}

/* ---- accepting --------------------------------------------------------- */

static void
peer_address(int fd, char *buf, size_t size)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	char host[INET6_ADDRSTRLEN];
	unsigned port;

	getpeername(fd, (struct sockaddr *)&sa, &len); /* failing leaves no family */
	addr_text(&sa, host, sizeof(host), &port);
	snprintf(buf, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static void
socket_options(int fd)
{
	static const struct {
		int level, name, value;
	} opts[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, PEER_SILENCE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, PEER_PROBE_S },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, PEER_SILENCE_S * 1000 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(opts); i++)
		setsockopt(fd, opts[i].level, opts[i].name, &opts[i].value, sizeof(int));
}

static void
guest_new(struct listener *l, int fd)
{
	struct portal *p = l->portal;
	struct guest *g = calloc(1, sizeof(*g));

	if (g)
		g->login = login_new(&p->limits, l->tpgt);
	if (!g || !g->login) {
		free(g);
		close(fd);
		return;
	}
	socket_options(fd);
	g->portal = p;
	g->fd = fd;
	peer_address(fd, g->address, sizeof(g->address));
	ev_io_init(&g->rd, on_readable, fd, EV_READ);
	ev_io_init(&g->wr, on_writable, fd, EV_WRITE);
	ev_timer_init(&g->timer, on_timer, p->login_timeout_s, 0.);
	ev_io_start(p->daemon->loop, &g->rd);
	ev_timer_start(p->daemon->loop, &g->timer);
	list_add_tail(&p->guests, &g->link);
	p->n_guests++;
}

static void
set_accepting(struct portal *p, bool on)
{
	int i;

	p->full = !on;
	for (i = 0; i < LISTENERS_MAX; i++) {
		if (p->listeners[i].fd < 0)
			continue;
		if (on)
			ev_io_start(p->daemon->loop, &p->listeners[i].io);
		else
			ev_io_stop(p->daemon->loop, &p->listeners[i].io);
	}
}

static void
accept_again(struct portal *p)
{
	if (p->full && p->n_guests < GUESTS_MAX)
		set_accepting(p, true);
}

/* No descriptors: takes the connection with the one in reserve, and closes it,
 * so that it does not wake us for ever. */
static void
turn_away(struct portal *p, int listen_fd)
{
	int fd;

	log_limited(LOG_LEVEL_WARN, "out of descriptors, connection turned away");
	close(p->reserve);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	p->reserve = dup(STDERR_FILENO);
}

/* The guest that has kept us waiting longest, with a request or with taking our
 * answer; NULL: all are waiting for us. */
static struct guest *
slowest(struct portal *p)
{
	struct guest *g;

	list_for_each(g, &p->guests, link)
		if (g->state != GUEST_WAIT)
			return g;
	return NULL;
}

/* Silent or deaf connections cannot keep an honest login out of a full lobby. */
static void
make_room(struct portal *p)
{
	struct guest *g = p->n_guests < GUESTS_MAX ? NULL : slowest(p);

	if (!g)
		return;
	log_limited(LOG_LEVEL_WARN, "lobby full (%u), unfinished login dropped: peer=%s",
		    GUESTS_MAX, g->address);
	guest_leave(g, false);
}

static void
on_accept(struct ev_loop *loop, ev_io *w, int revents)
{
	struct listener *l = container_of(w, struct listener, io);
	struct portal *p = l->portal;
	int i, fd;

	for (i = 0; i < ACCEPT_BATCH; i++) {
		if (p->n_guests >= GUESTS_MAX && !slowest(p)) {
			set_accepting(p, false);
			return;
		}
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			turn_away(p, l->fd);
			continue;
		}
		if (fd < 0)
			return; /* EAGAIN, or what befell that one connection */
		make_room(p);
		if (p->n_guests + p->registry.n >= p->max_connections) {
			log_limited(LOG_LEVEL_WARN, "too many connections (%u), one turned away",
				    p->max_connections);
			close(fd);
			continue;
		}
		guest_new(l, fd);
	}
}

int
lobby_listen(struct portal *p, const Tgt__ListenerAdd *add, int fd)
{
	struct listener *l = NULL;
	int i, err;

	for (i = 0; i < LISTENERS_MAX && !l; i++)
		if (p->listeners[i].fd < 0)
			l = &p->listeners[i];
	err = l ? catalog_portal(&p->catalog, add->id, add->addr, (uint16_t)add->port,
				 (uint16_t)add->tpgt) : -ENOSPC;
	if (err) {
		close(fd);
		return err;
	}
	l->portal = p;
	l->id = add->id;
	l->fd = fd;
	l->tpgt = (uint16_t)add->tpgt;
	ev_io_init(&l->io, on_accept, fd, EV_READ);
	if (p->daemon && p->daemon->loop && p->started && !p->full)
		ev_io_start(p->daemon->loop, &l->io);
	return 0;
}

void
lobby_unlisten(struct portal *p, uint32_t id)
{
	int i;

	for (i = 0; i < LISTENERS_MAX; i++) {
		struct listener *l = &p->listeners[i];

		if (l->fd < 0 || l->id != id)
			continue;
		ev_io_stop(p->daemon->loop, &l->io);
		close(l->fd);
		l->fd = -1;
		catalog_portal_remove(&p->catalog, id);
	}
}

void
lobby_start(struct portal *p)
{
	p->started = true;
	set_accepting(p, true);
}

void
lobby_stop(struct portal *p)
{
	struct guest *g;

	while ((g = list_first(&p->guests, struct guest, link)))
		guest_leave(g, false);
	set_accepting(p, false);
	p->started = false;
}
