/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both ends of a lane as threads that sleep on their bells, die anywhere and
 * are replaced under the next epoch.  Every request must get its own answer,
 * nothing may be lost, and nobody may sleep for ever.
 *
 * Run over one mapping, so that ThreadSanitizer sees both ends touch the same
 * addresses (it cannot relate two mappings of one object), and over separate
 * mappings with the permissions of the two processes.
 *	test_lane_threads [DEATHS [SEED]]
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lane_rig.h"
#include "tap.h"

enum {
	SLOTS = 16,
	DEPTH = 12,
	PER_ROUND = 400, /* requests answered between two deaths */
	LOST_MS = 20000, /* longer than any scheduler delay: a bell was lost */
};

static int rounds = 40; /* deaths */
static unsigned seed = 1;
static struct lane_rig rig;
static atomic_uint epoch; /* what ctld announced */
static atomic_ulong answered;
static atomic_int failures;

#define FAIL_IF(cond)                                                          \
	do {                                                                   \
		if (cond) {                                                    \
			printf("# line %d: %s\n", __LINE__, #cond);            \
			atomic_fetch_add(&failures, 1);                        \
		}                                                              \
	} while (0)

struct end {
	pthread_t thread;
	void *(*run)(void *);
	uint32_t attach_epoch;
	bool fresh;
	atomic_bool die; /* at one of the next chances */
	atomic_bool finish; /* submitter: submit nothing new; server: stop */
	int bell; /* wakes this end */
	unsigned seed;
};

/* One of the places where a process may be killed. */
static bool
dies(struct end *e)
{
	return atomic_load(&e->die) && rand_r(&e->seed) % 4 == 0;
}

static void
sleep_on(struct end *e)
{
	struct pollfd p = { .fd = e->bell, .events = POLLIN };

	if (atomic_load(&e->die)) /* its poke may be over: no more sleep, only chances */
		return;
	FAIL_IF(poll(&p, 1, LOST_MS) != 1);
	rig_bell(e->bell);
}

static void
poke(struct end *e)
{
	uint64_t one = 1;

	FAIL_IF(write(e->bell, &one, sizeof(one)) != sizeof(one));
}

/* ---- the submitter --------------------------------------------------------- */

static uint32_t
value_of(const struct lane_req *req)
{
	return req->u.scsi.cmdsn;
}

static void
submit_one(struct end *e, struct lane_submitter *s)
{
	int slot = lane_sub_get(s);
	uint32_t value = (uint32_t)rand_r(&e->seed);
	struct lane_req *req;

	FAIL_IF(slot < 0);
	if (slot < 0)
		return;
	req = lane_sub_req(s, (uint16_t)slot);
	req->kind = LANE_SCSI;
	req->n_in = (uint8_t)(value % 5);
	for (int i = 0; i < req->n_in; i++)
		req->in[i].len = value + (uint32_t)i;
	req->u.scsi.cmdsn = value;
	req->u.scsi.edtl_in = ~value;
	req->u.scsi.cdb_len = (uint16_t)(value % 260 + 1);
	memset(req->u.scsi.cdb, (int)(value & 0xff), req->u.scsi.cdb_len);
	lane_sub_submit(s, (uint16_t)slot);
	if (value % 16 == 0)
		lane_sub_cancel(s, (uint16_t)slot);
}

/* DONE or CANCELLED: is it the answer to this very request? */
static void
check_answer(struct lane_submitter *s, uint16_t slot, bool done)
{
	uint32_t value = value_of(lane_sub_req(s, slot));
	struct lane_rsp rsp;

	FAIL_IF(lane_sub_rsp(s, slot, &rsp));
	if (done) {
		FAIL_IF(rsp.in_len != value || rsp.sense_len != value % 253);
		for (int i = 0; i < rsp.sense_len; i++)
			FAIL_IF(rsp.sense[i] != (uint8_t)value);
	}
	lane_sub_release(s, slot);
	atomic_fetch_add(&answered, 1);
}

static void
on_event(struct end *e, struct lane_submitter *s, const struct lane_event *ev)
{
	struct lane_rsp rsp;

	if (ev->state != LANE_WANT) {
		check_answer(s, ev->slot, ev->state == LANE_DONE);
		return;
	}
	FAIL_IF(lane_sub_rsp(s, ev->slot, &rsp));
	FAIL_IF(rsp.want != value_of(lane_sub_req(s, ev->slot)));
	if (rand_r(&e->seed) % 8)
		lane_sub_data(s, ev->slot);
	else
		lane_sub_cancel(s, ev->slot);
}

/* After the server serves: what the dead incarnation left. */
static void
harvest(struct lane_submitter *s)
{
	for (uint16_t i = 0; i < SLOTS; i++) {
		struct lane_req req;
		enum lane_op op;
		uint32_t seq;
		int state;

		if (lane_sub_scan(s, i, &seq, &op, &req) == -ENOENT)
			continue;
		state = lane_sub_state(s, i);
		if (state == LANE_NONE)
			lane_sub_cancel(s, i);
		else if (state >= LANE_DONE)
			check_answer(s, i, state == LANE_DONE);
		else
			FAIL_IF("not drained");
	}
	lane_sub_publish(s);
}

static void *
submitter(void *arg)
{
	struct end *e = arg;
	struct lane_submitter *s = lane_sub_attach(&rig.sub, e->attach_epoch, e->fresh);
	bool harvested = e->fresh;

	FAIL_IF(!s);
	while (s && !dies(e)) {
		struct lane_event ev[8];
		int n;

		lane_sub_epoch(s, atomic_load(&epoch));
		lane_sub_publish(s);
		if (!harvested && lane_sub_ready(s)) {
			harvest(s);
			harvested = true;
		}
		n = harvested ? lane_sub_poll(s, ev, 8) : 0;
		FAIL_IF(n < 0);
		for (int i = 0; i < n; i++) {
			on_event(e, s, &ev[i]);
			if (dies(e))
				goto out;
		}
		while (harvested && lane_sub_busy(s) < DEPTH && !atomic_load(&e->finish) &&
		       !dies(e))
			submit_one(e, s);
		if (dies(e))
			break;
		lane_sub_publish(s);
		if (n < 0 || (atomic_load(&e->finish) && !lane_sub_busy(s)))
			break;
		if (!n && lane_sub_sleep(s)) {
			sleep_on(e);
			lane_sub_wake(s);
		}
	}
out:
	lane_sub_free(s);
	return NULL;
}

/* ---- the server -------------------------------------------------------------- */

struct pending {
	bool queued; /* else, when in use, it waits for data */
	bool used;
	uint32_t value;
};

static void
finish_one(struct lane_server *v, struct pending *p, uint16_t slot, bool done)
{
	struct lane_rsp *rsp = lane_srv_rsp(v, slot);

	if (done) {
		lane_srv_exec(v, slot);
		rsp->in_len = p->value;
		rsp->sense_len = (uint16_t)(p->value % 253);
		memset(rsp->sense, (int)(p->value & 0xff), rsp->sense_len);
		lane_srv_done(v, slot);
	} else {
		lane_srv_cancelled(v, slot);
	}
	p->used = false;
}

static void
start(struct lane_server *v, struct pending *q, const struct lane_taken *t)
{
	struct pending *p = &q[t->slot];

	FAIL_IF(p->used);
	p->used = true;
	p->value = value_of(&t->req);
	FAIL_IF(t->req.u.scsi.edtl_in != ~p->value || t->req.n_in != p->value % 5);
	FAIL_IF(t->req.u.scsi.cdb[t->req.u.scsi.cdb_len - 1] != (uint8_t)p->value);
	p->queued = p->value % 4 || t->op == LANE_DATA;
	if (!p->queued)
		lane_srv_want(v, t->slot, p->value);
}

static void
on_taken(struct lane_server *v, struct pending *q, const struct lane_taken *t)
{
	struct pending *p = &q[t->slot];

	if (t->op == LANE_SUBMIT) {
		lane_srv_claim(v, t->slot, t->seq);
		start(v, q, t);
	} else if (t->op == LANE_DATA) {
		FAIL_IF(!p->used || p->queued);
		p->queued = true;
	} else {
		if (t->state == LANE_NONE)
			lane_srv_claim(v, t->slot, t->seq);
		finish_one(v, p, t->slot, false);
	}
}

/* docs/recovery.md: a restarted server scans its slots. */
static void
recover(struct lane_server *v, struct pending *q)
{
	for (uint16_t i = 0; i < SLOTS; i++) {
		struct lane_taken t;
		int rc = lane_srv_scan(v, i, &t);

		FAIL_IF(rc && rc != -ENOENT);
		if (rc || t.state >= LANE_DONE)
			continue;
		lane_srv_claim(v, i, t.seq);
		if (t.op == LANE_CANCEL) {
			finish_one(v, &q[i], i, false);
		} else if (t.state == LANE_EXEC) { /* class A: once more */
			q[i] = (struct pending){ true, true, value_of(&t.req) };
		} else {
			start(v, q, &t);
		}
	}
}

/* The submitter died: what waits for its data never gets it. */
static void
drain(struct lane_server *v, struct pending *q)
{
	for (uint16_t i = 0; i < SLOTS; i++) {
		if (q[i].used)
			finish_one(v, &q[i], i, q[i].queued);
	}
	FAIL_IF(lane_srv_busy(v));
}

static void *
server(void *arg)
{
	struct end *e = arg;
	struct lane_server *v = lane_srv_attach(&rig.srv, e->attach_epoch, e->fresh);
	struct pending q[SLOTS] = { 0 };
	uint32_t served = e->attach_epoch;

	FAIL_IF(!v);
	if (!v)
		return NULL;
	recover(v, q);
	if (!dies(e))
		lane_srv_serve(v);
	while (!dies(e) && !atomic_load(&e->finish)) {
		uint32_t now = atomic_load(&epoch);
		struct lane_taken t;
		int rc = 0;

		if (now != served) {
			lane_srv_epoch(v, now);
			drain(v, q);
			lane_srv_serve(v);
			served = now;
		}
		while (!dies(e) && (rc = lane_srv_take(v, &t)) > 0)
			on_taken(v, q, &t);
		FAIL_IF(rc < 0);
		for (uint16_t i = 0; i < SLOTS && !dies(e); i++) {
			if (q[i].used && q[i].queued && rand_r(&e->seed) % 4)
				finish_one(v, &q[i], i, true);
		}
		if (rc < 0 || dies(e))
			break;
		lane_srv_publish(v);
		for (uint16_t i = 0; i < SLOTS; i++)
			rc |= q[i].used && q[i].queued;
		if (!rc && atomic_load(&epoch) == served && lane_srv_sleep(v)) {
			sleep_on(e);
			lane_srv_wake(v);
		}
	}
	lane_srv_free(v);
	return NULL;
}

/* ---- ctld ---------------------------------------------------------------------- */

static void
launch(struct end *e, bool fresh)
{
	e->attach_epoch = atomic_load(&epoch);
	e->fresh = fresh;
	atomic_store(&e->die, false);
	FAIL_IF(pthread_create(&e->thread, NULL, e->run, e));
}

static void
bury(struct end *e)
{
	pthread_join(e->thread, NULL);
}

static void
kill_end(struct end *e)
{
	atomic_store(&e->die, true);
	poke(e);
	bury(e);
}

static void
wait_for(unsigned long goal)
{
	for (int ms = 0; atomic_load(&answered) < goal && ms < LOST_MS; ms++) {
		struct timespec t = { 0, 1000000 };

		nanosleep(&t, NULL);
	}
	FAIL_IF(atomic_load(&answered) < goal);
}

static void
run_lane(void)
{
	struct end sub = { .run = submitter, .bell = rig.bell_sub, .seed = seed };
	struct end srv = { .run = server, .bell = rig.bell_srv, .seed = ~seed };

	atomic_store(&epoch, 1);
	atomic_store(&answered, 0);
	atomic_store(&failures, 0);
	launch(&srv, true);
	launch(&sub, true);
	for (int i = 0; i < rounds && !atomic_load(&failures); i++) {
		bool a = i % 3 != 0, b = i % 3 != 1; /* server, submitter, both */

		wait_for(atomic_load(&answered) + PER_ROUND);
		if (a)
			kill_end(&srv);
		if (b)
			kill_end(&sub);
		atomic_fetch_add(&epoch, 1);
		if (a)
			launch(&srv, false);
		else
			poke(&srv);
		if (a && b) {
			/* The submitter died: the new server must drain too. */
			atomic_fetch_add(&epoch, 1);
			poke(&srv);
		}
		if (b)
			launch(&sub, false);
		else
			poke(&sub);
	}
	wait_for(atomic_load(&answered) + PER_ROUND);
	atomic_store(&sub.finish, true);
	poke(&sub);
	bury(&sub);
	atomic_store(&srv.finish, true);
	poke(&srv);
	bury(&srv);
	CHECK_EQ(atomic_load(&failures), 0);
	/* At the end every slot is free, and both words say so. */
	for (uint16_t i = 0; i < SLOTS; i++) {
		uint64_t w = atomic_load(&rig_sub_slot(&rig, i)->word);
		uint64_t r = atomic_load(&rig_status_slot(&rig, i)->word);

		CHECK_EQ(lane_low(w), LANE_RELEASE);
		CHECK_EQ(lane_high(w), lane_high(r));
	}
	printf("# %lu answers, %u epochs\n", atomic_load(&answered), atomic_load(&epoch));
}

static void
test_one_mapping(void)
{
	rig_plain(&rig, SLOTS);
	run_lane();
	rig_plain_done(&rig);
}

static void
test_two_mappings(void)
{
	rig_shared(&rig, SLOTS);
	run_lane();
	rig_shared_done(&rig);
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]);
	if (argc > 2)
		seed = (unsigned)atoi(argv[2]);
	TEST(test_one_mapping);
	TEST(test_two_mappings);
	return tap_done();
}
