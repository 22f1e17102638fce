/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The submitting end of a lane.  It writes the submission half and reads the
 * status half; what it believes about its own slots is in private memory, so
 * that nothing the server does to shared memory can confuse it.  It must not
 * interpret a request or a response.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lane.h"
#include "proto/lane_ring.h"

enum slot_use {
	USE_FREE = 0, /* on the free stack */
	USE_OWNED, /* given out by lane_sub_get */
	USE_BUSY, /* submitted */
	USE_ENDED, /* DONE or CANCELLED was reported */
};

struct sub_slot {
	uint64_t order;
	uint32_t seq;
	uint8_t op; /* enum lane_op, as in the request word */
	uint8_t use; /* enum slot_use */
	bool want; /* WANT was reported for seq */
	bool named_cancel; /* in the ring of this epoch */
};

struct lane_submitter {
	struct lane_out out;
	struct lane_in in;
	struct lane_sub_slot *slots;
	const struct lane_status_slot *status;
	struct sub_slot *own; /* [nslots] */
	uint16_t *free; /* [nslots], a stack */
	uint16_t *sorted; /* [nslots], scratch of lane_sub_epoch */
	uint64_t next_order;
	uint32_t nslots;
	uint32_t n_free;
	bool frozen;
	struct lane_stats stats;
};

static int
freeze(struct lane_submitter *s)
{
	s->frozen = true;
	s->stats.violations++;
	return -EPROTO;
}

static struct sub_slot *
slot_of(struct lane_submitter *s, uint16_t slot)
{
	assert(slot < s->nslots);
	return &s->own[slot];
}

/* Moves the request word; release, because the body comes before it. */
static void
set_op(struct lane_submitter *s, uint16_t slot, enum lane_op op)
{
	struct sub_slot *p = &s->own[slot];

	p->op = (uint8_t)op;
	atomic_store_explicit(&s->slots[slot].word, lane_pair(p->seq, op), memory_order_release);
}

/*
 * The state the server gives the current seq of a slot in use: LANE_NONE when
 * it has not claimed it.  -EPROTO: no such pair of words can come about.
 */
static int
peer_state(const struct lane_submitter *s, uint16_t slot)
{
	const struct sub_slot *p = &s->own[slot];
	uint64_t w = atomic_load_explicit(&s->status[slot].word, memory_order_acquire);
	uint32_t ahead = p->seq - lane_high(w);
	uint16_t state = (uint16_t)w;

	if (state > LANE_CANCELLED || ahead > 1)
		return -EPROTO;
	if (!ahead)
		return state != LANE_NONE ? state : -EPROTO;
	/* Not claimed: what came before it has ended, and it was asked for nothing. */
	if (p->want || p->op == LANE_DATA)
		return -EPROTO;
	if (state != LANE_NONE && state < LANE_DONE)
		return -EPROTO;
	return LANE_NONE;
}

/* ---- attach -------------------------------------------------------------- */

/* Takes over a slot as the memory has it: 0 or -EPROTO. */
static int
adopt_slot(struct lane_submitter *s, uint16_t slot)
{
	struct sub_slot *p = &s->own[slot];
	uint64_t w = atomic_load_explicit(&s->slots[slot].word, memory_order_relaxed);
	uint64_t r = atomic_load_explicit(&s->status[slot].word, memory_order_acquire);

	if (lane_low(w) > LANE_CANCEL)
		return -EPROTO;
	p->seq = lane_high(w);
	p->op = (uint8_t)w;
	p->order = s->slots[slot].req.order;
	if (p->order >= s->next_order)
		s->next_order = p->order + 1;
	if (p->op != LANE_RELEASE) {
		p->use = USE_BUSY;
		return 0;
	}
	if (lane_high(r) != p->seq)
		return -EPROTO;
	s->free[s->n_free++] = slot;
	return 0;
}

/* Fresh slots are not looked at: that alone would give each of them memory. */
static int
adopt(struct lane_submitter *s, bool fresh)
{
	int rc = lane_header_init(s->out.own, s->out.peer, s->nslots, fresh);

	for (uint32_t i = s->nslots; i-- && !rc;) {
		if (fresh)
			s->free[s->n_free++] = (uint16_t)i;
		else
			rc = adopt_slot(s, (uint16_t)i);
	}
	return rc;
}

