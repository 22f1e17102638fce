/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operators' connections: see clients.h.  What they ask is verbs.c's.
 */
#include "ctl/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/log.h"

/* ---- listening sockets ----------------------------------------------- */

static void
on_pause_over(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct acceptor *a = w->data;

	ev_io_start(loop, &a->io);
}

static bool
may_connect(int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) < 0 || len != sizeof(*cred))
		return false;
	return cred->uid == 0 || cred->uid == geteuid();
}

static void
on_connection(struct ev_loop *loop, ev_io *w, int revents)
{
	struct acceptor *a = w->data;
	struct ucred cred;
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		log_limited(LOG_LEVEL_ERR, "accept: %s", strerror(errno));
		ev_io_stop(loop, &a->io);
		ev_timer_set(&a->pause, 0.2, 0.);
		ev_timer_start(loop, &a->pause);
		return;
	}
	if (may_connect(fd, &cred)) {
		a->accepted(a, fd, cred.pid);
		return;
	}
	log_limited(LOG_LEVEL_WARN, "a connection of uid=%d pid=%d is refused", (int)cred.uid,
		    (int)cred.pid);
	close(fd);
}

void
acceptor_start(struct acceptor *a, struct ev_loop *loop, int fd,
	       void (*accepted)(struct acceptor *a, int fd, pid_t pid), void *owner)
{
	a->loop = loop;
	a->accepted = accepted;
	a->owner = owner;
	ev_io_init(&a->io, on_connection, fd, EV_READ);
	ev_timer_init(&a->pause, on_pause_over, 0.2, 0.);
	a->io.data = a;
	a->pause.data = a;
	ev_io_start(loop, &a->io);
}

void
acceptor_stop(struct acceptor *a)
{
	if (!a->loop)
		return;
	ev_io_stop(a->loop, &a->io);
	ev_timer_stop(a->loop, &a->pause);
	close(a->io.fd);
	a->loop = NULL;
}

/* ---- operators ------------------------------------------------------- */

struct client {
	struct list link;
	struct clients *cs;
	struct chan chan;
};

static void
client_free(struct client *c)
{
	verbs_client_gone(c->cs->verbs, c);
	list_del(&c->link);
	c->cs->n--;
	chan_close(&c->chan);
	free(c);
}

static void
on_request(struct chan *chan, struct chan_msg *m, int err)
{
	struct client *c = chan->owner;

	/* Answers that nobody reads must not fill the memory of all. */
	if (m && chan->n_out) {
		log_limited(LOG_LEVEL_WARN, "an operator asks again and reads no answers");
		shutdown(chan->fd, SHUT_RDWR);
		return;
	}
	if (m) {
		verbs_request(c->cs->verbs, c, (const Tgt__ControlRequest *)m->body);
		return;
	}
	if (err)
		log_limited(LOG_LEVEL_WARN, "control connection: %s", strerror(-err));
	client_free(c);
}

/* A client that cannot be answered is told so by the end of its connection. */
void
clients_reply(void *client, const Tgt__ControlReply *r)
{
	struct client *c = client;
	int err = chan_send(&c->chan, &r->base, NULL, 0);

	if (err && err != -EPIPE) {
		log_limited(LOG_LEVEL_WARN, "an operator does not read answers: %s",
			    strerror(-err));
		shutdown(c->chan.fd, SHUT_RDWR);
	}
}

static void
refuse_client(int fd)
{
	Tgt__ControlReply r = TGT__CONTROL_REPLY__INIT;
	static char text[] = "too many operators are connected: try again";

	r.err = EUSERS;
	r.text = text;
	chan_send_fd(fd, &r.base, NULL, 0);
	close(fd);
}

static void
on_client(struct acceptor *a, int fd, pid_t pid)
{
	struct clients *cs = a->owner;
	struct client *c = cs->n < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		refuse_client(fd);
		return;
	}
	c->cs = cs;
	list_add_tail(&cs->all, &c->link);
	cs->n++;
	chan_init(&c->chan, a->loop, fd, &tgt__control_request__descriptor, on_request, c);
}

void
clients_start(struct clients *cs, struct ev_loop *loop, int fd, struct verbs *v)
{
	list_init(&cs->all);
	cs->n = 0;
	cs->verbs = v;
	acceptor_start(&cs->acceptor, loop, fd, on_client, cs);
}

void
clients_stop(struct clients *cs)
{
	acceptor_stop(&cs->acceptor);
}

void
clients_done(struct clients *cs)
{
	struct client *c;

	clients_stop(cs);
	while ((c = list_first(&cs->all, struct client, link)))
		client_free(c);
}
