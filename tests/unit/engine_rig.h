/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rig for the engine: a scripted portal and a scripted storaged around it,
 * both speaking through real lanes.
 */
#ifndef TESTS_UNIT_ENGINE_RIG_H
#define TESTS_UNIT_ENGINE_RIG_H

#include "scsid/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/tap.h"

enum { SLOTS = 8, LOWER_SLOTS = 2, BS = 512, POOL = 65536, LANES = 2 };
#define MS 1000000ull

static struct rig {
	_Alignas(64) uint8_t sub[LANES][16384];
	_Alignas(64) uint8_t status[LANES][16384];
	_Alignas(64) uint8_t lower_sub[16384];
	_Alignas(64) uint8_t lower_status[16384];
	uint8_t pool[LANES][POOL];
	struct lu lu;
	struct engine *e;
	struct lane_submitter *up[LANES];
	struct lane_server *store;
	uint64_t now;
	uint32_t violation, closed, dropped; /* last lane or nexus reported */
	int n_violations;
} R;

/* ---- the rig --------------------------------------------------------------- */

static inline void
on_violation(void *ctx, uint32_t lane, const char *text)
{
	R.violation = lane;
	R.n_violations++;
}

static inline void
on_closed(void *ctx, uint32_t lane)
{
	R.closed = lane;
}

static inline void
on_dropped(void *ctx, uint32_t nexus)
{
	R.dropped = nexus;
}

static const struct engine_ops ops = { on_violation, on_closed, on_dropped };

static inline struct lane_maps
upper_maps(int i)
{
	return (struct lane_maps){ R.sub[i], R.status[i], SLOTS, -1 };
}

static inline struct lane_maps
lower_maps(void)
{
	return (struct lane_maps){ R.lower_sub, R.lower_status, LOWER_SLOTS, -1 };
}

/* Lane i + 1 with nexus i + 1 and pool i + 1. */
static inline void
engine_up(uint32_t epoch, bool fresh)
{
	struct lane_maps lower = lower_maps();

	R.e = engine_new(&R.lu, &ops, NULL);
	if (!R.lu.inventory)
		CHECK_EQ(engine_lower(R.e, &lower, epoch, fresh), 0);
	for (int i = 0; i < LANES; i++) {
		struct engine_lane_conf c = {
			.id = (uint32_t)i + 1, .epoch = epoch, .fresh = fresh,
			.maps = upper_maps(i), .pool = (uint32_t)i + 1,
			.pool_size = POOL, .pool_base = R.pool[i],
		};
		struct nexus_conf n = {
			.id = (uint32_t)i + 1, .lane = (uint32_t)i + 1,
			.initiator_port = "iqn.a,i,0x1", .target_port = "iqn.t,t,0x1",
		};

		CHECK_EQ(engine_lane_add(R.e, &c), 0);
		CHECK_EQ(engine_lane_add(R.e, &c), -EEXIST);
		CHECK_EQ(engine_nexus_add(R.e, &n), 0);
	}
	engine_start(R.e);
}

static inline void
rig_done(void)
{
	engine_free(R.e);
	lane_srv_free(R.store);
	for (int i = 0; i < LANES; i++)
		lane_sub_free(R.up[i]);
}

static inline void
setup(bool inventory)
{
	struct lane_maps lower = lower_maps();

	rig_done();
	memset(&R, 0, sizeof(R));
	R.lu = (struct lu){ .name = "t", .inventory = inventory, .can_flush = true,
			    .block_size = BS, .blocks = 100, .max_transfer = 64 * BS,
			    .vendor = "V", .product = "P", .revision = "1", .serial = "S" };
	R.store = lane_srv_attach(&lower, 1, true);
	lane_srv_serve(R.store);
	for (int i = 0; i < LANES; i++) {
		struct lane_maps m = upper_maps(i);

		R.up[i] = lane_sub_attach(&m, 1, true);
	}
	engine_up(1, true);
}

static inline void
turns(void)
{
	for (int i = 0; i < LANES; i++)
		lane_sub_publish(R.up[i]);
	lane_srv_publish(R.store);
	for (int i = 0; i < 20 && engine_turn(R.e, R.now); i++)
		;
}

