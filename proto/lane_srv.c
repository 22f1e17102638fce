/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serving end of a lane.  It writes the status half and reads the
 * submission half; what it believes about its slots is in private memory.  A
 * request is copied out once (lane_req_copy); the caller checks the copy
 * (lane_req_check) before it uses it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lane.h"
#include "proto/lane_ring.h"

enum slot_flag {
	F_CLAIMED = 1 << 0, /* by this incarnation, and not ended */
	F_TAKEN = 1 << 1, /* seq + 1 was returned by take or scan, not claimed */
	F_TAKEN_CANCEL = 1 << 2, /* and so was its CANCEL */
	F_DATA = 1 << 3, /* DATA of seq was returned */
	F_CANCEL = 1 << 4, /* CANCEL of seq was returned */
	F_INTENT = 1 << 5, /* the intent record is not all zero */
};

struct srv_slot {
	uint32_t seq;
	uint16_t attempts;
	uint8_t state; /* enum lane_state, as in the response word */
	uint8_t flags; /* enum slot_flag */
};

struct lane_server {
	struct lane_out out;
	struct lane_in in;
	const struct lane_sub_slot *slots;
	struct lane_status_slot *status;
	uint32_t epoch; /* to be served */
	uint32_t nslots;
	uint32_t busy;
	bool serving;
	bool frozen;
	struct lane_stats stats;
	struct srv_slot own[]; /* [nslots] */
};

static int
freeze(struct lane_server *v)
{
	v->frozen = true;
	v->stats.violations++;
	return -EPROTO;
}

static struct srv_slot *
slot_of(struct lane_server *v, uint16_t slot)
{
	assert(slot < v->nslots);
	return &v->own[slot];
}

/* The same for a slot that this incarnation has claimed and not ended. */
static struct srv_slot *
claimed(struct lane_server *v, uint16_t slot)
{
	struct srv_slot *p = slot_of(v, slot);

	assert(p->flags & F_CLAIMED);
	return p;
}

/* Moves the response word; release, because the body comes before it. */
static void
set_state(struct lane_server *v, uint16_t slot, enum lane_state state)
{
	struct srv_slot *p = &v->own[slot];

	p->state = (uint8_t)state;
	atomic_store_explicit(&v->status[slot].word,
			      lane_pair(p->seq, (uint32_t)p->attempts << 16 | state),
			      memory_order_release);
}

/* Before lane_srv_serve there is no ring: it names everything itself. */
static void
name(struct lane_server *v, uint16_t slot)
{
	if (v->serving)
		lane_out_name(&v->out, slot, v->own[slot].seq);
}

/* ---- attach -------------------------------------------------------------- */

/* Fresh slots are not looked at: that alone would give each of them memory. */
static int
adopt(struct lane_server *v, bool fresh)
{
	int rc = lane_header_init(v->out.own, v->out.peer, v->nslots, fresh);

	for (uint32_t i = 0; i < v->nslots && !rc && !fresh; i++) {
		struct srv_slot *p = &v->own[i];
		uint64_t w = atomic_load_explicit(&v->status[i].word, memory_order_relaxed);

		if ((uint16_t)w > LANE_CANCELLED)
			rc = -EPROTO;
		p->seq = lane_high(w);
		p->attempts = (uint16_t)(w >> 16);
		p->state = (uint8_t)w;
		p->flags = w ? F_INTENT : 0;
	}
	return rc;
}

struct lane_server *
lane_srv_attach(const struct lane_maps *maps, uint32_t epoch, bool fresh)
{
	uint32_t n = maps->nslots;
	struct lane_server *v;
	int rc = lane_maps_check(maps, epoch);

	if (rc) {
		errno = -rc;
		return NULL;
	}
	v = calloc(1, sizeof(*v) + n * sizeof(v->own[0]));
	if (!v)
		return NULL;
	v->nslots = n;
	v->epoch = epoch;
	v->slots = lane_slots(maps->sub, n);
	v->status = lane_slots(maps->status, n);
	v->out.own = v->in.own = maps->status;
	v->out.peer = v->in.peer = maps->sub;
	v->out.mask = v->in.mask = LANE_RING_FACTOR * n - 1;
	v->out.bell = maps->bell_out;
	rc = adopt(v, fresh);
	if (rc) {
		lane_srv_free(v);
		errno = -rc;
		return NULL;
	}
	lane_in_attach(&v->in);
	return v;
}

