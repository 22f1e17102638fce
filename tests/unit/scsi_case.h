/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A logical unit, a nexus and a command to try the SCSI code on.  Everything a
 * command may leave behind is filled with a pattern first, so that a byte that
 * was never written shows.
 */
#ifndef TESTS_SCSI_CASE_H
#define TESTS_SCSI_CASE_H

#include <stdio.h>
#include <string.h>

#include "scsid/cmd.h"

struct scsi_case {
	struct lu lu;
	struct nexus nexus;
	struct cmd cmd;
	uint64_t luns[3];
	uint8_t reply[4096];
};

static inline void
case_init(struct scsi_case *t)
{
	memset(t, 0, sizeof(*t));
	t->lu = (struct lu){
		.name = "disk", .can_flush = true, .block_size = 512, .phys_exp = 3,
		.blocks = 0x10000, .max_transfer = 1 << 20,
		.vendor = "TGT-NG", .product = "disk", .revision = "0001",
		.serial = "0123456789abcdef",
		.naa = 0x6001405deadbeef0, .naa_ext = 0x123456789abcdef0,
	};
	snprintf(t->nexus.initiator_port, sizeof(t->nexus.initiator_port),
		 "iqn.2024-01.org.example:host,i,0x00023d000001");
	snprintf(t->nexus.target_port, sizeof(t->nexus.target_port),
		 "iqn.2024-01.org.example:disk,t,0x0001");
	t->nexus.relative_port = 1;
	t->luns[1] = 0x0001000000000000;
	t->luns[2] = 0x41ff000000000000;
	t->nexus.luns = t->luns;
	t->nexus.n_luns = 3;
}

/* Runs a CDB that is in an iSCSI header: 16 bytes, zero behind its end. */
static inline enum verdict
case_run(struct scsi_case *t, const uint8_t *cdb, size_t len)
{
	struct cmd *c = &t->cmd;

	memset(c, 0xa5, sizeof(*c));
	memset(t->reply, 0xa5, sizeof(t->reply));
	c->lu = &t->lu;
	c->nexus = &t->nexus;
	memset(c->cdb, 0, 16);
	memcpy(c->cdb, cdb, len);
	c->cdb_len = len > 16 ? (uint16_t)len : 16;
	appender_init(&c->reply, t->reply, sizeof(t->reply));
	return cmd_dispatch(c);
}

#define RUN(t, ...)                                                                  \
	case_run(t, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Sense key and ASC/ASCQ of a fixed-format CHECK CONDITION as key << 16 | code;
 * 0 for any other status. */
static inline uint32_t
case_sense(const struct scsi_case *t)
{
	const uint8_t *s = t->cmd.sense;

	if (t->cmd.status != STATUS_CHECK_CONDITION || t->cmd.sense_len != 18 || s[0] & 0x0f)
		return 0;
	return (uint32_t)s[2] << 16 | get_be16(s + 12);
}

#define SENSE(key, asc) ((uint32_t)(key) << 16 | (asc))
#define BAD_FIELD SENSE(ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB)

#endif
