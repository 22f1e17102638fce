/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine: cancels, resets, peers that break the rules, lanes that end,
 * restarts.  What all of them do together is for tests/sim.
 */
#include "tests/unit/engine_rig.h"

/* ---- cancel ------------------------------------------------------------------------ */

static void
test_cancel_waiting(void)
{
	struct lane_taken t, u;
	int want, held, lock, queued, filler;

	setup(false);
	want = put_rw(0, true, 20, 1, BS, 0);
	held = put_rw(0, true, 0, 1, BS, BS);
	lock = put_rw(0, true, 0, 1, BS, BS);
	filler = put_rw(0, true, 5, 1, BS, BS);
	queued = put_rw(0, true, 7, 1, BS, BS); /* both lower slots are taken */
	turns();
	CHECK_EQ(event(0).state, LANE_WANT);
	lane_sub_cancel(R.up[0], (uint16_t)want);
	lane_sub_cancel(R.up[0], (uint16_t)lock);
	lane_sub_cancel(R.up[0], (uint16_t)queued);
	turns();
	ends(0, want, LANE_CANCELLED);
	ends(0, lock, LANE_CANCELLED);
	ends(0, queued, LANE_CANCELLED);
	CHECK(store_take(&t));
	CHECK(store_take(&u));
	store_done(&t, 0);
	ends(0, held, LANE_DONE);
	store_done(&u, 0);
	ends(0, filler, LANE_DONE);
	CHECK(!store_take(&t)); /* nothing cancelled ever got there */
	CHECK_EQ(engine_busy(R.e), 0);
}

static void
test_cancel_in_store(void)
{
	struct lane_taken t;
	int s, early;

	setup(false);
	s = put_rw(0, true, 0, 1, BS, BS);
	turns();
	CHECK(store_take(&t));
	lane_sub_cancel(R.up[0], (uint16_t)s);
	turns();
	CHECK_EQ(event(0).state, 0); /* not before the store has ended it */
	store_done(&t, 0);
	ends(0, s, LANE_CANCELLED);

	early = put_rw(0, true, 0, 1, BS, BS);
	lane_sub_cancel(R.up[0], (uint16_t)early);
	turns();
	ends(0, early, LANE_CANCELLED);
	CHECK(!store_take(&t));
}

/* ---- peers that break the rules ------------------------------------------------------ */

static void
bad_pool(struct lane_req *q)
{
	q->in[0].pool = 2; /* the other lane's */
}

static void
bad_extent(struct lane_req *q)
{
	q->in[0].off = POOL;
}

static void
bad_cdb(struct lane_req *q)
{
	q->u.scsi.cdb_len = 0;
}

static void
bad_kind(struct lane_req *q)
{
	q->kind = LANE_BLK;
}

static void
bad_nexus(struct lane_req *q)
{
	q->nexus = 77;
}

static void
bad_lane(struct lane_req *q)
{
	q->nexus = 2; /* announced, but for the other lane */
}

static void
bad_short(struct lane_req *q)
{
	q->n_in = 0;
}

static void
test_violations(void)
{
	static void (*const bad[])(struct lane_req *q) = {
		bad_pool, bad_extent, bad_cdb, bad_kind, bad_nexus, bad_lane, bad_short,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lane_taken t;
		struct lane_rsp r;
		int s, other;

		setup(false);
		s = put_rw(0, false, 0, 1, BS, 0);
		bad[i](lane_sub_req(R.up[0], (uint16_t)s));
		other = put_rw(1, false, 9, 1, BS, 0);
		turns();
		CHECK_EQ(R.violation, 1);
		CHECK_EQ(R.n_violations, 1);
		CHECK_EQ(event(0).state, 0);
		CHECK(store_take(&t) && t.req.u.blk.off == 9 * BS);
		store_done(&t, 0);
		r = ends(1, other, LANE_DONE);
		CHECK_EQ(r.status, STATUS_GOOD);
		CHECK_EQ(engine_lane_close(R.e, 1), 0);
		turns();
		CHECK_EQ(R.closed, 1);
		CHECK_EQ(R.n_violations, 1);
	}
}

