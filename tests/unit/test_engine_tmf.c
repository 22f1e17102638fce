/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's task management functions (SAM-5 7, RFC 7143 11.5, 11.6): whom
 * they end, when they are answered, and what becomes of commands that a store
 * does not let go.
 */
#include "tests/unit/engine_rig.h"

enum { ABORT_SET = 2, CLEAR_SET = 4, LU_RESET = 5, COMPLETE = 0, REJECTED = 255 };

static void
expect_tmf(int l, int slot, int response)
{
	struct lane_rsp r;

	turns();
	r = ends(l, slot, LANE_DONE);
	CHECK_EQ(r.error, response);
}

/* What the nexus of lane @l is told next; -1: its TEST UNIT READY is GOOD. */
static int
unit_attention(int l)
{
	const uint8_t tur[6] = { 0 };
	int s = put(l, tur, 6, 0, 0, 0, 0);
	struct lane_rsp r;

	turns();
	r = ends(l, s, LANE_DONE);
	return sense_of(&r);
}

static void
test_unknown(void)
{
	setup(false);
	for (int f = 0; f < 13; f++)
		if (f != ABORT_SET && f != CLEAR_SET && f != LU_RESET)
			expect_tmf(0, put_tmf(0, (uint8_t)f), 5);
}

static void
test_no_lun(void)
{
	static const uint8_t functions[] = { ABORT_SET, CLEAR_SET, LU_RESET };

	setup(true);
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		expect_tmf(0, put_tmf(0, functions[i]), 2);
}

static void
test_reset(void)
{
	struct lane_taken t;
	int in_store, waiting, reset;

	setup(false);
	in_store = put_rw(1, true, 0, 1, BS, BS);
	waiting = put_rw(1, true, 0, 1, BS, BS);
	turns();
	CHECK(store_take(&t));
	reset = put_tmf(0, LU_RESET);
	turns();
	CHECK_EQ(event(0).state, 0);
	ends(1, waiting, LANE_CANCELLED);
	store_done(&t, 0);
	CHECK_EQ(event(0).state, 0); /* in_store is not released yet */
	CHECK(engine_deadline(R.e) <= R.now + MS);
	ends(1, in_store, LANE_CANCELLED);
	expect_tmf(0, reset, COMPLETE);
	CHECK_EQ(engine_deadline(R.e), UINT64_MAX);
	for (int l = 0; l < LANES; l++) /* SAM-5 6.3.3: every nexus is told */
		CHECK_EQ(unit_attention(l), UNIT_ATTENTION << 16 | 0x2903);
}

/* SAM-5 7.3: this nexus's only, and nobody is told. */
static void
test_abort_set(void)
{
	struct lane_taken t[2];
	int own, late, want, other, tmf;
	struct lane_rsp r;

	setup(false);
	own = put_rw(0, true, 0, 1, BS, BS);
	want = put_rw(0, true, 9, 1, BS, 0);
	other = put_rw(1, true, 20, 1, BS, BS);
	turns();
	CHECK(store_take(&t[0]) && store_take(&t[1]));
	ends(0, want, LANE_WANT);
	tmf = put_tmf(0, ABORT_SET);
	late = put_rw(0, false, 30, 1, BS, 0); /* behind it: not its own */
	turns();
	ends(0, want, LANE_CANCELLED);
	CHECK_EQ(event(0).state, 0);
	store_done(&t[t[0].req.u.blk.off != 0], 0);
	ends(0, own, LANE_CANCELLED);
	expect_tmf(0, tmf, COMPLETE);
	store_done(&t[t[0].req.u.blk.off == 0], 0);
	r = ends(1, other, LANE_DONE);
	CHECK_EQ(r.status, STATUS_GOOD);
	CHECK(store_take(&t[0]));
	store_done(&t[0], 0);
	r = ends(0, late, LANE_DONE);
	CHECK_EQ(r.status, STATUS_GOOD);
	CHECK_EQ(unit_attention(0), -1);
	CHECK_EQ(unit_attention(1), -1);
}

