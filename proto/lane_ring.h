/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private to proto/lane_*.c: how a lane lies in memory, and its rings.
 *
 * A half is four cache lines (header, published word, asleep word, the word its
 * owner keeps), the ring its owner produces, and the slots its owner writes.  Nothing outside
 * proto/lane_*.c may know this; nothing here decides what a slot means.
 *
 * A ring entry is { seq, low 16 bits : 16 | slot : 16 }.  It is still only a
 * hint: the seq lets the consumer drop an entry that its slot has outlived, so
 * that a request is taken by an entry of its own and never by an older one.
 * That bounds the ring without the consumer showing its index: behind the
 * entry by which seq k is taken there can be, for one slot, the new name after
 * an epoch change, DATA(k), CANCEL(k), SUBMIT(k+1) and CANCEL(k+1), and
 * nothing of k+2 before SUBMIT(k+1) is consumed.  Five a slot, rounded up to
 * the eight of LANE_RING_FACTOR.  The completion ring needs fewer.
 */
#ifndef PROTO_LANE_RING_H
#define PROTO_LANE_RING_H

#include <errno.h>
#include <stdatomic.h>

#include "proto/lane.h"

struct lane_line {
	_Alignas(64) _Atomic uint64_t v;
};

struct lane_half {
	struct lane_line header; /* { magic:32 | version:16 | nslots:16 } */
	struct lane_line published; /* { epoch:32 | tail:32 } of the owner's ring */
	struct lane_line asleep; /* the owner as a consumer: odd = it sleeps */
	struct lane_line kept; /* lane_kept */
	_Atomic uint32_t ring[]; /* LANE_RING_FACTOR * nslots, then the slots */
};

struct lane_sub_slot {
	_Alignas(64) _Atomic uint64_t word; /* { seq:32 | op:32 } */
	struct lane_req req;
};

struct lane_status_slot {
	_Alignas(64) _Atomic uint64_t word; /* { seq:32 | attempts:16 | state:16 } */
	_Atomic uint64_t want; /* apart from rsp, which DONE may be rewriting
				  while the submitter still reads a WANT */
	struct lane_rsp rsp;
};

static inline uint64_t
lane_pair(uint32_t high, uint32_t low)
{
	return (uint64_t)high << 32 | low;
}

static inline uint32_t
lane_high(uint64_t w)
{
	return (uint32_t)(w >> 32);
}

static inline uint32_t
lane_low(uint64_t w)
{
	return (uint32_t)w;
}

/* The slots of a half. */
static inline void *
lane_slots(struct lane_half *h, uint32_t nslots)
{
	return h->ring + (size_t)LANE_RING_FACTOR * nslots;
}

/* 0 or -EINVAL: are these maps a lane that can be attached at all? */
int lane_maps_check(const struct lane_maps *maps, uint32_t epoch);

/*
 * Writes the header of one's own half unless it is there already.  Returns 0,
 * or -EPROTO when either half is of another version or geometry (all zero is
 * right for a half that nobody has attached to yet), or when something was named
 * in one's own ring although the memory is said to be @fresh.
 */
int lane_header_init(struct lane_half *own, const struct lane_half *peer, uint32_t nslots,
		     bool fresh);

/*
 * One copy of a request out of shared memory: the counts first, then only what
 * they say, from the copy.  The rest of @dst is zero.
 */
void lane_req_copy(struct lane_req *dst, const struct lane_req *src);

/* ---- the producing end of a ring --------------------------------------- */

struct lane_out {
	struct lane_half *own;
	const struct lane_half *peer;
	uint32_t mask;
	uint32_t tail; /* entries written */
	uint32_t sent; /* entries published */
	uint32_t epoch;
	uint64_t rung; /* the peer's asleep value that has had its bell */
	int bell;
};

static inline void
lane_out_name(struct lane_out *o, uint16_t slot, uint32_t seq)
{
	atomic_store_explicit(&o->own->ring[o->tail++ & o->mask], seq << 16 | slot,
			      memory_order_relaxed);
}

/* Starts the ring anew; visible at the next lane_out_publish. */
void lane_out_restart(struct lane_out *o, uint32_t epoch);
/* One store for the batch; true when the peer slept and its bell was rung. */
bool lane_out_publish(struct lane_out *o);

/* ---- the consuming end ------------------------------------------------- */

struct lane_in {
	struct lane_half *own; /* our asleep word is here */
	const struct lane_half *peer;
	uint32_t mask;
	uint32_t head; /* private: the peer never learns or moves it */
	uint32_t tail; /* the published tail, as last loaded */
	uint32_t epoch; /* the one ctld announced */
	bool live; /* the peer has published that epoch */
};

void lane_in_restart(struct lane_in *in, uint32_t epoch);
/* Loads the published word: 1 entries to take, 0 none, -EPROTO. */
int lane_in_fill(struct lane_in *in);

/* The next entry: 1, 0 nothing, -EPROTO. */
static inline int
lane_in_next(struct lane_in *in, uint32_t *entry)
{
	if (in->head == in->tail) {
		int rc = lane_in_fill(in);

		if (rc <= 0)
			return rc;
	}
	*entry = atomic_load_explicit(&in->peer->ring[in->head++ & in->mask],
				      memory_order_relaxed);
	return 1;
}

void lane_in_attach(struct lane_in *in); /* awake, whatever the memory says */
bool lane_in_sleep(struct lane_in *in);
void lane_in_wake(struct lane_in *in);

#endif
