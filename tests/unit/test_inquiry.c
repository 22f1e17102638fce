/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INQUIRY: standard data, every vital product data page, and what is refused.
 */
#include "scsid/inquiry.h"

#include <errno.h>

#include "tests/unit/scsi_case.h"
#include "tests/unit/tap.h"

static void
test_standard(void)
{
	static const uint8_t head[8] = { 0x00, 0x00, 0x06, 0x12, 91, 0, 0, 0x02 };
	struct scsi_case t;

	case_init(&t);
	CHECK_EQ(RUN(&t, 0x12, 0, 0, 0, 0xff), CMD_DONE);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
	CHECK_EQ(t.cmd.reply.len, 96);
	CHECK_MEM(t.reply, head, 8);
	CHECK_MEM(t.reply + 8, "TGT-NG  disk            0001", 28); /* SPC-4 4.3.1 */
	/* SPC-4 table 147: SAM-5, iSCSI, SPC-4, SBC-3 */
	CHECK_EQ(get_be64(t.reply + 58), 0x00a00960046004c0);
	for (size_t i = 66; i < 96; i++)
		CHECK_EQ(t.reply[i], 0);
}

/* SPC-4 4.3.5.6: the allocation length cuts, 0 is no error. */
static void
test_allocation_length(void)
{
	static const uint16_t alloc[] = { 0, 1, 5, 36, 95, 96, 255, 256, 0xffff };
	struct scsi_case t;

	case_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(alloc); i++) {
		RUN(&t, 0x12, 0, 0, alloc[i] >> 8, alloc[i] & 0xff);
		CHECK_EQ(t.cmd.status, STATUS_GOOD);
		CHECK_EQ(t.cmd.reply.len, MIN(alloc[i], 96));
		CHECK_EQ(t.cmd.reply_alloc, alloc[i]);
	}
	/* ADDITIONAL LENGTH is not adjusted to it (SPC-4 6.6.2). */
	RUN(&t, 0x12, 0, 0, 0, 5);
	CHECK_EQ(t.reply[4], 91);
}

static void
test_refused(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x12, 0, 0x80, 0, 0xff); /* SPC-4 6.6.1: PAGE CODE without EVPD */
	CHECK_EQ(case_sense(&t), BAD_FIELD);
	CHECK_EQ(get_be16(t.cmd.sense + 16), 2);
	RUN(&t, 0x12, 2, 0, 0, 0xff); /* CMDDT, obsolete */
	CHECK_EQ(case_sense(&t), BAD_FIELD);
	CHECK_EQ(t.cmd.sense[15], 0xc9);
	CHECK_EQ(get_be16(t.cmd.sense + 16), 1);
}

/* Page 00h lists exactly the pages that answer, in ascending order. */
static void
test_page_sweep(void)
{
	struct scsi_case t;
	uint8_t list[256];
	unsigned n, at = 0;

	case_init(&t);
	RUN(&t, 0x12, 1, 0, 0, 0xff);
	n = get_be16(t.reply + 2);
	CHECK_EQ(t.cmd.reply.len, 4 + n);
	memcpy(list, t.reply + 4, n);
	for (unsigned page = 0; page < 256; page++) {
		RUN(&t, 0x12, 1, page, 4, 0);
		if (at < n && list[at] == page) {
			at++;
			CHECK_EQ(t.cmd.status, STATUS_GOOD);
			CHECK_EQ(t.reply[0], 0);
			CHECK_EQ(t.reply[1], page);
			CHECK_EQ(t.cmd.reply.len, 4 + get_be16(t.reply + 2));
		} else {
			CHECK_EQ(case_sense(&t), BAD_FIELD);
		}
	}
	CHECK_EQ(at, n);
	CHECK_EQ(n, 6);
}

static void
test_serial(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x12, 1, 0x80, 0, 0xff);
	CHECK_EQ(get_be32(t.reply), 0x00800010);
	CHECK_MEM(t.reply + 4, "0123456789abcdef", 16);
	t.lu.serial[0] = '\0'; /* SPC-4 7.8.16: not available */
	RUN(&t, 0x12, 1, 0x80, 0, 0xff);
	CHECK_MEM(t.reply, "\0\x80\0\4    ", 8);
}

/* One designator of page 83h by association and type; NULL if absent.  Checks
 * on the way that the descriptors fill the page exactly. */
static const uint8_t *
find_designator(const struct scsi_case *t, unsigned assoc, unsigned type)
{
	const uint8_t *found = NULL;
	size_t at = 4, end = 4 + get_be16(t->reply + 2);

	while (at + 4 <= end) {
		const uint8_t *d = t->reply + at;

		if ((d[1] >> 4 & 3) == assoc && (d[1] & 0xf) == type && !found)
			found = d;
		at += 4u + d[3];
	}
	CHECK_EQ(at, end);
	return found;
}

