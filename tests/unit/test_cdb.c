/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The validator and the rules around every command: what is refused and where
 * the field pointer points, absent LUNs, unit attentions, read-only, errno.
 */
#include "scsid/cmd.h"

#include <errno.h>

#include "scsid/optab.h"
#include "tests/unit/scsi_case.h"
#include "tests/unit/tap.h"

#define WITH_BIT(bit) (0xc8 | (bit)) /* SKSV, C/D, BPV */
#define NO_BIT 0xc0

static const struct {
	const char *what;
	uint8_t cdb[16];
	uint32_t sense;
	uint8_t sks, byte; /* field pointer */
} refused[] = {
	{ "SPC-4 4.5.6: no such operation code", { 0x01 },
	  SENSE(ILLEGAL_REQUEST, ASC_INVALID_OPCODE), NO_BIT, 0 },
	{ "UNMAP is not there yet", { 0x42 },
	  SENSE(ILLEGAL_REQUEST, ASC_INVALID_OPCODE), NO_BIT, 0 },
	{ "variable length CDB", { 0x7f }, SENSE(ILLEGAL_REQUEST, ASC_INVALID_OPCODE), NO_BIT, 0 },
	{ "SPC-4 4.2.5.2: no such service action", { 0x9e, 0x12 }, BAD_FIELD, WITH_BIT(4), 1 },
	{ "SPC-4 4.2.5.2: service action 0", { 0xa3, 0x00 }, BAD_FIELD, WITH_BIT(4), 1 },
	{ "SAM-5 5.2: NACA", { 0x00, 0, 0, 0, 0, 0x04 }, BAD_FIELD, WITH_BIT(2), 5 },
	{ "SAM-5 5.2: NACA in 16 bytes", { 0x88, [15] = 0x04 }, BAD_FIELD, WITH_BIT(2), 15 },
	{ "reserved byte", { 0x00, 0, 0x40 }, BAD_FIELD, WITH_BIT(6), 2 },
	{ "the left-most bad bit", { 0x00, 0, 0x41 }, BAD_FIELD, WITH_BIT(6), 2 },
	{ "the first bad byte", { 0x00, 0, 0x01, 0xff }, BAD_FIELD, WITH_BIT(0), 2 },
	{ "SBC-3 5.11 RDPROTECT 001b", { 0x28, 0x20, [8] = 1 }, BAD_FIELD, WITH_BIT(7), 1 },
	{ "SBC-3 5.30 WRPROTECT 101b", { 0x2a, 0xa0, [8] = 1 }, BAD_FIELD, WITH_BIT(7), 1 },
	{ "SBC-3 5.12 RDPROTECT 010b", { 0xa8, 0x40, [9] = 1 }, BAD_FIELD, WITH_BIT(7), 1 },
	{ "SBC-3 5.13 RDPROTECT 011b", { 0x88, 0x60, [13] = 1 }, BAD_FIELD, WITH_BIT(7), 1 },
	{ "SBC-3 5.32 WRPROTECT 111b", { 0x8a, 0xe0, [13] = 1 }, BAD_FIELD, WITH_BIT(7), 1 },
	{ "RARC", { 0x28, 0x04, [8] = 1 }, BAD_FIELD, WITH_BIT(2), 1 },
	{ "GROUP NUMBER", { 0x28, [6] = 0x11, [8] = 1 }, BAD_FIELD, WITH_BIT(4), 6 },
	{ "reserved beside a service action", { 0x9e, 0x50 }, BAD_FIELD, WITH_BIT(6), 1 },
	{ "READ(6): three bits above the LBA", { 0x08, 0x20, 0, 0, 1 }, BAD_FIELD, WITH_BIT(5), 1 },
	{ "SPC-4 6.33 SELECT REPORT 03h", { 0xa0, 0, 3 }, BAD_FIELD, WITH_BIT(7), 2 },
	{ "SPC-4 6.33 SELECT REPORT 10h", { 0xa0, 0, 0x10 }, BAD_FIELD, WITH_BIT(7), 2 },
};

