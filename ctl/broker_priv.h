/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker's objects, shared by broker*.c only.
 *
 * What a worker knows of a lane, a pool or a nexus is a step: AT_NONE it was
 * never told (or has died since), AT_SENT it was told, AT_HAVE it answered.
 */
#ifndef CTL_BROKER_PRIV_H
#define CTL_BROKER_PRIV_H

#include "ctl/broker.h"
#include "ctl/units.h"
#include "ctl/wrap.h"
#include "proto/lane.h"

enum {
	UPPER_SLOTS = 256,
	LOWER_SLOTS = 512,
	POOL_BYTES = 64 << 20, /* of a portal lane */
	SCRATCH_BYTES = 4 << 20,
	TRANSFER_MAX = 16 << 20, /* min(16 MiB, pool / 4) */
	IO_THREADS = 4, /* of storaged */
	FENCE_FIRST_MS = 500, /* nobody of ours had the store before */
	FENCE_AGAIN_MS = 30000, /* the writes of a dead storaged land first */
	DEATHS_MAX = 5, /* in a row, by own fault, without Ready */
	FAULTS_MAX = 2, /* of a lower lane, in a row: its memory is given up */
	FAULT_TICKS = 10, /* seconds without one: not in a row */
	PEERS_MAX = 2048, /* connections that have not proved who they are */
	PEER_TICKS = 5, /* seconds they have for it */
	HASH = 256,
};

enum wstate { /* bits, for the table of messages */
	W_DOWN = 1, /* no process, or no Hello yet */
	W_HELLO = 2, /* its configuration is held back */
	W_CONFIGURED = 4, /* ConfigDone was sent */
	W_READY = 8,
};

enum at { AT_NONE = 0, AT_SENT, AT_HAVE };

enum { O_SUB, O_STATUS, O_POOL, O_BELL_SERVER, O_BELL_SUBMITTER, O_COUNT };

/* The memory and doorbells of one lane; ctld's own descriptors. */
struct objects {
	int fd[O_COUNT];
};

struct worker {
	struct unit unit;
	Tgt__Role role;
	struct lun_rt *lun; /* scsid, storaged */
	struct portal_rt *portal;
	struct peer *peer;
	enum wstate state;
	unsigned deaths; /* see DEATHS_MAX */
	uint32_t uid;
	bool lost; /* its channel ended, its process not yet */
	bool was_ready; /* this process was */
	bool stopped; /* for good, until revived */
	int fail_err; /* positive */
	char fail[MODEL_WHY]; /* why it is not ready; "" */
};

struct peer {
	struct list link;
	void *conn;
	pid_t pid;
	struct worker *w; /* once proved */
	bool broken; /* does not take our messages, or breached the protocol */
	bool hello;
	unsigned ticks;
	Tgt__Role role;
	char instance[MODEL_NAME_MAX + 1];
};

struct lun_rt {
	struct list link;
	struct list dirty; /* in broker.dirty: lun_advance is due */
	struct broker *b;
	struct model_lun *ml; /* NULL: the inventory */
	char name[MODEL_NAME_MAX + 1];
	bool dying, revoked;
	struct worker scsid, storaged;
	struct objects lower;
	uint32_t lower_epoch;
	bool sub_used, status_used; /* that end has been attached before */
	unsigned faults, fault_ticks; /* see FAULTS_MAX */
	bool renew; /* the lower lane is to get new memory */
	bool known; /* storaged was Ready once: */
	uint64_t size, dev, ino;
	bool can_flush;
	char warning[MODEL_WHY];
	bool reported; /* LUN_UP or LUN_DOWN was told */
	struct list lanes; /* lane.lun_link */
	struct list waiting; /* request.link, in the order they came */
};

struct portal_rt {
	struct broker *b;
	struct worker w;
	struct list nexuses; /* nexus.link */
	struct list lanes; /* lane.portal_link */
	uint64_t pool_bytes;
	unsigned n_sessions;
};

struct lane {
	struct list lun_link, portal_link, hash;
	uint32_t id, epoch, thread;
	struct lun_rt *lun;
	struct portal_rt *portal; /* NULL: that portal process is dead */
	struct objects o;
	enum at pool, scsid;
	bool known; /* a scsid has been told of it */
	bool told; /* the portal has it and has not released it */
	bool closing; /* is to go */
	bool close_sent, closed; /* LaneClose to this scsid; LaneClosed */
	bool detach_sent;
	int err; /* -errno: a worker could not take it */
	struct list attaches; /* attach.lane_link */
};

/* One nexus on one lane. */
struct attach {
	struct list lane_link, nexus_link;
	struct lane *lane;
	struct nexus *nexus;
	bool read_only; /* the mapping's */
	enum at at; /* scsid */
	bool known; /* a scsid has been told of it */
	bool answered; /* the portal may have used it */
	bool dropping, drop_sent;
	int err;
};