struct lane_submitter *
lane_sub_attach(const struct lane_maps *maps, uint32_t epoch, bool fresh)
{
	uint32_t n = maps->nslots;
	struct lane_submitter *s;
	int rc = lane_maps_check(maps, epoch);

	if (rc) {
		errno = -rc;
		return NULL;
	}
	s = calloc(1, sizeof(*s) + n * (sizeof(*s->own) + 2 * sizeof(uint16_t)));
	if (!s)
		return NULL;
	s->own = (struct sub_slot *)(s + 1);
	s->free = (uint16_t *)(s->own + n);
	s->sorted = s->free + n;
	s->nslots = n;
	s->slots = lane_slots(maps->sub, n);
	s->status = lane_slots(maps->status, n);
	s->out.own = s->in.own = maps->sub;
	s->out.peer = s->in.peer = maps->status;
	s->out.mask = s->in.mask = LANE_RING_FACTOR * n - 1;
	s->out.bell = maps->bell_out;
	rc = adopt(s, fresh);
	if (rc) {
		lane_sub_free(s);
		errno = -rc;
		return NULL;
	}
	lane_in_attach(&s->in);
	lane_in_restart(&s->in, epoch);
	lane_out_restart(&s->out, epoch);
	lane_sub_publish(s);
	return s;
}

void
lane_sub_free(struct lane_submitter *s)
{
	free(s);
}

bool
lane_sub_ready(struct lane_submitter *s)
{
	if (!s->in.live)
		lane_in_fill(&s->in); /* a violation is found again by the poll */
	return s->in.live;
}

/* Shell sort by submission order: no allocation, and not the hot path. */
static void
sort_slots(struct lane_submitter *s, uint32_t n)
{
	for (uint32_t gap = n / 2; gap; gap /= 2) {
		for (uint32_t i = gap; i < n; i++) {
			uint16_t v = s->sorted[i];
			uint32_t j = i;

			while (j >= gap && s->own[s->sorted[j - gap]].order > s->own[v].order) {
				s->sorted[j] = s->sorted[j - gap];
				j -= gap;
			}
			s->sorted[j] = v;
		}
	}
}

void
lane_sub_epoch(struct lane_submitter *s, uint32_t epoch)
{
	uint32_t n = 0;

	if (epoch == s->in.epoch)
		return;
	s->frozen = false;
	lane_in_restart(&s->in, epoch);
	lane_out_restart(&s->out, epoch);
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->own[i].use == USE_BUSY)
			s->sorted[n++] = (uint16_t)i;
	}
	sort_slots(s, n);
	for (uint32_t i = 0; i < n; i++)
		lane_out_name(&s->out, s->sorted[i], s->own[s->sorted[i]].seq);
}

/* ---- slots --------------------------------------------------------------- */

int
lane_sub_get(struct lane_submitter *s)
{
	struct lane_req *req;
	uint16_t slot;

	if (s->frozen)
		return -EPROTO;
	if (!s->n_free)
		return -EAGAIN;
	slot = s->free[--s->n_free];
	s->own[slot].use = USE_OWNED;
	req = &s->slots[slot].req;
	memset(req, 0, offsetof(struct lane_req, out));
	memset(&req->u, 0, offsetof(struct lane_scsi, cdb) + 16);
	return slot;
}

void
lane_sub_unget(struct lane_submitter *s, uint16_t slot)
{
	struct sub_slot *p = slot_of(s, slot);

	assert(p->use == USE_OWNED);
	p->use = USE_FREE;
	s->free[s->n_free++] = slot;
}

struct lane_req *
lane_sub_req(struct lane_submitter *s, uint16_t slot)
{
	assert(slot < s->nslots);
	return &s->slots[slot].req;
}

uint32_t
lane_sub_submit(struct lane_submitter *s, uint16_t slot)
{
	struct sub_slot *p = slot_of(s, slot);

	assert(p->use == USE_OWNED);
	p->use = USE_BUSY;
	p->seq++;
	p->want = false;
	p->named_cancel = false;
	p->order = s->next_order++;
	s->slots[slot].req.order = p->order;
	set_op(s, slot, LANE_SUBMIT);
	lane_out_name(&s->out, slot, p->seq);
	s->stats.requests++;
	return p->seq;
}

void
lane_sub_data(struct lane_submitter *s, uint16_t slot)
{
	struct sub_slot *p = slot_of(s, slot);

	assert(p->use >= USE_BUSY && p->want);
	if (p->use == USE_ENDED || p->op == LANE_CANCEL)
		return;
	assert(p->op == LANE_SUBMIT);
	set_op(s, slot, LANE_DATA);
	lane_out_name(&s->out, slot, p->seq);
}

void
lane_sub_cancel(struct lane_submitter *s, uint16_t slot)
{
	struct sub_slot *p = slot_of(s, slot);

	assert(p->use >= USE_BUSY);
	if (p->use == USE_ENDED || p->named_cancel)
		return;
	p->named_cancel = true;
	set_op(s, slot, LANE_CANCEL);
	lane_out_name(&s->out, slot, p->seq);
}

