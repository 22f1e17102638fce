/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands, lanes and sessions of a portal that end while something of them is
 * still under way.
 */
#include "portal_expect.h"

static const uint8_t data[65536];

/* Is @itt free again?  A command that still has it would have this rejected. */
static void
expect_free(struct rig *r, uint32_t itt)
{
	uint32_t next = r->itt;

	r->refuse = r->hold = false;
	r->itt = itt - 1;
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	r->itt = next;
}

/* A write that waited for memory is told that its LUN is gone, and answered when
 * its data has come (RFC 7143 11.4.2): long after the lane was given back. */
static void
test_answer_outlives_lane(void)
{
	struct rig *r = rig_new();
	uint32_t itt;
	int i;

	r->pool_size = 1 << 20;
	rig_connect(r);
	r->hold = true;
	for (i = 0; i < 4; i++)
		rig_cmd(r, RIG_F | RIG_R, 0, 512, NULL, 0);
	itt = rig_cmd(r, RIG_W, 0, 8, data, 512);
	RIG_UNTIL(r, r->n_submitted == 4);
	CHECK(rig_silent(r)); /* the write has been received */
	thread_revoke(&r->th, 1);
	for (i = 0; i < 4; i++)
		CHECK(rig_recv(r, &pdu) && pdu.raw[3] == STATUS_CHECK_CONDITION);
	RIG_UNTIL(r, r->n_released == 1);
	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 512, data, 3584, true);
	expect_status(r, itt, STATUS_CHECK_CONDITION);
	CHECK_EQ(get_be16(pdu.data + 2 + 12), ASC_LU_NOT_SUPPORTED);
	rig_end(r, 1);
}

/* 11.5.1: refused early, so that its answer waits for its data; aborted then, an
 * initiator (open-iscsi) sends no more of it. */
static void
test_abort_refused(void)
{
	struct rig *r = rig_session();
	uint32_t victim, itt;

	r->refuse = true;
	victim = rig_cmd(r, RIG_W, 0, 1024, data, 4096);
	RIG_UNTIL(r, r->n_submitted == 1);
	CHECK(rig_silent(r));
	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
	expect_free(r, victim);
	rig_end(r, 1);
}

/* The same, but the refusal comes after the abort, with R2Ts outstanding. */
static void
test_refused_aborted(void)
{
	struct rig *r = rig_make(true);
	struct rig_lane *l = &r->lanes[0];
	uint32_t victim, itt;
	uint16_t slot = 0;

	rig_connect(r);
	victim = rig_cmd(r, RIG_F | RIG_W, 0, 1024, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
	while (!l->is_held[slot])
		slot++;
	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	thread_once(&r->th);
	l->is_held[slot] = false;
	rig_done(r, l, &l->held[slot], STATUS_CHECK_CONDITION);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
	expect_free(r, victim);
	rig_end(r, 1);
}

/* 11.6.1: the abort came too late, the command has been answered.  Of two that
 * wait for it, both say so. */
static void
test_answered_aborted(void)
{
	struct rig *r = rig_make(true);
	struct rig_lane *l = &r->lanes[0];
	uint32_t victim, itt[2];
	uint16_t slot = 0;

	rig_connect(r);
	r->hold = true;
	victim = rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 1);
	while (!l->is_held[slot])
		slot++;
	itt[0] = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	itt[1] = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	thread_once(&r->th);
	l->is_held[slot] = false;
	rig_exec(r, l, &l->held[slot]);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_DATA_IN && pdu.raw[1] & ISCSI_DATA_IN_STATUS);
	expect_tmf(r, itt[0], ISCSI_TMF_RSP_NO_TASK);
	expect_tmf(r, itt[1], ISCSI_TMF_RSP_NO_TASK);
	r->hold = false;
	expect_free(r, victim);
	rig_end(r, 1);
}

