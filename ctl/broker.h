/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker introduces the workers to each other: it gives each its
 * configuration, creates the memory of every lane, and says who attached and
 * who died.  docs/protocol.md is its specification.
 *
 * It makes memory objects and nothing else: processes and sockets are behind
 * ops, so that a test drives it with scripted events.  One thread.
 *
 * Every function here first takes in what happened, then brings each LUN that
 * it concerns one step nearer to what should be (broker_lane.c): a step that
 * was lost with a worker is found missing and done again.
 */
#ifndef CTL_BROKER_H
#define CTL_BROKER_H

#include <sys/types.h>

#include "ctl/model.h"
#include "proto/control.pb-c.h"
#include "proto/worker.pb-c.h"

struct broker;
struct peer; /* an accepted worker connection */

enum lun_event {
	LUN_UP = 1, /* a pending LUN's store is open and may be used */
	LUN_DOWN, /* a pending LUN cannot be served: err (positive), text */
	LUN_GONE, /* after broker_lun_remove: nothing of it is left */
};

struct broker_ops {
	/* To a worker, + descriptors that stay ours.  0 or -errno. */
	int (*send)(void *ctx, void *conn, const Tgt__WorkerMsg *m, const int *fds, int n);
	/* The broker has forgotten the connection. */
	void (*close)(void *ctx, void *conn);
	void (*supervisor)(void *ctx, const Tgt__WorkerMsg *m);
	void (*lun_event)(void *ctx, struct model_lun *l, enum lun_event ev, int err,
			  const char *text);
	/* Call broker_tick about a second from now. */
	void (*soon)(void *ctx);
};

struct broker_config {
	uint32_t threads; /* of a portal */
	uint32_t max_sessions, max_connections; /* of a portal */
	uint64_t pool_budget; /* bytes of all pools of a portal */
	uint32_t login_timeout_s;
	uint32_t ping_interval_s, ping_timeout_s;
	uint32_t first_uid; /* of the workers, counting up; 0: they keep ours */
};

/* NULL: no memory.  The model stays the caller's. */
struct broker *broker_new(struct model *m, const struct broker_config *cfg,
			  const struct broker_ops *ops, void *ctx);
void broker_free(struct broker *b); /* tells nobody */
/* Starts portal 0, the inventory worker and the workers of every LUN. */
int broker_start(struct broker *b);

/* ---- events ---------------------------------------------------------- */

struct peer *broker_accept(struct broker *b, void *conn, pid_t pid); /* NULL: no memory */
void broker_message(struct broker *b, struct peer *p, const Tgt__WorkerMsg *m);
void broker_hangup(struct broker *b, struct peer *p); /* calls ops->close */
/* UnitStarted, UnitExited.  0 or -EPROTO. */
int broker_unit_message(struct broker *b, const Tgt__WorkerMsg *m);
void broker_tick(struct broker *b);
/* Terminate: units end one after the other, and none is started again. */
void broker_terminate(struct broker *b);

/* ---- what the operator changes --------------------------------------- */

/* Starts the workers of a LUN of the model.  0 or -errno. */
int broker_lun_add(struct broker *b, struct model_lun *l);
/* Begins to end a LUN that is no longer mapped; LUN_GONE follows. */
void broker_lun_remove(struct broker *b, struct model_lun *l);
/* Starts again what was stopped for good (crash loop, store replaced). */
void broker_lun_revive(struct broker *b, struct model_lun *l);
/* Another LUN on the same store, at least one of the two writable; or NULL.
 * (@dev, @ino) as in the message Ready. */
const char *broker_store_user(struct broker *b, const struct model_lun *l, uint64_t dev,
			      uint64_t ino);
void broker_target_update(struct broker *b, struct model_target *t);
void broker_target_remove(struct broker *b, struct model_target *t);
/* The mapping @number of @t appeared or went. */
void broker_mapping_update(struct broker *b, struct model_target *t, uint32_t number);
/* p->fd is a listening socket. */
void broker_listener_add(struct broker *b, struct model_portal *p);
void broker_listener_remove(struct broker *b, struct model_portal *p);

/* ---- what the operator sees ------------------------------------------ */

struct lun_info {
	const char *state; /* "online", "starting", "offline" */
	const char *detail; /* why it is not online; last warning; "" */
	uint64_t size; /* bytes usable; 0: not known yet */
	pid_t scsid_pid, storaged_pid;
	unsigned restarts;
};
void broker_lun_info(const struct model_lun *l, struct lun_info *info);

struct session_info {
	uint32_t nexus;
	const char *initiator, *target, *address;
};
void broker_sessions(struct broker *b, void (*each)(void *ctx, const struct session_info *s),
		     void *ctx);
/* Has the portal close it; false: there is none with this id. */
bool broker_session_end(struct broker *b, uint32_t nexus);
unsigned broker_target_sessions(struct broker *b, const struct model_target *t);
/* The initiator of a session that has the mapping's LUN open, or NULL. */
const char *broker_mapping_user(struct broker *b, const struct model_mapping *p);

#endif
