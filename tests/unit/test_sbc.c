/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block commands: what reaches the store for a CDB, and the ends of every
 * range, up to 2^64.
 */
#include "scsid/optab.h"

#include "tests/unit/scsi_case.h"
#include "tests/unit/tap.h"

enum { LAST = 0xffff }; /* the last LBA of the case */

static const struct {
	const char *what;
	uint8_t cdb[16];
	enum verdict verdict;
	struct cmd_io io; /* with CMD_MEDIUM */
} decode[] = {
	{ "SBC-3 5.10 READ(6)", { 0x08, 0x00, 0x12, 0x34, 2 }, CMD_MEDIUM,
	  { BLK_READ, 0, 0x1234 * 512, 1024 } },
	{ "SBC-3 5.10 READ(6): 0 is 256 blocks", { 0x08, 0, 0, 1, 0 }, CMD_MEDIUM,
	  { BLK_READ, 0, 512, 256 * 512 } },
	{ "SBC-3 5.29 WRITE(6): 0 is 256 blocks", { 0x0a, 0, 0, 0, 0 }, CMD_MEDIUM,
	  { BLK_WRITE, 0, 0, 256 * 512 } },
	{ "SBC-3 5.11 READ(10)", { 0x28, 0, 0, 0, 0x12, 0x34, 0, 0, 3 }, CMD_MEDIUM,
	  { BLK_READ, 0, 0x1234 * 512, 1536 } },
	{ "SBC-3 5.11 READ(10): no blocks", { 0x28, 0, 0, 0, 0, 0 }, CMD_DONE, { 0 } },
	{ "SBC-3 5.11 READ(10): DPO has no effect", { 0x28, 0x10, 0, 0, 0, 0, 0, 0, 1 },
	  CMD_MEDIUM, { BLK_READ, 0, 0, 512 } },
	{ "SBC-3 5.11 READ(10): FUA", { 0x28, 0x08, 0, 0, 0, 0, 0, 0, 1 },
	  CMD_MEDIUM, { BLK_READ, BLK_FUA, 0, 512 } },
	{ "SBC-3 5.30 WRITE(10): DPO, FUA", { 0x2a, 0x18, 0, 0, 0, 1, 0, 0, 1 }, CMD_MEDIUM,
	  { BLK_WRITE, BLK_FUA, 512, 512 } },
	{ "SBC-3 5.30 WRITE(10): no blocks", { 0x2a }, CMD_DONE, { 0 } },
	{ "SBC-3 5.12 READ(12)", { 0xa8, 0, 0, 0, 0, 2, 0, 0, 1, 0 }, CMD_MEDIUM,
	  { BLK_READ, 0, 1024, 0x100 * 512 } },
	{ "SBC-3 5.31 WRITE(12): FUA", { 0xaa, 0x08, 0, 0, 0, 2, 0, 0, 0, 1 }, CMD_MEDIUM,
	  { BLK_WRITE, BLK_FUA, 1024, 512 } },
	{ "SBC-3 5.13 READ(16)", { 0x88, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 1 },
	  CMD_MEDIUM, { BLK_READ, 0, LAST * 512, 512 } },
	{ "SBC-3 5.32 WRITE(16)", { 0x8a, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0, 2 },
	  CMD_MEDIUM, { BLK_WRITE, 0, (LAST - 1) * 512, 1024 } },
	{ "SBC-3 5.22 SYNCHRONIZE CACHE(10): the whole store",
	  { 0x35, 0, 0, 0, 0, 1, 0, 0, 1 }, CMD_MEDIUM, { BLK_FLUSH, 0, 0, 0 } },
	{ "SBC-3 5.22 SYNCHRONIZE CACHE(10): 0 blocks, to the end", { 0x35 }, CMD_MEDIUM,
	  { BLK_FLUSH, 0, 0, 0 } },
	{ "SBC-3 5.22 SYNCHRONIZE CACHE(10): IMMED waits all the same", { 0x35, 2 },
	  CMD_MEDIUM, { BLK_FLUSH, 0, 0, 0 } },
	{ "SBC-3 5.23 SYNCHRONIZE CACHE(16)", { 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
	  CMD_MEDIUM, { BLK_FLUSH, 0, 0, 0 } },
	{ "SPC-4 6.47 TEST UNIT READY", { 0x00 }, CMD_DONE, { 0 } },
};

static void
test_decode(void)
{
	struct scsi_case t;

	case_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(decode); i++) {
		enum verdict v = case_run(&t, decode[i].cdb, 16);
		const struct cmd_io *io = &t.cmd.io, *want = &decode[i].io;

		CHECK_MSG(v == decode[i].verdict, "%s: verdict %d", decode[i].what, v);
		CHECK_EQ(t.cmd.status, STATUS_GOOD);
		CHECK_EQ(t.cmd.reply.len, 0);
		if (v != CMD_MEDIUM)
			continue;
		CHECK_MSG(io->op == want->op && io->flags == want->flags &&
				  io->off == want->off && io->len == want->len,
			  "%s: op %u flags %u off %llu len %llu", decode[i].what, io->op,
			  io->flags, (unsigned long long)io->off, (unsigned long long)io->len);
	}
}

