/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storaged/serve.c over a real lane with a memory backend: service, border,
 * capabilities, cancel, pools.
 */
#include "tests/unit/serve_rig.h"

/* ---- service ----------------------------------------------------------- */

static void
test_round_trip(void)
{
	begin(false);
	for (int i = 0; i < 4096; i++)
		pool[i] = (uint8_t)(i * 7);
	CHECK_EQ(io(BLK_WRITE, 0, 512, 4096, 0), 0);
	CHECK_MEM(mem.bytes + 512, pool, 4096);
	CHECK_EQ(io(BLK_READ, 0, 512, 4096, 8192), 0);
	CHECK_MEM(pool + 8192, pool, 4096);
	CHECK_EQ(io(BLK_FLUSH, 0, 0, 0, 0), 0);
	CHECK_EQ(io(BLK_WRITE, BLK_FUA, 0, 512, 0), 0);
	CHECK_EQ(mem.ops[3].flags, BLK_FUA);
	CHECK_EQ(serve_stats(serve)->taken, 4);
	CHECK_EQ(serve_inflight(serve), 0);
	finish();
}

/* Four extents in two pools; what lies between them stays as it was. */
static void
test_extents(void)
{
	struct lane_req *r;
	int slot, err;

	begin(false);
	for (int i = 0; i < 2048; i++)
		mem.bytes[i] = (uint8_t)i;
	memset(scratch, 0xee, sizeof(scratch));
	slot = lane_sub_get(sub);
	r = blk(slot, BLK_READ, 0, 0, 512, 100);
	r->in[r->n_in++] = (struct lane_ext){ .pool = 0, .len = 512, .off = 512 };
	r->in[r->n_in++] = (struct lane_ext){ .pool = POOL, .len = 1000, .off = POOL_SIZE - 1000 };
	r->in[r->n_in++] = (struct lane_ext){ .pool = POOL, .len = 24, .off = 0 };
	r->u.blk.len = 2048;
	lane_sub_submit(sub, (uint16_t)slot);
	lane_sub_publish(sub);
	CHECK_EQ(turns(), 2);
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(err, 0);
	CHECK_MEM(pool + 100, mem.bytes, 512);
	CHECK_MEM(scratch + 512, mem.bytes + 512, 512);
	CHECK_MEM(pool + POOL_SIZE - 1000, mem.bytes + 1024, 1000);
	CHECK_MEM(pool, mem.bytes + 2024, 24);
	CHECK_EQ(pool[99], 0xee);
	CHECK_EQ(pool[612], 0xee);
	CHECK_EQ(scratch[511], 0xee);
	finish();
}

static void
test_answers(void)
{
	struct lane_rsp rsp;
	struct lane_event ev;

	begin(false);
	put(BLK_READ, 0, 0, 4096, 0);
	turns();
	CHECK_EQ(lane_sub_poll(sub, &ev, 1), 1);
	CHECK_EQ(lane_sub_rsp(sub, ev.slot, &rsp), 0);
	CHECK_EQ(rsp.in_len, 4096);
	CHECK_EQ(rsp.out_len, 0);
	lane_sub_release(sub, ev.slot);
	mem.fail = -EIO;
	put(BLK_READ, 0, 0, 4096, 0);
	turns();
	CHECK_EQ(lane_sub_poll(sub, &ev, 1), 1);
	CHECK_EQ(lane_sub_rsp(sub, ev.slot, &rsp), 0);
	CHECK_EQ(rsp.error, -EIO);
	CHECK_EQ(rsp.in_len, 0); /* nothing of the pool may be sent */
	lane_sub_release(sub, ev.slot);
	CHECK_EQ(serve_stats(serve)->errors, 1);
	finish();
}

/* Many requests, one published word and one bell. */
static void
test_batch(void)
{
	struct lane_event ev[SLOTS];

	begin(false);
	CHECK(lane_sub_ready(sub)); /* the epoch is news too */
	CHECK(lane_sub_sleep(sub));
	for (int i = 0; i < SLOTS; i++) {
		int slot = lane_sub_get(sub);

		blk(slot, BLK_WRITE, 0, (uint64_t)i * 512, 512, 0);
		lane_sub_submit(sub, (uint16_t)slot);
	}
	lane_sub_publish(sub);
	CHECK_EQ(serve_turn(serve), 2 * SLOTS);
	CHECK_EQ(serve_turn(serve), 0);
	CHECK_EQ(serve_lane_stats(serve)->bells, 1);
	lane_sub_wake(sub);
	CHECK_EQ(lane_sub_poll(sub, ev, SLOTS), SLOTS);
	finish();
}

