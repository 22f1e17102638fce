/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile peer: while a lane is in use, a second thread flips bytes anywhere
 * in the half that the peer writes.  First the server is the victim (its
 * submission half is flipped), then the submitter (the status half).
 *
 *	flip_lane [FLIPS [SEED]]
 *
 * The victim works as a daemon does: it uses what passes the border check,
 * and after -EPROTO the lane is attached again under the next epoch: the
 * victim thaws, or is replaced and recovers from the flipped memory, or both
 * ends begin with new memory.  Fails on a canary that changed, on a hang, on a
 * signal, and (built with SAN=asan) on any access out of bounds.
 *
 * Flips come in two sorts.  Most are undone after a moment, so that the lane
 * stays coherent enough to be deep in its states when the next one hits;
 * sometimes a burst stays and leaves noise.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "proto/util.h"
#include "tests/unit/lane_rig.h"

enum {
	SLOTS = 16,
	CANARY = 4096,
	POOL_BYTES = 1 << 20,
	HELD = 8, /* flips at a time that will be undone */
	STALL = 200, /* turns without an answer: attach again */
	HANG_S = 30, /* the victim does not come back from a call */
};

/* What the victim copies into, with neighbours that nobody may write. */
struct guarded {
	uint8_t before[CANARY];
	union {
		struct lane_taken taken;
		struct lane_rsp rsp;
		struct lane_event ev[SLOTS];
	} u;
	uint8_t after[CANARY];
};

static struct lane_rig rig;
static struct lane_submitter *s;
static struct lane_server *v;
static struct guarded *g;
static uint8_t *pool; /* exactly as long as the lane's pool */
static uint32_t epoch;
static bool live[SLOTS]; /* the server's claims */
static bool victim_is_server;

static atomic_ulong turns;
static atomic_bool stop;
static volatile uint8_t sink;

static struct {
	unsigned long answers, refused, thaws, replaced, renewed, violations, stalls;
} count;

/* xorshift: rand(3) takes a lock. */
static uint32_t
next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static uint32_t rnd; /* of the victim's thread */

/* ---- canaries -------------------------------------------------------------- */

static void
canaries_set(void)
{
	memset(g->before, 0xca, CANARY);
	memset(g->after, 0xca, CANARY);
}

static void
canaries_check(void)
{
	for (int i = 0; i < CANARY; i++) {
		if (g->before[i] != 0xca || g->after[i] != 0xca) {
			fprintf(stderr, "flip_lane: canary %d changed\n", i);
			abort();
		}
	}
}

/* ---- the server -------------------------------------------------------------- */

static const struct lane_pool_info pool_info = { 1, POOL_BYTES };
static const struct lane_limits limits = {
	.pools = &pool_info, .n_pools = 1, .store_size = POOL_BYTES,
	.kinds = 1u << LANE_SCSI | 1u << LANE_TMF | 1u << LANE_BLK,
};

static void
use_extents(const struct lane_ext *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sink ^= pool[e[i].off] ^ pool[e[i].off + e[i].len - 1];
}

/* Whatever passed the check may be used without another look. */
static void
use_request(const struct lane_req *r)
{
	if (lane_req_check(&limits, r)) {
		count.refused++;
		return;
	}
	use_extents(r->out, r->n_out);
	use_extents(r->in, r->n_in);
	if (r->kind == LANE_SCSI)
		sink ^= r->u.scsi.cdb[r->u.scsi.cdb_len - 1];
	if (r->kind == LANE_BLK && r->u.blk.len)
		sink ^= pool[r->u.blk.off + r->u.blk.len - 1];
}

static void
end_slot(uint16_t slot, bool done)
{
	struct lane_rsp *rsp = lane_srv_rsp(v, slot);

	live[slot] = false;
	if (!done) {
		lane_srv_cancelled(v, slot);
		return;
	}
	lane_srv_exec(v, slot);
	rsp->sense_len = (uint16_t)(next(&rnd) % (LANE_SENSE_MAX + 1));
	lane_srv_done(v, slot);
}

