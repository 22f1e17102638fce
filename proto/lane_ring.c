/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rings of a lane and the geometry of its halves.  Knows published words,
 * epochs, sleepers and doorbells; must not know what a slot means.
 */
#include "proto/lane_ring.h"

#include <string.h>
#include <unistd.h>

#include "proto/shm.h"

_Static_assert(sizeof(struct lane_half) % 64 == 0, "the ring begins a cache line");
_Static_assert(LANE_SLOTS_MAX <= UINT16_MAX, "a slot number fits a ring entry");
_Static_assert(LANE_SLOTS_MIN * LANE_RING_FACTOR * 4 % 64 == 0, "slots begin a cache line");
_Static_assert(sizeof(struct lane_sub_slot) == 448, "shared layout");
_Static_assert(sizeof(struct lane_status_slot) == 384, "shared layout");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words are shared between processes");

static size_t
half_size(uint32_t nslots, size_t slot)
{
	size_t page = shm_page();
	size_t size = sizeof(struct lane_half) +
		      nslots * (LANE_RING_FACTOR * sizeof(uint32_t) + slot);

	return (size + page - 1) / page * page;
}

size_t
lane_sub_size(uint32_t nslots)
{
	return half_size(nslots, sizeof(struct lane_sub_slot));
}

size_t
lane_status_size(uint32_t nslots)
{
	return half_size(nslots, sizeof(struct lane_status_slot));
}

_Atomic uint64_t *
lane_kept(void *half)
{
	return &((struct lane_half *)half)->kept.v;
}

int
lane_maps_check(const struct lane_maps *maps, uint32_t epoch)
{
	uint32_t n = maps->nslots;

	if (!maps->sub || !maps->status || !epoch)
		return -EINVAL;
	if (((uintptr_t)maps->sub | (uintptr_t)maps->status) % 64)
		return -EINVAL;
	if (n < LANE_SLOTS_MIN || n > LANE_SLOTS_MAX || (n & (n - 1)))
		return -EINVAL;
	return 0;
}

int
lane_header_init(struct lane_half *own, const struct lane_half *peer, uint32_t nslots,
		 bool fresh)
{
	uint64_t want = lane_pair(LANE_MAGIC, LANE_VERSION << 16 | nslots);
	uint64_t mine = atomic_load_explicit(&own->header.v, memory_order_relaxed);
	uint64_t theirs = atomic_load_explicit(&peer->header.v, memory_order_relaxed);

	if ((mine && mine != want) || (theirs && theirs != want))
		return -EPROTO;
	if (fresh && lane_low(atomic_load_explicit(&own->published.v, memory_order_relaxed)))
		return -EPROTO;
	atomic_store_explicit(&own->header.v, want, memory_order_relaxed);
	return 0;
}

void
lane_out_restart(struct lane_out *o, uint32_t epoch)
{
	o->epoch = epoch;
	o->tail = 0;
	o->sent = UINT32_MAX; /* differs from tail: an empty ring is news too */
}

static void
ring_bell(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN means that the counter is full: the bell is ringing already. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool
lane_out_publish(struct lane_out *o)
{
	uint64_t asleep;

	if (o->sent == o->tail)
		return false;
	o->sent = o->tail;
	/*
	 * Dekker: we store the published word, then load asleep; the consumer
	 * stores asleep, then loads the published word.  All four are seq_cst,
	 * so one of the two sees the other.
	 */
	atomic_store_explicit(&o->own->published.v, lane_pair(o->epoch, o->tail),
			      memory_order_seq_cst);
	asleep = atomic_load_explicit(&o->peer->asleep.v, memory_order_seq_cst);
	if (!(asleep & 1) || asleep == o->rung)
		return false;
	o->rung = asleep;
	ring_bell(o->bell);
	return true;
}

void
lane_in_restart(struct lane_in *in, uint32_t epoch)
{
	in->epoch = epoch;
	in->head = 0;
	in->tail = 0;
	in->live = false;
}

int
lane_in_fill(struct lane_in *in)
{
	uint64_t w = atomic_load_explicit(&in->peer->published.v, memory_order_acquire);

	if (lane_high(w) != in->epoch)
		return 0;
	in->live = true;
	if (lane_low(w) - in->head > in->mask + 1)
		return -EPROTO;
	in->tail = lane_low(w);
	return in->head != in->tail;
}

void
lane_in_attach(struct lane_in *in)
{
	uint64_t v = atomic_load_explicit(&in->own->asleep.v, memory_order_relaxed);

	/* Upwards, so that the producer's memory of what it rang stays true. */
	atomic_store_explicit(&in->own->asleep.v, (v | 1) + 1, memory_order_seq_cst);
}

bool
lane_in_sleep(struct lane_in *in)
{
	uint64_t v = atomic_load_explicit(&in->own->asleep.v, memory_order_relaxed);
	uint64_t w;

	atomic_store_explicit(&in->own->asleep.v, v | 1, memory_order_seq_cst);
	w = atomic_load_explicit(&in->peer->published.v, memory_order_seq_cst);
	if (lane_high(w) == in->epoch && (lane_low(w) != in->head || !in->live)) {
		lane_in_wake(in);
		return false;
	}
	return true;
}

void
lane_in_wake(struct lane_in *in)
{
	uint64_t v = atomic_load_explicit(&in->own->asleep.v, memory_order_relaxed);

	if (v & 1)
		atomic_store_explicit(&in->own->asleep.v, v + 1, memory_order_relaxed);
}
