/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block commands (SBC-3): capacity, READ, WRITE, SYNCHRONIZE CACHE.  A
 * handler decodes what the validator let through; ranges and limits are
 * checked by cmd_medium, nowhere else.
 */
#include "scsid/optab.h"

struct range {
	uint64_t lba;
	uint64_t blocks;
};

/* LOGICAL BLOCK ADDRESS and TRANSFER LENGTH of a 6, 10, 12 or 16 byte CDB. */
static struct range
range(const struct cmd *c)
{
	const uint8_t *b = c->cdb;

	switch (c->op->len) {
	case 6: /* 0 stands for 256 blocks (SBC-3 5.10) */
		return (struct range){ get_be24(b + 1) & 0x1fffff, b[4] ? b[4] : 256 };
	case 10:
		return (struct range){ get_be32(b + 2), get_be16(b + 7) };
	case 12:
		return (struct range){ get_be32(b + 2), get_be32(b + 6) };
	default:
		return (struct range){ get_be64(b + 2), get_be32(b + 10) };
	}
}

/* DPO is advice and has no effect here.  A READ with FUA returns what is on the
 * medium: what a volatile cache holds is flushed first (SBC-3 5.11). */
static enum verdict
access(struct cmd *c, enum blk_op op)
{
	struct range r = range(c);
	bool fua = c->op->len > 6 && (c->cdb[1] & 0x08);

	return cmd_medium(c, op, r.lba, r.blocks, fua ? BLK_FUA : 0);
}

enum verdict
sbc_read(struct cmd *c)
{
	return access(c, BLK_READ);
}

enum verdict
sbc_write(struct cmd *c)
{
	return access(c, BLK_WRITE);
}

/* The whole store is flushed, whatever the range, and status waits for it even
 * with IMMED: more than was asked for, never less (SBC-3 5.22). */
enum verdict
sbc_synchronize_cache(struct cmd *c)
{
	struct range r = range(c);

	return cmd_medium(c, BLK_FLUSH, r.lba, r.blocks, 0);
}

enum verdict
sbc_read_capacity_10(struct cmd *c)
{
	uint64_t last = c->lu->blocks - 1; /* OP_MEDIUM: there is at least one */
	uint8_t buf[8];

	put_be32(buf, (uint32_t)MIN(last, (uint64_t)UINT32_MAX));
	put_be32(buf + 4, c->lu->block_size);
	append_bytes(&c->reply, buf, sizeof(buf));
	return cmd_reply(c, sizeof(buf)); /* no ALLOCATION LENGTH in this CDB */
}

enum verdict
sbc_read_capacity_16(struct cmd *c)
{
	uint8_t buf[32] = { 0 };

	put_be64(buf, c->lu->blocks - 1);
	put_be32(buf + 8, c->lu->block_size);
	/* LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT; PROT_EN and LBPME are 0, the
	 * LOWEST ALIGNED LBA is 0. */
	buf[13] = (uint8_t)(c->lu->phys_exp & 0x0f);
	append_bytes(&c->reply, buf, sizeof(buf));
	return cmd_reply(c, get_be32(c->cdb + 10));
}
