/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task management at the portal (RFC 7143 11.5, 11.6, 4.2.3.3): which command is
 * meant, the order behind what was sent before, and an answer in time whatever
 * hangs.
 */
#include "portal_expect.h"


/* @itt is free, and nothing more is said of what had it. */
static void
expect_free(struct rig *r, uint32_t itt)
{
	uint32_t next = r->itt;

	r->hold = r->hang = false;
	r->itt = itt - 1;
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	CHECK(rig_silent(r));
	r->itt = next;
}

struct tmf {
	uint32_t cmdsn, ref_itt, ref_cmdsn;
	uint8_t function, lun;
	bool numbered;
};

static uint32_t
send_tmf(struct rig *r, const struct tmf *t)
{
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_TMF_REQ | (t->numbered ? 0 : ISCSI_IMMEDIATE) };

	h[1] = ISCSI_FLAG_FINAL | t->function;
	h[9] = t->lun;
	put_be32(h + BHS_ITT, ++r->itt);
	put_be32(h + 20, t->ref_itt);
	put_be32(h + BHS_CMD_SN, t->cmdsn);
	put_be32(h + 32, t->ref_cmdsn);
	rig_send_pdu(r, h, NULL, 0);
	return r->itt;
}

static void
test_functions(void)
{
	static const struct {
		uint8_t function, response;
	} row[] = {
		{ 0, ISCSI_TMF_RSP_NOT_SUPPORTED },
		{ ISCSI_TMF_ABORT_TASK_SET, ISCSI_TMF_RSP_COMPLETE },
		{ ISCSI_TMF_CLEAR_ACA, ISCSI_TMF_RSP_NOT_SUPPORTED },
		{ ISCSI_TMF_CLEAR_TASK_SET, ISCSI_TMF_RSP_COMPLETE },
		{ ISCSI_TMF_LUN_RESET, ISCSI_TMF_RSP_COMPLETE },
		{ ISCSI_TMF_TASK_REASSIGN, ISCSI_TMF_RSP_NO_REASSIGN },
		{ ISCSI_TMF_QUERY_TASK, ISCSI_TMF_RSP_NOT_SUPPORTED },
		{ 127, ISCSI_TMF_RSP_NOT_SUPPORTED },
	};
	struct rig *r = rig_session();

	for (size_t i = 0; i < ARRAY_SIZE(row); i++)
		expect_tmf(r, rig_tmf(r, row[i].function, ISCSI_TAG_NONE), row[i].response);
	rig_end(r, 1);
}

/* 11.5.4, 11.6.1: what is not the task that is meant is left alone. */
static void
test_whose(void)
{
	struct rig *r = rig_session();
	struct tmf t = { .function = ISCSI_TMF_ABORT_TASK, .lun = 2 };
	uint32_t ahead;

	t.cmdsn = r->cmdsn + 2;
	ahead = rig_cmd_sn(r, r->cmdsn + 1, RIG_F, 0, 0, 0, NULL, 0);
	t.ref_itt = ahead; /* another LUN's */
	t.ref_cmdsn = r->cmdsn + 1;
	expect_tmf(r, send_tmf(r, &t), ISCSI_TMF_RSP_NO_TASK);
	t.lun = 1;
	t.ref_itt = 0x7777; /* its CmdSN came with another tag */
	expect_tmf(r, send_tmf(r, &t), ISCSI_TMF_RSP_NO_TASK);
	t.ref_cmdsn = r->cmdsn + 2; /* not before the function */
	expect_tmf(r, send_tmf(r, &t), ISCSI_TMF_RSP_NO_TASK);
	t.ref_cmdsn = r->cmdsn; /* lost on its way: counts as received */
	expect_tmf(r, send_tmf(r, &t), ISCSI_TMF_RSP_COMPLETE);
	expect_status(r, ahead, STATUS_GOOD);
	rig_end(r, 1);
}

/* 4.2.3.3: what was sent before it is ended by it, though it comes later; what is
 * sent after it is not. */
static void
test_gap(void)
{
	struct rig *r = rig_session();
	struct tmf t = { .function = ISCSI_TMF_ABORT_TASK_SET, .lun = 1 };
	uint32_t itt, after;
	int numbered;

	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	for (numbered = 0; numbered < 2; numbered++) {
		uint32_t sn = r->cmdsn;

		r->hold = true;
		r->n_submitted = 0;
		rig_cmd_sn(r, sn + 1, RIG_F | RIG_R, 0, 8, 4096, NULL, 0);
		after = rig_cmd_sn(r, sn + 2 + (uint32_t)numbered, RIG_F | RIG_R, 0, 1, 512, NULL,
				   0);
		t.numbered = numbered;
		t.cmdsn = sn + 2;
		itt = send_tmf(r, &t);
		CHECK(rig_silent(r));
		CHECK_EQ(r->n_submitted, 0);
		rig_cmd_sn(r, sn, RIG_F | RIG_R, 0, 8, 4096, NULL, 0);
		expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
		RIG_UNTIL(r, r->n_submitted == 4);
		rig_unhold(r);
		CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_DATA_IN);
		CHECK_EQ(get_be32(pdu.raw + BHS_ITT), after);
		CHECK(rig_silent(r));
		r->cmdsn = sn + 3 + (uint32_t)numbered;
	}
	rig_end(r, 1);
}

