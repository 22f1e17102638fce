/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PDU headers against hand-made wire bytes, clause by clause of RFC 7143.
 */
#include "portal/pdu.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

static void
raw_init(uint8_t raw[48], uint8_t op, uint8_t flags, uint8_t ahs_words, uint32_t data_len,
	 uint32_t itt)
{
	memset(raw, 0, 48);
	raw[0] = op;
	raw[1] = flags;
	raw[4] = ahs_words;
	put_be24(raw + 5, data_len);
	put_be32(raw + 16, itt);
}

static void
test_bhs_rules(void)
{
	static const struct {
		const char *why;
		uint8_t op, ahs;
		uint32_t data, itt;
		int reason;
	} rows[] = {
		{ "11.18 NOP-Out with ping data", 0x40, 0, 7, 1, 0 },
		{ "11.18 NOP-Out without a tag", 0x40, 0, 0, 0xffffffff, 0 },
		{ "11.3 SCSI Command with AHS", 0x01, 255, 0xffffff, 1, 0 },
		{ "11.3 SCSI Command needs a tag", 0x01, 0, 0, 0xffffffff, 9 },
		{ "11.5 TMF has no data", 0x02, 0, 4, 1, 9 },
		{ "11.5 TMF has no AHS", 0x02, 1, 0, 1, 9 },
		{ "11.12 Login", 0x43, 0, 8192, 0, 0 },
		{ "11.12 Login has no AHS", 0x43, 1, 8192, 0, 9 },
		{ "11.10 Text", 0x04, 0, 10, 1, 0 },
		{ "11.10 Text needs a tag", 0x04, 0, 10, 0xffffffff, 9 },
		{ "11.7 Data-Out", 0x05, 0, 512, 1, 0 },
		{ "11.7 Data-Out has no AHS", 0x05, 2, 512, 1, 9 },
		{ "11.14 Logout", 0x46, 0, 0, 1, 0 },
		{ "11.14 Logout has no data", 0x46, 0, 1, 1, 9 },
		{ "11.16 SNACK of status has no tag", 0x10, 0, 0, 0xffffffff, 0 },
		{ "11.16 SNACK has no data", 0x10, 0, 1, 1, 9 },
		{ "11.2.1.2 target opcodes", 0x20, 0, 0, 1, 5 },
		{ "11.2.1.2 target opcodes", 0x21, 0, 0, 1, 5 },
		{ "11.2.1.2 target opcodes", 0x3f, 0, 0, 1, 5 },
		{ "11.2.1.2 unassigned", 0x07, 0, 0, 1, 5 },
		{ "11.2.1.2 vendor-specific", 0x1c, 0, 0, 1, 5 },
	};
	uint8_t raw[48];
	struct bhs b;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		raw_init(raw, rows[i].op, 0x80, rows[i].ahs, rows[i].data, rows[i].itt);
		int reason = bhs_parse(&b, raw);

		CHECK_MSG(reason == rows[i].reason, "%s: reason %d", rows[i].why, reason);
		/* Filled whatever the reason, to stay in step with the stream. */
		CHECK_EQ(b.data_len, rows[i].data);
		CHECK_EQ(bhs_rest(&b), rows[i].ahs * 4u + ((rows[i].data + 3) & ~3u));
		CHECK_EQ(b.immediate, (rows[i].op & 0x40) != 0);
	}
}

static int
parse_cmd(uint8_t raw[48], const uint8_t *ahs, struct pdu_scsi_cmd *c)
{
	static struct bhs b;
	int reason = bhs_parse(&b, raw);

	return reason ? reason : pdu_scsi_cmd(&b, ahs, c);
}

