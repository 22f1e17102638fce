/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slot protocol, both ends in one thread: the course of a request, what is
 * a harmless repeat, sleeping and bells.
 */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>

#include "lane_fixture.h"

/* ---- a good life --------------------------------------------------------- */

static void
test_course(void)
{
	struct lane_rsp *out, rsp;
	uint16_t slot;

	begin();
	CHECK_EQ(take(), 0);
	CHECK_EQ(poll_one(), 0);
	slot = submit(0x28);
	CHECK_EQ(lane_sub_busy(s), 1);
	CHECK_EQ(take(), 0); /* not published */
	CHECK(!lane_sub_publish(s)); /* nobody sleeps */
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.slot, slot);
	CHECK_EQ(t.seq, 1);
	CHECK_EQ(t.op, LANE_SUBMIT);
	CHECK_EQ(t.state, LANE_NONE);
	CHECK_EQ(t.attempts, 1);
	CHECK_EQ(t.req.u.scsi.cdb[0], 0x28);
	CHECK_EQ(take(), 0);
	lane_srv_claim(v, slot, t.seq);
	CHECK_EQ(lane_srv_busy(v), 1);
	CHECK_EQ(lane_sub_state(s, slot), LANE_CLAIMED);
	lane_srv_exec(v, slot);
	out = lane_srv_rsp(v, slot);
	out->status = 2;
	out->sense_len = 18;
	out->sense[17] = 0x42;
	out->in_len = 4096;
	CHECK(!lane_srv_released(v, slot));
	lane_srv_done(v, slot);
	CHECK_EQ(lane_srv_busy(v), 0);
	CHECK_EQ(poll_one(), 0);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	CHECK_EQ(ev.slot, slot);
	CHECK_EQ(ev.seq, 1);
	CHECK_EQ(ev.state, LANE_DONE);
	CHECK_EQ(poll_one(), 0);
	CHECK_EQ(lane_sub_rsp(s, slot, &rsp), 0);
	CHECK_EQ(rsp.status, 2);
	CHECK_EQ(rsp.sense[17], 0x42);
	CHECK_EQ(rsp.in_len, 4096);
	lane_sub_release(s, slot);
	CHECK(lane_srv_released(v, slot));
	CHECK_EQ(lane_sub_busy(s), 0);
	CHECK_EQ(lane_sub_stats(s)->requests, 1);
	CHECK_EQ(lane_srv_stats(v)->requests, 1);
	CHECK_EQ(lane_sub_stats(s)->bells + lane_srv_stats(v)->bells, 0);
	/* Nothing of it shines through into the next one. */
	CHECK_EQ(submit_and_claim(1), slot);
	CHECK_EQ(lane_srv_rsp(v, slot)->sense_len, 0);
	CHECK_EQ(lane_srv_rsp(v, slot)->in_len, 0);
	finish();
}

static void
test_slots_are_lifo(void)
{
	int got[N];

	begin();
	for (int i = 0; i < N; i++) {
		got[i] = lane_sub_get(s);
		CHECK_EQ(got[i], i);
	}
	CHECK_EQ(lane_sub_get(s), -EAGAIN);
	CHECK_EQ(lane_sub_busy(s), N);
	lane_sub_req(s, 5)->n_in = 3;
	lane_sub_req(s, 5)->u.blk.reserved2 = 1;
	lane_sub_unget(s, 2);
	lane_sub_unget(s, 5);
	CHECK_EQ(lane_sub_get(s), 5);
	CHECK_EQ(lane_sub_req(s, 5)->n_in, 0);
	CHECK_EQ(lane_sub_req(s, 5)->u.blk.reserved2, 0);
	CHECK_EQ(lane_sub_get(s), 2);
	finish();
}

static void
test_want_and_data(void)
{
	struct lane_rsp rsp;
	uint16_t slot;

	begin();
	slot = submit_and_claim(0x2a);
	lane_srv_want(v, slot, 65536);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	CHECK_EQ(ev.state, LANE_WANT);
	CHECK_EQ(lane_sub_rsp(s, slot, &rsp), 0);
	CHECK_EQ(rsp.want, 65536);
	lane_srv_want(v, slot, 65536); /* said again: reported once */
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 0);
	lane_sub_data(s, slot);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.op, LANE_DATA);
	CHECK_EQ(t.state, LANE_WANT);
	name_sub(slot, 1);
	CHECK_EQ(take(), 0);
	lane_srv_exec(v, slot);
	lane_srv_done(v, slot);
	name_sub(slot, 1); /* DATA of a request that has ended */
	CHECK_EQ(take(), 0);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	CHECK_EQ(ev.state, LANE_DONE);
	lane_sub_data(s, slot); /* too late: no effect */
	CHECK_EQ(lane_low(atomic_load(&rig_sub_slot(&rig, slot)->word)), LANE_DATA);
	lane_sub_release(s, slot);
	name_sub(slot, 1);
	CHECK_EQ(take(), 0);
	finish();
}