static void
test_refused(void)
{
	struct scsi_case t;

	case_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		CHECK_EQ(case_run(&t, refused[i].cdb, 16), CMD_DONE);
		CHECK_MSG(case_sense(&t) == refused[i].sense, "%s: sense %06x", refused[i].what,
			  case_sense(&t));
		CHECK_MSG(t.cmd.sense[15] == refused[i].sks &&
				  get_be16(t.cmd.sense + 16) == refused[i].byte,
			  "%s: field pointer %02x %u", refused[i].what, t.cmd.sense[15],
			  get_be16(t.cmd.sense + 16));
		CHECK_EQ(t.cmd.reply.len, 0);
	}
}

/* A CDB that ends before its operation code says; bytes behind the end of a
 * shorter one are padding of the transport. */
static void
test_cdb_length(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x28);
	for (unsigned len = 0; len < 10; len++) {
		t.cmd.cdb_len = (uint16_t)len;
		CHECK_EQ(cmd_dispatch(&t.cmd), CMD_DONE);
		if (!len) {
			CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_INVALID_OPCODE));
			continue;
		}
		CHECK_EQ(case_sense(&t), BAD_FIELD);
		CHECK_EQ(get_be16(t.cmd.sense + 16), len);
	}
	RUN(&t, 0x00, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
}

/* SPC-4 6.39: descriptor and fixed format, allocation length. */
static void
test_request_sense(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x03, 0, 0, 0, 252);
	CHECK_EQ(t.cmd.reply.len, 18);
	CHECK_EQ(t.reply[0], 0x70);
	CHECK_EQ(t.reply[2], NO_SENSE);
	RUN(&t, 0x03, 1, 0, 0, 252);
	CHECK_EQ(t.cmd.reply.len, 8);
	CHECK_EQ(t.reply[0], 0x72);
	RUN(&t, 0x03, 0, 0, 0, 4);
	CHECK_EQ(t.cmd.reply.len, 4);
	/* SAM-5 5.14.4: a pending unit attention as data, once */
	nexus_ua(&t.nexus, ASC_POWER_ON_OR_RESET);
	nexus_ua(&t.nexus, ASC_CAPACITY_CHANGED);
	RUN(&t, 0x03, 0, 0, 0, 252);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
	CHECK_EQ(t.reply[2], UNIT_ATTENTION);
	CHECK_EQ(get_be16(t.reply + 12), ASC_POWER_ON_OR_RESET);
	RUN(&t, 0x03, 1, 0, 0, 252);
	CHECK_EQ(get_be32(t.reply), 0x72062a09);
	RUN(&t, 0x03, 0, 0, 0, 252);
	CHECK_EQ(t.reply[2], NO_SENSE);
}

/* SPC-4 6.33. */
static void
test_report_luns(void)
{
	struct scsi_case t;

	case_init(&t);
	for (unsigned select = 0; select < 3; select += 2) { /* 00h and 02h */
		RUN(&t, 0xa0, 0, select, 0, 0, 0, 0, 0, 4, 0);
		CHECK_EQ(t.cmd.reply.len, 8 + 3 * 8);
		CHECK_EQ(get_be64(t.reply), (uint64_t)24 << 32);
		CHECK_EQ(get_be64(t.reply + 8), 0);
		CHECK_EQ(get_be64(t.reply + 16), 0x0001000000000000);
		CHECK_EQ(get_be64(t.reply + 24), 0x41ff000000000000);
	}
	RUN(&t, 0xa0, 0, 1, 0, 0, 0, 0, 0, 4, 0); /* well-known: none */
	CHECK_EQ(t.cmd.reply.len, 8);
	CHECK_EQ(get_be64(t.reply), 0);
	RUN(&t, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16); /* LUN LIST LENGTH is the whole */
	CHECK_EQ(t.cmd.reply.len, 16);
	CHECK_EQ(get_be32(t.reply), 24);
	/* It clears 3Fh/0Eh and nothing else, and is not held up by either. */
	nexus_ua(&t.nexus, ASC_REPORTED_LUNS_CHANGED);
	nexus_ua(&t.nexus, ASC_CAPACITY_CHANGED);
	RUN(&t, 0xa0, 0, 0, 0, 0, 0, 0, 0, 4, 0);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
	RUN(&t, 0x00);
	CHECK_EQ(case_sense(&t), SENSE(UNIT_ATTENTION, ASC_CAPACITY_CHANGED));
	RUN(&t, 0x00);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
}

