/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sockets tgt-ctld listens on: who may connect, how many, and what happens
 * when descriptors run out.
 */
#ifndef CTL_CLIENTS_H
#define CTL_CLIENTS_H

#include <ev.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "ctl/verbs.h"
#include "proto/chan.h"

/* A listening SEQPACKET socket; connections of other users than root and our
 * own are closed at once. */
struct acceptor {
	struct ev_loop *loop;
	ev_io io;
	ev_timer pause; /* after EMFILE: not to be asked again at once */
	void (*accepted)(struct acceptor *a, int fd, pid_t pid);
	void *owner;
};

void acceptor_start(struct acceptor *a, struct ev_loop *loop, int fd,
		    void (*accepted)(struct acceptor *a, int fd, pid_t pid), void *owner);
void acceptor_stop(struct acceptor *a); /* closes; a second call is harmless */

enum { CLIENTS_MAX = 32 };

/* The operators' connections on the control socket. */
struct clients {
	struct acceptor acceptor;
	struct list all;
	unsigned n;
	struct verbs *verbs;
};

void clients_start(struct clients *cs, struct ev_loop *loop, int fd, struct verbs *v);
/* Wired to verbs_ops.reply. */
void clients_reply(void *client, const Tgt__ControlReply *r);
/* No new ones; those connected get their answers. */
void clients_stop(struct clients *cs);
void clients_done(struct clients *cs);

#endif
