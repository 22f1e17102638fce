/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a copied CDB to a verdict: the one place where a CDB is validated, and
 * the outcomes that handlers return.  It must not touch a lane, a slot or a
 * file; its only state is the unit attention queue of the nexus.
 */
#include "scsid/cmd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "scsid/optab.h"
#include "scsid/sense.h"

/* ---- outcomes ---- */

static enum verdict
check_condition(struct cmd *c, const struct sense *s)
{
	_Static_assert((int)SENSE_FIXED_LEN <= (int)LANE_SENSE_MAX, "sense fits");
	c->status = STATUS_CHECK_CONDITION;
	/* D_SENSE is 0 in the control mode page: fixed format (SPC-4 7.5.8). */
	c->sense_len = (uint16_t)sense_fixed(c->sense, s);
	c->reply.len = 0;
	c->reply.need = 0;
	return CMD_DONE;
}

enum verdict
cmd_status(struct cmd *c, uint8_t status)
{
	c->status = status;
	c->sense_len = 0;
	c->reply.len = 0;
	c->reply.need = 0;
	return CMD_DONE;
}

enum verdict
cmd_good(struct cmd *c)
{
	return cmd_status(c, STATUS_GOOD);
}

enum verdict
cmd_sense(struct cmd *c, uint8_t key, uint16_t asc_ascq)
{
	const struct sense s = { .key = key, .asc = asc_ascq };

	return check_condition(c, &s);
}

enum verdict
cmd_sense_cdb(struct cmd *c, uint16_t asc_ascq, uint16_t byte, int bit)
{
	const struct sense s = {
		.key = ILLEGAL_REQUEST, .asc = asc_ascq,
		.has_field = true, .in_cdb = true, .field = byte, .bit = (int8_t)bit,
	};

	return check_condition(c, &s);
}

enum verdict
cmd_reply(struct cmd *c, uint32_t alloc_len)
{
	c->status = STATUS_GOOD;
	c->sense_len = 0;
	c->reply_alloc = alloc_len;
	c->reply.len = MIN(c->reply.len, (size_t)alloc_len);
	return CMD_DONE;
}

/* Where TRANSFER LENGTH begins, by the CDB's group code (SPC-4 4.2.2). */
static uint16_t
transfer_length_at(const struct cmd *c)
{
	static const uint8_t at[8] = { [0] = 4, [1] = 7, [2] = 7, [4] = 10, [5] = 6 };

	return at[c->cdb[0] >> 5];
}

enum verdict
cmd_medium(struct cmd *c, enum blk_op op, uint64_t lba, uint64_t blocks, unsigned flags)
{
	const struct lu *lu = c->lu;
	uint64_t off, len;

	/* No blocks at the first LBA behind the end is in range: the sum does not
	 * exceed the capacity (SBC-3 5.11). */
	if (lba > lu->blocks || blocks > lu->blocks - lba ||
	    __builtin_mul_overflow(lba, lu->block_size, &off) ||
	    __builtin_mul_overflow(blocks, lu->block_size, &len)) {
		const struct sense s = {
			.key = ILLEGAL_REQUEST, .asc = ASC_LBA_OUT_OF_RANGE,
			.has_info = true, .info = MAX(lba, lu->blocks),
		};

		return check_condition(c, &s);
	}
	c->io.op = op;
	c->io.flags = (uint8_t)flags;
	if (op == BLK_FLUSH) { /* the whole store, so off and len stay 0 */
		c->io.off = 0;
		c->io.len = 0;
		return CMD_MEDIUM;
	}
	if (lu->max_transfer && len > lu->max_transfer)
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, transfer_length_at(c), -1);
	if (!len)
		return cmd_good(c);
	c->io.off = off;
	c->io.len = len;
	return CMD_MEDIUM;
}

/* What the store's error means to an initiator, by direction. */
static const struct {
	int err;
	uint8_t op; /* enum blk_op, 0: any */
	uint8_t status;
	uint8_t key;
	uint16_t asc;
} io_errors[] = {
	{ EIO, BLK_READ, STATUS_CHECK_CONDITION, MEDIUM_ERROR, ASC_UNRECOVERED_READ_ERROR },
	{ EIO, 0, STATUS_CHECK_CONDITION, MEDIUM_ERROR, ASC_WRITE_ERROR },
	{ ENOSPC, 0, STATUS_CHECK_CONDITION, DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED },
	{ EDQUOT, 0, STATUS_CHECK_CONDITION, DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED },
	{ EROFS, 0, STATUS_CHECK_CONDITION, DATA_PROTECT, ASC_WRITE_PROTECTED },
	{ ENODEV, 0, STATUS_CHECK_CONDITION, NOT_READY, ASC_LU_NOT_READY },
	{ ENXIO, 0, STATUS_CHECK_CONDITION, NOT_READY, ASC_LU_NOT_READY },
	{ ERANGE, 0, STATUS_CHECK_CONDITION, ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE },
	{ ENOMEM, 0, STATUS_BUSY, 0, 0 },
	{ EAGAIN, 0, STATUS_BUSY, 0, 0 },
};

