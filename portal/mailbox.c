/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between the threads of a portal.
 */
#include "portal/mailbox.h"

#include <stdlib.h>

#include "proto/log.h"

static void
on_wake(struct ev_loop *loop, ev_async *w, int revents)
{
	struct mailbox *b = container_of(w, struct mailbox, wake);
	struct list todo;
	struct mail *m;

	list_init(&todo);
	pthread_mutex_lock(&b->lock);
	list_for_each(m, &b->in, link) {
		list_del(&m->link);
		list_add_tail(&todo, &m->link);
	}
	pthread_mutex_unlock(&b->lock);

	while ((m = list_first(&todo, struct mail, link))) {
		list_del(&m->link);
		m->run(b->owner, m);
	}
}

void
mailbox_init(struct mailbox *b, struct ev_loop *loop, void *owner)
{
	pthread_mutex_init(&b->lock, NULL);
	list_init(&b->in);
	b->loop = loop;
	b->owner = owner;
	ev_async_init(&b->wake, on_wake);
	ev_async_start(loop, &b->wake);
}

void
mailbox_post(struct mailbox *b, struct mail *m)
{
	pthread_mutex_lock(&b->lock);
	list_add_tail(&b->in, &m->link);
	pthread_mutex_unlock(&b->lock);
	ev_async_send(b->loop, &b->wake);
}

void *
mail_new(size_t size)
{
	void *m = calloc(1, size);

	if (!m) {
		log_err("out of memory for a message between threads");
		abort();
	}
	return m;
}
