/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opcode table: one row a command, and all that may be asked about it
 * before it runs.  Validation, recovery, reservations and REPORT SUPPORTED
 * OPERATION CODES read the same rows.  Constants and look-up only: no rule
 * about a command may hide in code here.
 *
 * A byte of a usage map has the bits this target evaluates; every other bit
 * set in a CDB is refused with a field pointer.  CONTROL is the last byte: no
 * bit of it is supported (NACA: SAM-5 5.2).  The row of a service action has
 * that service action in its place in byte 1 (SPC-4 6.35.3).
 *
 * Reservation classes: SPC-4 table 66, SBC-3 table 7.
 */
#include "scsid/optab.h"

#include "scsid/inquiry.h"
#include "scsid/mode.h"

#define U16 0xff, 0xff
#define U32 U16, U16
#define U64 U32, U32

static const struct opcode rows[256] = {
	[SCSI_TEST_UNIT_READY] = {
		.name = "TEST UNIT READY", .len = 6, .sa = -1, .run = spc_test_unit_ready,
		.dir = DIR_NONE, .resv = RESV_NONE_NEEDED, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM, .mask = { 0x00 },
	},
	[SCSI_REQUEST_SENSE] = {
		.name = "REQUEST SENSE", .len = 6, .sa = -1, .run = spc_request_sense,
		.dir = DIR_IN, .resv = RESV_NONE_NEEDED, .replay = REPLAY_AGAIN,
		.flags = OP_PAST_UA | OP_NO_LUN,
		.mask = { 0x03, 0x01 /* DESC */, 0, 0, 0xff },
	},
	[SCSI_READ_6] = {
		.name = "READ(6)", .len = 6, .sa = -1, .run = sbc_read,
		.dir = DIR_IN, .resv = RESV_READ, .replay = REPLAY_AGAIN, .flags = OP_MEDIUM,
		.mask = { 0x08, 0x1f, U16, 0xff },
	},
	[SCSI_WRITE_6] = {
		.name = "WRITE(6)", .len = 6, .sa = -1, .run = sbc_write,
		.dir = DIR_OUT, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_WRITES, .mask = { 0x0a, 0x1f, U16, 0xff },
	},
	[SCSI_INQUIRY] = {
		.name = "INQUIRY", .len = 6, .sa = -1, .run = inquiry_run,
		.dir = DIR_IN, .resv = RESV_NONE_NEEDED, .replay = REPLAY_AGAIN,
		.flags = OP_PAST_UA | OP_NO_LUN,
		.mask = { 0x12, 0x01 /* EVPD */, 0xff, U16 },
	},
	[SCSI_MODE_SENSE_6] = {
		.name = "MODE SENSE(6)", .len = 6, .sa = -1, .run = mode_sense_6,
		.dir = DIR_IN, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.mask = { 0x1a, 0x08 /* DBD */, 0xff, 0xff, 0xff },
	},
	[SCSI_READ_CAPACITY_10] = {
		.name = "READ CAPACITY(10)", .len = 10, .sa = -1, .run = sbc_read_capacity_10,
		.dir = DIR_IN, .resv = RESV_NONE_NEEDED, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM, .mask = { 0x25 },
	},
	[SCSI_READ_10] = {
		.name = "READ(10)", .len = 10, .sa = -1, .run = sbc_read,
		.dir = DIR_IN, .resv = RESV_READ, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_RDPROTECT,
		.mask = { 0x28, CDB_RW_DPO_FUA, U32, 0, U16 },
	},
	[SCSI_WRITE_10] = {
		.name = "WRITE(10)", .len = 10, .sa = -1, .run = sbc_write,
		.dir = DIR_OUT, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_WRITES | OP_RDPROTECT,
		.mask = { 0x2a, CDB_RW_DPO_FUA, U32, 0, U16 },
	},
	[SCSI_SYNCHRONIZE_CACHE_10] = {
		.name = "SYNCHRONIZE CACHE(10)", .len = 10, .sa = -1,
		.run = sbc_synchronize_cache,
		.dir = DIR_NONE, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_FLUSH,
		.mask = { 0x35, 0x02 /* IMMED */, U32, 0, U16 },
	},
	[SCSI_MODE_SENSE_10] = {
		.name = "MODE SENSE(10)", .len = 10, .sa = -1, .run = mode_sense_10,
		.dir = DIR_IN, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.mask = { 0x5a, 0x18 /* LLBAA, DBD */, 0xff, 0xff, 0, 0, 0, U16 },
	},
	[SCSI_READ_16] = {
		.name = "READ(16)", .len = 16, .sa = -1, .run = sbc_read,
		.dir = DIR_IN, .resv = RESV_READ, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_RDPROTECT,
		.mask = { 0x88, CDB_RW_DPO_FUA, U64, U32 },
	},
	[SCSI_WRITE_16] = {
		.name = "WRITE(16)", .len = 16, .sa = -1, .run = sbc_write,
		.dir = DIR_OUT, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_WRITES | OP_RDPROTECT,
		.mask = { 0x8a, CDB_RW_DPO_FUA, U64, U32 },
	},
	[SCSI_SYNCHRONIZE_CACHE_16] = {
		.name = "SYNCHRONIZE CACHE(16)", .len = 16, .sa = -1,
		.run = sbc_synchronize_cache,
		.dir = DIR_NONE, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_FLUSH,
		.mask = { 0x91, 0x02 /* IMMED */, U64, U32 },
	},
	[SCSI_REPORT_LUNS] = {
		.name = "REPORT LUNS", .len = 12, .sa = -1, .run = spc_report_luns,
		.dir = DIR_IN, .resv = RESV_NONE_NEEDED, .replay = REPLAY_AGAIN,
		.flags = OP_PAST_UA | OP_NO_LUN,
		.mask = { 0xa0, 0, 0xff, 0, 0, 0, U32 },
	},
	[SCSI_READ_12] = {
		.name = "READ(12)", .len = 12, .sa = -1, .run = sbc_read,
		.dir = DIR_IN, .resv = RESV_READ, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_RDPROTECT,
		.mask = { 0xa8, CDB_RW_DPO_FUA, U32, U32 },
	},
	[SCSI_WRITE_12] = {
		.name = "WRITE(12)", .len = 12, .sa = -1, .run = sbc_write,
		.dir = DIR_OUT, .resv = RESV_WRITE, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM | OP_WRITES | OP_RDPROTECT,
		.mask = { 0xaa, CDB_RW_DPO_FUA, U32, U32 },
	},
};

