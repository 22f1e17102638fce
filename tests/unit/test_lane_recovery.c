/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slot protocol when an end is replaced: attach, epochs, and the tables of
 * docs/recovery.md.
 */
#include <errno.h>
#include <sys/mman.h>

#include "lane_fixture.h"
#include "nomem.h"
#include "proto/util.h"

/* ---- attach ------------------------------------------------------------------ */

static void
test_geometry(void)
{
	_Alignas(64) static uint8_t half[2][8192];
	const struct { struct lane_maps m; uint32_t epoch; } rows[] = {
		{ { half[0], half[1], 0, -1 }, 1 },
		{ { half[0], half[1], 1, -1 }, 1 },
		{ { half[0], half[1], 3, -1 }, 1 },
		{ { half[0], half[1], LANE_SLOTS_MAX * 2, -1 }, 1 },
		{ { half[0], half[1], 1u << 31, -1 }, 1 },
		{ { NULL, half[1], 2, -1 }, 1 },
		{ { half[0], NULL, 2, -1 }, 1 },
		{ { half[0] + 8, half[1], 2, -1 }, 1 },
		{ { half[0], half[1] + 32, 2, -1 }, 1 },
		{ { half[0], half[1], 2, -1 }, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		errno = 0;
		CHECK_MSG(!lane_sub_attach(&rows[i].m, rows[i].epoch, true), "row %zu", i);
		CHECK_EQ(errno, EINVAL);
		errno = 0;
		CHECK_MSG(!lane_srv_attach(&rows[i].m, rows[i].epoch, true), "row %zu", i);
		CHECK_EQ(errno, EINVAL);
	}
	CHECK_EQ(lane_sub_size(2) % shm_page(), 0);
	CHECK(lane_sub_size(1024) >= 1024 * (sizeof(struct lane_req) + 8));
	CHECK(lane_status_size(1024) >= 1024 * (sizeof(struct lane_rsp) + 8));
	lane_sub_free(NULL);
	lane_srv_free(NULL);
}

static void
test_no_memory(void)
{
	struct lane_submitter *s2;
	struct lane_server *v2;
	struct nomem m;
	int e1, e2;

	if (!NOMEM_WORKS)
		return;
	rig_plain(&rig, LANE_SLOTS_MAX);
	nomem_begin(&m);
	s2 = lane_sub_attach(&rig.sub, 1, true);
	e1 = errno;
	v2 = lane_srv_attach(&rig.srv, 1, true);
	e2 = errno;
	nomem_end(&m);
	CHECK(!s2 && !v2);
	CHECK_EQ(e1, ENOMEM);
	CHECK_EQ(e2, ENOMEM);
	rig_plain_done(&rig);
}

static bool
sub_attaches(bool fresh)
{
	struct lane_submitter *x = lane_sub_attach(&rig.sub, 2, fresh);
	bool good = x || errno != EPROTO;

	lane_sub_free(x);
	return good;
}

static bool
srv_attaches(bool fresh)
{
	struct lane_server *x = lane_srv_attach(&rig.srv, 2, fresh);
	bool good = x || errno != EPROTO;

	lane_srv_free(x);
	return good;
}

static void
test_not_a_lane(void)
{
	_Atomic uint64_t *h[2];
	uint16_t slot;

	begin();
	h[0] = &rig_sub_half(&rig)->header.v;
	h[1] = &rig_status_half(&rig)->header.v;
	for (int i = 0; i < 2; i++) {
		uint64_t good = atomic_load(h[i]);

		CHECK(sub_attaches(false) && srv_attaches(false));
		atomic_store(h[i], good + 1); /* other slots */
		CHECK(!sub_attaches(false) && !srv_attaches(false));
		atomic_store(h[i], good + (1 << 16)); /* other version */
		CHECK(!sub_attaches(false) && !srv_attaches(false));
		atomic_store(h[i], good + (UINT64_C(1) << 32)); /* other magic */
		CHECK(!sub_attaches(false) && !srv_attaches(false));
		atomic_store(h[i], 0); /* its owner never came so far */
		CHECK(sub_attaches(false) && srv_attaches(false));
	}
	/* Words that no incarnation can have left. */
	set_req_word(3, 0, LANE_CANCEL + 1);
	CHECK(!sub_attaches(false));
	set_req_word(3, 1, LANE_RELEASE); /* released, says only one of the two */
	CHECK(!sub_attaches(false));
	set_req_word(3, 0, LANE_RELEASE);
	CHECK(sub_attaches(false));
	set_rsp_word(3, 0, LANE_CANCELLED + 1);
	CHECK(!srv_attaches(false));
	set_rsp_word(3, 0, LANE_NONE);
	/* Fresh is what ctld says; a ring that was used contradicts it. */
	CHECK(sub_attaches(true) && srv_attaches(true));
	slot = submit_and_claim(1);
	CHECK(!sub_attaches(true) && srv_attaches(true));
	lane_srv_done(v, slot);
	lane_srv_publish(v);
	CHECK(!srv_attaches(true));
	finish();
}

/* The word that an owner leaves to its next incarnation. */
static void
test_kept_word(void)
{
	begin();
	CHECK_EQ(*lane_kept(rig.srv.status), 0);
	*lane_kept(rig.srv.status) = 7;
	submit_and_claim(1);
	lane_srv_free(v);
	v = lane_srv_attach(&rig.srv, 2, false);
	CHECK(v != NULL);
	lane_srv_serve(v);
	CHECK_EQ(*lane_kept(rig.srv.status), 7);
	CHECK_EQ(*lane_kept(rig.sub.sub), 0);
	finish();
}

/* An idle lane costs a page a half: nobody looks at the slots of fresh memory. */
static void
test_fresh_slots_cost_nothing(void)
{
	enum { SLOTS = 512, PAGES = 128 };
	unsigned char in[PAGES];
	uint8_t *half[2];

	rig_shared(&rig, SLOTS);
	s = lane_sub_attach(&rig.sub, 1, true);
	v = lane_srv_attach(&rig.srv, 1, true);
	CHECK(s && v);
	lane_srv_serve(v);
	CHECK(lane_sub_ready(s));
	CHECK_EQ(take(), 0);
	CHECK_EQ(poll_one(), 0);
	CHECK(lane_srv_sleep(v) && lane_sub_sleep(s));
	half[0] = rig.sub.sub;
	half[1] = rig.srv.status;
	for (int i = 0; i < 2; i++) {
		size_t size = i ? rig.status_size : rig.sub_size, n = 0;

		CHECK(!mincore(half[i], size, in));
		for (size_t k = 0; k < size / shm_page(); k++)
			n += in[k] & 1;
		CHECK_EQ(n, 1);
	}
	lane_sub_free(s);
	lane_srv_free(v);
	rig_shared_done(&rig);
}

/* ---- epochs -------------------------------------------------------------------- */

static void
test_other_epochs_are_ignored(void)
{
	begin();
	CHECK(lane_sub_ready(s));
	lane_srv_epoch(v, 1); /* the one it has: no effect */
	lane_sub_epoch(s, 1);
	submit(1);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	lane_srv_epoch(v, 2);
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v)); /* nothing can be taken before it serves */
	lane_srv_serve(v);
	submit(2);
	lane_sub_publish(s); /* under epoch 1 */
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	lane_srv_wake(v);
	CHECK_EQ(poll_one(), 0);
	lane_sub_epoch(s, 2);
	lane_sub_publish(s);
	CHECK(lane_sub_ready(s));
	CHECK_EQ(take() + take(), 2);
	CHECK_EQ(take(), 0);
	finish();
}