void
lane_srv_free(struct lane_server *v)
{
	free(v);
}

/* ---- what the two words of a slot say -------------------------------------- */

/* Nothing of the slot's seq is under way. */
static bool
is_over(const struct srv_slot *p)
{
	return p->state == LANE_NONE || p->state >= LANE_DONE;
}

/*
 * Loads the request word.  Returns by how much its seq is ahead of ours (0, 1),
 * or -EPROTO for a pair of words that cannot come about (docs/recovery.md).
 */
static int
peer_op(const struct lane_server *v, uint16_t slot, uint32_t *seq, enum lane_op *op)
{
	const struct srv_slot *p = &v->own[slot];
	uint64_t w = atomic_load_explicit(&v->slots[slot].word, memory_order_acquire);
	uint32_t ahead = lane_high(w) - p->seq;

	if (lane_low(w) > LANE_CANCEL || ahead > 1)
		return -EPROTO;
	*seq = lane_high(w);
	*op = (enum lane_op)lane_low(w);
	if (ahead)
		return is_over(p) && (*op == LANE_SUBMIT || *op == LANE_CANCEL) ? 1 : -EPROTO;
	if (*op == LANE_RELEASE)
		return is_over(p) ? 0 : -EPROTO;
	return p->state != LANE_NONE ? 0 : -EPROTO;
}

int
lane_srv_scan(struct lane_server *v, uint16_t slot, struct lane_taken *t)
{
	struct srv_slot *p = slot_of(v, slot);
	int ahead;

	if (v->frozen)
		return -EPROTO;
	ahead = peer_op(v, slot, &t->seq, &t->op);
	if (ahead < 0)
		return freeze(v);
	if (t->op == LANE_RELEASE)
		return -ENOENT;
	t->slot = slot;
	t->attempts = 1;
	t->state = LANE_NONE;
	if (ahead) {
		p->flags |= t->op == LANE_CANCEL ? F_TAKEN | F_TAKEN_CANCEL : F_TAKEN;
	} else {
		t->attempts = p->attempts < UINT16_MAX ? (uint16_t)(p->attempts + 1) : UINT16_MAX;
		t->state = p->state;
		p->flags |= t->op == LANE_DATA ? F_DATA : t->op == LANE_CANCEL ? F_CANCEL : 0;
	}
	/* A live submitter may release an ended slot and fill it anew just now. */
	if (t->state >= LANE_DONE)
		memset(&t->req, 0, sizeof(t->req));
	else
		lane_req_copy(&t->req, &v->slots[slot].req);
	return 0;
}

void
lane_srv_epoch(struct lane_server *v, uint32_t epoch)
{
	if (epoch == v->epoch)
		return;
	v->epoch = epoch;
	v->serving = false;
	v->frozen = false;
}

/* Shall the submitter be told of this slot (again)? */
static bool
is_news(const struct lane_server *v, uint32_t slot)
{
	const struct srv_slot *p = &v->own[slot];
	uint64_t w;

	if (p->state != LANE_WANT && p->state < LANE_DONE)
		return false;
	w = atomic_load_explicit(&v->slots[slot].word, memory_order_acquire);
	return lane_high(w) == p->seq && lane_low(w) != LANE_RELEASE;
}

void
lane_srv_serve(struct lane_server *v)
{
	v->serving = true;
	lane_in_restart(&v->in, v->epoch);
	lane_out_restart(&v->out, v->epoch);
	for (uint32_t i = 0; i < v->nslots; i++) {
		v->own[i].flags &= (uint8_t)~(F_TAKEN | F_TAKEN_CANCEL);
		if (is_news(v, i))
			name(v, (uint16_t)i);
	}
	lane_srv_publish(v);
}