/* A turn ends after so many bytes, so that answers are not held back. */
static void
test_batch_bytes(void)
{
	begin(false);
	for (int i = 0; i < 4; i++)
		put(BLK_READ, 0, 0, SERVE_BATCH_BYTES / 2, 0);
	CHECK_EQ(serve_turn(serve), 4);
	CHECK_EQ(serve_turn(serve), 4);
	CHECK_EQ(serve_turn(serve), 0);
	finish();
}

static void
test_sleep(void)
{
	int slot, err;

	begin(false);
	turns();
	CHECK(serve_sleep(serve));
	serve_wake(serve);
	slot = put(BLK_FLUSH, 0, 0, 0, 0);
	CHECK(!serve_sleep(serve));
	turns();
	CHECK(serve_sleep(serve));
	serve_wake(serve);
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(io(BLK_FLUSH, 0, 0, 0, 0), 0);
	finish();
}

/* ---- the border -------------------------------------------------------- */

/* What is asked for rightly but cannot be: an answer, not a violation. */
static void
test_refused(void)
{
	begin(false);
	CHECK_EQ(io(BLK_READ, 0, MEM_SIZE - 512, 1024, 0), -ERANGE);
	CHECK_EQ(io(BLK_WRITE, 0, MEM_SIZE, 512, 0), -ERANGE);
	CHECK_EQ(io(BLK_READ, 0, UINT64_MAX - 100, 512, 0), -ERANGE);
	CHECK_EQ(mem.n_ops, 0);
	mem.b.caps = 0;
	CHECK_EQ(io(BLK_FLUSH, 0, 0, 0, 0), -EOPNOTSUPP);
	CHECK_EQ(io(BLK_WRITE, BLK_FUA, 0, 512, 0), -EOPNOTSUPP);
	CHECK_EQ(io(BLK_WRITE, 0, 0, 512, 0), 0);
	CHECK_EQ(mem.n_ops, 1);
	finish();
	begin(true);
	CHECK_EQ(io(BLK_WRITE, 0, 0, 512, 0), -EROFS);
	CHECK_EQ(io(BLK_READ, 0, 0, 512, 0), 0);
	CHECK_EQ(io(BLK_FLUSH, 0, 0, 0, 0), 0);
	finish();
}

/* A backend without write-through: the write, then a flush, then the answer. */
static void
test_fua_is_write_and_flush(void)
{
	begin(false);
	mem.b.caps = BLK_CAP_FLUSH;
	mem.hold = true;
	int slot = put(BLK_WRITE, BLK_FUA, 512, 512, 0), err = 1;

	turns();
	CHECK_EQ(mem.n_ops, 1);
	mem_end(&mem, 0);
	CHECK_EQ(turns(), 0);
	CHECK_EQ(mem.n_ops, 2);
	CHECK_EQ(mem.ops[1].op, BLK_FLUSH);
	CHECK_EQ(get(slot, &err), 0);
	mem_end(&mem, 0);
	CHECK_EQ(turns(), 1);
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(err, 0);
	slot = put(BLK_WRITE, BLK_FUA, 512, 512, 0);
	turns();
	mem_end(&mem, 0);
	mem.fail = -EIO;
	mem_end(&mem, 0);
	turns();
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(err, -EIO);
	finish();
}

/* SBC-3 5.11: a read with FUA flushes first and then reads; a flush that fails
 * fails the read. */
static void
test_fua_is_flush_and_read(void)
{
	begin(false);
	mem.hold = true;
	int slot = put(BLK_READ, BLK_FUA, 512, 512, 0), err = 1;

	memset(mem.bytes + 512, 0x5a, 512);
	turns();
	CHECK_EQ(mem.n_ops, 1);
	CHECK_EQ(mem.ops[0].op, BLK_FLUSH);
	mem_end(&mem, 0);
	turns();
	CHECK_EQ(mem.n_ops, 2);
	CHECK_EQ(mem.ops[1].op, BLK_READ);
	CHECK_EQ(get(slot, &err), 0);
	mem_end(&mem, 0);
	turns();
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(err, 0);
	CHECK_EQ(pool[0], 0x5a);
	CHECK_EQ(pool[511], 0x5a);
	slot = put(BLK_READ, BLK_FUA, 512, 512, 0);
	turns();
	mem.fail = -EIO;
	mem_end(&mem, 0);
	turns();
	CHECK_EQ(mem.n_ops, 3);
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(err, -EIO);
	finish();
}