/* The server gives up on the data before it came. */
static void
test_want_then_done(void)
{
	struct lane_rsp rsp;
	uint16_t slot;

	begin();
	slot = submit_and_claim(0x2a);
	lane_srv_want(v, slot, 512);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	lane_srv_rsp(v, slot)->status = 2;
	lane_srv_done(v, slot);
	CHECK_EQ(lane_sub_rsp(s, slot, &rsp), 0); /* still the WANT, not half a DONE */
	CHECK_EQ(rsp.want, 512);
	CHECK_EQ(rsp.status, 0);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	CHECK_EQ(ev.state, LANE_DONE);
	CHECK_EQ(lane_sub_rsp(s, slot, &rsp), 0);
	CHECK_EQ(rsp.status, 2);
	finish();
}

static void
test_cancel(void)
{
	uint16_t slot;

	begin();
	slot = submit_and_claim(1);
	lane_srv_exec(v, slot);
	lane_sub_cancel(s, slot);
	lane_sub_cancel(s, slot); /* named once */
	lane_sub_publish(s);
	CHECK_EQ(lane_low(atomic_load(&rig_sub_half(&rig)->published.v)), 2);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.op, LANE_CANCEL);
	CHECK_EQ(t.state, LANE_EXEC);
	CHECK_EQ(t.attempts, 1);
	name_sub(slot, 1);
	CHECK_EQ(take(), 0);
	lane_srv_cancelled(v, slot);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	CHECK_EQ(ev.state, LANE_CANCELLED);
	lane_sub_cancel(s, slot); /* who was first does not matter */
	lane_sub_release(s, slot);

	/* A cancel after WANT: the data does not undo it. */
	resync(2);
	slot = submit_and_claim(2);
	lane_srv_want(v, slot, 512);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	lane_sub_cancel(s, slot);
	lane_sub_data(s, slot);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.op, LANE_CANCEL);
	CHECK_EQ(t.state, LANE_WANT);
	finish();
}

static void
test_cancel_overtakes(void)
{
	uint16_t slot;

	begin();
	slot = submit(1);
	lane_sub_cancel(s, slot);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.op, LANE_CANCEL);
	CHECK_EQ(t.state, LANE_NONE);
	CHECK_EQ(t.attempts, 1);
	CHECK_EQ(take(), 0); /* its own entry: a repeat */
	lane_srv_claim(v, slot, t.seq);
	name_sub(slot, t.seq);
	CHECK_EQ(take(), 0); /* was returned, before the claim */
	lane_srv_cancelled(v, slot);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	lane_sub_release(s, slot);

	/* Taken but not claimed yet. */
	resync(2);
	slot = submit(2);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	name_sub(slot, 2);
	CHECK_EQ(take(), 0); /* returned once */
	lane_sub_cancel(s, slot);
	name_sub(slot, 2);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.op, LANE_CANCEL);
	CHECK_EQ(t.state, LANE_NONE);
	finish();
}

/* A server that has dropped a request which it took: serving again returns it. */
static void
test_taken_but_not_claimed(void)
{
	begin();
	submit(7);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	resync(2);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.op, LANE_SUBMIT);
	CHECK_EQ(t.req.u.scsi.cdb[0], 7);
	finish();
}

static void
test_intent(void)
{
	static const uint8_t zero[LANE_INTENT_MAX];
	uint16_t slot;

	begin();
	slot = submit_and_claim(1);
	lane_srv_intent(v, slot, "compared", 8);
	CHECK_EQ(lane_sub_state(s, slot), LANE_INTENT);
	CHECK_MEM(lane_srv_rsp(v, slot)->intent, "compared\0\0", 10);
	lane_srv_exec(v, slot);
	lane_srv_done(v, slot);
	lane_srv_publish(v);
	CHECK_EQ(poll_one(), 1);
	lane_sub_release(s, slot);
	CHECK_EQ(submit_and_claim(1), slot);
	CHECK_MEM(lane_srv_rsp(v, slot)->intent, zero, sizeof(zero));
	finish();
}

/* Rings wrap, slots come round, the seq wraps; never more than N in flight. */
static void
test_wrap(void)
{
	struct lane_event evs[N];
	unsigned done = 0;

	rig_plain(&rig, N);
	for (uint16_t i = 0; i < N; i++) { /* three before the wrap of seq */
		set_req_word(i, UINT32_MAX - 2, LANE_RELEASE);
		set_rsp_word(i, UINT32_MAX - 2, LANE_DONE);
	}
	s = lane_sub_attach(&rig.sub, 1, false);
	v = lane_srv_attach(&rig.srv, 1, false);
	lane_srv_serve(v);
	for (int round = 0; round < 1000; round++) {
		int n;

		for (int i = 0; i < 1 + round % N; i++)
			submit((uint8_t)round);
		lane_sub_publish(s);
		while (take() > 0) {
			CHECK_EQ(t.req.u.scsi.cdb[0], (uint8_t)round);
			lane_srv_claim(v, t.slot, t.seq);
			lane_srv_done(v, t.slot);
		}
		lane_srv_publish(v);
		n = lane_sub_poll(s, evs, N);
		CHECK_EQ(n, 1 + round % N);
		for (int i = 0; i < n; i++)
			lane_sub_release(s, evs[i].slot);
		done += (unsigned)n;
	}
	CHECK(done > 5 * RING);
	CHECK(!lane_sub_frozen(s) && !lane_srv_frozen(v));
	CHECK_EQ(lane_sub_busy(s), 0);
	finish();
}