/* ---- taking ---------------------------------------------------------------- */

/* What a named slot brings, by op and by how far it is ahead: 1 t is filled, 0
 * nothing new, -EPROTO. */
typedef int take_fn(struct lane_server *v, struct srv_slot *p, struct lane_taken *t);

static int
take_nothing(struct lane_server *v, struct srv_slot *p, struct lane_taken *t)
{
	return 0;
}

static int
take_submit(struct lane_server *v, struct srv_slot *p, struct lane_taken *t)
{
	if (p->flags & F_TAKEN)
		return 0;
	p->flags |= F_TAKEN;
	t->attempts = 1;
	t->state = LANE_NONE;
	lane_req_copy(&t->req, &v->slots[t->slot].req);
	v->stats.requests++;
	return 1;
}

static int
take_early_cancel(struct lane_server *v, struct srv_slot *p, struct lane_taken *t)
{
	if (p->flags & F_TAKEN_CANCEL)
		return 0;
	p->flags |= F_TAKEN | F_TAKEN_CANCEL;
	t->attempts = 1;
	t->state = LANE_NONE;
	return 1;
}

/* A further word about a request that this incarnation has claimed. */
static int
take_once(struct srv_slot *p, struct lane_taken *t, uint8_t flag)
{
	if (!(p->flags & F_CLAIMED) || (p->flags & flag))
		return 0;
	p->flags |= flag;
	t->attempts = p->attempts;
	t->state = p->state;
	return 1;
}

static int
take_data(struct lane_server *v, struct srv_slot *p, struct lane_taken *t)
{
	int rc = take_once(p, t, F_DATA);

	return rc && p->state != LANE_WANT ? -EPROTO : rc; /* nobody asked for it */
}

static int
take_cancel(struct lane_server *v, struct srv_slot *p, struct lane_taken *t)
{
	return take_once(p, t, F_CANCEL);
}

/* peer_op refuses the pairs that are not here. */
static take_fn *const takes[2][LANE_CANCEL + 1] = {
	[0] = {
		[LANE_RELEASE] = take_nothing,
		[LANE_SUBMIT] = take_nothing,
		[LANE_DATA] = take_data,
		[LANE_CANCEL] = take_cancel,
	},
	[1] = {
		[LANE_SUBMIT] = take_submit,
		[LANE_CANCEL] = take_early_cancel,
	},
};

static int
look(struct lane_server *v, uint32_t entry, struct lane_taken *t)
{
	uint16_t slot = (uint16_t)entry;
	int ahead;

	if (slot >= v->nslots)
		return -EPROTO;
	ahead = peer_op(v, slot, &t->seq, &t->op);
	if (ahead < 0)
		return ahead;
	if ((uint16_t)t->seq != entry >> 16)
		return 0; /* of a request that is over */
	t->slot = slot;
	return takes[ahead][t->op](v, &v->own[slot], t);
}

int
lane_srv_take(struct lane_server *v, struct lane_taken *t)
{
	if (v->frozen)
		return -EPROTO;
	if (!v->serving)
		return 0;
	/* At most one turn of the ring, so that no submitter can keep us here. */
	for (uint32_t i = 0; i <= v->in.mask; i++) {
		uint32_t entry;
		int rc = lane_in_next(&v->in, &entry);

		if (!rc)
			return 0;
		if (rc > 0)
			rc = look(v, entry, t);
		if (rc < 0)
			return freeze(v);
		if (rc)
			return 1;
	}
	return 0;
}

/* ---- the course of a request ------------------------------------------------ */

/* The response body of a new seq: nothing of the last one may shine through. */
static void
clear_rsp(struct lane_server *v, uint16_t slot, struct srv_slot *p)
{
	struct lane_rsp *rsp = &v->status[slot].rsp;

	memset(rsp, 0, offsetof(struct lane_rsp, sense));
	if (p->flags & F_INTENT)
		memset(rsp->intent, 0, sizeof(rsp->intent));
}

