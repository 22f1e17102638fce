/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Header and data digests of a session in the full feature phase (RFC 7143 7.8,
 * 11.2.3, 13.1).  The rig checks every digest that comes.
 */
#include "portal_expect.h"
#include "portal/tcp.h"

static uint8_t pattern[262144];

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

static struct rig *
session_with(bool header, bool data, bool inline_thread)
{
	struct rig *r = rig_make(inline_thread);

	r->params.header_digest = header ? ISCSI_DIGEST_CRC32C : ISCSI_DIGEST_NONE;
	r->params.data_digest = data ? ISCSI_DIGEST_CRC32C : ISCSI_DIGEST_NONE;
	rig_connect(r);
	return r;
}

static int
conn_fd(struct rig *r)
{
	struct session *s = list_first(&r->th.sessions, struct session, link);

	return container_of(s->conn, struct tcp_conn, base)->fd;
}

static const struct session_stats *
stats(struct rig *r)
{
	return &list_first(&r->th.sessions, struct session, link)->stats;
}

/* The sense of 11.4.7.2: PROTOCOL SERVICE CRC ERROR. */
static void
expect_crc_sense(struct rig *r, uint32_t itt)
{
	expect_status(r, itt, STATUS_CHECK_CONDITION);
	CHECK_EQ(pdu.data[2 + 2], ABORTED_COMMAND);
	CHECK_EQ(get_be16(pdu.data + 2 + 12), 0x4705);
}

/* Of the data segment; the rejected header comes back (11.17.2). */
static void
expect_reject(struct rig *r, uint8_t op)
{
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_REJECT);
	CHECK_EQ(pdu.raw[2], ISCSI_REJECT_DATA_DIGEST);
	CHECK_EQ(pdu.len, ISCSI_BHS_LEN);
	CHECK_EQ(pdu.data[0] & ISCSI_OP_MASK, op);
}

static void
expect_alive(struct rig *r)
{
	expect_status(r, rig_cmd(r, RIG_F, 0, 0, NULL, 0), STATUS_GOOD);
}

static void
send_nop(struct rig *r, bool immediate, uint32_t len)
{
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_NOP_OUT, ISCSI_FLAG_FINAL };

	h[0] |= immediate ? ISCSI_IMMEDIATE : 0;
	put_be32(h + BHS_ITT, ++r->itt);
	put_be32(h + BHS_TTT, ISCSI_TAG_NONE);
	put_be32(h + BHS_CMD_SN, r->cmdsn);
	rig_send_pdu(r, h, pattern, len);
}

static void
send_text(struct rig *r)
{
	static const char text[] = "SendTargets=";
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_TEXT_REQ | ISCSI_IMMEDIATE, ISCSI_FLAG_FINAL };

	put_be32(h + BHS_ITT, ++r->itt);
	put_be32(h + BHS_TTT, ISCSI_TAG_NONE);
	put_be32(h + BHS_CMD_SN, r->cmdsn);
	rig_send_pdu(r, h, text, sizeof(text));
}

static void
logout(struct rig *r)
{
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_LOGOUT_REQ | ISCSI_IMMEDIATE, ISCSI_FLAG_FINAL };

	put_be32(h + BHS_ITT, ++r->itt);
	put_be32(h + BHS_CMD_SN, r->cmdsn);
	rig_send_pdu(r, h, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_LOGOUT_RSP);
	CHECK(!rig_recv(r, &pdu) && r->closed);
}

static void
read_back(struct rig *r, uint16_t blocks)
{
	uint32_t off = 0;

	rig_cmd(r, RIG_F | RIG_R, 0, blocks, NULL, 0);
	do {
		if (!rig_recv(r, &pdu) || pdu.op != ISCSI_OP_DATA_IN)
			break;
		CHECK_MEM(pdu.data, pattern + off, pdu.len);
		off += pdu.len;
	} while (!(pdu.raw[1] & ISCSI_DATA_IN_STATUS));
	CHECK_EQ(off, blocks * (uint32_t)RIG_BLOCK);
}

static void
write_by_r2t(struct rig *r, uint16_t blocks)
{
	uint32_t itt = rig_cmd(r, RIG_F | RIG_W, 0, blocks, NULL, 0);

	while (rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T) {
		uint32_t off = get_be32(pdu.raw + 40), len = get_be32(pdu.raw + 44);

		rig_data_out(r, itt, get_be32(pdu.raw + BHS_TTT), 0, off, pattern + off, len,
			     true);
	}
	CHECK_EQ(pdu.op, ISCSI_OP_SCSI_RSP);
	CHECK_EQ(pdu.raw[3], STATUS_GOOD);
}