static void
test_scsi_cmd(void)
{
	uint8_t raw[48], cdb[64];
	struct pdu_scsi_cmd c;

	raw_init(raw, 0x01, 0xa1, 0, 512, 0x11223344);
	put_be64(raw + 8, 0x0001000000000000);
	put_be32(raw + 20, 4096);
	put_be32(raw + 24, 7);
	put_be32(raw + 28, 9);
	raw[32] = 0x2a;
	raw[47] = 0x55;
	CHECK_EQ(parse_cmd(raw, NULL, &c), 0);
	CHECK(c.final && c.write && !c.read);
	CHECK_EQ(c.attr, ISCSI_ATTR_SIMPLE);
	CHECK_EQ(c.lun, 0x0001000000000000);
	CHECK_EQ(c.itt, 0x11223344);
	CHECK_EQ(c.edtl, 4096);
	CHECK_EQ(c.cmd_sn, 7);
	CHECK_EQ(c.exp_stat_sn, 9);
	CHECK_EQ(pdu_cdb_copy(&c, cdb, sizeof(cdb)), 16);
	CHECK_EQ(cdb[0], 0x2a);
	CHECK_EQ(cdb[15], 0x55);
	CHECK_EQ(pdu_cdb_copy(&c, cdb, 15), 0);
}

