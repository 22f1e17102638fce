/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lane with both ends in one process for tests of storaged/serve.c: the
 * submitter is driven by the test, the server has a memory backend.
 */
#ifndef TESTS_SERVE_RIG_H
#define TESTS_SERVE_RIG_H

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/lane_ring.h"
#include "storaged/serve.h"
#include "tests/unit/memstore.h"
#include "tests/unit/tap.h"

enum { SLOTS = 16, POOL = 3, POOL_SIZE = 1 << 20, SCRATCH_SIZE = 65536 };

static struct memstore mem;
static uint8_t pool[POOL_SIZE], scratch[SCRATCH_SIZE];
static struct lane_maps maps;
static struct lane_submitter *sub;
static struct serve *serve;
static uint32_t epoch;

static inline void
start_server(bool fresh, bool read_only)
{
	struct serve_conf conf = { .maps = maps, .epoch = epoch, .fresh = fresh,
				   .read_only = read_only, .backend = &mem.b };

	serve = serve_new(&conf);
	CHECK(serve != NULL);
	CHECK_EQ(serve_pool_add(serve, POOL, pool, sizeof(pool)), 0);
	CHECK_EQ(serve_pool_add(serve, 0, scratch, sizeof(scratch)), 0);
}

static inline void
begin(bool read_only)
{
	mem_init(&mem);
	maps.nslots = SLOTS;
	maps.sub = aligned_alloc(4096, lane_sub_size(SLOTS));
	maps.status = aligned_alloc(4096, lane_status_size(SLOTS));
	maps.bell_out = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	memset(maps.sub, 0, lane_sub_size(SLOTS));
	memset(maps.status, 0, lane_status_size(SLOTS));
	memset(pool, 0xee, sizeof(pool));
	epoch = 1;
	sub = lane_sub_attach(&maps, epoch, true);
	CHECK(sub != NULL);
	start_server(true, read_only);
	CHECK_EQ(serve_start(serve), 0);
}

static inline void
finish(void)
{
	serve_free(serve);
	lane_sub_free(sub);
	free(maps.sub);
	free(maps.status);
	close(maps.bell_out);
}

static inline struct lane_req *
blk(int slot, uint8_t op, uint8_t flags, uint64_t off, uint32_t len, uint64_t at)
{
	struct lane_req *r = lane_sub_req(sub, (uint16_t)slot);
	struct lane_ext e = { .pool = POOL, .len = len, .off = at };

	r->kind = LANE_BLK;
	r->u.blk.op = op;
	r->u.blk.flags = flags;
	r->u.blk.off = off;
	r->u.blk.len = len;
	if (op == BLK_READ)
		r->in[r->n_in++] = e;
	if (op == BLK_WRITE)
		r->out[r->n_out++] = e;
	return r;
}

static inline int
put(uint8_t op, uint8_t flags, uint64_t off, uint32_t len, uint64_t at)
{
	int slot = lane_sub_get(sub);

	CHECK(slot >= 0);
	blk(slot, op, flags, off, len, at);
	lane_sub_submit(sub, (uint16_t)slot);
	lane_sub_publish(sub);
	return slot;
}

/* Takes the next event and releases its slot: the state; *err the answer. */
static inline int
get(int slot, int *err)
{
	struct lane_rsp rsp = { .error = 1 };
	struct lane_event ev;

	if (lane_sub_poll(sub, &ev, 1) != 1)
		return 0;
	CHECK_EQ(ev.slot, slot);
	CHECK_EQ(lane_sub_rsp(sub, ev.slot, &rsp), 0);
	*err = rsp.error;
	CHECK_EQ(rsp.sense_len, 0);
	lane_sub_release(sub, ev.slot);
	return ev.state;
}

static inline int
turns(void)
{
	int rc, n = 0;

	while ((rc = serve_turn(serve)) > 0)
		n += rc;
	return rc < 0 ? rc : n;
}

/* One request to its end: the answer. */
static inline int
io(uint8_t op, uint8_t flags, uint64_t off, uint32_t len, uint64_t at)
{
	int slot = put(op, flags, off, len, at), err = 1;

	CHECK_EQ(turns(), 2);
	CHECK_EQ(get(slot, &err), LANE_DONE);
	return err;
}

#endif
