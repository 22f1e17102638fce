/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session of the portal from its socket to its lane, and back.
 */
#include "tap.h"

#include <sched.h>

#include "portal_expect.h"

static uint8_t pattern[RIG_DISK];

static void
fill_pattern(void)
{
	uint32_t x = 1;
	size_t i;

	for (i = 0; i < sizeof(pattern); i++) {
		x = x * 1664525 + 1013904223;
		pattern[i] = (uint8_t)(x >> 24);
	}
}

/* Receives Data-In until status; checks order, lengths, F and S. */
static uint32_t
receive_data(struct rig *r, uint32_t itt, uint8_t *to, uint32_t max)
{
	uint32_t off = 0, datasn = 0;

	while (rig_recv(r, &pdu) && pdu.op == ISCSI_OP_DATA_IN) {
		CHECK_EQ(get_be32(pdu.raw + BHS_ITT), itt);
		CHECK_EQ(get_be32(pdu.raw + 36), datasn++);
		CHECK_EQ(get_be32(pdu.raw + 40), off);
		CHECK(pdu.len <= r->params.max_send_data && off + pdu.len <= max);
		memcpy(to + off, pdu.data, pdu.len);
		off += pdu.len;
		if (pdu.raw[1] & ISCSI_DATA_IN_STATUS) {
			CHECK(pdu.raw[1] & ISCSI_FLAG_FINAL);
			return off;
		}
		/* 11.7.1: F ends each burst. */
		CHECK_EQ(!!(pdu.raw[1] & ISCSI_FLAG_FINAL), off % r->params.max_burst == 0);
	}
	CHECK(!"status in the last Data-In");
	return off;
}

/* RFC 7143 11.4, 11.3: StatSN counts, the window moves. */
static void
test_no_data(void)
{
	struct rig *r = rig_session();
	uint32_t i, itt;

	for (i = 0; i < 200; i++) {
		itt = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
		expect_status(r, itt, STATUS_GOOD);
		CHECK_EQ(get_be32(pdu.raw + BHS_STAT_SN), 1 + i);
		CHECK_EQ(get_be32(pdu.raw + BHS_EXP_CMD_SN), r->cmdsn);
		CHECK_EQ(pdu.raw[1], ISCSI_FLAG_FINAL);
	}
	/* 4 MiB of pool: half of it is 32 first bursts of 64 KiB. */
	CHECK_EQ(get_be32(pdu.raw + BHS_MAX_CMD_SN) - r->cmdsn, 31);
	rig_end(r, 1);
}

/* Immediate data; read back in PDUs of 8 KiB, bursts of 64 KiB. */
static void
test_write_read(void)
{
	struct rig *r = rig_session();
	static uint8_t back[400 * RIG_BLOCK];
	uint32_t itt, i;

	for (i = 0; i < 4; i++) {
		itt = rig_cmd(r, RIG_F | RIG_W, 100 * i, 100, pattern + 51200 * i, 51200);
		expect_status(r, itt, STATUS_GOOD);
		CHECK_EQ(r->last_out_ready, 51200);
		CHECK_EQ(get_be32(pdu.raw + 44), 0);
	}
	CHECK_MEM(r->disk, pattern, sizeof(back));
	itt = rig_cmd(r, RIG_F | RIG_R, 0, 400, NULL, 0);
	CHECK_EQ(receive_data(r, itt, back, sizeof(back)), sizeof(back));
	CHECK_MEM(back, pattern, sizeof(back));
	rig_end(r, 1);
}

/* 11.4.5: less, and more, than expected. */
static void
test_residuals(void)
{
	struct rig *r = rig_session();
	static uint8_t back[8192];
	uint32_t itt;

	itt = rig_cmd_sn(r, r->cmdsn++, RIG_F | RIG_R, 0, 1, 4096, NULL, 0);
	CHECK_EQ(receive_data(r, itt, back, sizeof(back)), 512);
	CHECK(pdu.raw[1] & ISCSI_RSP_UNDERFLOW);
	CHECK_EQ(get_be32(pdu.raw + 44), 4096 - 512);
	itt = rig_cmd_sn(r, r->cmdsn++, RIG_F | RIG_R, 0, 4, 1000, NULL, 0);
	CHECK_EQ(receive_data(r, itt, back, sizeof(back)), 1000);
	CHECK(pdu.raw[1] & ISCSI_RSP_OVERFLOW);
	CHECK_EQ(get_be32(pdu.raw + 44), 2048 - 1000);
	rig_end(r, 1);
}