/* Every kind of PDU both ways, in all four combinations, all paddings. */
static void
test_combinations(void)
{
	int i;
	uint32_t len;

	for (i = 0; i < 4; i++) {
		struct rig *r = session_with(i & 1, i & 2, false);
		uint32_t itt = rig_cmd(r, RIG_F | RIG_W, 0, 100, pattern, 51200);

		expect_status(r, itt, STATUS_GOOD);
		itt = rig_cmd(r, RIG_W, 100, 20, pattern + 51200, 1024);
		rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 1024, pattern + 52224, 1021, false);
		rig_data_out(r, itt, ISCSI_TAG_NONE, 1, 2045, pattern + 53245, 8195, true);
		expect_status(r, itt, STATUS_GOOD);
		CHECK_MEM(r->disk, pattern, 61440);
		write_by_r2t(r, 512); /* Data-Out of 64 KiB: straight into the pool */
		CHECK_MEM(r->disk, pattern, 262144);
		read_back(r, 512);
		for (len = 0; len < 9; len++) {
			send_nop(r, true, len);
			CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_NOP_IN);
			CHECK_EQ(pdu.len, len);
			CHECK_MEM(pdu.data, pattern, len);
		}
		send_text(r);
		CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_TEXT_RSP);
		rig_tmf(r, ISCSI_TMF_ABORT_TASK, 1);
		CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_TMF_RSP);
		r->refuse = true;
		itt = rig_cmd(r, RIG_F, 0, 0, NULL, 0);
		expect_status(r, itt, STATUS_CHECK_CONDITION);
		CHECK_EQ(pdu.len, 20); /* sense */
		rig_cmd_sn(r, r->cmdsn, RIG_F, 0, 0, 4, NULL, 0);
		CHECK(rig_recv(r, &pdu));
		logout(r);
		rig_end(r, 1);
	}
}

/* A header with AHS: the digest is of both, and behind both. */
static void
test_ahs(void)
{
	struct rig *r = session_with(true, true, false);
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_SCSI_CMD, RIG_F | ISCSI_ATTR_SIMPLE };
	static const uint8_t cdb[8] = { 0, 5, ISCSI_AHS_EXTENDED_CDB };

	memcpy(r->ahs, cdb, sizeof(cdb));
	r->ahs_len = sizeof(cdb);
	h[BHS_AHS_WORDS] = 2;
	h[9] = 1;
	put_be32(h + BHS_ITT, ++r->itt);
	put_be32(h + BHS_CMD_SN, r->cmdsn++);
	rig_send_pdu(r, h, NULL, 0);
	expect_status(r, r->itt, STATUS_GOOD);
	r->ahs_len = 0;
	expect_alive(r);
	rig_end(r, 1);
}

/* One byte more in the first piece each time: no boundary matters. */
static void
test_cut_anywhere(void)
{
	struct rig *r = session_with(true, true, true);
	int both[2], end = r->fd, cut;
	uint8_t stream[1024];
	ssize_t n;

	rig_pump(r);
	assert(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both));
	for (cut = 1, n = 2; cut < n; cut++) {
		/* What goes over the wire is caught first: a write, and a NOP. */
		uint32_t itt;

		r->fd = both[0];
		itt = rig_cmd(r, RIG_F | RIG_W, 0, 1, pattern + cut, 512);
		send_nop(r, true, 5);
		r->fd = end;
		n = recv(both[1], stream, sizeof(stream), 0);
		CHECK_EQ(n, 2 * (48 + 4) + 512 + 4 + 8 + 4);
		rig_send(r, stream, (size_t)cut);
		rig_pump(r);
		rig_pump(r);
		rig_send(r, stream + cut, (size_t)(n - cut));
		CHECK(rig_recv(r, &pdu));
		if (pdu.op == ISCSI_OP_NOP_IN)
			expect_status(r, itt, STATUS_GOOD);
		else
			CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_NOP_IN);
		CHECK_MEM(r->disk, pattern + cut, 512);
	}
	close(both[0]);
	close(both[1]);
	rig_end(r, 1);
}

/* What sends little at a time gets the same bytes: the rig checks the digests. */
static void
test_slow_reader(void)
{
	struct rig *r = session_with(true, true, true);
	int small = 4608, i;
	uint32_t got = 0;

	r->params.max_send_data = 8191; /* padded */
	close(r->fd);
	rig_pump(r);
	rig_connect(r);
	memcpy(r->disk, pattern, sizeof(pattern));
	rig_pump(r);
	for (i = 0; i < 2; i++)
		setsockopt(i ? conn_fd(r) : r->fd, SOL_SOCKET, i ? SO_SNDBUF : SO_RCVBUF, &small,
			   sizeof(small));
	for (i = 0; i < 4; i++)
		rig_cmd(r, RIG_F | RIG_R, 0, 512, NULL, 0);
	for (i = 0; i < 4 && rig_recv(r, &pdu);) {
		CHECK_EQ(pdu.op, ISCSI_OP_DATA_IN);
		CHECK_MEM(pdu.data, pattern + get_be32(pdu.raw + 40), pdu.len);
		got += pdu.len;
		i += !!(pdu.raw[1] & ISCSI_DATA_IN_STATUS);
	}
	CHECK_EQ(got, 4 * 262144);
	rig_end(r, 2);
}

