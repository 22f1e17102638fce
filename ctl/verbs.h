/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operator's requests: each is checked against the model, made durable,
 * then made true by the broker, then answered.  Sockets are ctl/clients.h's.
 */
#ifndef CTL_VERBS_H
#define CTL_VERBS_H

#include "ctl/broker.h"
#include "proto/control.pb-c.h"

enum {
	VERBS_WHY = 2048,
	VERBS_TIMEOUT_S = 10, /* a LUN's store must open within it */
	LISTENER_RETRY_S = 5,
};

struct verbs_ops {
	void (*reply)(void *ctx, void *client, const Tgt__ControlReply *r);
	/* Makes the model durable; 0 or -errno and @why (VERBS_WHY bytes). */
	int (*save)(void *ctx, char *why);
	/* ListenerOpen, ListenerClose. */
	void (*supervisor)(void *ctx, const Tgt__WorkerMsg *m);
	/* What storaged would put into Ready.dev and .ino; 0 or -errno. */
	int (*identify)(void *ctx, const char *path, uint64_t *dev, uint64_t *ino);
	/* Call verbs_tick about a second from now. */
	void (*soon)(void *ctx);
};

struct verbs {
	struct model *m;
	struct broker *b;
	const struct verbs_ops *ops;
	void *ctx;
	struct list pending; /* requests that wait for a worker or a listener */
	unsigned seconds; /* ticks so far */
	bool stopping; /* every request is refused from here on */
};

void verbs_init(struct verbs *v, struct model *m, const struct verbs_ops *ops, void *ctx);
void verbs_done(struct verbs *v);
/* Opens the listeners of all portals. */
void verbs_start(struct verbs *v);

/* One request of @client: answered through ops->reply, now or later. */
void verbs_request(struct verbs *v, void *client, const Tgt__ControlRequest *req);
void verbs_client_gone(struct verbs *v, void *client);

/* Wired to broker_ops.lun_event. */
void verbs_lun_event(struct verbs *v, struct model_lun *l, enum lun_event ev, int err,
		     const char *text);
/* Takes @fd (-1 with an error). */
void verbs_listener_opened(struct verbs *v, const Tgt__ListenerOpened *o, int fd);
void verbs_tick(struct verbs *v);

#endif