/* 13.14: unsolicited Data-Out up to FirstBurstLength, collected here. */
static void
test_unsolicited(void)
{
	struct rig *r = rig_session();
	uint32_t itt = rig_cmd(r, RIG_W, 8, 100, pattern, 8192);

	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 8192, pattern + 8192, 20000, false);
	CHECK(rig_silent(r));
	CHECK_EQ(r->n_submitted, 0);
	rig_data_out(r, itt, ISCSI_TAG_NONE, 1, 28192, pattern + 28192, 51200 - 28192, true);
	expect_status(r, itt, STATUS_GOOD);
	CHECK_EQ(r->last_out_ready, 51200);
	CHECK_MEM(r->disk + 8 * RIG_BLOCK, pattern, 51200);
	rig_end(r, 1);
}

/* Answers R2Ts for @total bytes of @itt until the SCSI Response has come; at
 * most @max of them are outstanding. */
static int
feed_r2ts(struct rig *r, uint32_t itt, uint32_t from, uint32_t total)
{
	uint32_t ttt[8], off[8], len[8], next = from;
	int n = 0, seen = 0;

	while (rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T) {
		CHECK_EQ(get_be32(pdu.raw + 36), seen);
		ttt[n] = get_be32(pdu.raw + BHS_TTT);
		off[n] = get_be32(pdu.raw + 40);
		len[n] = get_be32(pdu.raw + 44);
		CHECK_EQ(off[n], next);
		CHECK(len[n] <= r->params.max_burst);
		next += len[n++];
		seen++;
		CHECK(n <= (int)r->params.max_outstanding_r2t);
		/* Answered late: all that may be outstanding are. */
		if (n < (int)r->params.max_outstanding_r2t && next < total)
			continue;
		rig_data_out(r, itt, ttt[0], 0, off[0], pattern + off[0], len[0] / 2, false);
		rig_data_out(r, itt, ttt[0], 1, off[0] + len[0] / 2,
			     pattern + off[0] + len[0] / 2, len[0] - len[0] / 2, true);
		memmove(ttt, ttt + 1, sizeof(ttt) - sizeof(ttt[0]));
		memmove(off, off + 1, sizeof(off) - sizeof(off[0]));
		memmove(len, len + 1, sizeof(len) - sizeof(len[0]));
		n--;
		while (n && next >= total) {
			rig_data_out(r, itt, ttt[0], 0, off[0], pattern + off[0], len[0], true);
			memmove(ttt, ttt + 1, sizeof(ttt) - sizeof(ttt[0]));
			memmove(off, off + 1, sizeof(off) - sizeof(off[0]));
			memmove(len, len + 1, sizeof(len) - sizeof(len[0]));
			n--;
		}
	}
	return seen;
}

/* 11.8: a large write; its data moves after the logical unit asked for it. */
static void
test_r2t(void)
{
	struct rig *r = rig_session();
	uint32_t itt;

	itt = rig_cmd(r, RIG_F | RIG_W, 0, 1024, pattern, 60000);
	CHECK_EQ(feed_r2ts(r, itt, 60000, 524288), 8);
	CHECK_EQ(pdu.op, ISCSI_OP_SCSI_RSP);
	CHECK_EQ(pdu.raw[3], STATUS_GOOD);
	CHECK_EQ(get_be32(pdu.raw + 36), 8); /* ExpDataSN: R2Ts sent */
	CHECK_EQ(r->last_out_ready, 60000);
	CHECK_MEM(r->disk, pattern, 524288);
	/* Nothing unsolicited. */
	itt = rig_cmd(r, RIG_F | RIG_W, 0, 16, NULL, 0);
	CHECK_EQ(feed_r2ts(r, itt, 0, 8192), 1);
	CHECK_EQ(pdu.raw[3], STATUS_GOOD);
	rig_end(r, 1);
}

