/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core of tgt-storaged (serve.h).  Every check of a request is here or in
 * lane_req_check, once for all backends.  Must not log, block, allocate after
 * serve_new, or believe a byte of the submitter that lane_req_check has not
 * seen in a private copy.
 */
#include "storaged/serve.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum phase {
	PHASE_NEW, /* before serve_start */
	PHASE_DRAIN, /* waiting for what is in flight, then serve the epoch */
	PHASE_SERVE,
	PHASE_FROZEN, /* the submitter broke the protocol */
};

struct serve_pool {
	uint8_t *base;
	bool dying; /* serve_pool_del waits; not in the limits any more */
	uint32_t id;
	uint64_t size;
};

struct serve {
	struct lane_server *lane;
	struct lane_maps maps;
	struct backend *backend;
	struct lane_limits limits;
	enum phase phase;
	uint32_t epoch;
	bool scan; /* the recovery scan is owed before serving */
	bool healing; /* and the peer that spoilt the first one is gone */
	bool stopped;
	bool violated; /* a violation that serve_turn has not reported yet */
	const char *violation;
	unsigned inflight;
	unsigned ended; /* since the last turn's end */
	uint64_t bytes; /* taken in this turn */
	struct serve_stats stats;
	unsigned n_pools, n_dying;
	/* The limits' table and ours with the addresses; same order. */
	struct lane_pool_info info[SERVE_POOLS_MAX];
	struct serve_pool pools[SERVE_POOLS_MAX];
	struct serve_pool dying[SERVE_POOLS_MAX];
	struct blk_req req[]; /* one a slot */
};

/* What an operation needs from the backend, and in which direction it moves. */
struct op_row {
	bool known;
	unsigned cap; /* without it: -EOPNOTSUPP */
	bool in, out;
};

static const struct op_row ops[BLK_OP_COUNT] = {
	[BLK_READ] = { .known = true, .in = true },
	[BLK_WRITE] = { .known = true, .out = true },
	[BLK_FLUSH] = { .known = true, .cap = BLK_CAP_FLUSH },
};

static void
freeze(struct serve *s, const char *why)
{
	if (s->phase == PHASE_FROZEN)
		return;
	s->phase = PHASE_FROZEN;
	s->violated = true;
	s->violation = why;
	s->stats.violations++;
}

static void
answer(struct serve *s, uint16_t slot, int err, const struct blk_req *r)
{
	struct lane_rsp *rsp = lane_srv_rsp(s->lane, slot);
	bool moved = r && !err && ops[r->asked].in;
	bool sent = r && !err && ops[r->asked].out;

	/* The whole header, so that nothing of the slot's last use is left. */
	rsp->error = err;
	rsp->status = 0;
	rsp->reserved = 0;
	rsp->sense_len = 0;
	rsp->want = 0;
	rsp->in_len = moved ? (uint32_t)r->len : 0;
	rsp->in_total = rsp->in_len;
	rsp->out_len = sent ? (uint32_t)r->len : 0;
	lane_srv_done(s->lane, slot);
	s->ended++;
	s->stats.ended++;
	s->stats.errors += err != 0;
}

static void
cancelled(struct serve *s, uint16_t slot)
{
	lane_srv_cancelled(s->lane, slot);
	s->ended++;
	s->stats.cancelled++;
}

/* The second half of an access with FUA that has two: a write-through that the
 * backend cannot do natively is the write and then a flush (SBC-4 5.42), a read
 * from the medium a flush and then the read (SBC-3 5.11). */
static bool
second_half(const struct serve *s, struct blk_req *r)
{
	if (!(r->flags & BLK_FUA))
		return false;
	if (r->op == BLK_WRITE && !(s->backend->caps & BLK_CAP_FUA))
		r->op = BLK_FLUSH;
	else if (r->op == BLK_FLUSH && r->asked == BLK_READ)
		r->op = BLK_READ;
	else
		return false;
	r->flags = 0;
	return true;
}

/* The backend's answer. */
static void
on_done(struct blk_req *r, int err)
{
	struct serve *s = r->owner;

	assert(r->busy);
	assert(err <= 0);
	if (!err && second_half(s, r)) {
		s->backend->type->submit(s->backend, r);
		return;
	}
	r->busy = false;
	s->inflight--;
	if (r->cancelled)
		cancelled(s, (uint16_t)r->slot);
	else
		answer(s, (uint16_t)r->slot, err, r);
}