/* SBC-3 4.5, 5.11: the last block, the one behind it, and sums that wrap. */
static const struct {
	const char *what;
	uint64_t blocks; /* of the logical unit */
	uint32_t block_size;
	uint64_t lba, n;
	bool ok;
	uint64_t info; /* first LBA that is not there */
} ranges[] = {
	{ "the last block", 100, 512, 99, 1, true, 0 },
	{ "all of it", 100, 512, 0, 100, true, 0 },
	{ "one too far", 100, 512, 99, 2, false, 100 },
	{ "one too long", 100, 512, 0, 101, false, 100 },
	{ "behind the end", 100, 512, 100, 1, false, 100 },
	{ "far behind", 100, 512, 1000, 1, false, 1000 },
	{ "nothing, behind the last", 100, 512, 100, 0, true, 0 },
	{ "nothing, one further", 100, 512, 101, 0, false, 101 },
	{ "lba + n wraps to 0", 100, 512, UINT64_MAX, 1, false, UINT64_MAX },
	{ "lba + n wraps into the range", 100, 512, UINT64_MAX, UINT64_MAX, false, UINT64_MAX },
	{ "n alone is too much", 100, 512, 1, UINT64_MAX, false, 100 },
	{ "n of the largest store", UINT64_MAX / 512, 512, 0, UINT64_MAX / 512, true, 0 },
	{ "last of the largest store", UINT64_MAX / 512, 512, UINT64_MAX / 512 - 1, 1, true, 0 },
	{ "behind the largest store", UINT64_MAX / 512, 512, UINT64_MAX / 512, 1, false,
	  UINT64_MAX / 512 },
	{ "a size whose bytes wrap", UINT64_MAX, 4096, UINT64_MAX - 1, 1, false, UINT64_MAX },
	{ "a length whose bytes wrap", UINT64_MAX, 4096, 0, UINT64_MAX, false, UINT64_MAX },
	{ "byte blocks up to 2^64 - 1", UINT64_MAX, 1, UINT64_MAX - 1, 1, true, 0 },
};

static void
test_ranges(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct scsi_case t;
		enum verdict v;

		case_init(&t);
		RUN(&t, 0x88); /* a READ(16) to stand in */
		t.lu.blocks = ranges[i].blocks;
		t.lu.block_size = ranges[i].block_size;
		t.lu.max_transfer = 0;
		v = cmd_medium(&t.cmd, BLK_READ, ranges[i].lba, ranges[i].n, 0);
		if (ranges[i].ok) {
			CHECK_MSG(t.cmd.status == STATUS_GOOD, "%s", ranges[i].what);
			CHECK_EQ(v, ranges[i].n ? CMD_MEDIUM : CMD_DONE);
			CHECK(!ranges[i].n || t.cmd.io.off / t.lu.block_size == ranges[i].lba);
			CHECK(!ranges[i].n || t.cmd.io.len / t.lu.block_size == ranges[i].n);
			continue;
		}
		CHECK_EQ(v, CMD_DONE);
		CHECK_MSG(case_sense(&t) == SENSE(ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE), "%s",
			  ranges[i].what);
		/* SPC-4 4.5.3: VALID 0 where it does not fit 32 bits */
		if (ranges[i].info > UINT32_MAX)
			CHECK_EQ(t.cmd.sense[0], 0x70);
		else
			CHECK_MSG(t.cmd.sense[0] == 0xf0 &&
					  get_be32(t.cmd.sense + 3) == ranges[i].info,
				  "%s: INFORMATION %x", ranges[i].what,
				  get_be32(t.cmd.sense + 3));
	}
}

/* SBC-3 6.6.3: beyond MAXIMUM TRANSFER LENGTH is INVALID FIELD IN CDB, and the
 * field pointer finds TRANSFER LENGTH in every CDB length. */
