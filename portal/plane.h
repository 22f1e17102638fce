/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A portal lane: one thread's way to one logical unit.  Owns the mappings, the
 * submitter, the allocator of the data pool, and the queue of commands that
 * wait for a slot or for memory.  Commands get both at once, in the order in
 * which they came, so that none holds one while it waits for the other.
 *
 * It must not know iSCSI; what an event means is portal/cmd.c's.
 */
#ifndef PORTAL_PLANE_H
#define PORTAL_PLANE_H

#include <ev.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "proto/lane.h"
#include "proto/pool.h"
#include "proto/util.h"

struct cmd;
struct thread;

struct plane {
	struct list link; /* the thread's lanes */
	struct list busy; /* the thread's lanes with slots in use */
	struct list dirty; /* named something since the last publish */
	struct thread *th;
	struct lane_submitter *sub;
	struct pool *pool;
	uint8_t *data; /* the pool's mapping */
	void *sub_map, *status_map;
	size_t sub_size, status_size;
	uint64_t pool_size;
	uint32_t id, pool_id, nslots;
	int bell_in, bell_out;
	ev_io bell;
	struct list waiting; /* commands, in order */
	struct cmd **owner; /* by slot */
	unsigned in_use; /* slots */
	unsigned refs; /* LUNs of sessions that point here */
	bool frozen; /* the server broke the rules; until the next epoch */
	bool revoked; /* ctld wants it back */
};

/* What LunOpened says of a new lane. */
struct plane_config {
	uint32_t lane, epoch, nslots, pool;
	uint64_t pool_size;
	int fds[5]; /* consumed in any case */
};

/* Maps and attaches.  NULL with errno. */
struct plane *plane_open(struct thread *th, const struct plane_config *cfg);

/* Drops a reference; the turn closes a lane that has none. */
void plane_unref(struct plane *p);

/* ctld wants it back: ends its commands with LOGICAL UNIT NOT SUPPORTED. */
void plane_revoke(struct plane *p);

/* Unmaps and tells ctld.  Only when in_use is 0 and nothing waits. */
void plane_close(struct plane *p);

/* The largest transfer of one command, bytes. */
uint32_t plane_max_transfer(const struct plane *p);

/* Slot and extents for @c: cmd_granted() now or later. */
void plane_request(struct plane *p, struct cmd *c);

/* Gives back slot and extents of @c, and serves who waits. */
void plane_release(struct plane *p, struct cmd *c);

/* Hands the request in the slot of @c to the server at the next publish. */
void plane_submit(struct plane *p, struct cmd *c);
void plane_data(struct plane *p, struct cmd *c);
void plane_cancel(struct plane *p, struct cmd *c);

/* Takes what the server has answered; the number of events. */
int plane_poll(struct plane *p);
void plane_publish(struct plane *p);

/* A new epoch of either end. */
void plane_epoch(struct plane *p, uint32_t epoch);

/* The server broke the rules: tells ctld, listens no more. */
void plane_violation(struct plane *p, const char *what);

static inline void *
plane_ptr(const struct plane *p, const struct lane_ext *e, uint32_t at)
{
	return p->data + e->off + at;
}

#endif
