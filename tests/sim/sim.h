/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The deterministic simulation of the slot protocol: one process, one thread,
 * a virtual clock, one random number generator per seed.
 *
 * The lane code, scsid's engine with its recovery and SCSI code, and
 * storaged's serve core are the real ones.  Simulated are tgt-ctld (epochs,
 * start order, messages: ctld.c), two portal threads (portal.c), the store
 * (store.c) and death (crash.c): tests/sim/wraps has the linker put a hook
 * before and after every call by which scsid or storaged changes or reads
 * shared memory, and any of them may be the last thing an incarnation does.
 * Its private memory is an arena that is then overwritten; the shared memory
 * stays.  Other processes run inside such hooks too, so that calls interleave.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/lane.h"
#include "proto/pool.h"
#include "scsid/engine.h"
#include "storaged/backend.h"
#include "storaged/serve.h"

enum {
	PORTALS = 2,
	BLOCKS = 6, /* of the store: few, so that commands collide */
	BLOCK = 512, /* bytes */
	XFER_MAX = 3, /* blocks of one command */
	CMDS_MAX = 96,
	SLOTS_MAX = 8,
	POOL_BYTES = 8 * POOL_PAGE,
	STORE_OPS = 64,
	MAIL_MAX = 64,
	BELL_BASE = 1 << 20, /* descriptors from here on are the simulation's */
	STEP_NS = 1000000,
	STEPS_MAX = 400000, /* of virtual time: the bound on liveness */
};

enum proc_id { PORTAL0, PORTAL1, SCSID, STORAGED, PROCS, NOBODY = PROCS };

/* ---- messages of ctld ---- */

enum mail_type { M_EPOCH, M_LANE_OPEN, M_LANE_CLOSE, M_NEXUS_DROP, M_POOL_ADD, M_POOL_DEL };

struct mail {
	enum mail_type type;
	int portal; /* which portal's lane; -1: the lower lane */
	uint32_t epoch;
};

struct proc {
	bool alive;
	bool asleep;
	uint32_t deaths;
	bool noticed; /* dead, and ctld has acted on it */
	bool running; /* it is on the stack: not entered again */
	uint64_t next; /* dead: the time of the next thing ctld does about it */
	jmp_buf death;
	struct mail mail[MAIL_MAX];
	unsigned n_mail;
};

/* ---- commands ---- */

enum cmd_kind { C_READ, C_WRITE, C_FLUSH, C_TUR, C_INQUIRY, C_RESET };

struct rec {
	uint8_t kind; /* enum cmd_kind */
	uint8_t portal;
	uint8_t lba, blocks; /* of the CDB */
	uint8_t moved; /* blocks that are transferred: min(CDB, EDTL) */
	bool open; /* submitted, no end reported */
	bool ended; /* nothing of it may reach the store any more */
	bool good; /* DONE with GOOD */
	bool cancelled;
	uint32_t runs_in; /* 1 + the storaged incarnation that executed it last */
	uint64_t inv, resp; /* ticks */
	uint64_t value[XFER_MAX]; /* read */
};

/* A value names its writer: the block @i of command @id. */
static inline uint64_t
value_of(unsigned id, unsigned i)
{
	return (uint64_t)id * 16 + i + 1;
}

/* ---- portals ---- */

struct pcmd {
	int id; /* rec; -1: slot unused */
	bool want, data_sent, cancel_sent, ended;
	uint64_t order; /* of submission */
	struct lane_ext ext[2];
	int n_ext;
	struct lane_ext got[LANE_EXT_MAX];
	int n_got;
};

struct portal {
	bool open;
	struct lane_submitter *sub;
	struct pool *pool;
	struct pcmd slot[SLOTS_MAX];
	int quota; /* commands still to be submitted */
};

/* ---- lanes, as ctld knows them ---- */

enum lane_life { L_NEW, L_POOLED, L_OPEN, L_CLOSING, L_DETACH };

struct sim_lane {
	enum lane_life life;
	bool sent; /* the message for this step of life is on its way */
	bool closed; /* lane_closed was reported */
	uint32_t id, nexus, epoch;
	_Alignas(64) uint8_t sub[16384];
	_Alignas(64) uint8_t status[16384];
	uint8_t pool[POOL_BYTES];
};

/* ---- the store ---- */

struct store_op {
	bool used;
	struct blk_req *r; /* NULL: its storaged is dead, it may land late */
	uint8_t op, first, n, landed; /* landed: bit mask of blocks */
	bool ready; /* waits for reap */
	uint64_t *at[XFER_MAX];
};

struct store {
	struct backend backend;
	uint64_t value[BLOCKS];
	struct store_op ops[STORE_OPS];
	unsigned n_used;
};

/* ---- the world ---- */

struct control { /* negative controls and options */
	bool no_rangelock, no_drain, no_fence, verbose;
};

struct world {
	uint64_t seed, rng, tick, steps, now;
	uint32_t upper_slots, lower_slots;
	struct control opt;

	struct proc proc[PROCS];
	enum proc_id cur; /* who runs */
	int depth; /* of nested steps */

	struct portal portal[PORTALS];
	struct sim_lane lane[PORTALS];
	uint32_t lower_epoch;
	bool lower_used[2]; /* [0] by storaged, [1] by scsid: was READY once */
	_Alignas(64) uint8_t lower_sub[16384];
	_Alignas(64) uint8_t lower_status[16384];

	struct engine *engine;
	struct serve *serve;
	struct lu lu;
	struct store store;

	struct rec rec[CMDS_MAX];
	unsigned n_rec;
	bool final; /* the last reads */
	bool resets; /* a LOGICAL UNIT RESET was sent: silent cancels are right */
	int kills_left; /* of portals */

	int crashes_left;
	int countdown; /* hooks until the next death anywhere */
	int target, target_hits; /* and the next at a chosen point */
	bool trouble; /* deaths come thick and fast */
	bool long_outage;

	bool failed;
	char why[256];
};

extern struct world W;

uint64_t sim_rnd(void);
static inline uint32_t
rnd(uint32_t n)
{
	return (uint32_t)((sim_rnd() >> 16) % n);
}

/* Ends the seed as failed; the first reason is kept. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* crash.c */
void crash_begin_seed(void);
void crash_run(enum proc_id id, void (*fn)(void)); /* fn as that process, to its end or death */
void *arena_reset(enum proc_id id);
bool crash_report(bool verbose, bool require); /* false: a point was never hit */

/* ctld.c */
void ctld_begin_seed(void);
void ctld_step(void);
void ctld_died(enum proc_id id);
void ctld_kill_portal(int p);
void post(enum proc_id to, enum mail_type type, int portal, uint32_t epoch);
bool sim_step_one(enum proc_id id); /* one step of a process; false: not runnable */
uint64_t ctld_next(void);
struct lane_maps lane_maps_of(int portal, int bell_to);

/* worker.c: scsid and storaged as processes */
void scsid_spawn(void);
void scsid_step(void);
void storaged_spawn(void);
void storaged_step(void);

/* portal.c */
void portal_begin_seed(int p);
void portal_open(int p);
void portal_step(int p);
void portal_killed(int p);
bool portal_idle(const struct portal *p);

/* store.c */
void store_begin_seed(void);
void store_step(void);
void store_orphan(void); /* storaged died: what is in flight may land late */
bool store_fenced(void);
bool store_can_land(void);

/* history.c */
void history_check(void);

#endif