/* storaged answers what it must not: an error above, and the lane is frozen
 * until another storaged has come. */
static void
test_bad_store(void)
{
	struct lane_taken t;
	struct lane_rsp r;
	struct lane_maps lower = lower_maps();
	int s;

	setup(false);
	s = put_rw(0, false, 0, 1, BS, 0);
	turns();
	CHECK(store_take(&t));
	lane_srv_cancelled(R.store, t.slot);
	turns();
	CHECK_EQ(R.n_violations, 1);
	CHECK_EQ(R.violation, 0);
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(sense_of(&r), MEDIUM_ERROR << 16 | 0x1100);
	s = put_rw(0, false, 0, 1, BS, 0);
	turns();
	CHECK(!store_take(&t));

	lane_srv_free(R.store);
	R.store = lane_srv_attach(&lower, 2, false);
	lane_srv_serve(R.store);
	CHECK_EQ(engine_lane_epoch(R.e, 0, 2), 0);
	turns();
	CHECK(store_take(&t));
	store_done(&t, 0);
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(r.status, STATUS_GOOD);
}

/* ---- lanes and nexuses that end ------------------------------------------------------------ */

static void
test_lane_close(void)
{
	struct lane_taken t;
	struct engine_lane_conf c = { .id = 7, .epoch = 1, .fresh = true, .pool = 7 };

	setup(false);
	put_rw(0, true, 0, 1, BS, BS);
	put_rw(0, true, 20, 1, BS, 0); /* waits for data */
	turns();
	CHECK(store_take(&t));
	CHECK_EQ(engine_lane_close(R.e, 1), 0);
	CHECK_EQ(engine_lane_close(R.e, 99), -ENOENT);
	turns();
	CHECK_EQ(R.closed, 0); /* the store may still read the pool */
	store_done(&t, 0);
	CHECK_EQ(R.closed, 1);
	CHECK_EQ(engine_busy(R.e), 0);
	c.maps = upper_maps(0); /* another portal's lane, on new memory */
	memset(R.sub[0], 0, sizeof(R.sub[0]));
	memset(R.status[0], 0, sizeof(R.status[0]));
	CHECK_EQ(engine_lane_add(R.e, &c), 0);
	turns();
}

static void
test_nexus_drop(void)
{
	struct lane_taken t;
	int s;

	setup(false);
	CHECK_EQ(engine_nexus_drop(R.e, 77), -ENOENT);
	s = put_rw(0, true, 0, 1, BS, BS);
	turns();
	CHECK(store_take(&t));
	CHECK_EQ(engine_nexus_drop(R.e, 1), 0);
	turns();
	CHECK_EQ(R.dropped, 0);
	store_done(&t, 0);
	ends(0, s, LANE_CANCELLED);
	CHECK_EQ(R.dropped, 1);
	CHECK_EQ(engine_nexus_drop(R.e, 2), 0);
	turns();
	CHECK_EQ(R.dropped, 2);
}

/* ---- restarts ---------------------------------------------------------------------------------- */

/* scsid dies; what ctld does then.  The store serves the epoch when told. */
static void
scsid_restart(uint32_t epoch)
{
	engine_free(R.e);
	lane_srv_epoch(R.store, epoch);
	engine_up(epoch, false);
	for (int i = 0; i < LANES; i++)
		lane_sub_epoch(R.up[i], epoch);
	turns();
	CHECK(!engine_serving(R.e)); /* attach implies drain */
}