/* A command on lane @l; its data at @off of the pool in two extents. */
static inline int
put(int l, const uint8_t *cdb, uint16_t len, uint32_t edtl_in, uint32_t edtl_out, uint32_t ready,
    uint64_t off)
{
	int slot = lane_sub_get(R.up[l]);
	struct lane_req *q = lane_sub_req(R.up[l], (uint16_t)slot);
	struct lane_ext *x = edtl_out ? q->out : q->in;
	uint32_t edtl = edtl_out ? edtl_out : edtl_in;

	q->kind = LANE_SCSI;
	q->nexus = (uint32_t)l + 1;
	q->u.scsi.edtl_in = edtl_in;
	q->u.scsi.edtl_out = edtl_out;
	q->u.scsi.out_ready = ready;
	q->u.scsi.cdb_len = len;
	memcpy(q->u.scsi.cdb, cdb, len);
	if (edtl) {
		uint32_t first = edtl > BS ? BS : edtl;

		x[0] = (struct lane_ext){ (uint32_t)l + 1, first, off };
		x[1] = (struct lane_ext){ (uint32_t)l + 1, edtl - first, off + 4096 };
		*(edtl_out ? &q->n_out : &q->n_in) = edtl > BS ? 2 : 1;
	}
	lane_sub_submit(R.up[l], (uint16_t)slot);
	return slot;
}

static inline int
put_rw(int l, bool write, uint8_t lba, uint8_t blocks, uint32_t edtl, uint32_t ready)
{
	const uint8_t cdb[10] = { write ? 0x2a : 0x28, [5] = lba, [8] = blocks };

	return put(l, cdb, 10, write ? 0 : edtl, write ? edtl : 0, ready, lba * 16384u % POOL);
}

static inline int
put_tmf(int l, uint8_t function)
{
	int slot = lane_sub_get(R.up[l]);
	struct lane_req *q = lane_sub_req(R.up[l], (uint16_t)slot);

	q->kind = LANE_TMF;
	q->nexus = (uint32_t)l + 1;
	q->u.scsi.tmf = function;
	lane_sub_submit(R.up[l], (uint16_t)slot);
	return slot;
}

/* The next event of lane @l; state 0 when there is none. */
static inline struct lane_event
event(int l)
{
	struct lane_event ev = { 0 };

	if (lane_sub_poll(R.up[l], &ev, 1) < 1)
		ev.state = 0;
	return ev;
}

static inline struct lane_rsp
rsp(int l, int slot)
{
	struct lane_rsp r = { 0 };

	CHECK_EQ(lane_sub_rsp(R.up[l], (uint16_t)slot, &r), 0);
	return r;
}

/* Expects slot to end in @state, and releases it. */
static inline struct lane_rsp
ends(int l, int slot, enum lane_state state)
{
	struct lane_event ev = event(l);
	struct lane_rsp r = { 0 };

	CHECK_EQ(ev.state, state);
	CHECK_EQ(ev.slot, slot);
	if (ev.state == LANE_DONE)
		r = rsp(l, slot);
	if (ev.state >= LANE_DONE)
		lane_sub_release(R.up[l], (uint16_t)slot);
	return r;
}

/* What storaged gets; claims and executes it.  false: nothing. */
static inline bool
store_take(struct lane_taken *t)
{
	if (lane_srv_take(R.store, t) != 1)
		return false;
	lane_srv_claim(R.store, t->slot, t->seq);
	lane_srv_exec(R.store, t->slot);
	return true;
}

static inline void
store_done(const struct lane_taken *t, int error)
{
	struct lane_rsp *r = lane_srv_rsp(R.store, t->slot);

	r->error = error;
	r->in_len = t->req.u.blk.op == BLK_READ ? (uint32_t)t->req.u.blk.len : 0;
	lane_srv_done(R.store, t->slot);
	turns();
}

static inline int
sense_of(const struct lane_rsp *r)
{
	return r->status == STATUS_CHECK_CONDITION ?
		       (r->sense[2] & 0xf) << 16 | r->sense[12] << 8 | r->sense[13] : -1;
}

#endif