/* No logical unit there: SPC-4 6.6, SAM-5 4.9. */
static void
test_absent_lun(void)
{
	struct scsi_case t;

	case_init(&t);
	t.lu = (struct lu){ .name = "inventory", .inventory = true };
	nexus_ua(&t.nexus, ASC_POWER_ON_OR_RESET); /* there is nothing to attend to */
	for (unsigned code = 0; code < 256; code++) {
		uint8_t cdb[16] = { (uint8_t)code };

		if (code == 0x03 || code == 0x12 || code == 0xa0)
			continue;
		CHECK_EQ(case_run(&t, cdb, 16), CMD_DONE);
		CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED));
	}
	RUN(&t, 0x03, 0, 0, 0, 252);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
	CHECK_EQ(t.reply[2], ILLEGAL_REQUEST);
	CHECK_EQ(get_be16(t.reply + 12), ASC_LU_NOT_SUPPORTED);
	RUN(&t, 0xa0, 0, 0, 0, 0, 0, 0, 0, 4, 0);
	CHECK_EQ(t.cmd.reply.len, 32);
	RUN(&t, 0x12, 0, 0, 0, 36);
	CHECK_EQ(t.reply[0], 0x7f);
	CHECK_EQ(t.cmd.reply.len, 36);
	RUN(&t, 0x12, 0, 0, 0, 36, 4); /* still validated */
	CHECK_EQ(case_sense(&t), BAD_FIELD);
}

/* SAM-5 5.14: once, oldest first; INQUIRY, REPORT LUNS and REQUEST SENSE pass;
 * a refused CDB does not use it up. */
