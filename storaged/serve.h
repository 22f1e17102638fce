/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core of tgt-storaged: serves the lower lane of one LUN with one backend.
 *
 * Takes requests, makes the border check, asks the capability table, hands
 * them to the backend with iovecs into the attached pools, answers.  Does the
 * server side of docs/recovery.md: recovery scan, attach implies drain.
 *
 * No globals, no clock, no system calls of its own, no event loop: the caller
 * calls serve_turn when something may have happened.  One thread.  The
 * simulation runs this very code with a backend of its own.
 */
#ifndef STORAGED_SERVE_H
#define STORAGED_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/lane.h"
#include "storaged/backend.h"

enum {
	SERVE_BATCH = 64, /* requests taken in one turn at most */
	SERVE_BATCH_BYTES = 1 << 20, /* ... and bytes, so that answers go out */
	SERVE_POOLS_MAX = 256,
};

struct serve_conf {
	struct lane_maps maps;
	uint32_t epoch;
	bool fresh; /* the lane's memory is all zero */
	bool read_only;
	struct backend *backend; /* open; stays the caller's */
};

struct serve;

/* NULL with errno (as lane_srv_attach).  Nothing is served before serve_start. */
struct serve *serve_new(const struct serve_conf *conf);

/* No request may be with the backend any more (close it first).  NULL is fine. */
void serve_free(struct serve *s);

/* Pools that requests may name.  The mapping stays the caller's, who keeps it
 * until serve_pool_del answered 0.
 * add: 0, -EEXIST, -ENOSPC, -EINVAL.
 * del: 0 (also when unknown); -EBUSY while a request uses it: nothing new may
 * name it from now on; ask again after a turn that did something. */
int serve_pool_add(struct serve *s, uint32_t id, void *base, uint64_t size);
int serve_pool_del(struct serve *s, uint32_t id);

/*
 * Scans the slots of a used lane, runs again what has no known outcome and,
 * once all of that has ended (at once, or in a later turn), serves the epoch.
 * All pools of the lane's requests must have been added.
 * 0; -EPROTO: frozen from the beginning; the next serve_turn says so too.
 */
int serve_start(struct serve *s);

/*
 * One turn: takes the backend's results, takes a batch of requests, publishes.
 * Returns the number of requests taken and ended, 0 when there was nothing to
 * do; -EPROTO once, when the submitter broke the protocol: then nothing new is
 * taken until serve_epoch, while what is in flight still ends.
 */
int serve_turn(struct serve *s);

/* The submitter will re-attach (LaneEpoch): take nothing, finish what is in
 * flight, serve @epoch.  Thaws a frozen lane, since its peer is another.  The
 * epoch it has already: no effect. */
void serve_epoch(struct serve *s, uint32_t epoch);

/* Take nothing more (the process is about to end). */
void serve_stop(struct serve *s);

/* Around blocking: do not block when serve_sleep says false. */
bool serve_sleep(struct serve *s);
void serve_wake(struct serve *s);

unsigned serve_inflight(const struct serve *s); /* requests with the backend */
bool serve_ready(const struct serve *s); /* the epoch is served */
bool serve_frozen(const struct serve *s);
const char *serve_violation(const struct serve *s); /* why frozen; or "" */

struct serve_stats {
	uint64_t taken, ended, errors, cancelled, replayed, violations;
};
const struct serve_stats *serve_stats(const struct serve *s);
const struct lane_stats *serve_lane_stats(const struct serve *s);

#endif