static void
test_harvest(void)
{
	struct lane_taken t, u;
	struct lane_rsp r;
	int done, unseen, wait, want, ended;

	setup(false);
	ended = put_rw(0, false, 90, 1, BS, 0);
	turns();
	CHECK(store_take(&t));
	store_done(&t, 0); /* answered, but the portal has not looked */
	done = put_rw(0, true, 0, 1, BS, BS);
	unseen = put_rw(0, true, 10, 1, BS, BS);
	wait = put_rw(0, false, 0, 1, BS, 0);
	want = put_rw(0, true, 30, 1, BS, 0);
	turns();
	CHECK(store_take(&t) && t.req.u.blk.off == 0);
	lane_srv_rsp(R.store, t.slot)->error = -ENOSPC;

	scsid_restart(2);
	lane_srv_done(R.store, t.slot);
	lane_srv_serve(R.store);
	turns();
	CHECK(!engine_serving(R.e)); /* the unseen one is being cancelled */
	CHECK_EQ(lane_srv_take(R.store, &u), 1);
	CHECK_EQ(u.op, LANE_CANCEL);
	CHECK_EQ(u.state, LANE_NONE);
	lane_srv_claim(R.store, u.slot, u.seq);
	lane_srv_cancelled(R.store, u.slot);
	turns();
	CHECK(engine_serving(R.e));
	CHECK_EQ(engine_stats(R.e)->harvested, 1);
	CHECK_EQ(engine_stats(R.e)->replayed, 3);

	/* Slot numbers are LIFO: the order of naming is that of the slots. */
	for (int i = 0; i < 3; i++) {
		struct lane_event ev = event(0);

		if (ev.slot == want) {
			CHECK_EQ(ev.state, LANE_WANT);
			continue;
		}
		CHECK_EQ(ev.state, LANE_DONE);
		r = rsp(0, ev.slot);
		CHECK_EQ(sense_of(&r), ev.slot == done ? DATA_PROTECT << 16 | 0x2707 : -1);
		CHECK(ev.slot == done || ev.slot == ended);
		lane_sub_release(R.up[0], ev.slot);
	}
	for (int i = 0; i < 2; i++) {
		CHECK(store_take(&t));
		CHECK(t.req.u.blk.off == 10 * BS || t.req.u.blk.off == 0);
		store_done(&t, 0);
		ends(0, t.req.u.blk.off ? unseen : wait, LANE_DONE);
	}
	CHECK(!store_take(&t));
}

/* A violation that is found when the slot has been claimed: the lane still ends,
 * also if scsid dies first, and what the store does for it is waited for. */
static void
test_violation_over_restart(void)
{
	struct lane_taken t, u;

	for (int restart = 0; restart < 2; restart++) {
		setup(false);
		put_rw(0, true, 0, 1, BS, BS);
		turns();
		CHECK(store_take(&t));
		bad_short(lane_sub_req(R.up[0], (uint16_t)put_rw(0, false, 9, 1, BS, 0)));
		turns();
		CHECK_EQ(R.n_violations, 1);
		if (restart) {
			scsid_restart(2);
			lane_srv_done(R.store, t.slot);
			lane_srv_serve(R.store);
			turns();
			CHECK(engine_serving(R.e));
			CHECK_EQ(R.n_violations, 2);
		}
		CHECK_EQ(engine_lane_epoch(R.e, 1, 9), 0);
		CHECK_EQ(engine_nexus_drop(R.e, 1), 0);
		CHECK_EQ(engine_lane_close(R.e, 1), 0);
		turns();
		CHECK_EQ(R.closed, restart);
		if (!restart)
			store_done(&t, 0);
		CHECK_EQ(R.closed, 1);
		CHECK_EQ(R.dropped, 1);
		CHECK_EQ(engine_busy(R.e), 0);
		CHECK(!store_take(&u));
	}
}

/* storaged dies between the configuration of a new scsid and its first turn: the
 * new epoch has named what the dead one submitted, so nothing is cancelled. */