/* SPC-4 7.8.6; byte strings as header and designator. */
static const struct {
	const char *what;
	unsigned assoc, type;
	const char *bytes;
	size_t len;
} designators[] = {
	{ "7.8.6.3 T10 vendor ID", 0, 1,
	  "\x02\x01\x00\x28TGT-NG  disk            0123456789abcdef", 44 },
	{ "7.8.6.6 NAA IEEE Registered Extended", 0, 3,
	  "\x01\x03\x00\x10\x60\x01\x40\x5d\xea\xdb\xee\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0", 20 },
	{ "7.8.6.10 SCSI name string", 0, 8,
	  "\x03\x08\x00\x28naa.6001405DEADBEEF0123456789ABCDEF0\0\0\0\0", 44 },
	{ "7.8.6.10 target port name", 1, 8,
	  "\x53\x98\x00\x28iqn.2024-01.org.example:disk,t,0x0001\0\0\0", 44 },
	{ "7.8.6.8 target port group", 1, 5, "\x51\x95\x00\x04\0\0\0\x01", 8 },
	{ "7.8.6.7 relative target port", 1, 4, "\x51\x94\x00\x04\0\0\0\x01", 8 },
	{ "7.8.6.10 target device name", 2, 8,
	  "\x53\xa8\x00\x20iqn.2024-01.org.example:disk\0\0\0\0", 36 },
};

static void
test_designators(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x12, 1, 0x83, 4, 0);
	for (size_t i = 0; i < ARRAY_SIZE(designators); i++) {
		const uint8_t *d = find_designator(&t, designators[i].assoc, designators[i].type);

		CHECK_MSG(d && !memcmp(d, designators[i].bytes, designators[i].len), "%s",
			  designators[i].what);
	}
}

/* The ends: the longest iSCSI name, names that no designator can hold, a LUN
 * without NAA, a port name without ",t,". */
static void
test_designator_ends(void)
{
	struct scsi_case t;

	case_init(&t);
	memset(t.nexus.target_port, 'x', 223);
	memcpy(t.nexus.target_port + 223, ",t,0xffff", 10);
	memset(t.lu.serial, 's', 36);
	RUN(&t, 0x12, 1, 0x83, 4, 0);
	CHECK(find_designator(&t, 1, 8) && find_designator(&t, 1, 8)[3] == 236);
	CHECK(find_designator(&t, 2, 8) && find_designator(&t, 2, 8)[3] == 224);
	CHECK_EQ(t.cmd.reply.len, 4 + 64 + 20 + 44 + 240 + 8 + 8 + 228);

	memset(t.nexus.target_port, 'x', 287);
	t.lu.naa = 0;
	RUN(&t, 0x12, 1, 0x83, 4, 0);
	CHECK(!find_designator(&t, 1, 8));
	CHECK(!find_designator(&t, 2, 8));
	CHECK(!find_designator(&t, 0, 3));
	CHECK(!find_designator(&t, 0, 8));
	CHECK(find_designator(&t, 0, 1));

	t.nexus.target_port[251] = '\0'; /* 251 + terminator = 252 */
	RUN(&t, 0x12, 1, 0x83, 4, 0);
	CHECK(find_designator(&t, 1, 8) && find_designator(&t, 1, 8)[3] == 252);
	t.nexus.target_port[0] = '\0';
	RUN(&t, 0x12, 1, 0x83, 4, 0);
	CHECK(!find_designator(&t, 1, 8));
}

/* SBC-3 6.6.3: MAXIMUM TRANSFER LENGTH in blocks; nothing that is not there. */
static void
test_block_limits(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x12, 1, 0xb0, 0, 0xff);
	CHECK_EQ(t.cmd.reply.len, 64);
	CHECK_EQ(get_be16(t.reply + 6), 8); /* 2^3 logical blocks */
	CHECK_EQ(get_be32(t.reply + 8), 2048); /* 1 MiB */
	CHECK_EQ(t.reply[4] | t.reply[5], 0); /* WSNZ, COMPARE AND WRITE */
	for (size_t i = 12; i < 64; i++)
		CHECK_EQ(t.reply[i], 0);
	t.lu.max_transfer = UINT64_MAX;
	t.lu.phys_exp = 0;
	RUN(&t, 0x12, 1, 0xb0, 0, 0xff);
	CHECK_EQ(get_be32(t.reply + 8), UINT32_MAX);
	CHECK_EQ(get_be16(t.reply + 6), 0);
	RUN(&t, 0x12, 1, 0xb1, 0, 0xff);
	CHECK_EQ(get_be32(t.reply), 0x00b1003c);
	RUN(&t, 0x12, 1, 0xb2, 0, 0xff);
	CHECK_EQ(get_be64(t.reply), 0x00b2000400000000);
}

/* SPC-4 6.6.2 table 141: 011b, 1Fh where there is no logical unit; vital
 * product data of it do not exist. */
static void
test_absent_lun(void)
{
	struct scsi_case t;

	case_init(&t);
	t.lu.inventory = true;
	RUN(&t, 0x12, 0, 0, 0, 0xff);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
	CHECK_EQ(t.reply[0], 0x7f);
	CHECK_EQ(t.cmd.reply.len, 96);
	CHECK_EQ(get_be64(t.reply + 58), 0x00a0096004600000);
	RUN(&t, 0x12, 1, 0, 0, 0xff);
	CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED));
}

int
main(void)
{
	TEST(test_standard);
	TEST(test_allocation_length);
	TEST(test_refused);
	TEST(test_page_sweep);
	TEST(test_serial);
	TEST(test_designators);
	TEST(test_designator_ends);
	TEST(test_block_limits);
	TEST(test_absent_lun);
	return tap_done();
}