enum verdict
cmd_io_done(struct cmd *c, int error)
{
	if (!error)
		return cmd_good(c);
	for (size_t i = 0; i < ARRAY_SIZE(io_errors); i++) {
		if (-io_errors[i].err != error || (io_errors[i].op && io_errors[i].op != c->io.op))
			continue;
		if (io_errors[i].status != STATUS_CHECK_CONDITION)
			return cmd_status(c, io_errors[i].status);
		return cmd_sense(c, io_errors[i].key, io_errors[i].asc);
	}
	return cmd_sense(c, HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE);
}

/* ---- unit attentions ---- */

static bool
is_reset(uint16_t asc_ascq)
{
	return asc_ascq >> 8 == ASC_POWER_ON_OR_RESET >> 8 && asc_ascq != ASC_NEXUS_LOSS;
}

void
nexus_ua(struct nexus *n, uint16_t asc_ascq)
{
	for (unsigned i = 0; i < n->n_ua; i++)
		if (n->ua[i] == asc_ascq)
			return;
	if (n->n_ua == NEXUS_UA_MAX)
		asc_ascq = ASC_POWER_ON_OR_RESET;
	if (is_reset(asc_ascq))
		n->n_ua = 0;
	n->ua[n->n_ua++] = asc_ascq;
}

uint16_t
nexus_ua_take(struct nexus *n)
{
	uint16_t asc = n->n_ua ? n->ua[0] : 0;

	if (asc)
		nexus_ua_clear(n, asc);
	return asc;
}

void
nexus_ua_clear(struct nexus *n, uint16_t asc_ascq)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n->n_ua; i++)
		if (n->ua[i] != asc_ascq)
			n->ua[kept++] = n->ua[i];
	n->n_ua = (uint8_t)kept;
}

/* ---- dispatch ---- */

/* The left-most bit that is set in @bad. */
static int
top_bit(uint8_t bad)
{
	return 31 - __builtin_clz(bad);
}

/* CDB length and usage map.  Returns 0, or CMD_DONE with the sense data. */
static enum verdict
check_usage(struct cmd *c)
{
	const struct opcode *op = c->op;

	if (c->cdb_len < op->len)
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, c->cdb_len, -1);
	for (unsigned i = 1; i < op->len; i++) {
		uint8_t bad = c->cdb[i] & (uint8_t)~optab_usage(op, c->lu, i);

		if (i == 1 && op->sa >= 0)
			bad &= 0xe0; /* the row was chosen by these bits */
		if (!bad)
			continue;
		/* RDPROTECT and WRPROTECT are a field: point at its left-most bit. */
		if (i == 1 && (op->flags & OP_RDPROTECT) && (bad & 0xe0))
			return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, i, 7);
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, i, top_bit(bad));
	}
	return 0;
}

static enum verdict
unknown_command(struct cmd *c, bool sa_unknown)
{
	if (c->lu->inventory)
		return cmd_sense(c, ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
	if (sa_unknown)
		return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 1, 4);
	return cmd_sense_cdb(c, ASC_INVALID_OPCODE, 0, -1);
}

enum verdict
cmd_dispatch(struct cmd *c)
{
	bool sa_unknown;
	const struct opcode *op;
	enum verdict v;

	assert(c->cdb_len <= LANE_CDB_MAX);
	c->io = (struct cmd_io){ 0 };
	c->reply_alloc = 0;
	cmd_good(c);

	op = c->op = optab_find(c->cdb, c->cdb_len, &sa_unknown);
	if (!op || !optab_serves(op, c->lu))
		return unknown_command(c, sa_unknown);
	if (c->lu->inventory && !(op->flags & OP_NO_LUN))
		return cmd_sense(c, ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
	v = check_usage(c);
	if (v)
		return v;
	if (c->nexus->n_ua && !(op->flags & OP_PAST_UA))
		return cmd_sense(c, UNIT_ATTENTION, nexus_ua_take(c->nexus));
	if ((op->flags & OP_MEDIUM) && !c->lu->blocks)
		return cmd_sense(c, NOT_READY, ASC_LU_NOT_READY);
	if ((op->flags & OP_WRITES) && (c->lu->read_only || c->nexus->read_only))
		return cmd_sense(c, DATA_PROTECT, ASC_WRITE_PROTECTED);
	return op->run(c);
}
