/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the tests of the slot protocol: a lane with both ends in one thread, the
 * two objects as globals, and ways to forge what a bad peer might write.
 */
#ifndef TESTS_LANE_FIXTURE_H
#define TESTS_LANE_FIXTURE_H

#include "lane_rig.h"
#include "tap.h"

enum { N = 8, RING = N * LANE_RING_FACTOR };

static struct lane_rig rig;
static struct lane_submitter *s;
static struct lane_server *v;

static inline void
begin(void)
{
	rig_plain(&rig, N);
	s = lane_sub_attach(&rig.sub, 1, true);
	v = lane_srv_attach(&rig.srv, 1, true);
	CHECK(s && v);
	lane_srv_serve(v);
}

static inline void
finish(void)
{
	lane_sub_free(s);
	lane_srv_free(v);
	rig_plain_done(&rig);
}

/* Submits a command whose CDB begins with @mark; returns the slot. */
static inline uint16_t
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

static inline int
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

static inline int
poll_one(void)
{
	memset(&ev, 0xee, sizeof(ev));
	return lane_sub_poll(s, &ev, 1);
}

static inline uint16_t
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
static inline void
resync(uint32_t epoch)
{
	lane_srv_epoch(v, epoch);
	lane_sub_epoch(s, epoch);
	lane_sub_publish(s);
	lane_srv_serve(v);
}

/* Names (slot, seq) in the submission ring, as any submitter could. */
static inline void
name_sub(uint32_t slot, uint32_t seq)
{
	struct lane_half *h = rig_sub_half(&rig);
	uint64_t w = atomic_load(&h->published.v);

	atomic_store(&h->ring[lane_low(w) % RING], seq << 16 | slot);
	atomic_store(&h->published.v, w + 1);
}

static inline void
name_status(uint32_t slot, uint32_t seq)
{
	struct lane_half *h = rig_status_half(&rig);
	uint64_t w = atomic_load(&h->published.v);

	atomic_store(&h->ring[lane_low(w) % RING], seq << 16 | slot);
	atomic_store(&h->published.v, w + 1);
}

static inline void
set_req_word(uint16_t slot, uint32_t seq, uint32_t op)
{
	atomic_store(&rig_sub_slot(&rig, slot)->word, lane_pair(seq, op));
}

static inline void
set_rsp_word(uint16_t slot, uint32_t seq, uint32_t low)
{
	atomic_store(&rig_status_slot(&rig, slot)->word, lane_pair(seq, low));
}

#endif
