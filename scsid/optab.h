/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the rest of the SCSI code needs of the opcode table besides the look-up
 * of scsid/cmd.h, and the handlers its rows name.
 */
#ifndef SCSID_OPTAB_H
#define SCSID_OPTAB_H

#include "scsid/cmd.h"

enum { CDB_RW_DPO_FUA = 0x18 }; /* byte 1 of READ and WRITE, SBC-3 5.8 */

/* Does this logical unit have the command at all? */
static inline bool
optab_serves(const struct opcode *op, const struct lu *lu)
{
	return lu->can_flush || !(op->flags & OP_FLUSH);
}

/* Byte @i of the CDB usage map as this logical unit means it (SPC-4 6.35.3): the
 * service action itself in its field; no DPO and FUA where they cannot be
 * honoured.  @i < op->len. */
static inline uint8_t
optab_usage(const struct opcode *op, const struct lu *lu, unsigned i)
{
	uint8_t m = op->mask[i];

	if (i == 1 && (op->flags & OP_RDPROTECT) && !lu->can_flush)
		m &= (uint8_t)~CDB_RW_DPO_FUA;
	return m;
}

/* True if some row of operation code @op has a service action. */
bool optab_has_sa(uint8_t op);

/* SPC-4, any device type: spc.c, inquiry.c, mode.c. */
enum verdict spc_test_unit_ready(struct cmd *c); /* 6.47 */
enum verdict spc_request_sense(struct cmd *c); /* 6.39 */
enum verdict spc_report_luns(struct cmd *c); /* 6.33 */
enum verdict spc_report_supported_opcodes(struct cmd *c); /* 6.35 */
enum verdict spc_report_supported_tmf(struct cmd *c); /* 6.36 */

/* SBC-3, disks: sbc.c. */
enum verdict sbc_read_capacity_10(struct cmd *c); /* 5.15 */
enum verdict sbc_read_capacity_16(struct cmd *c); /* 5.16 */
enum verdict sbc_read(struct cmd *c); /* 5.10 .. 5.13 */
enum verdict sbc_write(struct cmd *c); /* 5.29 .. 5.32 */
enum verdict sbc_synchronize_cache(struct cmd *c); /* 5.22, 5.23 */

#endif