/* 7.8: the length may be wrong, so that nothing after it can be trusted. */
static void
test_header_digest_error(void)
{
	struct rig *r = session_with(true, false, true);
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FLAG_FINAL };

	expect_alive(r);
	r->spoil_header = true;
	rig_cmd(r, RIG_F | RIG_W, 0, 1, pattern, 512);
	CHECK(!rig_recv(r, &pdu) && r->closed);
	close(r->fd);
	RIG_UNTIL(r, r->n_over == 1);
	CHECK(r->disk[0] == 0 && r->disk[1] == 0);
	/* A length that would be rejected is not believed before the digest is. */
	rig_connect(r);
	put_be24(h + BHS_DATA_LEN, 0xffffff);
	put_be32(h + BHS_ITT, 77);
	rig_send(r, h, sizeof(h));
	rig_send(r, "\0\0\0\0", 4);
	CHECK(!rig_recv(r, &pdu) && r->closed);
	rig_end(r, 2);
}

/* 7.3: a command whose immediate data is damaged was never received: no
 * response; sent again with the same CmdSN and tag it runs. */
static void
test_immediate_data_error(void)
{
	struct rig *r = session_with(true, true, true);
	uint32_t itt;

	expect_alive(r);
	r->spoil_data = true;
	itt = rig_cmd(r, RIG_F | RIG_W, 0, 8, pattern, 4096);
	expect_reject(r, ISCSI_OP_SCSI_CMD);
	CHECK_EQ(get_be32(pdu.raw + BHS_EXP_CMD_SN), r->cmdsn - 1);
	CHECK_EQ(stats(r)->data_digest_errors, 1);
	CHECK_EQ(stats(r)->rejects, 1);
	CHECK_EQ(stats(r)->commands, 1);
	/* What comes behind it waits: the gap. */
	rig_cmd(r, RIG_F, 0, 0, NULL, 0);
	CHECK(rig_silent(r));
	r->itt = itt - 1;
	rig_cmd_sn(r, r->cmdsn - 2, RIG_F | RIG_W, 0, 8, 4096, pattern, 4096);
	expect_status(r, itt, STATUS_GOOD);
	expect_status(r, itt + 1, STATUS_GOOD);
	r->itt = itt + 1;
	CHECK_MEM(r->disk, pattern, 4096);
	/* Out of its turn: the same. */
	r->spoil_data = true;
	itt = rig_cmd_sn(r, r->cmdsn + 1, RIG_F | RIG_W, 8, 8, 4096, pattern, 4096);
	expect_reject(r, ISCSI_OP_SCSI_CMD);
	r->itt = itt - 1;
	rig_cmd_sn(r, r->cmdsn + 1, RIG_F | RIG_W, 8, 8, 4096, pattern, 4096);
	rig_cmd_sn(r, r->cmdsn, RIG_F, 0, 0, 0, NULL, 0);
	CHECK(rig_recv(r, &pdu) && rig_recv(r, &pdu));
	CHECK_MEM(r->disk + 4096, pattern, 4096);
	rig_end(r, 1);
}