static void
test_epoch_before_start(void)
{
	struct lane_maps lower = lower_maps();
	struct lane_taken t;

	setup(false);
	put_rw(0, true, 0, 1, BS, BS);
	turns(); /* submitted, and storaged dies before it looks */
	engine_free(R.e);
	lane_srv_free(R.store);
	R.e = engine_new(&R.lu, &ops, NULL);
	CHECK_EQ(engine_lower(R.e, &lower, 2, false), 0);
	CHECK_EQ(engine_lane_epoch(R.e, 0, 3), 0);
	engine_start(R.e);
	R.store = lane_srv_attach(&lower, 3, false);
	lane_srv_serve(R.store);
	turns();
	CHECK(store_take(&t) && t.op == LANE_SUBMIT);
	store_done(&t, 0);
	CHECK(engine_serving(R.e));
}

/* Cancelled while scsid was dead. */
static void
test_cancel_over_restart(void)
{
	struct lane_taken t;
	int a, b;

	setup(false);
	a = put_rw(0, true, 0, 1, BS, BS);
	b = put_rw(0, true, 10, 1, BS, 0);
	turns();
	CHECK(store_take(&t));
	CHECK_EQ(event(0).state, LANE_WANT);
	lane_sub_cancel(R.up[0], (uint16_t)a);
	lane_sub_cancel(R.up[0], (uint16_t)b);
	scsid_restart(2);
	lane_srv_done(R.store, t.slot);
	lane_srv_serve(R.store);
	turns();
	for (int i = 0; i < 2; i++)
		CHECK_EQ(event(0).state, LANE_CANCELLED);
	CHECK(!store_take(&t));
	CHECK_EQ(engine_busy(R.e), 0);
}

static void
test_storaged_restart(void)
{
	struct lane_maps lower = lower_maps();
	struct lane_taken t;
	struct lane_rsp r;
	int s;

	setup(false);
	s = put_rw(0, true, 0, 1, BS, BS);
	turns();
	lane_srv_free(R.store);
	R.store = lane_srv_attach(&lower, 2, false);
	CHECK_EQ(engine_lane_epoch(R.e, 0, 2), 0);
	lane_srv_serve(R.store);
	turns();
	CHECK(store_take(&t));
	store_done(&t, 0);
	r = ends(0, s, LANE_DONE);
	CHECK_EQ(r.status, STATUS_GOOD);
}

/* The submitter re-attaches: what was taken ends first. */
static void
test_upper_epoch(void)
{
	struct lane_taken t;
	int s;

	setup(false);
	s = put_rw(0, true, 0, 1, BS, BS);
	turns();
	CHECK(store_take(&t));
	CHECK_EQ(engine_lane_epoch(R.e, 1, 2), 0);
	CHECK_EQ(engine_lane_epoch(R.e, 99, 2), -ENOENT);
	lane_sub_epoch(R.up[0], 2);
	turns();
	CHECK(!lane_sub_ready(R.up[0]));
	store_done(&t, 0);
	CHECK(lane_sub_ready(R.up[0]));
	ends(0, s, LANE_DONE);
}

static void
test_stop_and_sleep(void)
{
	struct lane_taken t;
	int s;

	setup(false);
	turns();
	CHECK(engine_sleep(R.e));
	engine_wake(R.e);
	s = put_rw(0, false, 0, 1, BS, 0);
	lane_sub_publish(R.up[0]);
	CHECK(!engine_sleep(R.e)); /* something came */
	engine_stop(R.e);
	turns();
	CHECK(!store_take(&t));
	CHECK(engine_sleep(R.e));
	(void)s;
}

int
main(void)
{
	TEST(test_cancel_waiting);
	TEST(test_cancel_in_store);
	TEST(test_violations);
	TEST(test_bad_store);
	TEST(test_lane_close);
	TEST(test_nexus_drop);
	TEST(test_harvest);
	TEST(test_violation_over_restart);
	TEST(test_epoch_before_start);
	TEST(test_cancel_over_restart);
	TEST(test_storaged_restart);
	TEST(test_upper_epoch);
	TEST(test_stop_and_sleep);
	rig_done();
	return tap_done();
}
