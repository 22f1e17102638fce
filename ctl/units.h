/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Units as tgt-ctld sees them: what it wants of the supervisor, what the
 * supervisor last said.  Pure: messages in, messages out through ops.
 *
 * A unit that is wanted again while it stops is started when it has stopped.
 */
#ifndef CTL_UNITS_H
#define CTL_UNITS_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/util.h"
#include "proto/worker.pb-c.h"

enum { UNIT_NAME_MAX = 96 };

struct unit {
	struct list link;
	char name[UNIT_NAME_MAX]; /* "tgt-scsid@NAME" */
	void *owner;
	pid_t pid; /* 0: no process */
	unsigned starts; /* processes so far */
	bool wanted;
	bool asked; /* UnitStart was sent, no final UnitExited came */
	bool stopping; /* UnitStop was sent, no final UnitExited came */
};

struct units_ops {
	void (*send)(void *ctx, const Tgt__WorkerMsg *m);
	void (*started)(void *ctx, struct unit *u);
	/* Its process is gone; u->pid is 0. */
	void (*exited)(void *ctx, struct unit *u, const Tgt__UnitExited *e);
	/* Nothing of it is left, and it is not wanted. */
	void (*stopped)(void *ctx, struct unit *u);
};

struct units {
	struct list all;
	const struct units_ops *ops;
	void *ctx;
	bool ending; /* the supervisor ends the service: nothing is started */
};

void units_init(struct units *us, const struct units_ops *ops, void *ctx);
void unit_add(struct units *us, struct unit *u, const char *name, void *owner);
void unit_remove(struct unit *u); /* the supervisor's word on it is ignored from here */
void unit_start(struct units *us, struct unit *u);
void unit_stop(struct units *us, struct unit *u);
void unit_kill(struct units *us, struct unit *u, const char *why); /* comes again */
static inline bool
unit_is_off(const struct unit *u)
{
	return !u->wanted && !u->asked && !u->stopping;
}

/* UnitStarted and UnitExited.  0 or -EPROTO. */
int units_message(struct units *us, const Tgt__WorkerMsg *m);

#endif