/* 11.4.2: no response while unsolicited data is on its way; then no R2T. */
static void
test_refused(void)
{
	struct rig *r = rig_session();
	uint32_t itt;

	r->refuse = true;
	itt = rig_cmd(r, RIG_W, 0, 1024, pattern, 4096);
	CHECK(rig_silent(r));
	CHECK_EQ(r->n_submitted, 1);
	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 4096, pattern, 61440, true);
	expect_status(r, itt, STATUS_CHECK_CONDITION);
	CHECK_EQ(pdu.len, 20);
	CHECK_EQ(get_be16(pdu.data), 18);
	CHECK_EQ(pdu.data[2], 0x70);
	CHECK(pdu.raw[1] & ISCSI_RSP_UNDERFLOW);
	CHECK_EQ(get_be32(pdu.raw + 44), 524288);
	rig_end(r, 1);
}

/* 4.2.2.1: below and above the window: silence; ahead: waits. */
static void
test_cmdsn(void)
{
	struct rig *r = rig_session();
	uint32_t sn = r->cmdsn, a, b, c;

	rig_cmd_sn(r, sn - 1, RIG_F, 0, 0, 0, NULL, 0);
	rig_cmd_sn(r, sn + CMDSN_WINDOW, RIG_F, 0, 0, 0, NULL, 0);
	CHECK(rig_silent(r));
	CHECK(!r->closed);
	c = rig_cmd_sn(r, sn + 2, RIG_F | RIG_W, 0, 8, 4096, pattern, 4096);
	b = rig_cmd_sn(r, sn + 1, RIG_F, 0, 0, 0, NULL, 0);
	CHECK(rig_silent(r));
	a = rig_cmd_sn(r, sn, RIG_F, 0, 0, 0, NULL, 0);
	expect_status(r, a, STATUS_GOOD);
	expect_status(r, b, STATUS_GOOD);
	expect_status(r, c, STATUS_GOOD);
	CHECK_MEM(r->disk, pattern, 4096);
	CHECK_EQ(get_be32(pdu.raw + BHS_EXP_CMD_SN), sn + 3);
	rig_end(r, 1);
}

/* 11.18, 11.19 */
static void
test_nop(void)
{
	struct rig *r = rig_session();
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FLAG_FINAL };

	put_be32(h + BHS_ITT, 0x1234);
	put_be32(h + BHS_TTT, ISCSI_TAG_NONE);
	put_be32(h + BHS_CMD_SN, r->cmdsn);
	rig_send_pdu(r, h, pattern, 1001);
	CHECK(rig_recv(r, &pdu));
	CHECK_EQ(pdu.op, ISCSI_OP_NOP_IN);
	CHECK_EQ(get_be32(pdu.raw + BHS_ITT), 0x1234);
	CHECK_EQ(pdu.len, 1001);
	CHECK_MEM(pdu.data, pattern, 1001);
	/* Numbered: the next command's CmdSN moves. */
	h[0] = ISCSI_OP_NOP_OUT;
	rig_send_pdu(r, h, NULL, 0);
	CHECK(rig_recv(r, &pdu));
	CHECK_EQ(get_be32(pdu.raw + BHS_EXP_CMD_SN), r->cmdsn + 1);
	/* An answer to a ping of ours. */
	h[0] = ISCSI_OP_NOP_OUT | ISCSI_IMMEDIATE;
	put_be32(h + BHS_ITT, ISCSI_TAG_NONE);
	put_be32(h + BHS_TTT, 5);
	rig_send_pdu(r, h, NULL, 0);
	CHECK(rig_silent(r));
	CHECK(!r->closed);
	rig_end(r, 1);
}

/* 11.5.1, 11.6.1 */
static void
test_abort_task(void)
{
	struct rig *r = rig_session();
	uint32_t victim, itt;

	r->hold = true;
	victim = rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 1);
	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE); /* and no status */
	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt, ISCSI_TMF_RSP_NO_TASK);
	/* Not submitted: its unsolicited data is missing. */
	victim = rig_cmd(r, RIG_W, 0, 8, pattern, 512);
	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
	rig_data_out(r, victim, ISCSI_TAG_NONE, 0, 512, pattern, 3584, true);
	/* With R2Ts outstanding. */
	victim = rig_cmd(r, RIG_F | RIG_W, 0, 1024, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
	itt = rig_tmf(r, ISCSI_TMF_ABORT_TASK, victim);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
	rig_data_out(r, victim, get_be32(pdu.raw + BHS_TTT), 0, 0, pattern, 65536, true);
	r->hold = false;
	itt = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	expect_status(r, itt, STATUS_GOOD);
	rig_end(r, 1);
}