/* Extents that passed the border check to addresses. */
static bool
map_extents(const struct serve *s, struct blk_req *r, const struct lane_ext *ext,
	    unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned p = 0;

		while (p < s->n_pools && s->pools[p].id != ext[i].pool)
			p++;
		if (p == s->n_pools)
			return false;
		r->iov[i].iov_base = s->pools[p].base + ext[i].off;
		r->iov[i].iov_len = ext[i].len;
	}
	r->n_iov = (uint8_t)n;
	return true;
}

static int
capable(const struct serve *s, const struct lane_blk *b)
{
	unsigned need = ops[b->op].cap;

	if ((b->flags & BLK_FUA)
	    && (b->op == BLK_READ || !(s->backend->caps & BLK_CAP_FUA)))
		need |= BLK_CAP_FLUSH;
	return (s->backend->caps & need) == need ? 0 : -EOPNOTSUPP;
}

/* A violation, unless it is what a peer that was replaced for it has left: then
 * the slot gets an answer, so that its successor can have the lane. */
static void
malformed(struct serve *s, const struct lane_taken *t, const char *why)
{
	if (!s->healing) {
		freeze(s, why);
		return;
	}
	lane_srv_claim(s->lane, t->slot, t->seq);
	answer(s, t->slot, -EIO, NULL);
}

/* A request that is ours to execute, new or once more: check, claim, execute. */
static void
run(struct serve *s, const struct lane_taken *t)
{
	const struct lane_blk *b = &t->req.u.blk;
	struct blk_req *r = &s->req[t->slot];
	const struct lane_ext *ext;
	unsigned n;
	int err = lane_req_check(&s->limits, &t->req);

	/* The answer has 32 bits for a length. */
	if (err == -EPROTO || b->op >= BLK_OP_COUNT || !ops[b->op].known || r->busy
	    || b->len > UINT32_MAX) {
		malformed(s, t, "malformed block request");
		return;
	}
	ext = ops[b->op].in ? t->req.in : t->req.out;
	n = ops[b->op].in ? t->req.n_in : ops[b->op].out ? t->req.n_out : 0;
	if (!err && !map_extents(s, r, ext, n)) {
		malformed(s, t, "block request names an unknown pool");
		return;
	}
	lane_srv_claim(s->lane, t->slot, t->seq);
	s->stats.taken++;
	if (!err)
		err = capable(s, b);
	if (err) {
		answer(s, t->slot, err, NULL);
		return;
	}
	/* Filled here, so that slots never used cost no memory. */
	r->slot = t->slot;
	r->owner = s;
	r->done = on_done;
	r->backend = s->backend;
	r->op = b->op == BLK_READ && (b->flags & BLK_FUA) ? BLK_FLUSH : b->op;
	r->asked = b->op;
	r->flags = b->flags;
	r->off = b->off;
	r->len = ops[b->op].in || ops[b->op].out ? b->len : 0;
	r->busy = true;
	r->cancelled = false;
	r->moved = 0;
	r->err = 0;
	s->inflight++;
	s->bytes += r->len;
	lane_srv_exec(s->lane, t->slot);
	s->backend->type->submit(s->backend, r);
}

/* What is with the backend may be in the store: then the answer waits for it. */
static void
cancel(struct serve *s, const struct lane_taken *t)
{
	struct blk_req *r = &s->req[t->slot];

	if (t->state == LANE_NONE && !r->busy) {
		lane_srv_claim(s->lane, t->slot, t->seq);
		cancelled(s, t->slot);
		return;
	}
	if (!r->busy || r->cancelled)
		return; /* ended already: DONE stands */
	r->cancelled = true;
	if (s->backend->type->cancel)
		s->backend->type->cancel(s->backend, r);
}

static void
unexpected(struct serve *s, const struct lane_taken *t)
{
	freeze(s, "block slot asks for what only SCSI slots do");
}

static void (*const take_op[])(struct serve *s, const struct lane_taken *t) = {
	[LANE_RELEASE] = unexpected,
	[LANE_SUBMIT] = run,
	[LANE_DATA] = unexpected,
	[LANE_CANCEL] = cancel,
};

