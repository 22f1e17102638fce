/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's side of the conversation with tgt-ctld (proto/worker.proto,
 * "ctld -> supervisor" and back), and the TCP listeners that ctld asks for.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/run.h"
#include "proto/log.h"

enum { LISTEN_BACKLOG = 1024 };

/* ---- to ctld ------------------------------------------------------------ */

static void
tell(struct run *r, const Tgt__WorkerMsg *msg, const int *fds, int n)
{
	int err;

	if (r->sup.fd < 0)
		return; /* the next one hears what still holds then */
	err = chan_send(&r->sup, &msg->base, fds, n);
	if (err && err != -EPIPE) /* that it is gone is told elsewhere */
		log_err("a message to tgt-ctld is lost: %s", strerror(-err));
}

void
run_ctld_tell_started(struct run *r, const struct run_unit *u)
{
	Tgt__UnitStarted started = TGT__UNIT_STARTED__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	started.unit = (char *)(uintptr_t)u->name;
	started.pid = u->pid;
	msg.body_case = TGT__WORKER_MSG__BODY_UNIT_STARTED;
	msg.unit_started = &started;
	tell(r, &msg, NULL, 0);
}

void
run_ctld_tell_exited(struct run *r, const char *unit, pid_t pid, Tgt__DeathCause cause, int code,
		     bool will_restart, double delay)
{
	Tgt__UnitExited exited = TGT__UNIT_EXITED__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	exited.unit = (char *)(uintptr_t)unit;
	exited.pid = pid;
	exited.cause = cause;
	exited.code = code;
	exited.will_restart = will_restart;
	exited.restart_ms = will_restart ? (uint32_t)(delay * 1000) : 0;
	msg.body_case = TGT__WORKER_MSG__BODY_UNIT_EXITED;
	msg.unit_exited = &exited;
	tell(r, &msg, NULL, 0);
}

void
run_ctld_tell_terminate(struct run *r)
{
	Tgt__Terminate terminate = TGT__TERMINATE__INIT;
	Tgt__WorkerMsg msg = TGT__WORKER_MSG__INIT;

	msg.body_case = TGT__WORKER_MSG__BODY_TERMINATE;
	msg.terminate = &terminate;
	tell(r, &msg, NULL, 0);
}

bool
run_ctld_flushed(const struct run *r)
{
	return r->sup.fd < 0 || r->sup.dead || !r->sup.n_out;
}

/* ---- listeners ---------------------------------------------------------- */

static void
listener_forget(struct run *r, struct run_listener *l)
{
	list_del(&l->link);
	r->n_listeners--;
	close(l->fd);
	free(l->name);
	free(l);
}

static struct run_listener *
listener_find(struct run *r, const char *name)
{
	struct run_listener *l;

	list_for_each(l, &r->listeners, link) {
		if (!strcmp(l->name, name))
			return l;
	}
	return NULL;
}

static int
listener_socket(const struct addrinfo *ai)
{
	const int on = 1;
	int err = 0;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (ai->ai_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int
bound_port(int fd, uint32_t *port)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, &a.sa, &len) < 0)
		return -errno;
	*port = ntohs(a.sa.sa_family == AF_INET6 ? a.in6.sin6_port : a.in.sin_port);
	return 0;
}

/* A descriptor that listens on a numeric address, or -errno. */
static int
listener_open(const char *addr, uint32_t port, uint32_t *real_port)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *ai;
	char service[16];
	int fd, err;

	if (port > 65535 || !*addr)
		return -EINVAL;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(addr, service, &hints, &ai))
		return -EINVAL;
	fd = listener_socket(ai);
	freeaddrinfo(ai);
	if (fd < 0)
		return fd;
	err = bound_port(fd, real_port);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int
listener_add(struct run *r, const Tgt__ListenerOpen *want, struct run_listener **out)
{
	struct run_listener *l = listener_find(r, want->name);
	int fd;

	*out = l;
	if (l)
		return !strcmp(l->addr, want->addr) && (!want->port || want->port == l->port) ?
			       0 : -EEXIST;
	if (!*want->name || strlen(want->addr) >= sizeof(l->addr))
		return -EINVAL;
	if (r->n_listeners >= RUN_LISTENERS_MAX)
		return -EMFILE;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->name = strdup(want->name);
	strcpy(l->addr, want->addr);
	fd = l->name ? listener_open(want->addr, want->port, &l->port) : -ENOMEM;
	if (fd < 0) {
		free(l->name);
		free(l);
		return fd;
	}
	l->fd = fd;
	list_add_tail(&r->listeners, &l->link);
	r->n_listeners++;
	*out = l;
	return 0;
}