/* The submitter sleeps until the server serves: the new epoch is an event. */
static void
test_ready(void)
{
	rig_plain(&rig, N);
	s = lane_sub_attach(&rig.sub, 5, true);
	CHECK(!lane_sub_ready(s));
	CHECK(!lane_sub_ready(s));
	CHECK(lane_sub_sleep(s));
	v = lane_srv_attach(&rig.srv, 5, true);
	CHECK(!lane_sub_ready(s));
	CHECK(!lane_srv_publish(v)); /* does not serve yet */
	CHECK_EQ(take(), 0);
	lane_srv_serve(v);
	CHECK_EQ(rig_bell(rig.bell_sub), 1);
	lane_sub_wake(s);
	CHECK(!lane_sub_sleep(s)); /* not noticed yet */
	CHECK(lane_sub_ready(s));
	CHECK(lane_sub_ready(s));
	CHECK(lane_sub_sleep(s));
	finish();
}

/* A live submitter names what is not over, oldest first. */
static void
test_named_in_order(void)
{
	uint16_t order[N];
	int n = 0;

	begin();
	for (int i = 0; i < N; i++)
		order[i] = submit((uint8_t)i);
	lane_sub_publish(s);
	/* Free some and submit them again, so that order and number differ. */
	for (int i = 0; i < N; i++) {
		CHECK_EQ(take(), 1);
		lane_srv_claim(v, t.slot, t.seq);
		if (i % 3 == 0)
			lane_srv_done(v, t.slot);
	}
	lane_srv_publish(v);
	while (poll_one() > 0) {
		lane_sub_release(s, ev.slot);
		n++;
	}
	CHECK_EQ(n, 3);
	for (int i = 0; i < 2; i++)
		submit((uint8_t)(N + i));
	CHECK(lane_sub_get(s) >= 0); /* owned by the caller: not named */

	/* The server dies; the next takes what is named, in that order. */
	lane_srv_free(v);
	lane_sub_epoch(s, 2);
	lane_sub_publish(s);
	CHECK_EQ(lane_low(atomic_load(&rig_sub_half(&rig)->published.v)), 7);
	for (uint32_t i = 1; i < 7; i++) {
		_Atomic uint32_t *ring = rig_sub_half(&rig)->ring;

		CHECK(rig_sub_slot(&rig, (uint16_t)ring[i - 1])->req.order <
		      rig_sub_slot(&rig, (uint16_t)ring[i])->req.order);
	}
	CHECK_EQ((uint16_t)rig_sub_half(&rig)->ring[0], order[1]);
	v = lane_srv_attach(&rig.srv, 2, false);
	lane_srv_serve(v);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.req.u.scsi.cdb[0], N);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.req.u.scsi.cdb[0], N + 1);
	CHECK_EQ(take(), 0); /* the others wait for the recovery's claim */
	finish();
}