static void
test_max_transfer(void)
{
	static const struct {
		uint8_t cdb[16];
		uint8_t byte;
	} rows[] = {
		{ { 0x08, 0, 0, 0, 9 }, 4 },
		{ { 0x0a, 0, 0, 0, 0 }, 4 },
		{ { 0x28, 0, 0, 0, 0, 0, 0, 0, 9 }, 7 },
		{ { 0x2a, 0, 0, 0, 0, 0, 0, 1, 0 }, 7 },
		{ { 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 9 }, 6 },
		{ { 0xaa, 0, 0, 0, 0, 0, 0, 0, 1, 0 }, 6 },
		{ { 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9 }, 10 },
		{ { 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0 }, 10 },
	};
	struct scsi_case t;

	case_init(&t);
	t.lu.max_transfer = 8 * 512;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		case_run(&t, rows[i].cdb, 16);
		CHECK_EQ(case_sense(&t), BAD_FIELD);
		CHECK_EQ(get_be16(t.cmd.sense + 16), rows[i].byte);
	}
	CHECK_EQ(RUN(&t, 0x28, 0, 0, 0, 0, 0, 0, 0, 8), CMD_MEDIUM);
	/* A range that is not there is said first; flushing moves no data. */
	RUN(&t, 0x28, 0, 0, 0, 0xff, 0xff, 0, 0, 9);
	CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE));
	CHECK_EQ(RUN(&t, 0x35, 0, 0, 0, 0, 0, 0, 0, 9), CMD_MEDIUM);
}

/* SBC-3 5.22: the range is checked although everything is flushed. */
static void
test_flush_range(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x35, 0, 0, 1, 0, 0, 0, 0, 1);
	CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE));
	RUN(&t, 0x91, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1);
	CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE));
	t.lu.read_only = true; /* writes nothing: allowed */
	CHECK_EQ(RUN(&t, 0x35), CMD_MEDIUM);
	t.lu.can_flush = false;
	RUN(&t, 0x35);
	CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_INVALID_OPCODE));
	RUN(&t, 0x28, 0x08, 0, 0, 0, 0, 0, 0, 1); /* FUA cannot be honoured */
	CHECK_EQ(case_sense(&t), BAD_FIELD);
	CHECK_EQ(t.cmd.sense[15], 0xcb);
}

/* SBC-3 5.15, 5.16; the numbers at 2 TiB and at the end of 64 bits. */
static void
test_capacity(void)
{
	static const struct {
		uint64_t blocks;
		uint32_t rc10;
	} rows[] = {
		{ 1, 0 },
		{ 0x10000, 0xffff },
		{ 0xffffffff, 0xfffffffe },
		{ 0x100000000, 0xffffffff }, /* last LBA FFFFFFFFh: ask (16) */
		{ 0x100000001, 0xffffffff },
		{ UINT64_MAX, 0xffffffff },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scsi_case t;

		case_init(&t);
		t.lu.blocks = rows[i].blocks;
		CHECK_EQ(RUN(&t, 0x25), CMD_DONE);
		CHECK_EQ(t.cmd.reply.len, 8);
		CHECK_EQ(get_be32(t.reply), rows[i].rc10);
		CHECK_EQ(get_be32(t.reply + 4), 512);
		RUN(&t, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
		CHECK_EQ(t.cmd.reply.len, 32);
		CHECK_EQ(get_be64(t.reply), rows[i].blocks - 1);
		CHECK_EQ(get_be32(t.reply + 8), 512);
		CHECK_EQ(get_be32(t.reply + 12), 0x00030000); /* 2^3 a physical block */
		for (size_t b = 16; b < 32; b++)
			CHECK_EQ(t.reply[b], 0);
		for (unsigned alloc = 0; alloc < 16; alloc++) { /* cut, no error */
			RUN(&t, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, alloc);
			CHECK_EQ(t.cmd.status, STATUS_GOOD);
			CHECK_EQ(t.cmd.reply.len, alloc);
		}
		RUN(&t, 0x25, 0, 0, 0, 0, 1); /* obsolete LOGICAL BLOCK ADDRESS */
		CHECK_EQ(case_sense(&t), BAD_FIELD);
	}
}

int
main(void)
{
	TEST(test_decode);
	TEST(test_ranges);
	TEST(test_max_transfer);
	TEST(test_flush_range);
	TEST(test_capacity);
	return tap_done();
}