struct nexus {
	struct list link, hash;
	struct list attaches; /* attach.nexus_link */
	struct list requests; /* request.nexus_link */
	struct portal_rt *portal; /* NULL: dead */
	struct model_target *target; /* NULL: deleted, after the session ended */
	uint32_t id, thread;
	bool placed; /* thread is known: that of its first LunOpen */
	bool closing;
	char *initiator, *address; /* initiator name, peer address */
	char *initiator_port; /* SPC-4 7.6.4.8 */
	char target_port[MODEL_IQN_MAX + 16];
	uint32_t relative_port;
};

/* A LunOpen that is not answered. */
struct request {
	struct list link, nexus_link;
	struct nexus *nexus;
	struct lun_rt *lun;
	struct attach *attach; /* once there is a lane for it */
	uint64_t cookie;
	uint32_t thread;
	bool read_only;
};

struct broker {
	struct model *m;
	struct broker_config cfg;
	const struct broker_ops *ops;
	void *ctx;
	struct units units;
	struct list peers; /* all */
	unsigned n_unproved;
	struct list luns, dirty;
	struct lun_rt *inventory;
	struct portal_rt portal;
	struct list lane_hash[HASH], nexus_hash[HASH];
	uint32_t last_lane, last_nexus, next_uid;
	bool settling, broken; /* broken: some peer is */
};

/* ---- broker.c -------------------------------------------------------- */

int worker_init(struct broker *b, struct worker *w, Tgt__Role role, const char *name);
/* Sends if the worker was configured (or is being); a failure breaks the peer. */
void worker_send(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
void worker_send_fds(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m, const int *fds,
		     int n);
void worker_config_done(struct broker *b, struct worker *w);
/* It broke the protocol, or its peer says so: killed, and restarted. */
void worker_breach(struct broker *b, struct worker *w, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void broker_settle(struct broker *b);
static inline bool
worker_attached(const struct worker *w) /* it knows what it was configured with */
{
	return w->state & (W_CONFIGURED | W_READY);
}

/* ---- broker_obj.c ---------------------------------------------------- */

void objects_none(struct objects *o);
int objects_create(struct objects *o, const char *name, uint32_t nslots, uint64_t pool);
void objects_close(struct objects *o);
/* Sends @m with the five descriptors of that end of the lane.  0 or -errno. */
int objects_send(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m,
		 const struct objects *o, bool submitter);

/* ---- broker_lun.c ---------------------------------------------------- */

struct lun_rt *lun_rt_new(struct broker *b, struct model_lun *ml);
void lun_rt_free(struct lun_rt *l);
void lun_dirty(struct lun_rt *l);
void lun_stop(struct lun_rt *l, struct worker *w);
void lun_unit_exited(struct broker *b, struct worker *w, const Tgt__UnitExited *e);
/* NULL, or why the LUN cannot be opened now. */
const char *lun_offline(const struct lun_rt *l);
void storaged_hello(struct broker *b, struct worker *w);
void scsid_hello(struct broker *b, struct worker *w);
void storaged_ready(struct broker *b, struct worker *w, const Tgt__Ready *r);
void scsid_ready(struct broker *b, struct worker *w, const Tgt__Ready *r);
void storaged_gone(struct broker *b, struct worker *w);
void scsid_gone(struct broker *b, struct worker *w);
/* One of its two workers could not attach the lower lane, or saw the other
 * break its rules: what a dead one left there may be the cause. */
void lower_fault(struct lun_rt *l);
void lower_try_renew(struct lun_rt *l);
/* Nothing more to do for a dying LUN: frees it, true. */
bool lun_try_end(struct lun_rt *l);

/* ---- broker_lane.c --------------------------------------------------- */

struct lane *lane_find(struct broker *b, uint32_t id);
void lane_free(struct lane *la);
void lun_advance(struct lun_rt *l);
void lane_send_open(struct lane *la); /* LaneOpen */
void lane_send_pool(struct lane *la); /* PoolAttach */
void attach_send_add(struct attach *a); /* NexusAdd */
void attach_drop(struct attach *a);
void request_answer(struct request *r, int err, const char *text);
void request_free(struct request *r);

int on_lane_opened(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_lane_closed(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_nexus_added(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_nexus_dropped(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_pool_attached(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_pool_detached(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);

/* ---- broker_portal.c ------------------------------------------------- */

void portal_hello(struct broker *b, struct worker *w);
void portal_ready(struct broker *b, struct worker *w, const Tgt__Ready *r);
void portal_gone(struct broker *b, struct worker *w);
void nexus_try_end(struct nexus *n);
size_t target_lun_list(struct model_target *t, uint64_t **list); /* malloc'ed */
int on_session_open(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_discovery_open(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_session_close(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_lun_open(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_lane_released(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);
int on_violation(struct broker *b, struct worker *w, const Tgt__WorkerMsg *m);

#endif