void
lane_sub_release(struct lane_submitter *s, uint16_t slot)
{
	struct sub_slot *p = slot_of(s, slot);

	assert(p->use == USE_ENDED);
	p->use = USE_FREE;
	set_op(s, slot, LANE_RELEASE);
	s->free[s->n_free++] = slot;
}

bool
lane_sub_publish(struct lane_submitter *s)
{
	bool rang = lane_out_publish(&s->out);

	s->stats.bells += rang;
	return rang;
}

/* ---- completions --------------------------------------------------------- */

/* What one entry of the completion ring says: 1 an event, 0 nothing new, -EPROTO. */
static int
look(struct lane_submitter *s, uint32_t entry, struct lane_event *ev)
{
	uint16_t slot = (uint16_t)entry;
	struct sub_slot *p;
	int state;

	if (slot >= s->nslots)
		return -EPROTO;
	p = &s->own[slot];
	if (p->use != USE_BUSY || (uint16_t)p->seq != entry >> 16)
		return 0; /* a repeat, or of a request that is over */
	state = lane_sub_state(s, slot);
	if (state < 0)
		return state;
	if (state == LANE_WANT) {
		if (p->want)
			return 0;
		p->want = true;
	} else if (state < LANE_DONE) {
		return 0; /* named before a restarted server ran it again */
	}
	ev->slot = slot;
	ev->state = (uint16_t)state;
	ev->seq = p->seq;
	return 1;
}

int
lane_sub_poll(struct lane_submitter *s, struct lane_event *ev, int max)
{
	int n = 0;

	if (s->frozen)
		return -EPROTO;
	/* At most one turn of the ring, so that no server can keep us here. */
	for (uint32_t i = 0; i <= s->in.mask && n < max; i++) {
		uint32_t entry;
		int rc = lane_in_next(&s->in, &entry);

		if (!rc)
			break;
		if (rc > 0)
			rc = look(s, entry, &ev[n]);
		if (rc < 0)
			return freeze(s);
		n += rc;
	}
	return n;
}

int
lane_sub_state(struct lane_submitter *s, uint16_t slot)
{
	struct sub_slot *p = slot_of(s, slot);
	int state;

	assert(p->use >= USE_BUSY);
	state = peer_state(s, slot);
	if (state >= LANE_DONE)
		p->use = USE_ENDED;
	return state;
}

int
lane_sub_rsp(struct lane_submitter *s, uint16_t slot, struct lane_rsp *rsp)
{
	struct sub_slot *p = slot_of(s, slot);
	const struct lane_rsp *src = &s->status[slot].rsp;
	uint64_t want;
	int state;

	if (s->frozen)
		return -EPROTO;
	assert(p->use == USE_ENDED || p->want);
	state = peer_state(s, slot);
	if (state < LANE_WANT || (p->use == USE_ENDED && state < LANE_DONE))
		return freeze(s);
	memset(rsp, 0, sizeof(*rsp));
	if (p->use == USE_BUSY) {
		/* A WANT: the body may belong to a DONE that is being written. */
		want = atomic_load_explicit(&s->status[slot].want, memory_order_relaxed);
		if (lane_high(want) != p->seq)
			return freeze(s);
		rsp->want = lane_low(want);
		return 0;
	}
	memcpy(rsp, src, offsetof(struct lane_rsp, sense));
	atomic_signal_fence(memory_order_acq_rel); /* sense_len from the copy */
	if (rsp->sense_len > LANE_SENSE_MAX)
		return freeze(s);
	memcpy(rsp->sense, src->sense, rsp->sense_len);
	return 0;
}

int
lane_sub_scan(struct lane_submitter *s, uint16_t slot, uint32_t *seq, enum lane_op *op,
	      struct lane_req *req)
{
	struct sub_slot *p = slot_of(s, slot);
	int state;

	if (s->frozen)
		return -EPROTO;
	if (p->use < USE_BUSY)
		return -ENOENT;
	state = peer_state(s, slot);
	if (state < 0)
		return freeze(s);
	*seq = p->seq;
	*op = p->op;
	lane_req_copy(req, &s->slots[slot].req);
	return 0;
}

/* ---- the rest ------------------------------------------------------------ */

uint32_t
lane_sub_busy(const struct lane_submitter *s)
{
	return s->nslots - s->n_free;
}

bool
lane_sub_frozen(const struct lane_submitter *s)
{
	return s->frozen;
}

bool
lane_sub_sleep(struct lane_submitter *s)
{
	if (!s->frozen && !lane_in_sleep(&s->in))
		return false;
	s->stats.sleeps++;
	return true;
}

void
lane_sub_wake(struct lane_submitter *s)
{
	lane_in_wake(&s->in);
}

const struct lane_stats *
lane_sub_stats(const struct lane_submitter *s)
{
	return &s->stats;
}