/* 7.8 b: a Reject, then CHECK CONDITION, when all data on its way has come. */
static void
test_data_out_error(void)
{
	struct rig *r = session_with(true, true, true);
	uint32_t itt, ttt[2];

	/* Unsolicited, the first of two. */
	itt = rig_cmd(r, RIG_W, 0, 16, NULL, 0);
	r->spoil_data = true;
	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 0, pattern, 4096, false);
	expect_reject(r, ISCSI_OP_DATA_OUT);
	CHECK(rig_silent(r));
	rig_data_out(r, itt, ISCSI_TAG_NONE, 1, 4096, pattern + 4096, 4096, true);
	expect_crc_sense(r, itt);
	/* The last of two. */
	itt = rig_cmd(r, RIG_W, 0, 16, pattern, 4096);
	r->spoil_data = true;
	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 4096, pattern + 4096, 4096, true);
	expect_reject(r, ISCSI_OP_DATA_OUT);
	expect_crc_sense(r, itt);
	/* Two R2Ts are out, a PDU of the first is damaged. */
	itt = rig_cmd(r, RIG_F | RIG_W, 0, 512, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
	ttt[0] = get_be32(pdu.raw + BHS_TTT);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
	ttt[1] = get_be32(pdu.raw + BHS_TTT);
	rig_data_out(r, itt, ttt[0], 0, 0, pattern, 4096, false);
	r->spoil_data = true;
	rig_data_out(r, itt, ttt[0], 1, 4096, pattern + 4096, 65536 - 4096, true);
	expect_reject(r, ISCSI_OP_DATA_OUT);
	CHECK(rig_silent(r)); /* and no third R2T */
	rig_data_out(r, itt, ttt[1], 0, 65536, pattern + 65536, 65536, true);
	expect_crc_sense(r, itt);
	CHECK_EQ(stats(r)->data_digest_errors, 3);
	CHECK(r->disk[0] == 0 && r->disk[4096] == 0 && r->disk[4097] == 0);
	/* Of a command that waits for its turn. */
	itt = rig_cmd_sn(r, r->cmdsn + 1, RIG_W, 0, 8, 4096, NULL, 0);
	r->spoil_data = true;
	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 0, pattern, 4096, true);
	expect_reject(r, ISCSI_OP_DATA_OUT);
	CHECK(rig_silent(r));
	rig_cmd_sn(r, r->cmdsn, RIG_F, 0, 0, 0, NULL, 0);
	expect_crc_sense(r, itt); /* overtakes: the other has to go to the LUN */
	expect_status(r, itt + 1, STATUS_GOOD);
	r->cmdsn += 2;
	/* Of none. */
	r->spoil_data = true;
	rig_data_out(r, 0xabcdef, 7, 0, 0, pattern, 4096, true);
	expect_reject(r, ISCSI_OP_DATA_OUT);
	write_by_r2t(r, 512);
	CHECK_MEM(r->disk, pattern, 262144);
	rig_end(r, 1);
}

/* An abort during the wait concludes the task (7.8 b). */
static void
test_data_error_aborted(void)
{
	struct rig *r = session_with(false, true, true);
	uint32_t itt = rig_cmd(r, RIG_W, 0, 16, NULL, 0);

	r->spoil_data = true;
	rig_data_out(r, itt, ISCSI_TAG_NONE, 0, 0, pattern, 4096, false);
	expect_reject(r, ISCSI_OP_DATA_OUT);
	rig_tmf(r, ISCSI_TMF_ABORT_TASK, itt);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_TMF_RSP);
	CHECK_EQ(pdu.raw[2], ISCSI_TMF_RSP_COMPLETE);
	/* Damaged after the abort of a submitted command. */
	itt = rig_cmd(r, RIG_F | RIG_W, 0, 64, NULL, 0);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_R2T);
	rig_tmf(r, ISCSI_TMF_ABORT_TASK, itt);
	r->spoil_data = true;
	rig_data_out(r, itt, get_be32(pdu.raw + BHS_TTT), 0, 0, pattern, 32768, true);
	CHECK(rig_recv(r, &pdu) && rig_recv(r, &pdu));
	expect_alive(r);
	rig_end(r, 1);
}

/* NOP-Out and Text: discarded, the CmdSN still expected; and once is enough for
 * what has been rejected for its header already. */
static void
test_other_data_error(void)
{
	struct rig *r = session_with(true, true, true);
	uint8_t h[ISCSI_BHS_LEN] = { 0x1c, ISCSI_FLAG_FINAL };

	r->spoil_data = true;
	send_nop(r, false, 10);
	expect_reject(r, ISCSI_OP_NOP_OUT);
	CHECK_EQ(get_be32(pdu.raw + BHS_EXP_CMD_SN), r->cmdsn);
	send_nop(r, false, 10);
	r->cmdsn++;
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_NOP_IN);
	r->spoil_data = true;
	send_text(r);
	expect_reject(r, ISCSI_OP_TEXT_REQ);
	r->spoil_data = true;
	rig_send_pdu(r, h, pattern, 100);
	CHECK(rig_recv(r, &pdu) && pdu.op == ISCSI_OP_REJECT);
	CHECK_EQ(pdu.raw[2], ISCSI_REJECT_NOT_SUPPORTED);
	expect_alive(r);
	CHECK_EQ(stats(r)->data_digest_errors, 3);
	CHECK_EQ(stats(r)->rejects, 3);
	CHECK_EQ(stats(r)->pdus_in, 5);
	CHECK_EQ(stats(r)->pdus_out, 5);
	rig_end(r, 1);
}

int
main(void)
{
	fill_pattern();
	TEST(test_combinations);
	TEST(test_ahs);
	TEST(test_cut_anywhere);
	TEST(test_slow_reader);
	TEST(test_header_digest_error);
	TEST(test_immediate_data_error);
	TEST(test_data_out_error);
	TEST(test_data_error_aborted);
	TEST(test_other_data_error);
	return tap_done();
}