static void
test_lun_reset(void)
{
	struct rig *r = rig_session();
	uint32_t itt;

	r->hold = true;
	rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	rig_cmd(r, RIG_W, 0, 8, pattern, 512); /* waits for data */
	RIG_UNTIL(r, r->n_submitted == 2);
	itt = rig_tmf(r, ISCSI_TMF_LUN_RESET, ISCSI_TAG_NONE);
	expect_tmf(r, itt, ISCSI_TMF_RSP_COMPLETE);
	CHECK(rig_silent(r)); /* no status for any of them */
	r->hold = false;
	itt = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	expect_status(r, itt, STATUS_GOOD);
	rig_end(r, 1);
}

/* The session is over only when its commands can have no later effect. */
static void
test_drop(void)
{
	struct rig *r = rig_session();
	int i;

	r->hold = true;
	for (i = 0; i < 10; i++)
		rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 10);
	CHECK_EQ(r->n_over, 0);
	close(r->fd);
	RIG_UNTIL(r, r->n_over == 1 && r->n_released == 1);
	rig_connect(r);
	CHECK_EQ(r->n_lanes, 1);
	r->hold = false;
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	rig_end(r, 2);
}

/* The pool is smaller than what is asked for: commands wait, none fails. */
static void
test_no_memory(void)
{
	struct rig *r = rig_new();
	static uint8_t back[262144];
	uint32_t itt[12];
	int i;

	r->pool_size = 1 << 20; /* four of these fit */
	rig_connect(r);
	memcpy(r->disk, pattern, sizeof(back));
	r->hold = true;
	for (i = 0; i < 12; i++)
		itt[i] = rig_cmd(r, RIG_F | RIG_R, 0, 512, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 4);
	CHECK(rig_silent(r));
	rig_unhold(r);
	for (i = 0; i < 12; i++) {
		CHECK_EQ(receive_data(r, itt[i], back, sizeof(back)), sizeof(back));
		CHECK_MEM(back, pattern, sizeof(back));
	}
	rig_end(r, 1);
}

/* Data that came unasked and finds no place: TASK SET FULL, not a stall. */
static void
test_task_set_full(void)
{
	struct rig *r = rig_new();
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FLAG_FINAL };
	int i, good = 0, full = 0, n = CMD_STAGE_MAX / 65536 + 10;

	n = MIN(n, CMDSN_WINDOW);
	r->params.first_burst = 131072;
	r->hold_open = true;
	rig_connect(r);
	for (i = 0; i < n; i++)
		rig_cmd(r, RIG_F | RIG_W, 0, 256, pattern, 131072);
	put_be32(h + BHS_ITT, 0x1234);
	put_be32(h + BHS_TTT, ISCSI_TAG_NONE);
	rig_send_pdu(r, h, NULL, 0);
	for (i = 0; rig_recv(r, &pdu) && pdu.op != ISCSI_OP_NOP_IN; i++)
		full += pdu.raw[3] == STATUS_TASK_SET_FULL;
	/* All have been received. */
	CHECK_EQ(r->n_open, 1);
	r->hold_open = false;
	rig_answer_open(r, r->open_cookie[0]);
	for (; i < n && rig_recv(r, &pdu); i++) {
		good += pdu.raw[3] == STATUS_GOOD;
		full += pdu.raw[3] == STATUS_TASK_SET_FULL;
	}
	CHECK_EQ(good, CMD_STAGE_MAX / 131072);
	CHECK_EQ(good + full, n);
	CHECK_MEM(r->disk, pattern, 131072);
	rig_end(r, 1);
}

/* A server that claims more than it was given: the lane freezes until the next
 * epoch, nobody else suffers. */