static void
test_unit_attention(void)
{
	struct scsi_case t;

	case_init(&t);
	nexus_ua(&t.nexus, ASC_CAPACITY_CHANGED);
	nexus_ua(&t.nexus, ASC_MODE_PARAMETERS_CHANGED);
	nexus_ua(&t.nexus, ASC_CAPACITY_CHANGED);
	CHECK_EQ(t.nexus.n_ua, 2);
	RUN(&t, 0x12, 0, 0, 0, 36);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
	RUN(&t, 0xff);
	CHECK_EQ(t.nexus.n_ua, 2);
	CHECK_EQ(RUN(&t, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), CMD_DONE);
	CHECK_EQ(case_sense(&t), SENSE(UNIT_ATTENTION, ASC_CAPACITY_CHANGED));
	RUN(&t, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	CHECK_EQ(case_sense(&t), SENSE(UNIT_ATTENTION, ASC_MODE_PARAMETERS_CHANGED));
	CHECK_EQ(RUN(&t, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), CMD_MEDIUM);
	CHECK_EQ(nexus_ua_take(&t.nexus), 0);
}

/* SAM-5 5.14.2: a reset replaces what was pending; a full queue is not lost. */
static void
test_unit_attention_queue(void)
{
	struct scsi_case t;

	case_init(&t);
	nexus_ua(&t.nexus, ASC_CAPACITY_CHANGED);
	nexus_ua(&t.nexus, ASC_NEXUS_LOSS);
	CHECK_EQ(t.nexus.n_ua, 2);
	nexus_ua(&t.nexus, ASC_BUS_DEVICE_RESET);
	CHECK_EQ(t.nexus.n_ua, 1);
	CHECK_EQ(nexus_ua_take(&t.nexus), ASC_BUS_DEVICE_RESET);
	for (unsigned i = 0; i < NEXUS_UA_MAX; i++)
		nexus_ua(&t.nexus, (uint16_t)(0x3f01 + i));
	CHECK_EQ(t.nexus.n_ua, NEXUS_UA_MAX);
	nexus_ua(&t.nexus, ASC_CAPACITY_CHANGED);
	CHECK_EQ(t.nexus.n_ua, 1);
	CHECK_EQ(t.nexus.ua[0], ASC_POWER_ON_OR_RESET);
	nexus_ua_clear(&t.nexus, ASC_CAPACITY_CHANGED);
	CHECK_EQ(t.nexus.n_ua, 1);
}

/* SBC-3 4.14: refused before anything else about the command. */
static void
test_read_only(void)
{
	static const uint8_t writes[] = { 0x0a, 0x2a, 0xaa, 0x8a };

	for (unsigned by_lu = 0; by_lu < 2; by_lu++) {
		struct scsi_case t;

		case_init(&t);
		t.lu.read_only = by_lu;
		t.nexus.read_only = !by_lu;
		for (size_t i = 0; i < sizeof(writes); i++) {
			CHECK_EQ(RUN(&t, writes[i]), CMD_DONE);
			CHECK_EQ(case_sense(&t), SENSE(DATA_PROTECT, ASC_WRITE_PROTECTED));
		}
		CHECK_EQ(RUN(&t, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), CMD_MEDIUM);
	}
}

static void
test_no_capacity(void)
{
	struct scsi_case t;

	case_init(&t);
	t.lu.blocks = 0;
	RUN(&t, 0x00);
	CHECK_EQ(case_sense(&t), SENSE(NOT_READY, ASC_LU_NOT_READY));
	RUN(&t, 0x25);
	CHECK_EQ(case_sense(&t), SENSE(NOT_READY, ASC_LU_NOT_READY));
	RUN(&t, 0x12, 0, 0, 0, 36);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
}

/* The store's errors. */
static const struct {
	const char *what;
	uint8_t op;
	int error;
	uint8_t status;
	uint32_t sense;
} errors[] = {
	{ "GOOD", BLK_WRITE, 0, STATUS_GOOD, 0 },
	{ "EIO read", BLK_READ, -EIO, STATUS_CHECK_CONDITION, SENSE(MEDIUM_ERROR, 0x1100) },
	{ "EIO write", BLK_WRITE, -EIO, STATUS_CHECK_CONDITION, SENSE(MEDIUM_ERROR, 0x0c00) },
	{ "EIO flush", BLK_FLUSH, -EIO, STATUS_CHECK_CONDITION, SENSE(MEDIUM_ERROR, 0x0c00) },
	{ "ENOSPC", BLK_WRITE, -ENOSPC, STATUS_CHECK_CONDITION, SENSE(DATA_PROTECT, 0x2707) },
	{ "EDQUOT", BLK_WRITE, -EDQUOT, STATUS_CHECK_CONDITION, SENSE(DATA_PROTECT, 0x2707) },
	{ "EROFS", BLK_WRITE, -EROFS, STATUS_CHECK_CONDITION, SENSE(DATA_PROTECT, 0x2700) },
	{ "ENODEV", BLK_READ, -ENODEV, STATUS_CHECK_CONDITION, SENSE(NOT_READY, 0x0400) },
	{ "ENXIO", BLK_READ, -ENXIO, STATUS_CHECK_CONDITION, SENSE(NOT_READY, 0x0400) },
	{ "ERANGE", BLK_READ, -ERANGE, STATUS_CHECK_CONDITION, SENSE(ILLEGAL_REQUEST, 0x2100) },
	{ "ENOMEM", BLK_READ, -ENOMEM, STATUS_BUSY, 0 },
	{ "EAGAIN", BLK_WRITE, -EAGAIN, STATUS_BUSY, 0 },
	{ "any other", BLK_READ, -EINVAL, STATUS_CHECK_CONDITION, SENSE(HARDWARE_ERROR, 0x4400) },
	{ "no errno at all", BLK_READ, 1, STATUS_CHECK_CONDITION, SENSE(HARDWARE_ERROR, 0x4400) },
	{ "INT_MIN", BLK_READ, -2147483647 - 1, STATUS_CHECK_CONDITION,
	  SENSE(HARDWARE_ERROR, 0x4400) },
};

static void
test_io_done(void)
{
	struct scsi_case t;

	case_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		RUN(&t, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
		t.cmd.io.op = errors[i].op;
		CHECK_EQ(cmd_io_done(&t.cmd, errors[i].error), CMD_DONE);
		CHECK_MSG(t.cmd.status == errors[i].status && case_sense(&t) == errors[i].sense,
			  "%s: status %02x sense %06x", errors[i].what, t.cmd.status,
			  case_sense(&t));
		CHECK_EQ(t.cmd.sense_len, errors[i].sense ? 18 : 0);
	}
}

int
main(void)
{
	TEST(test_refused);
	TEST(test_cdb_length);
	TEST(test_request_sense);
	TEST(test_report_luns);
	TEST(test_absent_lun);
	TEST(test_unit_attention);
	TEST(test_unit_attention_queue);
	TEST(test_read_only);
	TEST(test_no_capacity);
	TEST(test_io_done);
	return tap_done();
}
