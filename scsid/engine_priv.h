/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the engine share: engine.c (lanes, turns), task.c (the
 * life of one command), tmf.c (task management), recover.c.  Included by
 * nobody else.
 */
#ifndef SCSID_ENGINE_PRIV_H
#define SCSID_ENGINE_PRIV_H

#include "scsid/engine.h"
#include "scsid/rangelock.h"

enum task_state {
	TASK_FREE = 0, /* the slot is free, or its request has ended */
	TASK_WANT, /* waits for data-out of the initiator */
	TASK_LOCK, /* waits for the range lock */
	TASK_QUEUE, /* holds the lock, waits for a lower slot */
	TASK_EXEC, /* with storaged */
	TASK_TMF, /* a task management function that waits for its effects */
};

/* One upper slot.  The big parts come last, so that what a scan over many
 * slots reads is together. */
struct task {
	struct engine_lane *lane;
	struct nexus_entry *nexus;
	uint64_t order; /* lane_req.order */
	uint64_t arrival; /* engine.arrivals when it was bound; TASK_TMF: when it was run */
	uint64_t deadline; /* TASK_TMF: ns */
	struct list link; /* engine.queue, engine.tmfs, or engine.unreleased */
	uint32_t seq;
	uint32_t nexus_id; /* of the last request; 0: ended in a dead incarnation */
	uint32_t len; /* bytes the store transfers */
	uint32_t pending; /* TASK_TMF: commands it covers that have not ended */
	uint16_t slot;
	uint8_t state; /* enum task_state */
	bool cancel; /* ends as CANCELLED */
	bool reset; /* a function of engine.tmfs covers it: it ends as CANCELLED */
	uint8_t function; /* TASK_TMF: RFC 7143 11.5.1 */
	uint8_t n_ext;
	uint8_t attr; /* task attribute */
	struct rangelock_req lock;
	struct rangelock_range range;
	struct lane_ext ext[LANE_EXT_MAX]; /* trimmed to len */
	struct cmd c;
};

struct engine_lane {
	uint32_t id;
	uint32_t epoch;
	struct engine *engine;
	struct lane_server *srv;
	struct lane_maps maps;
	struct lane_pool_info pool;
	struct lane_limits limits;
	uint8_t *pool_base;
	bool frozen; /* the submitter broke the protocol: not touched again */
	bool closing; /* engine_lane_close */
	bool used; /* slots of a dead incarnation wait for recovery */
	bool served; /* lane_srv_serve: once an epoch */
	bool draining; /* engine_lane_epoch: finish, then serve */
	uint32_t busy; /* tasks not TASK_FREE */
	struct list link;
	struct task task[]; /* all zero until the slot's first use: engine_task */
};

enum recover_phase {
	RECOVER_CONFIG = 0, /* before engine_start */
	RECOVER_READY, /* until storaged serves the epoch */
	RECOVER_HARVEST, /* until every old block request has ended */
	RECOVER_LANES, /* nothing old is left below: the upper lanes */
	RECOVER_DONE,
};

/* A block request of a dead incarnation that was executed. */
struct outcome {
	struct lane_tag tag;
	int32_t error;
	uint32_t in_len;
	uint16_t slot; /* lower */
	bool done; /* false: it ended, but without a known outcome */
};

struct recover {
	enum recover_phase phase;
	struct outcome *old; /* [nslots of the lower lane], n_old used */
	uint32_t n_old;
	uint32_t waiting; /* of them, those that have not ended */
	bool named; /* an epoch change has named them: storaged runs them */
};

struct engine {
	const struct lu *lu;
	const struct engine_ops *ops;
	void *ctx;
	uint64_t now;

	struct lane_submitter *lower;
	struct lane_maps lower_maps;
	uint32_t lower_epoch;
	bool lower_used; /* attached to slots of a dead incarnation */
	bool lower_frozen;
	struct task **lower_task; /* per lower slot */

	struct list lanes;
	uint32_t n_lanes, n_closing, n_draining;
	struct nexus_table nexuses;
	struct rangelock ranges;
	struct list queue; /* TASK_QUEUE, first in first out */
	struct list tmfs; /* TASK_TMF */
	struct list unreleased; /* ended as CANCELLED, perhaps not yet released */
	uint64_t arrivals; /* tasks bound or functions begun so far */
	uint32_t busy;
	uint32_t n_dropping;
	unsigned did; /* in this turn */
	bool stopped;

	struct recover recover;
	struct engine_stats stats;
	uint8_t *reply; /* CMD_REPLY_MAX bytes: replies are copied out at once */
};

/* engine.c */
void engine_violation(struct engine *e, struct engine_lane *lane, const char *text);
struct engine_lane *engine_find_lane(const struct engine *e, uint32_t id);
void engine_serve_lane(struct engine_lane *lane);

/* The task of a slot in use.  Made at the first use, so that the tasks of slots
 * never used cost no memory; reading their state (TASK_FREE) is free. */
static inline struct task *
engine_task(struct engine_lane *lane, uint16_t slot)
{
	struct task *k = &lane->task[slot];

	if (!k->lane) {
		k->lane = lane;
		k->slot = slot;
		list_init(&k->link);
	}
	return k;
}

/* task.c: the life of one command.  */

/* Is this private copy of a request one that the lane may make?  NULL: no, and
 * the lane is frozen. */
struct nexus_entry *task_check(struct engine_lane *lane, const struct lane_req *req);
/* Binds the claimed slot; task_run then takes the command as far as it gets. */
struct task *task_bind(struct engine_lane *lane, const struct lane_taken *t,
		       struct nexus_entry *ne);
void task_run(struct task *k, const struct lane_req *req, bool all_data);
void task_data(struct task *k); /* the data asked for is there */
void task_cancel(struct task *k);
void task_store_done(struct task *k, int error, uint32_t in_len);
void task_submit_queued(struct engine *e);
/* What a command that storaged executed for a dead incarnation is answered. */
void task_harvest(struct task *k, const struct lane_req *req, int error, uint32_t in_len);
/* Ends with HARDWARE ERROR 44h/00h: outcome unknown. */
void task_unknown(struct task *k);
void task_end(struct task *k); /* TASK_FREE: bookkeeping only */
void task_answer_tmf(struct task *k, int response);
void task_answer_cancelled(struct task *k);

/* tmf.c */
void tmf_run(struct task *k, uint8_t function);
void tmf_task_ended(const struct task *k); /* one with @k->reset */
void tmf_turn(struct engine *e);
uint64_t tmf_deadline(const struct engine *e);

/* recover.c: docs/recovery.md, both tables as a scsid meets them.  */
int recover_init(struct engine *e); /* 0 or -ENOMEM; after engine_lower */
/* True when everything is recovered and the upper lanes are served. */
bool recover_turn(struct engine *e);

#endif