static unsigned
take_batch(struct serve *s)
{
	unsigned n = 0;

	s->bytes = 0;
	while (n < SERVE_BATCH && s->bytes < SERVE_BATCH_BYTES
	       && s->phase == PHASE_SERVE) {
		struct lane_taken t;
		int rc = lane_srv_take(s->lane, &t);

		if (rc < 0)
			freeze(s, "the lane's words or rings are out of bounds");
		if (rc <= 0)
			break;
		take_op[t.op](s, &t);
		n++;
	}
	return n;
}

/* ---- recovery ---------------------------------------------------------- */

struct replay {
	uint64_t order;
	uint16_t slot;
};

static int
by_order(const void *a, const void *b)
{
	const struct replay *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* The server side of docs/recovery.md.  What was never claimed is left to the
 * ring; what ended is named again by lane_srv_serve.  A slot of the lower hop
 * is never in WANT or INTENT. */
static int
scan_slot(struct serve *s, uint16_t slot, struct lane_taken *t)
{
	int rc = lane_srv_scan(s->lane, slot, t);

	if (rc)
		return rc == -ENOENT ? 0 : -EPROTO;
	if (t->state == LANE_NONE || t->state == LANE_DONE
	    || t->state == LANE_CANCELLED)
		return 0;
	if (t->state != LANE_CLAIMED && t->state != LANE_EXEC)
		return -EPROTO;
	if (t->op == LANE_SUBMIT)
		return 1;
	if (t->op != LANE_CANCEL)
		return -EPROTO;
	/* The fence, or the drain, has waited for the store already. */
	lane_srv_claim(s->lane, slot, t->seq);
	cancelled(s, slot);
	return 0;
}

/* Two passes, so that it needs no memory but its stack; the second judges each
 * slot anew, for a live submitter may have cancelled it meanwhile. */
static int
recover(struct serve *s)
{
	struct replay again[LANE_SLOTS_MAX];
	struct lane_taken t;
	size_t n = 0;
	int rc = 0;

	for (uint32_t slot = 0; slot < s->maps.nslots && rc >= 0; slot++) {
		rc = scan_slot(s, (uint16_t)slot, &t);
		if (rc > 0)
			again[n++] = (struct replay){ t.req.order, (uint16_t)slot };
	}
	qsort(again, n, sizeof(again[0]), by_order);
	for (size_t i = 0; i < n && rc >= 0 && s->phase != PHASE_FROZEN; i++) {
		rc = scan_slot(s, again[i].slot, &t);
		if (rc > 0) {
			run(s, &t);
			s->stats.replayed++;
		}
	}
	if (rc < 0)
		freeze(s, "a slot's words contradict each other");
	return s->phase == PHASE_FROZEN ? -EPROTO : 0;
}

/* PHASE_DRAIN with nothing in flight: one step towards serving. */
static void
drained(struct serve *s)
{
	if (s->scan) {
		if (recover(s)) {
			s->healing = true;
			return;
		}
		s->scan = s->healing = false;
		if (s->inflight)
			return;
	}
	lane_srv_serve(s->lane);
	s->phase = PHASE_SERVE;
}

/* ---- public ------------------------------------------------------------ */

struct serve *
serve_new(const struct serve_conf *conf)
{
	struct serve *s;

	if (conf->maps.nslots < LANE_SLOTS_MIN || conf->maps.nslots > LANE_SLOTS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	s = calloc(1, sizeof(*s) + conf->maps.nslots * sizeof(s->req[0]));
	if (!s)
		return NULL;
	s->lane = lane_srv_attach(&conf->maps, conf->epoch, conf->fresh);
	if (!s->lane) {
		int err = errno;

		free(s);
		errno = err;
		return NULL;
	}
	s->maps = conf->maps;
	s->epoch = conf->epoch;
	s->backend = conf->backend;
	s->scan = !conf->fresh;
	s->violation = "";
	s->limits = (struct lane_limits){
		.pools = s->info,
		.kinds = 1u << LANE_BLK,
		.store_size = conf->backend->size,
		.read_only = conf->read_only,
	};
	return s;
}

void
serve_free(struct serve *s)
{
	if (!s)
		return;
	lane_srv_free(s->lane);
	free(s);
}

int
serve_pool_add(struct serve *s, uint32_t id, void *base, uint64_t size)
{
	if (!base || !size)
		return -EINVAL;
	for (unsigned i = 0; i < s->n_pools; i++)
		if (s->pools[i].id == id)
			return -EEXIST;
	for (unsigned i = 0; i < s->n_dying; i++)
		if (s->dying[i].id == id)
			return -EEXIST;
	/* n_dying counts too, so that every pool can still be moved there. */
	if (s->n_pools + s->n_dying == SERVE_POOLS_MAX)
		return -ENOSPC;
	s->pools[s->n_pools] = (struct serve_pool){ .base = base, .id = id, .size = size };
	s->info[s->n_pools] = (struct lane_pool_info){ .id = id, .size = size };
	s->limits.n_pools = ++s->n_pools;
	return 0;
}

static bool
pool_used_by(const struct serve *s, const struct serve_pool *p)
{
	uintptr_t lo = (uintptr_t)p->base;

	for (uint32_t i = 0; i < s->maps.nslots; i++) {
		const struct blk_req *r = &s->req[i];

		for (unsigned k = 0; r->busy && k < r->n_iov; k++)
			if ((uintptr_t)r->iov[k].iov_base - lo < p->size)
				return true;
	}
	return false;
}

int
serve_pool_del(struct serve *s, uint32_t id)
{
	unsigned i = 0;

	while (i < s->n_pools && s->pools[i].id != id)
		i++;
	if (i < s->n_pools) {
		s->dying[s->n_dying++] = s->pools[i];
		s->limits.n_pools = --s->n_pools;
		s->pools[i] = s->pools[s->n_pools];
		s->info[i] = s->info[s->n_pools];
	}
	for (i = 0; i < s->n_dying; i++) {
		if (s->dying[i].id != id)
			continue;
		if (pool_used_by(s, &s->dying[i]))
			return -EBUSY;
		s->dying[i] = s->dying[--s->n_dying];
	}
	return 0;
}

int
serve_start(struct serve *s)
{
	assert(s->phase == PHASE_NEW);
	s->phase = PHASE_DRAIN;
	drained(s);
	return s->phase == PHASE_FROZEN ? -EPROTO : 0;
}

int
serve_turn(struct serve *s)
{
	unsigned n = 0;

	if (s->backend->type->reap)
		s->backend->type->reap(s->backend);
	if (s->phase == PHASE_DRAIN && !s->inflight && !s->stopped) {
		drained(s);
		n++;
	}
	if (s->phase == PHASE_SERVE && !s->stopped)
		n += take_batch(s);
	n += s->ended;
	s->ended = 0;
	if (n)
		lane_srv_publish(s->lane);
	if (s->violated) {
		s->violated = false;
		return -EPROTO;
	}
	return (int)n;
}

void
serve_epoch(struct serve *s, uint32_t epoch)
{
	if (epoch == s->epoch)
		return;
	s->epoch = epoch;
	lane_srv_epoch(s->lane, epoch);
	if (s->phase == PHASE_NEW)
		return;
	s->phase = PHASE_DRAIN;
	s->violated = false;
	s->violation = "";
}

void
serve_stop(struct serve *s)
{
	s->stopped = true;
}

bool
serve_sleep(struct serve *s)
{
	if (s->phase == PHASE_DRAIN && !s->inflight && !s->stopped)
		return false;
	if (s->phase != PHASE_SERVE || s->stopped)
		return true; /* only the backend or ctld can change anything */
	return lane_srv_sleep(s->lane);
}

void
serve_wake(struct serve *s)
{
	lane_srv_wake(s->lane);
}

unsigned
serve_inflight(const struct serve *s)
{
	return s->inflight;
}

bool
serve_ready(const struct serve *s)
{
	return s->phase == PHASE_SERVE;
}

bool
serve_frozen(const struct serve *s)
{
	return s->phase == PHASE_FROZEN;
}

const char *
serve_violation(const struct serve *s)
{
	return s->violation;
}

const struct serve_stats *
serve_stats(const struct serve *s)
{
	return &s->stats;
}

const struct lane_stats *
serve_lane_stats(const struct serve *s)
{
	return lane_srv_stats(s->lane);
}
