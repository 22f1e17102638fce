/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slot protocol, both ends in one thread: the course of a request, what is
 * a harmless repeat, what is a violation, epochs, sleeping, recovery.
 * docs/recovery.md is the specification of the tables.
 */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>

#include "lane_rig.h"
#include "nomem.h"
#include "proto/util.h"
#include "tap.h"

enum { N = 8, RING = N * LANE_RING_FACTOR };

static struct lane_rig rig;
static struct lane_submitter *s;
static struct lane_server *v;

static void
begin(void)
{
	rig_plain(&rig, N);
	s = lane_sub_attach(&rig.sub, 1, true);
	v = lane_srv_attach(&rig.srv, 1, true);
	CHECK(s && v);
	lane_srv_serve(v);
}

static void
finish(void)
{
	lane_sub_free(s);
	lane_srv_free(v);
	rig_plain_done(&rig);
}

/* Submits a command whose CDB begins with @mark; returns the slot. */
static uint16_t
submit(uint8_t mark)
{
	int slot = lane_sub_get(s);
	struct lane_req *req = lane_sub_req(s, (uint16_t)slot);

	CHECK(slot >= 0);
	req->kind = LANE_SCSI;
	req->u.scsi.cdb_len = 16;
	req->u.scsi.cdb[0] = mark;
	lane_sub_submit(s, (uint16_t)slot);
	return (uint16_t)slot;
}

static struct lane_taken t; /* what take() took last */

static int
take(void)
{
	struct lane_taken x;
	int rc;

	memset(&x, 0xee, sizeof(x));
	rc = lane_srv_take(v, &x);
	if (rc > 0)
		t = x;
	return rc;
}

static struct lane_event ev;

static int
poll_one(void)
{
	memset(&ev, 0xee, sizeof(ev));
	return lane_sub_poll(s, &ev, 1);
}

static uint16_t
submit_and_claim(uint8_t mark)
{
	uint16_t slot = submit(mark);

	lane_sub_publish(s);
	CHECK_EQ(take(), 1);
	lane_srv_claim(v, slot, t.seq);
	return slot;
}

/* Both ends begin their rings anew: after name_sub, whose entries the submitter
 * does not know of. */
static void
resync(uint32_t epoch)
{
	lane_srv_epoch(v, epoch);
	lane_sub_epoch(s, epoch);
	lane_sub_publish(s);
	lane_srv_serve(v);
}

/* Names (slot, seq) in the submission ring, as any submitter could. */
static void
name_sub(uint32_t slot, uint32_t seq)
{
	struct lane_half *h = rig_sub_half(&rig);
	uint64_t w = atomic_load(&h->published.v);

	atomic_store(&h->ring[lane_low(w) % RING], seq << 16 | slot);
	atomic_store(&h->published.v, w + 1);
}

static void
name_status(uint32_t slot, uint32_t seq)
{
	struct lane_half *h = rig_status_half(&rig);
	uint64_t w = atomic_load(&h->published.v);

	atomic_store(&h->ring[lane_low(w) % RING], seq << 16 | slot);
	atomic_store(&h->published.v, w + 1);
}

static void
set_req_word(uint16_t slot, uint32_t seq, uint32_t op)
{
	atomic_store(&rig_sub_slot(&rig, slot)->word, lane_pair(seq, op));
}

static void
set_rsp_word(uint16_t slot, uint32_t seq, uint32_t low)
{
	atomic_store(&rig_status_slot(&rig, slot)->word, lane_pair(seq, low));
}

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

static uint64_t
bell(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void
test_bells(void)
{
	uint16_t slot;

	begin();
	CHECK_EQ(take(), 0);
	CHECK(lane_srv_sleep(v));
	slot = submit(1);
	CHECK(lane_sub_publish(s));
	CHECK_EQ(bell(rig.bell_srv), 1);
	submit(2);
	CHECK(!lane_sub_publish(s)); /* once per sleep */
	CHECK(!lane_sub_publish(s)); /* nothing new */
	CHECK_EQ(bell(rig.bell_srv), 0);
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
	CHECK_EQ(bell(rig.bell_sub), 1);
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

/* On the second signal somebody reads the bell, and the write goes through. */
static void
on_alarm(int sig)
{
	if (++alarms >= 2)
		bell(rig.bell_srv);
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
	/* Fresh is what ctld says; used memory contradicts it. */
	CHECK(sub_attaches(true) && srv_attaches(true));
	submit_and_claim(1);
	CHECK(!sub_attaches(true) && !srv_attaches(true));
	finish();
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
	CHECK_EQ(bell(rig.bell_sub), 1);
	lane_sub_wake(s);
	CHECK(!lane_sub_sleep(s)); /* not noticed yet */
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
	TEST(test_geometry);
	TEST(test_no_memory);
	TEST(test_not_a_lane);
	TEST(test_other_epochs_are_ignored);
	TEST(test_ready);
	TEST(test_named_in_order);
	TEST(test_ring_bound);
	TEST(test_server_scan);
	TEST(test_server_restart);
	TEST(test_attempts_saturate);
	TEST(test_submitter_restart);
	TEST(test_bad_submitter);
	TEST(test_flood);
	TEST(test_thaw);
	TEST(test_bad_server);
	TEST(test_named_early);
	TEST(test_bad_response);
	TEST(test_bad_scan);
	return tap_done();
}