static void
test_reset_refused(void)
{
	struct rig *r = rig_session();
	uint32_t victim, itt;

	r->refuse = true;
	victim = rig_cmd(r, RIG_W, 0, 1024, data, 4096);
	CHECK(rig_silent(r));
	itt = rig_tmf(r, ISCSI_TMF_LUN_RESET, ISCSI_TAG_NONE);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
	expect_free(r, victim);
	rig_end(r, 1);
}

/* It ends what is there; what has ended long ago and left its entry in the table
 * unused is not ended again. */
static void
test_reset_after_ends(void)
{
	struct rig *r = rig_session();
	uint32_t itt;
	int i;

	r->hold = true;
	for (i = 0; i < 4; i++)
		rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 4);
	rig_unhold(r);
	for (i = 0; i < 4; i++)
		CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_DATA_IN);
	itt = rig_tmf(r, ISCSI_TMF_LUN_RESET, ISCSI_TAG_NONE);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
	for (i = 0; i < 6; i++)
		rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	for (i = 0; i < 6; i++)
		CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_SCSI_RSP);
	rig_end(r, 1);
}

/* A LunOpen may wait for a LUN that does not come up: the session is over all
 * the same, and whoever reinstates it can use its other LUNs.  ctld answers what
 * waited with ECANCELED, or had granted it already. */
static void
test_drop_opening(void)
{
	struct rig *r = rig_new();
	int i;

	r->hold_open = true;
	for (i = 0; i < 2; i++) {
		rig_connect(r);
		rig_cmd(r, RIG_F, 0, 0, NULL, 0);
		RIG_UNTIL(r, r->n_open == i + 1);
		CHECK_EQ(r->n_over, i);
		close(r->fd);
		RIG_UNTIL(r, r->n_over == i + 1);
	}
	thread_lun_opened(&r->th, r->open_cookie[0], ECANCELED, 0, NULL);
	rig_answer_open(r, r->open_cookie[1]);
	RIG_UNTIL(r, r->n_released == 1);
	r->hold_open = false;
	rig_connect(r);
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	rig_end(r, 3);
}

/* 6.3.5: who reinstates a session waits for the LUNs where the old one has commands,
 * not for the others. */
static void
test_barrier(void)
{
	struct rig *r = rig_make(true);
	const uint64_t lun1 = 0x0001000000000000, lun2 = 0x0002000000000000;
	uint32_t waits;

	rig_connect(r);
	r->hold = true;
	for (r->lun = 1; r->lun <= 3; r->lun++)
		rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0); /* LUN 4: its lane is asked for */
	RIG_UNTIL(r, r->n_submitted == 4);
	r->lanes[3].is_held[0] = false;
	rig_exec(r, &r->lanes[3], &r->lanes[3].held[0]);
	lane_srv_publish(r->lanes[3].srv);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_DATA_IN);
	r->hang = true;
	close(r->fd);
	RIG_UNTIL(r, r->n_busy == 1);
	CHECK_EQ(r->busy.n, 3); /* not LUN 4 */
	r->held_session = true;
	rig_connect(r);
	r->lun = 1;
	waits = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	CHECK(rig_silent(r));
	thread_go_session(&r->th, r->busy.id + 1, (const uint64_t[]){ lun1, lun2 }, 2);
	r->hang = r->hold = false;
	RIG_UNTIL(r, r->n_over == 1);
	CHECK(r->n_busy <= 3);
	CHECK(r->busy.n < 3);
	r->lun = 4;
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	CHECK(rig_silent(r));
	thread_go_session(&r->th, r->busy.id + 1, &lun2, 1);
	expect_status(r, waits, STATUS_GOOD);
	r->lun = 2;
	waits = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	CHECK(rig_silent(r));
	thread_go_session(&r->th, r->busy.id + 1, NULL, 0);
	expect_status(r, waits, STATUS_GOOD);
	rig_end(r, 2);
}

int
main(void)
{
	TEST(test_answer_outlives_lane);
	TEST(test_abort_refused);
	TEST(test_refused_aborted);
	TEST(test_answered_aborted);
	TEST(test_reset_refused);
	TEST(test_reset_after_ends);
	TEST(test_drop_opening);
	TEST(test_barrier);
	return tap_done();
}
