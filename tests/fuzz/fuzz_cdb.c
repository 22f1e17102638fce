/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any CDB on any logical unit: never a crash, an answer inside its bounds, no
 * byte that was not written, nothing for the store that the medium has not.
 *
 * Input: 1 byte of flags, 1 of exponents, 8 of capacity, 4 of maximum transfer
 * length, 1 of unit attentions, 1 of LUNs, then the CDB.
 */
#include <stdlib.h>

#include "scsid/optab.h"
#include "tests/unit/scsi_case.h"

enum { HEAD = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts in release builds too: a fuzzer's check is its result. */
#define MUST(cond)                                                                   \
	do {                                                                         \
		if (!(cond)) {                                                       \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);   \
			abort();                                                     \
		}                                                                    \
	} while (0)

struct run {
	struct cmd cmd;
	uint8_t reply[2048];
};

static void
set_up(struct scsi_case *t, const uint8_t *d)
{
	case_init(t);
	t->lu.inventory = d[0] & 1;
	t->lu.read_only = d[0] & 2;
	t->lu.can_flush = d[0] & 4;
	t->nexus.read_only = d[0] & 8;
	if (d[0] & 16)
		memset(t->nexus.target_port, 'x', sizeof(t->nexus.target_port) - 1);
	if (d[0] & 32)
		memset(t->lu.serial, 's', sizeof(t->lu.serial) - 1);
	if (d[0] & 64)
		t->lu.naa = 0;
	t->lu.block_size = 1u << (d[1] & 0x0f);
	t->lu.phys_exp = d[1] >> 4;
	t->lu.blocks = get_be64(d + 2);
	t->lu.max_transfer = get_be32(d + 10);
	for (unsigned i = 0; i < d[14] % 16; i++)
		nexus_ua(&t->nexus, (uint16_t)(0x2800 + 0x100 * i + d[14]));
	t->nexus.n_luns = d[15] % 4;
}

static enum verdict
run(struct run *r, const struct scsi_case *t, struct nexus *n, const uint8_t *cdb, size_t len,
    uint8_t fill)
{
	memset(r, fill, sizeof(*r));
	r->cmd.lu = &t->lu;
	r->cmd.nexus = n;
	memcpy(r->cmd.cdb, cdb, len);
	r->cmd.cdb_len = (uint16_t)len;
	appender_init(&r->cmd.reply, r->reply, 1 + fill); /* often too small */
	if (fill != 0xff)
		r->cmd.reply.cap = sizeof(r->reply);
	return cmd_dispatch(&r->cmd);
}

/* What goes to the store must pass the store's own border check, or an
 * initiator could freeze the lane with a CDB. */
static void
check_border(const struct cmd_io *io, uint64_t capacity)
{
	const struct lane_pool_info pool = { 1, UINT64_MAX };
	const struct lane_limits lim = {
		.pools = &pool, .n_pools = 1, .kinds = 1u << LANE_BLK, .store_size = capacity,
	};
	struct lane_req req = { .kind = LANE_BLK };
	struct lane_ext *ext = io->op == BLK_READ ? req.in : req.out;

	if (io->len > UINT32_MAX) /* the engine's to clip */
		return;
	ext->pool = 1;
	ext->len = (uint32_t)io->len;
	req.n_in = io->op == BLK_READ;
	req.n_out = io->op == BLK_WRITE;
	req.u.blk = (struct lane_blk){
		.op = io->op, .flags = io->flags, .off = io->off, .len = io->len,
		.tag = { .lane = 1, .parts = 1 },
	};
	MUST(lane_req_check(&lim, &req) == 0);
}

static void
check_medium(const struct scsi_case *t, const struct cmd *c)
{
	const struct cmd_io *io = &c->io;
	uint64_t end, cap;

	MUST(!t->lu.inventory && t->lu.blocks);
	MUST(io->op == BLK_READ || io->op == BLK_WRITE || io->op == BLK_FLUSH);
	MUST(io->op != BLK_WRITE || (!t->lu.read_only && !t->nexus.read_only));
	MUST(!(io->flags & ~BLK_FUA));
	if (!__builtin_mul_overflow(t->lu.blocks, t->lu.block_size, &cap))
		check_border(io, cap);
	if (io->op == BLK_FLUSH) {
		MUST(t->lu.can_flush && !io->off && !io->len);
		return;
	}
	MUST(!io->flags || (io->op != BLK_FLUSH && t->lu.can_flush));
	MUST(io->len && !__builtin_add_overflow(io->off, io->len, &end));
	MUST(io->off % t->lu.block_size == 0 && io->len % t->lu.block_size == 0);
	if (!__builtin_mul_overflow(t->lu.blocks, t->lu.block_size, &cap))
		MUST(end <= cap);
	MUST(!t->lu.max_transfer || io->len <= t->lu.max_transfer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run a, b, small;
	struct scsi_case t;
	struct nexus n2, n3;
	enum verdict v;
	size_t len;

	if (size < HEAD)
		return 0;
	set_up(&t, data);
	data += HEAD;
	len = MIN(size - HEAD, (size_t)LANE_CDB_MAX);
	n2 = t.nexus;
	n3 = t.nexus;

	v = run(&a, &t, &t.nexus, data, len, 0x55);
	MUST(v == CMD_DONE || v == CMD_MEDIUM);
	MUST(a.cmd.sense_len <= LANE_SENSE_MAX);
	MUST((a.cmd.status == STATUS_CHECK_CONDITION) == (a.cmd.sense_len > 0));
	MUST(a.cmd.reply.len <= a.cmd.reply.cap);
	MUST(a.cmd.reply.len <= a.cmd.reply_alloc);
	MUST(a.cmd.status == STATUS_GOOD || !a.cmd.reply.len);
	if (v == CMD_MEDIUM) {
		MUST(a.cmd.status == STATUS_GOOD && !a.cmd.reply.len);
		check_medium(&t, &a.cmd);
	}

	/* The same again in differently filled memory: equal, so all was written. */
	MUST(run(&b, &t, &n2, data, len, 0xaa) == v);
	MUST(a.cmd.status == b.cmd.status && a.cmd.sense_len == b.cmd.sense_len);
	MUST(!memcmp(a.cmd.sense, b.cmd.sense, a.cmd.sense_len));
	MUST(a.cmd.reply.len == b.cmd.reply.len && a.cmd.reply_alloc == b.cmd.reply_alloc);
	MUST(!memcmp(a.reply, b.reply, a.cmd.reply.len));
	MUST(!memcmp(&a.cmd.io, &b.cmd.io, sizeof(a.cmd.io)) || v != CMD_MEDIUM);
	MUST(!memcmp(&n2.ua, &t.nexus.ua, sizeof(n2.ua)) && n2.n_ua == t.nexus.n_ua);

	/* A reply buffer that is too small is filled, never overrun. */
	run(&small, &t, &n3, data, len, 0xff);
	MUST(small.cmd.reply.len <= small.cmd.reply.cap);
	for (size_t i = small.cmd.reply.cap; i < sizeof(small.reply); i++)
		MUST(small.reply[i] == 0xff);

	MUST(cmd_io_done(&a.cmd, -(int)data[-1]) == CMD_DONE);
	return 0;
}