/* The gap stays: rejected in time, and forgotten. */
static void
test_gap_stays(void)
{
	struct rig *r = rig_make(true);
	struct tmf t = { .function = ISCSI_TMF_LUN_RESET, .lun = 1 };
	uint32_t itt;

	r->th.tmf_patience = 0.1;
	rig_connect(r);
	t.cmdsn = r->cmdsn + 1;
	itt = send_tmf(r, &t);
	expect_tmf(r, itt, ISCSI_TMF_RSP_REJECTED);
	CHECK_EQ(r->n_submitted, 0);
	expect_free(r, itt);
	rig_end(r, 1);
}

/* One that the store does not let go. */
static struct rig *
hanging(uint32_t *victim)
{
	struct rig *r = rig_make(true);

	r->th.tmf_patience = 0.3;
	rig_connect(r);
	r->hold = true;
	*victim = rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 1);
	r->hang = true;
	return r;
}

/* E40: 255, and the initiator hears of the command's end. */
static void
test_abort_in_vain(void)
{
	uint32_t victim, itt;
	struct rig *r = hanging(&victim);

	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt, ISCSI_TMF_RSP_REJECTED);
	CHECK(rig_silent(r));
	r->hang = false;
	expect_status(r, victim, STATUS_CHECK_CONDITION);
	CHECK_EQ(pdu.data[2 + 2], ABORTED_COMMAND);
	CHECK_EQ(get_be16(pdu.data + 2 + 12), ASC_TIMEOUT_ON_LU);
	expect_free(r, victim);
	rig_end(r, 1);
}

/* It ends after all, as it would have: the true status. */
static void
test_kept(void)
{
	uint32_t victim, itt;
	struct rig *r = hanging(&victim);
	struct rig_lane *l = &r->lanes[0];
	uint16_t slot = 0;

	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt, ISCSI_TMF_RSP_REJECTED);
	while (!l->is_held[slot])
		slot++;
	l->is_held[slot] = false;
	rig_exec(r, l, &l->held[slot]);
	r->hang = false;
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_DATA_IN);
	CHECK_EQ(get_be32(pdu.raw + BHS_ITT), victim);
	expect_free(r, victim);
	rig_end(r, 1);
}

/* The first abort's time is up, the second's is not. */
static void
test_abort_twice(void)
{
	uint32_t victim, itt[3];
	struct rig *r = hanging(&victim);
	struct timespec start = { 0 };

	itt[0] = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	while (!rig_late(&start, 200))
		rig_pump(r);
	itt[1] = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	itt[2] = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt[0], ISCSI_TMF_RSP_REJECTED);
	r->hang = false;
	expect_tmf(r, itt[1], ISCSI_TMF_RSP_COMPLETE);
	expect_tmf(r, itt[2], ISCSI_TMF_RSP_COMPLETE);
	expect_free(r, victim);
	rig_end(r, 1);
}

/* Nobody serves the LUN: the portal speaks for it, once. */
static void
test_reset_in_vain(void)
{
	uint32_t victim, itt;
	struct rig *r = hanging(&victim);
	int i;

	for (i = 0; i < 2 * CMD_IMMEDIATE_MAX; i++) { /* and gives their places back */
		r->th.tmf_patience = 0.01;
		itt = rig_tmf(r, ISCSI_TMF_LUN_RESET, ISCSI_TAG_NONE);
		expect_tmf(r, itt, ISCSI_TMF_RSP_REJECTED);
	}
	expect_free(r, itt);
	rig_end(r, 1);
}

static void
test_no_lane(void)
{
	struct rig *r = rig_make(true);
	uint32_t itt;

	r->th.tmf_patience = 0.1;
	r->hold_open = true;
	rig_connect(r);
	itt = rig_tmf(r, ISCSI_TMF_CLEAR_TASK_SET, ISCSI_TAG_NONE);
	expect_tmf(r, itt, ISCSI_TMF_RSP_REJECTED);
	CHECK_EQ(r->n_open, 1);
	rig_answer_open(r, r->open_cookie[0]);
	expect_free(r, itt);
	rig_end(r, 1);
}

/* The connection goes while functions wait in every way. */
static void
test_drop(void)
{
	uint32_t victim;
	struct rig *r = hanging(&victim);
	struct tmf t = { .function = ISCSI_TMF_LUN_RESET, .lun = 1 };
	struct timespec start = { 0 };

	t.cmdsn = r->cmdsn + 9;
	rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	rig_tmf(r, ISCSI_TMF_LUN_RESET, ISCSI_TAG_NONE);
	send_tmf(r, &t);
	CHECK(rig_silent(r));
	close(r->fd);
	r->fd = -1;
	while (!rig_late(&start, 400)) /* beyond their time */
		rig_pump(r);
	CHECK_EQ(r->n_over, 0);
	r->hang = false;
	rig_end(r, 1);
}

int
main(void)
{
	TEST(test_functions);
	TEST(test_whose);
	TEST(test_gap);
	TEST(test_gap_stays);
	TEST(test_abort_in_vain);
	TEST(test_kept);
	TEST(test_abort_twice);
	TEST(test_reset_in_vain);
	TEST(test_no_lane);
	TEST(test_drop);
	return tap_done();
}