static const struct {
	const char *what;
	uint8_t kind, op, flags, n_in, n_out;
	uint16_t reserved;
	uint64_t len;
	struct lane_ext ext;
} malformed[] = {
	{ "kind 0", 0, BLK_READ, 0, 1, 0, 0, 512, { POOL, 512, 0 } },
	{ "a CDB", LANE_SCSI, BLK_READ, 0, 1, 0, 0, 512, { POOL, 512, 0 } },
	{ "op 0", LANE_BLK, 0, 0, 1, 0, 0, 512, { POOL, 512, 0 } },
	{ "an unknown op", LANE_BLK, BLK_OP_COUNT, 0, 1, 0, 0, 512, { POOL, 512, 0 } },
	{ "op 255", LANE_BLK, 255, 0, 1, 0, 0, 512, { POOL, 512, 0 } },
	{ "an unknown flag", LANE_BLK, BLK_WRITE, 2, 0, 1, 0, 512, { POOL, 512, 0 } },
	{ "an unknown pool", LANE_BLK, BLK_READ, 0, 1, 0, 0, 512, { 4, 512, 0 } },
	{ "one byte beyond", LANE_BLK, BLK_READ, 0, 1, 0, 0, 512, { POOL, 512, POOL_SIZE - 511 } },
	{ "far beyond", LANE_BLK, BLK_READ, 0, 1, 0, 0, 512, { POOL, 512, UINT64_MAX - 10 } },
	{ "sum of extents", LANE_BLK, BLK_READ, 0, 1, 0, 0, 1024, { POOL, 512, 0 } },
	{ "no extent", LANE_BLK, BLK_READ, 0, 0, 0, 0, 512, { POOL, 512, 0 } },
	{ "five extents", LANE_BLK, BLK_READ, 0, 5, 0, 0, 512, { POOL, 512, 0 } },
	{ "the other direction", LANE_BLK, BLK_READ, 0, 0, 1, 0, 512, { POOL, 512, 0 } },
	{ "FLUSH with data", LANE_BLK, BLK_FLUSH, 0, 0, 1, 0, 512, { POOL, 512, 0 } },
	{ "reserved bits", LANE_BLK, BLK_READ, 0, 1, 0, 1, 512, { POOL, 512, 0 } },
};

/* Frozen once and for this epoch; what was in flight ends; the next epoch is
 * served as if nothing had been. */
static void
test_malformed(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
		struct lane_req *r;
		int good, bad, late, err;

		begin(false);
		mem.hold = true;
		good = put(BLK_READ, 0, 0, 512, 0);
		bad = lane_sub_get(sub);
		r = lane_sub_req(sub, (uint16_t)bad);
		r->kind = malformed[i].kind;
		r->n_in = malformed[i].n_in;
		r->n_out = malformed[i].n_out;
		r->in[0] = r->out[0] = malformed[i].ext;
		r->u.blk.op = malformed[i].op;
		r->u.blk.flags = malformed[i].flags;
		r->u.blk.reserved = malformed[i].reserved;
		r->u.blk.len = malformed[i].len;
		lane_sub_submit(sub, (uint16_t)bad);
		late = put(BLK_READ, 0, 0, 512, 0);
		CHECK_MSG(serve_turn(serve) == -EPROTO, "%s", malformed[i].what);
		CHECK(serve_frozen(serve));
		CHECK(serve_violation(serve)[0]);
		CHECK_EQ(serve_turn(serve), 0);
		CHECK(serve_sleep(serve));
		CHECK_EQ(mem.n_ops, 1);
		mem_end(&mem, 0);
		CHECK_EQ(serve_turn(serve), 1);
		CHECK_EQ(get(good, &err), LANE_DONE);
		mem.hold = false;
		/* ctld: kill, new epoch.  The new one cancels what was not seen. */
		serve_epoch(serve, ++epoch);
		CHECK(!serve_frozen(serve));
		lane_sub_free(sub);
		sub = lane_sub_attach(&maps, epoch, false);
		lane_sub_cancel(sub, (uint16_t)bad);
		lane_sub_cancel(sub, (uint16_t)late);
		lane_sub_publish(sub);
		CHECK(turns() > 0);
		CHECK(lane_sub_ready(sub));
		CHECK_EQ(get(bad, &err), LANE_CANCELLED);
		CHECK_EQ(get(late, &err), LANE_CANCELLED);
		CHECK_EQ(mem.n_ops, 1);
		CHECK_EQ(io(BLK_READ, 0, 0, 512, 0), 0);
		finish();
	}
}

static void
test_broken_words(void)
{
	struct lane_half *h;

	begin(false);
	h = maps.sub;
	((struct lane_sub_slot *)lane_slots(h, SLOTS))[5].word = lane_pair(7, LANE_SUBMIT);
	h->ring[0] = 7u << 16 | 5;
	h->published.v = lane_pair(epoch, 1);
	CHECK_EQ(serve_turn(serve), -EPROTO);
	CHECK_EQ(serve_turn(serve), 0);
	finish();
	begin(false);
	h = maps.sub;
	h->published.v = lane_pair(epoch, 100000);
	CHECK_EQ(serve_turn(serve), -EPROTO);
	CHECK(serve_frozen(serve));
	finish();
}

/* ---- cancel ------------------------------------------------------------ */

