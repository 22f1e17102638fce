/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of tgt-scsid: serves the upper lanes of one logical unit, submits
 * to its lower lane, and joins the SCSI code (scsid/cmd.h), the range lock and
 * the nexus table.
 *
 * No event loop, no clock, no system call but the doorbells of the lanes: the
 * caller maps the memory, passes the time in and calls engine_turn when
 * something may have happened.  One thread.  The simulation runs this very
 * code.
 *
 * Nothing is allocated after a lane or a nexus was added.
 */
#ifndef SCSID_ENGINE_H
#define SCSID_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/lane.h"
#include "scsid/cmd.h"
#include "scsid/nexus.h"

enum {
	ENGINE_BATCH = 64, /* requests taken from one lane in one turn at most */
	ENGINE_LANES_MAX = 4096,
};

/* What the engine reports.  Called from engine_turn and the calls below; the
 * callee must not call back into the engine. */
struct engine_ops {
	/* The peer of @lane broke the protocol; the lane is frozen.  Once. */
	void (*violation)(void *ctx, uint32_t lane, const char *text);
	/* After engine_lane_close: nothing of the lane is in use any more. */
	void (*lane_closed)(void *ctx, uint32_t lane);
	/* After engine_nexus_drop: no command of the nexus has a later effect. */
	void (*nexus_dropped)(void *ctx, uint32_t nexus);
};

struct engine_lane_conf {
	uint32_t id; /* > 0 */
	uint32_t epoch;
	bool fresh; /* the lane's memory is all zero */
	struct lane_maps maps;
	uint32_t pool;
	uint64_t pool_size; /* bytes */
	void *pool_base; /* mapping of the pool, until lane_closed */
};

struct engine_stats {
	uint64_t commands; /* taken */
	uint64_t medium; /* block requests submitted */
	uint64_t waited; /* commands that waited for the range lock */
	uint64_t cancelled;
	uint64_t harvested; /* outcomes found after a restart */
	uint64_t replayed; /* commands run again after a restart */
	uint64_t resets; /* LOGICAL UNIT RESETs */
};

struct engine;

/* @lu, @ops and @ctx stay the caller's.  NULL with errno. */
struct engine *engine_new(const struct lu *lu, const struct engine_ops *ops, void *ctx);
/* Frees private memory only; touches no lane.  NULL is fine. */
void engine_free(struct engine *e);

/* The lower lane, once, before engine_start; none for the inventory worker.
 * 0 or -errno (as lane_sub_attach). */
int engine_lower(struct engine *e, const struct lane_maps *maps, uint32_t epoch, bool fresh);

/*
 * An upper lane.  Before engine_start used ones (fresh = false) are recovered
 * together; afterwards only fresh ones are served at once.
 * 0; -EEXIST, -ENOSPC, -EINVAL, or as lane_srv_attach.
 */
int engine_lane_add(struct engine *e, const struct engine_lane_conf *conf);

/* Cancels everything of the lane, waits for the store, then lane_closed.  The
 * submitter is gone.  0 or -ENOENT. */
int engine_lane_close(struct engine *e, uint32_t lane);

/* LaneEpoch.  Lane 0: storaged re-attaches; the outstanding requests are named
 * again.  Others: the submitter will re-attach; what was taken is finished
 * first, then the epoch is served.  0 or -ENOENT. */
int engine_lane_epoch(struct engine *e, uint32_t lane, uint32_t epoch);

int engine_nexus_add(struct engine *e, const struct nexus_conf *conf); /* as nexus_add */
int engine_nexus_drop(struct engine *e, uint32_t nexus); /* 0 or -ENOENT */
int engine_nexus_luns(struct engine *e, uint32_t nexus, uint32_t generation,
		      const uint64_t *luns, uint32_t n); /* as nexus_luns */

/* All configuration is in: recovery begins (docs/recovery.md), or service. */
void engine_start(struct engine *e);
bool engine_serving(const struct engine *e); /* recovery is over */

/*
 * One turn: completions of the store, a batch of every lane, task management,
 * recovery; everything published once.  @now: monotonic, ns.
 * Returns how much it did; 0: nothing, sleep.
 */
unsigned engine_turn(struct engine *e, uint64_t now);

/* Take nothing more (the process is about to end). */
void engine_stop(struct engine *e);

/* When engine_turn must be called again although nothing wakes it; ns on the
 * clock of engine_turn, UINT64_MAX: never. */
uint64_t engine_deadline(const struct engine *e);

/* Around blocking: do not block when engine_sleep says false. */
bool engine_sleep(struct engine *e);
void engine_wake(struct engine *e);

const struct engine_stats *engine_stats(const struct engine *e);
uint32_t engine_busy(const struct engine *e); /* commands not ended */

#endif