static void
test_scsi_cmd_flags(void)
{
	static const struct {
		const char *why;
		uint8_t flags;
		uint32_t data, edtl;
		int reason;
	} rows[] = {
		{ "read", 0xc1, 0, 512, 0 },
		{ "no data", 0x81, 0, 0, 0 },
		{ "write, unsolicited follows", 0x21, 512, 1024, 0 },
		{ "11.3.1: W=0 with F=0 is an error", 0x41, 0, 512, 9 },
		{ "11.3.1: W=0 with F=0 is an error", 0x01, 0, 0, 9 },
		{ "immediate data without W", 0xc1, 4, 512, 9 },
		{ "immediate data beyond the expected length", 0xa1, 513, 512, 9 },
		{ "11.3.1: attribute 5 is reserved", 0x85, 0, 0, 9 },
		{ "11.3.1: attribute 7 is reserved", 0x87, 0, 0, 9 },
		{ "ACA", 0x84, 0, 0, 0 },
		{ "11.2.2.4: R and W want the AHS", 0xe1, 0, 512, 9 },
		{ "expected length FFFFFFFFh", 0xa1, 0, 0xffffffff, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t raw[48];
		struct pdu_scsi_cmd c;

		raw_init(raw, 0x01, rows[i].flags, 0, rows[i].data, 1);
		put_be32(raw + 20, rows[i].edtl);
		int reason = parse_cmd(raw, NULL, &c);

		CHECK_MSG(reason == rows[i].reason, "%s: reason %d", rows[i].why, reason);
	}
}

/* 11.2.2 */
static void
test_ahs(void)
{
	static const uint8_t xcdb[] = { 0, 5, 1, 0, 0xa1, 0xa2, 0xa3, 0xa4 };
	static const uint8_t bidi[] = { 0, 5, 2, 0, 0, 0, 0x10, 0 };
	static const uint8_t empty_xcdb[] = { 0, 1, 1, 0 };
	static const uint8_t unknown[] = { 0, 1, 3, 0 };
	static const uint8_t overrun[] = { 0, 6, 1, 0, 1, 2, 3, 4 };
	static const uint8_t huge[] = { 0xff, 0xff, 1, 0 };
	static const uint8_t bidi_short[] = { 0, 4, 2, 0, 0, 0, 0, 0 };
	uint8_t both[16], twice[16], raw[48], cdb[64];
	struct pdu_scsi_cmd c;

	memcpy(both, xcdb, 8);
	memcpy(both + 8, bidi, 8);
	memcpy(twice, xcdb, 8);
	memcpy(twice + 8, xcdb, 8);

	raw_init(raw, 0x01, 0x81, 2, 0, 1);
	CHECK_EQ(parse_cmd(raw, xcdb, &c), 0);
	CHECK_EQ(c.xcdb_len, 4);
	CHECK_EQ(pdu_cdb_copy(&c, cdb, sizeof(cdb)), 20);
	CHECK_MEM(cdb + 16, xcdb + 4, 4);
	CHECK_EQ(parse_cmd(raw, overrun, &c), 9);
	CHECK_EQ(parse_cmd(raw, bidi, &c), 9); /* not bidirectional */
	raw_init(raw, 0x01, 0xe1, 2, 0, 1);
	CHECK_EQ(parse_cmd(raw, bidi, &c), 0);
	CHECK_EQ(c.bidi_edtl, 4096);
	CHECK_EQ(parse_cmd(raw, bidi_short, &c), 9);
	raw_init(raw, 0x01, 0xe1, 4, 0, 1);
	CHECK_EQ(parse_cmd(raw, both, &c), 0);
	CHECK_EQ(c.bidi_edtl, 4096);
	CHECK_EQ(c.xcdb_len, 4);
	CHECK_EQ(parse_cmd(raw, twice, &c), 9);
	raw_init(raw, 0x01, 0x81, 1, 0, 1);
	CHECK_EQ(parse_cmd(raw, empty_xcdb, &c), 9);
	CHECK_EQ(parse_cmd(raw, unknown, &c), 9);
	CHECK_EQ(parse_cmd(raw, huge, &c), 9);
}

static void
test_other_requests(void)
{
	uint8_t raw[48];
	struct bhs b;
	struct pdu_data_out d;
	struct pdu_tmf_req t;
	struct pdu_nop_out n;
	struct pdu_text_req x;
	struct pdu_logout_req l;
	struct pdu_snack s;

	for (int i = 0; i < 48; i++)
		raw[i] = (uint8_t)i;
	raw[1] = 0x81;
	raw[4] = 0;
	b = (struct bhs){ .raw = raw, .flags = 0x81, .itt = 5, .lun = 6 };
	CHECK_EQ(pdu_data_out(&b, &d), 0);
	CHECK(d.final && d.itt == 5 && d.lun == 6 && d.ttt == 0x14151617 &&
	      d.exp_stat_sn == 0x1c1d1e1f && d.data_sn == 0x24252627 && d.offset == 0x28292a2b);
	CHECK_EQ(pdu_tmf_req(&b, &t), 0);
	CHECK(t.function == 1 && t.ref_itt == 0x14151617 && t.cmd_sn == 0x18191a1b &&
	      t.ref_cmd_sn == 0x20212223 && t.exp_data_sn == 0x24252627);
	CHECK_EQ(pdu_nop_out(&b, &n), 0);
	CHECK(n.ttt == 0x14151617 && n.cmd_sn == 0x18191a1b && n.exp_stat_sn == 0x1c1d1e1f);
	b.itt = 0xffffffff;
	CHECK_EQ(pdu_nop_out(&b, &n), ISCSI_REJECT_PROTOCOL_ERROR); /* 11.18: I must be 1 */
	b.immediate = true;
	CHECK_EQ(pdu_nop_out(&b, &n), 0);
	CHECK_EQ(pdu_text_req(&b, &x), 0);
	CHECK(x.final && !x.cont);
	b.flags = 0xc0;
	CHECK_EQ(pdu_text_req(&b, &x), ISCSI_REJECT_PROTOCOL_ERROR); /* 11.10.2 */
	b.flags = 0x82;
	CHECK_EQ(pdu_logout_req(&b, &l), 0);
	CHECK(l.reason == 2 && l.cid == 0x1415);
	CHECK_EQ(pdu_snack(&b, &s), 0);
	CHECK(s.type == 2 && s.ttt == 0x14151617 && s.beg_run == 0x28292a2b &&
	      s.run_length == 0x2c2d2e2f);
	b.flags = 0x84;
	CHECK_EQ(pdu_logout_req(&b, &l), ISCSI_REJECT_INVALID_FIELD);
	CHECK_EQ(pdu_snack(&b, &s), ISCSI_REJECT_INVALID_FIELD);
}

static void
test_login_req(void)
{
	uint8_t raw[48];
	struct bhs b;
	struct pdu_login_req l;

	raw_init(raw, 0x43, 0x87, 0, 0, 3);
	raw[2] = 1;
	memcpy(raw + 8, "\x40\x00\x01\x37\x00\x00\x12\x34", 8);
	put_be16(raw + 20, 0xabcd);
	CHECK_EQ(bhs_parse(&b, raw), 0);
	CHECK_EQ(pdu_login_req(&b, &l), 0);
	CHECK(l.transit && !l.cont && l.csg == 1 && l.nsg == 3);
	CHECK(l.version_max == 1 && l.version_min == 0);
	CHECK(l.tsih == 0x1234 && l.cid == 0xabcd && !memcmp(l.isid, "\x40\x00\x01\x37\0\0", 6));
}

static const struct pdu_sn sn = { .stat_sn = 0xa1, .exp_cmd_sn = 0xb2, .max_cmd_sn = 0xc3 };

/* What every target PDU has; @stat_sn: as it should be on the wire. */
static void
check_head(const uint8_t *raw, uint8_t op, uint8_t flags, uint32_t data_len, uint32_t itt,
	   uint32_t stat_sn)
{
	CHECK_EQ(raw[0], op);
	CHECK_EQ(raw[1], flags);
	CHECK_EQ(raw[4], 0);
	CHECK_EQ(get_be24(raw + 5), data_len);
	CHECK_EQ(get_be32(raw + 16), itt);
	CHECK_EQ(get_be32(raw + 24), stat_sn);
	CHECK_EQ(get_be32(raw + 28), 0xb2);
	CHECK_EQ(get_be32(raw + 32), 0xc3);
}

static void
test_build_scsi(void)
{
	uint8_t raw[48];

	memset(raw, 0xee, sizeof(raw));
	pdu_build_scsi_rsp(raw, &(struct pdu_scsi_rsp){
		.sn = sn, .itt = 1, .exp_data_sn = 2, .residual = 3, .bidi_residual = 4,
		.data_len = 20, .response = 0, .status = 2, .flags = ISCSI_RSP_UNDERFLOW });
	check_head(raw, 0x21, 0x82, 20, 1, 0xa1);
	CHECK(raw[2] == 0 && raw[3] == 2 && get_be64(raw + 8) == 0 && get_be32(raw + 20) == 0);
	CHECK(get_be32(raw + 36) == 2 && get_be32(raw + 40) == 4 && get_be32(raw + 44) == 3);

	struct pdu_data_in d = { .sn = sn, .itt = 1, .ttt = ISCSI_TAG_NONE, .data_sn = 5,
				 .offset = 0x1000, .residual = 9, .data_len = 512, .status = 8,
				 .flags = 0x80 };
	memset(raw, 0xee, sizeof(raw));
	pdu_build_data_in(raw, &d); /* 11.7.3: no status, no StatSN without S */
	check_head(raw, 0x25, 0x80, 512, 1, 0);
	CHECK(raw[2] == 0 && raw[3] == 0 && get_be32(raw + 20) == 0xffffffff);
	CHECK(get_be32(raw + 36) == 5 && get_be32(raw + 40) == 0x1000 && get_be32(raw + 44) == 0);
	d.flags = 0x83;
	pdu_build_data_in(raw, &d);
	check_head(raw, 0x25, 0x83, 512, 1, 0xa1);
	CHECK(raw[3] == 8 && get_be32(raw + 44) == 9);

	memset(raw, 0xee, sizeof(raw));
	pdu_build_r2t(raw, &(struct pdu_r2t){ .sn = sn, .lun = 0x1234, .itt = 1, .ttt = 2,
					      .r2t_sn = 3, .offset = 4, .length = 5 });
	check_head(raw, 0x31, 0x80, 0, 1, 0xa1);
	CHECK(get_be64(raw + 8) == 0x1234 && get_be32(raw + 20) == 2);
	CHECK(get_be32(raw + 36) == 3 && get_be32(raw + 40) == 4 && get_be32(raw + 44) == 5);

	memset(raw, 0xee, sizeof(raw));
	pdu_build_tmf_rsp(raw, &sn, 77, 5);
	check_head(raw, 0x22, 0x80, 0, 77, 0xa1);
	CHECK_EQ(raw[2], 5);
}

static void
test_build_rest(void)
{
	uint8_t raw[48];

	memset(raw, 0xee, sizeof(raw));
	pdu_build_nop_in(raw, &(struct pdu_nop_in){ .sn = sn, .lun = 1, .itt = ISCSI_TAG_NONE,
						    .ttt = 4, .data_len = 3 });
	check_head(raw, 0x20, 0x80, 3, 0xffffffff, 0xa1);
	CHECK(get_be64(raw + 8) == 1 && get_be32(raw + 20) == 4 && get_be64(raw + 40) == 0);

	memset(raw, 0xee, sizeof(raw));
	pdu_build_text_rsp(raw, &(struct pdu_text_rsp){ .sn = sn, .itt = 6, .ttt = 4,
							.data_len = 8192, .cont = true });
	check_head(raw, 0x24, 0x40, 8192, 6, 0xa1);
	CHECK_EQ(get_be32(raw + 20), 4);

	struct pdu_login_rsp l = { .sn = sn, .itt = 6, .tsih = 0x102, .status = 0x020a,
				   .isid = "\1\2\3\4\5\6", .csg = 1, .nsg = 3, .transit = true };
	memset(raw, 0xee, sizeof(raw));
	pdu_build_login_rsp(raw, &l);
	check_head(raw, 0x23, 0x87, 0, 6, 0xa1);
	CHECK(!memcmp(raw + 8, "\1\2\3\4\5\6\1\2", 8) && raw[36] == 2 && raw[37] == 10);
	CHECK(raw[2] == 0 && raw[3] == 0);
	l.transit = false;
	pdu_build_login_rsp(raw, &l);
	CHECK_EQ(raw[1], 0x04); /* 11.13.3: NSG is reserved without T */

	memset(raw, 0xee, sizeof(raw));
	pdu_build_logout_rsp(raw, &(struct pdu_logout_rsp){ .sn = sn, .itt = 6, .time2wait = 2,
							    .time2retain = 3, .response = 1 });
	check_head(raw, 0x26, 0x80, 0, 6, 0xa1);
	CHECK(raw[2] == 1 && get_be16(raw + 40) == 2 && get_be16(raw + 42) == 3);

	memset(raw, 0xee, sizeof(raw));
	pdu_build_reject(raw, &sn, ISCSI_REJECT_SNACK, 0x99);
	check_head(raw, 0x3f, 0x80, 48, 0xffffffff, 0xa1);
	CHECK(raw[2] == 3 && get_be32(raw + 36) == 0x99);

	memset(raw, 0xee, sizeof(raw));
	pdu_build_async(raw, &(struct pdu_async){ .sn = sn, .lun = 2, .data_len = 4, .param1 = 5,
						  .param2 = 6, .param3 = 7, .event = 1,
						  .vcode = 8 });
	check_head(raw, 0x32, 0x80, 4, 0xffffffff, 0xa1);
	CHECK(get_be64(raw + 8) == 2 && raw[36] == 1 && raw[37] == 8 && get_be16(raw + 38) == 5 &&
	      get_be16(raw + 40) == 6 && get_be16(raw + 42) == 7);
}

static void
test_serial(void)
{
	CHECK(iscsi_sn_lt(1, 2) && !iscsi_sn_lt(2, 1) && !iscsi_sn_lt(2, 2));
	CHECK(iscsi_sn_lt(0xffffffff, 0) && !iscsi_sn_lt(0, 0xffffffff)); /* RFC 1982 */
	CHECK_EQ(iscsi_pad(0), 0);
	CHECK_EQ(iscsi_pad(1), 3);
	CHECK_EQ(iscsi_pad(0xffffff), 1);
}

int
main(void)
{
	TEST(test_bhs_rules);
	TEST(test_scsi_cmd);
	TEST(test_scsi_cmd_flags);
	TEST(test_ahs);
	TEST(test_other_requests);
	TEST(test_login_req);
	TEST(test_build_scsi);
	TEST(test_build_rest);
	TEST(test_serial);
	return tap_done();
}