static void
test_violation(void)
{
	struct rig *r = rig_session();
	uint32_t itt;

	r->lie = true;
	itt = rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	expect_status(r, itt, STATUS_CHECK_CONDITION);
	CHECK_EQ(pdu.data[2 + 2], HARDWARE_ERROR);
	CHECK_EQ(get_be16(pdu.data + 2 + 12), ASC_INTERNAL_TARGET_FAILURE);
	RIG_UNTIL(r, r->n_violations == 1);
	r->lie = false;
	itt = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	CHECK(rig_silent(r));
	thread_epoch(&r->th, 1, 2);
	lane_srv_epoch(r->lanes[0].srv, 2);
	lane_srv_serve(r->lanes[0].srv);
	expect_status(r, itt, STATUS_GOOD);
	rig_end(r, 1);
}

/* Each ends its command with ABORTED COMMAND, no other (RFC 7143 7.9, 11.4.7.2). */
static void
test_data_errors(void)
{
	static const struct {
		const char *what;
		uint32_t datasn, off, len;
		bool solicited, final;
		uint16_t asc;
	} rows[] = {
		{ "DataSN (11.7.5)", 1, 0, 4096, true, false, ASC_DATA_PHASE_CRC },
		{ "Buffer Offset (13.18)", 0, 512, 4096, true, false, ASC_DATA_PHASE_CRC },
		{ "beyond the R2T (11.8.4)", 0, 0, 65540, true, true,
		  ASC_NOT_ENOUGH_UNSOLICITED_DATA },
		{ "F before the end (11.8)", 0, 0, 4096, true, true,
		  ASC_NOT_ENOUGH_UNSOLICITED_DATA },
		{ "not announced (13.14)", 0, 0, 4096, false, true,
		  ASC_UNEXPECTED_UNSOLICITED_DATA },
	};
	struct rig *r = rig_session();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t itt = rig_cmd(r, RIG_F | RIG_W, 0, 512, NULL, 0), ttt;

		CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
		ttt = get_be32(pdu.raw + BHS_TTT);
		CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
		rig_data_out(r, itt, rows[i].solicited ? ttt : ISCSI_TAG_NONE, rows[i].datasn,
			     rows[i].off, pattern, rows[i].len, rows[i].final);
		rig_data_out(r, itt, ttt, 5, 40960, pattern, 512, true); /* dropped */
		expect_status(r, itt, STATUS_CHECK_CONDITION);
		CHECK_MSG(pdu.data[2 + 2] == ABORTED_COMMAND &&
				  get_be16(pdu.data + 2 + 12) == rows[i].asc, "%s", rows[i].what);
	}
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	rig_end(r, 1);
}

/* Data that was not negotiated: 13.10, 13.11. */
static void
test_not_negotiated(void)
{
	struct rig *r = rig_new();
	uint32_t itt;

	r->params.immediate_data = false;
	r->params.initial_r2t = true;
	rig_connect(r);
	itt = rig_cmd(r, RIG_F | RIG_W, 0, 8, pattern, 4096);
	expect_status(r, itt, STATUS_CHECK_CONDITION);
	CHECK_EQ(get_be16(pdu.data + 2 + 12), ASC_UNEXPECTED_UNSOLICITED_DATA);
	itt = rig_cmd(r, RIG_W, 0, 8, NULL, 0);
	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 0, pattern, 4096, true);
	expect_status(r, itt, STATUS_CHECK_CONDITION);
	CHECK_EQ(get_be16(pdu.data + 2 + 12), ASC_UNEXPECTED_UNSOLICITED_DATA);
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	rig_end(r, 1);
}

/* A Reject, and life goes on. */
static void
test_rejects(void)
{
	struct rig *r = rig_session();
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_SNACK, ISCSI_FLAG_FINAL };
	uint32_t itt;

	put_be32(h + BHS_ITT, ISCSI_TAG_NONE);
	rig_send_pdu(r, h, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_REJECT);
	CHECK_EQ(pdu.raw[2], ISCSI_REJECT_SNACK);
	h[0] = 0x1c; /* vendor-specific */
	rig_send_pdu(r, h, pattern, 100);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_REJECT);
	r->hold = true;
	itt = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	r->itt--;
	rig_cmd_sn(r, r->cmdsn, RIG_F, 0, 0, 0, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_REJECT);
	CHECK_EQ(pdu.raw[2], ISCSI_REJECT_TASK_IN_PROGRESS);
	CHECK_EQ(get_be32(pdu.raw + BHS_EXP_CMD_SN), r->cmdsn); /* 11.17: not received */
	rig_unhold(r);
	expect_status(r, itt, STATUS_GOOD);
	/* Longer than what we said we receive: 13.12. */
	h[0] = ISCSI_OP_NOP_OUT | ISCSI_IMMEDIATE;
	put_be24(h + BHS_DATA_LEN, 262145);
	rig_send(r, h, sizeof(h));
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_REJECT);
	CHECK(!rig_recv(r, &pdu) && r->closed);
	rig_end(r, 1);
}