void
run_listeners_free(struct run *r)
{
	struct run_listener *l;

	list_for_each(l, &r->listeners, link)
		listener_forget(r, l);
}

/* ---- from ctld ---------------------------------------------------------- */

static void
on_unit_start(struct run *r, const Tgt__WorkerMsg *msg)
{
	const char *unit = msg->unit_start->unit;
	struct run_unit_name id;
	int err = run_parse_unit(unit, &id);

	if (r->stopping) /* it has been told, with Terminate */
		return;
	if (!err)
		err = run_unit_start(r, &id);
	if (!err)
		return;
	log_err("cannot start a unit: unit=%s: %s", unit, strerror(-err));
	run_ctld_tell_exited(r, unit, 0, TGT__DEATH_CAUSE__DEATH_EXIT, -err, false, 0);
}

static void
on_unit_stop(struct run *r, const Tgt__WorkerMsg *msg)
{
	struct run_unit_name id;

	if (run_parse_unit(msg->unit_stop->unit, &id))
		log_err("tgt-ctld stops what is no unit: unit=%s", msg->unit_stop->unit);
	else
		run_unit_stop(r, &id);
}

static void
on_unit_kill(struct run *r, const Tgt__WorkerMsg *msg)
{
	struct run_unit_name id;

	if (run_parse_unit(msg->unit_kill->unit, &id))
		log_err("tgt-ctld kills what is no unit: unit=%s", msg->unit_kill->unit);
	else
		run_unit_kill(r, &id, msg->unit_kill->why);
}

static void
on_listener_open(struct run *r, const Tgt__WorkerMsg *msg)
{
	const Tgt__ListenerOpen *want = msg->listener_open;
	Tgt__ListenerOpened opened = TGT__LISTENER_OPENED__INIT;
	Tgt__WorkerMsg answer = TGT__WORKER_MSG__INIT;
	struct run_listener *l = NULL;
	int err = listener_add(r, want, &l);

	opened.name = want->name;
	opened.addr = want->addr;
	opened.port = err ? want->port : l->port;
	opened.err = -err;
	answer.body_case = TGT__WORKER_MSG__BODY_LISTENER_OPENED;
	answer.listener_opened = &opened;
	tell(r, &answer, err ? NULL : &l->fd, err ? 0 : 1);
}

static void
on_listener_close(struct run *r, const Tgt__WorkerMsg *msg)
{
	struct run_listener *l = listener_find(r, msg->listener_close->name);

	if (l)
		listener_forget(r, l);
}

static void
on_shutdown(struct run *r, const Tgt__WorkerMsg *msg)
{
	int code = msg->shutdown->code;

	if (*msg->shutdown->why)
		run_say("%s", msg->shutdown->why);
	run_stop(r, code >= 0 && code <= 255 ? code : 1);
}

static const struct {
	Tgt__WorkerMsg__BodyCase type;
	void (*handle)(struct run *r, const Tgt__WorkerMsg *msg);
} verbs[] = {
	{ TGT__WORKER_MSG__BODY_UNIT_START, on_unit_start },
	{ TGT__WORKER_MSG__BODY_UNIT_STOP, on_unit_stop },
	{ TGT__WORKER_MSG__BODY_UNIT_KILL, on_unit_kill },
	{ TGT__WORKER_MSG__BODY_LISTENER_OPEN, on_listener_open },
	{ TGT__WORKER_MSG__BODY_LISTENER_CLOSE, on_listener_close },
	{ TGT__WORKER_MSG__BODY_SHUTDOWN, on_shutdown },
};

static void
on_message(struct chan *c, struct chan_msg *m, int err)
{
	struct run *r = c->owner;
	const Tgt__WorkerMsg *msg;

	if (!m) {
		run_ctld_close(r);
		if (!r->ctld.pid || r->stopping)
			return;
		/* Without this channel it cannot do its work: make it new. */
		if (err)
			log_err("tgt-ctld: %s", strerror(-err));
		kill(r->ctld.pid, SIGKILL);
		return;
	}
	msg = (const Tgt__WorkerMsg *)m->body;
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (verbs[i].type == msg->body_case) {
			verbs[i].handle(r, msg);
			return;
		}
	}
	log_err("tgt-ctld sent what is not for its supervisor: type=%d", (int)msg->body_case);
}

int
run_ctld_open(struct run *r, int *theirs)
{
	int pair[2];

	run_ctld_close(r);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	chan_init(&r->sup, r->loop, pair[0], &tgt__worker_msg__descriptor, on_message, r);
	*theirs = pair[1];
	return 0;
}

void
run_ctld_close(struct run *r)
{
	chan_close(&r->sup);
}