/* ---- sleeping and bells ---------------------------------------------------- */

static void
test_bells(void)
{
	uint16_t slot;

	begin();
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	slot = submit(1);
	CHECK(lane_sub_publish(s));
	CHECK_EQ(rig_bell(rig.bell_srv), 1);
	submit(2);
	CHECK(!lane_sub_publish(s)); /* once per sleep */
	CHECK(!lane_sub_publish(s)); /* nothing new */
	CHECK_EQ(rig_bell(rig.bell_srv), 0);
	lane_srv_wake(v);
	lane_srv_wake(v); /* awake is awake */
	CHECK_EQ(take(), 1);
	CHECK(!lane_srv_sleep(v)); /* there is one more */
	CHECK_EQ(take(), 1);
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	CHECK(lane_srv_sleep(v)); /* still the same sleep */
	lane_srv_wake(v);

	CHECK_EQ(poll_one(), 0);
	CHECK(lane_sub_sleep(s));
	lane_srv_claim(v, slot, 1);
	lane_srv_done(v, slot);
	CHECK(lane_srv_publish(v));
	CHECK_EQ(rig_bell(rig.bell_sub), 1);
	lane_sub_wake(s);
	CHECK(!lane_sub_sleep(s));
	CHECK_EQ(poll_one(), 1);
	CHECK(lane_sub_sleep(s));
	CHECK_EQ(lane_sub_stats(s)->bells, 1);
	CHECK_EQ(lane_srv_stats(v)->bells, 1);
	CHECK_EQ(lane_sub_stats(s)->sleeps, 2);
	CHECK_EQ(lane_srv_stats(v)->sleeps, 3);
	finish();
}

/* Only a sleeper's bell is rung again, also after the sleeper was replaced. */
static void
test_sleeper_dies(void)
{
	begin();
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	submit(1);
	CHECK(lane_sub_publish(s));
	lane_srv_free(v); /* dies asleep */
	v = lane_srv_attach(&rig.srv, 2, false);
	submit(2);
	CHECK(!lane_sub_publish(s)); /* the new one is awake */
	lane_sub_epoch(s, 2);
	CHECK(!lane_sub_publish(s));
	lane_srv_serve(v);
	CHECK_EQ(take() + take(), 2);
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	submit(3);
	CHECK(lane_sub_publish(s));
	finish();
}

static void
test_bell_is_full_or_gone(void)
{
	const uint64_t most = UINT64_MAX - 1;

	begin();
	CHECK_EQ(write(rig.bell_srv, &most, sizeof(most)), sizeof(most));
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	submit(1);
	CHECK(lane_sub_publish(s)); /* EAGAIN: it rings already */
	finish();
}

static volatile sig_atomic_t alarms;

/* On the second signal somebody reads the bell, and the write goes through.  On
 * no other: on a busy machine there may be more of them, and nothing to read. */
static void
on_alarm(int sig)
{
	if (++alarms == 2)
		rig_bell(rig.bell_srv);
}

static void
test_bell_interrupted(void)
{
	const uint64_t most = UINT64_MAX - 1;
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, off = { { 0, 0 }, { 0, 0 } };

	begin();
	close(rig.bell_srv);
	rig.bell_srv = eventfd(0, EFD_CLOEXEC); /* blocks when full */
	rig.sub.bell_out = rig.bell_srv;
	lane_sub_free(s);
	s = lane_sub_attach(&rig.sub, 1, false);
	CHECK_EQ(write(rig.bell_srv, &most, sizeof(most)), sizeof(most));
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	alarms = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	submit(1);
	CHECK(lane_sub_publish(s));
	setitimer(ITIMER_REAL, &off, NULL);
	signal(SIGALRM, SIG_DFL);
	CHECK(alarms >= 2);
	finish();
}

int
main(void)
{
	TEST(test_course);
	TEST(test_slots_are_lifo);
	TEST(test_want_and_data);
	TEST(test_want_then_done);
	TEST(test_cancel);
	TEST(test_cancel_overtakes);
	TEST(test_taken_but_not_claimed);
	TEST(test_intent);
	TEST(test_wrap);
	TEST(test_bells);
	TEST(test_sleeper_dies);
	TEST(test_bell_is_full_or_gone);
	TEST(test_bell_interrupted);
	return tap_done();
}