static void
run_taken(const struct lane_taken *t)
{
	if (t->op == LANE_SUBMIT) {
		use_request(&t->req);
		lane_srv_claim(v, t->slot, t->seq);
		live[t->slot] = true;
		if (next(&rnd) % 4 == 0)
			lane_srv_want(v, t->slot, 512);
		else if (next(&rnd) % 4)
			end_slot(t->slot, true);
		/* else it stays claimed for a while */
	} else {
		if (t->state == LANE_NONE)
			lane_srv_claim(v, t->slot, t->seq);
		end_slot(t->slot, t->op == LANE_DATA);
	}
}

static int
server_turn(void)
{
	for (int i = 0; i < SLOTS; i++) {
		int rc = lane_srv_take(v, &g->u.taken);

		if (rc < 0)
			return rc;
		if (!rc)
			break;
		run_taken(&g->u.taken);
	}
	for (uint16_t i = 0; i < SLOTS; i++) {
		if (live[i] && next(&rnd) % 16 == 0)
			end_slot(i, true);
	}
	lane_srv_publish(v);
	if (lane_srv_sleep(v))
		lane_srv_wake(v);
	return 0;
}

/* ---- the submitter ------------------------------------------------------------- */

static void
fill(struct lane_req *r)
{
	r->kind = next(&rnd) % 3 ? LANE_SCSI : LANE_BLK;
	r->n_in = (uint8_t)(next(&rnd) % 4 + 1);
	for (int i = 0; i < r->n_in; i++)
		r->in[i] = (struct lane_ext){ 1, 4096, next(&rnd) % (POOL_BYTES - 4096) };
	if (r->kind == LANE_SCSI) {
		r->u.scsi.cdb_len = (uint16_t)(6 + next(&rnd) % 255);
	} else {
		r->u.blk = (struct lane_blk){ .op = BLK_READ, .len = r->n_in * 4096u };
		r->u.blk.off = next(&rnd) % (POOL_BYTES - r->u.blk.len);
	}
}

static int
submitter_turn(void)
{
	int slot, n = lane_sub_poll(s, g->u.ev, SLOTS);
	struct lane_event ev[SLOTS];

	if (n < 0)
		return n;
	memcpy(ev, g->u.ev, sizeof(ev));
	for (int i = 0; i < n; i++) {
		if (lane_sub_rsp(s, ev[i].slot, &g->u.rsp))
			return -EPROTO;
		sink ^= g->u.rsp.sense[g->u.rsp.sense_len ? g->u.rsp.sense_len - 1 : 0];
		if (ev[i].state == LANE_WANT) {
			lane_sub_data(s, ev[i].slot);
		} else {
			lane_sub_release(s, ev[i].slot);
			count.answers++;
		}
	}
	while ((slot = lane_sub_get(s)) >= 0 && next(&rnd) % 4) {
		fill(lane_sub_req(s, (uint16_t)slot));
		lane_sub_submit(s, (uint16_t)slot);
		if (next(&rnd) % 8 == 0)
			lane_sub_cancel(s, (uint16_t)slot);
	}
	if (slot >= 0)
		lane_sub_unget(s, (uint16_t)slot);
	lane_sub_publish(s);
	if (lane_sub_sleep(s))
		lane_sub_wake(s);
	return 0;
}

/* ---- attaching again -------------------------------------------------------------- */

static void
renew(void)
{
	count.renewed++;
	lane_sub_free(s);
	lane_srv_free(v);
	memset(live, 0, sizeof(live));
	do { /* the flips go on: even new memory may be refused */
		memset(rig.sub.sub, 0, rig.sub_size);
		memset(rig.srv.status, 0, rig.status_size);
		epoch++;
		s = lane_sub_attach(&rig.sub, epoch, true);
		v = s ? lane_srv_attach(&rig.srv, epoch, true) : NULL;
		if (!v)
			lane_sub_free(s);
	} while (!v);
	lane_srv_serve(v);
}