void
lane_srv_claim(struct lane_server *v, uint16_t slot, uint32_t seq)
{
	struct srv_slot *p = slot_of(v, slot);

	assert(!(p->flags & F_CLAIMED));
	if (seq == p->seq) {
		/* Once more, after a crash.  The state stays: how far the dead
		 * incarnation came is what the next recovery must know too. */
		assert(!is_over(p));
		p->flags |= F_CLAIMED;
		p->attempts += p->attempts < UINT16_MAX;
		set_state(v, slot, p->state);
	} else {
		assert(seq == p->seq + 1 && is_over(p));
		clear_rsp(v, slot, p);
		p->flags = F_CLAIMED | (p->flags & F_TAKEN_CANCEL ? F_CANCEL : 0);
		p->seq = seq;
		p->attempts = 1;
		set_state(v, slot, LANE_CLAIMED);
	}
	v->busy++;
}

void
lane_srv_exec(struct lane_server *v, uint16_t slot)
{
	claimed(v, slot);
	set_state(v, slot, LANE_EXEC);
}

void
lane_srv_intent(struct lane_server *v, uint16_t slot, const void *intent, size_t len)
{
	struct srv_slot *p = claimed(v, slot);
	uint8_t *dst = v->status[slot].rsp.intent;

	assert(len <= LANE_INTENT_MAX);
	memset(dst, 0, LANE_INTENT_MAX);
	memcpy(dst, intent, len);
	p->flags |= F_INTENT;
	set_state(v, slot, LANE_INTENT);
}

void
lane_srv_want(struct lane_server *v, uint16_t slot, uint32_t want)
{
	struct srv_slot *p = claimed(v, slot);

	assert(p->state == LANE_CLAIMED || p->state == LANE_WANT);
	atomic_store_explicit(&v->status[slot].want, lane_pair(p->seq, want),
			      memory_order_relaxed);
	set_state(v, slot, LANE_WANT);
	name(v, slot);
}

struct lane_rsp *
lane_srv_rsp(struct lane_server *v, uint16_t slot)
{
	assert(slot < v->nslots);
	return &v->status[slot].rsp;
}

static void
end(struct lane_server *v, uint16_t slot, enum lane_state state)
{
	struct srv_slot *p = claimed(v, slot);

	p->flags &= (uint8_t)~F_CLAIMED;
	v->busy--;
	set_state(v, slot, state);
	name(v, slot);
}

void
lane_srv_done(struct lane_server *v, uint16_t slot)
{
	end(v, slot, LANE_DONE);
}

void
lane_srv_cancelled(struct lane_server *v, uint16_t slot)
{
	end(v, slot, LANE_CANCELLED);
}

bool
lane_srv_released(struct lane_server *v, uint16_t slot)
{
	const struct srv_slot *p = slot_of(v, slot);
	uint64_t w = atomic_load_explicit(&v->slots[slot].word, memory_order_acquire);

	return w == lane_pair(p->seq, LANE_RELEASE);
}

/* ---- the rest --------------------------------------------------------------- */

bool
lane_srv_publish(struct lane_server *v)
{
	bool rang = v->serving && lane_out_publish(&v->out);

	v->stats.bells += rang;
	return rang;
}

bool
lane_srv_sleep(struct lane_server *v)
{
	/* What arrives before the lane is served cannot be taken: sleep on. */
	if (v->serving && !v->frozen && !lane_in_sleep(&v->in))
		return false;
	v->stats.sleeps++;
	return true;
}

void
lane_srv_wake(struct lane_server *v)
{
	lane_in_wake(&v->in);
}

uint32_t
lane_srv_busy(const struct lane_server *v)
{
	return v->busy;
}

bool
lane_srv_frozen(const struct lane_server *v)
{
	return v->frozen;
}

const struct lane_stats *
lane_srv_stats(const struct lane_server *v)
{
	return &v->stats;
}