/* The most one slot can leave in the ring (proto/lane_ring.h) does fit. */
static void
test_ring_bound(void)
{
	uint16_t slot[N];

	begin();
	for (int i = 0; i < N; i++)
		slot[i] = submit_and_claim((uint8_t)i);
	for (int i = 0; i < N; i++)
		lane_srv_want(v, slot[i], 1);
	lane_srv_publish(v);
	for (int i = 0; i < N; i++)
		CHECK_EQ(poll_one(), 1);
	lane_srv_epoch(v, 2);
	lane_sub_epoch(s, 2);
	lane_sub_publish(s);
	for (int i = 0; i < N; i++) {
		lane_sub_data(s, slot[i]);
		lane_sub_cancel(s, slot[i]);
		lane_srv_cancelled(v, slot[i]);
	}
	lane_sub_publish(s);
	lane_srv_serve(v);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(poll_one(), 1);
		lane_sub_release(s, ev.slot);
	}
	for (int i = 0; i < N; i++)
		lane_sub_cancel(s, submit(1));
	lane_sub_publish(s);
	CHECK_EQ(lane_low(atomic_load(&rig_sub_half(&rig)->published.v)), 5 * N);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(take(), 1);
		CHECK_EQ(t.op, LANE_CANCEL);
		CHECK_EQ(t.seq, 2);
	}
	CHECK_EQ(take(), 0);
	CHECK(!lane_srv_frozen(v));
	finish();
}

/* ---- recovery -------------------------------------------------------------------- */