static void
test_cancel(void)
{
	int slot, err;

	begin(false);
	/* Never taken: ended without the backend. */
	slot = put(BLK_WRITE, 0, 0, 512, 0);
	lane_sub_cancel(sub, (uint16_t)slot);
	lane_sub_publish(sub);
	turns();
	CHECK_EQ(get(slot, &err), LANE_CANCELLED);
	CHECK_EQ(mem.n_ops, 0);
	/* With the backend: the answer waits for it. */
	mem.hold = true;
	slot = put(BLK_WRITE, 0, 0, 512, 0);
	turns();
	lane_sub_cancel(sub, (uint16_t)slot);
	lane_sub_publish(sub);
	turns();
	CHECK_EQ(get(slot, &err), 0);
	mem_end(&mem, 0);
	turns();
	CHECK_EQ(get(slot, &err), LANE_CANCELLED);
	/* A backend that can still take it back. */
	mem.can_cancel = true;
	slot = put(BLK_WRITE, 0, 0, 512, 0);
	turns();
	lane_sub_cancel(sub, (uint16_t)slot);
	lane_sub_publish(sub);
	turns();
	CHECK_EQ(mem.n_held, 0);
	CHECK_EQ(get(slot, &err), LANE_CANCELLED);
	/* Too late: DONE stands. */
	mem.hold = false;
	slot = put(BLK_WRITE, 0, 0, 512, 0);
	turns();
	lane_sub_cancel(sub, (uint16_t)slot);
	lane_sub_publish(sub);
	turns();
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(serve_inflight(serve), 0);
	finish();
}

/* ---- pools ------------------------------------------------------------- */

static void
test_pools(void)
{
	static uint8_t other[4096];
	int slot, err;

	begin(false);
	CHECK_EQ(serve_pool_add(serve, POOL, other, 4096), -EEXIST);
	CHECK_EQ(serve_pool_add(serve, 9, NULL, 4096), -EINVAL);
	CHECK_EQ(serve_pool_add(serve, 9, other, 0), -EINVAL);
	CHECK_EQ(serve_pool_del(serve, 77), 0);
	mem.hold = true;
	slot = put(BLK_READ, 0, 0, 512, POOL_SIZE - 512);
	turns();
	CHECK_EQ(serve_pool_del(serve, POOL), -EBUSY);
	CHECK_EQ(serve_pool_del(serve, POOL), -EBUSY);
	CHECK_EQ(serve_pool_add(serve, POOL, other, 4096), -EEXIST);
	mem_end(&mem, 0);
	turns();
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(serve_pool_del(serve, POOL), 0);
	CHECK_EQ(serve_pool_add(serve, POOL, other, sizeof(other)), 0);
	mem.hold = false;
	mem.bytes[0] = 0x5a;
	CHECK_EQ(io(BLK_READ, 0, 0, 4096, 0), 0);
	CHECK_EQ(other[0], 0x5a);
	CHECK_EQ(serve_pool_del(serve, POOL), 0);
	put(BLK_READ, 0, 0, 512, 0); /* names what is gone */
	CHECK_EQ(serve_turn(serve), -EPROTO);
	finish();
	begin(false);
	for (uint32_t i = 100; i < 100 + SERVE_POOLS_MAX - 2; i++)
		CHECK_EQ(serve_pool_add(serve, i, other, 4096), 0);
	CHECK_EQ(serve_pool_add(serve, 99, other, 4096), -ENOSPC);
	finish();
}

/* ---- the rest ----------------------------------------------------------- */

static void
test_stop(void)
{
	int slot, err;

	begin(false);
	mem.hold = true;
	slot = put(BLK_WRITE, 0, 512, 512, 0);
	turns();
	serve_stop(serve);
	put(BLK_WRITE, 0, 1024, 512, 0);
	CHECK_EQ(turns(), 0);
	CHECK(serve_sleep(serve));
	CHECK_EQ(serve_inflight(serve), 1);
	mem_end(&mem, 0);
	CHECK_EQ(turns(), 1);
	CHECK_EQ(get(slot, &err), LANE_DONE);
	CHECK_EQ(mem.n_ops, 1);
	finish();
}

static void
test_new_refuses(void)
{
	struct serve_conf conf = { .epoch = 1, .backend = &mem.b };

	mem_init(&mem);
	CHECK(serve_new(&conf) == NULL);
	serve_free(NULL);
}

int
main(void)
{
	TEST(test_round_trip);
	TEST(test_extents);
	TEST(test_answers);
	TEST(test_batch);
	TEST(test_batch_bytes);
	TEST(test_sleep);
	TEST(test_refused);
	TEST(test_fua_is_write_and_flush);
	TEST(test_fua_is_flush_and_read);
	TEST(test_malformed);
	TEST(test_broken_words);
	TEST(test_cancel);
	TEST(test_pools);
	TEST(test_stop);
	TEST(test_new_refuses);
	return tap_done();
}
