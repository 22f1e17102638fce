/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lane whose memory is the input.  Byte 0 picks the consumer: a server that
 * finds the input as submission half, or a submitter that finds it as status
 * half.  It recovers from it and then takes what there is; what passes the
 * border check is used.
 */
#include <stdlib.h>

#include "proto/util.h"
#include "tests/unit/lane_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N = 4, POOL = 4096 };

static struct lane_rig rig;
static uint8_t pool[POOL];
static volatile uint8_t sink;

static void
use(const struct lane_req *r)
{
	static const struct lane_pool_info info = { 1, POOL };
	static const struct lane_limits lim = {
		.pools = &info, .n_pools = 1, .store_size = POOL,
		.kinds = 1u << LANE_SCSI | 1u << LANE_TMF | 1u << LANE_BLK,
	};

	if (lane_req_check(&lim, r))
		return;
	for (unsigned i = 0; i < r->n_out; i++)
		sink ^= pool[r->out[i].off + r->out[i].len - 1];
	for (unsigned i = 0; i < r->n_in; i++)
		sink ^= pool[r->in[i].off + r->in[i].len - 1];
	if (r->kind == LANE_SCSI)
		sink ^= r->u.scsi.cdb[r->u.scsi.cdb_len - 1];
	if (r->kind == LANE_BLK && r->u.blk.len)
		sink ^= pool[r->u.blk.off + r->u.blk.len - 1];
}

static void
serve(void)
{
	struct lane_server *v = lane_srv_attach(&rig.srv, 1, false);
	struct lane_taken t;

	if (!v)
		return;
	for (uint16_t i = 0; i < N; i++) {
		if (lane_srv_scan(v, i, &t))
			continue;
		use(&t.req);
		if (t.op != LANE_SUBMIT && t.state < LANE_DONE)
			lane_srv_claim(v, i, t.seq);
	}
	lane_srv_epoch(v, 2);
	lane_srv_serve(v);
	while (lane_srv_take(v, &t) > 0) {
		if (t.op == LANE_SUBMIT) {
			use(&t.req);
			lane_srv_claim(v, t.slot, t.seq);
			lane_srv_want(v, t.slot, 1);
		} else {
			if (t.state == LANE_NONE)
				lane_srv_claim(v, t.slot, t.seq);
			lane_srv_done(v, t.slot);
		}
	}
	lane_srv_publish(v);
	lane_srv_free(v);
}

static void
submit(void)
{
	struct lane_submitter *s = lane_sub_attach(&rig.sub, 1, false);
	struct lane_event ev;
	struct lane_rsp rsp;
	int slot;

	if (!s)
		return;
	lane_sub_epoch(s, 2);
	while ((slot = lane_sub_get(s)) >= 0)
		lane_sub_submit(s, (uint16_t)slot);
	lane_sub_publish(s);
	lane_sub_ready(s);
	while (lane_sub_poll(s, &ev, 1) > 0) {
		if (lane_sub_rsp(s, ev.slot, &rsp))
			break;
		sink ^= rsp.sense[rsp.sense_len ? rsp.sense_len - 1 : 0];
		if (ev.state == LANE_WANT)
			lane_sub_data(s, ev.slot);
		else
			lane_sub_release(s, ev.slot);
	}
	lane_sub_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool server = size && data[0] & 1;
	void *half;

	if (!size)
		return 0;
	rig_plain(&rig, N);
	half = server ? rig.sub.sub : rig.sub.status;
	/* The header is fixed, so that the input gets past it. */
	memcpy((uint8_t *)half + 64, data + 1, MIN(size - 1, lane_status_size(N) - 64));
	if (server)
		serve();
	else
		submit();
	rig_plain_done(&rig);
	return 0;
}
