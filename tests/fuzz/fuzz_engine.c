/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile portal: the input is a script of what it writes into its half of
 * the lane (words, requests, ring entries, any byte), between turns of the
 * engine, answers of the store and restarts of scsid.  The engine must not
 * crash, write outside the lane's pool, touch the other lane, or submit a block
 * request that names anything but that pool.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lane_ring.h"
#include "scsid/engine.h"

enum { SLOTS = 4, LOWER = 2, POOL = 8192, CANARY = 0xa5 };

static _Alignas(64) uint8_t sub[8192], status[8192], lower_sub[4096], lower_status[4096];
static uint8_t pool[POOL + 128];
static struct engine *engine;
static struct lane_server *store;
static uint32_t lane_id, epoch, tail;
static uint64_t now;
static bool closed;

static const struct lu lu = { .name = "fuzz", .can_flush = true, .block_size = 512,
			      .blocks = 64, .max_transfer = 4096, .vendor = "V",
			      .product = "P", .revision = "1", .serial = "S" };

struct input {
	const uint8_t *p, *end;
};

static uint8_t
byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static void
on_violation(void *ctx, uint32_t lane, const char *text)
{
	if (!lane)
		abort(); /* the store of this test keeps to the rules */
}

static void
on_lane_closed(void *ctx, uint32_t lane)
{
	closed = true;
}

static void
on_nexus_dropped(void *ctx, uint32_t nexus)
{
}

static const struct engine_ops ops = { on_violation, on_lane_closed, on_nexus_dropped };

static void
add_lane(bool fresh)
{
	struct engine_lane_conf c = {
		.id = lane_id, .epoch = epoch, .fresh = fresh,
		.maps = { sub, status, SLOTS, -1 },
		.pool = lane_id, .pool_size = POOL, .pool_base = pool + 64,
	};
	struct nexus_conf n = { .id = lane_id, .lane = lane_id };

	/* What the portal made of the memory may be no lane any more. */
	closed = engine_lane_add(engine, &c) != 0;
	if (engine_nexus_add(engine, &n))
		abort();
	tail = 0;
}

static void
start(bool fresh)
{
	const struct lane_maps lower = { lower_sub, lower_status, LOWER, -1 };

	engine = engine_new(&lu, &ops, NULL);
	if (!engine || engine_lower(engine, &lower, epoch, fresh))
		abort();
	add_lane(fresh);
	engine_start(engine);
}

static void
turns(void)
{
	for (int i = 0; i < 8 && engine_turn(engine, now += 100000000); i++)
		;
}

/* ---- what the script can do ---------------------------------------------------- */

static struct lane_sub_slot *
slot_at(uint8_t i)
{
	return (struct lane_sub_slot *)lane_slots((struct lane_half *)sub, SLOTS) + i % SLOTS;
}

static void
do_request(struct input *in)
{
	struct lane_req *q = &slot_at(byte(in))->req;
	uint8_t pages = byte(in);

	memset(q, 0, sizeof(*q));
	q->kind = byte(in) % 4;
	q->nexus = lane_id;
	q->order = byte(in);
	q->n_out = byte(in) % 6;
	q->n_in = byte(in) % 6;
	for (int i = 0; i < LANE_EXT_MAX; i++) {
		q->in[i] = (struct lane_ext){ lane_id, pages * 16u, byte(in) * 32u };
		q->out[i] = q->in[i];
	}
	q->u.scsi.edtl_in = byte(in) * 64u;
	q->u.scsi.edtl_out = byte(in) * 64u;
	q->u.scsi.out_ready = byte(in) * 64u;
	q->u.scsi.attr = byte(in) % 6;
	q->u.scsi.tmf = byte(in) % 8;
	q->u.scsi.cdb_len = byte(in) % 20;
	for (int i = 0; i < 16; i++)
		q->u.scsi.cdb[i] = byte(in);
}

/* The next word of a slot, or any; named in the ring. */
static void
do_word(struct input *in)
{
	uint8_t i = byte(in) % SLOTS, step = byte(in);
	struct lane_half *h = (struct lane_half *)sub;
	uint64_t w = slot_at(i)->word;
	uint32_t seq = lane_high(w) + (step >> 4 == 15 ? byte(in) : step >> 4 & 1);

	slot_at(i)->word = lane_pair(seq, step & 7);
	h->ring[tail++ % (LANE_RING_FACTOR * SLOTS)] = seq << 16 | i;
	h->published.v = lane_pair(epoch, tail);
}

static void
do_poke(struct input *in)
{
	uint32_t at = byte(in) << 8;

	at |= byte(in);
	sub[at % sizeof(sub)] = byte(in);
}

static void
do_turn(struct input *in)
{
	turns();
}

static void
do_store(struct input *in)
{
	const struct lane_pool_info info = { lane_id, POOL };
	const struct lane_limits lim = { .pools = &info, .n_pools = 1,
					 .kinds = 1u << LANE_BLK, .store_size = 64 * 512 };
	struct lane_taken t;

	while (lane_srv_take(store, &t) == 1) {
		if (t.op == LANE_CANCEL) {
			if (t.state != LANE_NONE)
				continue;
			lane_srv_claim(store, t.slot, t.seq);
			lane_srv_cancelled(store, t.slot);
			continue;
		}
		if (lane_req_check(&lim, &t.req))
			abort();
		lane_srv_claim(store, t.slot, t.seq);
		lane_srv_rsp(store, t.slot)->error = byte(in) & 1 ? -5 : 0;
		lane_srv_rsp(store, t.slot)->in_len = (uint32_t)t.req.u.blk.len;
		lane_srv_done(store, t.slot);
	}
	lane_srv_publish(store);
	turns();
}

static void
do_restart(struct input *in)
{
	engine_free(engine);
	epoch++;
	lane_srv_epoch(store, epoch);
	lane_srv_serve(store);
	start(false);
	turns();
}

/* The portal dies and is replaced. */
static void
do_close(struct input *in)
{
	if (!closed)
		engine_lane_close(engine, lane_id);
	engine_nexus_drop(engine, lane_id);
	for (int i = 0; i < 4; i++) {
		turns();
		do_store(in);
	}
	if (!closed || engine_busy(engine))
		abort();
	memset(sub, 0, sizeof(sub));
	memset(status, 0, sizeof(status));
	lane_id++;
	add_lane(true);
}

static void (*const actions[])(struct input *in) = {
	do_request, do_word, do_word, do_turn, do_store, do_poke, do_restart, do_close,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct lane_maps lower = { lower_sub, lower_status, LOWER, -1 };
	struct input in = { data, data + size };

	memset(sub, 0, sizeof(sub));
	memset(status, 0, sizeof(status));
	memset(lower_sub, 0, sizeof(lower_sub));
	memset(lower_status, 0, sizeof(lower_status));
	memset(pool, CANARY, sizeof(pool));
	lane_id = epoch = 1;
	now = 0;
	store = lane_srv_attach(&lower, epoch, true);
	if (!store)
		abort();
	lane_srv_serve(store);
	start(true);
	turns();
	while (in.p < in.end)
		actions[byte(&in) % ARRAY_SIZE(actions)](&in);
	do_close(&in);
	for (int i = 0; i < 64; i++)
		if (pool[i] != CANARY || pool[64 + POOL + i] != CANARY)
			abort();
	engine_free(engine);
	lane_srv_free(store);
	return 0;
}
