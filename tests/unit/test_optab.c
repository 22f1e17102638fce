/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opcode table: every row complete, every row found, and REPORT SUPPORTED
 * OPERATION CODES (SPC-4 6.35) equal to the rows and to what dispatch accepts.
 */
#include "scsid/optab.h"

#include "tests/unit/scsi_case.h"
#include "tests/unit/tap.h"

static void
test_rows_complete(void)
{
	static const uint8_t len_of_group[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };
	const struct opcode *op;
	uint8_t code;
	int last = -1;
	size_t i;

	for (i = 0; (op = optab_row(i, &code)); i++) {
		int order = code << 8 | (op->sa < 0 ? 0 : op->sa);
		bool unknown;

		CHECK(op->name && op->run);
		CHECK_EQ(op->mask[0], code);
		/* SPC-4 4.2.2: the group code gives the length. */
		CHECK_EQ(op->len, len_of_group[code >> 5]);
		CHECK_EQ(op->mask[op->len - 1], 0); /* CONTROL */
		for (unsigned b = op->len; b < sizeof(op->mask); b++)
			CHECK_EQ(op->mask[b], 0);
		CHECK_MSG(op->replay >= REPLAY_AGAIN && op->replay <= REPLAY_NEVER,
			  "%s has no replay class", op->name);
		CHECK_MSG(op->resv >= RESV_NONE_NEEDED && op->resv <= RESV_EXCLUSIVE,
			  "%s has no reservation class", op->name);
		CHECK((op->dir == DIR_OUT) >= !!(op->flags & OP_WRITES));
		CHECK_MSG(order > last, "%s is listed out of order", op->name);
		last = order;
		CHECK_EQ(optab_has_sa(code), op->sa >= 0);
		CHECK_EQ(op->sa >= 0 ? op->mask[1] : -1, op->sa);
		CHECK(optab_find(op->mask, op->len, &unknown) == op && !unknown);
	}
	CHECK_EQ(i, 20);
}

static void
test_find(void)
{
	bool unknown = true;

	CHECK(!optab_find((const uint8_t[]){ 0xff }, 1, &unknown) && !unknown);
	CHECK(!optab_find((const uint8_t[]){ 0x9e, 0x1f }, 2, &unknown) && unknown);
	/* Too short to have its service action: not read beyond the end. */
	CHECK(!optab_find((const uint8_t[]){ 0x9e }, 1, &unknown) && unknown);
	CHECK(!optab_find((const uint8_t[]){ 0x00 }, 0, &unknown) && !unknown);
}

/* Walks the answer to "all commands" beside the table. */
static void
check_all(struct scsi_case *t, bool rctd)
{
	size_t per = rctd ? 20 : 8, at = 4, served = 0;
	const struct opcode *op;
	uint8_t code;

	CHECK_EQ(RUN(t, 0xa3, 0x0c, rctd ? 0x80 : 0, 0, 0, 0, 0, 0, 0x10, 0), CMD_DONE);
	CHECK_EQ(t->cmd.status, STATUS_GOOD);
	for (size_t i = 0; (op = optab_row(i, &code)); i++) {
		const uint8_t *d = t->reply + at;

		if (!optab_serves(op, &t->lu))
			continue;
		served++;
		at += per;
		CHECK_EQ(d[0], code);
		CHECK_EQ(get_be16(d + 2), op->sa < 0 ? 0 : op->sa);
		CHECK_EQ(d[5], (rctd ? 2 : 0) | (op->sa >= 0));
		CHECK_EQ(get_be16(d + 6), op->len);
		if (rctd) /* SPC-4 6.35.4: descriptor length 0Ah */
			CHECK_EQ(get_be16(d + 8), 10);
	}
	CHECK_EQ(get_be32(t->reply), served * per);
	CHECK_EQ(t->cmd.reply.len, at);
}

static void
test_rsoc_all(void)
{
	struct scsi_case t;

	case_init(&t);
	check_all(&t, false);
	check_all(&t, true);
	t.lu.can_flush = false; /* no SYNCHRONIZE CACHE there */
	check_all(&t, false);
	CHECK_EQ(get_be32(t.reply), 18 * 8);
}

/* Every bit of the map is accepted by dispatch, every other refused: D24. */
static void
test_rsoc_is_what_dispatch_does(void)
{
	const struct opcode *op;
	struct scsi_case t;
	uint8_t code;

	case_init(&t);
	t.lu.blocks = UINT64_MAX / 512;
	t.lu.max_transfer = 0;
	for (size_t i = 0; (op = optab_row(i, &code)); i++) {
		uint8_t map[16], cdb[16];

		/* 011b: by operation code and service action (SPC-4 table 246) */
		RUN(&t, 0xa3, 0x0c, 3, code, 0, op->sa < 0 ? 0 : op->sa, 0, 0, 1);
		CHECK_EQ(t.reply[1], 3);
		CHECK_EQ(get_be16(t.reply + 2), op->len);
		CHECK_EQ(t.cmd.reply.len, 4 + op->len);
		memcpy(map, t.reply + 4, op->len);
		CHECK_EQ(map[0], code);
		for (unsigned b = 8; b < op->len * 8u; b++) {
			bool ok = map[b / 8] >> (b % 8) & 1;

			if (op->sa >= 0 && b >= 8 && b < 13)
				continue; /* the service action itself */
			memset(cdb, 0, sizeof(cdb));
			cdb[0] = code;
			if (op->sa >= 0)
				cdb[1] = (uint8_t)op->sa;
			cdb[b / 8] |= (uint8_t)(1u << b % 8);
			case_run(&t, cdb, op->len);
			/* A field of several bits may have values that are refused by
			 * the handler, so only "refused" is exact. */
			if (!ok) {
				CHECK_EQ(case_sense(&t), BAD_FIELD);
				CHECK_EQ(get_be16(t.cmd.sense + 16), b / 8);
				CHECK_EQ(t.cmd.sense[15] & 0xc8, 0xc8);
			}
		}
	}
}