/* It does not wait for what another nexus has not released. */
static void
test_abort_set_alone(void)
{
	struct lane_taken t;
	int s, tmf;

	setup(false);
	s = put_rw(1, true, 0, 1, BS, 0);
	turns();
	ends(1, s, LANE_WANT);
	lane_sub_cancel(R.up[1], (uint16_t)s);
	turns();
	CHECK_EQ(event(1).state, LANE_CANCELLED); /* and not released */
	tmf = put_tmf(0, CLEAR_SET);
	turns();
	CHECK_EQ(event(0).state, 0);
	expect_tmf(0, put_tmf(0, ABORT_SET), COMPLETE);
	lane_sub_release(R.up[1], (uint16_t)s);
	expect_tmf(0, tmf, COMPLETE);
	CHECK(!store_take(&t));
}

/* SAM-5 7.5 with TST=0, TAS=0: everybody's; those who lost a command are told. */
static void
test_clear_set(void)
{
	int own, other, tmf;

	setup(false);
	own = put_rw(0, true, 0, 1, BS, 0);
	other = put_rw(1, true, 9, 1, BS, 0);
	turns();
	ends(0, own, LANE_WANT);
	ends(1, other, LANE_WANT);
	tmf = put_tmf(0, CLEAR_SET);
	turns();
	ends(0, own, LANE_CANCELLED);
	ends(1, other, LANE_CANCELLED);
	expect_tmf(0, tmf, COMPLETE);
	CHECK_EQ(unit_attention(0), -1);
	CHECK_EQ(unit_attention(1), UNIT_ATTENTION << 16 | 0x2f00);
	expect_tmf(1, put_tmf(1, CLEAR_SET), COMPLETE); /* nothing was cleared */
	CHECK_EQ(unit_attention(0), -1);
}

/* A store that hangs: the function is rejected in time, its command is kept. */
static void
test_in_vain(void)
{
	static const uint8_t functions[] = { ABORT_SET, CLEAR_SET, LU_RESET };

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		struct lane_taken t;
		struct lane_rsp r;
		int s, tmf;

		setup(false);
		s = put_rw(0, true, 0, 1, BS, BS);
		turns();
		CHECK(store_take(&t));
		tmf = put_tmf(0, functions[i]);
		turns();
		CHECK_EQ(engine_deadline(R.e), 4000 * MS);
		R.now = 3999 * MS;
		turns();
		CHECK_EQ(event(0).state, 0);
		R.now = 4000 * MS;
		expect_tmf(0, tmf, REJECTED); /* it is not over */
		CHECK_EQ(engine_deadline(R.e), UINT64_MAX);
		store_done(&t, 0);
		r = ends(0, s, LANE_DONE);
		CHECK_EQ(r.status, STATUS_GOOD);
	}
}

/* Two functions wait for one command: that the first is rejected does not keep
 * it from the second, which then says the truth. */
static void
test_two(void)
{
	struct lane_taken t;
	int s, first, second;

	setup(false);
	s = put_rw(1, true, 0, 1, BS, BS);
	turns();
	CHECK(store_take(&t));
	first = put_tmf(0, CLEAR_SET);
	turns();
	R.now = 1000 * MS;
	second = put_tmf(1, LU_RESET);
	turns();
	R.now = 4000 * MS;
	expect_tmf(0, first, REJECTED);
	CHECK_EQ(event(1).state, 0);
	store_done(&t, 0);
	ends(1, s, LANE_CANCELLED);
	expect_tmf(1, second, COMPLETE);
}

/* Its portal no longer waits: nothing else ends for its sake. */
static void
test_cancelled(void)
{
	struct lane_taken t;
	struct lane_rsp r;
	int s, tmf;

	setup(false);
	s = put_rw(1, true, 0, 1, BS, BS);
	turns();
	CHECK(store_take(&t));
	tmf = put_tmf(0, LU_RESET);
	turns();
	lane_sub_cancel(R.up[0], (uint16_t)tmf);
	turns();
	ends(0, tmf, LANE_CANCELLED);
	CHECK_EQ(engine_deadline(R.e), UINT64_MAX);
	store_done(&t, 0);
	r = ends(1, s, LANE_DONE);
	CHECK_EQ(r.status, STATUS_GOOD);
}

int
main(void)
{
	TEST(test_unknown);
	TEST(test_no_lun);
	TEST(test_reset);
	TEST(test_abort_set);
	TEST(test_abort_set_alone);
	TEST(test_clear_set);
	TEST(test_in_vain);
	TEST(test_two);
	TEST(test_cancelled);
	rig_done();
	return tap_done();
}
