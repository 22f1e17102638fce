/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes what storaged does with the body of a block request: the input is a
 * struct lane_req as a hostile scsid would leave it in shared memory.  Every
 * byte that the backend is asked to touch must be inside the pools and the
 * store (ASan watches their ends), and a violation must not stop the lane for
 * the next peer.
 */
#include <stdlib.h>
#include <string.h>

#include "storaged/serve.h"
#include "tests/unit/memstore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 2, POOL_SIZE = 65536 };

static struct memstore *mem;
static struct lane_maps maps = { .nslots = SLOTS, .bell_out = -1 };
static uint8_t *pool[2];

static void
submit(struct lane_submitter *sub, struct serve *s, const uint8_t *data, size_t size)
{
	struct lane_req *r;
	int slot = lane_sub_get(sub);

	if (slot < 0)
		return;
	r = lane_sub_req(sub, (uint16_t)slot);
	memcpy(r, data, size < sizeof(*r) ? size : sizeof(*r));
	lane_sub_submit(sub, (uint16_t)slot);
	lane_sub_publish(sub);
	while (serve_turn(s) > 0)
		;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serve_conf conf = { .maps = maps, .epoch = 1, .fresh = true };
	struct lane_submitter *sub;
	struct serve *s;

	if (!mem) {
		mem = malloc(sizeof(*mem));
		mem_init(mem);
		for (int i = 0; i < 2; i++)
			pool[i] = malloc(POOL_SIZE);
		maps.sub = aligned_alloc(4096, lane_sub_size(SLOTS));
		maps.status = aligned_alloc(4096, lane_status_size(SLOTS));
	}
	memset(maps.sub, 0, lane_sub_size(SLOTS));
	memset(maps.status, 0, lane_status_size(SLOTS));
	conf.maps = maps;
	conf.backend = &mem->b;
	conf.read_only = size && data[size - 1] & 1;
	sub = lane_sub_attach(&maps, 1, true);
	s = serve_new(&conf);
	serve_pool_add(s, 0, pool[0], POOL_SIZE);
	serve_pool_add(s, 1, pool[1], POOL_SIZE);
	serve_start(s);
	submit(sub, s, data, size);
	/* The next peer must find a lane that works. */
	serve_epoch(s, 2);
	lane_sub_epoch(sub, 2);
	while (serve_turn(s) > 0)
		;
	if (!lane_sub_ready(sub))
		abort();
	serve_free(s);
	lane_sub_free(sub);
	return 0;
}