/* docs/recovery.md, "a restarted server scans its slots": r = 5. */
static void
test_server_scan(void)
{
	static const struct {
		uint32_t op, seq, state;
		int rc;
		uint32_t t_state, attempts;
		bool body;
	} rows[] = {
		{ LANE_RELEASE, 5, LANE_DONE, -ENOENT, 0, 0, false },
		{ LANE_RELEASE, 5, LANE_CANCELLED, -ENOENT, 0, 0, false },
		{ LANE_RELEASE, 5, LANE_NONE, -ENOENT, 0, 0, false },
		{ LANE_RELEASE, 5, LANE_CLAIMED, -EPROTO, 0, 0, false },
		{ LANE_RELEASE, 5, LANE_EXEC, -EPROTO, 0, 0, false },
		{ LANE_RELEASE, 4, LANE_DONE, -EPROTO, 0, 0, false },
		{ LANE_RELEASE, 6, LANE_DONE, -EPROTO, 0, 0, false },
		{ LANE_SUBMIT, 5, LANE_CLAIMED, 0, LANE_CLAIMED, 4, true },
		{ LANE_DATA, 5, LANE_CLAIMED, 0, LANE_CLAIMED, 4, true },
		{ LANE_SUBMIT, 5, LANE_WANT, 0, LANE_WANT, 4, true },
		{ LANE_DATA, 5, LANE_WANT, 0, LANE_WANT, 4, true },
		{ LANE_SUBMIT, 5, LANE_INTENT, 0, LANE_INTENT, 4, true },
		{ LANE_DATA, 5, LANE_EXEC, 0, LANE_EXEC, 4, true },
		{ LANE_SUBMIT, 5, LANE_DONE, 0, LANE_DONE, 4, false },
		{ LANE_CANCEL, 5, LANE_CANCELLED, 0, LANE_CANCELLED, 4, false },
		{ LANE_CANCEL, 5, LANE_EXEC, 0, LANE_EXEC, 4, true },
		{ LANE_SUBMIT, 5, LANE_NONE, -EPROTO, 0, 0, false },
		{ LANE_SUBMIT, 4, LANE_DONE, 0, LANE_NONE, 1, true },
		{ LANE_SUBMIT, 4, LANE_NONE, 0, LANE_NONE, 1, true },
		{ LANE_CANCEL, 4, LANE_CANCELLED, 0, LANE_NONE, 1, true },
		{ LANE_DATA, 4, LANE_DONE, -EPROTO, 0, 0, false },
		{ LANE_SUBMIT, 4, LANE_CLAIMED, -EPROTO, 0, 0, false },
		{ LANE_CANCEL, 4, LANE_EXEC, -EPROTO, 0, 0, false },
		{ LANE_SUBMIT, 3, LANE_DONE, -EPROTO, 0, 0, false },
		{ LANE_SUBMIT, 6, LANE_DONE, -EPROTO, 0, 0, false },
		{ LANE_CANCEL + 1, 5, LANE_DONE, -EPROTO, 0, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int rc;

		rig_plain(&rig, N);
		set_req_word(2, 5, rows[i].op);
		set_rsp_word(2, rows[i].seq, 3u << 16 | rows[i].state);
		rig_sub_slot(&rig, 2)->req.nexus = 77;
		v = lane_srv_attach(&rig.srv, 2, false);
		rc = lane_srv_scan(v, 2, &t);
		CHECK_MSG(rc == rows[i].rc, "row %zu: %d", i, rc);
		CHECK_EQ(lane_srv_frozen(v), rc == -EPROTO);
		if (rc == -EPROTO) {
			CHECK_EQ(lane_srv_scan(v, 2, &t), -EPROTO);
			CHECK_EQ(take(), -EPROTO);
			CHECK(lane_srv_sleep(v));
			CHECK_EQ(lane_srv_stats(v)->violations, 1);
		}
		if (!rc) {
			CHECK_EQ(t.slot, 2);
			CHECK_EQ(t.seq, 5);
			CHECK_EQ(t.op, rows[i].op);
			CHECK_MSG(t.state == rows[i].t_state, "row %zu", i);
			CHECK_MSG(t.attempts == rows[i].attempts, "row %zu", i);
			CHECK_EQ(t.req.nexus, rows[i].body ? 77 : 0);
		}
		lane_srv_free(v);
		rig_plain_done(&rig);
	}
}

/* A re-claim keeps the state, counts the attempt, and DATA is not said twice. */
static void
test_server_restart(void)
{
	uint16_t exec, data, cancel, done, fresh, want, gone;
	int n = 0;

	begin();
	exec = submit_and_claim(1);
	lane_srv_exec(v, exec);
	data = submit_and_claim(2);
	want = submit_and_claim(3);
	gone = submit_and_claim(4);
	lane_srv_want(v, data, 100);
	lane_srv_want(v, want, 100);
	lane_srv_want(v, gone, 100);
	lane_srv_publish(v);
	CHECK_EQ(poll_one() + poll_one() + poll_one(), 3);
	lane_sub_data(s, data);
	lane_sub_data(s, gone);
	cancel = submit_and_claim(5);
	lane_sub_cancel(s, cancel);
	done = submit_and_claim(6);
	lane_srv_done(v, done); /* not published: dies before */
	fresh = submit(7);
	lane_srv_free(v);

	lane_sub_epoch(s, 2);
	lane_sub_publish(s);
	v = lane_srv_attach(&rig.srv, 2, false);
	for (uint16_t i = 0; i < N; i++) {
		int rc = lane_srv_scan(v, i, &t);

		if (rc == -ENOENT)
			continue;
		CHECK_EQ(rc, 0);
		n++;
		if (i == fresh || i == done)
			continue; /* the ring will bring the one; the other is over */
		lane_srv_claim(v, i, t.seq);
		CHECK_EQ(atomic_load(&rig_status_slot(&rig, i)->word),
			 lane_pair(1, 2u << 16 | t.state));
	}
	CHECK_EQ(n, 7);
	CHECK_EQ(lane_srv_busy(v), 5);
	lane_srv_done(v, gone); /* before it serves: named by serve */
	lane_srv_serve(v);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.slot, fresh);
	CHECK_EQ(take(), 0);
	CHECK(lane_sub_ready(s));
	/* WANT had been reported; DONE had not. */
	CHECK_EQ(poll_one(), 1);
	CHECK(ev.slot == done || ev.slot == gone);
	CHECK_EQ(poll_one(), 1);
	CHECK(ev.slot == done || ev.slot == gone);
	CHECK_EQ(poll_one(), 0);
	lane_sub_data(s, want);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.slot, want);
	CHECK_EQ(t.op, LANE_DATA);
	CHECK_EQ(t.attempts, 2);
	finish();
}

