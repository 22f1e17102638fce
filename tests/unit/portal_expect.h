/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests on portal_rig.h expect to receive.  For one test program each:
 * the last PDU is in @pdu.
 */
#ifndef TESTS_PORTAL_EXPECT_H
#define TESTS_PORTAL_EXPECT_H

#include "tap.h"

#include "portal_rig.h"

static struct rig_pdu pdu;

/* A SCSI Response with this status, and nothing else, comes for @itt. */
static inline void
expect_status(struct rig *r, uint32_t itt, uint8_t status)
{
	CHECK(rig_recv(r, &pdu));
	CHECK_EQ(pdu.op, ISCSI_OP_SCSI_RSP);
	CHECK_EQ(get_be32(pdu.raw + BHS_ITT), itt);
	CHECK_EQ(pdu.raw[3], status);
}

/* A Task Management Function Response comes for @itt. */
static inline void
expect_tmf(struct rig *r, uint32_t itt, uint8_t response)
{
	CHECK(rig_recv(r, &pdu));
	CHECK_EQ(pdu.op, ISCSI_OP_TMF_RSP);
	CHECK_EQ(get_be32(pdu.raw + BHS_ITT), itt);
	CHECK_EQ(pdu.raw[2], response);
}

#endif