/* The live victim of a replaced peer. */
static int
thaw(void)
{
	count.thaws++;
	epoch++;
	lane_srv_epoch(v, epoch);
	lane_sub_epoch(s, epoch);
	lane_sub_publish(s);
	for (uint16_t i = 0; i < SLOTS; i++) {
		if (live[i])
			end_slot(i, next(&rnd) % 2);
	}
	lane_srv_serve(v);
	return 0;
}

static int
replace_server(void)
{
	struct lane_server *new;

	new = lane_srv_attach(&rig.srv, ++epoch, false);
	if (!new)
		return -EPROTO;
	lane_srv_free(v);
	v = new;
	memset(live, 0, sizeof(live));
	lane_sub_epoch(s, epoch);
	lane_sub_publish(s);
	for (uint16_t i = 0; i < SLOTS; i++) {
		int rc = lane_srv_scan(v, i, &g->u.taken);

		if (rc == -ENOENT)
			continue;
		if (rc)
			return rc;
		if (g->u.taken.state >= LANE_DONE)
			continue;
		use_request(&g->u.taken.req);
		lane_srv_claim(v, i, g->u.taken.seq);
		live[i] = true;
	}
	lane_srv_serve(v);
	return 0;
}

static int
replace_submitter(void)
{
	struct lane_submitter *new;
	struct lane_req req;
	enum lane_op op;
	uint32_t seq;

	thaw(); /* it drains first */
	new = lane_sub_attach(&rig.sub, epoch, false);
	if (!new)
		return -EPROTO;
	lane_sub_free(s);
	s = new;
	if (!lane_sub_ready(s))
		return -EPROTO;
	for (uint16_t i = 0; i < SLOTS; i++) {
		int rc = lane_sub_scan(s, i, &seq, &op, &req);

		if (rc == -ENOENT)
			continue;
		if (!rc)
			rc = lane_sub_state(s, i);
		if (rc < 0)
			return rc;
		if (rc < LANE_DONE)
			lane_sub_cancel(s, i);
		else if (lane_sub_rsp(s, i, &g->u.rsp))
			return -EPROTO;
		else
			lane_sub_release(s, i);
	}
	lane_sub_publish(s);
	return 0;
}

static void
attach_again(unsigned failed)
{
	int rc;

	if (failed > 2 || next(&rnd) % 4 == 0) {
		renew();
		return;
	}
	if (next(&rnd) % 2) {
		rc = thaw();
	} else {
		count.replaced++;
		rc = victim_is_server ? replace_server() : replace_submitter();
	}
	if (rc)
		renew();
}

static void *
victim(void *arg)
{
	unsigned failed = 0, idle = 0;

	while (!atomic_load(&stop)) {
		unsigned long before = count.answers;
		int rc = submitter_turn();

		if (!rc)
			rc = server_turn();
		idle = count.answers == before ? idle + 1 : 0;
		if (!idle)
			failed = 0;
		if (rc)
			count.violations++;
		if (idle > STALL)
			count.stalls++;
		if (rc || idle > STALL) {
			attach_again(failed++);
			idle = 0;
		}
		if (atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed) % 32 == 0) {
			canaries_check();
			sched_yield(); /* where the two share a core */
		}
	}
	canaries_check();
	return NULL;
}

/* ---- the flipper -------------------------------------------------------------------- */

struct held { /* a flip that will be undone */
	size_t at;
	uint8_t mask;
};

struct flipper {
	uint8_t *half;
	size_t len;
	uint32_t rnd;
	unsigned long done;
	unsigned long seen; /* the victim's turns */
	struct held held[HELD];
	unsigned n_held;
};

static void
flip(struct flipper *f, size_t at, uint8_t mask)
{
	__atomic_fetch_xor(&f->half[at], mask, __ATOMIC_RELAXED);
	f->done++;
}