static void
test_attempts_saturate(void)
{
	rig_plain(&rig, N);
	set_req_word(0, 5, LANE_SUBMIT);
	set_rsp_word(0, 5, UINT32_C(0xffff) << 16 | LANE_EXEC);
	v = lane_srv_attach(&rig.srv, 2, false);
	CHECK_EQ(lane_srv_scan(v, 0, &t), 0);
	CHECK_EQ(t.attempts, UINT16_MAX);
	lane_srv_claim(v, 0, 5);
	CHECK_EQ(atomic_load(&rig_status_slot(&rig, 0)->word),
		 lane_pair(5, UINT32_C(0xffff) << 16 | LANE_EXEC));
	lane_srv_free(v);
	rig_plain_done(&rig);
}

/* docs/recovery.md, "a restarted scsid harvests its lower lane". */
static void
test_submitter_restart(void)
{
	uint16_t done, unclaimed, cancelled, slot;
	struct lane_req req;
	struct lane_rsp rsp;
	enum lane_op op;
	uint64_t order;
	uint32_t seq;

	begin();
	done = submit_and_claim(1);
	cancelled = submit_and_claim(2);
	lane_sub_cancel(s, cancelled);
	unclaimed = submit(3);
	order = lane_sub_req(s, unclaimed)->order;
	lane_sub_free(s); /* dies; nothing of slot 3 was published */

	lane_srv_epoch(v, 2);
	s = lane_sub_attach(&rig.sub, 2, false);
	CHECK_EQ(lane_sub_busy(s), 3);
	CHECK(!lane_sub_ready(s));
	CHECK_EQ(take(), 0);
	lane_srv_rsp(v, done)->in_len = 99;
	lane_srv_done(v, done); /* it drains */
	lane_srv_cancelled(v, cancelled);
	CHECK(!lane_sub_ready(s));
	lane_srv_serve(v);
	CHECK(lane_sub_ready(s));

	CHECK_EQ(lane_sub_scan(s, done, &seq, &op, &req), 0);
	CHECK_EQ(seq, 1);
	CHECK_EQ(op, LANE_SUBMIT);
	CHECK_EQ(req.u.scsi.cdb[0], 1);
	CHECK_EQ(lane_sub_state(s, done), LANE_DONE);
	CHECK_EQ(lane_sub_rsp(s, done, &rsp), 0);
	CHECK_EQ(rsp.in_len, 99);
	lane_sub_release(s, done);
	CHECK_EQ(lane_sub_scan(s, done, &seq, &op, &req), -ENOENT);

	CHECK_EQ(lane_sub_scan(s, unclaimed, &seq, &op, &req), 0);
	CHECK_EQ(lane_sub_state(s, unclaimed), LANE_NONE);
	lane_sub_cancel(s, unclaimed);
	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	CHECK_EQ(t.op, LANE_CANCEL);
	CHECK_EQ(t.slot, unclaimed);
	lane_srv_claim(v, t.slot, t.seq);
	lane_srv_cancelled(v, t.slot);
	lane_srv_publish(v);

	CHECK_EQ(poll_one(), 1); /* done was seen by the scan already */
	CHECK_EQ(ev.slot, cancelled);
	CHECK_EQ(poll_one(), 1);
	CHECK_EQ(ev.slot, unclaimed);
	lane_sub_release(s, unclaimed);
	lane_sub_release(s, cancelled);
	slot = submit(4);
	CHECK(lane_sub_req(s, slot)->order > order); /* the history goes on */
	finish();
}

int
main(void)
{
	TEST(test_geometry);
	TEST(test_no_memory);
	TEST(test_not_a_lane);
	TEST(test_fresh_slots_cost_nothing);
	TEST(test_kept_word);
	TEST(test_other_epochs_are_ignored);
	TEST(test_ready);
	TEST(test_named_in_order);
	TEST(test_ring_bound);
	TEST(test_server_scan);
	TEST(test_server_restart);
	TEST(test_attempts_saturate);
	TEST(test_submitter_restart);
	return tap_done();
}
