/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between the threads of a portal: the one lock of the process, taken
 * for control messages only, never for a command.
 *
 * A mail embeds struct mail and says which function of the receiver runs it
 * there.  The function owns the mail and frees it.
 */
#ifndef PORTAL_MAILBOX_H
#define PORTAL_MAILBOX_H

#include <ev.h>
#include <pthread.h>

#include "proto/util.h"

struct mail {
	struct list link;
	void (*run)(void *owner, struct mail *m); /* in the receiver's thread */
};

struct mailbox {
	pthread_mutex_t lock;
	struct list in;
	ev_async wake;
	struct ev_loop *loop;
	void *owner; /* first argument of every run() */
};

/* @loop must not run yet, or run in the calling thread. */
void mailbox_init(struct mailbox *b, struct ev_loop *loop, void *owner);

/* From any thread; in order for each sender. */
void mailbox_post(struct mailbox *b, struct mail *m);

/* Allocates zeroed memory; ends the process when there is none: a lost control
 * message would leave the two threads in disagreement. */
void *mail_new(size_t size);

#endif