static const struct opcode service_action_in_16[] = {
	{
		.name = "READ CAPACITY(16)", .len = 16, .sa = SAI_READ_CAPACITY_16,
		.run = sbc_read_capacity_16,
		.dir = DIR_IN, .resv = RESV_NONE_NEEDED, .replay = REPLAY_AGAIN,
		.flags = OP_MEDIUM,
		.mask = { 0x9e, SAI_READ_CAPACITY_16, 0, 0, 0, 0, 0, 0, 0, 0, U32 },
	},
};

static const struct opcode maintenance_in[] = {
	{
		.name = "REPORT SUPPORTED OPERATION CODES", .len = 12,
		.sa = MI_REPORT_SUPPORTED_OPCODES, .run = spc_report_supported_opcodes,
		.dir = DIR_IN, .resv = RESV_READ, .replay = REPLAY_AGAIN,
		.mask = { 0xa3, MI_REPORT_SUPPORTED_OPCODES,
			  0x87 /* RCTD, REPORTING OPTIONS */, 0xff, U16, U32 },
	},
	{
		.name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", .len = 12,
		.sa = MI_REPORT_SUPPORTED_TMF, .run = spc_report_supported_tmf,
		.dir = DIR_IN, .resv = RESV_READ, .replay = REPLAY_AGAIN,
		.mask = { 0xa3, MI_REPORT_SUPPORTED_TMF, 0x80 /* REPD */, 0, 0, 0, U32 },
	},
};

/* Operation codes whose CDB has a service action in byte 1. */
static const struct {
	const struct opcode *rows;
	uint8_t n;
} nested[256] = {
	[SCSI_SERVICE_ACTION_IN_16] = { service_action_in_16, ARRAY_SIZE(service_action_in_16) },
	[SCSI_MAINTENANCE_IN] = { maintenance_in, ARRAY_SIZE(maintenance_in) },
};

const struct opcode *
optab_find(const uint8_t *cdb, size_t len, bool *sa_unknown)
{
	uint8_t op;

	*sa_unknown = false;
	if (!len)
		return NULL;
	op = cdb[0];
	if (rows[op].name)
		return &rows[op];
	if (!nested[op].n)
		return NULL;
	for (size_t i = 0; len > 1 && i < nested[op].n; i++)
		if (nested[op].rows[i].sa == (cdb[1] & 0x1f))
			return &nested[op].rows[i];
	*sa_unknown = true;
	return NULL;
}

bool
optab_has_sa(uint8_t op)
{
	return nested[op].n != 0;
}

const struct opcode *
optab_row(size_t i, uint8_t *op)
{
	for (unsigned code = 0; code < ARRAY_SIZE(rows); code++) {
		*op = (uint8_t)code;
		if (rows[code].name && i-- == 0)
			return &rows[code];
		if (i < nested[code].n)
			return &nested[code].rows[i];
		i -= nested[code].n;
	}
	return NULL;
}
