/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storaged/serve.c when either end has died: attach implies drain, and the
 * server side of docs/recovery.md.
 */
#include "tests/unit/serve_rig.h"

static void
test_attach_implies_drain(void)
{
	int a, b, c, err;

	begin(false);
	mem.hold = true;
	a = put(BLK_WRITE, 0, 0, 512, 0);
	b = put(BLK_WRITE, 0, 512, 512, 0);
	turns();
	c = put(BLK_WRITE, 0, 1024, 512, 0); /* not taken any more */
	serve_epoch(serve, ++epoch);
	lane_sub_free(sub); /* scsid died */
	sub = lane_sub_attach(&maps, epoch, false);
	turns();
	CHECK(!serve_ready(serve));
	CHECK(!lane_sub_ready(sub));
	CHECK(serve_sleep(serve));
	mem_end(&mem, 1);
	turns();
	CHECK(!lane_sub_ready(sub));
	mem_end(&mem, 0);
	turns();
	CHECK(serve_ready(serve));
	CHECK(lane_sub_ready(sub));
	/* Both are DONE, the third was never seen (docs/recovery.md). */
	CHECK_EQ(lane_sub_state(sub, (uint16_t)a), LANE_DONE);
	CHECK_EQ(lane_sub_state(sub, (uint16_t)b), LANE_DONE);
	CHECK_EQ(lane_sub_state(sub, (uint16_t)c), LANE_NONE);
	CHECK_EQ(mem.n_ops, 2);
	lane_sub_release(sub, (uint16_t)a);
	lane_sub_release(sub, (uint16_t)b);
	lane_sub_cancel(sub, (uint16_t)c);
	lane_sub_publish(sub);
	turns();
	CHECK_EQ(get(c, &err), LANE_CANCELLED);
	mem.hold = false;
	CHECK_EQ(io(BLK_FLUSH, 0, 0, 0, 0), 0);
	serve_epoch(serve, epoch); /* again: no effect */
	CHECK_EQ(io(BLK_FLUSH, 0, 0, 0, 0), 0);
	finish();
}

/* The server dies with one request in each state and comes back. */
static void
test_restart(void)
{
	int gone, seen[LANE_CANCELLED + 1] = { 0 };
	struct lane_event ev;

	begin(false);
	put(BLK_WRITE, 0, 0, 512, 0);
	turns();
	mem.hold = true;
	put(BLK_WRITE, 0, 512, 512, 0);
	put(BLK_READ, 0, 1024, 512, 0);
	gone = put(BLK_WRITE, 0, 4096, 512, 0);
	put(BLK_FLUSH, 0, 0, 0, 0);
	turns();
	lane_sub_cancel(sub, (uint16_t)gone);
	put(BLK_WRITE, 0, 8192, 512, 0);
	CHECK_EQ(mem.n_ops, 5);
	serve_free(serve); /* dies; the store forgets what it had */
	mem.n_held = mem.n_ops = 0;
	epoch++;
	lane_sub_epoch(sub, epoch);
	lane_sub_publish(sub);
	start_server(false, false);
	CHECK_EQ(serve_start(serve), 0);
	/* Again in the order of submission, and nothing served before. */
	CHECK_EQ(mem.n_ops, 3);
	CHECK_EQ(mem.ops[0].off, 512);
	CHECK_EQ(mem.ops[1].off, 1024);
	CHECK_EQ(mem.ops[2].op, BLK_FLUSH);
	CHECK_EQ(serve_stats(serve)->replayed, 3);
	turns();
	CHECK(!lane_sub_ready(sub));
	for (int i = 0; i < 3; i++)
		mem_end(&mem, 0);
	mem.hold = false;
	turns();
	CHECK(lane_sub_ready(sub));
	CHECK_EQ(mem.n_ops, 4); /* and now the one never claimed */
	CHECK_EQ(mem.ops[3].off, 8192);
	while (lane_sub_poll(sub, &ev, 1) == 1) {
		seen[ev.state]++;
		CHECK_EQ(ev.state == LANE_CANCELLED, ev.slot == gone);
		lane_sub_release(sub, ev.slot);
	}
	CHECK_EQ(seen[LANE_DONE], 5);
	CHECK_EQ(seen[LANE_CANCELLED], 1);
	CHECK_EQ(lane_sub_busy(sub), 0);
	finish();
}

/* A request spoilt after it was taken: a violation at the restart; once its
 * author was replaced, an error for that one request. */
static void
test_restart_after_spoiling(void)
{
	int bad, good;

	begin(false);
	mem.hold = true;
	bad = put(BLK_WRITE, 0, 512, 512, 0);
	good = put(BLK_WRITE, 0, 1024, 512, 0);
	turns();
	serve_free(serve);
	mem.n_held = mem.n_ops = 0;
	mem.hold = false;
	lane_sub_req(sub, (uint16_t)bad)->out[0].pool = 99;
	epoch++;
	start_server(false, false);
	CHECK_EQ(serve_start(serve), -EPROTO);
	CHECK_EQ(serve_turn(serve), -EPROTO);
	CHECK_EQ(serve_turn(serve), 0);
	CHECK(!serve_ready(serve));
	serve_epoch(serve, ++epoch);
	lane_sub_free(sub);
	sub = lane_sub_attach(&maps, epoch, false);
	CHECK_MSG(turns() > 0, "%s", serve_violation(serve));
	CHECK(lane_sub_ready(sub));
	CHECK_EQ(lane_sub_state(sub, (uint16_t)bad), LANE_DONE);
	CHECK_EQ(lane_sub_state(sub, (uint16_t)good), LANE_DONE);
	CHECK_EQ(mem.n_ops, 1);
	finish();
}

/* The order of the two deaths does not matter: a new epoch before the first
 * one was served. */
static void
test_epoch_while_recovering(void)
{
	int slot;

	begin(false);
	mem.hold = true;
	slot = put(BLK_WRITE, 0, 512, 512, 0);
	turns();
	serve_free(serve);
	mem.n_held = mem.n_ops = 0;
	epoch++;
	start_server(false, false);
	CHECK_EQ(serve_start(serve), 0);
	serve_epoch(serve, ++epoch);
	lane_sub_free(sub);
	sub = lane_sub_attach(&maps, epoch, false);
	turns();
	CHECK(!lane_sub_ready(sub));
	mem_end(&mem, 0);
	turns();
	CHECK(lane_sub_ready(sub));
	CHECK_EQ(lane_sub_state(sub, (uint16_t)slot), LANE_DONE);
	finish();
}

int
main(void)
{
	TEST(test_attach_implies_drain);
	TEST(test_restart);
	TEST(test_restart_after_spoiling);
	TEST(test_epoch_while_recovering);
	return tap_done();
}
