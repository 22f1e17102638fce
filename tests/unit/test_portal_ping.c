/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NOP-In of the portal's own (RFC 7143 11.19): when they come, what counts as
 * an answer, and what happens without one.  Time is the test's.
 */
#include "tap.h"

#include "portal_rig.h"

static struct rig_pdu pdu;
static double now;

static struct rig *
pinged_session(uint32_t interval_s, uint32_t timeout_s)
{
	struct rig *r = rig_make(true);

	r->th.ping = (struct ping_policy){ .interval_s = interval_s, .timeout_s = timeout_s };
	rig_connect(r);
	rig_pump(r);
	now = ev_now(r->th.loop);
	return r;
}

static void
tick(struct rig *r, double seconds)
{
	now += seconds;
	thread_ping(&r->th, now);
	rig_pump(r);
}

static uint32_t
expect_ping(struct rig *r)
{
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_NOP_IN);
	CHECK_EQ(get_be32(pdu.raw + BHS_ITT), ISCSI_TAG_NONE);
	CHECK(get_be32(pdu.raw + BHS_TTT) != ISCSI_TAG_NONE);
	CHECK_EQ(pdu.len, 0);
	return get_be32(pdu.raw + BHS_TTT);
}

static void
answer_ping(struct rig *r, uint32_t ttt)
{
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FLAG_FINAL };

	put_be32(h + BHS_ITT, ISCSI_TAG_NONE);
	put_be32(h + BHS_TTT, ttt);
	put_be32(h + BHS_CMD_SN, r->cmdsn);
	rig_send_pdu(r, h, NULL, 0);
	rig_pump(r);
}

static void
command(struct rig *r)
{
	uint32_t itt = rig_cmd(r, RIG_F, 0, 0, NULL, 0);

	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_SCSI_RSP);
	CHECK_EQ(get_be32(pdu.raw + BHS_ITT), itt);
}

/* Answered each time: it lives for ever; StatSN does not move. */
static void
test_answered(void)
{
	struct rig *r = pinged_session(10, 10);
	uint32_t ttt, last = ISCSI_TAG_NONE;
	int i;

	command(r);
	CHECK_EQ(get_be32(pdu.raw + BHS_STAT_SN), 1);
	tick(r, 2);
	for (i = 0; i < 5; i++) {
		tick(r, 9);
		CHECK(rig_silent(r));
		tick(r, 1.5);
		ttt = expect_ping(r);
		CHECK(ttt != last);
		last = ttt;
		CHECK_EQ(get_be32(pdu.raw + BHS_STAT_SN), 2);
		tick(r, 9);
		answer_ping(r, ttt);
		tick(r, 2);
		CHECK(rig_silent(r) && !r->closed);
	}
	command(r);
	CHECK_EQ(get_be32(pdu.raw + BHS_STAT_SN), 2);
	rig_end(r, 1);
}

/* Anything that comes shows life: no ping, and an answer to one. */
static void
test_busy(void)
{
	struct rig *r = pinged_session(10, 10);
	int i;

	for (i = 0; i < 10; i++) {
		command(r);
		tick(r, 8);
	}
	CHECK(rig_silent(r));
	tick(r, 10);
	expect_ping(r);
	command(r);
	tick(r, 9);
	tick(r, 9);
	CHECK(rig_silent(r) && !r->closed);
	rig_end(r, 1);
}

/* Not answered: the session ends, what it had is given back. */
static void
test_unanswered(void)
{
	struct rig *r = pinged_session(10, 4);

	r->hold = true;
	rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 1);
	tick(r, 1);
	tick(r, 10);
	expect_ping(r);
	tick(r, 1); /* the ping has left */
	tick(r, 3);
	CHECK(rig_silent(r) && !r->closed);
	tick(r, 1);
	CHECK(!rig_recv(r, &pdu) && r->closed);
	rig_end(r, 1);
}

/* Behind much data on a slow line: as long as that is taken, it waits. */
static void
test_slow_line(void)
{
	struct rig *r = pinged_session(10, 4);
	static uint8_t waste[65536];
	ssize_t n;
	int i;

	rig_cmd(r, RIG_F | RIG_R, 0, 2048, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 1);
	for (i = 0; i < 5; i++)
		rig_pump(r);
	tick(r, 1);
	tick(r, 10);
	for (i = 0; i < 10; i++) {
		tick(r, 3);
		n = recv(r->fd, waste, sizeof(waste), MSG_DONTWAIT);
		CHECK(n > 0);
		rig_pump(r);
	}
	CHECK_EQ(r->n_over, 0);
	for (i = 0; i < 3; i++) /* now nothing is taken any more */
		tick(r, 3);
	RIG_UNTIL(r, r->n_over == 1);
	rig_end(r, 1);
}

/* 0 is off; a discovery session has Text and Logout only (4.3). */
static void
test_off(void)
{
	struct rig *r = pinged_session(0, 10);

	CHECK(!ev_is_active(&r->th.ping_timer));
	rig_end(r, 1);
	r = pinged_session(10, 0);
	tick(r, 11);
	expect_ping(r);
	tick(r, 1000);
	tick(r, 1000);
	CHECK(rig_silent(r) && !r->closed);
	rig_end(r, 1);
	r = rig_make(true);
	r->th.ping = (struct ping_policy){ .interval_s = 1, .timeout_s = 1 };
	r->discovery = true;
	rig_connect(r);
	rig_pump(r);
	now = ev_now(r->th.loop);
	tick(r, 1000);
	tick(r, 1000);
	CHECK(rig_silent(r) && !r->closed);
	rig_end(r, 1);
}

/* One timer for all sessions, none when they are gone. */
static void
test_timer(void)
{
	struct rig *r = pinged_session(1, 1);

	CHECK(ev_is_active(&r->th.ping_timer));
	answer_ping(r, expect_ping(r)); /* in real time */
	close(r->fd);
	RIG_UNTIL(r, r->n_over == 1);
	RIG_UNTIL(r, !ev_is_active(&r->th.ping_timer));
	rig_connect(r);
	rig_pump(r);
	CHECK(ev_is_active(&r->th.ping_timer));
	rig_end(r, 2);
}

int
main(void)
{
	TEST(test_answered);
	TEST(test_busy);
	TEST(test_unanswered);
	TEST(test_slow_line);
	TEST(test_off);
	TEST(test_timer);
	return tap_done();
}
