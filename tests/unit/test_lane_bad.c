/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The slot protocol against a peer that breaks it: -EPROTO, and frozen. */
#include <errno.h>

#include "lane_fixture.h"
#include "proto/util.h"

/* ---- violations: of the submitter -------------------------------------------------- */

static void
check_srv_frozen(const char *what)
{
	int rc = take();

	CHECK_MSG(rc == -EPROTO, "%s: %d", what, rc);
	CHECK(lane_srv_frozen(v));
	CHECK_EQ(lane_srv_stats(v)->violations, 1);
	CHECK_EQ(take(), -EPROTO);
	CHECK(lane_srv_sleep(v));
	finish();
}

static void
test_bad_submitter(void)
{
	static const struct { const char *what; uint32_t slot, seq, op; } rows[] = {
		{ "no such slot", N, 1, LANE_SUBMIT },
		{ "no such slot at all", 0xffff, 1, LANE_SUBMIT },
		{ "no such op", 2, 1, LANE_CANCEL + 1 },
		{ "data before a submit", 2, 1, LANE_DATA },
		{ "released ahead", 2, 1, LANE_RELEASE },
		{ "two ahead", 2, 2, LANE_SUBMIT },
		{ "behind", 2, UINT32_MAX, LANE_SUBMIT },
		{ "claimed by nobody", 2, 0, LANE_SUBMIT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin();
		set_req_word(2, rows[i].seq, rows[i].op);
		name_sub(rows[i].slot, rows[i].seq);
		check_srv_frozen(rows[i].what);
	}

	static const struct { const char *what; uint32_t seq, op; } claimed[] = {
		{ "released while claimed", 1, LANE_RELEASE },
		{ "a new one while claimed", 2, LANE_SUBMIT },
		{ "data that nobody asked for", 1, LANE_DATA },
	};

	for (size_t i = 0; i < ARRAY_SIZE(claimed); i++) {
		begin();
		uint16_t slot = submit_and_claim(1);

		set_req_word(slot, claimed[i].seq, claimed[i].op);
		name_sub(slot, claimed[i].seq);
		check_srv_frozen(claimed[i].what);
	}

	begin(); /* a tail further ahead than the ring is long */
	atomic_store(&rig_sub_half(&rig)->published.v, lane_pair(1, RING + 1));
	CHECK(!lane_srv_sleep(v));
	check_srv_frozen("tail ahead");

	begin(); /* or behind */
	submit(1);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	atomic_store(&rig_sub_half(&rig)->published.v, lane_pair(1, 0));
	check_srv_frozen("tail behind");
}

/* A ring full of repeats, filled on while we look: one turn, then out. */
static void
test_flood(void)
{
	struct lane_half *h;

	begin();
	h = rig_sub_half(&rig);
	atomic_store(&h->published.v, lane_pair(1, RING)); /* slot 0, seq 0: free */
	CHECK_EQ(take(), 0);
	CHECK(!lane_srv_frozen(v));
	CHECK(!lane_srv_sleep(v) || take() == 0);
	h = rig_status_half(&rig);
	atomic_store(&h->published.v, lane_pair(1, RING));
	CHECK_EQ(poll_one(), 0);
	CHECK(!lane_sub_frozen(s));
	finish();
}

/* A frozen lane thaws with the next epoch: the peer is another. */
static void
test_thaw(void)
{
	begin();
	name_sub(N, 1);
	CHECK_EQ(take(), -EPROTO);
	name_status(N, 1);
	CHECK_EQ(poll_one(), -EPROTO);
	CHECK_EQ(lane_sub_get(s), -EPROTO);
	CHECK(lane_sub_sleep(s));
	lane_srv_epoch(v, 2);
	lane_sub_epoch(s, 2);
	CHECK(!lane_srv_frozen(v) && !lane_sub_frozen(s));
	lane_srv_serve(v);
	submit(3);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	finish();
}

/* ---- violations: of the server ----------------------------------------------------- */

static void
check_sub_frozen(const char *what)
{
	uint32_t seq;
	enum lane_op op;
	struct lane_req req;
	int rc = poll_one();

	CHECK_MSG(rc == -EPROTO, "%s: %d", what, rc);
	CHECK(lane_sub_frozen(s));
	CHECK_EQ(lane_sub_stats(s)->violations, 1);
	CHECK_EQ(poll_one(), -EPROTO);
	CHECK_EQ(lane_sub_scan(s, 0, &seq, &op, &req), -EPROTO);
	finish();
}

static void
test_bad_server(void)
{
	static const struct { const char *what; uint32_t seq, state; } rows[] = {
		{ "no such state", 1, LANE_CANCELLED + 1 },
		{ "no such state, high bits", 1, 0x8000 },
		{ "seq ahead of ours", 2, LANE_DONE },
		{ "seq two behind", UINT32_MAX, LANE_DONE },
		{ "claimed without a state", 1, LANE_NONE },
		{ "the last one is not over", 0, LANE_EXEC },
		{ "the last one wants data", 0, LANE_WANT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin();
		submit(1);
		set_rsp_word(0, rows[i].seq, rows[i].state);
		name_status(0, 1);
		check_sub_frozen(rows[i].what);
	}

	begin();
	name_status(N, 0);
	check_sub_frozen("no such slot");

	begin();
	atomic_store(&rig_status_half(&rig)->published.v, lane_pair(1, RING + 1));
	CHECK(lane_sub_ready(s));
	check_sub_frozen("tail ahead");

	begin(); /* it asked for data, and now has never claimed it */
	uint16_t slot = submit_and_claim(1);

	lane_srv_want(v, slot, 5);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	set_rsp_word(slot, 0, LANE_NONE);
	name_status(slot, 1);
	check_sub_frozen("unclaimed after WANT");
}

static void
test_named_early(void)
{
	begin();
	uint16_t slot = submit(1);

	name_status(slot, 1); /* not claimed yet */
	CHECK_EQ(poll_one(), 0);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	lane_srv_claim(v, slot, t.seq);
	name_status(slot, 1); /* under way */
	CHECK_EQ(poll_one(), 0);
	name_status(slot, 0); /* the one before */
	CHECK_EQ(poll_one(), 0);
	name_status(slot + 1, 0); /* free */
	CHECK_EQ(poll_one(), 0);
	lane_srv_done(v, slot);
	name_status(slot, 1);
	CHECK_EQ(poll_one(), 1);
	lane_sub_release(s, slot);
	CHECK_EQ(submit(2), slot);
	name_status(slot, 2); /* not claimed, and the one before is over */
	CHECK_EQ(poll_one(), 0);
	CHECK(!lane_sub_frozen(s));
	finish();
}

static void
test_bad_response(void)
{
	struct lane_rsp rsp;
	uint16_t slot;

	for (int i = 0; i < 3; i++) {
		begin();
		slot = submit_and_claim(1);
		lane_srv_done(v, slot);
		lane_srv_publish(v);
		CHECK_EQ(poll_one(), 1);
		if (i == 0)
			lane_srv_rsp(v, slot)->sense_len = LANE_SENSE_MAX + 1;
		if (i == 1)
			set_rsp_word(slot, 1, LANE_WANT); /* was DONE */
		if (i == 2)
			set_rsp_word(slot, 0, LANE_NONE);
		CHECK_EQ(lane_sub_rsp(s, slot, &rsp), -EPROTO);
		CHECK(lane_sub_frozen(s));
		CHECK_EQ(lane_sub_rsp(s, slot, &rsp), -EPROTO);
		finish();
	}

	/* SPC-4 4.5.1: 252 bytes are the most */
	begin();
	slot = submit_and_claim(1);
	lane_srv_rsp(v, slot)->sense_len = LANE_SENSE_MAX;
	memset(lane_srv_rsp(v, slot)->sense, 0x5a, LANE_SENSE_MAX);
	lane_srv_done(v, slot);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	CHECK_EQ(lane_sub_rsp(s, slot, &rsp), 0);
	CHECK_EQ(rsp.sense[LANE_SENSE_MAX - 1], 0x5a);
	finish();

	begin(); /* a WANT whose amount is of another request */
	slot = submit_and_claim(1);
	lane_srv_want(v, slot, 5);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	atomic_store(&rig_status_slot(&rig, slot)->want, lane_pair(2, 5));
	CHECK_EQ(lane_sub_rsp(s, slot, &rsp), -EPROTO);
	finish();
}

static void
test_bad_scan(void)
{
	struct lane_req req;
	enum lane_op op;
	uint32_t seq;

	rig_plain(&rig, N);
	set_req_word(1, 5, LANE_DATA); /* data, and never claimed */
	set_rsp_word(1, 4, LANE_DONE);
	rig_sub_slot(&rig, 1)->req.order = 41;
	s = lane_sub_attach(&rig.sub, 2, false);
	CHECK_EQ(lane_sub_state(s, 1), -EPROTO);
	CHECK_EQ(lane_sub_scan(s, 0, &seq, &op, &req), -ENOENT);
	CHECK_EQ(lane_sub_scan(s, 1, &seq, &op, &req), -EPROTO);
	CHECK(lane_sub_frozen(s));
	lane_sub_free(s);
	rig_plain_done(&rig);
}

int
main(void)
{
	TEST(test_bad_submitter);
	TEST(test_flood);
	TEST(test_thaw);
	TEST(test_bad_server);
	TEST(test_named_early);
	TEST(test_bad_response);
	TEST(test_bad_scan);
	return tap_done();
}
