/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine: what becomes of one command, with its residuals and locks.
 */
#include "tests/unit/engine_rig.h"

/* ---- commands that the store has no part in ----------------------------------- */

static void
test_reply_and_residual(void)
{
	static const struct {
		uint32_t alloc, edtl, in_len, in_total;
	} rows[] = { /* RFC 7143 11.4.5 */
		{ 96, 96, 96, 96 },
		{ 96, 36, 36, 96 }, /* overflow */
		{ 36, 96, 36, 36 }, /* underflow */
		{ 255, 600, 96, 96 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint8_t inquiry[6] = { 0x12, 0, 0, 0, (uint8_t)rows[i].alloc };
		struct lane_rsp r;
		int s;

		setup(false);
		memset(R.pool[0], 0xcc, POOL);
		s = put(0, inquiry, 6, rows[i].edtl, 0, 0, 0);
		turns();
		r = ends(0, s, LANE_DONE);
		CHECK_EQ(r.status, STATUS_GOOD);
		CHECK_EQ(r.in_len, rows[i].in_len);
		CHECK_EQ(r.in_total, rows[i].in_total);
		CHECK_EQ(R.pool[0][4], 91); /* additional length of 96 bytes */
		CHECK_EQ(R.pool[0][rows[i].in_len], 0xcc); /* nothing behind it */
		CHECK_EQ(engine_busy(R.e), 0);
	}
}

static void
test_power_on_attention(void)
{
	const uint8_t tur[6] = { 0 };
	struct nexus_conf n = { .id = 9, .lane = 1, .fresh = true };
	struct lane_rsp r;
	int s;

	setup(false);
	CHECK_EQ(engine_nexus_add(R.e, &n), 0);
	for (int i = 0; i < 2; i++) {
		s = put(0, tur, 6, 0, 0, 0, 0);
		lane_sub_req(R.up[0], (uint16_t)s)->nexus = 9;
		turns();
		r = ends(0, s, LANE_DONE);
		CHECK_EQ(sense_of(&r), i ? -1 : UNIT_ATTENTION << 16 | 0x2900);
	}
}

/* SPC-4 6.33: owed until the nexus has read the list. */
static void
test_luns_changed(void)
{
	const uint8_t tur[6] = { 0 };
	const uint64_t luns[] = { 0, 1 };
	struct lane_rsp r;
	int s;

	for (uint32_t seen = 0; seen < 2; seen++) {
		setup(false);
		CHECK_EQ(engine_nexus_luns(R.e, 1, 1, luns, 2), 0);
		CHECK_EQ(engine_nexus_luns(R.e, 77, 1, luns, 2), -ENOENT);
		s = put(0, tur, 6, 0, 0, 0, 0);
		lane_sub_req(R.up[0], (uint16_t)s)->u.scsi.luns_seen = seen;
		turns();
		r = ends(0, s, LANE_DONE);
		CHECK_EQ(sense_of(&r), seen ? -1 : UNIT_ATTENTION << 16 | 0x3f0e);
	}
}

static void
test_inventory(void)
{
	struct lane_rsp r;
	int s;

	setup(true);
	s = put_rw(0, false, 0, 1, BS, 0);
	turns();
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(sense_of(&r), ILLEGAL_REQUEST << 16 | 0x2500);
	s = put_tmf(0, 5);
	turns();
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(r.error, 2); /* RFC 7143 11.6.1: LUN does not exist */
}

/* ---- the medium ------------------------------------------------------------------ */

static void
test_read(void)
{
	struct lane_taken t;
	struct lane_rsp r;
	int s;

	setup(false);
	s = put_rw(0, false, 3, 2, 2 * BS, 0);
	turns();
	CHECK(store_take(&t));
	CHECK_EQ(t.req.u.blk.op, BLK_READ);
	CHECK_EQ(t.req.u.blk.off, 3 * BS);
	CHECK_EQ(t.req.u.blk.len, 2 * BS);
	CHECK_EQ(t.req.n_in, 2);
	CHECK_EQ(t.req.in[1].len, BS);
	CHECK_EQ(t.req.u.blk.tag.lane, 1);
	CHECK_EQ(t.req.u.blk.tag.slot, s);
	CHECK_EQ(t.req.u.blk.tag.parts, 1);
	store_done(&t, 0);
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(r.status, STATUS_GOOD);
	CHECK_EQ(r.in_len, 2 * BS);
}

static void
test_write_asks_for_data(void)
{
	struct lane_taken t;
	struct lane_event ev;
	struct lane_rsp r;
	int s;

	setup(false);
	s = put_rw(0, true, 0, 2, 2 * BS, 100);
	turns();
	CHECK(!store_take(&t));
	ev = event(0);
	CHECK_EQ(ev.state, LANE_WANT);
	r = rsp(0, s);
	CHECK_EQ(r.want, 2 * BS);
	lane_sub_data(R.up[0], (uint16_t)s);
	turns();
	CHECK(store_take(&t));
	CHECK_EQ(t.req.u.blk.op, BLK_WRITE);
	CHECK_EQ(t.req.n_out, 2);
	store_done(&t, 0);
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(r.status, STATUS_GOOD);
	CHECK_EQ(r.out_len, 2 * BS);
}

/* RFC 7143 11.4.5: as much as the initiator expects; writes in whole blocks. */
static void
test_medium_residuals(void)
{
	static const struct {
		bool write;
		uint8_t blocks;
		uint32_t edtl, moved;
	} rows[] = {
		{ false, 2, 2 * BS, 2 * BS },
		{ false, 2, BS + 100, BS + 100 },
		{ false, 2, 4 * BS, 2 * BS },
		{ false, 2, 0, 0 },
		{ true, 2, BS, BS },
		{ true, 2, BS + 100, BS },
		{ true, 2, 100, 0 },
		{ true, 2, 4 * BS, 2 * BS },
		{ true, 2, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct lane_taken t;
		struct lane_rsp r;
		int s;

		setup(false);
		s = put_rw(0, rows[i].write, 0, rows[i].blocks, rows[i].edtl,
			   rows[i].write ? rows[i].edtl : 0);
		turns();
		CHECK_EQ(store_take(&t), rows[i].moved != 0);
		if (rows[i].moved) {
			CHECK_EQ(t.req.u.blk.len, rows[i].moved);
			store_done(&t, 0);
		}
		r = ends(0, s, LANE_DONE);
		CHECK_EQ(r.status, STATUS_GOOD);
		CHECK_EQ(rows[i].write ? r.out_len : r.in_total, rows[i].blocks * BS);
		CHECK_EQ(r.in_len, rows[i].write ? 0 : rows[i].moved);
	}
}

static void
test_store_errors(void)
{
	struct lane_taken t;
	struct lane_rsp r;
	int s;

	setup(false);
	s = put_rw(0, false, 0, 1, BS, 0);
	turns();
	CHECK(store_take(&t));
	store_done(&t, -EIO);
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(sense_of(&r), MEDIUM_ERROR << 16 | 0x1100);
	CHECK_EQ(r.in_len + r.in_total, 0);

	/* Fewer bytes without an error: the rest is somebody's old data. */
	s = put_rw(0, false, 0, 1, BS, 0);
	turns();
	CHECK(store_take(&t));
	t.req.u.blk.len = 7;
	store_done(&t, 0);
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(sense_of(&r), MEDIUM_ERROR << 16 | 0x1100);
	CHECK_EQ(r.in_len, 0);
}

static void
test_range_lock(void)
{
	struct lane_taken a, b, c;
	int s1, s2, s3, s4;

	setup(false);
	s1 = put_rw(0, true, 0, 2, 2 * BS, 2 * BS);
	turns();
	s2 = put_rw(1, false, 1, 1, BS, 0); /* overlaps */
	turns();
	s3 = put_rw(1, false, 2, 1, BS, 0); /* does not */
	turns();
	CHECK(store_take(&a) && a.req.u.blk.op == BLK_WRITE);
	CHECK(store_take(&b) && b.req.u.blk.off == 2 * BS);
	CHECK(!store_take(&c));
	store_done(&b, 0);
	ends(1, s3, LANE_DONE);
	CHECK(!store_take(&c));
	store_done(&a, 0);
	ends(0, s1, LANE_DONE);
	CHECK(store_take(&c) && c.req.u.blk.off == BS);
	store_done(&c, 0);
	ends(1, s2, LANE_DONE);

	/* SAM-5 8.6.3: an ORDERED command is a barrier. */
	s1 = put_rw(0, false, 0, 1, BS, 0);
	turns();
	s2 = put_rw(0, false, 50, 1, BS, 0);
	lane_sub_req(R.up[0], (uint16_t)s2)->u.scsi.attr = 2;
	turns();
	s4 = put_rw(0, false, 60, 1, BS, 0);
	turns();
	CHECK(store_take(&a));
	CHECK(!store_take(&b));
	store_done(&a, 0);
	ends(0, s1, LANE_DONE);
	CHECK(store_take(&b) && b.req.u.blk.off == 50 * BS);
	CHECK(!store_take(&c));
	store_done(&b, 0);
	ends(0, s2, LANE_DONE);
	CHECK(store_take(&c));
	store_done(&c, 0);
	ends(0, s4, LANE_DONE);
}

/* A flush waits for no write: it is about those that were answered before it
 * came (SBC-3 5.22).  But nothing passes an ORDERED command. */
static void
test_flush_and_order(void)
{
	const uint8_t cdb[10] = { 0x35 };
	struct lane_taken a, b;
	int w, f;

	setup(false);
	for (int ordered = 0; ordered < 2; ordered++) {
		w = put_rw(0, true, 0, 1, BS, BS);
		lane_sub_req(R.up[0], (uint16_t)w)->u.scsi.attr = ordered ? 2 : 1;
		turns();
		f = put(0, cdb, 10, 0, 0, 0, 0);
		turns();
		CHECK(store_take(&a) && a.req.u.blk.op == BLK_WRITE);
		CHECK_EQ(store_take(&b), !ordered);
		store_done(&a, 0);
		ends(0, w, LANE_DONE);
		if (ordered)
			CHECK(store_take(&b));
		CHECK_EQ(b.req.u.blk.op, BLK_FLUSH);
		CHECK_EQ(b.req.u.blk.len, 0);
		/* Nor do later writes wait for a flush. */
		w = put_rw(0, true, 0, 1, BS, BS);
		turns();
		CHECK(store_take(&a));
		store_done(&b, 0);
		ends(0, f, LANE_DONE);
		store_done(&a, 0);
		ends(0, w, LANE_DONE);
	}
	CHECK_EQ(engine_busy(R.e), 0);
}

/* More commands than lower slots go down in order. */
static void
test_lower_queue(void)
{
	int s[5];

	setup(false);
	for (int i = 0; i < 5; i++)
		s[i] = put_rw(0, false, (uint8_t)(10 * i), 1, BS, 0);
	turns();
	for (int i = 0; i < 5; i++) {
		struct lane_taken t;

		CHECK(store_take(&t));
		CHECK_EQ(t.req.u.blk.off, 10 * i * BS);
		store_done(&t, 0);
		ends(0, s[i], LANE_DONE);
	}
	CHECK_EQ(engine_busy(R.e), 0);
}

int
main(void)
{
	TEST(test_reply_and_residual);
	TEST(test_power_on_attention);
	TEST(test_luns_changed);
	TEST(test_inventory);
	TEST(test_read);
	TEST(test_write_asks_for_data);
	TEST(test_medium_residuals);
	TEST(test_store_errors);
	TEST(test_range_lock);
	TEST(test_flush_and_order);
	TEST(test_lower_queue);
	rig_done();
	return tap_done();
}