/* 4.3, appendix C */
static void
test_discovery(void)
{
	static const char text[] = "SendTargets=All";
	struct rig *r = rig_new();
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_TEXT_REQ, ISCSI_FLAG_FINAL };

	r->discovery = true;
	rig_connect(r);
	rig_cmd_sn(r, r->cmdsn, RIG_F, 0, 0, 0, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_REJECT);
	put_be32(h + BHS_ITT, 9);
	put_be32(h + BHS_TTT, ISCSI_TAG_NONE);
	put_be32(h + BHS_CMD_SN, r->cmdsn++);
	rig_send_pdu(r, h, text, sizeof(text));
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_TEXT_RSP);
	CHECK_STR((char *)pdu.data, "TargetName=iqn.2024-01.test:t");
	CHECK_STR((char *)pdu.data + 30, "TargetAddress=127.0.0.1:3260,1");
	memset(h, 0, sizeof(h));
	h[0] = ISCSI_OP_LOGOUT_REQ | ISCSI_IMMEDIATE;
	h[1] = ISCSI_FLAG_FINAL;
	put_be32(h + BHS_ITT, 10);
	put_be32(h + BHS_CMD_SN, r->cmdsn);
	rig_send_pdu(r, h, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_LOGOUT_RSP);
	CHECK_EQ(pdu.raw[2], ISCSI_LOGOUT_RSP_CLOSED);
	CHECK(!rig_recv(r, &pdu) && r->closed);
	rig_end(r, 1);
}

/* Reinstatement: commands wait until the older incarnation is over; NOPs not. */
static void
test_held_session(void)
{
	struct rig *r = rig_new();
	uint64_t id;

	r->held_session = true;
	rig_connect(r);
	rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	CHECK(rig_silent(r));
	CHECK_EQ(r->n_lanes, 0);
	for (id = 1; id < 100; id++)
		thread_go_session(&r->th, id, NULL, 0);
	expect_status(r, r->itt, STATUS_GOOD);
	rig_end(r, 1);
}

/* The LUN goes: its commands are told so, the lane comes back. */
static void
test_revoke(void)
{
	struct rig *r = rig_session();
	uint64_t lun = 0x0001000000000000;

	r->hold = true;
	rig_cmd(r, RIG_F | RIG_R, 0, 8, NULL, 0);
	RIG_UNTIL(r, r->n_submitted == 1);
	thread_invalidate(&r->th, "iqn.2024-01.test:t", &lun, 1);
	thread_revoke(&r->th, 1);
	expect_status(r, r->itt, STATUS_CHECK_CONDITION);
	CHECK_EQ(get_be16(pdu.data + 2 + 12), ASC_LU_NOT_SUPPORTED);
	RIG_UNTIL(r, r->n_released == 1);
	r->hold = false;
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
	CHECK_EQ(r->n_lanes, 2);
	rig_end(r, 1);
}

int
main(void)
{
	fill_pattern();
	TEST(test_no_data);
	TEST(test_write_read);
	TEST(test_residuals);
	TEST(test_unsolicited);
	TEST(test_r2t);
	TEST(test_refused);
	TEST(test_cmdsn);
	TEST(test_nop);
	TEST(test_abort_task);
	TEST(test_lun_reset);
	TEST(test_drop);
	TEST(test_no_memory);
	TEST(test_task_set_full);
	TEST(test_violation);
	TEST(test_data_errors);
	TEST(test_not_negotiated);
	TEST(test_rejects);
	TEST(test_discovery);
	TEST(test_held_session);
	TEST(test_revoke);
	return tap_done();
}