static const struct {
	const char *what;
	uint8_t cdb[10];
	uint32_t sense; /* 0: GOOD */
	uint8_t support;
} options[] = {
	{ "001b: no service action", { 0xa3, 0x0c, 1, 0x28, 0, 0, 0, 0, 1 }, 0, 3 },
	{ "001b: the service action field is ignored", { 0xa3, 0x0c, 1, 0x28, 0, 9, 0, 0, 1 }, 0, 3 },
	{ "001b: has service actions", { 0xa3, 0x0c, 1, 0x9e, 0, 0, 0, 0, 1 }, BAD_FIELD, 0 },
	{ "001b: unknown", { 0xa3, 0x0c, 1, 0xee, 0, 0, 0, 0, 1 }, 0, 1 },
	{ "010b: service action", { 0xa3, 0x0c, 2, 0x9e, 0, 0x10, 0, 0, 1 }, 0, 3 },
	{ "010b: has none", { 0xa3, 0x0c, 2, 0x28, 0, 0, 0, 0, 1 }, BAD_FIELD, 0 },
	{ "010b: unknown service action", { 0xa3, 0x0c, 2, 0x9e, 0, 0x11, 0, 0, 1 }, 0, 1 },
	{ "010b: the whole field counts", { 0xa3, 0x0c, 2, 0x9e, 0, 0x30, 0, 0, 1 }, 0, 1 },
	{ "010b: both bytes count", { 0xa3, 0x0c, 2, 0x9e, 1, 0x10, 0, 0, 1 }, 0, 1 },
	{ "010b: unknown", { 0xa3, 0x0c, 2, 0xee, 0, 0, 0, 0, 1 }, 0, 1 },
	{ "011b: none and 0", { 0xa3, 0x0c, 3, 0x28, 0, 0, 0, 0, 1 }, 0, 3 },
	{ "011b: none but not 0", { 0xa3, 0x0c, 3, 0x28, 0, 1, 0, 0, 1 }, 0, 1 },
	{ "011b: service action", { 0xa3, 0x0c, 3, 0xa3, 0, 0x0c, 0, 0, 1 }, 0, 3 },
	{ "100b: reserved", { 0xa3, 0x0c, 4, 0x28, 0, 0, 0, 0, 1 }, BAD_FIELD, 0 },
};

static void
test_rsoc_options(void)
{
	struct scsi_case t;

	case_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		case_run(&t, options[i].cdb, sizeof(options[i].cdb));
		CHECK_MSG(case_sense(&t) == options[i].sense, "%s: sense %06x", options[i].what,
			  case_sense(&t));
		if (!options[i].sense)
			CHECK_MSG(t.reply[1] == options[i].support, "%s: SUPPORT %02x",
				  options[i].what, t.reply[1]);
	}
	/* RCTD: CTDP and a timeouts descriptor behind the usage map. */
	RUN(&t, 0xa3, 0x0c, 0x81, 0x12, 0, 0, 0, 0, 1);
	CHECK_EQ(t.reply[1], 0x83);
	CHECK_EQ(t.cmd.reply.len, 4 + 6 + 12);
	/* Where the store cannot flush: no FUA in the map, no SYNCHRONIZE CACHE. */
	t.lu.can_flush = false;
	RUN(&t, 0xa3, 0x0c, 1, 0x28, 0, 0, 0, 0, 1);
	CHECK_EQ(t.reply[5], 0);
	RUN(&t, 0xa3, 0x0c, 1, 0x35, 0, 0, 0, 0, 1);
	CHECK_EQ(t.reply[1], 1);
}

/* SPC-4 6.36: ABORT TASK and LOGICAL UNIT RESET. */
static void
test_tmf(void)
{
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 1);
	CHECK_EQ(t.cmd.reply.len, 4);
	CHECK_EQ(get_be32(t.reply), 0xd8000000);
	RUN(&t, 0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 1);
	CHECK_EQ(t.cmd.reply.len, 16);
	CHECK_EQ(t.reply[3], 12);
}

int
main(void)
{
	TEST(test_rows_complete);
	TEST(test_find);
	TEST(test_rsoc_all);
	TEST(test_rsoc_is_what_dispatch_does);
	TEST(test_rsoc_options);
	TEST(test_tmf);
	return tap_done();
}