/* Half of them anywhere, half where the words, rings and headers are. */
static size_t
somewhere(struct flipper *f)
{
	size_t slot = victim_is_server ? sizeof(struct lane_sub_slot)
				       : sizeof(struct lane_status_slot);
	size_t head = sizeof(struct lane_half) + LANE_RING_FACTOR * SLOTS * 4;
	uint32_t r = next(&f->rnd);

	switch (r % 8) {
	case 0:
		return 64 + next(&f->rnd) % 8; /* the published word */
	case 1:
		return next(&f->rnd) % head;
	case 2:
	case 3: /* a slot's word and what follows it */
		return head + next(&f->rnd) % SLOTS * slot + next(&f->rnd) % 32;
	default:
		return next(&f->rnd) % f->len;
	}
}

static void
wait_turn(struct flipper *f)
{
	time_t began = time(NULL);

	while (atomic_load_explicit(&turns, memory_order_relaxed) == f->seen) {
		sched_yield();
		if (time(NULL) - began > HANG_S) {
			fprintf(stderr, "flip_lane: the victim hangs\n");
			abort();
		}
	}
	f->seen = atomic_load_explicit(&turns, memory_order_relaxed);
}

static void
flip_round(struct flipper *f)
{
	if (next(&f->rnd) % 64 == 0) { /* a burst that stays */
		for (uint32_t n = 1u << next(&f->rnd) % 10; n; n--)
			flip(f, somewhere(f), (uint8_t)(next(&f->rnd) | 1));
	}
	for (int i = 0; i < HELD; i++) {
		struct held *h = &f->held[f->n_held++ % HELD];

		flip(f, h->at, h->mask);
		h->at = somewhere(f);
		h->mask = (uint8_t)(1u << next(&f->rnd) % 8);
		flip(f, h->at, h->mask);
	}
}

static void
run(bool server, unsigned long flips, uint32_t seed)
{
	struct flipper f = { .rnd = seed };
	struct timespec a, b;
	pthread_t thread;
	double sec;

	victim_is_server = server;
	memset(&count, 0, sizeof(count));
	rnd = seed ^ 0x5eed5eed;
	rig_shared(&rig, SLOTS);
	f.half = server ? rig.sub.sub : rig.srv.status;
	f.len = sizeof(struct lane_half) + LANE_RING_FACTOR * SLOTS * 4 +
		SLOTS * (server ? sizeof(struct lane_sub_slot) : sizeof(struct lane_status_slot));
	s = NULL;
	v = NULL;
	renew();
	atomic_store(&stop, false);
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (pthread_create(&thread, NULL, victim, NULL))
		abort();
	while (f.done < flips) {
		flip_round(&f);
		wait_turn(&f);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	lane_sub_free(s);
	lane_srv_free(v);
	rig_shared_done(&rig);
	sec = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%-9s %lu flips in %.1f s (%.2f M/s): %lu answers, %lu requests refused, "
	       "%lu violations, %lu stalls; thawed %lu, replaced %lu, renewed %lu\n",
	       server ? "server" : "submitter", f.done, sec, (double)f.done / sec / 1e6,
	       count.answers, count.refused, count.violations, count.stalls, count.thaws,
	       count.replaced, count.renewed);
}

int
main(int argc, char **argv)
{
	unsigned long flips = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000;
	uint32_t seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : (uint32_t)time(NULL);

	if (!flips || !seed) {
		fprintf(stderr, "usage: flip_lane [FLIPS [SEED]], neither of them 0\n");
		return 2;
	}
	printf("seed %u\n", seed);
	g = malloc(sizeof(*g));
	pool = calloc(1, POOL_BYTES);
	if (!g || !pool)
		return 1;
	canaries_set();
	run(true, flips / 2, seed);
	run(false, flips - flips / 2, seed * 2654435761u | 1);
	free(g);
	free(pool);
	return 0;
}
